//! The directories of all containers, and the moves that create, own, find and remove one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::record::{Life, Start, is_running};
use super::{ContainerConfig, Exit, Id, Name, Record};
use crate::sys;

/// What can go wrong with a container on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// The text is not a container id.
    #[error("`{text}` is not a container id: 64 lower-case hex digits are needed")]
    InvalidId {
        /// What was given.
        text: String,
    },
    /// The text is not a container name.
    #[error(
        "`{text}` is not a container name: [a-zA-Z0-9][a-zA-Z0-9_.-]+ is allowed, 200 characters at most"
    )]
    InvalidName {
        /// What was given.
        text: String,
    },
    /// Another container has the name.
    #[error("the container name \"{name}\" is already in use by container {id}")]
    NameInUse {
        /// The name.
        name: Name,
        /// The container that has it.
        id: Id,
    },
    /// No container has this name or id.
    #[error("no such container: {text}")]
    NotFound {
        /// What was looked for.
        text: String,
    },
    /// Several containers' ids begin so.
    #[error("the container id `{text}` is ambiguous: {count} containers begin so")]
    Ambiguous {
        /// What was looked for.
        text: String,
        /// How many match.
        count: usize,
    },
    /// The container runs, and the move needs that it does not.
    #[error("container {name} is running")]
    Running {
        /// Its name.
        name: Name,
    },
    /// The container's process did not end in time after it was killed.
    #[error("the process of container {name} did not end within {seconds} s after it was killed")]
    WouldNotDie {
        /// Its name.
        name: Name,
        /// How long we waited, in seconds.
        seconds: u64,
    },
    /// The container's config cannot be understood.
    #[error("reading the container config {path}")]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The config was written by a version of this program that this one does not know.
    #[error("the container config {path} has format version {got}, want {want}")]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// The version found.
        got: u32,
        /// The version known here.
        want: u32,
    },
    /// A file operation failed.
    #[error("{doing} {path}")]
    File {
        /// What we were doing, such as "creating".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ContainerError {
    let path = path.to_owned();
    move |source| ContainerError::File {
        doing,
        path,
        source,
    }
}

/// Where containers of one data directory live.
#[derive(Clone, Debug)]
pub struct ContainerStore {
    root: PathBuf,
}

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has never run.
    Created,
    /// A process runs its guest.
    Running {
        /// That process; 0 if it has not said yet.
        pid: u32,
        /// Since when, in seconds since 1970.
        started: i64,
    },
    /// Its guest has ended.
    Exited {
        /// How. `None`: its process was killed before it could say.
        exit: Option<Exit>,
        /// When it was started, in seconds since 1970.
        started: i64,
        /// When it ended, in seconds since 1970; unknown if nobody said.
        finished: Option<i64>,
    },
}

/// A container that was found.
#[derive(Clone, Debug)]
pub struct Container {
    /// What was decided at create.
    pub config: ContainerConfig,
    dir: PathBuf,
}

/// A container that this process runs. Nobody else can while this value lives.
#[derive(Debug)]
pub struct Owned {
    /// The container.
    pub container: Container,
    /// Takes how it ended.
    pub record: Record,
    upper: Dir,
}

const CONFIG: &str = "config.json";
const STATE: &str = "state";
const UPPER: &str = "upper";
const WORK: &str = "work";
/// A directory in the making or in removal has one of these suffixes, so that no listing takes it for a container.
const NEW: &str = "new";
const DEAD: &str = "dead";

/// Largest config that is read, in bytes. The largest environment that Linux passes to a program is 2 MiB.
const LARGEST_CONFIG: u64 = 4 << 20;

/// How many ended ephemeral containers one create clears away, so that a start never waits for thousands of them.
const SWEEP_AT_MOST: usize = 16;

/// How long a half-made directory is left alone: longer than any create takes.
const STALE: Duration = Duration::from_secs(60);

/// How long a killed process may take to be gone.
const KILL_GRACE: Duration = Duration::from_secs(10);

