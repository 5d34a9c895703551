//! Damaged indexes, and large ones.

use std::fmt::Write as _;
use std::time::Instant;

use proptest::prelude::*;
use tar::EntryType;

use super::super::source::{Source, Stream};
use super::super::{IndexError, NodeKind, TreeIndex};
use super::{Tar, index_from, walk};

fn sample() -> Vec<u8> {
    let tar = Tar::default()
        .dir("d", 0o755)
        .file("d/a", b"\0asm\x01\0\0\0")
        .hard_link("d/b", "d/a")
        .symlink("d/l", "a")
        .file("d/e/f/g", b"x")
        .pax(&[(b"SCHILY.xattr.user.x", b"value")])
        .file("z", b"")
        .file(".wh.w", b"")
        .entry(b"dev", EntryType::Char, b"", b"")
        .end();
    bytes_of(&mut Stream::new(&tar[..]))
}

fn bytes_of<S: Source>(source: &mut S) -> Vec<u8> {
    let tree = super::scan(source, super::NAMES).expect("usable");
    let id = crate::digest::Digest::sha256_of(b"");
    let mut bytes = Vec::new();
    let encoder = super::encode(&tree, &id, super::NAMES).expect("within limits");
    encoder.write(&mut bytes).expect("memory");
    bytes
}

/// Does all that can be done with an index. Only errors may come of it.
fn exercise(bytes: &[u8]) -> Result<(), IndexError> {
    let index = TreeIndex::open(bytes)?;
    for layer in 0..index.layer_count().min(10) {
        drop(index.diff_id(layer));
    }
    for node in 0..index.node_count().min(100) {
        drop(index.parent(node));
        drop(index.children(node));
        drop(index.lookup(node, b"a"));
        if let Ok(node) = index.node(node) {
            drop(node.xattrs.get(b"user.x"));
            assert!(node.xattrs.take(1000).count() < 1000);
        }
    }
    walk(&index).map(drop)
}

#[test]
fn the_sample_is_sound() {
    let bytes = sample();
    exercise(&bytes).expect("sound");
    let index = TreeIndex::open(bytes).expect("sound");
    let d = index
        .lookup(index.root(), b"d")
        .expect("sound")
        .expect("there");
    let a = index.lookup(d, b"a").expect("sound").expect("there");
    assert_eq!(index.node(a).expect("sound").nlink, 2);
    assert_eq!(index.lookup(d, b"A"), Ok(None));
    assert_eq!(index.lookup(d, b""), Ok(None));
    assert_eq!(index.lookup(d, b"zzz"), Ok(None));
    assert_eq!(
        index.lookup(a, b"x"),
        Err(IndexError::NotDirectory { node: a })
    );
    assert!(index.node(index.node_count()).is_err());
    assert!(index.node(u32::MAX).is_err());
    assert!(index.children(u32::MAX).is_err());
    assert!(index.diff_id(0).expect("sound").starts_with("sha256:e3b0"));
    assert!(index.diff_id(1).is_err());
    let z = index
        .lookup(index.root(), b"z")
        .expect("sound")
        .expect("there");
    let z = index.node(z).expect("sound");
    assert_eq!(z.xattrs.get(b"user.x"), Ok(Some(&b"value"[..])));
}

#[test]
fn cut_or_lengthened() {
    let bytes = sample();
    for len in 0..bytes.len() {
        assert!(TreeIndex::open(&bytes[..len]).is_err(), "{len}");
    }
    assert!(TreeIndex::open([&bytes[..], b"x"].concat()).is_err());
}

#[test]
fn another_version() {
    let mut bytes = sample();
    bytes[8] = 2;
    assert_eq!(
        TreeIndex::open(bytes).map(drop),
        Err(IndexError::Version { got: 2, want: 1 })
    );
}

#[test]
fn every_byte_damaged() {
    let bytes = sample();
    let mut noticed = 0;
    for at in 0..bytes.len() {
        for value in [
            0,
            1,
            0x7f,
            0x80,
            0xff,
            bytes[at] ^ 1,
            bytes[at].wrapping_add(1),
        ] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            noticed += usize::from(exercise(&damaged).is_err());
        }
    }
    // Most bytes are names, times and modes, of which any value is as good as another.
    assert!(noticed > bytes.len() / 4, "{noticed} of {}", bytes.len());
}

