//! A directory of the merged view, and what a name in it stands for.

use super::errno::{Errno, Result};
use super::guest_fs::Fs;
use super::host::HostDir;
use super::limits::MAX_NAME;
use super::lower::NodeId;
use super::mounted::MountedDir;
use super::mounts::{Access, Mounts, Point, Source};
use super::node::{FileKind, Stat, Timestamp};
use super::origin;
use super::upper::{is_opaque, is_reserved, is_whited_out};

/// The guest's own file system, as [`Stat::dev`].
const OWN_DEV: u64 = 1;

/// Marks the numbers of entries in the upper. A lower's numbers stay below [`HOLLOW_INO`].
const UPPER_INO: u64 = 1 << 63;

/// Marks the numbers of directories that exist only as the way to a mount point.
const HOLLOW_INO: u64 = 1 << 62;

/// Marks a host's device number, so that no mounted file is taken for one of the guest's own.
const HOST_DEV: u64 = 1 << 63;

/// One directory of the merged view, as found during one call.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Its name in the directory above; empty for the root.
    pub(super) name: Vec<u8>,
    /// Its node among the mount points, if it is one or is above one.
    pub(super) point: Option<Point>,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    /// In the guest's own file system. `lower` is the directory that shines through, so `None` if the upper's hides it.
    /// With neither it is hollow: on the way to a mount point and nowhere else.
    Own {
        upper: Option<HostDir>,
        lower: Option<NodeId>,
    },
    /// In a mount; `dir` is absent where it is hollow.
    Mounted {
        mount: Point,
        dir: Option<MountedDir>,
    },
}

/// What a name stands for. The numbers in a [`Stat`] are the guest's.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Absent,
    Directory(Place),
    /// In the upper, and no directory.
    Upper(Stat),
    /// In the lower only, and no directory.
    Lower(NodeId, Stat),
    /// In a mount, and no directory.
    Mounted(Stat),
    /// A host file that is mounted by itself.
    MountedFile(Point),
}

/// What a directory says of a name.
enum Probe<D> {
    Absent,
    Directory(D),
    Other(Stat),
}

/// What a probe asks.
trait Probed: Sized {
    fn open_dir(&self, name: &[u8]) -> Result<Self>;
    fn stat_at(&self, name: &[u8]) -> Result<Option<Stat>>;
}

impl Probed for HostDir {
    fn open_dir(&self, name: &[u8]) -> Result<Self> {
        self.open_dir(name)
    }
    fn stat_at(&self, name: &[u8]) -> Result<Option<Stat>> {
        self.stat_at(name)
    }
}

impl Probed for MountedDir {
    fn open_dir(&self, name: &[u8]) -> Result<Self> {
        self.open_dir(name)
    }
    fn stat_at(&self, name: &[u8]) -> Result<Option<Stat>> {
        self.stat_at(name)
    }
}

impl Entry {
    pub(super) fn kind(&self) -> Option<FileKind> {
        match self {
            Self::Absent => None,
            Self::Directory(_) => Some(FileKind::Directory),
            Self::Upper(stat) | Self::Lower(_, stat) | Self::Mounted(stat) => Some(stat.kind),
            Self::MountedFile(_) => Some(FileKind::File),
        }
    }

    /// Is a mount there, or somewhere below?
    pub(super) fn holds_mount(&self) -> bool {
        match self {
            Self::Directory(place) => place.point.is_some(),
            Self::MountedFile(_) => true,
            _ => false,
        }
    }
}

impl Place {
    /// The mount that the directory is in; `None` in the guest's own file system.
    pub(super) fn mount(&self) -> Option<Point> {
        match self.body {
            Body::Own { .. } => None,
            Body::Mounted { mount, .. } => Some(mount),
        }
    }
}

/// Gives an entry of the upper its number in the guest's own file system.
pub(super) fn upper_numbers(stat: Stat) -> Stat {
    Stat {
        dev: OWN_DEV,
        ino: stat.ino | UPPER_INO,
        ..stat
    }
}

pub(super) fn upper_ino(host: u64) -> u64 {
    host | UPPER_INO
}

/// Is the number one of the upper's own?
pub(super) fn is_upper_ino(ino: u64) -> bool {
    ino & UPPER_INO != 0
}

/// Gives an entry of a mount a device number that is no other's.
pub(super) fn mount_numbers(stat: Stat) -> Stat {
    Stat {
        dev: stat.dev | HOST_DEV,
        ..stat
    }
}

