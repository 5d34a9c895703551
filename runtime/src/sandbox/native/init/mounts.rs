//! The container's mounts, each from descriptor to descriptor.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;
use rustix::fs::{FileType, OFlags};

use super::super::error::Told;
use super::super::mount_options::{MountOptions, Source};
use super::super::plan::{CgroupView, Plan, RootMount};
use super::inside::{Inside, Links, plain};
use crate::sys::linux::container::{
    Attributes, NewFileSystem, clone_tree, move_mount, set_attributes, set_propagation,
};

/// statfs(2)'s number of procfs.
const PROC_MAGIC: u64 = 0x9fa0;
/// What lxcfs puts in the place of the kernel's files, so that they tell of the container's limits. Nothing else may be mounted
/// inside of /proc.
const PROC_FILES: [&str; 10] = [
    "proc/cpuinfo",
    "proc/diskstats",
    "proc/loadavg",
    "proc/meminfo",
    "proc/net/dev",
    "proc/slabinfo",
    "proc/stat",
    "proc/swaps",
    "proc/sys/kernel/ns_last_pid",
    "proc/uptime",
];
/// What the container's own devices, processes and kernel objects are under. An image may have links there.
const OURS: [&str; 3] = ["dev", "proc", "sys"];
const CGROUPS: &str = "/sys/fs/cgroup";

pub(super) fn text(path: &Path) -> Result<CString, Told> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(Told::step(format!("reading the path {}", path.display())))
}

/// Makes mounts private to this namespace, mounts the root, and returns it.
pub(super) fn root(plan: &Plan, mount: &RootMount) -> Result<Inside, Told> {
    let old = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, 0.into())
        .map_err(Told::step("opening the old root"))?;
    let propagation = match propagation(plan) {
        // What the host mounts later arrives; nothing goes back.
        None => libc::MS_SLAVE,
        Some(chosen) => chosen,
    };
    set_propagation(old.as_fd(), propagation, true)
        .map_err(Told::step("keeping mounts from propagating"))?;
    let (mounted, place) = match mount {
        RootMount::Directory(directory) => {
            let directory = plan.bundle.join(directory);
            let doing = || format!("mounting the root {}", directory.display());
            let mounted = clone_tree(rustix::fs::CWD, &text(&directory)?, true)
                .map_err(Told::step(doing()))?;
            (mounted, directory)
        }
        RootMount::Overlay { upper, .. } => (overlay(mount)?, upper.clone()),
    };
    // The place may be in a mount that is shared, and what is the root of a mount namespace must not be.
    let doing = || format!("attaching the root at {}", place.display());
    set_propagation(mounted.as_fd(), libc::MS_PRIVATE, true).map_err(Told::step(doing()))?;
    let target = rustix::fs::open(&place, OFlags::PATH | OFlags::CLOEXEC, 0.into())
        .map_err(Told::step(doing()))?;
    move_mount(mounted.as_fd(), target.as_fd()).map_err(Told::step(doing()))?;
    Ok(Inside::new(mounted))
}

/// What `rootfsPropagation` asks for; checked before.
pub(super) fn propagation(plan: &Plan) -> Option<libc::c_ulong> {
    let text = plan
        .spec
        .linux()
        .as_ref()?
        .rootfs_propagation()
        .as_deref()?;
    match text {
        "shared" | "rshared" => Some(libc::MS_SHARED),
        "slave" | "rslave" => Some(libc::MS_SLAVE),
        "private" | "rprivate" => Some(libc::MS_PRIVATE),
        "unbindable" | "runbindable" => Some(libc::MS_UNBINDABLE),
        _ => None,
    }
}

fn overlay(mount: &RootMount) -> Result<OwnedFd, Told> {
    let RootMount::Overlay {
        lowers,
        upper,
        work,
        user_attributes,
        volatile,
    } = mount
    else {
        return Err(Told::step("joining layers")("there are none"));
    };
    let made = || -> io::Result<OwnedFd> {
        let overlay = NewFileSystem::open(c"overlay")?;
        set_layers(&overlay, lowers)?;
        overlay.set("upperdir", utf8(upper)?)?;
        overlay.set("workdir", utf8(work)?)?;
        if *user_attributes {
            overlay.set_flag("userxattr")?;
        }
        if *volatile {
            overlay.set_flag("volatile")?;
        }
        overlay.mount(Attributes::default())
    };
    made().map_err(Told::step("joining layers"))
}

