//! The container's terminal.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags};

use super::super::error::Told;
use super::devices;
use super::inside::{Inside, Links};
use super::mounts::statfs_type;
use crate::sys::linux::container::{
    clone_tree, move_mount, replace_standard, set_terminal_size, terminal_peer,
};

/// statfs(2)'s number of devpts.
const DEVPTS_MAGIC: u64 = 0x1cd1;

/// A terminal's two ends.
pub(super) struct Terminal {
    /// For whoever looks at it.
    pub(super) controller: OwnedFd,
    /// For the program.
    pub(super) program: OwnedFd,
}

/// Makes a terminal of the container's own devpts.
pub(super) fn open(inside: &Inside, size: Option<(u16, u16)>) -> Result<Terminal, Told> {
    let made = || -> std::io::Result<Terminal> {
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let controller = inside.open(Path::new("dev/pts/ptmx"), flags, Links::Refuse)?;
        let stat = rustix::fs::fstat(&controller)?;
        let is_multiplexer = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == rustix::fs::makedev(5, 2)
            && rustix::fs::fstatfs(&controller)?.f_type as u64 == DEVPTS_MAGIC;
        if !is_multiplexer {
            return Err(std::io::Error::other(
                "the container's /dev/pts is no devpts",
            ));
        }
        let program = terminal_peer(controller.as_fd())?;
        if let Some((rows, columns)) = size {
            set_terminal_size(controller.as_fd(), rows, columns)?;
        }
        Ok(Terminal {
            controller,
            program,
        })
    };
    made().map_err(Told::step("making a terminal"))
}

/// Puts the terminal at /dev/console, by its descriptor: its name could mean another one by then.
pub(super) fn mount(inside: &Inside, terminal: &Terminal) -> Result<(), Told> {
    if statfs_type(&terminal.program)? != DEVPTS_MAGIC {
        return Err(Told::step("making a terminal")(
            "its program's end is no devpts",
        ));
    }
    let mounted = || -> std::io::Result<()> {
        let target = inside.file(Path::new("dev/console"), Links::Refuse)?;
        let mount = clone_tree(terminal.program.as_fd(), c"", false)?;
        move_mount(mount.as_fd(), target.as_fd())
    };
    mounted().map_err(Told::step("putting the terminal at /dev/console"))
}

/// Puts the container's own null device in the place of the host's, where the program would hold on to that.
pub(super) fn reopen_null(inside: &Inside) -> Result<(), Told> {
    let reopened = || -> std::io::Result<()> {
        for number in 0..3 {
            let is_null = match number {
                0 => devices::is_null(std::io::stdin()),
                1 => devices::is_null(std::io::stdout()),
                _ => devices::is_null(std::io::stderr()),
            };
            if !is_null.unwrap_or(false) {
                continue;
            }
            let checked = devices::null(inside)?;
            let null = inside.open(Path::new("dev/null"), OFlags::RDWR, Links::Refuse)?;
            if !devices::is_null(&null)? {
                return Err(std::io::Error::other("/dev/null has changed"));
            }
            drop(checked);
            replace_standard(number, null.as_fd())?;
        }
        Ok(())
    };
    reopened().map_err(Told::step("taking the container's /dev/null"))
}