impl Fs {
    pub(super) fn root_place(&self) -> Place {
        Place {
            name: Vec::new(),
            point: Some(Mounts::ROOT),
            body: Body::Own {
                upper: self.upper.as_ref().map(|upper| upper.root().clone()),
                lower: (!self
                    .upper
                    .as_ref()
                    .is_some_and(|upper| upper.root_is_opaque()))
                .then(|| self.lower.root()),
            },
        }
    }

    /// Finds out what `name` stands for in `dir`. `descend`: a directory is expected.
    pub(super) fn lookup(&self, dir: &Place, name: &[u8], descend: bool) -> Result<Entry> {
        if name.len() > MAX_NAME {
            return Err(Errno::NameTooLong);
        }
        let Some(point) = self.mounts.child(dir.point, name) else {
            return self.lookup_unmounted(dir, name, descend);
        };
        Ok(
            match self
                .mounts
                .point(point)
                .mount
                .as_ref()
                .map(|mount| &mount.source)
            {
                Some(Source::File(_)) => Entry::MountedFile(point),
                Some(Source::Directory(host)) => Entry::Directory(Place {
                    name: name.to_vec(),
                    point: Some(point),
                    body: Body::Mounted {
                        mount: point,
                        dir: Some(host.clone()),
                    },
                }),
                None => {
                    let body = match self.lookup_unmounted(dir, name, true)? {
                        Entry::Directory(place) => place.body,
                        _ => match dir.body {
                            Body::Own { .. } => Body::Own {
                                upper: None,
                                lower: None,
                            },
                            Body::Mounted { mount, .. } => Body::Mounted { mount, dir: None },
                        },
                    };
                    Entry::Directory(Place {
                        name: name.to_vec(),
                        point: Some(point),
                        body,
                    })
                }
            },
        )
    }

    fn lookup_unmounted(&self, dir: &Place, name: &[u8], descend: bool) -> Result<Entry> {
        let here = |body| {
            Entry::Directory(Place {
                name: name.to_vec(),
                point: None,
                body,
            })
        };
        match &dir.body {
            Body::Mounted { dir: None, .. } => Ok(Entry::Absent),
            &Body::Mounted {
                mount,
                dir: Some(ref host),
            } => Ok(match probe(host, name, descend)? {
                Probe::Absent => Entry::Absent,
                Probe::Directory(dir) => here(Body::Mounted {
                    mount,
                    dir: Some(dir),
                }),
                Probe::Other(stat) => Entry::Mounted(mount_numbers(stat)),
            }),
            // Our own marks are no names of the guest's.
            Body::Own { .. } if is_reserved(name) => Ok(Entry::Absent),
            Body::Own { upper, lower } => {
                let found = match upper {
                    Some(upper) => probe(upper, name, descend)?,
                    None => Probe::Absent,
                };
                match found {
                    Probe::Other(stat) => Ok(Entry::Upper(match upper {
                        Some(upper) => origin::seen_at(upper, name, stat),
                        None => stat,
                    })),
                    Probe::Directory(dir) => {
                        let lower = self.lower_directory(*lower, name)?;
                        let lower = if lower.is_some() && is_opaque(&dir)? {
                            None
                        } else {
                            lower
                        };
                        Ok(here(Body::Own {
                            upper: Some(dir),
                            lower,
                        }))
                    }
                    Probe::Absent => {
                        let Some(node) = self.lower_child(*lower, name)? else {
                            return Ok(Entry::Absent);
                        };
                        if let Some(upper) = upper
                            && is_whited_out(upper, name)?
                        {
                            return Ok(Entry::Absent);
                        }
                        let stat = self.lower_stat(node)?;
                        Ok(match stat.kind {
                            FileKind::Directory => here(Body::Own {
                                upper: None,
                                lower: Some(node),
                            }),
                            _ => Entry::Lower(node, stat),
                        })
                    }
                }
            }
        }
    }

    /// Describes a directory.
    pub(super) fn place_stat(&self, place: &Place) -> Result<Stat> {
        match &place.body {
            Body::Mounted { dir: Some(dir), .. } => Ok(mount_numbers(dir.stat()?)),
            Body::Own {
                upper: Some(dir),
                lower,
            } => {
                let Some(node) = lower else {
                    return origin::seen_dir(dir);
                };
                // What it was before copy-up.
                let Stat {
                    ino,
                    mode,
                    uid,
                    gid,
                    ..
                } = self.lower_stat(*node)?;
                Ok(Stat {
                    ino,
                    mode,
                    uid,
                    gid,
                    ..upper_numbers(dir.stat()?)
                })
            }
            Body::Own {
                upper: None,
                lower: Some(node),
            } => self.lower_stat(*node),
            _ => Ok(hollow_stat(place.point)),
        }
    }

