//! What is known of a container by the process that watches over it, while its program runs in the background.
//!
//! ```text
//! <container>/monitor       locked by that process; its number
//!             watched.json  how often the program was started again, and how well it is; replaced as a whole
//!             stopped       is there if a person has stopped it
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::store::{failed, read_bounded};
use super::{Container, ContainerError, ContainerStore, Exit, Health, Record};
use crate::sys;

/// How long another process may ask before we look again.
const ASKING: Duration = Duration::from_millis(1);

const MONITOR: &str = "monitor";
const WATCHED: &str = "watched.json";
const STOPPED: &str = "stopped";

/// Largest file that is read of what the watcher knows, in bytes: five checks with 4 KiB of output, six bytes of JSON for each.
const LARGEST: u64 = 256 << 10;

/// Says, as long as it lives, that this process watches over a container.
#[derive(Debug)]
pub struct Watch(#[expect(dead_code, reason = "it holds the lock")] File);

/// What a watcher knows of its container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// How often the program was started again since a person started it.
    #[serde(default)]
    pub restarts: u32,
    /// How well it is, if anybody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

impl Container {
    /// Begins to watch over it. `None`: another process does.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn watch(&self) -> Result<Option<Watch>, ContainerError> {
        let path = self.dir.join(MONITOR);
        let opened = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = opened.map_err(failed("opening", &path))?;
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::Error(error) => return Err(failed("locking", &path)(error)),
                TryLockError::WouldBlock if self.is_watched()? => return Ok(None),
                // Who asks holds the lock for a moment, together with others.
                TryLockError::WouldBlock => std::thread::sleep(ASKING),
            }
        }
        let mut write = || {
            file.set_len(0)?;
            file.write_all(std::process::id().to_string().as_bytes())
        };
        write().map_err(failed("writing", &path))?;
        Ok(Some(Watch(file)))
    }

    /// Does a process watch over it? That one may start its program, or start it again, at any moment.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn is_watched(&self) -> Result<bool, ContainerError> {
        let path = self.dir.join(MONITOR);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(failed("opening", &path))?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(failed("asking", &path)(error)),
        }
    }

    /// Does a process run it, or watch over it?
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn is_active(&self) -> Result<bool, ContainerError> {
        Ok(self.runs()? || self.is_watched()?)
    }

    /// Returns the process that watches over it, if one does.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn watcher(&self) -> Result<Option<sys::Process>, ContainerError> {
        let path = self.dir.join(MONITOR);
        let number = || {
            let text = read_bounded(&path, 32).unwrap_or_default();
            String::from_utf8_lossy(&text).parse().unwrap_or(0)
        };
        let pid = number();
        let process = sys::Process::open(pid).map_err(failed("finding the process in", &path))?;
        // As in `process`: held open it cannot be replaced, and it is the right one if it is still named.
        let right = self.is_watched()? && number() == pid;
        Ok(process.filter(|_| right))
    }

    /// Returns what its watcher knows or knew; nothing if there never was one.
    pub fn watched(&self) -> Watched {
        read_bounded(&self.dir.join(WATCHED), LARGEST)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    /// Writes down what the watcher knows.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn set_watched(&self, watched: &Watched) -> Result<(), ContainerError> {
        let text = serde_json::to_vec(watched).expect("strings and numbers serialise");
        let path = self.dir.join(WATCHED);
        let new = path.with_extension("new");
        let write = || {
            fs::write(&new, text)?;
            fs::rename(&new, &path)
        };
        write().map_err(failed("writing", &path))
    }

    /// Says that a person has stopped it, or wants it to run.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn set_stopped(&self, stopped: bool) -> Result<(), ContainerError> {
        let path = self.dir.join(STOPPED);
        let done = if stopped {
            File::create(&path).map(drop)
        } else {
            fs::remove_file(&path)
        };
        match done {
            // It was not; or it is gone as a whole.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(failed("writing", &path)),
        }
    }

    /// Has a person stopped it, and nobody started it since?
    pub fn is_stopped(&self) -> bool {
        self.dir.join(STOPPED).exists()
    }

    /// Says how its program has ended, if that did not say it itself. Returns what the record has then; `None` if it runs, or is
    /// gone.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn settle(&self, otherwise: &Exit) -> Result<Option<Exit>, ContainerError> {
        let path = self.state_path();
        let record = match Record::resume(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            record => record.map_err(failed("opening", &path))?,
        };
        let Some(mut record) = record else {
            return Ok(None);
        };
        if let Some(exit) = self.life()?.and_then(|life| life.exit) {
            return Ok(Some(exit));
        }
        record.ended(otherwise).map_err(failed("writing", &path))?;
        Ok(Some(otherwise.clone()))
    }

    /// Returns the folder that holds all of it.
    pub fn folder(&self) -> PathBuf {
        self.dir.clone()
    }
}

impl ContainerStore {
    /// Removes a container that has ended, for its watcher. Losing a race to another remover is success.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn clear(&self, container: &Container) -> Result<(), ContainerError> {
        self.discard(&container.dir, Some(&container.config.name))
    }
}
