//! Each call, on the same tree in four places: the image, the upper, a mounted host directory, memory. It must do the
//! same in all; in a read-only root and a read-only mount it must change nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

const AREAS: [&str; 4] = ["low", "up", "mnt", "mem"];

/// `f` "content", `d/x` "deep", `d/sub/y` "deeper", `e/`, `l` → f, `ld` → d, `dangling` → nowhere, `abs` → /AREA/f,
/// `loop` → loop.
fn world() -> (World, GuestFs) {
    let world = World::new(|lower| {
        let root = lower.root();
        let low = lower.add_dir(root, b"low", 0o755).expect("a directory");
        lower
            .add_file(low, b"f", 0o640, b"content")
            .expect("a file");
        let d = lower.add_dir(low, b"d", 0o755).expect("a directory");
        lower.add_file(d, b"x", 0o644, b"deep").expect("a file");
        let sub = lower.add_dir(d, b"sub", 0o755).expect("a directory");
        lower.add_file(sub, b"y", 0o644, b"deeper").expect("a file");
        lower.add_dir(low, b"e", 0o755).expect("a directory");
        for (name, target) in LINKS {
            lower
                .add_symlink(
                    low,
                    name.as_bytes(),
                    target.replace("AREA", "low").as_bytes(),
                )
                .expect("a link");
        }
        lower
            .add_special(low, b"pipe", FileKind::Fifo)
            .expect("a pipe");
    });
    for (path, upper) in [
        (world.host_dir("mnt"), false),
        (world.host_dir("upper/up"), true),
    ] {
        fs::write(path.join("f"), "content").expect("a file");
        fs::set_permissions(path.join("f"), fs::Permissions::from_mode(0o640)).expect("its mode");
        fs::create_dir_all(path.join("d/sub")).expect("directories");
        fs::write(path.join("d/x"), "deep").expect("a file");
        fs::write(path.join("d/sub/y"), "deeper").expect("a file");
        fs::create_dir(path.join("e")).expect("a directory");
        for (name, target) in LINKS {
            symlink(
                target.replace("AREA", if upper { "up" } else { "mnt" }),
                path.join(name),
            )
            .expect("a link");
        }
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path.join("pipe"),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .expect("a pipe");
    }
    let fs = world
        .builder()
        .mount("/mnt", mount_dir(&world.path("mnt")), Access::ReadWrite)
        .mount(
            "/mem",
            MountSource::Memory(Tmpfs::new(TmpfsOptions::default())),
            Access::ReadWrite,
        )
        .build()
        .expect("built");
    fill(&directory(&fs.root(), "mem").expect("memory"), "mem");
    (world, fs)
}

/// Fills what a guest alone can fill: without the pipe, and with modes of its own.
fn fill(dir: &Directory, area: &str) {
    for path in ["d", "d/sub", "e"] {
        dir.create_dir(b(path)).expect("a directory");
    }
    for (path, content) in [("f", "content"), ("d/x", "deep"), ("d/sub/y", "deeper")] {
        super::write(dir, path, content).expect("a file");
    }
    for (name, target) in LINKS {
        dir.symlink(b(&target.replace("AREA", area)), b(name))
            .expect("a link");
    }
}

/// Can nothing but files, directories and links be there?
fn is_memory(area: &str) -> bool {
    area == "mem"
}

const LINKS: [(&str, &str); 5] = [
    ("l", "f"),
    ("ld", "d"),
    ("dangling", "nowhere"),
    ("abs", "/AREA/f"),
    ("loop", "loop"),
];

/// Runs one check in a fresh world per area, with a handle on the area's directory.
fn everywhere(check: impl Fn(&Directory, &str)) {
    for area in AREAS {
        let (_world, fs) = world();
        check(&directory(&fs.root(), area).expect("the area"), area);
    }
}

fn b(path: &str) -> &[u8] {
    path.as_bytes()
}

