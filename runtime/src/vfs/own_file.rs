//! A handle on a file in the upper.

use std::fs::File;
use std::ops::Deref;
use std::sync::Arc;

use super::errno::{Errno, Result};
use super::guest_fs::Fs;
use super::host;
use super::upper::Guard;

/// A host file in the upper. Where the upper is bounded, what it grows by is counted.
#[derive(Debug)]
pub(super) struct OwnFile {
    file: File,
    /// Present if the upper is bounded.
    counted: Option<Arc<Fs>>,
}

impl Deref for OwnFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl OwnFile {
    /// Takes a file that was opened just now. `NoEntry` if it was removed meanwhile, and is not counted any more.
    pub(super) fn new(fs: &Arc<Fs>, file: File) -> Result<Self> {
        let bounded = fs.upper.as_ref().is_some_and(|upper| upper.is_bounded());
        if bounded {
            file.lock_shared()?;
            if host::file_stat(&file)?.nlink == 0 {
                return Err(Errno::NoEntry);
            }
        }
        Ok(Self {
            file,
            counted: bounded.then(|| fs.clone()),
        })
    }

    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        match &self.counted {
            None => host::write_at(&self.file, bytes, offset),
            Some(fs) => self.write_counted(&fs.writable_upper()?.lock()?, bytes, Some(offset)),
        }
    }

    pub(super) fn append(&self, bytes: &[u8]) -> Result<usize> {
        match &self.counted {
            None => host::append(&self.file, bytes),
            Some(fs) => self.write_counted(&fs.writable_upper()?.lock()?, bytes, None),
        }
    }

    /// Writes as much as there is room for; `NoSpace` if that is nothing.
    fn write_counted(&self, guard: &Guard<'_>, bytes: &[u8], at: Option<u64>) -> Result<usize> {
        let size = host::file_stat(&self.file)?.size;
        let at = at.unwrap_or(size);
        // Counted from the present end: what lies between it and `at` becomes part of the file.
        let most = size.saturating_add(guard.left()?).saturating_sub(at);
        let bytes = match usize::try_from(most) {
            Ok(0) if !bytes.is_empty() => return Err(Errno::NoSpace),
            Ok(most) if most < bytes.len() => &bytes[..most],
            _ => bytes,
        };
        let growth = |count: usize| at.saturating_add(count as u64).saturating_sub(size);
        guard.take(growth(bytes.len()))?;
        let written = host::write_at(&self.file, bytes, at);
        let grown = match written {
            Ok(count) if count > 0 => growth(count),
            _ => 0,
        };
        guard.give(growth(bytes.len()).saturating_sub(grown));
        written
    }

    pub(super) fn set_len(&self, len: u64) -> Result<()> {
        self.resizing(
            |size| len.saturating_sub(size),
            || host::set_len(&self.file, len),
        )
    }

    pub(super) fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset.saturating_add(len);
        self.resizing(
            |size| end.saturating_sub(size),
            || host::allocate(&self.file, offset, len),
        )
    }

    /// Runs what makes a file grow by so much, or shrink.
    fn resizing(
        &self,
        growth: impl FnOnce(u64) -> u64,
        resize: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let Some(fs) = &self.counted else {
            return resize();
        };
        let guard = fs.writable_upper()?.lock()?;
        let before = host::file_stat(&self.file)?.size;
        guard.taking(growth(before), resize)?;
        guard.give(before.saturating_sub(host::file_stat(&self.file)?.size));
        Ok(())
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        let Some(upper) = self.counted.as_ref().and_then(|fs| fs.upper.as_ref()) else {
            return;
        };
        // Mostly it has a name. One that has none gets none again.
        if host::file_stat(&self.file).is_ok_and(|stat| stat.nlink == 0)
            && let Ok(guard) = upper.lock()
        {
            let _too_high = guard.give_if_last(&self.file);
        }
    }
}
