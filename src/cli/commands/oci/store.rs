//! What is known of containers between commands: a folder for each.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use coracle_runtime::sandbox::native::{Container, NativeError, Record, VERSION, oci::Spec};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};

/// The longest name of a container, in bytes: it is the name of a folder.
const LONGEST_ID: usize = 255;
/// The longest `config.json`, in bytes.
const LONGEST_CONFIG: u64 = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("container `{0}` does not exist")]
    Missing(String),
    #[error("container with id exists: `{0}`")]
    Exists(String),
    #[error("invalid container id `{}`: letters, digits and `_`, `+`, `-`, `.` make one", .0.escape_debug())]
    Id(String),
    #[error("reading {path}: {source}")]
    Config { path: PathBuf, source: io::Error },
    #[error("{doing} {path}: {source}")]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// What is written down about a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    /// In RFC 3339.
    pub(super) created: String,
    pub(super) owner: u32,
    pub(super) record: Record,
    pub(super) spec: Spec,
}

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Created,
    Running,
    Paused,
    Stopped,
}

/// What `state` and `list` print.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    pub(super) oci_version: &'static str,
    pub(super) id: String,
    pub(super) pid: u32,
    pub(super) status: Status,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    pub(super) created: String,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    pub(super) annotations: HashMap<String, String>,
    pub(super) owner: String,
}

/// The folder of all containers.
pub(super) struct Store(PathBuf);

/// The folder of one container.
pub(super) struct Folder(PathBuf);

impl Store {
    pub(super) fn new(root: PathBuf) -> Self {
        Self(root)
    }

    fn folder(&self, id: &str) -> Result<Folder, StoreError> {
        let is_plain = |one: char| one.is_ascii_alphanumeric() || "_+-.".contains(one);
        if id.is_empty()
            || id.len() > LONGEST_ID
            || id == "."
            || id == ".."
            || !id.chars().all(is_plain)
        {
            return Err(StoreError::Id(id.to_owned()));
        }
        Ok(Folder(self.0.join(id)))
    }

    /// Makes the folder of a new container.
    pub(super) fn create(&self, id: &str) -> Result<Folder, StoreError> {
        let folder = self.folder(id)?;
        let step = |source| StoreError::Io {
            doing: "making",
            path: folder.0.clone(),
            source,
        };
        let mut private = fs::DirBuilder::new();
        private.mode(0o700);
        match private.create(&folder.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                private.recursive(true).create(&self.0).map_err(step)?;
                private.recursive(false).create(&folder.0)
            }
            result => result,
        }
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => StoreError::Exists(id.to_owned()),
            _ => step(error),
        })?;
        Ok(folder)
    }

    /// Opens the folder of a container.
    pub(super) fn open(&self, id: &str) -> Result<(Folder, Known), StoreError> {
        let folder = self.folder(id)?;
        match folder.read() {
            Ok(known) => Ok((folder, known)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Missing(id.to_owned()))
            }
            Err(source) => Err(StoreError::Io {
                doing: "reading the state in",
                path: folder.0,
                source,
            }),
        }
    }

    /// Returns all containers, by name.
    pub(super) fn all(&self) -> Result<Vec<(Folder, Known)>, StoreError> {
        let step = |source| StoreError::Io {
            doing: "listing",
            path: self.0.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.map_err(step)?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let folder = Folder(entry.map_err(step)?.path());
            // One that is being made or removed is none.
            if let Ok(known) = folder.read() {
                all.push((folder, known));
            }
        }
        all.sort_by(|(_, one), (_, other)| one.id.cmp(&other.id));
        Ok(all)
    }
}

impl Folder {
    fn read(&self) -> io::Result<Known> {
        Ok(serde_json::from_slice(&fs::read(
            self.0.join("state.json"),
        )?)?)
    }

    /// Writes down what is known, in one step.
    pub(super) fn write(&self, known: &Known) -> Result<(), StoreError> {
        let path = self.0.join("state.json");
        let written = || -> io::Result<()> {
            let new = self.0.join("state.json.new");
            let mut file = fs::File::create(&new)?;
            file.write_all(&serde_json::to_vec(known)?)?;
            fs::rename(new, &path)
        };
        written().map_err(|source| StoreError::Io {
            doing: "writing",
            path: path.clone(),
            source,
        })
    }

    fn gate(&self) -> PathBuf {
        self.0.join("exec.fifo")
    }

    /// Makes the gate that the container waits behind, and opens its end.
    pub(super) fn make_gate(&self) -> Result<OwnedFd, StoreError> {
        let path = self.gate();
        let made = || -> io::Result<OwnedFd> {
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            Ok(rustix::fs::open(&path, flags, Mode::empty())?)
        };
        made().map_err(|source| StoreError::Io {
            doing: "making",
            path: path.clone(),
            source,
        })
    }

    /// Lets the container begin. `false`: it has begun before.
    pub(super) fn open_gate(&self) -> Result<bool, StoreError> {
        let path = self.gate();
        // Whoever takes its name away is the one who opens it.
        let taken = self.0.join(format!("exec.fifo.{}", std::process::id()));
        match fs::rename(&path, &taken) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            result => result,
        }
        .and_then(|()| {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let gate = rustix::fs::open(&taken, flags, Mode::empty())?;
            fs::File::from(gate).write_all(b"s")?;
            fs::remove_file(&taken)
        })
        .map_err(|source| StoreError::Io {
            doing: "opening the gate",
            path,
            source,
        })?;
        Ok(true)
    }

    /// What does the container do?
    pub(super) fn status(&self, known: &Known) -> Result<Status, NativeError> {
        if !known.record.is_running()? {
            return Ok(Status::Stopped);
        }
        if self.gate().exists() {
            return Ok(Status::Created);
        }
        let container = Container::open(&known.record)?;
        Ok(if container.is_paused() {
            Status::Paused
        } else {
            Status::Running
        })
    }

    /// What `state` prints.
    pub(super) fn state(&self, known: &Known) -> Result<State, NativeError> {
        let status = self.status(known)?;
        Ok(State {
            oci_version: VERSION,
            id: known.id.clone(),
            pid: if status == Status::Stopped {
                0
            } else {
                known.record.pid()
            },
            status,
            bundle: known.bundle.clone(),
            rootfs: known.rootfs.clone(),
            created: known.created.clone(),
            annotations: known.spec.annotations().clone().unwrap_or_default(),
            owner: if known.owner == 0 {
                "root".to_owned()
            } else {
                known.owner.to_string()
            },
        })
    }

    /// Forgets the container.
    pub(super) fn remove(&self) -> Result<(), StoreError> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
        .map_err(|source| StoreError::Io {
            doing: "removing",
            path: self.0.clone(),
            source,
        })
    }
}

/// Reads a bundle's configuration.
pub(super) fn read_config(path: &Path) -> Result<Spec, StoreError> {
    let read = || -> io::Result<Spec> {
        let mut text = Vec::new();
        fs::File::open(path)?
            .take(LONGEST_CONFIG + 1)
            .read_to_end(&mut text)?;
        if text.len() as u64 > LONGEST_CONFIG {
            return Err(io::Error::other("it is longer than 16 MiB"));
        }
        Ok(serde_json::from_slice(&text)?)
    };
    read().map_err(|source| StoreError::Config {
        path: path.to_owned(),
        source,
    })
}
