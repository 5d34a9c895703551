//! The mount interface by descriptors (Linux 5.2; attributes 5.12): nothing here resolves a path twice.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

const OPEN_TREE_CLONE: u32 = 1;
const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;

/// What the kernel enforces on a mount; `MOUNT_ATTR_*` of `linux/mount.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(pub(crate) u64);

impl Attributes {
    pub(crate) const READ_ONLY: Self = Self(0x1);
    pub(crate) const NO_SUID: Self = Self(0x2);
    pub(crate) const NO_DEVICES: Self = Self(0x4);
    pub(crate) const NO_EXEC: Self = Self(0x8);
    /// All bits that say when access times change.
    pub(crate) const ACCESS_TIMES: Self = Self(0x70);
    pub(crate) const NO_ACCESS_TIME: Self = Self(0x10);
    pub(crate) const STRICT_ACCESS_TIME: Self = Self(0x20);
    pub(crate) const NO_DIR_ACCESS_TIME: Self = Self(0x80);
    pub(crate) const NO_SYMLINKS: Self = Self(0x20_0000);

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Takes a new descriptor that a system call returned.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let number = check(result)?;
    let number = i32::try_from(number).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us; nothing else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Clones the mount at `path` below `directory` (or `directory` itself, for an empty path), detached; with all that is
/// mounted below it if asked.
pub(crate) fn clone_tree(
    directory: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
) -> io::Result<OwnedFd> {
    let mut flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | libc::AT_EMPTY_PATH as u32;
    if recursive {
        flags |= libc::AT_RECURSIVE as u32;
    }
    // SAFETY: open_tree(2) reads a string that ends, and nothing else.
    owned(unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            directory.as_raw_fd(),
            path.as_ptr(),
            flags,
        )
    })
}

/// Attaches a detached mount on what `target` is, a directory or a file.
pub(crate) fn move_mount(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let empty = c"".as_ptr();
    // SAFETY: move_mount(2) reads two strings that end; both are empty.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            empty,
            target.as_raw_fd(),
            empty,
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// mount_setattr(2)'s argument.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn set_attr(mount: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> io::Result<()> {
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: mount_setattr(2) reads an empty string and as many bytes of `attr` as it is told it has.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            attr as *const MountAttr,
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// Sets and clears attributes of a mount.
pub(crate) fn set_attributes(
    mount: BorrowedFd<'_>,
    set: Attributes,
    clear: Attributes,
    recursive: bool,
) -> io::Result<()> {
    let attr = MountAttr {
        set: set.0,
        clear: clear.0,
        propagation: 0,
        user_namespace: 0,
    };
    set_attr(mount, recursive, &attr)
}

/// Sets how a mount passes on what is mounted below it: `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED` or `MS_UNBINDABLE`.
pub(crate) fn set_propagation(
    mount: BorrowedFd<'_>,
    propagation: libc::c_ulong,
    recursive: bool,
) -> io::Result<()> {
    let attr = MountAttr {
        set: 0,
        clear: 0,
        propagation,
        user_namespace: 0,
    };
    set_attr(mount, recursive, &attr)
}

/// A file system in the making.
pub(crate) struct NewFileSystem(OwnedFd);

impl NewFileSystem {
    /// Begins one of this type.
    pub(crate) fn open(kind: &CStr) -> io::Result<Self> {
        // SAFETY: fsopen(2) reads a string that ends.
        owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) }).map(Self)
    }

    fn config(&self, command: u32, key: Option<&CStr>, value: Option<&CStr>) -> io::Result<()> {
        let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: fsconfig(2) reads strings that end, or takes null where the command needs none.
        check(unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.0.as_raw_fd(),
                command,
                pointer(key),
                pointer(value),
                0,
            )
        })
        .map(drop)
        .map_err(|error| self.explain(error))
    }

    /// Sets a parameter to a value.
    pub(crate) fn set(&self, key: &str, value: &str) -> io::Result<()> {
        let (key, value) = (CString::new(key)?, CString::new(value)?);
        self.config(FSCONFIG_SET_STRING, Some(&key), Some(&value))
    }

    /// Sets a parameter that has no value.
    pub(crate) fn set_flag(&self, key: &str) -> io::Result<()> {
        self.config(FSCONFIG_SET_FLAG, Some(&CString::new(key)?), None)
    }

    /// Makes the file system, and a detached mount of it with these attributes.
    pub(crate) fn mount(self, attributes: Attributes) -> io::Result<OwnedFd> {
        self.config(FSCONFIG_CMD_CREATE, None, None)?;
        // SAFETY: fsmount(2) takes integers only.
        owned(unsafe {
            libc::syscall(
                libc::SYS_fsmount,
                self.0.as_raw_fd(),
                FSMOUNT_CLOEXEC,
                attributes.0 as u32,
            )
        })
        .map_err(|error| self.explain(error))
    }

    /// Adds what the file system has said about it.
    fn explain(&self, error: io::Error) -> io::Error {
        let Ok(handle) = self.0.as_fd().try_clone_to_owned() else {
            return error;
        };
        let mut text = [0; 256];
        match File::from(handle).read(&mut text) {
            Ok(length) if length > 2 => {
                let said = String::from_utf8_lossy(&text[2..length]).trim().to_owned();
                io::Error::new(error.kind(), format!("{error}: {said}"))
            }
            _ => error,
        }
    }
}

/// Makes what `root` is this process's root, lets go of the old one and all that is mounted there, and goes to `/`.
pub(crate) fn enter_new_root(root: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    let here = c".".as_ptr();
    // SAFETY: pivot_root(2) reads two strings that end. Both name the working directory: the old root is then mounted on top of
    // the new one (pivot_root(2), "pivot_root(".", ".")").
    check(unsafe { libc::syscall(libc::SYS_pivot_root, here, here) })?;
    // SAFETY: umount2(2) reads a string that ends.
    check(i64::from(unsafe { libc::umount2(here, libc::MNT_DETACH) }))?;
    rustix::process::chdir(c"/")?;
    Ok(())
}