#[test]
fn open_and_read() {
    everywhere(|dir, area| {
        for (path, want) in [
            ("f", Ok("content")),
            ("./f", Ok("content")),
            ("d/../f", Ok("content")),
            ("d//x", Ok("deep")),
            ("ld/x", Ok("deep")),
            ("ld/sub/../x", Ok("deep")),
            ("l", Ok("content")),
            ("abs", Ok("content")),
            ("f/", Err(Errno::NotDir)),
            ("f/x", Err(Errno::NotDir)),
            ("l/x", Err(Errno::NotDir)),
            ("l/", Err(Errno::NotDir)),
            ("none", Err(Errno::NoEntry)),
            ("none/x", Err(Errno::NoEntry)),
            ("dangling", Err(Errno::NoEntry)),
            ("loop", Err(Errno::Loop)),
            ("loop/x", Err(Errno::Loop)),
            ("", Err(Errno::NoEntry)),
            ("nul\0", Err(Errno::Invalid)),
            ("/f", Err(Errno::NotPermitted)),
            ("..", Err(Errno::NotPermitted)),
            ("d/../../f", Err(Errno::NotPermitted)),
            ("pipe", Err(Errno::NotPermitted)),
            ("d", Err(Errno::IsDir)),
        ] {
            if path == "pipe" && is_memory(area) {
                continue;
            }
            assert_eq!(read(dir, path), want.map(str::to_owned), "{area}: {path:?}");
        }
        assert_eq!(
            read(dir, &"n".repeat(256)),
            Err(Errno::NameTooLong),
            "{area}"
        );
        assert_eq!(read(dir, &"n".repeat(255)), Err(Errno::NoEntry), "{area}");
        assert_eq!(
            read(dir, &"./".repeat(2048)),
            Err(Errno::NameTooLong),
            "{area}"
        );
        let nofollow = OpenOptions {
            follow: false,
            ..READ
        };
        assert_eq!(file(dir, "l", &nofollow).err(), Some(Errno::Loop), "{area}");
        assert_eq!(
            file(dir, "f", &DIRECTORY).err(),
            Some(Errno::NotDir),
            "{area}"
        );
        assert_eq!(file(dir, "d", &WRITE).err(), Some(Errno::IsDir), "{area}");
        let handle = file(dir, "f", &READ).expect("open");
        assert_eq!(handle.write_at(b"no", 0), Err(Errno::BadFd), "{area}");
        assert_eq!(handle.set_len(0), Err(Errno::Invalid), "{area}");
        let mut two = [0; 2];
        assert_eq!(
            (handle.read_at(&mut two, 5), &two),
            (Ok(2), b"nt"),
            "{area}"
        );
        assert_eq!(handle.read_at(&mut two, 7), Ok(0), "{area}");
        assert_eq!(handle.read_at(&mut two, u64::MAX).unwrap_or(0), 0, "{area}");
    });
}

#[test]
fn write() {
    everywhere(|dir, area| {
        let before = dir.stat_at(b"f", true).expect("stat");
        let reader = file(dir, "f", &READ).expect("open");
        let writer = file(
            dir,
            "f",
            &OpenOptions {
                read: true,
                ..WRITE
            },
        )
        .expect("open");
        assert_eq!(writer.write_at(b"XY", 1), Ok(2), "{area}");
        assert_eq!(read(dir, "f").as_deref(), Ok("cXYtent"), "{area}");
        assert_eq!(read_all(&writer).as_deref(), Ok(&b"cXYtent"[..]), "{area}");
        // As overlayfs: what was opened below stays there.
        let want: &[u8] = if area == "low" {
            b"content"
        } else {
            b"cXYtent"
        };
        assert_eq!(read_all(&reader).as_deref(), Ok(want), "{area}");
        assert_eq!(
            file(dir, "f", &APPEND).expect("open").append(b"!"),
            Ok(1),
            "{area}"
        );
        assert_eq!(
            file(dir, "l", &WRITE).expect("open").write_at(b"z", 9),
            Ok(1),
            "{area}"
        );
        assert_eq!(read(dir, "f").as_deref(), Ok("cXYtent!\0z"), "{area}");
        writer.set_len(3).expect("cut");
        assert_eq!(writer.allocate(0, 5), Ok(()), "{area}");
        assert_eq!(read(dir, "f").as_deref(), Ok("cXY\0\0"), "{area}");
        writer
            .sync_data()
            .and_then(|()| writer.sync_all())
            .and_then(|()| dir.sync())
            .expect("sync");
        drop(file(dir, "f", &TRUNCATE).expect("open"));
        let after = dir.stat_at(b"f", true).expect("stat");
        assert_eq!((after.size, after.mode), (0, before.mode), "{area}");
        // Cutting while opening for reading only is allowed.
        drop(
            file(
                dir,
                "d/x",
                &OpenOptions {
                    truncate: true,
                    ..READ
                },
            )
            .expect("open"),
        );
        assert_eq!(read(dir, "d/x").as_deref(), Ok(""), "{area}");
    });
}