impl ContainerStore {
    /// Names the data directory. Nothing is read or made yet.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    fn kept(&self) -> PathBuf {
        self.root.join("containers")
    }

    fn ephemeral(&self) -> PathBuf {
        self.root.join("ephemeral")
    }

    fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    fn home_of(&self, config: &ContainerConfig) -> PathBuf {
        let parent = if config.auto_remove {
            self.ephemeral()
        } else {
            self.kept()
        };
        parent.join(config.id.as_str())
    }

    /// Creates a container and takes it over, in one go: nobody sees it before it is whole and owned.
    ///
    /// # Errors
    ///
    /// [`ContainerError::NameInUse`], or what the file system says. Nothing is left behind.
    pub fn create_owned(&self, config: ContainerConfig) -> Result<Owned, ContainerError> {
        let home = self.home_of(&config);
        let parent = home.parent().expect("it was joined to a parent just now");
        if config.auto_remove {
            self.sweep(parent)?;
        }
        self.claim_name(&config)?;
        let built = build_home(&home, &config);
        if built.is_err() {
            // The first error is the one to report.
            drop(fs::remove_file(self.names().join(config.name.as_str())));
        }
        let (record, upper) = built?;
        Ok(Owned {
            container: Container { config, dir: home },
            record,
            upper,
        })
    }

    /// Writes the name's file, which only one process can create.
    fn claim_name(&self, config: &ContainerConfig) -> Result<(), ContainerError> {
        let path = self.names().join(config.name.as_str());
        let mut retried = false;
        loop {
            match File::create_new(&path) {
                Ok(mut file) => {
                    return file
                        .write_all(config.id.as_str().as_bytes())
                        .map_err(failed("writing", &path));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && !retried => {
                    retried = true;
                    make_dir(&self.names())?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !retried => {
                    retried = true;
                    self.release_stale_name(&config.name, &path)?;
                }
                Err(error) => return Err(failed("creating", &path)(error)),
            }
        }
    }

    /// Frees a name whose container is gone or ended unseen; says who has it otherwise.
    fn release_stale_name(&self, name: &Name, path: &Path) -> Result<(), ContainerError> {
        let text = match read_bounded(path, 256) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed("reading", path)(error)),
        };
        let free = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("removing", path)(error))
            }
            _ => Ok(()),
        };
        // An empty or torn file names nobody, once its writer has had time to write it.
        let Ok(id) = text.parse::<Id>() else {
            return if is_older_than(path, STALE) {
                free(path)
            } else {
                Err(ContainerError::NameInUse {
                    name: name.clone(),
                    id: Id::from_random([0; 32]),
                })
            };
        };
        let kept = self.kept().join(id.as_str());
        let ephemeral = self.ephemeral().join(id.as_str());
        let in_the_making = |home: &Path| home.with_extension(NEW).exists();
        if kept.exists() || in_the_making(&kept) || in_the_making(&ephemeral) {
            return Err(ContainerError::NameInUse {
                name: name.clone(),
                id,
            });
        }
        if ephemeral.exists() {
            if is_running(&ephemeral.join(STATE)).map_err(failed("locking", &ephemeral))? {
                return Err(ContainerError::NameInUse {
                    name: name.clone(),
                    id,
                });
            }
            return self.discard(&ephemeral, Some(name));
        }
        if is_older_than(path, STALE) {
            return free(path);
        }
        // Its creator may be between the two steps.
        Err(ContainerError::NameInUse {
            name: name.clone(),
            id,
        })
    }

    /// Clears ended ephemeral containers and what a killed create left, a bounded number of them.
    fn sweep(&self, parent: &Path) -> Result<(), ContainerError> {
        let entries = match fs::read_dir(parent) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed("listing", parent)(error)),
        };
        for entry in entries.take(SWEEP_AT_MOST) {
            let path = entry.map_err(failed("listing", parent))?.path();
            let finished = match path.extension().and_then(|suffix| suffix.to_str()) {
                None => !is_running(&path.join(STATE)).unwrap_or(true),
                Some(DEAD) => true,
                Some(NEW) => {
                    is_older_than(&path, STALE) && !is_running(&path.join(STATE)).unwrap_or(false)
                }
                Some(_) => false,
            };
            if finished {
                let name = read_config(&path).ok().map(|config| config.name);
                self.discard(&path, name.as_ref())?;
            }
        }
        Ok(())
    }

    /// Makes a container's directory vanish at once, then removes it. Losing a race to another remover is success.
    fn discard(&self, home: &Path, name: Option<&Name>) -> Result<(), ContainerError> {
        let dead = if home.extension().is_some_and(|suffix| suffix == DEAD) {
            home.to_owned()
        } else {
            let dead = home.with_extension(DEAD);
            match fs::rename(home, &dead) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(failed("removing", home)(error)),
                Ok(()) => dead,
            }
        };
        let id = home
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if let Some(name) = name {
            let path = self.names().join(name.as_str());
            // Only if the name is still this container's: it may have been given to a new one.
            if read_bounded(&path, 256).is_ok_and(|text| text == id.as_bytes()) {
                drop(fs::remove_file(&path));
            }
        }
        match fs::remove_dir_all(&dead) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("removing", &dead)(error))
            }
            _ => Ok(()),
        }
    }

    /// Lists all containers, newest first. Containers that are removed when they end are listed while they run.
    ///
    /// # Errors
    ///
    /// What the file system says, or the first config that cannot be read.
    pub fn list(&self) -> Result<Vec<Container>, ContainerError> {
        let mut found = Vec::new();
        for parent in [self.kept(), self.ephemeral()] {
            let entries = match fs::read_dir(&parent) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("listing", &parent)(error)),
            };
            for entry in entries {
                let path = entry.map_err(failed("listing", &parent))?.path();
                if path.extension().is_some() {
                    continue;
                }
                match read_config(&path) {
                    Ok(config) => found.push(Container { config, dir: path }),
                    // Removed while we were listing.
                    Err(ContainerError::File { source, .. })
                        if source.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        found.retain(|container| {
            let ended = container.config.auto_remove
                && !matches!(container.state(), Ok(State::Running { .. }));
            if ended {
                // Whoever cannot remove it, such as another user, still does not see it.
                drop(self.discard(&container.dir, Some(&container.config.name)));
            }
            !ended
        });
        found.sort_by(|a, b| {
            b.config
                .created
                .cmp(&a.config.created)
                .then_with(|| a.config.id.cmp(&b.config.id))
        });
        Ok(found)
    }

    /// Finds one container by its whole id, its name, or the beginning of its id, in Docker's order.
    ///
    /// # Errors
    ///
    /// [`ContainerError::NotFound`], [`ContainerError::Ambiguous`], or what the file system says.
    pub fn find(&self, text: &str) -> Result<Container, ContainerError> {
        let mut all = self.list()?;
        let whole = |container: &Container| container.config.id.as_str() == text;
        let named = |container: &Container| container.config.name.as_str() == text;
        if let Some(at) = all
            .iter()
            .position(whole)
            .or_else(|| all.iter().position(named))
        {
            return Ok(all.swap_remove(at));
        }
        all.retain(|container| !text.is_empty() && container.config.id.as_str().starts_with(text));
        match (all.len(), all.pop()) {
            (1, Some(container)) => Ok(container),
            (0, _) | (_, None) => Err(ContainerError::NotFound {
                text: text.to_owned(),
            }),
            (count, _) => Err(ContainerError::Ambiguous {
                text: text.to_owned(),
                count,
            }),
        }
    }

    /// Removes a container and its files. With `force`, its process is killed first if it runs.
    ///
    /// # Errors
    ///
    /// [`ContainerError::Running`] without `force`; [`ContainerError::WouldNotDie`]; or what the file system says.
    pub fn remove(&self, container: &Container, force: bool) -> Result<(), ContainerError> {
        let name = &container.config.name;
        let state = container.dir.join(STATE);
        let patience = Instant::now() + KILL_GRACE;
        while let State::Running { pid, .. } = container.state()? {
            if !force {
                return Err(ContainerError::Running { name: name.clone() });
            }
            if Instant::now() > patience {
                return Err(ContainerError::WouldNotDie {
                    name: name.clone(),
                    seconds: KILL_GRACE.as_secs(),
                });
            }
            if pid != 0 {
                match sys::kill(pid) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed("killing the owner of", &state)(error));
                    }
                    _ => {}
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.discard(&container.dir, Some(name))
    }
}

