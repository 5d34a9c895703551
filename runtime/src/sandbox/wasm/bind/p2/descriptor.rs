//! What a guest's descriptor stands for, and the numbers by which guest and host name it.

use std::vec::IntoIter;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntryStream, NewTimestamp,
};
use wasmtime_wasi::p2::{FsError, FsResult};

use super::error::fail;
use super::{Files, OpenFiles};
use crate::sandbox::wasm::bind::preopen::Start;
use crate::sandbox::wasm::limits;
use crate::vfs::{DirEntry, Directory, Errno, File, FileKind, SetTime, SetTimes, Stat, Timestamp};

/// An open file or directory.
pub(super) enum Descriptor {
    File {
        file: File,
        /// How writes are synchronized.
        sync: DescriptorFlags,
    },
    Directory(Start),
}

/// A listing, as far as it was not read yet.
pub(super) struct Entries {
    pub(super) rest: IntoIter<DirEntry>,
    /// What all of them take of the host, in bytes.
    size: usize,
}

impl Descriptor {
    pub(super) fn file(&self) -> FsResult<&File> {
        match self {
            Self::File { file, .. } => Ok(file),
            Self::Directory(_) => Err(fail(Errno::BadFd)),
        }
    }

    pub(super) fn start(&self) -> FsResult<&Start> {
        match self {
            Self::Directory(start) => Ok(start),
            Self::File { .. } => Err(fail(Errno::NotDir)),
        }
    }

    pub(super) fn directory(&self) -> FsResult<&Directory> {
        Ok(self.start()?.directory())
    }

    pub(super) fn stat(&self) -> FsResult<Stat> {
        match self {
            Self::File { file, .. } => file.stat(),
            Self::Directory(start) => start.directory().stat(),
        }
        .map_err(fail)
    }
}

impl Files<'_> {
    /// Looks up what a guest's number stands for. A wrong number is a broken component, which is ended.
    pub(super) fn get(&self, resource: &Resource<types::Descriptor>) -> FsResult<&Descriptor> {
        Ok(get(self.table, resource)?)
    }

    pub(super) fn push(&mut self, descriptor: Descriptor) -> FsResult<Resource<types::Descriptor>> {
        let OpenFiles { now, most, .. } = *self.open;
        if now >= most {
            return Err(fail(Errno::ManyFiles));
        }
        let number = self.table.push(descriptor)?.rep();
        self.open.now = now.saturating_add(1);
        Ok(Resource::new_own(number))
    }

    pub(super) fn close(&mut self, resource: &Resource<types::Descriptor>) -> wasmtime::Result<()> {
        self.table
            .delete(Resource::<Descriptor>::new_own(resource.rep()))?;
        self.open.now = self.open.now.saturating_sub(1);
        Ok(())
    }

    /// Keeps a listing while the guest reads it.
    pub(super) fn push_entries(
        &mut self,
        entries: Vec<DirEntry>,
    ) -> FsResult<Resource<DirectoryEntryStream>> {
        let size = limits::listed(&entries);
        let listed = self.open.listed.saturating_add(size);
        if self.open.listed > 0 && listed > limits::LISTED {
            return Err(fail(Errno::NoMemory));
        }
        let rest = entries.into_iter();
        let number = self.table.push(Entries { rest, size })?.rep();
        self.open.listed = listed;
        Ok(Resource::new_own(number))
    }

    pub(super) fn drop_entries(
        &mut self,
        resource: &Resource<DirectoryEntryStream>,
    ) -> wasmtime::Result<()> {
        let entries = self
            .table
            .delete(Resource::<Entries>::new_own(resource.rep()))?;
        self.open.listed = self.open.listed.saturating_sub(entries.size);
        Ok(())
    }

    pub(super) fn entries(
        &mut self,
        resource: &Resource<DirectoryEntryStream>,
    ) -> FsResult<&mut Entries> {
        Ok(self
            .table
            .get_mut(&Resource::<Entries>::new_borrow(resource.rep()))?)
    }
}

fn get<'a>(
    table: &'a ResourceTable,
    resource: &Resource<types::Descriptor>,
) -> Result<&'a Descriptor, wasmtime_wasi::ResourceTableError> {
    table.get(&Resource::<Descriptor>::new_borrow(resource.rep()))
}

/// Takes a path. The file system judges all but what no path of a Unix can hold.
pub(super) fn path(path: &str) -> FsResult<&[u8]> {
    if path.is_empty() {
        return Err(fail(Errno::NoEntry));
    }
    if path.contains('\0') {
        return Err(fail(Errno::Invalid));
    }
    Ok(path.as_bytes())
}

pub(super) fn kind(kind: FileKind) -> DescriptorType {
    match kind {
        FileKind::File => DescriptorType::RegularFile,
        FileKind::Directory => DescriptorType::Directory,
        FileKind::Symlink => DescriptorType::SymbolicLink,
        FileKind::CharDevice => DescriptorType::CharacterDevice,
        FileKind::BlockDevice => DescriptorType::BlockDevice,
        FileKind::Fifo => DescriptorType::Fifo,
        FileKind::Socket => DescriptorType::Socket,
    }
}

pub(super) fn stat(stat: &Stat) -> DescriptorStat {
    // A time before 1970 can't be said.
    let time = |time: Timestamp| {
        Some(Datetime {
            seconds: time.sec.try_into().ok()?,
            nanoseconds: time.nsec,
        })
    };
    DescriptorStat {
        type_: kind(stat.kind),
        link_count: stat.nlink,
        size: stat.size,
        data_access_timestamp: time(stat.atime),
        data_modification_timestamp: time(stat.mtime),
        status_change_timestamp: time(stat.ctime),
    }
}

pub(super) fn set_times(access: NewTimestamp, modification: NewTimestamp) -> FsResult<SetTimes> {
    let one = |time: NewTimestamp| -> Result<SetTime, FsError> {
        Ok(match time {
            NewTimestamp::NoChange => SetTime::Omit,
            NewTimestamp::Now => SetTime::Now,
            NewTimestamp::Timestamp(time) if time.nanoseconds >= 1_000_000_000 => {
                return Err(fail(Errno::Invalid));
            }
            NewTimestamp::Timestamp(time) => SetTime::At(Timestamp {
                sec: time.seconds.try_into().map_err(|_| fail(Errno::Overflow))?,
                nsec: time.nanoseconds,
            }),
        })
    };
    Ok(SetTimes {
        atime: one(access)?,
        mtime: one(modification)?,
    })
}