#[test]
fn create() {
    everywhere(|dir, area| {
        for (path, options, want) in [
            ("new", CREATE, Ok(())),
            ("new", CREATE, Ok(())),
            ("new", NEW, Err(Errno::Exist)),
            ("f", NEW, Err(Errno::Exist)),
            ("l", NEW, Err(Errno::Exist)),
            ("dangling", NEW, Err(Errno::Exist)),
            ("d", NEW, Err(Errno::Exist)),
            ("d", CREATE, Err(Errno::IsDir)),
            ("d/", CREATE, Err(Errno::IsDir)),
            ("new2/", CREATE, Err(Errno::IsDir)),
            ("none/new", CREATE, Err(Errno::NoEntry)),
            ("f/new", CREATE, Err(Errno::NotDir)),
            ("loop", CREATE, Err(Errno::Loop)),
            ("d/new", NEW, Ok(())),
            ("ld/sub/new", NEW, Ok(())),
            ("dangling", CREATE, Ok(())),
            (
                "x",
                OpenOptions {
                    directory: true,
                    ..CREATE
                },
                Err(Errno::Invalid),
            ),
        ] {
            assert_eq!(
                file(dir, path, &options).map(drop),
                want,
                "{area}: {path} {options:?}"
            );
        }
        assert_eq!(
            dir.stat_at(b"nowhere", false).map(|stat| stat.kind),
            Ok(FileKind::File),
            "{area}: through a link"
        );
        assert_eq!(
            names(dir, "d").expect("list"),
            ["new", "sub", "x"],
            "{area}"
        );
        if area != "mnt" && !is_memory(area) {
            let mode = |path| dir.stat_at(path, true).map(|stat| stat.mode);
            assert_eq!(mode(b"new"), Ok(0o644), "{area}: whatever the host's umask");
            assert_eq!(
                file(dir, ".wh.new", &CREATE).err(),
                Some(Errno::Invalid),
                "{area}"
            );
            assert_eq!(dir.create_dir(b".wh.new"), Err(Errno::Invalid), "{area}");
            assert_eq!(
                dir.symlink(b"x", b".wh..wh..opq"),
                Err(Errno::Invalid),
                "{area}"
            );
            assert_eq!(
                dir.rename(b"f", dir, b".wh.f"),
                Err(Errno::Invalid),
                "{area}"
            );
            assert_eq!(
                dir.hard_link(b"f", false, dir, b".wh.f"),
                Err(Errno::Invalid),
                "{area}"
            );
        }
    });
}

