//! The container's own changes: a host directory in the form of an unpacked OCI layer.
//!
//! An entry in the upper hides the lower's of the same name. An empty file `.wh.NAME` hides the lower's where there
//! is no entry; beside an entry it has no effect (a killed process may leave it so). A directory that is in both is
//! merged, unless the upper's has a file `.wh..wh..opq`. A name above 251 bytes has no room for `.wh.`: its whiteout is
//! a symlink `.wh..wh.long.SHA256` to the name, which is for us only. All ancestors of an entry are in the upper, as directories.
//! (OCI image specification, "Layer", sections "Whiteouts" and "Opaque Whiteout".)
//!
//! Whoever changes names that the image has, or directories, holds the lock, in this process and among all. Who makes or
//! moves other names (`shortcut`) or only looks does not, so every order of steps shows the old state or the new one at any instant, and after a kill.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sha2::{Digest, Sha256};

use super::errno::{Errno, Result};
use super::host::HostDir;
use super::limits::{MAX_NAME, MAX_RACES, MAX_TREE_DEPTH};
use super::node::FileKind;
use super::quota::{self, Usage};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Begins the whiteouts of long names; their SHA-256 comes after it.
const LONG: &[u8] = b".wh..wh.long.";

/// The lock that a change of names holds.
const LOCK: &[u8] = b"lock";
/// Held shared by every process that may have unfinished files in the work directory.
const USERS: &[u8] = b"users";
/// Holds the number of bytes that count, where the upper is bounded.
const USAGE: &[u8] = b"usage";
/// Is there since the first copy of something of the image.
const COPIES: &[u8] = b"copies";
/// Begins the names of unfinished files.
const UNFINISHED: &[u8] = b"new-";

/// Marks are for us only.
const MARK_MODE: u32 = 0o600;

#[derive(Debug)]
pub(super) struct Upper {
    root: HostDir,
    work: HostDir,
    /// A root that hides all of the image is never made here; an upper that came from elsewhere may have one.
    root_is_opaque: bool,
    /// Bytes that may be used.
    limit: Option<u64>,
    /// Was [`COPIES`] seen? It is never removed.
    copies: AtomicBool,
    /// Opened by the first change.
    locks: OnceLock<Locks>,
    opening: Mutex<()>,
    /// Among this process' threads, what the file lock is among processes.
    changing: Mutex<()>,
}

#[derive(Debug)]
struct Locks {
    changes: File,
    usage: Option<Usage>,
    /// Kept for its lock.
    _users: File,
}

/// The right to change names. Let go when dropped, also by the death of the process.
pub(super) struct Guard<'a> {
    locks: &'a Locks,
    _changing: MutexGuard<'a, ()>,
}

impl Guard<'_> {
    pub(super) fn usage(&self) -> Option<&Usage> {
        self.locks.usage.as_ref()
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // A lock that can't be given back is given back at the latest when the process ends.
        let _unheard = self.locks.changes.unlock();
    }
}

impl Upper {
    pub(super) fn new(root: HostDir, work: HostDir, limit: Option<u64>) -> Result<Self> {
        let root_is_opaque = is_opaque(&root)?;
        Ok(Self {
            root,
            work,
            root_is_opaque,
            limit,
            copies: AtomicBool::new(false),
            locks: OnceLock::new(),
            opening: Mutex::new(()),
            changing: Mutex::new(()),
        })
    }

    pub(super) fn root(&self) -> &HostDir {
        &self.root
    }

    pub(super) fn root_is_opaque(&self) -> bool {
        self.root_is_opaque
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.limit.is_some()
    }

    /// May anything in the upper be a copy of something of the image, under whatever name?
    pub(super) fn has_copies(&self) -> Result<bool> {
        if !self.copies.load(Ordering::Relaxed) {
            self.copies
                .store(self.work.exists(COPIES)?, Ordering::Relaxed);
        }
        Ok(self.copies.load(Ordering::Relaxed))
    }

    /// Says so, before the first one.
    pub(super) fn note_copies(&self) -> Result<()> {
        if !self.has_copies()? {
            mark(&self.work, COPIES)?;
        }
        Ok(())
    }

