//! New layers: the same bytes from the same entries, and what other programs read in them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};

use flate2::read::GzDecoder;

use super::super::{Attributes, LayerError, LayerWriter, TarError, WrittenLayer};
use super::{NodeKind, Seen, World, scanned};
use crate::digest::Digest;

fn mode(mode: u32) -> Attributes {
    Attributes {
        mode,
        uid: 1,
        gid: 2,
        mtime: 1_000_000_000,
        xattrs: BTreeMap::new(),
    }
}

fn finish(world: &World, writer: LayerWriter<'_>) -> WrittenLayer {
    writer.finish(&world.layers, &world.store).expect("written")
}

fn blob(world: &World, layer: &WrittenLayer) -> Vec<u8> {
    let digest = Digest::of(&layer.descriptor).expect("checked");
    world.store.read_blob(&digest, 1 << 30).expect("there")
}

fn tar(world: &World, layer: &WrittenLayer) -> Vec<u8> {
    let mut tar = Vec::new();
    let gzip = blob(world, layer);
    GzDecoder::new(&gzip[..])
        .read_to_end(&mut tar)
        .expect("gzip");
    tar
}

fn sample(order: impl Iterator<Item = usize>) -> LayerWriter<'static> {
    let mut writer = LayerWriter::new();
    for number in order {
        let result = match number {
            0 => writer.add_dir(b"usr", &mode(0o755)),
            1 => writer.add_dir(b"/usr/lib/", &mode(0o711)),
            2 => writer.add_bytes(b"./usr/lib/x", &mode(0o644), b"content"),
            3 => writer.add_symlink(b"usr/link", &mode(0o777), b"lib/x"),
            4 => writer.add_whiteout(b"usr/old", 0),
            5 => writer.add_opaque(b"etc", 0),
            6 => writer.add_bytes(b"usr-local", &mode(0o4755), b""),
            7 => writer.add_bytes("ü\n\u{1F6A3}".as_bytes(), &mode(0o600), b"x"),
            8 => writer.add_bytes(b"\xff\xfe", &mode(0o600), b"y"),
            _ => writer.add_bytes(&[&b"d/".repeat(300)[..], b"f"].concat(), &mode(0o600), b"z"),
        };
        result.expect("valid entry");
    }
    writer
}

