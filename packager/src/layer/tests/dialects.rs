//! Every dialect of tar in use.

use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::super::limits::MAX_PATH_LEN;
use super::{NodeKind, Tar, plain_header, scanned};

const LONG: &str = "a-directory-with-a-long-name-that-alone-has-more-than-fifty-bytes/\
                    and-another-one-so-that-the-path-does-not-fit-into-the-hundred-bytes-of-a-header/file";

#[test]
fn ustar_prefix() {
    let mut header = plain_header(b"name", EntryType::Regular, 3);
    header.as_ustar_mut().expect("ustar").prefix[..7].copy_from_slice(b"a/deep/");
    let tree = scanned(&Tar::default().raw(&mut header, b"abc").end());
    assert_eq!(tree[&b"a/deep/name"[..]].size, 3);
    assert_eq!(tree[&b"a/deep/name"[..]].offset, 512);
    assert!(tree[&b"a/deep"[..]].implicit);
    assert_eq!(tree[&b"a"[..]].mode, 0o755);
}

#[test]
fn v7() {
    let mut file = Header::new_old();
    file.as_old_mut().name[..4].copy_from_slice(b"d/f\0");
    file.as_old_mut().linkflag = [0];
    file.set_size(1);
    // v7 marks a directory by its slash, and may leave numbers empty.
    let mut dir = Header::new_old();
    dir.as_old_mut().name[..2].copy_from_slice(b"d/");
    dir.as_old_mut().linkflag = [0];
    dir.as_old_mut().mode = *b"   755 \0";
    let tree = scanned(&Tar::default().raw(&mut dir, b"").raw(&mut file, b"x").end());
    assert_eq!(tree[&b"d"[..]].kind, NodeKind::Directory);
    assert_eq!(tree[&b"d"[..]].mode, 0o755);
    assert!(!tree[&b"d"[..]].implicit);
    assert_eq!(tree[&b"d/f"[..]].size, 1);
}

#[test]
fn gnu_long_names() {
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o4755);
    builder
        .append_data(&mut header, LONG, &b"hello"[..])
        .expect("memory");
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    builder
        .append_link(&mut header, "link", LONG)
        .expect("memory");
    let tree = scanned(&builder.into_inner().expect("memory"));
    let file = &tree[LONG.as_bytes()];
    assert_eq!((file.size, file.mode), (5, 0o4755));
    assert_eq!(tree[&b"link"[..]].link, LONG.as_bytes());
}

#[test]
fn gnu_big_numbers() {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[0] = b'f';
    header.set_entry_type(EntryType::Regular);
    header.set_size(0);
    header.set_uid(3_000_000_000);
    header.set_gid(u64::from(u32::MAX));
    header.as_old_mut().mtime = [0xff; 12];
    let tree = scanned(&Tar::default().raw(&mut header, b"").end());
    let file = &tree[&b"f"[..]];
    assert_eq!((file.uid, file.gid), (3_000_000_000, u32::MAX));
    assert_eq!(file.mtime, (-1, 0));
}

#[test]
fn pax() {
    let tar = Tar::default()
        .pax(&[
            (b"path", LONG.as_bytes()),
            (b"size", b"5"),
            (b"uid", b"4000000000"),
            (b"gid", b"7"),
            (b"mtime", b"1700000000.123456789"),
            (b"SCHILY.xattr.user.b", b"two\nlines\0"),
            (b"SCHILY.xattr.security.capability", b"\x01\0\0\x02\n=\xff"),
            (b"comment", b"ignored"),
        ])
        // A header may say 0 where pax has the size.
        .raw(&mut plain_header(b"short", EntryType::Regular, 0), b"hello")
        .pax(&[(b"linkpath", b"/t\xc3\xa4rget\nwith a line feed")])
        .symlink("link", "x")
        .file("after", b"1")
        .end();
    let tree = scanned(&tar);
    let file = &tree[LONG.as_bytes()];
    assert_eq!((file.size, file.uid, file.gid), (5, 4_000_000_000, 7));
    assert_eq!(file.mtime, (1_700_000_000, 123_456_789));
    assert_eq!(&tar[file.offset as usize..][..5], b"hello");
    assert_eq!(
        file.xattrs,
        [
            (
                b"security.capability".to_vec(),
                b"\x01\0\0\x02\n=\xff".to_vec()
            ),
            (b"user.b".to_vec(), b"two\nlines\0".to_vec()),
        ]
    );
    assert_eq!(tree[&b"link"[..]].link, b"/t\xc3\xa4rget\nwith a line feed");
    assert_eq!(tree[&b"after"[..]].uid, 0);
}

