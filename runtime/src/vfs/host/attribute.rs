//! The record that a copy carries, as an extended attribute.

use std::fs::File;

use crate::vfs::errno::Result;

/// The attribute's name. Attributes that begin with `user.` are the file owner's to set.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
const NAME: &std::ffi::CStr = c"user.coracle.origin";

/// Bytes of the longest record that is read.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
const LONGEST: usize = 128;

/// Reads the record. Any error where there is none.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub(in crate::vfs) fn attribute(file: &File) -> Result<Vec<u8>> {
    let mut value = vec![0; LONGEST];
    let len = rustix::fs::fgetxattr(file, NAME, &mut value[..])?;
    value.truncate(len);
    Ok(value)
}

/// Sets the record.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub(in crate::vfs) fn set_attribute(file: &File, value: &[u8]) -> Result<()> {
    super::step()?;
    Ok(rustix::fs::fsetxattr(
        file,
        NAME,
        value,
        rustix::fs::XattrFlags::empty(),
    )?)
}

/// This system has no such attributes.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub(in crate::vfs) fn attribute(_file: &File) -> Result<Vec<u8>> {
    Err(crate::vfs::errno::Errno::NotSupported)
}

/// This system has no such attributes.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub(in crate::vfs) fn set_attribute(_file: &File, _value: &[u8]) -> Result<()> {
    Err(crate::vfs::errno::Errno::NotSupported)
}
