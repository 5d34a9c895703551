//! Landlock's part.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use coracle_runtime::sandbox::wall::{Place, WallSpec};
use libc::{EACCES, EPERM, EXDEV};

use crate::child::{Ended, Errno, Ground, behind, errno, errno_of, whole_wall};

fn tries(spec: WallSpec, act: impl FnOnce() -> Vec<Errno>) -> Vec<Errno> {
    match behind(spec, act) {
        Ended::Said(errors) => errors,
        Ended::Killed(signal) => panic!("killed by signal {signal}"),
    }
}

#[test]
fn nothing_outside_is_opened() {
    if !whole_wall() {
        return;
    }
    let ground = Ground::new();
    let paths = [
        "/etc/shadow",
        "/etc/passwd",
        "/",
        "/proc/self/mem",
        "/proc/self/exe",
        "/proc/1/environ",
        "/dev/null",
        "/dev/zero",
    ];
    let errors = tries(ground.spec(), || {
        let mut errors: Vec<_> = paths
            .iter()
            .map(|path| errno_of(File::open(path)))
            .collect();
        errors.push(errno_of(File::open(ground.outside.join("file"))));
        errors.push(errno_of(File::create(ground.outside.join("new"))));
        errors.push(errno_of(fs::remove_file(ground.outside.join("file"))));
        errors.push(errno_of(
            OpenOptions::new().write(true).open("/proc/self/mem"),
        ));
        errors.push(errno_of(
            OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_TMPFILE)
                .write(true)
                .open(&ground.outside),
        ));
        errors
    });
    assert_eq!(errors, [EACCES; 13]);
    assert!(ground.outside.join("file").exists());
}

#[test]
fn links_and_dots_lead_nowhere() {
    if !whole_wall() {
        return;
    }
    let ground = Ground::new();
    std::os::unix::fs::symlink("/etc/passwd", ground.lower.join("absolute")).expect("link");
    std::os::unix::fs::symlink("../outside/file", ground.lower.join("relative")).expect("link");
    let errors = tries(ground.spec(), || {
        [
            "absolute",
            "relative",
            "../outside/file",
            "../../../../../../etc/passwd",
        ]
        .map(|path| errno_of(File::open(ground.lower.join(path))))
        .to_vec()
    });
    assert_eq!(errors, [EACCES; 4]);
}

#[test]
fn an_open_directory_opens_no_more_than_the_wall_lets() {
    if !whole_wall() {
        return;
    }
    let ground = Ground::new();
    let outside = Dir::open_ambient_dir(&ground.outside, ambient_authority()).expect("open");
    let lower = Dir::open_ambient_dir(&ground.lower, ambient_authority()).expect("open");
    let errors = tries(ground.spec(), || {
        vec![
            errno_of(outside.open("file")),
            errno_of(outside.create("new")),
            errno_of(lower.create("new")),
            errno_of(lower.open("file")),
        ]
    });
    assert_eq!(errors, [EACCES, EACCES, EACCES, 0]);
}

#[test]
fn what_may_be_read_is_not_changed() {
    if !whole_wall() {
        return;
    }
    let ground = Ground::new();
    let errors = tries(ground.spec(), || {
        let inside = |name| ground.lower.join(name);
        vec![
            errno_of(fs::read(inside("file"))),
            errno_of(fs::read_dir(&ground.lower)),
            errno_of(File::create(inside("new"))),
            errno_of(OpenOptions::new().append(true).open(inside("file"))),
            errno_of(
                OpenOptions::new()
                    .read(true)
                    .custom_flags(libc::O_TRUNC)
                    .open(inside("file")),
            ),
            errno_of(fs::remove_file(inside("file"))),
            errno_of(fs::create_dir(inside("dir"))),
            errno_of(fs::rename(inside("file"), inside("other"))),
            errno_of(std::os::unix::fs::symlink("x", inside("link"))),
            errno_of(fs::rename(inside("file"), ground.upper.join("taken"))),
            errno_of(fs::hard_link(inside("file"), ground.upper.join("taken"))),
        ]
    });
    assert_eq!(
        errors,
        [
            0, 0, EACCES, EACCES, EACCES, EACCES, EACCES, EACCES, EACCES, EACCES, EXDEV
        ]
    );
    assert_eq!(fs::read(ground.lower.join("file")).expect("read"), b"lower");
}