/// Two equal records, an empty record, both long-name formats: what Go's reader makes of them.
#[test]
fn pax_precedence() {
    let tree = scanned(
        &Tar::default()
            .pax(&[(b"path", b"first"), (b"path", b"last")])
            .file("short", b"")
            .pax(&[(b"path", b"first"), (b"path", b""), (b"mtime", b"")])
            .file("plain", b"")
            .pax(&[(b"path", b"pax")])
            .entry(b"l", EntryType::GNULongName, b"", b"gnu\0junk")
            .file("short", b"")
            .end(),
    );
    let names: Vec<_> = tree
        .keys()
        .map(|path| path.escape_ascii().to_string())
        .collect();
    assert_eq!(names, ["", "gnu", "last", "plain"]);
}

#[test]
fn global_headers_are_passed_over() {
    let mut data = Vec::new();
    super::super::pax::push_record(&mut data, b"path", b"everywhere");
    let tree = scanned(
        &Tar::default()
            .entry(b"pax_global_header", EntryType::XGlobalHeader, b"", &data)
            .file("f", b"")
            .end(),
    );
    assert_eq!(tree.len(), 2);
    assert!(tree.contains_key(&b"f"[..]));
}

#[test]
fn spellings_and_bytes_of_names() {
    let tree = scanned(
        &Tar::default()
            .dir("./", 0o700)
            .file("./a", b"")
            .file("/b", b"")
            .file("c//d/../e", b"")
            .entry(b"\xff\xfe \\n", EntryType::Regular, b"", b"")
            .end(),
    );
    let names: Vec<_> = tree
        .keys()
        .map(|path| path.escape_ascii().to_string())
        .collect();
    assert_eq!(names, ["", "a", "b", "c", "c/e", "\\xff\\xfe \\\\n"]);
    assert_eq!(tree[&b""[..]].mode, 0o700);
    assert!(!tree[&b""[..]].implicit);
}

#[test]
fn the_last_entry_of_a_name_holds() {
    let tar = Tar::default()
        .file("x", b"old")
        .file("x", b"newer")
        .dir("d", 0o700)
        .file("d/kept", b"")
        .dir("d", 0o711)
        .file("e/gone", b"")
        .symlink("e", "d")
        .symlink("f", "d")
        .dir("f", 0o755)
        .file("f/own", b"")
        .end();
    let tree = scanned(&tar);
    assert_eq!(tree[&b"x"[..]].size, 5);
    assert_eq!(tree[&b"d"[..]].mode, 0o711);
    assert!(tree.contains_key(&b"d/kept"[..]));
    assert_eq!(tree[&b"e"[..]].kind, NodeKind::Symlink);
    assert_eq!(tree[&b"f"[..]].kind, NodeKind::Directory);
    let names: Vec<_> = tree
        .keys()
        .map(|path| path.escape_ascii().to_string())
        .collect();
    assert_eq!(names, ["", "d", "d/kept", "e", "f", "f/own", "x"]);
}

/// As if unpacked: what goes through a link of the same layer lands where the link leads, and never outside.
#[test]
fn entries_below_symbolic_links() {
    let tree = scanned(
        &Tar::default()
            .symlink("lib", "usr/lib")
            .file("lib/a", b"")
            .dir("usr/lib", 0o700)
            .symlink("up", "../../../..")
            .file("up/top", b"")
            .symlink("usr/abs", "/usr/./lib/")
            .file("usr/abs/b", b"")
            .hard_link("same", "lib/a")
            .file("lib/.wh.c", b"")
            .end(),
    );
    let names: Vec<_> = tree
        .keys()
        .map(|path| path.escape_ascii().to_string())
        .collect();
    assert_eq!(
        names,
        [
            "",
            "lib",
            "same",
            "top",
            "up",
            "usr",
            "usr/abs",
            "usr/lib",
            "usr/lib/a",
            "usr/lib/b",
            "usr/lib/c"
        ]
    );
    assert!(tree[&b"usr/lib/c"[..]].whiteout);
    assert_eq!(tree[&b"same"[..]].inode, tree[&b"usr/lib/a"[..]].inode);
}

