//! Archives of the host's own tar. Skipped, and said so, where there is none or another one than GNU's.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::{NodeKind, scanned};

fn gnu_tar(args: &[&str], dir: &Path) -> Option<Vec<u8>> {
    let version = Command::new("tar").arg("--version").output().ok()?;
    if !version.stdout.starts_with(b"tar (GNU tar)") {
        return None;
    }
    let output = Command::new("tar")
        .args(args)
        .arg("-C")
        .arg(dir)
        .arg(".")
        .output()
        .ok()?;
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problems}");
    Some(output.stdout)
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn each_format() {
    let dir = tempfile::TempDir::new().expect("temporary directory");
    let root = dir.path().join("root");
    let deep = root.join("d").join("x".repeat(60)).join("y".repeat(60));
    fs::create_dir_all(&deep).expect("directory");
    fs::write(deep.join("file"), b"content").expect("file");
    fs::write(root.join("plain"), b"12345").expect("file");
    fs::hard_link(root.join("plain"), root.join("same")).expect("link");
    symlink("d/../plain", root.join("link")).expect("link");
    fs::set_permissions(root.join("plain"), fs::Permissions::from_mode(0o640)).expect("mode");
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff\n name");
    fs::write(root.join(odd), b"").expect("file");

    for format in ["v7", "ustar", "gnu", "oldgnu", "pax"] {
        if format == "v7" {
            // It cannot hold the deep path.
            fs::rename(root.join("d"), dir.path().join("d")).expect("rename");
        }
        let Some(tar) = gnu_tar(&["-c", "--format", format], &root) else {
            eprintln!("skipped: no GNU tar");
            return;
        };
        if format == "v7" {
            fs::rename(dir.path().join("d"), root.join("d")).expect("rename");
        }
        let tree = scanned(&tar);
        let plain = &tree[&b"plain"[..]];
        let host = fs::metadata(root.join("plain")).expect("metadata");
        assert_eq!((plain.size, plain.mode), (5, 0o640), "{format}");
        assert_eq!((plain.uid, plain.gid), (host.uid(), host.gid()), "{format}");
        assert_eq!(plain.mtime.0, host.mtime(), "{format}");
        assert_eq!(&tar[plain.offset as usize..][..5], b"12345", "{format}");
        assert_eq!(
            (plain.nlink, plain.inode),
            (2, tree[&b"same"[..]].inode),
            "{format}"
        );
        assert_eq!(tree[&b"link"[..]].link, b"d/../plain", "{format}");
        assert!(tree.contains_key(&b"odd\xff\n name"[..]), "{format}");
        assert_eq!(tree[&b""[..]].kind, NodeKind::Directory, "{format}");
        assert!(!tree[&b""[..]].implicit, "{format}");
        if format == "pax" {
            assert_eq!(i64::from(plain.mtime.1), host.mtime_nsec());
        }
        if format != "v7" {
            let path = deep.strip_prefix(&root).expect("below").join("file");
            let file = &tree[path.as_os_str().as_bytes()];
            assert_eq!(&tar[file.offset as usize..][..7], b"content", "{format}");
        }
    }
}
