//! Layers on top of each other: by example, and against a simple model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::merge::merge;
use super::TreeIndex;
use super::{NAMES, NodeKind, Seen, Tar, index_of, walk};
use crate::digest::Digest;

fn merged(layers: &[Vec<u8>]) -> BTreeMap<Vec<u8>, Seen> {
    let indexes: Vec<_> = layers
        .iter()
        .map(|tar| index_of(tar).expect("usable archive"))
        .collect();
    let ids: Vec<_> = layers.iter().map(|tar| Digest::sha256_of(tar)).collect();
    let encoder = merge(&indexes, &ids, NAMES).expect("sound indexes");
    let mut bytes = Vec::new();
    encoder.write(&mut bytes).expect("memory");
    let index = TreeIndex::open(bytes).expect("just written");
    for (number, id) in (0..).zip(&ids) {
        assert_eq!(index.diff_id(number), Ok(&*id.to_string()));
    }
    let seen = walk(&index).expect("sound");
    assert!(seen.values().all(|node| !node.whiteout && !node.opaque));
    // What can be walked to can be looked up.
    for path in seen.keys().filter(|path| !path.is_empty()) {
        let mut node = index.root();
        for name in path.split(|byte| *byte == b'/') {
            node = index.lookup(node, name).expect("sound").expect("there");
        }
    }
    seen
}

fn names(tree: &BTreeMap<Vec<u8>, Seen>) -> Vec<&str> {
    tree.keys()
        .map(|path| std::str::from_utf8(path).expect("ASCII"))
        .collect()
}

#[test]
fn no_layers() {
    let tree = merged(&[]);
    assert_eq!(names(&tree), [""]);
    assert_eq!(tree[&b""[..]].mode, 0o755);
}

#[test]
fn upper_names_replace_lower_ones() {
    let base = Tar::default()
        .file("f", b"old")
        .file("d/x", b"1")
        .dir("e", 0o700)
        .file("e/y", b"2")
        .file("g", b"3")
        .end();
    let top = Tar::default()
        .file("f", b"newer")
        .file("d", b"now a file")
        .dir("e", 0o711)
        .file("e/z", b"4")
        .file("g/now", b"a directory")
        .end();
    let tree = merged(&[base, top]);
    assert_eq!(
        names(&tree),
        ["", "d", "e", "e/y", "e/z", "f", "g", "g/now"]
    );
    assert_eq!((tree[&b"f"[..]].size, tree[&b"f"[..]].layer), (5, 1));
    assert_eq!(tree[&b"d"[..]].kind, NodeKind::File);
    assert_eq!(tree[&b"e"[..]].mode, 0o711);
    assert_eq!((tree[&b"e/y"[..]].layer, tree[&b"e/z"[..]].layer), (0, 1));
    assert_eq!(tree[&b"g"[..]].kind, NodeKind::Directory);
}

#[test]
fn implied_directories_keep_what_the_lower_layer_says() {
    let base = Tar::default().dir("d", 0o1777).file("d/a", b"").end();
    let top = Tar::default().file("d/b", b"").end();
    assert_eq!(merged(&[base.clone(), top.clone()])[&b"d"[..]].mode, 0o1777);
    // Also when the upper layer hides what was in it, but not when it removed it.
    let opaque = Tar::default()
        .file("d/.wh..wh..opq", b"")
        .file("d/b", b"")
        .end();
    let tree = merged(&[base.clone(), opaque]);
    assert_eq!(names(&tree), ["", "d", "d/b"]);
    assert_eq!(tree[&b"d"[..]].mode, 0o1777);
    let anew = Tar::default().file(".wh.d", b"").file("d/b", b"").end();
    let tree = merged(&[base.clone(), anew]);
    assert_eq!(names(&tree), ["", "d", "d/b"]);
    assert_eq!(
        (tree[&b"d"[..]].mode, tree[&b"d"[..]].implicit),
        (0o755, true)
    );
    assert_eq!(merged(&[top, base])[&b"d"[..]].mode, 0o1777);
}