#[test]
fn hard_links() {
    let tar = Tar::default()
        .file("a", b"one")
        .hard_link("d/b", "./a")
        .hard_link("c", "/d/b")
        // Its name is replaced, the file lives on under the others.
        .file("a", b"two!")
        .hard_link("c", "c")
        .symlink("s", "a")
        .hard_link("t", "s")
        .end();
    let tree = scanned(&tar);
    let (b, c) = (&tree[&b"d/b"[..]], &tree[&b"c"[..]]);
    assert_eq!((b.inode, b.nlink, b.offset, b.size), (c.inode, 2, 512, 3));
    assert_eq!((c.nlink, c.offset), (2, 512));
    assert_eq!((tree[&b"a"[..]].size, tree[&b"a"[..]].nlink), (4, 1));
    assert_ne!(tree[&b"a"[..]].inode, b.inode);
    let (s, t) = (&tree[&b"s"[..]], &tree[&b"t"[..]]);
    assert_eq!(
        (t.kind, t.inode, &t.link[..]),
        (NodeKind::Symlink, s.inode, &b"a"[..])
    );
}

#[test]
fn devices_and_pipes() {
    let mut device = plain_header(b"dev/null", EntryType::Char, 0);
    device.set_device_major(1).expect("ustar");
    device.set_device_minor(3).expect("ustar");
    let mut disk = plain_header(b"dev/sda", EntryType::Block, 0);
    disk.set_device_major(8).expect("ustar");
    let tree = scanned(
        &Tar::default()
            .raw(&mut device, b"")
            .raw(&mut disk, b"")
            .entry(b"pipe", EntryType::Fifo, b"", b"")
            .end(),
    );
    assert_eq!(tree[&b"dev/null"[..]].kind, NodeKind::CharDevice);
    assert_eq!(tree[&b"dev/null"[..]].device, (1, 3));
    assert_eq!(tree[&b"dev/sda"[..]].kind, NodeKind::BlockDevice);
    assert_eq!(tree[&b"dev/sda"[..]].device, (8, 0));
    assert_eq!(tree[&b"pipe"[..]].kind, NodeKind::Fifo);
}

/// A size in the header of a link or directory does not mean that content follows.
#[test]
fn only_files_have_content() {
    let mut link = plain_header(b"l", EntryType::Symlink, 4096);
    link.as_old_mut().linkname[0] = b'x';
    let mut dir = plain_header(b"d", EntryType::Directory, 512);
    let tree = scanned(
        &Tar::default()
            .raw(&mut link, b"")
            .raw(&mut dir, b"")
            .file("f", b"here")
            .end(),
    );
    assert_eq!(tree.len(), 4);
    assert_eq!((tree[&b"l"[..]].size, tree[&b"f"[..]].size), (0, 4));
}

#[test]
fn webassembly_is_hashed() {
    let wasm = [b"\0asm\x01\0\0\0", &[7u8; 100_000][..]].concat();
    let tree = scanned(
        &Tar::default()
            .file("app.wasm", &wasm)
            .file("min", b"\0asm\x01\0\0\0")
            .file("short", b"\0asm\x01\0\0")
            .file("text", b"no wasm at all")
            .hard_link("again", "app.wasm")
            .end(),
    );
    let digest: [u8; 32] = Sha256::digest(&wasm).into();
    assert_eq!(tree[&b"app.wasm"[..]].sha256, Some(digest));
    assert_eq!(tree[&b"again"[..]].sha256, Some(digest));
    assert!(tree[&b"min"[..]].sha256.is_some());
    assert_eq!(tree[&b"short"[..]].sha256, None);
    assert_eq!(tree[&b"text"[..]].sha256, None);
}

