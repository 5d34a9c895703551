//! `wasi:filesystem`, on the guest's file system.
//!
//! Two things are freer than the standard's words, because a guest here has a root of its own: a symbolic link may be
//! made with an absolute target, and a directory that was opened without `mutate-directory` can be written if it could
//! be anyway (the adapter for preview 1 never asks for that flag).

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    DirectoryEntryStream, ErrorCode, Filesize, HostDescriptor, HostDirectoryEntryStream,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::Files;
use super::descriptor::{Descriptor, kind, path, set_times, stat};
use super::error::{fail, of_stream};
use super::stream::{FileInput, FileOutput};
use crate::sandbox::wasm::bind::preopen::Start;
use crate::sandbox::wasm::stdio::CHUNK;
use crate::vfs::{Errno, File, Node, OpenOptions, Stat};

type Handle = Resource<types::Descriptor>;

fn follow(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

/// The adapter for preview 1 makes an inode number of the lower half.
fn hash(stat: &Stat) -> MetadataHashValue {
    MetadataHashValue {
        lower: stat.ino,
        upper: stat.dev,
    }
}

impl preopens::Host for Files<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Handle, String)>> {
        let preopens = self.preopens;
        let mut directories = Vec::with_capacity(preopens.len());
        for (name, start) in preopens {
            let handle = self.push(Descriptor::Directory(start.clone()))?;
            directories.push((handle, (*name).to_owned()));
        }
        Ok(directories)
    }
}

impl types::Host for Files<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(of_stream(self.table.get(&error)?))
    }
}

impl Files<'_> {
    fn writable(&self, fd: &Handle) -> FsResult<&File> {
        let file = self.get(fd)?.file()?;
        if file.writable() {
            Ok(file)
        } else {
            Err(fail(Errno::BadFd))
        }
    }

    /// Writes to a descriptor as the flags that it was opened with want it.
    fn write_at(&self, fd: &Handle, bytes: &[u8], offset: u64) -> FsResult<usize> {
        let written = self.writable(fd)?.write_at(bytes, offset).map_err(fail)?;
        if let Descriptor::File { file, sync } = self.get(fd)? {
            if sync.contains(DescriptorFlags::FILE_INTEGRITY_SYNC) {
                file.sync_all().map_err(fail)?;
            } else if sync.contains(DescriptorFlags::DATA_INTEGRITY_SYNC) {
                file.sync_data().map_err(fail)?;
            }
        }
        Ok(written)
    }
}

