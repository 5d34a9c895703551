//! Layers and their indexes before a fuzzer.

use std::io::{self, Read as _, Write as _};

use super::encode::encode;
use super::field::BLOCK;
use super::index::TreeIndex;
use super::scan::scan;
use super::source::Stream;
use super::stream::{NewMember, StreamError, TarWriter, bounded, for_each_member};
use super::writer::Attributes;
use crate::digest::Digest;

/// Names that an archive may have here.
const NAMES: u32 = 10_000;
/// Uncompressed bytes of a compressed archive that are read here.
const MOST: u64 = 1 << 20;

/// Archives: what is taken has an index that can be walked. The same bytes are tried once more with the checksums that their
/// headers should have, without which hardly any change gets past the first.
pub(crate) fn tar(data: &[u8]) {
    scan_and_walk(data);
    let mut sound = data.to_vec();
    for block in sound.chunks_exact_mut(BLOCK as usize) {
        if block.iter().any(|byte| *byte != 0) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    // A content's blocks are changed as well, which does no harm.
    scan_and_walk(&sound);
    if let Ok(plain) = bounded(data) {
        let mut bytes = Vec::new();
        if plain.take(MOST).read_to_end(&mut bytes).is_ok() && bytes != data {
            scan_and_walk(&bytes);
        }
    }
    let visited = for_each_member(&sound[..], &mut |head, content| {
        let read = io::copy(content, &mut io::sink()).map_err(StreamError::Read)?;
        assert_eq!(read, head.size, "the whole content or an error");
        Ok::<(), StreamError>(())
    });
    drop(visited);
}

fn scan_and_walk(archive: &[u8]) {
    let Ok(tree) = scan(&mut Stream::new(archive), NAMES) else {
        return;
    };
    let Ok(encoder) = encode(&tree, &Digest::sha256_of(b""), NAMES) else {
        return;
    };
    let mut bytes = Vec::new();
    encoder.write(&mut bytes).expect("memory takes it");
    let index = TreeIndex::open(&bytes[..]).expect("an index that was just written");
    assert_eq!(
        walk(&index),
        Ok(index.node_count()),
        "each node has one place"
    );
}

/// Indexes: whatever the bytes are, every method returns, and no walk visits more than there is.
pub(crate) fn index(data: &[u8]) {
    let Ok(index) = TreeIndex::open(data) else {
        return;
    };
    if let Ok(seen) = walk(&index) {
        assert!(seen <= index.node_count());
    }
    for number in 0..index.node_count().min(NAMES) {
        drop(index.parent(number));
        let Ok(node) = index.node(number) else {
            continue;
        };
        let end = node.offset.checked_add(node.size);
        assert!(end.is_some(), "readers add them up");
        for attribute in node.xattrs {
            drop(attribute);
        }
    }
    for layer in 0..index.layer_count().min(NAMES) {
        drop(index.diff_id(layer));
    }
}

/// Walks over a tree as a reader does, and returns how many nodes it has seen.
fn walk<B: AsRef<[u8]>>(index: &TreeIndex<B>) -> Result<u32, super::IndexError> {
    let mut seen = 0_u32;
    let mut queue = vec![index.root()];
    while let Some(number) = queue.pop() {
        seen += 1;
        assert!(seen <= index.node_count(), "a walk goes in a circle");
        if index.node(number)?.kind == super::NodeKind::Directory {
            for child in index.children(number)? {
                let name = index.node(child)?.name;
                index.lookup(number, name)?;
                queue.push(child);
            }
        }
    }
    Ok(seen)
}

/// Archives to start from.
pub(crate) fn archives() -> Vec<Vec<u8>> {
    let attributes = Attributes {
        mode: 0o755,
        uid: 1000,
        mtime: 1,
        xattrs: [(b"user.a".to_vec(), b"b".to_vec())].into(),
        ..Attributes::default()
    };
    let long = [&b"deep/".repeat(40)[..], b"name"].concat();
    let mut writer = TarWriter::new(Vec::new());
    let mut add = |path: &[u8], member: NewMember<'_>| {
        let added = writer.member(path, &attributes, member);
        added.expect("memory takes it");
    };
    add(b"dir", NewMember::Directory);
    add(
        b"dir/app.wasm",
        NewMember::File(8, &mut &b"\0asm\x01\0\0\0"[..]),
    );
    add(b"hard", NewMember::HardLink(b"dir/app.wasm"));
    add(b"link", NewMember::Symlink(b"dir/app.wasm"));
    add(b".wh.gone", NewMember::File(0, &mut &b""[..]));
    add(b"dir/.wh..wh..opq", NewMember::File(0, &mut &b""[..]));
    add(&long, NewMember::File(600, &mut &[7; 600][..]));
    let plain = writer.finish().expect("memory takes it");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).expect("memory takes it");
    let gzip = gzip.finish().expect("memory takes it");
    let zstd = zstd::encode_all(&plain[..], 1).expect("memory takes it");
    vec![plain, gzip, zstd]
}

/// Indexes to start from.
pub(crate) fn indexes() -> Vec<Vec<u8>> {
    let plain = &archives()[0];
    let tree = scan(&mut Stream::new(&plain[..]), NAMES).expect("an archive");
    let encoder = encode(&tree, &Digest::sha256_of(plain), NAMES).expect("an index");
    let mut bytes = Vec::new();
    encoder.write(&mut bytes).expect("memory takes it");
    vec![bytes]
}