#[test]
fn create_and_remove_directories() {
    everywhere(|dir, area| {
        for (path, want) in [
            ("n", Ok(())),
            ("n/m/", Ok(())),
            ("n", Err(Errno::Exist)),
            ("f", Err(Errno::Exist)),
            ("dangling", Err(Errno::Exist)),
            (".", Err(Errno::Exist)),
            ("none/x", Err(Errno::NoEntry)),
            ("f/x", Err(Errno::NotDir)),
        ] {
            assert_eq!(dir.create_dir(b(path)), want, "{area}: mkdir {path}");
        }
        for (path, want) in [
            ("n", Err(Errno::NotEmpty)),
            ("n/m", Ok(())),
            ("n/", Ok(())),
            ("n", Err(Errno::NoEntry)),
            ("d", Err(Errno::NotEmpty)),
            ("e", Ok(())),
            ("f", Err(Errno::NotDir)),
            ("ld", Err(Errno::NotDir)),
            (".", Err(Errno::Invalid)),
            ("d/..", Err(Errno::NotEmpty)),
        ] {
            assert_eq!(dir.remove_dir(b(path)), want, "{area}: rmdir {path}");
        }
        // A directory that comes back is empty, and none of the old one's files shine through.
        for path in ["d/x", "d/sub/y"] {
            dir.remove_file(b(path)).expect("unlink");
        }
        dir.remove_dir(b"d/sub")
            .and_then(|()| dir.remove_dir(b"d"))
            .expect("rmdir");
        assert_eq!(
            dir.stat_at(b"d", true).map(drop),
            Err(Errno::NoEntry),
            "{area}"
        );
        dir.create_dir(b"d").expect("mkdir");
        assert_eq!(names(dir, "d"), Ok(vec![]), "{area}");
        super::write(dir, "d/x", "again").expect("write");
        assert_eq!(names(dir, "d").expect("list"), ["x"], "{area}");
    });
}

#[test]
fn remove_files() {
    everywhere(|dir, area| {
        for (path, want) in [
            ("f/", Err(Errno::NotDir)),
            ("f", Ok(())),
            ("f", Err(Errno::NoEntry)),
            ("l", Ok(())),
            ("abs", Ok(())),
            ("d/x", Ok(())),
            ("pipe", Ok(())),
            ("d", Err(Errno::IsDir)),
            ("d/", Err(Errno::IsDir)),
            ("ld/", Err(Errno::NotDir)),
            (".", Err(Errno::IsDir)),
        ] {
            if path == "pipe" && is_memory(area) {
                continue;
            }
            assert_eq!(dir.remove_file(b(path)), want, "{area}: {path}");
        }
        assert_eq!(
            names(dir, ".").expect("list"),
            ["d", "dangling", "e", "ld", "loop"],
            "{area}"
        );
        super::write(dir, "f", "back").expect("write");
        assert_eq!(read(dir, "f").as_deref(), Ok("back"), "{area}");
        dir.remove_file(b"f").expect("unlink");
        assert_eq!(read(dir, "f"), Err(Errno::NoEntry), "{area}");
    });
}

#[test]
fn links() {
    everywhere(|dir, area| {
        for (path, want) in [
            ("l", Ok("f".to_owned())),
            ("abs", Ok(format!("/{area}/f"))),
            ("f", Err(Errno::Invalid)),
            ("d", Err(Errno::Invalid)),
            ("ld/", Err(Errno::Invalid)),
            ("none", Err(Errno::NoEntry)),
        ] {
            assert_eq!(
                dir.read_link(b(path)),
                want.map(String::into_bytes),
                "{area}: {path}"
            );
        }
        for (target, path, want) in [
            ("any/../thing", "s", Ok(())),
            ("x", "s", Err(Errno::Exist)),
            ("x", "l", Err(Errno::Exist)),
            ("x", "none/s", Err(Errno::NoEntry)),
            ("x", "s2/", Err(Errno::NoEntry)),
            ("", "s2", Err(Errno::NoEntry)),
        ] {
            assert_eq!(
                dir.symlink(b(target), b(path)),
                want,
                "{area}: {target} {path}"
            );
        }
        assert_eq!(
            dir.read_link(b"s").as_deref(),
            Ok(&b"any/../thing"[..]),
            "{area}"
        );
        assert_eq!(
            dir.symlink(&[b'x'; 4096], b"s3"),
            Err(Errno::NameTooLong),
            "{area}"
        );

        for (from, follow, to, want) in [
            ("f", false, "h", Ok(())),
            ("l", true, "h2", Ok(())),
            ("l", false, "hl", Ok(())),
            ("f", false, "h", Err(Errno::Exist)),
            ("d", false, "hd", Err(Errno::NotPermitted)),
            ("none", false, "hn", Err(Errno::NoEntry)),
            ("f", false, "none/h", Err(Errno::NoEntry)),
            ("f", false, "h3/", Err(Errno::NoEntry)),
            ("f/", false, "h3", Err(Errno::NotDir)),
        ] {
            assert_eq!(
                dir.hard_link(b(from), follow, dir, b(to)),
                want,
                "{area}: {from} {to}"
            );
        }
        assert_eq!(dir.read_link(b"hl").as_deref(), Ok(&b"f"[..]), "{area}");
        super::write(dir, "h", "shared").expect("write");
        assert_eq!(read(dir, "f").as_deref(), Ok("shared"), "{area}");
        assert_eq!(
            dir.stat_at(b"h2", false).map(|stat| stat.nlink),
            Ok(3),
            "{area}"
        );
        let [one, other] = ["f", "h2"].map(|path| file(dir, path, &READ).expect("open"));
        assert!(one.is_same(&other), "{area}");
        assert!(
            !one.is_same(&file(dir, "d/x", &READ).expect("open")),
            "{area}"
        );
    });
}

