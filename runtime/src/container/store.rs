//! The directories of all containers, and the moves that create, own, find and remove one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::record::{Life, Refused, Start, is_running};
use super::reuse::{self, Husk};
use super::sweep::{self, NEW};
use super::{ContainerConfig, Exit, Id, LastWords, Name, Record, Refusals, RestartPolicy};
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
        "`{text}` is not a container name: [a-zA-Z0-9][a-zA-Z0-9_.-]+ is allowed, 2 to 200 characters"
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
    /// What the image and the caller say of the container is too much to keep.
    #[error(
        "the container's arguments, environment and labels take {size} bytes, want at most {LARGEST_CONFIG}"
    )]
    LargeConfig {
        /// How much, in bytes.
        size: u64,
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

pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ContainerError {
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
    /// Its guest has ended, and is to be started again in a moment.
    Restarting {
        /// How it ended. `None`: nobody said.
        exit: Option<Exit>,
        /// When it was started, in seconds since 1970.
        started: i64,
        /// When it ended, in seconds since 1970; unknown if nobody said.
        finished: Option<i64>,
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
    pub(super) dir: PathBuf,
}

/// All containers that can be read, and what is wrong with the others.
#[derive(Debug, Default)]
pub struct Listing {
    /// The containers.
    pub containers: Vec<Container>,
    /// Why others could not be read.
    pub damaged: Vec<ContainerError>,
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

pub(super) const CONFIG: &str = "config.json";
pub(super) const OWNER: &str = "owner";
pub(super) const STATE: &str = "state";
pub(super) const UPPER: &str = "upper";
pub(super) const WORK: &str = "work";
const LOG: &str = "log";

/// Largest config that is written and read, in bytes. The largest environment that Linux passes to a program is 2 MiB, each
/// byte of it takes six in JSON at most, and an image's labels come on top.
const LARGEST_CONFIG: u64 = 16 << 20;

/// Writes a file whole.
type WriteWhole = fn(&Path, &[u8]) -> io::Result<()>;

/// How long a killed process may take to be gone.
const KILL_GRACE: Duration = Duration::from_secs(10);

impl ContainerStore {
    /// Names the data directory. Nothing is read or made yet.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(super) fn kept(&self) -> PathBuf {
        self.root.join("containers")
    }

    pub(super) fn ephemeral(&self) -> PathBuf {
        self.root.join("ephemeral")
    }

    pub(super) fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    /// Where directories are that come or go: in the making, or being removed.
    pub(super) fn staging(&self) -> PathBuf {
        self.root.join("staging")
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
        self.create_at(home, config)
    }

    fn create_at(&self, home: PathBuf, config: ContainerConfig) -> Result<Owned, ContainerError> {
        let text = to_text(&config)?;
        let husk = self.sweep_but_one(&config.id);
        if let Some(husk) = &husk {
            // It may be the one that is wanted again.
            self.free_name_of(husk);
        }
        if let Err(error) = self.claim_name(&config) {
            if let Some(husk) = husk {
                drop(sweep::remove(&husk.dir));
            }
            return Err(error);
        }
        let built = self.build_home(&home, &config, &text, husk);
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

    /// Creates a container that is started later.
    ///
    /// # Errors
    ///
    /// As [`Self::create_owned`].
    pub fn create(&self, config: ContainerConfig) -> Result<Container, ContainerError> {
        // Also one that is removed when it ends: until then it must not look like what an interrupted run left behind.
        let home = self.kept().join(config.id.as_str());
        let mut owned = self.create_at(home, config)?;
        let path = owned.container.dir.join(STATE);
        owned.record.created().map_err(failed("writing", &path))?;
        // Nobody runs it.
        let owner = owned.container.dir.join(OWNER);
        fs::remove_file(&owner).map_err(failed("removing", &owner))?;
        Ok(owned.container)
    }

    /// Takes over a container that does not run, to start it.
    ///
    /// # Errors
    ///
    /// [`ContainerError::Running`], or what the file system says.
    pub fn own(&self, container: Container) -> Result<Owned, ContainerError> {
        let state = container.dir.join(STATE);
        let Some(record) = Record::open(&state).map_err(failed("opening", &state))? else {
            return Err(ContainerError::Running {
                name: container.config.name,
            });
        };
        let owner = container.dir.join(OWNER);
        fs::write(&owner, std::process::id().to_string()).map_err(failed("writing", &owner))?;
        let upper = open_dir(&container.upper_path())?;
        Ok(Owned {
            container,
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

    /// Makes a container's directory out of sight, whole and locked, then moves it into place.
    fn build_home(
        &self,
        home: &Path,
        config: &ContainerConfig,
        text: &[u8],
        husk: Option<Husk>,
    ) -> Result<(Record, Dir), ContainerError> {
        let new = self.staging().join(config.id.as_str()).with_extension(NEW);
        let build = || {
            let (record, write): (_, WriteWhole) = match husk {
                Some(husk) => {
                    let record = husk.record().map_err(failed("writing", &new.join(STATE)))?;
                    (record, reuse::write_over)
                }
                None => (self.make_home(&new)?, |path, bytes| fs::write(path, bytes)),
            };
            let upper = Dir::open_ambient_dir(new.join(UPPER), ambient_authority())
                .map_err(failed("opening", &new.join(UPPER)))?;
            let owner = std::process::id().to_string();
            for (name, text) in [(CONFIG, text), (OWNER, owner.as_bytes())] {
                let path = new.join(name);
                write(&path, text).map_err(failed("writing", &path))?;
            }
            match fs::rename(&new, home) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make_dir(home.parent().unwrap_or(home))?;
                    fs::rename(&new, home)
                }
                renamed => renamed,
            }
            .map_err(failed("naming", home))?;
            Ok((record, upper))
        };
        build().inspect_err(|_| drop(fs::remove_dir_all(&new)))
    }

    /// Makes a new directory, locked, and what belongs to it but its config.
    fn make_home(&self, new: &Path) -> Result<Record, ContainerError> {
        match fs::create_dir(new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_dir(&self.staging())?;
                fs::create_dir(new)
            }
            made => made,
        }
        .map_err(failed("creating", new))?;
        let state = new.join(STATE);
        let record = Record::create(&state).map_err(failed("creating", &state))?;
        for part in [UPPER, WORK] {
            fs::create_dir(new.join(part)).map_err(failed("creating", &new.join(part)))?;
        }
        Ok(record)
    }

    /// Lists all containers, newest first. Containers that are removed when they end are listed while they run.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn list(&self) -> Result<Listing, ContainerError> {
        let mut found = Vec::new();
        let mut damaged = Vec::new();
        for parent in [self.kept(), self.ephemeral()] {
            let entries = match fs::read_dir(&parent) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("listing", &parent)(error)),
            };
            for entry in entries {
                let path = entry.map_err(failed("listing", &parent))?.path();
                let name = path.file_name().and_then(|name| name.to_str());
                if name.is_none_or(|name| name.parse::<Id>().is_err()) {
                    continue;
                }
                match read_config(&path) {
                    Ok(config) => found.push(Container { config, dir: path }),
                    // Removed while we were listing.
                    Err(ContainerError::File { source, .. })
                        if source.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => damaged.push(error),
                }
            }
        }
        found.retain(|container| {
            if container.is_leaving() {
                return false;
            }
            let ended = container.is_over();
            if ended {
                // Whoever cannot remove it, such as another user, still does not see it.
                drop(self.discard(&container.dir, Some(&container.config.name)));
            }
            // Removed by another process while we asked: without its files it looks as if it had never run.
            !ended && container.dir.exists()
        });
        found.sort_by(|a, b| {
            b.config
                .created
                .cmp(&a.config.created)
                .then_with(|| a.config.id.cmp(&b.config.id))
        });
        Ok(Listing {
            containers: found,
            damaged,
        })
    }

    /// Finds one container by its whole id, its name, or the beginning of its id, in Docker's order.
    ///
    /// # Errors
    ///
    /// [`ContainerError::NotFound`], [`ContainerError::Ambiguous`], or what the file system says.
    pub fn find(&self, text: &str) -> Result<Container, ContainerError> {
        // Without reading those of a thousand others, where the text says which it is.
        let found = self
            .find_by_id(text)
            .or_else(|| self.find_by_name(text))
            .or_else(|| self.find_by_beginning(text));
        if let Some(container) = found {
            return Ok(container);
        }
        let mut all = self.list()?.containers;
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

    /// Returns the container with this whole id, if it is there and not about to be gone.
    fn find_by_id(&self, text: &str) -> Option<Container> {
        let id: Id = text.parse().ok()?;
        [self.kept(), self.ephemeral()]
            .iter()
            .find_map(|parent| {
                let dir = parent.join(id.as_str());
                let config = read_config(&dir).ok()?;
                Some(Container { config, dir })
            })
            .filter(|container| !container.is_leaving() && !container.is_over())
    }

    /// Returns the container that the name's file leads to, if it has that name.
    fn find_by_name(&self, text: &str) -> Option<Container> {
        let name: Name = text.parse().ok()?;
        let id = read_bounded(&self.names().join(name.as_str()), 256).ok()?;
        self.find_by_id(&String::from_utf8_lossy(&id))
            .filter(|container| container.config.name == name)
    }

    /// Returns the only container whose id begins so.
    fn find_by_beginning(&self, text: &str) -> Option<Container> {
        if text.is_empty() {
            return None;
        }
        let mut found = None;
        for parent in [self.kept(), self.ephemeral()] {
            for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
                let name = entry.file_name();
                if name.to_str().is_some_and(|name| name.starts_with(text))
                    && found.replace(name).is_some()
                {
                    return None;
                }
            }
        }
        self.find_by_id(found?.to_str()?)
    }

    /// Gives a container another name, whether it runs or not.
    ///
    /// # Errors
    ///
    /// [`ContainerError::NameInUse`], or what the file system says; the old name holds then.
    pub fn rename(&self, container: &mut Container, name: Name) -> Result<(), ContainerError> {
        let _lock = container.lock_config()?;
        let old = container.config.name.clone();
        let mut config = container.config.clone();
        config.name = name;
        self.claim_name(&config)?;
        let name = config.name.clone();
        if let Err(error) = container.write_config(config) {
            // The first error is the one to report.
            drop(fs::remove_file(self.names().join(name.as_str())));
            return Err(error);
        }
        self.free_name(&old, container.config.id.as_str());
        Ok(())
    }

    /// Removes a container whose config cannot be read. Returns false if there is none of this id, or it runs.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn remove_damaged(&self, id: &Id) -> Result<bool, ContainerError> {
        let home = self.kept().join(id.as_str());
        if !home.exists() {
            return Ok(false);
        }
        let state = home.join(STATE);
        match is_running(&state) {
            Ok(true) => return Ok(false),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("asking", &state)(error)),
        }
        self.discard(&home, None)?;
        Ok(true)
    }

    /// Removes a container and its files. With `force`, its process is killed first if it runs.
    ///
    /// # Errors
    ///
    /// [`ContainerError::Running`] without `force`; [`ContainerError::WouldNotDie`]; or what the file system says.
    pub fn remove(&self, container: &Container, force: bool) -> Result<(), ContainerError> {
        let name = &container.config.name;
        let state = container.dir.join(STATE);
        self.sweep();
        let patience = Instant::now() + KILL_GRACE;
        while container.is_active()? {
            if !force {
                return Err(ContainerError::Running { name: name.clone() });
            }
            // Its watcher, if there is one, does not start it again then.
            container.set_stopped(true)?;
            if Instant::now() > patience {
                return Err(ContainerError::WouldNotDie {
                    name: name.clone(),
                    seconds: KILL_GRACE.as_secs(),
                });
            }
            if let Some(process) = container.process()? {
                process
                    .signal(sys::Signal::KILL)
                    .map_err(failed("killing the owner of", &state))?;
            } else if patience.saturating_duration_since(Instant::now()) < KILL_GRACE / 2
                && let Some(watcher) = container.watcher()?
            {
                // Somebody has halted it, say.
                watcher
                    .signal(sys::Signal::KILL)
                    .map_err(failed("killing the watcher of", &state))?;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.discard(&container.dir, Some(name))
    }
}

impl Container {
    /// Changes the config, which counts from the next start on. Says whether that made a difference.
    ///
    /// # Errors
    ///
    /// [`ContainerError::LargeConfig`], or what the file system says; the old one holds then.
    pub fn change_config(
        &mut self,
        change: impl FnOnce(&mut ContainerConfig),
    ) -> Result<bool, ContainerError> {
        let _lock = self.lock_config()?;
        let mut config = self.config.clone();
        change(&mut config);
        if config == self.config {
            return Ok(false);
        }
        self.write_config(config)?;
        Ok(true)
    }

    /// Keeps others from changing the config, and reads it as it is now.
    fn lock_config(&mut self) -> Result<File, ContainerError> {
        // Locked is the folder: the file is replaced.
        let lock = File::open(&self.dir).map_err(failed("opening", &self.dir))?;
        lock.lock().map_err(failed("locking", &self.dir))?;
        self.config = read_config(&self.dir)?;
        Ok(lock)
    }

    fn write_config(&mut self, config: ContainerConfig) -> Result<(), ContainerError> {
        let text = to_text(&config)?;
        let path = self.dir.join(CONFIG);
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.map_err(failed("writing", &path))?;
        self.config = config;
        Ok(())
    }

    /// Asks where the container is in its life.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn state(&self) -> Result<State, ContainerError> {
        let Some(life) = self.life()? else {
            // Each container has the file from its first moment on.
            return Err(ContainerError::NotFound {
                text: self.config.name.to_string(),
            });
        };
        let started = life
            .start
            .as_ref()
            .map_or(self.config.created, |start| start.started);
        if life.running {
            return Ok(State::Running {
                pid: self.owner(),
                started,
            });
        }
        if life.created && life.start.is_none() && life.exit.is_none() {
            return Ok(State::Created);
        }
        let finished = life.exit.is_some().then(|| seconds(life.changed));
        // Its watcher waits before the next start; one that is about to end is told apart by what it goes by.
        let code = life.exit.as_ref().map_or(u8::MAX, |exit| exit.code);
        let restarts = |container: &Self| {
            container
                .config
                .restart
                .restarts(code, container.watched().restarts)
        };
        if self.config.restart != RestartPolicy::No
            && restarts(self)
            && !self.is_stopped()
            && self.is_watched()?
        {
            return Ok(State::Restarting {
                exit: life.exit,
                started,
                finished,
            });
        }
        Ok(State::Exited {
            exit: life.exit,
            started,
            finished,
        })
    }

    /// Has its guest ended, is it to be removed then, and does a process still hold it? That is the one which ran the guest, in
    /// its last moment, or one which makes a new container of its folder.
    fn is_leaving(&self) -> bool {
        self.config.auto_remove
            && matches!(self.life(), Ok(Some(life)) if life.running && life.exit.is_some())
    }

    /// Has it ended, and is to be removed then?
    pub(super) fn is_over(&self) -> bool {
        // What cannot be asked is not taken for dead.
        self.config.auto_remove
            && matches!(
                self.state(),
                Ok(State::Exited { .. }) | Err(ContainerError::NotFound { .. })
            )
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

    /// Does a process run it? None runs one that is gone, as one with `--rm` may be the moment after it has ended.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn runs(&self) -> Result<bool, ContainerError> {
        Ok(self.life()?.is_some_and(|life| life.running))
    }

    /// Returns the process that runs the container. `None`: it does not run, or its process has not said yet which it is.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn process(&self) -> Result<Option<sys::Process>, ContainerError> {
        let pid = self.owner();
        let path = self.dir.join(OWNER);
        let Some(process) =
            sys::Process::open(pid).map_err(failed("finding the process in", &path))?
        else {
            return Ok(None);
        };
        // Held open, the process cannot be replaced by another of the same number; it is the right one if the container
        // runs and still names it.
        let runs = self.runs()?;
        Ok((runs && self.owner() == pid).then_some(process))
    }

    /// Returns the file that the process which runs the container keeps locked.
    pub fn state_path(&self) -> PathBuf {
        self.dir.join(STATE)
    }

    /// Opens its record, to write down what another program in it is refused.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn refusals(&self) -> Result<Refusals, ContainerError> {
        let path = self.state_path();
        Refusals::open(&path).map_err(failed("opening", &path))
    }

    /// Opens its record, to read what it says last even if the container is removed meanwhile.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn last_words(&self) -> Result<LastWords, ContainerError> {
        let path = self.state_path();
        LastWords::open(&path).map_err(failed("opening", &path))
    }

    /// Returns the host directory of the container's log.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join(LOG)
    }

    /// Returns what the guest was refused while it ran, each thing once, as far as it was kept.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn refused(&self) -> Result<Vec<Refused>, ContainerError> {
        Ok(self.life()?.map(|life| life.refused).unwrap_or_default())
    }

    /// Reads which process runs the container; 0 if that cannot be read. Behind its wall that process cannot change this file.
    fn owner(&self) -> u32 {
        let text = read_bounded(&self.dir.join(OWNER), 32).unwrap_or_default();
        String::from_utf8_lossy(&text).parse().unwrap_or(0)
    }

    /// Reads the state file. `None`: there is none, the container was removed.
    pub(super) fn life(&self) -> Result<Option<Life>, ContainerError> {
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

    /// Opens the directory that holds the container's own files, and the one where changes are prepared.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn open_upper(&self) -> Result<(Dir, Dir), ContainerError> {
        Ok((open_dir(&self.upper_path())?, open_dir(&self.work_path())?))
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
        Ok((upper, open_dir(&self.container.work_path())?))
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
        let start = Start { started, walls };
        self.record
            .started(&start)
            .map_err(failed("writing", &self.container.dir.join(STATE)))
    }

    /// Says how the container ended, and empties it if it is to be removed. Behind the second wall this process cannot
    /// remove the directory itself; it is ended from now on, and the next command clears what is left.
    ///
    /// # Errors
    ///
    /// What the file system says of the record. Files that cannot be removed now are no error.
    pub fn finish(&mut self, exit: &Exit) -> Result<(), ContainerError> {
        let path = self.container.dir.join(STATE);
        let recorded = self.record.ended(exit);
        if self.container.config.auto_remove {
            drop(sweep::empty(&self.container.upper_path()));
        }
        recorded.map_err(failed("writing", &path))
    }
}

/// Returns what is written of the config: what could not be read again must not be written.
fn to_text(config: &ContainerConfig) -> Result<Vec<u8>, ContainerError> {
    let text = serde_json::to_vec(config).expect("strings and numbers serialise");
    let size = text.len() as u64;
    if size > LARGEST_CONFIG {
        return Err(ContainerError::LargeConfig { size });
    }
    Ok(text)
}

fn open_dir(path: &Path) -> Result<Dir, ContainerError> {
    Dir::open_ambient_dir(path, ambient_authority()).map_err(failed("opening", path))
}

/// Makes a directory that only its owner may enter, with its parents.
pub(super) fn make_dir(path: &Path) -> Result<(), ContainerError> {
    sys::create_private_dir_all(path).map_err(failed("creating", path))
}

pub(super) fn read_config(home: &Path) -> Result<ContainerConfig, ContainerError> {
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

pub(super) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
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

fn seconds(when: SystemTime) -> i64 {
    when.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