#[test]
fn whiteouts_reach_all_lower_layers_and_no_upper_one() {
    let one = Tar::default().file("a", b"1").file("d/b", b"1").end();
    let two = Tar::default().file("a", b"2").file("d/c", b"2").end();
    let three = Tar::default()
        .file(".wh.a", b"")
        .file(".wh.d", b"")
        .file(".wh.none", b"")
        .end();
    let four = Tar::default().file("d/e", b"4").end();
    let tree = merged(&[one.clone(), two.clone(), three.clone(), four]);
    assert_eq!(names(&tree), ["", "d", "d/e"]);
    assert_eq!(
        names(&merged(&[three, one, two])),
        ["", "a", "d", "d/b", "d/c"]
    );
}

#[test]
fn the_order_of_a_whiteout_in_its_layer_does_not_count() {
    let base = Tar::default().file("d/old", b"").file("f", b"old").end();
    let entries: [fn(Tar) -> Tar; 4] = [
        |tar| tar.file("d/new", b""),
        |tar| tar.file("d/.wh..wh..opq", b""),
        |tar| tar.file("f", b"newer"),
        |tar| tar.file(".wh.f", b""),
    ];
    for order in [[0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0]] {
        let mut top = Tar::default();
        for entry in order {
            top = entries[entry](top);
        }
        let tree = merged(&[base.clone(), top.end()]);
        assert_eq!(names(&tree), ["", "d", "d/new", "f"], "{order:?}");
        assert_eq!(tree[&b"f"[..]].size, 5);
    }
}

#[test]
fn an_opaque_root() {
    let base = Tar::default().dir("./", 0o700).file("a", b"").end();
    let top = Tar::default()
        .file(".wh..wh..opq", b"")
        .file("b", b"")
        .end();
    let tree = merged(&[base, top]);
    assert_eq!(names(&tree), ["", "b"]);
    assert_eq!(tree[&b""[..]].mode, 0o700);
}

#[test]
fn hard_links_across_layers() {
    let base = Tar::default()
        .file("a", b"x")
        .hard_link("b", "a")
        .hard_link("d/c", "a")
        .end();
    let top = Tar::default()
        .file("a", b"other")
        .file("e", b"y")
        .hard_link("f", "e")
        .end();
    let tree = merged(&[base, top]);
    assert_eq!((tree[&b"a"[..]].nlink, tree[&b"a"[..]].layer), (1, 1));
    assert_eq!(tree[&b"b"[..]].inode, tree[&b"d/c"[..]].inode);
    assert_eq!((tree[&b"b"[..]].nlink, tree[&b"d/c"[..]].nlink), (2, 2));
    assert_eq!(tree[&b"e"[..]].inode, tree[&b"f"[..]].inode);
    let inodes: BTreeSet<_> = tree.values().map(|node| node.inode).collect();
    assert_eq!(inodes.len(), tree.len() - 2);
}

#[test]
fn attributes_and_digests_are_carried_over() {
    let base = Tar::default()
        .pax(&[(b"SCHILY.xattr.user.x", b"value")])
        .file("app.wasm", b"\0asm\x01\0\0\0")
        .symlink("l", "app.wasm")
        .end();
    let single = super::scanned(&base);
    let tree = merged(&[base, Tar::default().file("z", b"").end()]);
    assert_eq!(tree[&b"app.wasm"[..]], single[&b"app.wasm"[..]]);
    assert!(tree[&b"app.wasm"[..]].sha256.is_some());
    assert_eq!(tree[&b"app.wasm"[..]].xattrs.len(), 1);
    assert_eq!(tree[&b"l"[..]].link, b"app.wasm");
}

/// Something that a layer does.
#[derive(Clone, Debug)]
enum Change {
    File(String, u8),
    Dir(String, u32),
    Symlink(String),
    WhiteOut(String),
    Hide(String),
}

/// What the model knows of a path.
#[derive(Clone, Debug, PartialEq)]
enum Thing {
    /// Size, and number of the layer.
    File(u64, u32),
    /// Mode, if an entry gave one.
    Dir(Option<u32>),
    Symlink,
}

type Model = BTreeMap<String, Thing>;

fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn remove_below(model: &mut Model, path: &str) {
    let prefix = format!("{path}/");
    model.retain(|known, _| !(path.is_empty() || known.starts_with(&prefix)));
}

