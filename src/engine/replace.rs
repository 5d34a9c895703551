//! Files that appear when they are whole.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Error, random};

/// A file that is being written beside its place, and renamed into it at the end. Dropped before, it is removed. What is no
/// regular file, such as a pipe or `/dev/stdout`, is written in place.
#[derive(Debug)]
pub(super) struct Replace {
    /// What is written to.
    pub(super) file: File,
    path: PathBuf,
    temporary: Option<PathBuf>,
}

impl Replace {
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File {
            doing: "creating",
            path: path.to_owned(),
            source,
        };
        let place = match fs::metadata(path) {
            // A link's target is replaced, not the link.
            Ok(metadata) if metadata.is_file() => path.canonicalize().map_err(failed)?,
            Ok(metadata) if metadata.is_dir() => {
                return Err(failed(ErrorKind::IsADirectory.into()));
            }
            Ok(_) => {
                let file = File::options().write(true).open(path).map_err(failed)?;
                return Ok(Self {
                    file,
                    path: path.to_owned(),
                    temporary: None,
                });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(failed(error)),
        };
        let name = place
            .file_name()
            .ok_or_else(|| failed(ErrorKind::InvalidInput.into()))?;
        let random = u64::from_ne_bytes(random());
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{random:016x}"));
        let temporary = place.with_file_name(hidden);
        let file = File::create_new(&temporary).map_err(failed)?;
        Ok(Self {
            file,
            path: place,
            temporary: Some(temporary),
        })
    }

    /// Puts the file in its place.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let result: io::Result<()> = match self.temporary.take() {
            None => Ok(()),
            Some(temporary) => self
                .file
                .sync_all()
                .and_then(|()| fs::rename(&temporary, &self.path))
                .inspect_err(|_| self.temporary = Some(temporary)),
        };
        result.map_err(|source| Error::File {
            doing: "writing",
            path: self.path.clone(),
            source,
        })
    }
}

impl Drop for Replace {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // The failure that led here is reported; there is nobody to tell about this one.
            drop(fs::remove_file(temporary));
        }
    }
}