/// Directories that claim each other's children would be walked over again and again.
#[test]
fn shared_children_are_refused() {
    let tar = Tar::default()
        .dir("a", 0o755)
        .dir("b", 0o755)
        .file("a/x", b"")
        .end();
    let bytes = bytes_of(&mut Stream::new(&tar[..]));
    let index = TreeIndex::open(&bytes[..]).expect("sound");
    let b = index.lookup(0, b"b").expect("sound").expect("there");
    let x = index.node_count() - 1;
    let at = 128 + b as usize * 80 + 48;
    let mut damaged = bytes.clone();
    damaged[at..at + 8].copy_from_slice(&(u64::from(x) << 32 | 1).to_le_bytes());
    let index = TreeIndex::open(damaged).expect("the header is sound");
    assert_eq!(
        index.children(b),
        Err(IndexError::Node {
            node: x,
            field: "parent"
        })
    );
    assert!(index.lookup(b, b"x").is_err());
    // A directory within itself.
    let mut damaged = bytes;
    damaged[at..at + 8].copy_from_slice(&(u64::from(b) << 32 | 1).to_le_bytes());
    let index = TreeIndex::open(damaged).expect("the header is sound");
    assert_eq!(
        index.children(b),
        Err(IndexError::Node {
            node: b,
            field: "children"
        })
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_damage(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = sample();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        drop(exercise(&bytes));
    }

    #[test]
    fn random_bytes_behind_a_sound_header(tail in proptest::collection::vec(any::<u8>(), 1200)) {
        let mut bytes = sample();
        let len = bytes.len();
        bytes[128..].copy_from_slice(&tail.iter().copied().cycle().take(len - 128).collect::<Vec<_>>());
        drop(exercise(&bytes));
    }

    #[test]
    fn random_archives(mut bytes in proptest::collection::vec(any::<u8>(), 0..3000), sum in any::<bool>()) {
        if sum && bytes.len() >= 512 {
            // Past the checksum.
            let block: &[u8; 512] = bytes.first_chunk().expect("long enough");
            let mut header = tar::Header::from_byte_slice(block).clone();
            header.set_cksum();
            bytes[..512].copy_from_slice(header.as_bytes());
        }
        drop(index_from(&mut Stream::new(&bytes[..])));
    }
}

/// An index that counts how often anything in it is looked at.
struct Counted<'a> {
    bytes: &'a [u8],
    looks: &'a std::cell::Cell<u32>,
}

impl AsRef<[u8]> for Counted<'_> {
    fn as_ref(&self) -> &[u8] {
        self.looks.set(self.looks.get() + 1);
        self.bytes
    }
}

fn with_files(count: u32) -> Vec<u8> {
    let mut tar = Tar::default();
    for number in 0..count {
        let name = format!("d/{number:06}");
        let mut header = super::plain_header(name.as_bytes(), EntryType::Regular, 0);
        header.set_cksum();
        tar.0.extend_from_slice(header.as_bytes());
    }
    let tar = tar.end();
    let tree = super::scan(&mut Stream::new(&tar[..]), 400_000).expect("usable");
    let id = crate::digest::Digest::sha256_of(b"");
    let mut bytes = Vec::new();
    let encoder = super::encode(&tree, &id, 400_000).expect("within limits");
    encoder.write(&mut bytes).expect("memory");
    bytes
}

/// Opening looks at the header and at nothing else, and as often for 100,000 files as for ten; a name is found by halving.
#[test]
fn opening_costs_the_same_whatever_the_number_of_files() {
    let (small, large) = (with_files(10), with_files(100_000));
    let opened = |bytes: &[u8]| {
        let looks = std::cell::Cell::new(0);
        let index = TreeIndex::open(Counted {
            bytes,
            looks: &looks,
        });
        let index = index.expect("sound");
        let opening = looks.replace(0);
        let d = index
            .lookup(index.root(), b"d")
            .expect("sound")
            .expect("there");
        index.lookup(d, b"000007").expect("sound").expect("there");
        (opening, looks.get())
    };
    let (few, many) = (opened(&small), opened(&large));
    assert_eq!(few.0, many.0);
    // Four fields for each of seventeen halvings, and some for the directories.
    assert!(many.1 < 120, "{few:?} {many:?}");
    // Whatever is behind the header, it opens.
    let mut garbage = large;
    garbage[128..].fill(0xa5);
    assert!(TreeIndex::open(&garbage[..]).is_ok());
    assert!(exercise(&garbage).is_err());
}

/// Not a measurement that can fail: the figures are for whoever reads them (`--nocapture`).
#[test]
#[expect(clippy::print_stderr, reason = "figures")]
fn a_hundred_thousand_files() {
    let mut tar = Tar::default();
    let mut path = String::new();
    for number in 0..99_000u32 {
        path.clear();
        write!(path, "usr/{}/{}/file-{number}", number % 97, number % 1009).expect("string");
        let mut header = super::plain_header(path.as_bytes(), EntryType::Regular, 0);
        header.set_cksum();
        tar.0.extend_from_slice(header.as_bytes());
    }
    let tar = tar.end();
    let start = Instant::now();
    let tree = super::scan(&mut Stream::new(&tar[..]), 400_000).expect("usable");
    let encoder = super::encode(&tree, &crate::digest::Digest::sha256_of(b""), 400_000);
    let mut bytes = Vec::new();
    encoder
        .expect("within limits")
        .write(&mut bytes)
        .expect("memory");
    let built = start.elapsed();

    let start = Instant::now();
    let index = TreeIndex::open(&bytes[..]).expect("sound");
    let opened = start.elapsed();
    let start = Instant::now();
    for number in 0..99_000u32 {
        let mut node = index.root();
        let (a, b) = (format!("{}", number % 97), format!("{}", number % 1009));
        for name in ["usr", &a, &b, &format!("file-{number}")] {
            node = index
                .lookup(node, name.as_bytes())
                .expect("sound")
                .expect("there");
        }
        assert_eq!(index.node(node).expect("sound").kind, NodeKind::File);
    }
    eprintln!(
        "{} nodes, {} bytes: built in {built:?}, opened in {opened:?}, 99000 paths found in {:?}",
        index.node_count(),
        bytes.len(),
        start.elapsed()
    );
    assert!(index.node_count() > 190_000);
}