#[test]
fn what_may_be_written_can_be_worked_with() {
    let ground = Ground::new();
    let errors = tries(ground.spec(), || {
        let inside = |name: &str| ground.upper.join(name);
        let written = File::create(inside("status.tmp")).and_then(|mut file| {
            std::io::Write::write_all(&mut file, b"{}")?;
            file.lock()?;
            file.set_len(1)?;
            file.sync_all()
        });
        vec![
            errno_of(written),
            errno_of(fs::rename(inside("status.tmp"), inside("status"))),
            errno_of(fs::create_dir(inside("dir"))),
            errno_of(std::os::unix::fs::symlink("/nowhere", inside("dir/link"))),
            errno_of(fs::rename(inside("status"), inside("dir/status"))),
            errno_of(fs::hard_link(inside("dir/status"), inside("status"))),
            errno_of(fs::copy(inside("file"), inside("copy"))),
            errno_of(fs::read_dir(inside("dir")).and_then(Iterator::collect::<Result<Vec<_>, _>>)),
            errno_of(fs::remove_dir_all(inside("dir"))),
            errno_of(fs::remove_file(inside("status"))),
        ]
    });
    assert_eq!(errors, [0; 10]);
    let mut left: Vec<_> = fs::read_dir(&ground.upper)
        .expect("list")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["copy", "file"]);
}

#[test]
fn a_single_file_can_be_granted() {
    if !whole_wall() {
        return;
    }
    let ground = Ground::new();
    let file = |dir: &Path| Place::Path(dir.join("file"));
    fs::write(ground.lower.join("neighbour"), "").expect("write");
    let spec = WallSpec {
        read: vec![file(&ground.lower)],
        read_write: vec![file(&ground.upper)],
        ..WallSpec::default()
    };
    let errors = tries(spec, || {
        vec![
            errno_of(fs::read(ground.lower.join("file"))),
            errno_of(fs::write(ground.lower.join("file"), "")),
            errno_of(fs::read(ground.lower.join("neighbour"))),
            errno_of(fs::write(ground.upper.join("file"), "new")),
            errno_of(fs::write(ground.upper.join("neighbour"), "")),
            errno_of(fs::remove_file(ground.upper.join("file"))),
        ]
    });
    assert_eq!(errors, [0, EACCES, EACCES, 0, EACCES, EACCES]);
}

#[test]
fn no_special_files_and_no_foreign_attributes() {
    let ground = Ground::new();
    let handle = File::open(ground.upper.join("file")).expect("open");
    let errors = tries(ground.spec(), || {
        use std::os::fd::AsRawFd;
        let fifo = c"fifo".as_ptr();
        let passwd = c"/etc/passwd".as_ptr();
        // SAFETY: the paths are C strings that live for ever, the handle is open.
        unsafe {
            vec![
                errno(libc::mknod(fifo, libc::S_IFIFO | 0o600, 0).into()),
                errno(libc::chmod(passwd, 0o777).into()),
                errno(libc::fchmodat(libc::AT_FDCWD, passwd, 0o777, 0).into()),
                errno(libc::chown(passwd, 0, 0).into()),
                errno(libc::fchown(handle.as_raw_fd(), 0, 0).into()),
                errno(libc::truncate(passwd, 0).into()),
                errno(
                    libc::fsetxattr(
                        handle.as_raw_fd(),
                        c"user.x".as_ptr(),
                        [0_u8; 1].as_ptr().cast(),
                        1,
                        0,
                    )
                    .into(),
                ),
                errno(libc::chdir(c"/".as_ptr()).into()),
            ]
        }
    });
    // The guest's file system keeps what it knows of a copy in such an attribute, so a file that is open may have one.
    assert_eq!(errors, [EPERM, EPERM, EPERM, EPERM, EPERM, EPERM, 0, EPERM]);
}

#[test]
fn a_granted_place_must_exist() {
    let ground = Ground::new();
    let spec = WallSpec {
        read: vec![Place::Path(ground.lower.join("absent"))],
        ..WallSpec::default()
    };
    let Ended::Said(message) = crate::child::in_child(|| {
        coracle_runtime::sandbox::wall::raise(&spec)
            .expect_err("must fail")
            .to_string()
    }) else {
        panic!("killed")
    };
    if !message.contains("absent") {
        panic!("the message does not name the place: {message}");
    }
}

#[test]
fn a_new_directory_in_a_writable_one_is_writable() {
    let ground = Ground::new();
    let errors = tries(ground.spec(), || {
        let dir = ground.upper.join("a/b/c");
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir);
        vec![
            errno_of(made),
            errno_of(fs::write(dir.join("file"), "x")),
            errno_of(fs::metadata(dir.join("file"))),
        ]
    });
    assert_eq!(errors, [0; 3]);
}
