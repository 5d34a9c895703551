//! Writing, and starting a new file when one is full.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::entry::{Stream, encode};
use super::file;

/// How much of a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Largest file, in bytes; 0 keeps nothing.
    pub max_size: u64,
    /// How many files there are at most, at least 1; the oldest goes first.
    pub max_files: u32,
}

impl LogConfig {
    /// Nothing is written.
    pub const NONE: Self = Self {
        max_size: 0,
        max_files: 1,
    };
    /// Most files that may be asked for.
    pub const MOST_FILES: u32 = 1000;
}

impl Default for LogConfig {
    /// Two files of 16 MiB. Docker's default has no bound, with which a guest can fill the disk.
    fn default() -> Self {
        Self {
            max_size: 16 << 20,
            max_files: 2,
        }
    }
}

/// The log of a running container.
#[derive(Debug)]
pub struct LogWriter {
    dir: PathBuf,
    config: LogConfig,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    file: File,
    size: u64,
    text: Vec<u8>,
}

impl LogWriter {
    /// Opens the log in this directory, which is made if it is not there, and goes on where the last life ended.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn open(dir: &Path, config: LogConfig) -> io::Result<Self> {
        let newest = file(dir, 0);
        let file = match open(&newest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                crate::sys::create_private_dir_all(dir)?;
                open(&newest)?
            }
            file => file?,
        };
        let size = file.metadata()?.len();
        Ok(Self {
            dir: dir.to_owned(),
            config,
            current: Mutex::new(Current {
                file,
                size,
                text: Vec::new(),
            }),
        })
    }

    /// Adds what the guest wrote.
    ///
    /// # Errors
    ///
    /// What the file system says, such as that it is full.
    pub fn write(&self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let current = &mut *current;
        current.text.clear();
        encode(bytes, stream, Timestamp::now(), &mut current.text);
        let length = current.text.len() as u64;
        if current.size > 0 && current.size.saturating_add(length) > self.config.max_size {
            self.rotate(current)?;
        }
        current.file.write_all(&current.text)?;
        current.size = current.size.saturating_add(length);
        Ok(())
    }

    /// Makes room: each file becomes one older, and the oldest goes.
    fn rotate(&self, current: &mut Current) -> io::Result<()> {
        for age in (1..self.config.max_files).rev() {
            match fs::rename(file(&self.dir, age - 1), file(&self.dir, age)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        if self.config.max_files <= 1 {
            current.file.set_len(0)?;
        } else {
            current.file = open(&file(&self.dir, 0))?;
        }
        current.size = 0;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}