#[test]
fn rename() {
    everywhere(|dir, area| {
        for (from, to, want) in [
            ("none", "x", Err(Errno::NoEntry)),
            ("f", "none/x", Err(Errno::NoEntry)),
            ("f", "f", Ok(())),
            ("f", "d", Err(Errno::IsDir)),
            ("d", "f", Err(Errno::NotDir)),
            ("e", "d", Err(Errno::NotEmpty)),
            ("d", "d/sub/in", Err(Errno::Invalid)),
            ("d/sub", "d", Err(Errno::NotEmpty)),
            ("d", "d", Ok(())),
            (".", "x", Err(Errno::Busy)),
            ("f", ".", Err(Errno::Busy)),
            ("f/", "g", Err(Errno::NotDir)),
            ("f", "g/", Err(Errno::NotDir)),
            ("d", "moved/", Ok(())),
            ("moved", "e", Ok(())),
            ("f", "e/x", Ok(())),
            ("ld", "e/link", Ok(())),
            ("l", "l2", Ok(())),
        ] {
            assert_eq!(dir.rename(b(from), dir, b(to)), want, "{area}: {from} {to}");
        }
        let mut left = names(dir, ".").expect("list");
        left.retain(|name| name != "pipe");
        assert_eq!(left, ["abs", "dangling", "e", "l2", "loop"], "{area}");
        assert_eq!(
            names(dir, "e").expect("list"),
            ["link", "sub", "x"],
            "{area}"
        );
        assert_eq!(read(dir, "e/x").as_deref(), Ok("content"), "{area}");
        assert_eq!(read(dir, "e/sub/y").as_deref(), Ok("deeper"), "{area}");
        assert_eq!(dir.read_link(b"e/link").as_deref(), Ok(&b"d"[..]), "{area}");
        // And back to names that are hidden in the image.
        dir.rename(b"e/x", dir, b"f")
            .and_then(|()| dir.rename(b"e", dir, b"d"))
            .expect("rename");
        assert_eq!(names(dir, "d").expect("list"), ["link", "sub"], "{area}");
        assert_eq!(read(dir, "f").as_deref(), Ok("content"), "{area}");
    });
}

#[test]
fn rename_over_a_directory_that_was_emptied() {
    everywhere(|dir, area| {
        for path in ["d/x", "d/sub/y"] {
            dir.remove_file(b(path)).expect("unlink");
        }
        dir.remove_dir(b"d/sub").expect("rmdir");
        super::write(dir, "e/file", "e").expect("write");
        dir.rename(b"e", dir, b"d").expect("rename");
        assert_eq!(names(dir, "d").expect("list"), ["file"], "{area}");
        assert_eq!(
            dir.stat_at(b"e", true).map(drop),
            Err(Errno::NoEntry),
            "{area}"
        );
    });
}