impl Container {
    /// Asks where the container is in its life.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn state(&self) -> Result<State, ContainerError> {
        let Some(life) = self.life()? else {
            return Ok(State::Created);
        };
        let started = life
            .start
            .as_ref()
            .map_or(self.config.created, |start| start.started);
        if life.running {
            return Ok(State::Running {
                pid: life.start.map_or(0, |start| start.pid),
                started,
            });
        }
        let finished = life.exit.is_some().then(|| seconds(life.changed));
        Ok(State::Exited {
            exit: life.exit,
            started,
            finished,
        })
    }

    /// Returns what the container's last start said of its walls; null if it never started.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn walls(&self) -> Result<serde_json::Value, ContainerError> {
        let start = self.life()?.and_then(|life| life.start);
        Ok(start.map(|start| start.walls).unwrap_or_default())
    }

    /// Reads the state file. `None`: there is none, the container has never run.
    fn life(&self) -> Result<Option<Life>, ContainerError> {
        let path = self.dir.join(STATE);
        match Life::read(&path) {
            Ok(life) => Ok(Some(life)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("reading", &path)(error)),
        }
    }

    /// Returns the host directory that holds the container's own files.
    pub fn upper_path(&self) -> PathBuf {
        self.dir.join(UPPER)
    }

    /// Returns the host directory where the file system prepares changes.
    pub fn work_path(&self) -> PathBuf {
        self.dir.join(WORK)
    }
}

