//! WASI on the guest's file system: thin translations, one folder per version.

pub(super) mod p1;
pub(super) mod p2;
pub(super) mod preopen;