#[test]
fn stat() {
    everywhere(|dir, area| {
        let kind = |path: &str, follow| dir.stat_at(b(path), follow).map(|stat| stat.kind);
        for (path, follow, want) in [
            ("f", true, Ok(FileKind::File)),
            ("d", false, Ok(FileKind::Directory)),
            ("d/", false, Ok(FileKind::Directory)),
            ("l", false, Ok(FileKind::Symlink)),
            ("l", true, Ok(FileKind::File)),
            ("ld/", false, Ok(FileKind::Directory)),
            ("ld/.", false, Ok(FileKind::Directory)),
            ("dangling", false, Ok(FileKind::Symlink)),
            ("dangling", true, Err(Errno::NoEntry)),
            ("loop", true, Err(Errno::Loop)),
            ("pipe", true, Ok(FileKind::Fifo)),
            ("f/.", true, Err(Errno::NotDir)),
        ] {
            if path == "pipe" && is_memory(area) {
                continue;
            }
            assert_eq!(kind(path, follow), want, "{area}: {path} {follow}");
        }
        let stat = dir.stat_at(b"f", true).expect("stat");
        let mode = if is_memory(area) { 0o644 } else { 0o640 };
        assert_eq!((stat.size, stat.mode, stat.nlink), (7, mode, 1), "{area}");
        let handle = file(dir, "f", &READ).expect("open");
        assert_eq!(handle.stat(), Ok(stat), "{area}");
        assert_eq!(handle.ino(), Ok(stat.ino), "{area}");
        assert_eq!(
            dir.stat_at(b"l", false).map(|stat| stat.size),
            Ok(1),
            "{area}"
        );
        let d = directory(dir, "ld").expect("open");
        assert!(d.is_same(&directory(dir, "d").expect("open")), "{area}");
        assert!(!d.is_same(dir), "{area}");
        assert_eq!(d.stat(), dir.stat_at(b"d", true), "{area}");
    });
}

#[test]
fn times() {
    everywhere(|dir, area| {
        let at = |sec| SetTime::At(Timestamp { sec, nsec: 5 });
        let mtime = |path: &str| dir.stat_at(b(path), false).map(|stat| stat.mtime.sec);
        let all = SetTimes {
            atime: at(70),
            mtime: at(80),
        };
        for (path, follow, want) in [
            ("f", false, Ok(())),
            ("d", false, Ok(())),
            ("l", false, Ok(())),
            ("none", false, Err(Errno::NoEntry)),
            ("f/", false, Err(Errno::NotDir)),
        ] {
            assert_eq!(
                dir.set_times_at(b(path), follow, all),
                want,
                "{area}: {path}"
            );
        }
        assert_eq!(
            (mtime("f"), mtime("d"), mtime("l")),
            (Ok(80), Ok(80), Ok(80)),
            "{area}"
        );
        let stat = dir.stat_at(b"f", false).expect("stat");
        assert_eq!(stat.atime, Timestamp { sec: 70, nsec: 5 }, "{area}");
        assert_eq!(read(dir, "f").as_deref(), Ok("content"), "{area}");
        let mtime_only = |sec| SetTimes {
            atime: SetTime::Omit,
            mtime: at(sec),
        };
        dir.set_times_at(b"l", true, mtime_only(90))
            .expect("through the link");
        assert_eq!((mtime("f"), mtime("l")), (Ok(90), Ok(80)), "{area}");
        let handle = file(dir, "d/x", &READ).expect("open");
        handle.set_times(mtime_only(100)).expect("by handle");
        handle.set_times(mtime_only(101)).expect("by handle");
        assert_eq!(
            (mtime("d/x"), handle.stat().map(|stat| stat.mtime.sec)),
            (Ok(101), Ok(101)),
            "{area}"
        );
        assert_eq!(
            (mtime("d"), read(dir, "d/x").as_deref()),
            (Ok(80), Ok("deep")),
            "{area}: copy-up is no change"
        );
        let d = directory(dir, "d/sub").expect("open");
        d.set_times(mtime_only(110)).expect("by handle");
        assert_eq!(
            (d.stat().map(|stat| stat.mtime.sec), mtime("d/sub")),
            (Ok(110), Ok(110)),
            "{area}"
        );
        dir.set_times_at(
            b"f",
            false,
            SetTimes {
                atime: SetTime::Omit,
                mtime: SetTime::Now,
            },
        )
        .expect("now");
        assert!(mtime("f").expect("stat") > 1_000_000_000, "{area}");
        let broken = SetTimes {
            atime: SetTime::Omit,
            mtime: SetTime::At(Timestamp {
                sec: 0,
                nsec: 1_000_000_000,
            }),
        };
        assert_eq!(
            dir.set_times_at(b"f", false, broken),
            Err(Errno::Invalid),
            "{area}"
        );
    });
}

