//! Attempts to get out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;

const SECRET: &str = "the host's secret";

/// Links that lead to a host file if the host follows them, and to nothing in the guest's tree.
fn links(secret: &Path) -> Vec<(&'static str, String)> {
    let secret = secret.display();
    vec![
        ("absolute", secret.to_string()),
        ("passwd", "/etc/passwd".to_owned()),
        ("up", format!("{}{secret}", "../".repeat(30))),
        ("dots", format!("d/../../../..{secret}")),
        ("proc", format!("/proc/self/root{secret}")),
        ("chain", "absolute".to_owned()),
        ("root", "/".to_owned()),
        ("above", "..".to_owned()),
    ]
}

#[test]
fn links_in_lower_upper_and_mount_stay_inside() {
    let outside = tempfile::tempdir().expect("a directory");
    let secret = outside.path().join("secret");
    fs::write(&secret, SECRET).expect("a secret");
    let all = links(&secret);
    let world = World::new(|lower| {
        let low = lower
            .add_dir(lower.root(), b"low", 0o755)
            .expect("a directory");
        lower.add_dir(low, b"d", 0o755).expect("a directory");
        for (name, target) in &all {
            lower
                .add_symlink(low, name.as_bytes(), target.as_bytes())
                .expect("a link");
        }
    });
    let mnt = world.host_dir("mnt");
    fs::create_dir(mnt.join("d")).expect("a directory");
    for (name, target) in &all {
        symlink(target, mnt.join(name)).expect("a link");
    }
    let root = world
        .builder()
        .mount("/mnt", mount_dir(&mnt), Access::ReadWrite)
        .build()
        .expect("built")
        .root();
    root.create_dir(b"up")
        .and_then(|()| root.create_dir(b"up/d"))
        .expect("mkdir");
    for (name, target) in &all {
        root.symlink(target.as_bytes(), format!("up/{name}").as_bytes())
            .expect("a guest may make any link");
    }
    let inside = secret
        .strip_prefix("/")
        .expect("absolute")
        .to_str()
        .expect("plain");
    for area in ["low", "up", "mnt"] {
        let dir = directory(&root, area).expect("open");
        for (name, _) in &all {
            for (start, prefix) in [(&root, format!("{area}/")), (&dir, String::new())] {
                for path in [
                    name.to_string(),
                    format!("{name}/{inside}"),
                    format!("{name}/../{inside}"),
                    format!("d/../{name}"),
                ] {
                    let path = format!("{prefix}{path}");
                    assert!(read(start, &path).is_err(), "{area}: read {path}");
                    assert!(
                        start
                            .stat_at(path.as_bytes(), true)
                            .map_or(true, |stat| stat.kind == FileKind::Directory),
                        "{area}: stat {path}"
                    );
                    assert!(
                        file(start, &path, &TRUNCATE).is_err(),
                        "{area}: truncate {path}"
                    );
                    let times = SetTimes {
                        atime: SetTime::Omit,
                        mtime: SetTime::At(Timestamp { sec: 1, nsec: 0 }),
                    };
                    assert!(
                        path.contains(inside)
                            || name == &"root"
                            || name == &"above"
                            || start.set_times_at(path.as_bytes(), true, times).is_err(),
                        "{area}: {path}"
                    );
                }
            }
        }
        for path in [
            "../../etc/passwd",
            "..",
            "d/../../../etc/passwd",
            "/etc/passwd",
            "./../x",
        ] {
            assert_eq!(read(&dir, path), Err(Errno::NotPermitted), "{area}: {path}");
        }
    }
    assert_eq!(read(&root, "../etc/passwd"), Err(Errno::NotPermitted));
    // Creating through a link makes the guest's file, not the host's.
    let dangling = outside.path().join("made");
    root.symlink(dangling.to_str().expect("plain").as_bytes(), b"up/made")
        .expect("symlink");
    assert_eq!(write(&root, "up/made", "x"), Err(Errno::NoEntry));
    assert!(!dangling.exists());
    assert_eq!(fs::read_to_string(&secret).expect("still there"), SECRET);
    assert!(
        fs::metadata(&secret)
            .expect("stat")
            .modified()
            .expect("time")
            .elapsed()
            .expect("past")
            < Duration::from_secs(600)
    );
}

#[test]
fn long_chains_and_circles_end() {
    let world = World::new(|lower| {
        let root = lower.root();
        lower.add_file(root, b"0", 0o644, b"end").expect("a file");
        for number in 1..=50 {
            lower
                .add_symlink(
                    root,
                    format!("{number}").as_bytes(),
                    format!("{}", number - 1).as_bytes(),
                )
                .expect("a link");
        }
        lower.add_symlink(root, b"a", b"b/x").expect("a link");
        lower.add_symlink(root, b"b", b"a/y").expect("a link");
        lower
            .add_symlink(root, b"self", b"self/self/self/self")
            .expect("a link");
    });
    let root = world.guest();
    assert_eq!(read(&root, "40").as_deref(), Ok("end"));
    for path in ["41", "50", "a", "b/c", "self"] {
        assert_eq!(read(&root, path), Err(Errno::Loop), "{path}");
        assert_eq!(
            file(&root, path, &CREATE).err(),
            Some(Errno::Loop),
            "{path}"
        );
    }
}