fn remove(model: &mut Model, path: &str) {
    remove_below(model, path);
    model.remove(path);
}

/// Puts one layer on the model, and writes it as an archive. Changes below a file of the same layer are left out: such an
/// archive would be refused, or mean something else.
fn apply(model: &mut Model, changes: &[Change], number: u32) -> Vec<u8> {
    let mut tar = Tar::default();
    let mut own = Model::new();
    let mut gone: Vec<String> = Vec::new();
    let mut hidden: Vec<String> = Vec::new();
    for change in changes {
        let (Change::File(path, _)
        | Change::Dir(path, _)
        | Change::Symlink(path)
        | Change::WhiteOut(path)
        | Change::Hide(path)) = change;
        let is_directory = |path: &str| matches!(own.get(path), None | Some(Thing::Dir(_)));
        let own_path = matches!(change, Change::Hide(_)).then_some(&**path);
        if !ancestors(path).chain(own_path).all(is_directory) {
            continue;
        }
        for parent in ancestors(path).chain(own_path) {
            own.entry(parent.to_owned()).or_insert(Thing::Dir(None));
        }
        if matches!(change, Change::File(..) | Change::Symlink(_)) {
            // What replaces a directory replaces the whiteouts in it too.
            let prefix = format!("{path}/");
            gone.retain(|path| !path.starts_with(&prefix));
            hidden.retain(|known| known != path && !known.starts_with(&prefix));
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        match change {
            Change::File(_, size) => {
                remove_below(&mut own, path);
                own.insert(path.clone(), Thing::File((*size).into(), number));
                tar = tar.file(path, &vec![b'x'; (*size).into()]);
            }
            Change::Dir(_, mode) => {
                if let Some(Thing::File(..) | Thing::Symlink) = own.get(path) {
                    own.remove(path);
                }
                own.insert(path.clone(), Thing::Dir(Some(*mode)));
                tar = tar.dir(path, *mode);
            }
            Change::Symlink(_) => {
                remove_below(&mut own, path);
                own.insert(path.clone(), Thing::Symlink);
                tar = tar.symlink(path, "nowhere");
            }
            Change::WhiteOut(_) => {
                gone.push(path.clone());
                tar = tar.file(&format!("{parent}/.wh.{name}"), b"");
            }
            Change::Hide(_) => {
                hidden.push(path.clone());
                tar = tar.file(&format!("{path}/.wh..wh..opq"), b"");
            }
        }
    }
    for path in &gone {
        remove(model, path);
    }
    for path in &hidden {
        remove_below(model, path);
    }
    for (path, thing) in own {
        match (thing, model.get(&path)) {
            (Thing::Dir(None), Some(Thing::Dir(_))) => {}
            (thing @ Thing::Dir(_), Some(Thing::Dir(_)) | None) => {
                model.insert(path, thing);
            }
            (thing, _) => {
                remove(model, &path);
                model.insert(path, thing);
            }
        }
    }
    tar.end()
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[abc]", 1..4).prop_map(|parts| parts.join("/"))
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (path(), 0..200u8).prop_map(|(path, size)| Change::File(path, size)),
        3 => (path(), 0..0o1000u32).prop_map(|(path, mode)| Change::Dir(path, mode)),
        1 => path().prop_map(Change::Symlink),
        2 => path().prop_map(Change::WhiteOut),
        1 => path().prop_map(Change::Hide),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layers_follow_the_model(
        layers in proptest::collection::vec(proptest::collection::vec(change(), 0..12), 1..6)
    ) {
        let mut model = Model::new();
        let tars: Vec<_> = (0..)
            .zip(&layers)
            .map(|(number, changes)| apply(&mut model, changes, number))
            .collect();
        let mut tree = merged(&tars);
        tree.remove(&b""[..]);
        let seen: Model = tree
            .into_iter()
            .map(|(path, node)| {
                let thing = match node.kind {
                    NodeKind::File => Thing::File(node.size, node.layer),
                    NodeKind::Symlink => Thing::Symlink,
                    _ => Thing::Dir((!node.implicit).then_some(node.mode)),
                };
                (String::from_utf8(path).expect("ASCII"), thing)
            })
            .collect();
        prop_assert_eq!(seen, model);
    }
}