#[test]
fn any_order_gives_the_same_bytes() {
    let world = World::new();
    let first = finish(&world, sample(0..10));
    for shift in 1..10 {
        let world = World::new();
        let layer = finish(
            &world,
            sample((0..10).map(|number| (number * 7 + shift) % 10)),
        );
        assert_eq!(layer, first);
    }
    // A digest that must not change by accident: images are named by it.
    assert_eq!(first.diff_id, Digest::sha256_of(&tar(&world, &first)));
    let gzip = blob(&world, &first);
    assert_eq!(&gzip[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    assert_eq!(first.descriptor.size(), gzip.len() as u64);
    assert_eq!(first.tar_bytes, tar(&world, &first).len() as u64);
}

#[test]
fn what_is_written_is_read() {
    let world = World::new();
    let layer = finish(&world, sample(0..10));
    let tar = tar(&world, &layer);
    let tree = scanned(&tar);
    assert_eq!(tree[&b"usr/lib"[..]].mode, 0o711);
    assert_eq!((tree[&b"usr"[..]].uid, tree[&b"usr"[..]].gid), (1, 2));
    assert_eq!(tree[&b"usr"[..]].mtime, (1_000_000_000, 0));
    let x = &tree[&b"usr/lib/x"[..]];
    assert_eq!(&tar[x.offset as usize..][..7], b"content");
    assert_eq!(tree[&b"usr/link"[..]].link, b"lib/x");
    assert_eq!(tree[&b"usr/link"[..]].kind, NodeKind::Symlink);
    assert!(tree[&b"usr/old"[..]].whiteout);
    assert!(tree[&b"etc"[..]].opaque && tree[&b"etc"[..]].implicit);
    assert_eq!(tree[&b"usr-local"[..]].mode, 0o4755);
    for path in ["ü\n\u{1F6A3}".as_bytes(), b"\xff\xfe"] {
        assert_eq!(tree[path].size, 1);
    }
    assert!(tree.contains_key(&[&b"d/".repeat(300)[..], b"f"].concat()));

    // The tar crate's own reader, which is not ours, sees the plain entries too.
    let mut archive = tar::Archive::new(&tar[..]);
    let paths: Vec<_> = archive
        .entries()
        .expect("archive")
        .map(|entry| entry.expect("entry").path_bytes().into_owned())
        .collect();
    assert_eq!(paths.len(), 10);
    assert!(paths.contains(&b"usr/lib/".to_vec()));
    assert!(paths.contains(&b"usr/.wh.old".to_vec()));
    assert!(paths.contains(&b"\xff\xfe".to_vec()));
    let parents = paths
        .iter()
        .position(|path| path == b"usr/")
        .expect("there");
    assert!(
        parents
            < paths
                .iter()
                .position(|path| path == b"usr/lib/x")
                .expect("there")
    );
}

#[test]
fn the_packed_form_is_that_of_the_blob() {
    let world = World::new();
    let layer = finish(&world, sample(0..10));
    let written = packed_files(&world, &layer);
    // Packed from the blob, in another store.
    let other = World::new();
    let blob = super::Blob {
        bytes: blob(&world, &layer),
        media_type: crate::media_type::OCI_LAYER_GZIP,
        diff_id: layer.diff_id.clone(),
    };
    other.prepared(&[blob]);
    assert_eq!(packed_files(&other, &layer), written);
}

fn packed_files(world: &World, layer: &WrittenLayer) -> [Vec<u8>; 2] {
    let dir = world.layers.layer_dir(&layer.diff_id);
    ["layer.tar", "index.v1"].map(|name| fs::read(dir.join(name)).expect("packed"))
}

/// pax where it is needed, and nowhere else.
#[test]
fn extended_headers() {
    let world = World::new();
    let pax_headers = |path: &[u8], attributes: &Attributes, target: &[u8]| {
        let mut writer = LayerWriter::new();
        writer.add_symlink(path, attributes, target).expect("valid");
        let tar = tar(&world, &finish(&world, writer));
        let tree = scanned(&tar);
        let node: &Seen = &tree[path];
        assert_eq!(
            (&node.link[..], node.uid, node.gid),
            (target, attributes.uid, attributes.gid)
        );
        assert_eq!(node.mtime, (attributes.mtime, 0));
        let xattrs: BTreeMap<_, _> = node.xattrs.iter().cloned().collect();
        assert_eq!(xattrs, attributes.xattrs);
        tar[156] == b'x'
    };
    let plain = mode(0o777);
    let fits = [&b"p".repeat(155)[..], b"/", &b"n".repeat(100)].concat();
    assert!(!pax_headers(b"short", &plain, b"target"));
    assert!(!pax_headers(&b"n".repeat(100), &plain, &b"t".repeat(100)));
    assert!(!pax_headers(&fits, &plain, b"t"));
    assert!(pax_headers(&b"n".repeat(101), &plain, b"t"));
    assert!(pax_headers(&[&b"p"[..], &fits].concat(), &plain, b"t"));
    assert!(pax_headers(&[&fits[..], b"n"].concat(), &plain, b"t"));
    assert!(pax_headers("ä".as_bytes(), &plain, b"t"));
    assert!(pax_headers(b"l", &plain, &b"t".repeat(101)));
    assert!(pax_headers(b"l", &plain, "ä".as_bytes()));
    for attributes in [
        Attributes {
            uid: 0o777_7777,
            ..plain.clone()
        },
        Attributes {
            mtime: 0o777_7777_7777,
            ..plain.clone()
        },
        Attributes {
            mtime: 0,
            ..plain.clone()
        },
    ] {
        assert!(!pax_headers(b"l", &attributes, b"t"));
    }
    let xattrs = BTreeMap::from([(b"user.x".to_vec(), b"\0\n=".to_vec())]);
    for attributes in [
        Attributes {
            uid: 0o1000_0000,
            ..plain.clone()
        },
        Attributes {
            gid: u32::MAX,
            ..plain.clone()
        },
        Attributes {
            mtime: -1,
            ..plain.clone()
        },
        Attributes {
            mtime: 0o1_0000_0000_0000,
            ..plain.clone()
        },
        Attributes {
            xattrs,
            ..plain.clone()
        },
    ] {
        assert!(pax_headers(b"l", &attributes, b"t"));
    }
}

#[test]
fn files_are_opened_one_by_one_in_order() {
    let opened = RefCell::new(Vec::new());
    let world = World::new();
    let mut writer = LayerWriter::new();
    for name in ["c", "a", "b"] {
        let opened = &opened;
        let content = vec![b'x'; 300_000];
        let open = Box::new(move || {
            opened.borrow_mut().push(name);
            Ok(Box::new(io::Cursor::new(content)) as Box<dyn Read>)
        });
        writer
            .add_file(name.as_bytes(), &mode(0o644), 300_000, open)
            .expect("valid");
    }
    let layer = finish(&world, writer);
    assert_eq!(*opened.borrow(), ["a", "b", "c"]);
    assert_eq!(scanned(&tar(&world, &layer))[&b"b"[..]].size, 300_000);
}

#[test]
fn a_known_layer_is_not_compressed_again() {
    let world = World::new();
    let layer = finish(&world, sample(0..10));
    let digest = Digest::of(&layer.descriptor).expect("checked");
    let path = world.store.root().join("blobs/sha256").join(digest.hex());
    let written = fs::metadata(&path).expect("blob").modified().expect("time");
    assert_eq!(finish(&world, sample(0..10)), layer);
    assert_eq!(
        fs::metadata(&path).expect("blob").modified().expect("time"),
        written
    );

    // Without the blob, with a record that is none, and with a blob of another compressor: compressed as at first.
    fs::remove_file(&path).expect("removed");
    assert_eq!(finish(&world, sample(0..10)), layer);
    assert!(path.exists());
    let record = world.layers.layer_dir(&layer.diff_id).join("blob.json");
    fs::write(&record, b"{").expect("written");
    assert_eq!(finish(&world, sample(0..10)), layer);
    let (other, size) = world.store.put_blob(b"another gzip").expect("store");
    let foreign = format!("{{\"encoder\":\"pigz\",\"digest\":\"{other}\",\"size\":{size}}}");
    fs::write(&record, foreign).expect("written");
    assert_eq!(finish(&world, sample(0..10)), layer);
    assert!(
        fs::read_to_string(&record)
            .expect("record")
            .contains(digest.hex())
    );
    assert!(!world.files().iter().any(|file| file.starts_with("tmp")));
}

#[test]
fn a_layer_on_a_base() {
    let world = World::new();
    let base = super::Blob::gzip(
        &super::Tar::default()
            .dir("etc", 0o700)
            .file("etc/x", b"")
            .end(),
    );
    let mut writer = LayerWriter::new();
    writer
        .add_bytes(b"etc/y", &mode(0o644), b"new")
        .expect("valid");
    writer.add_whiteout(b"etc/x", 0).expect("valid");
    let layer = finish(&world, writer);
    let top = super::Blob {
        bytes: blob(&world, &layer),
        media_type: crate::media_type::OCI_LAYER_GZIP,
        diff_id: layer.diff_id,
    };
    let tree = world.prepared(&[base, top]);
    assert_eq!(
        tree.keys().map(Vec::as_slice).collect::<Vec<_>>(),
        [&b""[..], b"etc", b"etc/y"]
    );
    assert_eq!(tree[&b"etc"[..]].mode, 0o700);
}

#[test]
fn an_empty_layer() {
    let world = World::new();
    let writer = LayerWriter::new();
    assert!(writer.is_empty());
    let layer = finish(&world, writer);
    // Docker's well-known empty layer.
    assert_eq!(
        layer.diff_id.hex(),
        "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    );
}

#[test]
fn entries_that_cannot_be() {
    let mut writer = LayerWriter::new();
    let file = mode(0o644);
    for path in [&b"../x"[..], b"a/../../b", b"a\0b", &[b'n'; 256]] {
        assert!(
            writer.add_bytes(path, &file, b"").is_err(),
            "{}",
            path.escape_ascii()
        );
    }
    for path in [
        &b".wh.x"[..],
        b"d/.wh.x",
        b".wh.x/y",
        b".wh..wh..opq",
        b".wh.",
    ] {
        match writer.add_bytes(path, &file, b"") {
            Err(LayerError::Entry {
                source: TarError::ReservedName { .. },
                ..
            }) => {}
            other => panic!("{}: {other:?}", path.escape_ascii()),
        }
    }
    assert!(writer.add_bytes(b"/", &file, b"").is_err());
    assert!(writer.add_whiteout(b".", 0).is_err());
    assert!(writer.add_whiteout(&[b'n'; 252], 0).is_err());
    assert!(writer.add_symlink(b"l", &file, b"").is_err());
    assert!(writer.add_symlink(b"l", &file, b"a\0").is_err());
    assert!(writer.add_symlink(b"l", &file, &[b't'; 5000]).is_err());
    for name in [&b""[..], b"user.a=b", &[b'n'; 256]] {
        let xattrs = BTreeMap::from([(name.to_vec(), Vec::new())]);
        let attributes = Attributes { xattrs, ..mode(0) };
        assert!(writer.add_dir(b"d", &attributes).is_err());
    }
    assert!(writer.is_empty());
}

#[test]
fn failures_leave_nothing() {
    let world = World::new();
    for size in [0, 4, 6, u64::MAX] {
        let mut writer = LayerWriter::new();
        let open = Box::new(|| Ok(Box::new(&b"12345"[..]) as Box<dyn Read>));
        writer
            .add_file(b"f", &mode(0o644), size, open)
            .expect("valid");
        let error = writer
            .finish(&world.layers, &world.store)
            .expect_err("another size");
        assert!(matches!(error, LayerError::Changed { .. }), "{error}");
    }
    let mut writer = LayerWriter::new();
    let open = Box::new(|| Err(io::ErrorKind::PermissionDenied.into()));
    writer.add_file(b"f", &mode(0o644), 1, open).expect("valid");
    let error = writer
        .finish(&world.layers, &world.store)
        .expect_err("unreadable");
    assert!(matches!(error, LayerError::Content { .. }), "{error}");

    let mut writer = LayerWriter::new();
    writer.add_bytes(b"f", &mode(0o644), b"").expect("valid");
    writer
        .add_bytes(b"f/below", &mode(0o644), b"")
        .expect("valid so far");
    let error = writer
        .finish(&world.layers, &world.store)
        .expect_err("below a file");
    assert!(matches!(error, LayerError::Tar { .. }), "{error}");
    assert!(world.files().is_empty(), "{:?}", world.files());
    drop(world.dir);
}

/// The compressor has faster ways on some processors: all of them must give the same bytes, or a build would have another
/// digest on another machine.
#[test]
fn a_blob_is_the_same_on_every_processor() {
    let mut text = Vec::new();
    let mut state = 1u32;
    for _ in 0..200_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Some words, some noise: matches of all lengths.
        match state >> 30 {
            0 => text.extend_from_slice(&state.to_le_bytes()),
            1 => text.extend_from_slice(b"the same words again "),
            _ => text.push(b'a' + (state >> 24) as u8 % 26),
        }
    }
    let world = World::new();
    let mut layer = LayerWriter::new();
    layer
        .add_bytes(b"text", &Attributes::default(), &text)
        .expect("valid");
    let written = layer.finish(&world.layers, &world.store).expect("written");
    assert_eq!(
        written.descriptor.digest().to_string(),
        "sha256:8aced1aeeacbdd14a0cbd155879a730e6d693fb2139e5ae1d044f08239fd938a"
    );
}