/// Adds each lower layer by itself: a list in one text would be cut at colons and is bounded to 256 bytes.
fn set_layers(overlay: &NewFileSystem, lowers: &[PathBuf]) -> io::Result<()> {
    for lower in lowers {
        if let Err(error) = overlay.set("lowerdir+", utf8(lower)?) {
            // Before Linux 6.5 there is the list only.
            if lowers.first() != Some(lower) {
                return Err(error);
            }
            let list: io::Result<Vec<String>> = lowers
                .iter()
                .map(|lower| Ok(utf8(lower)?.replace('\\', "\\\\").replace(':', "\\:")))
                .collect();
            return overlay.set("lowerdir", &list?.join(":"));
        }
    }
    Ok(())
}

fn utf8(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| {
        let text = format!("{} is not UTF-8", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// Mounts what the specification lists, in its order.
pub(super) fn all(plan: &Plan, inside: &Inside) -> Result<(), Told> {
    for mount in plan.spec.mounts().iter().flatten() {
        let doing = format!("mounting {}", mount.destination().display());
        one(plan, inside, mount).map_err(|mut told| {
            told.doing = format!("{doing}: {}", told.doing);
            told
        })?;
    }
    Ok(())
}

fn one(plan: &Plan, inside: &Inside, mount: &Mount) -> Result<(), Told> {
    let options = MountOptions::parse(mount).map_err(Told::step("reading its options"))?;
    let destination = plain(mount.destination()).map_err(Told::step("reading its path"))?;
    let links = if OURS.iter().any(|ours| destination == Path::new(ours)) {
        Links::Refuse
    } else {
        Links::Follow
    };
    let mounted = match &options.source {
        Source::Bind { recursive } => {
            let source = mount.source().as_deref().unwrap_or(Path::new(""));
            let source = plan.bundle.join(source);
            let step = format!("taking {}", source.display());
            clone_tree(rustix::fs::CWD, &text(&source)?, *recursive).map_err(Told::step(step))?
        }
        Source::Cgroup => return cgroup(plan, inside, &destination, &options),
        Source::New(kind) => new(kind, mount, &options)?,
    };
    guard_proc(&destination, &mounted)?;
    let stat = rustix::fs::fstat(&mounted).map_err(Told::step("looking at its source"))?;
    let target = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        inside.directory(&destination, links)
    } else {
        inside.file(&destination, links)
    };
    let target = target.map_err(Told::step("opening its place in the container"))?;
    if statfs_type(&target)? == PROC_MAGIC
        && !PROC_FILES.iter().any(|file| destination == Path::new(file))
    {
        return Err(Told::step("opening its place in the container")(
            "it lies in /proc, where nothing may be mounted",
        ));
    }
    if matches!(options.source, Source::Bind { .. }) {
        set_attributes(mounted.as_fd(), options.set, options.clear, false)
            .map_err(Told::step("setting its attributes"))?;
    }
    if options.set_all != Attributes::default() || options.clear_all != Attributes::default() {
        set_attributes(mounted.as_fd(), options.set_all, options.clear_all, true)
            .map_err(Told::step("setting its attributes"))?;
    }
    move_mount(mounted.as_fd(), target.as_fd()).map_err(Told::step("attaching it"))?;
    for (propagation, recursive) in &options.propagation {
        set_propagation(mounted.as_fd(), *propagation, *recursive)
            .map_err(Told::step("setting its propagation"))?;
    }
    Ok(())
}

/// Nothing but a procfs may become the container's /proc: the launcher and the program trust what they read there.
fn guard_proc(destination: &Path, mounted: &OwnedFd) -> Result<(), Told> {
    if destination == Path::new("proc") && statfs_type(mounted)? != PROC_MAGIC {
        return Err(Told::step("checking it")(
            "only a procfs may be mounted on /proc",
        ));
    }
    Ok(())
}

pub(super) fn statfs_type(file: &OwnedFd) -> Result<u64, Told> {
    let stat = rustix::fs::fstatfs(file).map_err(Told::step("asking for its file system"))?;
    Ok(stat.f_type as u64)
}

/// Makes a file system of a type, such as tmpfs.
fn new(kind: &str, mount: &Mount, options: &MountOptions) -> Result<OwnedFd, Told> {
    let made = || -> io::Result<OwnedFd> {
        let system = NewFileSystem::open(&CString::new(kind)?)?;
        if let Some(source) = mount.source() {
            system.set("source", utf8(source)?)?;
        }
        for option in &options.data {
            match option.split_once('=') {
                Some((key, value)) => system.set(key, value)?,
                None => system.set_flag(option)?,
            }
        }
        system.mount(options.set)
    };
    made().map_err(Told::step(format!("making a file system of type {kind}")))
}

/// Shows the container its own cgroups.
fn cgroup(
    plan: &Plan,
    inside: &Inside,
    destination: &Path,
    options: &MountOptions,
) -> Result<(), Told> {
    let own_view = plan.new & libc::CLONE_NEWCGROUP as u64 != 0;
    let attach = |mount: &OwnedFd, place: &Path| -> Result<(), Told> {
        let target = inside
            .directory(place, Links::Refuse)
            .map_err(Told::step("opening its place in the container"))?;
        move_mount(mount.as_fd(), target.as_fd()).map_err(Told::step("attaching it"))
    };
    let bind = |directory: &Path| -> Result<OwnedFd, Told> {
        let step = format!("taking {}", directory.display());
        let mount = clone_tree(rustix::fs::CWD, &text(directory)?, false)
            .map_err(Told::step(step.clone()))?;
        set_attributes(mount.as_fd(), options.set, options.clear, false)
            .map_err(Told::step(step))?;
        Ok(mount)
    };
    match &plan.cgroups {
        CgroupView::V2(path) => {
            let mount = if own_view {
                make("cgroup2", &[], options.set)?
            } else {
                bind(&below(Path::new(CGROUPS), path))?
            };
            attach(&mount, destination)
        }
        CgroupView::V1(hierarchies) => {
            let writable = options.set.without(Attributes::READ_ONLY);
            let folder = make("tmpfs", &["mode=755"], writable)?;
            attach(&folder, destination)?;
            for (name, path) in hierarchies {
                let place = destination.join(name);
                let mount = if own_view {
                    // A named hierarchy has no controller; its directory's name is its own.
                    let flags: Vec<&str> = match name.as_str() {
                        "systemd" => vec!["none", "name=systemd"],
                        name => name.split(',').collect(),
                    };
                    make("cgroup", &flags, options.set)?
                } else {
                    bind(&below(&Path::new(CGROUPS).join(name), path))?
                };
                attach(&mount, &place)?;
                // "cpu,cpuacct" is found by each of its names.
                for alias in name.split(',').filter(|alias| alias != name) {
                    let at = inside
                        .directory(destination, Links::Refuse)
                        .map_err(Told::step("naming controllers"))?;
                    rustix::fs::symlinkat(name.as_str(), &at, alias)
                        .map_err(Told::step("naming controllers"))?;
                }
            }
            set_attributes(folder.as_fd(), options.set, Attributes::default(), false)
                .map_err(Told::step("setting its attributes"))
        }
        CgroupView::None => {
            let folder = make("tmpfs", &["mode=755", "size=0k"], options.set)?;
            attach(&folder, destination)
        }
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn make(kind: &str, data: &[&str], attributes: Attributes) -> Result<OwnedFd, Told> {
    let made = || -> io::Result<OwnedFd> {
        let system = NewFileSystem::open(&CString::new(kind)?)?;
        for option in data {
            match option.split_once('=') {
                Some((key, value)) => system.set(key, value)?,
                None => system.set_flag(option)?,
            }
        }
        system.mount(attributes)
    };
    made().map_err(Told::step(format!("making a file system of type {kind}")))
}
