//! A file as a slice of memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::ptr::{self, NonNull};
use std::slice;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The bytes of a file that does not change.
///
/// The file must be one of the store's: written once under a temporary name, then renamed and never written or truncated
/// again, in a directory that only its owner can enter. That it belongs to us and nobody else may write to it is checked;
/// a file of which that is not true is copied into memory instead of mapped, so that no other user can change or cut
/// what we hold. Against its owner, who could as well change this process, nothing is promised.
#[derive(Debug)]
pub struct MappedFile(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped { start: NonNull<u8>, length: usize },
    Copied(Vec<u8>),
}

// SAFETY: `start` is owned by this value alone, the memory is read-only and private to the process, and no method
// changes it before Drop, which has `&mut self`. So any thread may read it, and any thread may unmap it.
unsafe impl Send for MappedFile {}
// SAFETY: as for Send: shared access only reads.
unsafe impl Sync for MappedFile {}

impl MappedFile {
    /// Maps the whole of `file`, read-only. The handle may be closed afterwards.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is no regular file, `OutOfMemory` if it does not fit the address space, and what the system
    /// says otherwise.
    pub fn open(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let length = usize::try_from(metadata.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        if length == 0 {
            return Ok(Self(Bytes::Copied(Vec::new())));
        }
        if length > isize::MAX as usize {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        // Group and others, as bits of the file's mode.
        const WRITABLE_BY_OTHERS: u32 = 0o022;
        let ours = metadata.uid() == rustix::process::geteuid().as_raw() || metadata.uid() == 0;
        if !ours || metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            return copy(file, length).map(|bytes| Self(Bytes::Copied(bytes)));
        }
        // SAFETY: with a null hint and without MAP_FIXED the kernel chooses unused addresses, so no object of ours is
        // replaced.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                length,
                ProtFlags::READ,
                MapFlags::PRIVATE,
                file,
                0,
            )?
        };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self(Bytes::Mapped { start, length }))
    }
}

fn copy(file: &File, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(length)
        .map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(length, 0);
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: `start` is a mapping of `length` bytes, not null, at most isize::MAX, readable, and mapped until Drop,
            // which the returned lifetime excludes. u8 needs no alignment and has no invalid value. The bytes do not
            // change and the file does not shrink (which would raise SIGBUS) while it is mapped: only its owner can write
            // to it (checked in `open`), and the owner's programs replace such files by rename.
            Bytes::Mapped { start, length } => unsafe {
                slice::from_raw_parts(start.as_ptr(), *length)
            },
            Bytes::Copied(bytes) => bytes,
        }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        if let Bytes::Mapped { start, length } = self.0 {
            // SAFETY: exactly the range that mmap gave, unmapped once; every slice of it borrowed `self` and is gone.
            let unmapped = unsafe { munmap(start.as_ptr().cast(), length) };
            debug_assert!(unmapped.is_ok(), "a range that mmap gave can be unmapped");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file_with(bytes: &[u8], mode: u32) -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        fs::write(&path, bytes).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set the mode");
        let file = File::open(path).expect("open");
        (dir, file)
    }

    #[test]
    fn the_bytes_are_the_files_and_outlive_name_and_handle() {
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let (dir, file) = file_with(&content, 0o600);
        let mapped = MappedFile::open(&file).expect("map");
        assert!(matches!(mapped.0, Bytes::Mapped { .. }));
        drop((dir, file));
        let seen = std::thread::spawn(move || mapped.as_ref().to_vec())
            .join()
            .expect("the thread");
        assert_eq!(seen, content);
    }

    #[test]
    fn an_empty_file_is_an_empty_slice() {
        let (_dir, file) = file_with(b"", 0o600);
        assert_eq!(MappedFile::open(&file).expect("map").as_ref(), b"");
    }

    #[test]
    fn a_file_that_others_may_write_is_copied() {
        for mode in [0o620, 0o602, 0o666] {
            let (dir, file) = file_with(b"before", mode);
            let mapped = MappedFile::open(&file).expect("map");
            fs::write(dir.path().join("file"), b"").expect("truncate it");
            assert_eq!(mapped.as_ref(), b"before", "mode {mode:o}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for path in [dir.path(), "/dev/zero".as_ref()] {
            let refused =
                MappedFile::open(&File::open(path).expect("open")).expect_err("must be refused");
            assert_eq!(
                refused.kind(),
                io::ErrorKind::InvalidInput,
                "{}",
                path.display()
            );
        }
    }
}
