//! Making a container's folder of that of one which has ended.
//!
//! `run --rm` leaves a folder behind that it may not remove: the process sits behind the second wall by then. To remove it and to
//! make another takes a dozen changes of directories, each of which the file system writes to its journal: half the time of a
//! short run. So the next container moves into it, if the last guest has left no trace there.
//!
//! The folder is locked from before the first step, as one in the making is, and moved out of sight before anything in it is
//! changed. A process that is killed on the way leaves what a sweep removes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::store::{CONFIG, OWNER, STATE, UPPER, WORK, read_config};
use super::sweep::NEW;
use super::{ContainerStore, Id, Name, Record};
use crate::sys;

/// An ended container's folder, locked and out of sight.
pub(super) struct Husk {
    /// Where it is.
    pub(super) dir: PathBuf,
    /// Its `state`, still with what it said.
    state: File,
    /// Whose it was.
    id: Id,
    name: Name,
}

impl ContainerStore {
    /// Takes over the folder of an ended container for the one with this id. `None` if it runs, or somebody else takes or removes
    /// it, or it holds anything that a new container would not have.
    pub(super) fn adopt(&self, home: &Path, id: &Id) -> Option<Husk> {
        let state = File::options()
            .read(true)
            .write(true)
            .open(home.join(STATE))
            .ok()?;
        state.try_lock().ok()?;
        let config = read_config(home).ok()?;
        if !holds_only_its_own(home)? {
            return None;
        }
        let dir = self.staging().join(id.as_str()).with_extension(NEW);
        // Whoever removes it has renamed it as well: one of both fails.
        fs::rename(home, &dir).ok()?;
        Some(Husk {
            dir,
            state,
            id: config.id,
            name: config.name,
        })
    }

    /// Frees the name of the ended container.
    pub(super) fn free_name_of(&self, husk: &Husk) {
        self.free_name(&husk.name, husk.id.as_str());
    }
}

impl Husk {
    /// Makes the old `state` a new one. It stays locked.
    pub(super) fn record(self) -> io::Result<Record> {
        let mut state = self.state;
        // An empty line says nothing. A file that was cut to nothing would be written to the disk when it is closed: that is ext4's
        // care for programs which replace a file's contents so (`auto_da_alloc`).
        state.write_all(b"\n")?;
        state.set_len(1)?;
        Ok(Record::of(state))
    }
}

/// Replaces what is in a file that is there, without cutting it to nothing in between.
pub(super) fn write_over(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)
}

/// Is there nothing in the folder but what was made with it, and nothing in that of the guest's?
fn holds_only_its_own(home: &Path) -> Option<bool> {
    let mut known = 0;
    for entry in fs::read_dir(home).ok()? {
        let name = entry.ok()?.file_name();
        if ![CONFIG, OWNER, STATE, UPPER, WORK].contains(&name.to_str()?) {
            return Some(false);
        }
        known += 1;
    }
    let untouched = |part| sys::is_untouched(&home.join(part)).unwrap_or(false);
    Some(known == 5 && untouched(UPPER) && untouched(WORK))
}