#[test]
fn nothing_changes_where_nothing_may() {
    let (world, _) = world();
    let low = World::with_lower(
        tempfile::tempdir().expect("a directory"),
        world.lower.clone(),
    );
    let bare = GuestFs::builder(world.lower.clone()).mount(
        "/mnt",
        mount_dir(&world.path("mnt")),
        Access::ReadOnly,
    );
    let flagged = low.builder().read_only(true).mount(
        "/mnt",
        mount_dir(&world.path("mnt")),
        Access::ReadOnly,
    );
    for builder in [bare, flagged] {
        let root = builder.build().expect("built").root();
        for area in ["low", "mnt"] {
            let dir = directory(&root, area).expect("the area");
            assert!(!dir.writable());
            let before = snapshot(&dir);
            let d = directory(&dir, "d").expect("a handle");
            let reader = file(&dir, "f", &READ).expect("open for reading");
            let times = SetTimes {
                atime: SetTime::Now,
                mtime: SetTime::Now,
            };
            for (what, got) in [
                ("create", file(&dir, "new", &CREATE).map(drop)),
                ("write", file(&dir, "f", &WRITE).map(drop)),
                ("append", file(&dir, "f", &APPEND).map(drop)),
                (
                    "truncate",
                    file(
                        &dir,
                        "f",
                        &OpenOptions {
                            truncate: true,
                            ..READ
                        },
                    )
                    .map(drop),
                ),
                ("mkdir", dir.create_dir(b"new")),
                ("rmdir", dir.remove_dir(b"e")),
                ("unlink", dir.remove_file(b"f")),
                ("unlink what is not there", dir.remove_file(b"none")),
                ("rename", dir.rename(b"f", &dir, b"g")),
                ("rename", d.rename(b"x", &dir, b"x")),
                ("link", dir.hard_link(b"f", false, &dir, b"g")),
                ("symlink", dir.symlink(b"f", b"g")),
                ("times", dir.set_times_at(b"f", true, times)),
                ("times of a directory", dir.set_times_at(b"d", true, times)),
                ("times by handle", d.set_times(times)),
                ("times by file handle", reader.set_times(times)),
            ] {
                assert_eq!(got, Err(Errno::ReadOnly), "{area}: {what}");
            }
            assert_eq!(
                dir.create_dir(b"d"),
                Err(Errno::Exist),
                "{area}: first what is there"
            );
            assert_eq!(read(&dir, "f").as_deref(), Ok("content"), "{area}");
            assert_eq!(snapshot(&dir), before, "{area}");
        }
    }
    assert_eq!(low.upper_paths(), Vec::<String>::new());
}

/// What lies in the upper afterwards is an unpacked OCI layer of the changes, and nothing more.
#[test]
fn the_upper_is_a_layer() {
    let (world, fs) = world();
    fs::remove_dir_all(world.path("upper/up")).expect("an empty upper");
    let root = fs.root();
    super::write(&root, "low/f", "changed").expect("write");
    root.remove_file(b"low/l").expect("unlink");
    root.rename(b"low/d/sub", &root, b"low/sub")
        .expect("rename");
    root.remove_file(b"low/d/x")
        .and_then(|()| root.remove_dir(b"low/d"))
        .expect("remove");
    root.remove_dir(b"low/e")
        .and_then(|()| root.create_dir(b"low/e"))
        .expect("replace");
    assert_eq!(
        world.upper_paths(),
        [
            "low",
            "low/.wh.d",
            "low/.wh.l",
            "low/e",
            "low/e/.wh..wh..opq",
            "low/f",
            "low/sub",
            "low/sub/.wh..wh..opq",
            "low/sub/y",
        ]
    );
    let mut left: Vec<_> = fs::read_dir(world.path("work"))
        .expect("work")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["copies", "lock", "users"], "and nothing unfinished");
    super::write(&root, "low/d", "a file now").expect("write");
    super::write(&root, "low/l", "too").expect("write");
    assert!(
        !world
            .upper_paths()
            .iter()
            .any(|path| path.contains(".wh.d") || path.contains(".wh.l"))
    );
}