#[test]
fn whiteouts() {
    let tree = scanned(
        &Tar::default()
            .file(".wh.gone", b"")
            .file("d/.wh..wh..opq", b"")
            .file("d/x", b"")
            .file("new", b"")
            .file(".wh.new", b"")
            .file("dir/.wh.sub", b"")
            .file("dir/sub/f", b"")
            .dir(".wh..wh.plnk", 0o700)
            .file(".wh..wh.plnk/17.42", b"")
            .file(".wh..wh.aufs", b"")
            .end(),
    );
    let names: Vec<_> = tree
        .keys()
        .map(|path| path.escape_ascii().to_string())
        .collect();
    assert_eq!(
        names,
        ["", "d", "d/x", "dir", "dir/sub", "dir/sub/f", "gone", "new"]
    );
    assert!(tree[&b"gone"[..]].whiteout);
    assert!(tree[&b"d"[..]].opaque && tree[&b"d"[..]].implicit);
    // A file replaces what is below it anyway.
    assert!(!tree[&b"new"[..]].whiteout);
    assert!(tree[&b"dir/sub"[..]].whiteout);
}

#[test]
fn ends() {
    let file = Tar::default().file("f", b"x").0;
    let with = |zeros: usize| scanned(&[&file[..], &vec![0; zeros]].concat()).len();
    // No mark, half a mark, a mark, and GNU tar's padding.
    assert_eq!([with(0), with(512), with(1024), with(9 * 1024)], [2; 4]);
    assert_eq!(scanned(b"").len(), 1);
    assert_eq!(scanned(&[0; 1024]).len(), 1);
}

#[test]
fn a_long_path() {
    let path = b"d/".repeat(MAX_PATH_LEN / 4 - 2);
    let tree = scanned(&Tar::default().pax(&[(b"path", &path)]).file("x", b"").end());
    assert_eq!(tree.len(), MAX_PATH_LEN / 4 - 1);
}

/// A hole in the middle stands for the content, so the test costs nothing: only headers are read.
#[test]
fn files_beyond_eight_gibibytes() {
    use std::io::{Seek, SeekFrom, Write};

    const SIZE: u64 = (9 << 30) + 1;
    let mut by_pax = plain_header(b"pax", EntryType::Regular, 0);
    let mut by_number = Header::new_gnu();
    by_number.as_old_mut().name[..6].copy_from_slice(b"number");
    by_number.set_entry_type(EntryType::Regular);
    by_number.set_mode(0o644);
    by_number.set_uid(0);
    by_number.set_gid(0);
    by_number.set_mtime(0);
    by_number.set_size(SIZE);
    assert_eq!(by_number.as_old().size[0] & 0x80, 0x80, "base 256");
    let size = SIZE.to_string();
    let mut file = tempfile::tempfile().expect("a file");
    let pax = Tar::default()
        .pax(&[(b"size", size.as_bytes())])
        .raw(&mut by_pax, b"")
        .0;
    file.write_all(&pax).expect("written");
    let after = SIZE.next_multiple_of(512);
    file.seek(SeekFrom::Current(after as i64)).expect("a hole");
    let number = Tar::default().raw(&mut by_number, b"").0;
    file.write_all(&number).expect("written");
    file.seek(SeekFrom::Current(after as i64)).expect("a hole");
    let last = Tar::default().file("last", b"end").end();
    file.write_all(&last).expect("written");
    file.rewind().expect("rewound");

    let index = super::index_from(&mut super::super::source::Seekable::new(file));
    let tree = super::walk(&index.expect("usable")).expect("sound");
    let (pax_at, number_at) = (pax.len() as u64, (pax.len() + number.len()) as u64 + after);
    for (name, offset) in [("pax", pax_at), ("number", number_at)] {
        let file = &tree[name.as_bytes()];
        assert_eq!((file.size, file.offset), (SIZE, offset), "{name}");
    }
    assert_eq!(tree[&b"last"[..]].offset, number_at + after + 512);
}