impl Owned {
    /// Opens the directory that holds the container's own files, and the one where changes are prepared.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn open_upper(&self) -> Result<(Dir, Dir), ContainerError> {
        let upper = self
            .upper
            .try_clone()
            .map_err(failed("opening", &self.container.upper_path()))?;
        let work = self.container.work_path();
        let work =
            Dir::open_ambient_dir(&work, ambient_authority()).map_err(failed("opening", &work))?;
        Ok((upper, work))
    }

    /// Says that the guest starts now, and behind which walls. Needs no right on the directory.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn started(
        &mut self,
        started: i64,
        walls: serde_json::Value,
    ) -> Result<(), ContainerError> {
        let start = Start {
            pid: std::process::id(),
            started,
            walls,
        };
        self.record
            .started(&start)
            .map_err(failed("writing", &self.container.dir.join(STATE)))
    }

    /// Says how the container ended, and empties it if it is to be removed. Behind the second wall this process cannot
    /// remove the directory itself; it is ended from now on, and the next command clears the husk.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn finish(&mut self, exit: &Exit) -> Result<(), ContainerError> {
        if self.container.config.auto_remove {
            let upper = self.container.upper_path();
            let entries = self.upper.entries().map_err(failed("listing", &upper))?;
            for entry in entries {
                let name = entry.map_err(failed("listing", &upper))?.file_name();
                let removed = self
                    .upper
                    .remove_file(&name)
                    .or_else(|_| self.upper.remove_dir_all(&name));
                removed.map_err(failed("removing", &upper.join(&name)))?;
            }
        }
        let path = self.container.dir.join(STATE);
        self.record.ended(exit).map_err(failed("writing", &path))
    }
}

/// Makes a container's directory under another name, whole and locked, then gives it its name.
fn build_home(home: &Path, config: &ContainerConfig) -> Result<(Record, Dir), ContainerError> {
    let new = home.with_extension(NEW);
    let build = || {
        match fs::create_dir(&new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_dir(home.parent().unwrap_or(home))?;
                fs::create_dir(&new)
            }
            made => made,
        }
        .map_err(failed("creating", &new))?;
        let state = new.join(STATE);
        let record = Record::create(&state).map_err(failed("creating", &state))?;
        for part in [UPPER, WORK] {
            fs::create_dir(new.join(part)).map_err(failed("creating", &new.join(part)))?;
        }
        let upper = Dir::open_ambient_dir(new.join(UPPER), ambient_authority())
            .map_err(failed("opening", &new.join(UPPER)))?;
        let text = serde_json::to_vec(config).expect("strings and numbers serialise");
        let path = new.join(CONFIG);
        fs::write(&path, text).map_err(failed("writing", &path))?;
        fs::rename(&new, home).map_err(failed("naming", home))?;
        Ok((record, upper))
    };
    build().inspect_err(|_| drop(fs::remove_dir_all(&new)))
}

/// Makes a directory that only its owner may enter, with its parents.
fn make_dir(path: &Path) -> Result<(), ContainerError> {
    sys::create_private_dir_all(path).map_err(failed("creating", path))
}

fn read_config(home: &Path) -> Result<ContainerConfig, ContainerError> {
    let path = home.join(CONFIG);
    let text = read_bounded(&path, LARGEST_CONFIG).map_err(failed("reading", &path))?;
    let config: ContainerConfig =
        serde_json::from_slice(&text).map_err(|source| ContainerError::BadConfig {
            path: path.clone(),
            source,
        })?;
    if config.version == ContainerConfig::VERSION {
        Ok(config)
    } else {
        Err(ContainerError::UnknownVersion {
            path,
            got: config.version,
            want: ContainerConfig::VERSION,
        })
    }
}

fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len().min(limit);
    // One byte more than there is: so the end is seen without growing the buffer.
    let mut text = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    let read = file.take(limit + 1).read_to_end(&mut text)?;
    if read as u64 > limit {
        Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {limit} bytes"),
        ))
    } else {
        Ok(text)
    }
}

fn is_older_than(path: &Path, age: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|when| when.elapsed().is_ok_and(|passed| passed > age))
}

fn seconds(when: SystemTime) -> i64 {
    when.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
