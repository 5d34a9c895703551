//! The guest's memory: every access is checked against its present end.

use std::ops::Range;

use super::types::{Errno, Failure, Result};

/// Longest path or link target that is taken from a guest, in bytes: Linux' `PATH_MAX` without its NUL.
const LONGEST_PATH: u32 = 4095;
/// Most buffers in one scattered read or write: Linux' `IOV_MAX`.
const MOST_BUFFERS: u32 = 1024;
/// Size of an `iovec` or `ciovec`: a pointer and a length.
const IOVEC: u32 = 8;

/// A guest's linear memory during one call.
///
/// Pointers need no alignment here: witx wants a trap for odd ones, but other hosts let them pass, and nothing depends on it.
pub(super) struct Memory<'a>(&'a mut [u8]);

impl<'a> Memory<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    fn range(at: u32, len: u32) -> Result<Range<usize>> {
        let start = usize::try_from(at).map_err(|_| Failure::Pointer)?;
        let len = usize::try_from(len).map_err(|_| Failure::Pointer)?;
        Ok(start..start.checked_add(len).ok_or(Failure::Pointer)?)
    }

    /// Returns `len` bytes at a pointer.
    pub(super) fn read(&self, at: u32, len: u32) -> Result<&[u8]> {
        self.0.get(Self::range(at, len)?).ok_or(Failure::Pointer)
    }

    /// Returns `len` bytes at a pointer, to be written.
    pub(super) fn slice(&mut self, at: u32, len: u32) -> Result<&mut [u8]> {
        self.0
            .get_mut(Self::range(at, len)?)
            .ok_or(Failure::Pointer)
    }

    /// Copies bytes to a pointer.
    pub(super) fn write(&mut self, at: u32, bytes: &[u8]) -> Result {
        let len = u32::try_from(bytes.len()).map_err(|_| Failure::Pointer)?;
        self.slice(at, len)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn write_u32(&mut self, at: u32, value: u32) -> Result {
        self.write(at, &value.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, at: u32, value: u64) -> Result {
        self.write(at, &value.to_le_bytes())
    }

    fn read_u32(&self, at: u32) -> Result<u32> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.read(at, 4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    /// Takes a path. Any bytes but NUL, as on Unix; the file system judges the rest.
    pub(super) fn path(&self, at: u32, len: u32) -> Result<Vec<u8>> {
        if len > LONGEST_PATH {
            return Err(Errno::Nametoolong.into());
        }
        let path = self.read(at, len)?;
        if path.is_empty() {
            return Err(Errno::Noent.into());
        }
        if path.contains(&0) {
            return Err(Errno::Inval.into());
        }
        Ok(path.to_vec())
    }

    /// Returns the buffers of a scattered read or write that are not empty: pointer and length, checked.
    pub(super) fn buffers(&self, at: u32, count: u32) -> Result<Vec<(u32, u32)>> {
        if count > MOST_BUFFERS {
            return Err(Errno::Inval.into());
        }
        let mut buffers = Vec::new();
        let mut total: u32 = 0;
        for index in 0..count {
            let record = index
                .checked_mul(IOVEC)
                .and_then(|offset| at.checked_add(offset))
                .ok_or(Failure::Pointer)?;
            let (buffer, len) = (
                self.read_u32(record)?,
                self.read_u32(record.checked_add(4).ok_or(Failure::Pointer)?)?,
            );
            self.read(buffer, len)?;
            // Buffers may overlap, so together they can be more than the result can say.
            total = total.checked_add(len).ok_or(Errno::Inval)?;
            if len > 0 {
                buffers.push((buffer, len));
            }
        }
        Ok(buffers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_reached() {
        let mut bytes = [7; 16];
        let mut memory = Memory::new(&mut bytes);
        assert_eq!(memory.read(15, 1).expect("inside"), [7]);
        assert!(memory.read(16, 0).expect("the end itself").is_empty());
        for (at, len) in [
            (16, 1),
            (15, 2),
            (17, 0),
            (u32::MAX, 1),
            (0, u32::MAX),
            (u32::MAX, u32::MAX),
        ] {
            assert!(
                matches!(memory.read(at, len), Err(Failure::Pointer)),
                "{at} {len}"
            );
            assert!(
                matches!(memory.slice(at, len), Err(Failure::Pointer)),
                "{at} {len}"
            );
        }
        assert!(matches!(memory.write_u64(9, 0), Err(Failure::Pointer)));
        assert_eq!(bytes, [7; 16]);
    }

    #[test]
    fn buffers_are_checked_and_counted() {
        let mut bytes = [0; 64];
        for (index, value) in [40_u32, 8, 0, 0, 40, 24].into_iter().enumerate() {
            bytes[index * 4..index * 4 + 4].copy_from_slice(&value.to_le_bytes());
        }
        let memory = Memory::new(&mut bytes);
        assert_eq!(memory.buffers(0, 3).expect("valid"), [(40, 8), (40, 24)]);
        assert!(matches!(
            memory.buffers(0, MOST_BUFFERS + 1),
            Err(Failure::Errno(Errno::Inval))
        ));
        assert!(
            matches!(memory.buffers(60, 1), Err(Failure::Pointer)),
            "the list itself is outside"
        );
        assert!(matches!(memory.buffers(u32::MAX, 2), Err(Failure::Pointer)));
        // Four buffers of the whole of a 4 GiB memory can't be told apart from one by a 32-bit count.
        assert!(matches!(
            memory.path(0, u32::MAX),
            Err(Failure::Errno(Errno::Nametoolong))
        ));
        assert!(matches!(
            memory.path(0, 0),
            Err(Failure::Errno(Errno::Noent))
        ));
        assert!(
            matches!(memory.path(0, 8), Err(Failure::Errno(Errno::Inval))),
            "NUL inside"
        );
    }
}
