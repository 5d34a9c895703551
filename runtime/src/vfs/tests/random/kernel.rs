//! A host directory as a subject, and a real overlayfs mount.
//!
//! `RESOLVE_IN_ROOT` makes the kernel resolve paths as for a process whose root the directory is: absolute links and `..`
//! stay in it.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps};

use super::*;

pub(super) struct Host {
    root: OwnedFd,
    held: Option<OwnedFd>,
    remembered: Option<OwnedFd>,
}

impl Host {
    pub(super) fn new(path: &Path) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self {
            root: fs::open(path, flags, Mode::empty()).expect("a directory"),
            held: None,
            remembered: None,
        }
    }

    fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let mode = if flags.contains(OFlags::CREATE) {
            Mode::from_raw_mode(0o644)
        } else {
            Mode::empty()
        };
        loop {
            // EAGAIN: something somewhere on the machine was renamed, so the kernel is not sure of `..`.
            match fs::openat2(&self.root, path, flags, mode, ResolveFlags::IN_ROOT) {
                Err(rustix::io::Errno::AGAIN) => {}
                result => return Ok(result?),
            }
        }
    }

    /// The directory above, and the last component with the slash after it.
    fn split<'a>(&self, path: &'a str) -> Result<(OwnedFd, &'a str)> {
        let end = path
            .trim_end_matches('/')
            .rfind('/')
            .map_or(0, |slash| slash + 1);
        let (above, last) = path.split_at(end);
        let above = if above.is_empty() { "." } else { above };
        Ok((self.open(above, OFlags::PATH | OFlags::DIRECTORY)?, last))
    }
}

fn kind(stat: &fs::Stat) -> FileKind {
    match fs::FileType::from_raw_mode(stat.st_mode) {
        fs::FileType::Directory => FileKind::Directory,
        fs::FileType::Symlink => FileKind::Symlink,
        _ => FileKind::File,
    }
}

/// Opens only to look; a symlink itself unless it is followed, by wish or because of a slash.
fn look(follow: bool) -> OFlags {
    if follow {
        OFlags::PATH
    } else {
        OFlags::PATH | OFlags::NOFOLLOW
    }
}