impl HostDescriptor for Files<'_> {
    fn read_via_stream(
        &mut self,
        fd: Handle,
        offset: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        let Descriptor::File { file, .. } = self.get(&fd)? else {
            return Err(fail(Errno::IsDir));
        };
        if !file.readable() {
            return Err(fail(Errno::BadFd));
        }
        let stream: DynInputStream = Box::new(FileInput {
            file: file.clone(),
            position: offset,
        });
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(
        &mut self,
        fd: Handle,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        let file = self.writable(&fd)?.clone();
        let stream: DynOutputStream = Box::new(FileOutput {
            file,
            position: Some(offset),
        });
        Ok(self.table.push(stream)?)
    }

    fn append_via_stream(&mut self, fd: Handle) -> FsResult<Resource<DynOutputStream>> {
        let file = self.writable(&fd)?.clone();
        let stream: DynOutputStream = Box::new(FileOutput {
            file,
            position: None,
        });
        Ok(self.table.push(stream)?)
    }

    async fn advise(
        &mut self,
        fd: Handle,
        _offset: Filesize,
        _len: Filesize,
        _advice: Advice,
    ) -> FsResult<()> {
        self.get(&fd)?.file().map(|_| ())
    }

    async fn sync_data(&mut self, fd: Handle) -> FsResult<()> {
        match self.get(&fd)? {
            Descriptor::File { file, .. } => file.sync_data(),
            Descriptor::Directory(start) => start.directory().sync(),
        }
        .map_err(fail)
    }

    async fn get_flags(&mut self, fd: Handle) -> FsResult<DescriptorFlags> {
        let when =
            |yes: bool, flag: DescriptorFlags| if yes { flag } else { DescriptorFlags::empty() };
        Ok(match self.get(&fd)? {
            Descriptor::File { file, sync } => {
                *sync
                    | when(file.readable(), DescriptorFlags::READ)
                    | when(file.writable(), DescriptorFlags::WRITE)
            }
            Descriptor::Directory(start) => {
                DescriptorFlags::READ
                    | when(
                        start.directory().writable(),
                        DescriptorFlags::MUTATE_DIRECTORY,
                    )
            }
        })
    }

    async fn get_type(&mut self, fd: Handle) -> FsResult<DescriptorType> {
        Ok(match self.get(&fd)? {
            Descriptor::File { .. } => DescriptorType::RegularFile,
            Descriptor::Directory(_) => DescriptorType::Directory,
        })
    }

    async fn set_size(&mut self, fd: Handle, size: Filesize) -> FsResult<()> {
        let file = self.get(&fd)?.file()?;
        // POSIX: EINVAL for a file that is not open for writing.
        if file.writable() {
            file.set_len(size).map_err(fail)
        } else {
            Err(fail(Errno::Invalid))
        }
    }

    async fn set_times(
        &mut self,
        fd: Handle,
        access: NewTimestamp,
        modification: NewTimestamp,
    ) -> FsResult<()> {
        let times = set_times(access, modification)?;
        match self.get(&fd)? {
            Descriptor::File { file, .. } => file.set_times(times),
            Descriptor::Directory(start) => start.directory().set_times(times),
        }
        .map_err(fail)
    }

    async fn read(
        &mut self,
        fd: Handle,
        len: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        let file = self.get(&fd)?.file()?;
        let mut buffer = vec![0; usize::try_from(len).unwrap_or(CHUNK).min(CHUNK)];
        let count = file.read_at(&mut buffer, offset).map_err(fail)?;
        buffer.truncate(count);
        Ok((buffer, count == 0 && len > 0))
    }

    async fn write(&mut self, fd: Handle, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        Ok(self.write_at(&fd, &bytes, offset)? as Filesize)
    }

    async fn read_directory(&mut self, fd: Handle) -> FsResult<Resource<DirectoryEntryStream>> {
        let entries = self.get(&fd)?.directory()?.read_dir().map_err(fail)?;
        self.push_entries(entries)
    }

    async fn sync(&mut self, fd: Handle) -> FsResult<()> {
        match self.get(&fd)? {
            Descriptor::File { file, .. } => file.sync_all(),
            Descriptor::Directory(start) => start.directory().sync(),
        }
        .map_err(fail)
    }

    async fn create_directory_at(&mut self, fd: Handle, name: String) -> FsResult<()> {
        let (directory, path) = self.get(&fd)?.start()?.place(path(&name)?);
        directory.create_dir(&path).map_err(fail)
    }

    async fn stat(&mut self, fd: Handle) -> FsResult<DescriptorStat> {
        Ok(stat(&self.get(&fd)?.stat()?))
    }

    async fn stat_at(
        &mut self,
        fd: Handle,
        flags: PathFlags,
        name: String,
    ) -> FsResult<DescriptorStat> {
        let (directory, path) = self.get(&fd)?.start()?.place(path(&name)?);
        Ok(stat(
            &directory.stat_at(&path, follow(flags)).map_err(fail)?,
        ))
    }

    async fn set_times_at(
        &mut self,
        fd: Handle,
        flags: PathFlags,
        name: String,
        access: NewTimestamp,
        modification: NewTimestamp,
    ) -> FsResult<()> {
        let times = set_times(access, modification)?;
        let (directory, path) = self.get(&fd)?.start()?.place(path(&name)?);
        directory
            .set_times_at(&path, follow(flags), times)
            .map_err(fail)
    }

    async fn link_at(
        &mut self,
        old_fd: Handle,
        flags: PathFlags,
        old_name: String,
        new_fd: Handle,
        new_name: String,
    ) -> FsResult<()> {
        let (old, old_path) = self.get(&old_fd)?.start()?.place(path(&old_name)?);
        let (new, new_path) = self.get(&new_fd)?.start()?.place(path(&new_name)?);
        old.hard_link(&old_path, follow(flags), new, &new_path)
            .map_err(fail)
    }

    async fn open_at(
        &mut self,
        fd: Handle,
        path_flags: PathFlags,
        name: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Handle> {
        let directory = open_flags.contains(OpenFlags::DIRECTORY);
        // What is certainly a directory is not opened for writing; programs ask for it all the same.
        let write = flags.contains(DescriptorFlags::WRITE) && !directory;
        let options = OpenOptions {
            // Whoever asks for neither wants the handle itself, as O_PATH does.
            read: flags.contains(DescriptorFlags::READ) || !write,
            write,
            append: false,
            create: open_flags.contains(OpenFlags::CREATE),
            exclusive: open_flags.contains(OpenFlags::EXCLUSIVE),
            truncate: open_flags.contains(OpenFlags::TRUNCATE),
            directory,
            follow: follow(path_flags),
        };
        // Before anything is made or cut that could not be handed out.
        if self.open.now >= self.open.most {
            return Err(fail(Errno::ManyFiles));
        }
        let (start, path) = self.get(&fd)?.start()?.place(path(&name)?);
        let descriptor = match start.open(&path, &options).map_err(fail)? {
            Node::File(file) => {
                let sync = DescriptorFlags::FILE_INTEGRITY_SYNC
                    | DescriptorFlags::DATA_INTEGRITY_SYNC
                    | DescriptorFlags::REQUESTED_WRITE_SYNC;
                Descriptor::File {
                    file,
                    sync: flags & sync,
                }
            }
            Node::Directory(directory) => Descriptor::Directory(Start::At(directory)),
        };
        self.push(descriptor)
    }

    async fn readlink_at(&mut self, fd: Handle, name: String) -> FsResult<String> {
        let (directory, path) = self.get(&fd)?.start()?.place(path(&name)?);
        let target = directory.read_link(&path).map_err(fail)?;
        String::from_utf8(target).map_err(|_| ErrorCode::IllegalByteSequence.into())
    }

    async fn remove_directory_at(&mut self, fd: Handle, name: String) -> FsResult<()> {
        let (directory, path) = self.get(&fd)?.start()?.place(path(&name)?);
        directory.remove_dir(&path).map_err(fail)
    }

    async fn rename_at(
        &mut self,
        old_fd: Handle,
        old_name: String,
        new_fd: Handle,
        new_name: String,
    ) -> FsResult<()> {
        let (old, old_path) = self.get(&old_fd)?.start()?.place(path(&old_name)?);
        let (new, new_path) = self.get(&new_fd)?.start()?.place(path(&new_name)?);
        old.rename(&old_path, new, &new_path).map_err(fail)
    }

    async fn symlink_at(&mut self, fd: Handle, target: String, name: String) -> FsResult<()> {
        let target = path(&target)?;
        let (directory, path) = self.get(&fd)?.start()?.place(path(&name)?);
        directory.symlink(target, &path).map_err(fail)
    }

    async fn unlink_file_at(&mut self, fd: Handle, name: String) -> FsResult<()> {
        let (directory, path) = self.get(&fd)?.start()?.place(path(&name)?);
        directory.remove_file(&path).map_err(fail)
    }

    async fn is_same_object(&mut self, a: Handle, b: Handle) -> wasmtime::Result<bool> {
        Ok(match (self.get(&a)?, self.get(&b)?) {
            (Descriptor::File { file: a, .. }, Descriptor::File { file: b, .. }) => a.is_same(b),
            (Descriptor::Directory(a), Descriptor::Directory(b)) => {
                a.directory().is_same(b.directory())
            }
            _ => false,
        })
    }

    async fn metadata_hash(&mut self, fd: Handle) -> FsResult<MetadataHashValue> {
        Ok(hash(&self.get(&fd)?.stat()?))
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Handle,
        flags: PathFlags,
        name: String,
    ) -> FsResult<MetadataHashValue> {
        let (directory, path) = self.get(&fd)?.start()?.place(path(&name)?);
        Ok(hash(
            &directory.stat_at(&path, follow(flags)).map_err(fail)?,
        ))
    }

    fn drop(&mut self, fd: Handle) -> wasmtime::Result<()> {
        self.close(&fd)
    }
}

impl HostDirectoryEntryStream for Files<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        // A name that is no UTF-8 can't be said, and so not be used either.
        for entry in &mut self.entries(&stream)?.rest {
            if let Ok(name) = String::from_utf8(entry.name) {
                return Ok(Some(DirectoryEntry {
                    type_: kind(entry.kind),
                    name,
                }));
            }
        }
        Ok(None)
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.drop_entries(&stream)
    }
}