#[test]
fn copy_up_keeps_what_the_image_says() {
    let old = Timestamp { sec: 1234, nsec: 0 };
    let world = World::new(|lower| {
        let root = lower.root();
        let d = lower.add_dir(root, b"d", 0o1750).expect("a directory");
        let x = lower.add_file(d, b"x", 0o4751, b"x").expect("a file");
        lower.add_link(d, b"same", x).expect("a hard link");
        for node in [d, x] {
            lower.set_mtime(node, old).expect("its time");
        }
    });
    let root = world.guest();
    let directory_before = root.stat_at(b"d", true).expect("stat");
    assert_eq!(root.stat_at(b"d/x", true).map(|stat| stat.nlink), Ok(2));
    drop(file(&root, "d/x", &WRITE).expect("copy-up"));
    let stat = root.stat_at(b"d/x", true).expect("stat");
    assert_eq!(
        (stat.mtime, stat.mode, stat.nlink),
        (old, 0o4751, 1),
        "all but the hard link"
    );
    let copy = fs::metadata(world.path("upper/d/x")).expect("the copy");
    assert_eq!(copy.permissions().mode() & 0o6000, 0, "not on the host");
    assert_eq!(
        root.stat_at(b"d/same", true).map(|stat| stat.mode),
        Ok(0o4751)
    );
    let after = root.stat_at(b"d", true).expect("stat");
    assert_eq!(
        (after.mtime, after.mode, after.ino),
        (old, 0o1750, directory_before.ino)
    );
}

/// Nothing here needs privileges: what the image protects from its owner is still the guest's to change.
#[test]
fn modes_of_the_image_do_not_stop_the_guest() {
    let world = World::new(|lower| {
        let d = lower
            .add_dir(lower.root(), b"d", 0o555)
            .expect("a directory");
        lower.add_file(d, b"x", 0o000, b"x").expect("a file");
        lower.add_dir(d, b"sub", 0o000).expect("a directory");
    });
    let root = world.guest();
    super::write(&root, "d/x", "new").expect("write");
    super::write(&root, "d/sub/y", "y").expect("create");
    assert_eq!(read(&root, "d/x").as_deref(), Ok("new"));
    root.rename(b"d/sub", &root, b"sub").expect("rename");
    root.rename(b"d", &root, b"sub/d").expect("rename");
    assert_eq!(read(&root, "sub/d/x").as_deref(), Ok("new"));
}

/// The lower's bytes on another host file system than the upper: then the kernel may leave the copying to us.
#[cfg(target_os = "linux")]
#[test]
fn copy_up_between_host_file_systems() {
    let memory = rustix::fs::memfd_create("layer", rustix::fs::MemfdFlags::CLOEXEC)
        .expect("a file in memory");
    let mut lower = MemoryLower::new(memory.into());
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    lower
        .add_file(lower.root(), b"before", 0o644, b"not this")
        .expect("a file");
    lower
        .add_file(lower.root(), b"f", 0o644, &content)
        .expect("a file");
    lower
        .add_file(lower.root(), b"after", 0o644, b"nor this")
        .expect("a file");
    let world = World::with_lower(tempfile::tempdir().expect("a directory"), Arc::new(lower));
    let root = world.guest();
    assert_eq!(
        file(&root, "f", &APPEND).expect("copy-up").append(b"!"),
        Ok(1)
    );
    let copy = read_all(&file(&root, "f", &READ).expect("open")).expect("read");
    assert!(copy == [content, b"!".to_vec()].concat());
}