/// An index that was tampered with can name anything.
#[test]
fn hostile_names_of_an_image_are_not_seen_and_not_copied() {
    let hostile: [&[u8]; 7] = [
        b"..",
        b".",
        b"",
        b"../../escape",
        b"nul\0byte",
        b".wh.gone",
        &[b'n'; 300],
    ];
    let world = World::new(|lower| {
        let d = lower
            .add_dir(lower.root(), b"d", 0o755)
            .expect("a directory");
        lower.add_file(d, b"good", 0o644, b"good").expect("a file");
        for name in hostile {
            lower.add_file(d, name, 0o644, b"bad").expect("a file");
        }
    });
    let root = world.guest();
    assert_eq!(names(&root, "d").expect("list"), ["good"]);
    root.rename(b"d", &root, b"e").expect("a copy of the tree");
    assert_eq!(
        world.upper_paths(),
        [".wh.d", "e", "e/.wh..wh..opq", "e/good"]
    );
    assert!(!world.path("escape").exists() && !world.path("upper/escape").exists());
}

#[test]
fn an_image_that_contains_itself_is_not_copied() {
    let world = World::new(|lower| {
        let d = lower
            .add_dir(lower.root(), b"d", 0o755)
            .expect("a directory");
        lower.add_link(d, b"d", d).expect("a circle");
    });
    let root = world.guest();
    assert_eq!(root.rename(b"d", &root, b"e"), Err(Errno::CrossDevice));
    assert_eq!(world.upper_paths(), Vec::<String>::new());
}

/// A tree that is too large, or has what can't be copied, is not moved, and nothing of it is copied.
#[test]
fn a_tree_beyond_the_limit_is_not_copied() {
    let world = World::new(|lower| {
        let big = lower
            .add_dir(lower.root(), b"big", 0o755)
            .expect("a directory");
        for number in 0..=limits::MAX_COPIED_TREE {
            lower
                .add_symlink(big, format!("{number}").as_bytes(), b"x")
                .expect("a link");
        }
        let odd = lower
            .add_dir(lower.root(), b"odd", 0o755)
            .expect("a directory");
        lower
            .add_special(odd, b"pipe", FileKind::Fifo)
            .expect("a pipe");
    });
    let root = world.guest();
    for name in [&b"big"[..], b"odd"] {
        assert_eq!(root.rename(name, &root, b"moved"), Err(Errno::CrossDevice));
    }
    assert_eq!(world.upper_paths(), Vec::<String>::new());
    assert_eq!(
        root.rename(b"odd/pipe", &root, b"p"),
        Err(Errno::NotPermitted)
    );
}

/// A layer that is shorter than its index says.
#[test]
fn missing_bytes_are_an_error_not_an_end() {
    let world = World::new(|lower| {
        lower
            .add_file(lower.root(), b"f", 0o644, b"0123456789")
            .expect("a file");
    });
    fs::File::options()
        .write(true)
        .open(world.path("layer"))
        .expect("the layer")
        .set_len(5)
        .expect("cut");
    let root = world.guest();
    assert_eq!(read(&root, "f"), Err(Errno::Io));
    assert_eq!(file(&root, "f", &WRITE).err(), Some(Errno::Io));
    assert_eq!(world.upper_paths(), Vec::<String>::new());
}

/// One thread swaps a directory in a mounted host directory with a link to the outside, the guest opens through it.
#[test]
fn a_race_in_a_mount_does_not_lead_out() {
    let world = World::new(|_| {});
    let mnt = world.host_dir("mnt");
    let outside = world.host_dir("outside");
    fs::write(outside.join("f"), SECRET).expect("a secret");
    let (dir, parked, link) = (mnt.join("dir"), mnt.join("parked"), mnt.join("link"));
    fs::create_dir(&dir).expect("a directory");
    fs::write(dir.join("f"), "inside").expect("a file");
    symlink(&outside, &link).expect("a link");
    let root = world
        .builder()
        .mount("/mnt", mount_dir(&mnt), Access::ReadWrite)
        .build()
        .expect("built")
        .root();
    let stop = AtomicBool::new(false);
    let mut seen = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&dir, &parked).expect("away");
                fs::rename(&link, &dir).expect("the link in its place");
                fs::rename(&dir, &link).expect("and back");
                fs::rename(&parked, &dir).expect("and back");
            }
        });
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            match read(&root, "mnt/dir/f") {
                Ok(content) => {
                    assert_eq!(content, "inside");
                    seen.0 += 1;
                }
                Err(_) => seen.1 += 1,
            }
            if let Ok(file) = file(&root, "mnt/dir/f", &APPEND) {
                assert_eq!(file.append(b""), Ok(0));
            }
            let _either = write(&root, "mnt/dir/made", "x");
            let _either = root.set_times_at(
                b"mnt/dir/f",
                true,
                SetTimes {
                    atime: SetTime::Omit,
                    mtime: SetTime::Omit,
                },
            );
            let _either = root.rename(b"mnt/dir/made", &root, b"mnt/dir/renamed");
            let _either = root.remove_file(b"mnt/dir/renamed");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(seen.0 > 0, "the guest never got through: {seen:?}");
    assert_eq!(
        fs::read_to_string(outside.join("f")).expect("the secret"),
        SECRET
    );
    assert_eq!(
        fs::read_dir(&outside).expect("list").count(),
        1,
        "nothing was made outside"
    );
}

/// A pipe with nobody at its other end must not stop the guest.
#[test]
fn a_pipe_that_appears_at_the_last_moment_is_refused_at_once() {
    let world = World::new(|_| {});
    let mnt = world.host_dir("mnt");
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        mnt.join("pipe"),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .expect("a pipe");
    // Without the look that comes before: what the open itself does.
    let dir = host::HostDir::from(open_dir(&mnt));
    assert_eq!(
        dir.open_file(b"pipe", true, false).err(),
        Some(Errno::NotPermitted)
    );
    assert_eq!(
        dir.open_file(b"pipe", false, true).err(),
        Some(Errno::NotPermitted)
    );
    assert_eq!(dir.open_file(b".", true, false).err(), Some(Errno::Invalid));
    assert_eq!(
        dir.open_file(b"a/b", true, false).err(),
        Some(Errno::Invalid)
    );
}
