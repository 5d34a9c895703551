//! Layers that mean harm, or are damaged.

use std::io::{self, Read};

use tar::EntryType;

use super::super::encode::encode;
use super::super::limits::MAX_EXTENDED_HEADER_BYTES;
use super::super::scan::scan;
use super::super::source::Stream;
use super::super::{LayerError, Limits, TarError, TreeIndex};
use super::{Blob, Tar, World, gzip, index_of, plain_header, refused};
use crate::digest::Digest;
use crate::media_type::{OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD};

fn prepare_error(world: &World, blobs: &[Blob]) -> LayerError {
    let image = world.image(blobs);
    let error = world.layers.prepare(&world.store, &image);
    let error = error.expect_err("must be refused");
    assert_eq!(world.layers.prepared(&image).expect("searched"), None);
    error
}

#[test]
fn paths_that_leave() {
    for path in ["../x", "a/../../x", "/..", "../../../../etc/passwd"] {
        let error = refused(&Tar::default().file(path, b"").end());
        assert!(matches!(error, TarError::Outside { .. }), "{error}");
    }
    let error = refused(
        &Tar::default()
            .file("a", b"")
            .hard_link("b", "../../etc/passwd")
            .end(),
    );
    assert!(matches!(error, TarError::Outside { .. }), "{error}");
}

#[test]
fn hard_links_to_nothing() {
    let error = refused(&Tar::default().hard_link("here", "nowhere/at/all").end());
    assert_eq!(
        error.to_string(),
        "\"here\" is a hard link to \"nowhere/at/all\", which this layer does not have before it"
    );
    // Later is too late: tar programs unpack in order.
    let error = refused(&Tar::default().hard_link("a", "b").file("b", b"").end());
    assert!(matches!(error, TarError::LinkTarget { .. }), "{error}");
    let error = refused(&Tar::default().hard_link("a", "a").end());
    assert!(matches!(error, TarError::LinkTarget { .. }), "{error}");
    let error = refused(&Tar::default().dir("d", 0o755).hard_link("e", "d").end());
    assert!(matches!(error, TarError::LinkToDirectory { .. }), "{error}");
    let error = refused(&Tar::default().hard_link("e", "/").end());
    assert!(matches!(error, TarError::Root), "{error}");
}

#[test]
fn paths_through_what_is_no_directory() {
    let error = refused(&Tar::default().file("a", b"").file("a/b", b"").end());
    assert!(matches!(error, TarError::NotDirectory { .. }), "{error}");
    let error = refused(
        &Tar::default()
            .symlink("a", "b")
            .symlink("b", "a")
            .file("a/c", b"")
            .end(),
    );
    assert!(matches!(error, TarError::Loop { .. }), "{error}");
    let error = refused(&Tar::default().file("./", b"").end());
    assert!(matches!(error, TarError::Root), "{error}");
}

#[test]
fn whiteouts_of_nothing() {
    for path in [".wh.", "d/.wh..", ".wh...", ".wh.x/below"] {
        let error = refused(&Tar::default().file(path, b"").end());
        assert!(
            matches!(error, TarError::Whiteout { .. }),
            "{path}: {error}"
        );
    }
}

