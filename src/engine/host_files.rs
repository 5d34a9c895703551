//! Files of the host: their names, modes, owners and times, as far as the host has such things.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cap_std::fs::Dir;
use coracle_packager::layer::Attributes;
use coracle_runtime::vfs::Timestamp;

/// Gives an open file or directory a mode, an owner and a time. Only root gives files away; for others the owner does not count.
/// Nothing gets the right to run as somebody else.
pub(super) fn set(
    file: &File,
    mode: u32,
    owner: Option<(u32, u32)>,
    mtime: Timestamp,
) -> io::Result<()> {
    own(file, mode & 0o1777, owner)?;
    file.set_modified(time(mtime))
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

#[cfg(unix)]
fn own(file: &File, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt as _, fchown};
    if let Some((uid, gid)) = owner.filter(|_| coracle_runtime::sys::is_root()) {
        fchown(file, Some(uid), Some(gid))?;
    }
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn own(_: &File, _: u32, _: Option<(u32, u32)>) -> io::Result<()> {
    Ok(())
}

/// Makes a symbolic link with any target: it is not followed here.
#[cfg(unix)]
pub(super) fn symlink(
    dir: &Dir,
    target: &[u8],
    name: &Path,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    dir.symlink_contents(std::ffi::OsStr::from_bytes(target), name)?;
    if let Some((uid, gid)) = owner.filter(|_| coracle_runtime::sys::is_root()) {
        use rustix::fs::{AtFlags, Gid, Uid, chownat};
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn symlink(_: &Dir, _: &[u8], _: &Path, _: Option<(u32, u32)>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns a path of a guest's as one of the host's.
#[cfg(unix)]
#[expect(
    clippy::unnecessary_wraps,
    reason = "on other systems not every name is one"
)]
pub(super) fn path(bytes: &[u8]) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
pub(super) fn path(bytes: &[u8]) -> io::Result<PathBuf> {
    let text = std::str::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidFilename)?;
    Ok(text.into())
}

/// Returns a name or a link's target of the host's as one of a guest's.
#[cfg(unix)]
pub(super) fn bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(not(unix))]
pub(super) fn bytes(path: &Path) -> Vec<u8> {
    path.to_string_lossy().replace('\\', "/").into_bytes()
}

/// Returns a file's mode, owner and time.
#[cfg(unix)]
pub(super) fn attributes(metadata: &Metadata) -> Attributes {
    use std::os::unix::fs::MetadataExt as _;
    Attributes {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: metadata.mtime(),
        ..Attributes::default()
    }
}

#[cfg(not(unix))]
pub(super) fn attributes(metadata: &Metadata) -> Attributes {
    let since = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let since = since.duration_since(SystemTime::UNIX_EPOCH);
    Attributes {
        mode: if metadata.is_dir() { 0o755 } else { 0o644 },
        mtime: since.map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        }),
        ..Attributes::default()
    }
}
