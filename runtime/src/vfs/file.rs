//! A guest's handle on a regular file.

use std::fs;
use std::sync::{Arc, OnceLock};

use super::errno::{Errno, Result};
use super::guest_fs::Fs;
use super::host;
use super::lower::{Extent, NodeId};
use super::node::{FileKind, OpenOptions, SetTimes, Stat};
use super::origin;
use super::own_file::OwnFile;
use super::place::{Body, Entry, mount_numbers};
use super::tmpfs::TmpFile;

/// A handle on a regular file. Cheap to clone; clones are the same handle. It has no position: the caller keeps that.
///
/// Reads and writes go straight to a host file. A handle that was opened for reading in the lower stays on the lower's
/// bytes when the file is copied up for another handle, as with the kernel's overlayfs.
#[derive(Clone, Debug)]
pub struct File(Arc<Open>);

#[derive(Debug)]
struct Open {
    data: Data,
    read: bool,
    write: bool,
    append: bool,
    /// May anything of the file change, its times included? Not in read-only mounts and roots.
    changeable: bool,
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Data {
    /// In the lower; never written.
    Lower(LowerFile),
    /// In the upper.
    Own(OwnFile),
    /// A host's, in a mount.
    Mounted(fs::File),
    /// In memory.
    Memory(TmpFile),
}

/// What a handle that was opened for writing writes to.
enum Writable<'a> {
    Own(&'a OwnFile),
    Mounted(&'a fs::File),
    Memory(&'a TmpFile),
}

#[derive(Debug)]
pub(super) struct LowerFile {
    fs: Arc<Fs>,
    /// Names from the root, as they were when it was opened.
    path: Vec<Vec<u8>>,
    node: NodeId,
    stat: Stat,
    extent: Extent,
    /// The copy that was made because this handle changed the file's times.
    copied_up: OnceLock<OwnFile>,
}

impl LowerFile {
    pub(super) fn new(
        fs: Arc<Fs>,
        path: Vec<Vec<u8>>,
        node: NodeId,
        stat: Stat,
        extent: Extent,
    ) -> Self {
        Self {
            fs,
            path,
            node,
            stat,
            extent,
            copied_up: OnceLock::new(),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let Extent {
            file,
            offset: start,
            len,
        } = &self.extent;
        let left = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let end = left.min(buffer.len());
        if end == 0 {
            return Ok(0);
        }
        let at = start.checked_add(offset).ok_or(Errno::Io)?;
        match host::read_at(file, &mut buffer[..end], at)? {
            // The layer is shorter than its index says.
            0 => Err(Errno::Io),
            count => Ok(count),
        }
    }

    fn set_times(&self, times: SetTimes) -> Result<()> {
        let guard = self.fs.writable_upper()?.lock()?;
        if self.copied_up.get().is_none() {
            let (dirs, entry) = self.fs.find_again(&self.path)?;
            let name = self.path.last().ok_or(Errno::NoEntry)?;
            let dir = match entry {
                Entry::Lower(node, _) if node == self.node => {
                    self.fs.bring_up(&guard, &dirs, name, &entry)?
                }
                // Copied up for someone else. Was it replaced instead? That is not recorded, and rare.
                Entry::Upper(stat) if stat.kind == FileKind::File => {
                    match dirs.last().map(|place| &place.body) {
                        Some(Body::Own {
                            upper: Some(dir), ..
                        }) => dir.clone(),
                        _ => return Err(Errno::Io),
                    }
                }
                _ => return Err(Errno::NoEntry),
            };
            let file = OwnFile::new(&self.fs, dir.open_file(name, true, false)?)?;
            // The lock is held, so nobody was first.
            let _first = self.copied_up.set(file);
        }
        match self.copied_up.get() {
            Some(file) => host::set_file_times(file, times),
            None => Err(Errno::Io),
        }
    }
}

impl File {
    pub(super) fn new(data: Data, options: &OpenOptions, changeable: bool) -> Self {
        Self(Arc::new(Open {
            data,
            changeable,
            read: options.read,
            write: options.write || options.append,
            append: options.append,
        }))
    }

    /// Returns the SHA-256 of the file's bytes, if the lower knows it. A file that may have changed has none.
    pub fn content_sha256(&self) -> Option<[u8; 32]> {
        match &self.0.data {
            Data::Lower(file) => file.fs.lower.content_sha256(file.node).ok()?,
            Data::Own(_) | Data::Mounted(_) | Data::Memory(_) => None,
        }
    }

    /// Reads at most `buffer.len()` bytes at an offset. 0 at or after the end.
    ///
    /// # Errors
    /// [`Errno::BadFd`] if not open for reading; what the host says.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if !self.0.read {
            return Err(Errno::BadFd);
        }
        match &self.0.data {
            Data::Lower(lower) => lower.read_at(buffer, offset),
            Data::Own(file) => host::read_at(file, buffer, offset),
            Data::Mounted(file) => host::read_at(file, buffer, offset),
            Data::Memory(file) => file.read_at(buffer, offset),
        }
    }

    /// Writes at an offset, also beyond the end. Yields how many bytes were written.
    ///
    /// # Errors
    /// [`Errno::BadFd`] if not open for writing; what the host says.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        match self.for_writing()? {
            Writable::Own(file) => file.write_at(bytes, offset),
            Writable::Mounted(file) => host::write_at(file, bytes, offset),
            Writable::Memory(file) => file.write_at(bytes, offset),
        }
    }