#[test]
fn sparse_files() {
    let error = refused(
        &Tar::default()
            .entry(b"disk", EntryType::GNUSparse, b"", b"")
            .end(),
    );
    assert_eq!(
        error.to_string(),
        "\"disk\" is a GNU sparse file, which a layer may not hold"
    );
    let error = refused(
        &Tar::default()
            .pax(&[(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")])
            .file("GNUSparseFile.0/disk", b"")
            .end(),
    );
    assert!(matches!(error, TarError::Sparse { .. }), "{error}");
}

#[test]
fn unknown_kinds() {
    let error = refused(
        &Tar::default()
            .entry(b"v", EntryType::new(b'V'), b"", b"")
            .end(),
    );
    assert_eq!(error.to_string(), "\"v\" is of the unknown kind 'V'");
}

#[test]
fn headers_that_readers_disagree_about() {
    let two = Tar::default()
        .pax(&[(b"path", b"a")])
        .pax(&[(b"path", b"b")]);
    let error = refused(&two.file("c", b"").end());
    assert!(matches!(error, TarError::Repeated { .. }), "{error}");
    let error = refused(&Tar::default().pax(&[(b"path", b"a")]).end());
    assert!(matches!(error, TarError::Dangling), "{error}");
    let mut lone = Tar::default().file("a", b"");
    lone.0.extend_from_slice(&[0; 512]);
    let error = refused(&lone.file("b", b"").end());
    assert!(matches!(error, TarError::LoneZeroBlock { .. }), "{error}");
    let error = refused(
        &Tar::default()
            .entry(b"x", EntryType::XHeader, b"", b"junk")
            .end(),
    );
    assert!(matches!(error, TarError::Pax { .. }), "{error}");
    for (key, value) in [
        (&b"size"[..], &b"-1"[..]),
        (b"size", b"99999999999999999999"),
        (b"uid", b"4294967296"),
        (b"gid", b"x"),
        (b"mtime", b"now"),
    ] {
        let error = refused(&Tar::default().pax(&[(key, value)]).file("f", b"").end());
        assert!(matches!(error, TarError::Number { .. }), "{error}");
    }
    let error = refused(
        &Tar::default()
            .pax(&[(b"path", b"a\0b")])
            .file("f", b"")
            .end(),
    );
    assert!(matches!(error, TarError::NulInPath { .. }), "{error}");
}

#[test]
fn long_headers_are_refused_before_they_are_read() {
    for kind in [
        EntryType::XHeader,
        EntryType::XGlobalHeader,
        EntryType::GNULongName,
        EntryType::GNULongLink,
    ] {
        let size = MAX_EXTENDED_HEADER_BYTES + 1;
        let error = refused(
            &Tar::default()
                .raw(&mut plain_header(b"x", kind, size), b"")
                .end(),
        );
        assert!(matches!(error, TarError::ExtendedHeader { .. }), "{error}");
    }
    let long = vec![b'n'; 5000];
    let error = refused(&Tar::default().pax(&[(b"path", &long)]).file("x", b"").end());
    assert!(
        matches!(error, TarError::PathTooLong { len: 5000, .. }),
        "{error}"
    );
    let error = refused(
        &Tar::default()
            .pax(&[(b"linkpath", &long)])
            .symlink("x", "y")
            .end(),
    );
    assert!(
        matches!(error, TarError::PathTooLong { len: 5000, .. }),
        "{error}"
    );
    let error = refused(
        &Tar::default()
            .pax(&[(b"path", &long[..256])])
            .file("x", b"")
            .end(),
    );
    assert!(
        matches!(error, TarError::NameTooLong { len: 256, .. }),
        "{error}"
    );
    let deep = b"d/".repeat(1025);
    let error = refused(&Tar::default().pax(&[(b"path", &deep)]).file("x", b"").end());
    assert!(matches!(error, TarError::TooDeep { .. }), "{error}");
}

#[test]
fn attributes_that_are_too_long() {
    let value = vec![0; (64 << 10) + 1];
    let tar = Tar::default().pax(&[(b"SCHILY.xattr.user.x", &value)]);
    let error = refused(&tar.file("x", b"").end());
    assert!(matches!(error, TarError::XattrValue { .. }), "{error}");
    let name = [&b"SCHILY.xattr."[..], &[b'n'; 256]].concat();
    let error = refused(&Tar::default().pax(&[(&name, b"v")]).file("x", b"").end());
    assert!(matches!(error, TarError::XattrName { .. }), "{error}");
}

#[test]
fn cut_and_damaged_archives() {
    let tar = Tar::default()
        .pax(&[(b"path", b"long")])
        .file("f", &[1; 700])
        .dir("d", 0o755)
        .end();
    for cut in 0..tar.len() - 1024 {
        let result = index_of(&tar[..cut]);
        // At the end of an entry a cut cannot be told from an archive without an end mark, nor in the padding behind it
        // from what umoci writes.
        assert_eq!(
            result.is_ok(),
            matches!(cut, 0 | 2236..=2560 | 3072),
            "cut at {cut}"
        );
    }
    for at in (0..512).step_by(7) {
        let mut tar = Tar::default().file("f", b"").end();
        tar[at] ^= 0x15;
        assert!(index_of(&tar).is_err(), "byte {at}");
    }
    assert!(matches!(refused(&[b'x'; 600]), TarError::Checksum { .. }));
}

#[test]
fn too_many_names() {
    let mut tar = Tar::default();
    for name in 0..20 {
        tar = tar.file(&format!("d/{name}"), b"");
    }
    let tar = tar.end();
    assert!(scan(&mut Stream::new(&tar[..]), 22).is_ok());
    let error = scan(&mut Stream::new(&tar[..]), 20).expect_err("too many");
    assert!(
        matches!(error, TarError::TooManyNames { limit: 20 }),
        "{error}"
    );
    // The same name over and over counts too.
    let mut tar = Tar::default();
    for _ in 0..50 {
        tar = tar.file("x", b"");
    }
    let error = scan(&mut Stream::new(&tar.end()[..]), 20).expect_err("too many");
    assert!(
        matches!(error, TarError::TooManyNames { limit: 20 }),
        "{error}"
    );
}

/// An archive of so many empty files, a thousand to a directory, made as it is read.
struct Files {
    left: u32,
    block: Vec<u8>,
}

impl Read for Files {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() && self.left > 0 {
            self.left -= 1;
            let path = format!("d{}/f{}", self.left / 1000, self.left);
            self.block = Tar::default().file(&path, b"").0;
        }
        let count = (&self.block[..]).read(buffer)?;
        self.block.drain(..count);
        Ok(count)
    }
}

#[test]
fn a_million_entries() {
    let files = |left| {
        let block = Vec::new();
        Stream::new(Files { left, block })
    };
    let million = 1_000_000;
    let tree = scan(&mut files(million), Limits::default().names).expect("taken");
    let encoder = encode(&tree, &Digest::sha256_of(b""), Limits::default().names);
    let mut bytes = Vec::new();
    encoder
        .expect("an index")
        .write(&mut bytes)
        .expect("memory");
    let index = TreeIndex::open(&bytes[..]).expect("sound");
    // The root, and a directory for each thousand.
    assert_eq!(index.node_count(), million + million / 1000 + 1);
    let directory = index
        .lookup(index.root(), b"d999")
        .expect("sound")
        .expect("there");
    let file = index.lookup(directory, b"f999999").expect("sound");
    assert!(file.is_some());

    let error = scan(&mut files(million), million / 10).expect_err("too many");
    assert!(matches!(error, TarError::TooManyNames { .. }), "{error}");
}

/// Each path is short, but leads through 40 links of 500 components.
#[test]
fn detours_end() {
    let mut tar = Tar::default();
    let detour = "./".repeat(45);
    for link in 0..30 {
        tar = tar.symlink(&format!("l{link}"), &format!("{detour}l{}", link + 1));
    }
    tar = tar.dir("l30", 0o755);
    for file in 0..50 {
        tar = tar.file(&format!("l0/{file}"), b"");
    }
    let error = scan(&mut Stream::new(&tar.end()[..]), 200).expect_err("too far");
    assert!(matches!(error, TarError::Loop { .. }), "{error}");
}

#[test]
fn a_wrong_diff_id_leaves_nothing() {
    for make in [Blob::gzip, Blob::zstd, Blob::plain] {
        let world = World::new();
        let mut blob = make(&Tar::default().file("f", b"x").end());
        let got = std::mem::replace(&mut blob.diff_id, Digest::sha256_of(b"other"));
        match prepare_error(&world, &[blob.clone()]) {
            LayerError::DiffId { got: g, want, .. } => assert_eq!((g, want), (got, blob.diff_id)),
            error => panic!("{error}"),
        }
        assert!(world.files().is_empty(), "{:?}", world.files());
    }
}

#[test]
fn cut_blobs_leave_nothing() {
    let world = World::new();
    let tar = Tar::default().file("f", &[7; 3000]).end();
    for make in [Blob::gzip, Blob::zstd, Blob::plain] {
        let whole = make(&tar);
        for len in (0..whole.bytes.len()).step_by(whole.bytes.len() / 13) {
            let mut blob = whole.clone();
            blob.bytes.truncate(len);
            prepare_error(&world, &[blob]);
        }
    }
    assert!(world.files().is_empty(), "{:?}", world.files());
}

#[test]
fn a_blob_damaged_on_disk_leaves_nothing() {
    let world = World::new();
    let blob = Blob::plain(&Tar::default().file("f", b"content").end());
    let image = world.image(std::slice::from_ref(&blob));
    let path = world
        .store
        .root()
        .join("blobs/sha256")
        .join(blob.diff_id.hex());
    let mut bytes = blob.bytes;
    // In the content, where tar has no checksum.
    bytes[515] ^= 1;
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, bytes).expect("written");
    let error = world
        .layers
        .prepare(&world.store, &image)
        .expect_err("damaged");
    assert!(matches!(error, LayerError::Read { .. }), "{error}");
    assert!(world.files().is_empty(), "{:?}", world.files());
}

#[test]
fn bytes_after_the_compressed_content() {
    let world = World::new();
    let mut blob = Blob::gzip(&Tar::default().file("f", b"x").end());
    blob.bytes.extend_from_slice(b"more");
    prepare_error(&world, &[blob]);
    assert!(world.files().is_empty(), "{:?}", world.files());
}

#[test]
fn media_types_that_lie() {
    let tar = Tar::default().file("f", b"x").end();
    for (make, media_type) in [
        (Blob::gzip as fn(&[u8]) -> Blob, OCI_LAYER),
        (Blob::gzip, OCI_LAYER_ZSTD),
        (Blob::zstd, OCI_LAYER_GZIP),
        (Blob::plain, OCI_LAYER_GZIP),
    ] {
        let mut blob = make(&tar);
        blob.media_type = media_type;
        let error = prepare_error(&World::new(), &[blob]);
        assert!(matches!(error, LayerError::Compression { .. }), "{error}");
    }
}

#[test]
fn bombs() {
    let tar = Tar::default().file("zeros", &vec![0; 4 << 20]).end();
    let world = World::with_limits(Limits {
        layer_bytes: 1 << 20,
        ..Limits::default()
    });
    let error = prepare_error(&world, &[Blob::gzip(&tar)]);
    assert!(
        matches!(
            error,
            LayerError::TooLarge {
                limit: 1_048_576,
                ..
            }
        ),
        "{error}"
    );
    assert!(world.files().is_empty(), "{:?}", world.files());

    // zstd packs these zeros tighter than deflate ever could; gzip at its best stays within the limit.
    let world = World::with_limits(Limits {
        free_bytes: 1 << 20,
        ..Limits::default()
    });
    let bomb = Blob::zstd(&tar);
    assert!(tar.len() > 10_000 * bomb.bytes.len(), "it is one");
    let error = prepare_error(&world, &[bomb]);
    assert!(matches!(error, LayerError::Expansion { .. }), "{error}");
    assert!(world.files().is_empty(), "{:?}", world.files());
    assert_eq!(world.prepared(&[Blob::gzip(&tar)]).len(), 2);
    assert!(gzip(&tar).len() * 1100 > tar.len());
}
