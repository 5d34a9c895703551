//! Random trees of files through GNU tar and bsdtar, compared with what the host's file system says of them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::{NodeKind, scanned};

/// Program, format, and whether the format keeps fractions of seconds, or names of any length and any bytes.
const WRITERS: [(&str, &str, bool, bool); 6] = [
    ("tar", "gnu", false, true),
    ("tar", "oldgnu", false, true),
    ("tar", "posix", true, true),
    ("tar", "ustar", false, false),
    ("bsdtar", "pax", true, true),
    ("bsdtar", "gnutar", false, true),
];

#[derive(Clone, Debug)]
enum Make {
    File {
        content: Vec<u8>,
        mode: u32,
        mtime: u64,
        nsec: u32,
    },
    Directory {
        mode: u32,
    },
    Symlink(Vec<u8>),
    /// To one of the files before it.
    HardLink(prop::sample::Index),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-c]{1,2}".prop_map(String::into_bytes),
        1 => "[a-z]{90,120}".prop_map(String::into_bytes),
        1 => Just("größe".into()),
        1 => Just(b"odd\xff\xfe\n name".to_vec()),
        1 => Just(b"  two  words ".to_vec()),
    ]
}

fn make() -> impl Strategy<Value = Make> {
    prop_oneof![
        4 => (prop::collection::vec(any::<u8>(), 0..1500), 0o400u32..0o7777, 0..4_000_000_000u64, 0..1_000_000_000u32)
            .prop_map(|(content, mode, mtime, nsec)| Make::File { content, mode: mode | 0o400, mtime, nsec }),
        2 => (0o700u32..0o1777).prop_map(|mode| Make::Directory { mode: mode | 0o700 }),
        1 => name().prop_map(Make::Symlink),
        1 => any::<prop::sample::Index>().prop_map(Make::HardLink),
    ]
}

/// Makes what can be made; a name that is taken, or lies below a file, is left out.
fn build(root: &Path, makes: &[(Vec<Vec<u8>>, Make)]) {
    let mut files: Vec<PathBuf> = Vec::new();
    for (path, make) in makes {
        let path = path.iter().fold(root.to_owned(), |path, part| {
            path.join(OsStr::from_bytes(part))
        });
        if fs::create_dir_all(path.parent().unwrap_or(root)).is_err()
            || path.symlink_metadata().is_ok()
        {
            continue;
        }
        match make {
            Make::File {
                content,
                mode,
                mtime,
                nsec,
            } => {
                fs::write(&path, content).expect("a file");
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).expect("a mode");
                let file = fs::File::options().read(true).open(&path).expect("a file");
                let time = UNIX_EPOCH + Duration::new(*mtime, *nsec);
                file.set_modified(time).expect("a time");
                files.push(path);
            }
            Make::Directory { mode } => {
                fs::create_dir(&path).expect("a folder");
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).expect("a mode");
            }
            Make::Symlink(target) => symlink(OsStr::from_bytes(target), &path).expect("a link"),
            Make::HardLink(to) => {
                if !files.is_empty() {
                    fs::hard_link(to.get(&files), &path).expect("a link");
                }
            }
        }
    }
}

fn paths(root: &Path, below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root.join(below)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = below.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            paths(root, &path, found);
        }
        found.push(path);
    }
}

fn compare(root: &Path, writer: &(&str, &str, bool, bool)) {
    let (program, format, fractions, any_name) = writer;
    let mut all = Vec::new();
    paths(root, Path::new(""), &mut all);
    let plain = |path: &PathBuf| {
        let bytes = path.as_os_str().as_bytes();
        bytes.len() < 100 && bytes.is_ascii()
    };
    if !any_name && !all.iter().all(plain) {
        return;
    }
    let output = Command::new(program)
        .args(["-c", "-f", "-", "--format", format, "-C"])
        .arg(root)
        .arg(".")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; ./tests/run.sh installs it"));
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {format}: {problems}");
    let tree = scanned(&output.stdout);
    assert_eq!(tree.len(), all.len() + 1, "{program} {format}");
    for path in &all {
        let what = format!("{program} {format} {path:?}");
        let host = fs::symlink_metadata(root.join(path)).expect("metadata");
        let seen = tree
            .get(path.as_os_str().as_bytes())
            .unwrap_or_else(|| panic!("{what} is not there"));
        if !host.is_symlink() {
            assert_eq!(seen.mode, host.mode() & 0o7777, "{what}");
        }
        assert_eq!((seen.uid, seen.gid), (host.uid(), host.gid()), "{what}");
        let nsec = if *fractions { host.mtime_nsec() } else { 0 };
        let mtime = (seen.mtime.0, i64::from(seen.mtime.1));
        assert_eq!(mtime, (host.mtime(), nsec), "{what}");
        if host.is_dir() {
            assert_eq!(seen.kind, NodeKind::Directory, "{what}");
        } else if host.is_symlink() {
            let target = fs::read_link(root.join(path)).expect("a link");
            assert_eq!(seen.link, target.as_os_str().as_bytes(), "{what}");
        } else {
            assert_eq!(u64::from(seen.nlink), host.nlink(), "{what}");
            let start = usize::try_from(seen.offset).expect("in memory");
            let end = start + usize::try_from(seen.size).expect("in memory");
            let content = fs::read(root.join(path)).expect("a file");
            assert_eq!(output.stdout[start..end], content, "{what}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn are_read_as_they_are(makes in prop::collection::vec((prop::collection::vec(name(), 1..4), make()), 1..25)) {
        let dir = tempfile::TempDir::new().expect("temporary directory");
        build(dir.path(), &makes);
        for writer in &WRITERS {
            compare(dir.path(), writer);
        }
    }
}