    /// Writes at the end of the file, wherever that is when the bytes arrive. Yields how many were written.
    ///
    /// # Errors
    /// As [`File::write_at`].
    pub fn append(&self, bytes: &[u8]) -> Result<usize> {
        match self.for_writing()? {
            Writable::Own(file) => file.append(bytes),
            Writable::Mounted(file) => host::append(file, bytes),
            Writable::Memory(file) => file.append(bytes),
        }
    }

    /// Describes the file.
    ///
    /// # Errors
    /// What the host says.
    pub fn stat(&self) -> Result<Stat> {
        match &self.0.data {
            Data::Lower(lower) => match lower.copied_up.get() {
                Some(copy) => origin::seen_file(copy),
                None => Ok(lower.stat),
            },
            Data::Own(file) => origin::seen_file(file),
            Data::Mounted(file) => Ok(mount_numbers(host::file_stat(file)?)),
            Data::Memory(file) => Ok(mount_numbers(file.stat()?)),
        }
    }

    /// Cuts the file, or fills it up with zeros.
    ///
    /// # Errors
    /// [`Errno::Invalid`] if not open for writing, as `ftruncate`; what the host says.
    pub fn set_len(&self, len: u64) -> Result<()> {
        match self.for_writing().map_err(|_| Errno::Invalid)? {
            Writable::Own(file) => file.set_len(len),
            Writable::Mounted(file) => host::set_len(file, len),
            Writable::Memory(file) => file.set_len(len),
        }
    }

    /// Cuts to nothing what was opened for that, though perhaps not for writing.
    pub(super) fn truncate(&self) -> Result<()> {
        match &self.0.data {
            Data::Lower(_) => Err(Errno::Io),
            Data::Own(file) => file.set_len(0),
            Data::Mounted(file) => host::set_len(file, 0),
            Data::Memory(file) => file.set_len(0),
        }
    }

    /// Sets the file's times. In the lower, that copies it up.
    ///
    /// # Errors
    /// What the host says.
    pub fn set_times(&self, times: SetTimes) -> Result<()> {
        if !self.0.changeable {
            return Err(Errno::ReadOnly);
        }
        match &self.0.data {
            Data::Lower(lower) => lower.set_times(times),
            Data::Own(file) => host::set_file_times(file, times),
            Data::Mounted(file) => host::set_file_times(file, times),
            Data::Memory(file) => file.set_times(times),
        }
    }

    /// Waits until the file's bytes are on disk.
    ///
    /// # Errors
    /// What the host says.
    pub fn sync_data(&self) -> Result<()> {
        match &self.0.data {
            Data::Lower(_) | Data::Memory(_) => Ok(()),
            Data::Own(file) => Ok(file.sync_data()?),
            Data::Mounted(file) => Ok(file.sync_data()?),
        }
    }

    /// Waits until the file's bytes and attributes are on disk.
    ///
    /// # Errors
    /// What the host says.
    pub fn sync_all(&self) -> Result<()> {
        match &self.0.data {
            Data::Lower(_) | Data::Memory(_) => Ok(()),
            Data::Own(file) => Ok(file.sync_all()?),
            Data::Mounted(file) => Ok(file.sync_all()?),
        }
    }

    /// Makes sure that there is room for `len` bytes at `offset`; the file grows if they are beyond its end.
    ///
    /// # Errors
    /// [`Errno::NotSupported`] where the host's file system can't; what the host says.
    pub fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        match self.for_writing()? {
            Writable::Own(file) => file.allocate(offset, len),
            Writable::Mounted(file) => host::allocate(file, offset, len),
            Writable::Memory(file) => file.allocate(offset, len),
        }
    }

    /// Whether it was opened for reading.
    pub fn readable(&self) -> bool {
        self.0.read
    }

    /// Whether it was opened for writing.
    pub fn writable(&self) -> bool {
        self.0.write
    }

    /// Whether it was opened for writing at the end only. The caller keeps to it: [`File::write_at`] would not.
    pub fn is_append(&self) -> bool {
        self.0.append
    }

    /// The file's number, as in [`Stat::ino`].
    ///
    /// # Errors
    /// As [`File::stat`].
    pub fn ino(&self) -> Result<u64> {
        Ok(self.stat()?.ino)
    }

    /// Whether both are handles on one file. `false` when that can't be told.
    pub fn is_same(&self, other: &Self) -> bool {
        let (Ok(one), Ok(other)) = (self.stat(), other.stat()) else {
            return false;
        };
        one.dev == other.dev && one.ino == other.ino
    }

    fn for_writing(&self) -> Result<Writable<'_>> {
        match &self.0.data {
            Data::Own(file) if self.0.write => Ok(Writable::Own(file)),
            Data::Mounted(file) if self.0.write => Ok(Writable::Mounted(file)),
            Data::Memory(file) if self.0.write => Ok(Writable::Memory(file)),
            _ => Err(Errno::BadFd),
        }
    }
}