    /// Waits for the right to change names.
    pub(super) fn lock(&self) -> Result<Guard<'_>> {
        let locks = self.locks()?;
        // Nothing is half-done in memory when a thread panics: the state is on disk.
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        locks.changes.lock()?;
        Ok(Guard {
            locks,
            _changing: changing,
        })
    }

    fn locks(&self) -> Result<&Locks> {
        if let Some(locks) = self.locks.get() {
            return Ok(locks);
        }
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(locks) = self.locks.get() {
            return Ok(locks);
        }
        let changes = self.work.open_or_create(LOCK, MARK_MODE)?;
        let users = self.work.open_or_create(USERS, MARK_MODE)?;
        let usage = match self.limit {
            Some(limit) => Some(Usage {
                limit,
                file: self.work.open_or_create(USAGE, MARK_MODE)?,
            }),
            None => None,
        };
        if users.try_lock().is_ok() {
            // Nobody else is here, so what is unfinished was left by the dead.
            self.clean();
            if let Some(usage) = &usage {
                usage.set_used(quota::count(&self.root)?)?;
            }
            users.unlock()?;
        }
        users.lock_shared()?;
        Ok(self.locks.get_or_init(|| Locks {
            changes,
            usage,
            _users: users,
        }))
    }

    /// Removes what killed processes left. What can't be removed does no harm.
    fn clean(&self) {
        for entry in self.work.list().unwrap_or_default() {
            if entry.name.starts_with(UNFINISHED) {
                let _left = remove_tree(&self.work, &entry.name, entry.kind, 0);
            }
        }
    }

    /// Starts something in the work directory: `make` gets a free name.
    pub(super) fn unfinished<T>(
        &self,
        make: impl Fn(&HostDir, &[u8]) -> Result<T>,
    ) -> Result<(Unfinished<'_>, T)> {
        // From here on nobody takes it for a leftover.
        self.locks()?;
        for _ in 0..MAX_RACES {
            let name = unique_name();
            match make(&self.work, &name) {
                Err(Errno::Exist) => {}
                Ok(made) => {
                    return Ok((
                        Unfinished {
                            work: &self.work,
                            name,
                            placed: false,
                        },
                        made,
                    ));
                }
                Err(error) => return Err(error),
            }
        }
        Err(Errno::Again)
    }

    /// Takes a directory without visible entries away: at once for those who look, then for good.
    ///
    /// Making a file needs no lock, so there may be one since the look: then it stays, and the answer is `NotEmpty`.
    pub(super) fn discard_dir(&self, held: &Guard<'_>, dir: &HostDir, name: &[u8]) -> Result<()> {
        // It is gone from the guest's view then, and removed when dropped.
        let (old, ()) = self.unfinished(|work, free| dir.rename_new(name, work, free))?;
        let inside = old.work().open_dir(old.name())?.list()?;
        if inside.iter().all(|entry| is_reserved(&entry.name)) {
            return Ok(());
        }
        old.place(held, dir, name)?;
        Err(Errno::NotEmpty)
    }
}

/// Something in the work directory that is not part of the container yet. Removed when dropped before it is placed.
pub(super) struct Unfinished<'a> {
    work: &'a HostDir,
    name: Vec<u8>,
    placed: bool,
}

impl Unfinished<'_> {
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    pub(super) fn work(&self) -> &HostDir {
        self.work
    }

    /// Puts it where it belongs, at once and complete. `Exist` if the name is taken.
    pub(super) fn place(mut self, _held: &Guard<'_>, dir: &HostDir, name: &[u8]) -> Result<()> {
        self.work.rename_new(&self.name, dir, name)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.placed
            && let Ok(Some(stat)) = self.work.stat_at(&self.name)
        {
            // The next start removes what is left.
            let _left = remove_tree(self.work, &self.name, stat.kind, 0);
        }
    }
}

fn unique_name() -> Vec<u8> {
    // Each RandomState has a key of its own, from the system's random numbers.
    let number = RandomState::new().build_hasher().finish();
    [UNFINISHED, format!("{number:016x}").as_bytes()].concat()
}

fn remove_tree(dir: &HostDir, name: &[u8], kind: FileKind, depth: usize) -> Result<()> {
    if kind != FileKind::Directory {
        return dir.remove_file(name);
    }
    if depth >= MAX_TREE_DEPTH {
        return Err(Errno::NotEmpty);
    }
    let inside = dir.open_dir(name)?;
    for entry in inside.list()? {
        remove_tree(&inside, &entry.name, entry.kind, depth + 1)?;
    }
    dir.remove_dir(name)
}

/// Is the name one of our marks, which a guest neither sees nor makes?
pub(super) fn is_reserved(name: &[u8]) -> bool {
    name.starts_with(WHITEOUT)
}

/// The name that a mark in `dir` hides. `None` for other names, and for marks that hide no name.
pub(super) fn whited_out(dir: &HostDir, mark: &[u8]) -> Option<Vec<u8>> {
    let hidden = match mark.strip_prefix(WHITEOUT)? {
        _ if mark.starts_with(LONG) => dir.read_link(mark).ok()?,
        name => name.to_vec(),
    };
    (!is_reserved(&hidden)).then_some(hidden)
}

pub(super) fn is_opaque_mark(name: &[u8]) -> bool {
    name == OPAQUE
}

fn is_long(name: &[u8]) -> bool {
    name.len() > MAX_NAME - WHITEOUT.len()
}

fn whiteout_name(name: &[u8]) -> Vec<u8> {
    if !is_long(name) {
        return [WHITEOUT, name].concat();
    }
    let mut mark = LONG.to_vec();
    for byte in Sha256::digest(name) {
        mark.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    mark
}

pub(super) fn is_whited_out(dir: &HostDir, name: &[u8]) -> Result<bool> {
    dir.exists(&whiteout_name(name))
}

/// Hides the lower's entry of that name.
pub(super) fn set_whiteout(dir: &HostDir, name: &[u8], _held: &Guard<'_>) -> Result<()> {
    if !is_long(name) {
        return mark(dir, &whiteout_name(name));
    }
    match dir.symlink(name, &whiteout_name(name)) {
        Ok(()) | Err(Errno::Exist) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes a whiteout away that has no effect any more.
pub(super) fn clear_whiteout(dir: &HostDir, name: &[u8], _held: &Guard<'_>) -> Result<()> {
    match dir.remove_file(&whiteout_name(name)) {
        Err(Errno::NoEntry) => Ok(()),
        result => result,
    }
}

pub(super) fn is_opaque(dir: &HostDir) -> Result<bool> {
    dir.exists(OPAQUE)
}

/// Hides all of the lower's directory.
pub(super) fn set_opaque(dir: &HostDir, _held: &Guard<'_>) -> Result<()> {
    mark(dir, OPAQUE)
}

fn mark(dir: &HostDir, name: &[u8]) -> Result<()> {
    match dir.create_file(name, MARK_MODE) {
        Ok(_) | Err(Errno::Exist) => Ok(()),
        Err(error) => Err(error),
    }
}
