//! The guest's file descriptors.

use std::sync::Arc;

use tokio::net::TcpStream;

use super::super::preopen::Start;
use super::sock::Listening;
use super::types::{Errno, Result, fdflags, rights};
use crate::sandbox::wasm::limits;
use crate::vfs::{self, DirEntry, Stat, Timestamp};

/// What a descriptor stands for.
pub(super) enum Object {
    Stream(Stream),
    File(OpenFile),
    Directory(OpenDirectory),
    Listener(Listening),
    Connection(Arc<TcpStream>),
}

/// A standard stream, by its name: the streams themselves are the guest's, not the descriptor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

/// A regular file, and where in it the guest reads and writes next.
pub(super) struct OpenFile {
    pub(super) file: vfs::File,
    pub(super) position: u64,
}

/// A directory.
pub(super) struct OpenDirectory {
    pub(super) start: Start,
    /// The name under which the guest found it open.
    pub(super) preopen: Option<&'static str>,
    /// The entries as they were when the guest began to list them, so that its cookies stay valid.
    pub(super) listing: Option<Arc<[DirEntry]>>,
}

/// A descriptor.
pub(super) struct Entry {
    pub(super) object: Object,
    /// `fdflags`.
    pub(super) flags: u16,
    pub(super) rights: u64,
    /// What descriptors that are opened through this one may have.
    pub(super) inheriting: u64,
}

impl Entry {
    fn stream(stream: Stream) -> Self {
        let rights = rights::STREAM
            | if stream == Stream::Stdin {
                rights::FD_READ
            } else {
                rights::FD_WRITE
            };
        Self {
            object: Object::Stream(stream),
            flags: 0,
            rights,
            inheriting: 0,
        }
    }

    pub(super) fn directory(start: Start, preopen: Option<&'static str>) -> Self {
        let object = Object::Directory(OpenDirectory {
            start,
            preopen,
            listing: None,
        });
        Self {
            object,
            flags: 0,
            rights: rights::DIRECTORY,
            inheriting: rights::DIRECTORY | rights::FILE,
        }
    }

    fn listener(listening: Listening) -> Self {
        Self {
            object: Object::Listener(listening),
            flags: 0,
            rights: rights::LISTENER,
            inheriting: rights::CONNECTION,
        }
    }

    pub(super) fn connection(stream: TcpStream, flags: u16) -> Self {
        Self {
            object: Object::Connection(Arc::new(stream)),
            flags,
            rights: rights::CONNECTION,
            inheriting: 0,
        }
    }

    /// Fails if the guest has given the right up. What it never had is told by the object: a file that wasn't opened
    /// for writing says so itself.
    pub(super) fn require(&self, right: u64) -> Result {
        if self.rights & right == right {
            Ok(())
        } else {
            Err(Errno::Notcapable.into())
        }
    }

    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Returns what a listing that is kept here takes of the host, in bytes.
    fn listed(&self) -> usize {
        match &self.object {
            Object::Directory(directory) => directory.listing.as_deref().map_or(0, limits::listed),
            _ => 0,
        }
    }

    pub(super) fn file(&mut self) -> Result<&mut OpenFile> {
        match &mut self.object {
            Object::File(file) => Ok(file),
            _ => Err(Errno::Badf.into()),
        }
    }
}

/// What a standard stream has for a `filestat`.
pub(super) fn stream_stat(terminal: bool) -> Stat {
    nameless(if terminal {
        vfs::FileKind::CharDevice
    } else {
        vfs::FileKind::Fifo
    })
}

/// What has no place in a file system has for a `filestat`.
pub(super) fn nameless(kind: vfs::FileKind) -> Stat {
    let zero = Timestamp::default();
    Stat {
        dev: 0,
        ino: 0,
        kind,
        mode: 0,
        uid: 0,
        gid: 0,
        nlink: 0,
        size: 0,
        atime: zero,
        mtime: zero,
        ctime: zero,
    }
}

/// All descriptors. The lowest free number is given out, as on Unix: programs count on it after closing one.
pub(super) struct Table {
    entries: Vec<Option<Entry>>,
    most: usize,
}