impl Subject for Host {
    fn run(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Mkdir(path) => {
                let (dir, name) = self.split(path)?;
                fs::mkdirat(dir, name, Mode::from_raw_mode(0o755))?;
            }
            Op::Rmdir(path) => {
                let (dir, name) = self.split(path)?;
                fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?;
            }
            Op::Unlink(path) => {
                let (dir, name) = self.split(path)?;
                fs::unlinkat(dir, name, AtFlags::empty())?;
            }
            Op::Create { path, exclusive } => {
                let exclusive = if *exclusive {
                    OFlags::EXCL
                } else {
                    OFlags::empty()
                };
                drop(self.open(path, OFlags::WRONLY | OFlags::CREATE | exclusive)?);
            }
            Op::Write { path, truncate } => {
                let how = if *truncate {
                    OFlags::TRUNC
                } else {
                    OFlags::APPEND
                };
                let mut file = std::fs::File::from(self.open(path, OFlags::WRONLY | how)?);
                file.write_all(b"yz")?;
            }
            Op::Read(path) => {
                let fd = self.open(path, OFlags::RDONLY)?;
                let mut content = Vec::new();
                std::fs::File::from(fd).read_to_end(&mut content)?;
                return Ok(Answer::Bytes(content));
            }
            Op::Rename(from, to) => {
                // Which of two missing directories is named first is no one's promise; both say the same.
                let ((dir, name), (to_dir, to_name)) = (self.split(from)?, self.split(to)?);
                fs::renameat(dir, name, to_dir, to_name)?;
            }
            Op::Link(from, to) => {
                let (dir, name) = self.split(from)?;
                // First the source, then the place: the order in which the kernel itself looks.
                fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let (to_dir, to_name) = self.split(to)?;
                fs::linkat(dir, name, to_dir, to_name, AtFlags::empty())?;
            }
            Op::Symlink { target, path } => {
                let (dir, name) = self.split(path)?;
                fs::symlinkat(target.as_str(), dir, name)?;
            }
            Op::ReadLink(path) => {
                let fd = self.open(path, look(false))?;
                return match fs::readlinkat(fd, "", Vec::new()) {
                    Ok(target) => Ok(Answer::Bytes(target.into_bytes())),
                    // Through an empty path the kernel says so of what is no link.
                    Err(rustix::io::Errno::NOENT) => Err(Errno::Invalid),
                    Err(error) => Err(error.into()),
                };
            }
            Op::Stat { path, follow } => {
                let stat = fs::fstat(self.open(path, look(*follow))?)?;
                let touched = stat.st_mtime == TOUCHED;
                return Ok(match fs::FileType::from_raw_mode(stat.st_mode) {
                    fs::FileType::Directory => Answer::Stat {
                        kind: FileKind::Directory,
                        nlink: 0,
                        size: 0,
                        touched,
                    },
                    kind => Answer::Stat {
                        kind: if kind == fs::FileType::Symlink {
                            FileKind::Symlink
                        } else {
                            FileKind::File
                        },
                        nlink: stat.st_nlink,
                        size: u64::try_from(stat.st_size).expect("a size"),
                        touched,
                    },
                });
            }
            Op::List(path) => {
                let fd = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
                let mut names = Vec::new();
                for entry in fs::Dir::new(fd)? {
                    let entry = entry?;
                    let kind = match entry.file_type() {
                        fs::FileType::Directory => FileKind::Directory,
                        fs::FileType::Symlink => FileKind::Symlink,
                        _ => FileKind::File,
                    };
                    let name = entry.file_name().to_str().expect("a plain name").to_owned();
                    if name != "." && name != ".." {
                        names.push((name, kind));
                    }
                }
                names.sort_by(|one, other| one.0.cmp(&other.0));
                return Ok(Answer::Names(names));
            }
            Op::Touch { path, follow } => {
                let fd = self.open(path, look(*follow))?;
                let time = Timespec {
                    tv_sec: TOUCHED,
                    tv_nsec: 0,
                };
                let times = Timestamps {
                    last_access: time,
                    last_modification: time,
                };
                fs::utimensat(fd.as_fd(), "", &times, AtFlags::EMPTY_PATH)?;
            }
            Op::Hold(path) => {
                self.held = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY).ok();
            }
            Op::Held(verb, name) => {
                let dir = self.held.as_ref().ok_or(Errno::BadFd)?;
                match verb {
                    Verb::Create => {
                        let flags =
                            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                        drop(fs::openat(dir, *name, flags, Mode::from_raw_mode(0o644))?);
                    }
                    Verb::Mkdir => fs::mkdirat(dir, *name, Mode::from_raw_mode(0o755))?,
                    Verb::Unlink => fs::unlinkat(dir, *name, AtFlags::empty())?,
                    Verb::Rmdir => fs::unlinkat(dir, *name, AtFlags::REMOVEDIR)?,
                    Verb::Kind => {
                        let stat = fs::statat(dir, *name, AtFlags::SYMLINK_NOFOLLOW)?;
                        return Ok(Answer::Kind(kind(&stat)));
                    }
                }
            }
            Op::Remember(path) => {
                self.remembered = match self.open(path, look(false)) {
                    Ok(fd) if kind(&fs::fstat(&fd)?) != FileKind::Symlink => Some(fd),
                    _ => None,
                };
            }
            Op::IsRemembered(path) => {
                let known = fs::fstat(self.remembered.as_ref().ok_or(Errno::BadFd)?)?;
                let stat = fs::fstat(self.open(path, look(false))?)?;
                return Ok(Answer::IsRemembered(
                    (stat.st_dev, stat.st_ino) == (known.st_dev, known.st_ino),
                ));
            }
        }
        Ok(Answer::Done)
    }
}

/// A mounted overlayfs on the same lower, with an upper of its own.
pub(super) struct Overlay {
    host: Option<Host>,
    point: PathBuf,
}

impl Overlay {
    /// The reason, if it can't be: mostly that this is no superuser.
    pub(super) fn mount(world: &World) -> std::result::Result<Self, String> {
        let [lower, upper, work, point] =
            ["lower", "kernel-upper", "kernel-work", "merged"].map(|name| world.host_dir(name));
        // With redirects, it can rename directories of the lower, as we do.
        let options = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=on,index=off,metacopy=off",
            lower.display(),
            upper.display(),
            work.display()
        );
        let output = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(&point)
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(Self {
                host: Some(Host::new(&point)),
                point,
            }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("mount: {error}")),
        }
    }
}

impl Subject for Overlay {
    fn run(&mut self, op: &Op) -> Outcome {
        self.host.as_mut().expect("mounted until dropped").run(op)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        self.host = None;
        let unmounted = Command::new("umount")
            .arg("--lazy")
            .arg(&self.point)
            .status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "{} stays mounted",
            self.point.display()
        );
    }
}
