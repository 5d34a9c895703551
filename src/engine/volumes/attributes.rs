//! Gives files of the host the names, modes, owners and times that an image's files have, as far as the host has such things.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cap_std::fs::Dir;
use coracle_runtime::vfs::{FileKind, Stat, Timestamp};

/// Gives an open file or directory what `stat` says.
pub(super) fn set(file: &File, stat: &Stat) -> io::Result<()> {
    own(file, stat)?;
    file.set_modified(time(stat.mtime))
}

fn time(time: Timestamp) -> SystemTime {
    let since = Duration::from_secs(time.sec.unsigned_abs());
    let whole = if time.sec < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(since)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(since)
    };
    let exact = whole.and_then(|whole| whole.checked_add(Duration::from_nanos(time.nsec.into())));
    exact.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Sets mode and owner. Only root may give files away; others keep what they can read and write themselves. Nothing in a volume
/// gets the right to run as somebody else.
#[cfg(unix)]
fn own(file: &File, stat: &Stat) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt as _, fchown};
    let private = if coracle_runtime::sys::is_root() {
        fchown(file, Some(stat.uid), Some(stat.gid))?;
        0
    } else if stat.kind == FileKind::Directory {
        0o700
    } else {
        0o600
    };
    let mode = stat.mode & 0o1777 | private;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn own(_: &File, stat: &Stat) -> io::Result<()> {
    let _: FileKind = stat.kind;
    Ok(())
}

/// Makes a symbolic link with any target: nobody but a guest follows it.
#[cfg(unix)]
pub(super) fn symlink(dir: &Dir, target: &[u8], name: &Path, stat: &Stat) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    dir.symlink_contents(std::ffi::OsStr::from_bytes(target), name)?;
    if coracle_runtime::sys::is_root() {
        use rustix::fs::{AtFlags, Gid, Uid, chownat};
        let (uid, gid) = (Uid::from_raw(stat.uid), Gid::from_raw(stat.gid));
        chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn symlink(_: &Dir, _: &[u8], _: &Path, _: &Stat) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns a name of the guest's as one of the host's.
#[cfg(unix)]
#[expect(
    clippy::unnecessary_wraps,
    reason = "on other systems not every name is one"
)]
pub(super) fn name(bytes: &[u8]) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
pub(super) fn name(bytes: &[u8]) -> io::Result<PathBuf> {
    let text = std::str::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidFilename)?;
    Ok(text.into())
}