impl Table {
    /// Makes a table with the three standard streams, and the ports and directories that the guest finds open.
    pub(super) fn new(
        listeners: impl Iterator<Item = Listening>,
        preopens: Vec<(&'static str, Start)>,
        most: u32,
    ) -> Self {
        let mut entries: Vec<_> = [Stream::Stdin, Stream::Stdout, Stream::Stderr]
            .map(|stream| Some(Entry::stream(stream)))
            .into();
        entries.extend(listeners.map(|listening| Some(Entry::listener(listening))));
        entries.extend(
            preopens
                .into_iter()
                .map(|(name, start)| Some(Entry::directory(start, Some(name)))),
        );
        Self {
            entries,
            most: usize::try_from(most).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn get(&mut self, fd: u32) -> Result<&mut Entry> {
        let index = usize::try_from(fd).map_err(|_| Errno::Badf)?;
        match self.entries.get_mut(index) {
            Some(Some(entry)) => Ok(entry),
            _ => Err(Errno::Badf.into()),
        }
    }

    /// Returns the directory behind a descriptor.
    pub(super) fn directory(&mut self, fd: u32, right: u64) -> Result<&mut OpenDirectory> {
        let entry = self.get(fd)?;
        if !matches!(entry.object, Object::Directory(_)) {
            return Err(if matches!(entry.object, Object::File(_)) {
                Errno::Notdir
            } else {
                Errno::Badf
            }
            .into());
        }
        entry.require(right)?;
        match &mut entry.object {
            Object::Directory(directory) => Ok(directory),
            _ => Err(Errno::Badf.into()),
        }
    }

    /// Returns where paths through a descriptor start.
    pub(super) fn start(&mut self, fd: u32, right: u64) -> Result<Start> {
        Ok(self.directory(fd, right)?.start.clone())
    }

    /// Drops listings of other directories when all together take too much of the host. A guest that goes on with one of them
    /// has it read anew, and sees what has changed since.
    pub(super) fn forget_other_listings(&mut self, fd: u32) {
        let kept = self.entries.iter().flatten().map(Entry::listed);
        if kept.fold(0, usize::saturating_add) <= limits::LISTED {
            return;
        }
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if let Some(Object::Directory(directory)) =
                entry.as_mut().map(|entry| &mut entry.object)
                && u32::try_from(index) != Ok(fd)
            {
                directory.listing = None;
            }
        }
    }

    /// Says whether [`Table::insert`] would work.
    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < self.most || self.entries.iter().any(Option::is_none)
    }

    pub(super) fn insert(&mut self, entry: Entry) -> Result<u32> {
        let index = match self.entries.iter().position(Option::is_none) {
            Some(index) => index,
            None if self.entries.len() < self.most => {
                self.entries.push(None);
                self.entries.len() - 1
            }
            None => return Err(Errno::Mfile.into()),
        };
        let fd = u32::try_from(index).map_err(|_| Errno::Mfile)?;
        if let Some(place) = self.entries.get_mut(index) {
            *place = Some(entry);
        }
        Ok(fd)
    }

    /// Closes a descriptor.
    pub(super) fn remove(&mut self, fd: u32) -> Result<Entry> {
        self.get(fd)?;
        let entry = usize::try_from(fd)
            .ok()
            .and_then(|index| self.entries.get_mut(index))
            .and_then(Option::take);
        while self.entries.last().is_some_and(Option::is_none) {
            self.entries.pop();
        }
        entry.ok_or(Errno::Badf.into())
    }

    /// Moves a descriptor onto another open one, which is closed.
    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Result {
        self.get(to)?;
        self.get(from)?;
        if from != to {
            let entry = self.remove(from)?;
            *self.get(to)? = entry;
        }
        Ok(())
    }
}

/// Rights of a file or directory that is opened through another one: all that it can have, and that the other one passes on.
///
/// What the guest asks for decides only whether a file is opened for reading and writing. Programs ask for less than they
/// use, because no host has held them to it for years.
pub(super) fn granted(object: &Object, parent: u64) -> u64 {
    let possible = match object {
        Object::Stream(_) | Object::Listener(_) | Object::Connection(_) => 0,
        Object::Directory(_) => rights::DIRECTORY,
        Object::File(open) => {
            let mut possible = rights::FILE;
            if !open.file.readable() {
                possible &= !rights::FD_READ;
            }
            if !open.file.writable() {
                possible &=
                    !(rights::FD_WRITE | rights::FD_ALLOCATE | rights::FD_FILESTAT_SET_SIZE);
            }
            possible
        }
    };
    possible & parent
}

/// Flags that a descriptor keeps.
pub(super) fn checked_flags(flags: u32) -> Result<u16> {
    match u16::try_from(flags) {
        Ok(flags) if flags & !fdflags::ALL == 0 => Ok(flags),
        _ => Err(Errno::Inval.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::Failure;
    use super::*;

    fn errno<T>(result: Result<T>) -> Option<Errno> {
        match result {
            Err(Failure::Errno(errno)) => Some(errno),
            _ => None,
        }
    }

    #[test]
    fn descriptors_are_bounded_and_reused() {
        let mut table = Table::new(std::iter::empty(), Vec::new(), 4);
        assert_eq!(table.insert(Entry::stream(Stream::Stdin)).expect("room"), 3);
        assert!(!table.has_room());
        assert_eq!(
            errno(table.insert(Entry::stream(Stream::Stdin))),
            Some(Errno::Mfile)
        );
        table.remove(1).expect("open");
        assert_eq!(errno(table.remove(1)), Some(Errno::Badf));
        assert_eq!(table.insert(Entry::stream(Stream::Stdin)).expect("room"), 1);
        for fd in [4, 1000, u32::MAX] {
            assert_eq!(errno(table.get(fd)), Some(Errno::Badf));
            assert_eq!(errno(table.renumber(0, fd)), Some(Errno::Badf));
            assert_eq!(errno(table.renumber(fd, 0)), Some(Errno::Badf));
        }
    }

    #[test]
    fn renumbering_closes_the_target_and_frees_the_source() {
        let mut table = Table::new(std::iter::empty(), Vec::new(), 8);
        table.renumber(2, 2).expect("no change");
        table.renumber(2, 0).expect("both open");
        assert!(matches!(
            table.get(0).expect("open").object,
            Object::Stream(Stream::Stderr)
        ));
        assert_eq!(errno(table.get(2)), Some(Errno::Badf));
        assert_eq!(table.insert(Entry::stream(Stream::Stdin)).expect("room"), 2);
    }
}