    /// Describes what a name stands for; `NoEntry` if nothing.
    pub(super) fn entry_stat(&self, entry: &Entry) -> Result<Stat> {
        match entry {
            Entry::Absent => Err(Errno::NoEntry),
            Entry::Directory(place) => self.place_stat(place),
            Entry::Upper(stat) | Entry::Lower(_, stat) | Entry::Mounted(stat) => Ok(*stat),
            Entry::MountedFile(point) => Ok(mount_numbers(super::host::file_stat(
                self.mounted_file(*point)?,
            )?)),
        }
    }

    /// The target of a symlink that was found under `name` in `dir`; `Invalid` if it is none.
    pub(super) fn link_target(&self, dir: &Place, name: &[u8], entry: &Entry) -> Result<Vec<u8>> {
        if entry.kind() != Some(FileKind::Symlink) {
            return Err(Errno::Invalid);
        }
        match (entry, &dir.body) {
            (Entry::Lower(node, _), _) => Ok(self.lower.read_link(*node)?),
            (
                _,
                Body::Own {
                    upper: Some(host), ..
                },
            ) => host.read_link(name),
            (_, Body::Mounted { dir: Some(dir), .. }) => dir.read_link(name),
            _ => Err(Errno::Io),
        }
    }

    pub(super) fn lower_child(&self, dir: Option<NodeId>, name: &[u8]) -> Result<Option<NodeId>> {
        match dir {
            Some(dir) => Ok(self.lower.lookup(dir, name)?),
            None => Ok(None),
        }
    }

    fn lower_directory(&self, dir: Option<NodeId>, name: &[u8]) -> Result<Option<NodeId>> {
        match self.lower_child(dir, name)? {
            Some(node) if self.lower.stat(node)?.kind == FileKind::Directory => Ok(Some(node)),
            _ => Ok(None),
        }
    }

    pub(super) fn lower_stat(&self, node: NodeId) -> Result<Stat> {
        let stat = self.lower.stat(node)?;
        Ok(Stat {
            dev: OWN_DEV,
            ino: lower_ino(stat.ino),
            ..stat
        })
    }

    /// `ReadOnly` unless names in the directory may change.
    pub(super) fn check_writable(&self, place: &Place) -> Result<()> {
        let writable = match place.body {
            Body::Own { .. } => self.upper.is_some() && !self.read_only,
            Body::Mounted { mount, .. } => self.mounts.access(mount) == Access::ReadWrite,
        };
        if writable {
            Ok(())
        } else {
            Err(Errno::ReadOnly)
        }
    }
}

pub(super) fn lower_ino(ino: u64) -> u64 {
    ino & (HOLLOW_INO - 1)
}

pub(super) fn hollow_ino(point: Option<Point>) -> u64 {
    HOLLOW_INO | point.unwrap_or_default() as u64
}

fn hollow_stat(point: Option<Point>) -> Stat {
    let epoch = Timestamp::default();
    Stat {
        dev: OWN_DEV,
        ino: hollow_ino(point),
        kind: FileKind::Directory,
        mode: super::copy_up::DIRECTORY_MODE,
        uid: 0,
        gid: 0,
        nlink: 2,
        size: 0,
        atime: epoch,
        mtime: epoch,
        ctime: epoch,
    }
}

fn probe<D: Probed>(dir: &D, name: &[u8], descend: bool) -> Result<Probe<D>> {
    // Opening and describing are two calls, and what has the name may change between them.
    let mut open_first = descend;
    for _ in 0..super::limits::MAX_RACES {
        if open_first {
            match dir.open_dir(name) {
                Ok(dir) => return Ok(Probe::Directory(dir)),
                Err(Errno::NoEntry) => return Ok(Probe::Absent),
                Err(Errno::NotDir) => {}
                Err(error) => return Err(error),
            }
        }
        match dir.stat_at(name)? {
            None => return Ok(Probe::Absent),
            Some(stat) if stat.kind != FileKind::Directory => return Ok(Probe::Other(stat)),
            Some(_) => open_first = true,
        }
    }
    Err(Errno::Again)
}
