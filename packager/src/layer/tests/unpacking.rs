//! Layers as directories.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use tar::EntryType;

use super::super::{TreeForm, Trees};
use super::{Blob, Tar, World, plain_header, walk};

/// Owners and devices can be kept by root only.
fn form() -> TreeForm {
    match rustix::process::geteuid().is_root() {
        true => TreeForm::Root,
        false => TreeForm::Single,
    }
}

fn unpacked(world: &World, blobs: &[Blob]) -> Trees {
    let image = world.image(blobs);
    let trees = world.layers.unpack(&world.store, &image, form());
    let trees = trees.expect("unpacked");
    let again = world.layers.unpacked(&image, form()).expect("searched");
    assert_eq!(again.as_ref(), Some(&trees), "it is there now");
    trees
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let len = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    Some(value[..len].to_vec())
}

#[test]
fn files_are_as_the_layer_says() {
    let world = World::new();
    let mut owned = plain_header(b"dir/owned", EntryType::Regular, 2);
    owned.set_uid(12);
    owned.set_gid(34);
    owned.set_mode(0o4751);
    owned.set_mtime(1_000_000);
    let tar = Tar::default()
        .dir("dir", 0o1770)
        .raw(&mut owned, b"hi")
        .hard_link("link", "dir/owned")
        .symlink("dangling", "/no/such")
        .entry(b"pipe", EntryType::Fifo, b"", b"")
        .pax(&[(b"SCHILY.xattr.user.x", b"value")])
        .file("named", b"")
        .end();
    let trees = unpacked(&world, &[Blob::gzip(&tar)]);
    let [root] = &trees.lowers[..] else {
        panic!("one layer, one tree: {trees:?}")
    };
    let file = fs::symlink_metadata(root.join("dir/owned")).expect("a file");
    assert_eq!(file.mode() & 0o7777, 0o4751);
    assert_eq!(file.mtime(), 1_000_000);
    assert_eq!(file.nlink(), 2);
    if form() == TreeForm::Root {
        assert_eq!((file.uid(), file.gid()), (12, 34));
    }
    let link = fs::symlink_metadata(root.join("link")).expect("a link");
    assert_eq!(link.ino(), file.ino());
    assert_eq!(fs::read(root.join("link")).expect("content"), b"hi");
    let dir = fs::symlink_metadata(root.join("dir")).expect("a directory");
    assert_eq!((dir.mode() & 0o7777, dir.mtime()), (0o1770, 0));
    assert_eq!(
        fs::read_link(root.join("dangling")).expect("a link"),
        PathBuf::from("/no/such")
    );
    let pipe = fs::symlink_metadata(root.join("pipe")).expect("a pipe");
    assert!(pipe.file_type().is_fifo());
    assert_eq!(
        attribute(&root.join("named"), "user.x").as_deref(),
        Some(&b"value"[..])
    );
}

#[test]
fn whiteouts_take_overlayfs_form() {
    let world = World::new();
    let base = Tar::default()
        .file("gone", b"")
        .file("hidden/old", b"")
        .end();
    let top = Tar::default()
        .file(".wh.gone", b"")
        .file("hidden/.wh..wh..opq", b"")
        .file("hidden/new", b"")
        .end();
    let trees = unpacked(&world, &[Blob::gzip(&base), Blob::gzip(&top)]);
    let top = &trees.lowers[0];
    let gone = fs::symlink_metadata(top.join("gone")).expect("a whiteout");
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let opaque = attribute(&top.join("hidden"), form().opaque());
    assert_eq!(opaque.as_deref(), Some(&b"y"[..]));
    assert!(trees.lowers[1].join("gone").is_file());
}

/// A layer that says nothing of a directory does not change its owner and mode.
#[test]
fn an_implied_directory_is_as_below() {
    let world = World::new();
    let base = Tar::default().dir("tmp", 0o1777).end();
    let top = Tar::default().file("tmp/x", b"").file("own/y", b"").end();
    let trees = unpacked(&world, &[Blob::gzip(&base), Blob::gzip(&top)]);
    let mode = |name| {
        let found = fs::metadata(trees.lowers[0].join(name)).expect("a directory");
        found.permissions().mode() & 0o7777
    };
    assert_eq!((mode("tmp"), mode("own")), (0o1777, 0o755));
    // The same layer on another base is another tree.
    let other = Tar::default().dir("tmp", 0o700).end();
    let top = Tar::default().file("tmp/x", b"").file("own/y", b"").end();
    let trees = unpacked(&world, &[Blob::gzip(&other), Blob::gzip(&top)]);
    let found = fs::metadata(trees.lowers[0].join("tmp")).expect("a directory");
    assert_eq!(found.permissions().mode() & 0o7777, 0o700);
}

#[test]
fn an_image_without_layers_has_an_empty_tree() {
    let world = World::new();
    let trees = unpacked(&world, &[]);
    assert_eq!(trees.lowers.len(), 1);
    let entries = fs::read_dir(&trees.lowers[0]).expect("a directory");
    assert_eq!(entries.count(), 0);
}

/// Each of these has led an unpacker out of its directory.
#[test]
fn no_layer_writes_outside_its_tree() {
    let world = World::new();
    let outside = world.dir.path().join("outside");
    fs::create_dir(&outside).expect("a folder");
    fs::write(outside.join("kept"), b"kept").expect("a file");
    let there = outside.to_str().expect("text");
    let layers = [
        Tar::default().symlink("a", there).file("a/evil", b"evil"),
        Tar::default()
            .symlink("a", "../../../../../../../../../../../..")
            .file(&format!("a{there}/evil"), b"evil"),
        Tar::default()
            .symlink("a", there)
            .hard_link("b", "a")
            .file("b/evil", b"evil"),
        Tar::default()
            .symlink("a", &format!("{there}/kept"))
            .file("a", b"evil"),
        Tar::default()
            .symlink("a", &format!("{there}/kept"))
            .hard_link("b", "a")
            .file("b", b"evil"),
        Tar::default()
            .dir("a", 0o755)
            .symlink("a", there)
            .dir("a", 0o777),
        Tar::default().symlink("a", there).file(".wh.a", b""),
        Tar::default().symlink("a", there).file("a/.wh.kept", b""),
        Tar::default()
            .symlink("a", there)
            .file("a/.wh..wh..opq", b""),
    ];
    for (at, layer) in layers.into_iter().enumerate() {
        let image = world.image(&[Blob::gzip(&layer.end())]);
        // It may be refused or taken to mean something inside.
        drop(world.layers.unpack(&world.store, &image, form()));
        let names: Vec<_> = fs::read_dir(&outside)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(names, ["kept"], "layer {at}");
        let kept = fs::read(outside.join("kept")).expect("a file");
        assert_eq!(kept, b"kept", "layer {at}");
        let mode = fs::metadata(&outside).expect("a folder").mode();
        assert_ne!(mode & 0o777, 0o777, "layer {at}");
    }
}

/// An index is ours, but the disk is not.
#[test]
fn a_damaged_index_leads_nowhere() {
    let world = World::new();
    let blob = Blob::gzip(&Tar::default().file("aaaaaaaa", b"x").end());
    let image = world.image(std::slice::from_ref(&blob));
    world.layers.prepare(&world.store, &image).expect("packed");
    let path = world.layers.layer_dir(&blob.diff_id).join("index.v1");
    let sound = fs::read(&path).expect("an index");
    let at = sound
        .windows(8)
        .position(|part| part == b"aaaaaaaa")
        .expect("the name");
    for name in [b"../../aa", b"/tmp/aaa", b"aaaa\0aaa"] {
        let mut bytes = sound.clone();
        bytes[at..at + 8].copy_from_slice(name);
        fs::write(&path, bytes).expect("damage");
        let unpacked = world.layers.unpack(&world.store, &image, form());
        assert!(unpacked.is_err(), "{}", name.escape_ascii());
    }
    fs::write(&path, sound).expect("put right");
    unpacked(&world, &[blob]);
}

/// A layer must not tell overlayfs what other layers mean, nor the host's security modules what a file may do.
#[test]
fn attributes_of_the_host_are_not_set() {
    let world = World::new();
    let records: [(&[u8], &[u8]); 4] = [
        (b"SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        (b"SCHILY.xattr.user.overlay.opaque", b"y"),
        (b"SCHILY.xattr.security.selinux", b"system_u:object_r:etc_t"),
        (b"SCHILY.xattr.user.fine", b"1"),
    ];
    let tar = Tar::default().pax(&records).dir("d", 0o755).end();
    let trees = unpacked(&world, &[Blob::gzip(&tar)]);
    assert_eq!(trees.skipped.attributes, 3);
    let directory = trees.lowers[0].join("d");
    for name in [
        "trusted.overlay.redirect",
        "user.overlay.opaque",
        "security.selinux",
    ] {
        assert_ne!(
            attribute(&directory, name).as_deref(),
            Some(&b"/etc"[..]),
            "{name}"
        );
        assert_ne!(
            attribute(&directory, name).as_deref(),
            Some(&b"y"[..]),
            "{name}"
        );
    }
    assert!(attribute(&directory, "user.fine").is_some());
}

#[test]
fn half_a_tree_is_made_again() {
    let world = World::new();
    let blob = Blob::gzip(&Tar::default().file("a", b"content").end());
    let trees = unpacked(&world, std::slice::from_ref(&blob));
    let directory = trees.lowers[0].parent().expect("a directory");
    fs::remove_file(directory.join("tree.v1")).expect("its record");
    fs::write(trees.lowers[0].join("a"), b"half").expect("damage");
    let trees = unpacked(&world, &[blob]);
    assert_eq!(
        fs::read(trees.lowers[0].join("a")).expect("a file"),
        b"content"
    );
}

#[test]
fn what_no_image_needs_is_collected() {
    let world = World::new();
    let base = Blob::gzip(&Tar::default().file("base", b"").end());
    let top = Blob::gzip(&Tar::default().file("top", b"").end());
    let other = Blob::gzip(&Tar::default().file("other", b"").end());
    unpacked(&world, &[base.clone(), top.clone()]);
    unpacked(&world, std::slice::from_ref(&other));
    let keep = vec![base.diff_id.clone(), top.diff_id.clone()];
    let lease = world.layers.lease().expect("a lease");
    let keeping = [keep];
    assert_eq!(world.layers.collect_trees(&keeping).expect("leased"), 0);
    drop(lease);
    assert_eq!(world.layers.collect_trees(&keeping).expect("collected"), 1);
    let left = world.layers.unpacked(&world.image(&[base, top]), form());
    assert!(left.expect("searched").is_some());
    let gone = world.layers.unpacked(&world.image(&[other]), form());
    assert!(gone.expect("searched").is_none());
}

#[test]
fn a_check_finds_what_was_changed() {
    let world = World::new();
    let tar = Tar::default()
        .dir("d", 0o755)
        .file("d/a", b"content")
        .symlink("s", "d")
        .end();
    let top = Tar::default().file(".wh.s", b"").end();
    let blobs = [Blob::gzip(&tar), Blob::gzip(&top)];
    let trees = unpacked(&world, &blobs);
    let (top, base) = (&trees.lowers[0], &trees.lowers[1]);
    let sound = world.layers.verify_trees().expect("a check");
    assert!(sound.damages.is_empty(), "{sound:?}");
    assert_eq!(sound.trees, 2);
    type Harm<'a> = Box<dyn Fn() -> std::io::Result<()> + 'a>;
    let harms: [(&PathBuf, Harm<'_>); 6] = [
        (base, Box::new(|| fs::write(base.join("d/a"), b"CONTENT"))),
        (base, Box::new(|| fs::write(base.join("d/a"), b"short"))),
        (base, Box::new(|| fs::write(base.join("d/more"), b""))),
        (base, Box::new(|| fs::remove_file(base.join("s")))),
        (
            base,
            Box::new(|| fs::set_permissions(base.join("d"), fs::Permissions::from_mode(0o777))),
        ),
        (top, Box::new(|| fs::remove_file(top.join("s")))),
    ];
    for (at, (tree, harm)) in harms.iter().enumerate() {
        harm().expect("damage");
        let found = world.layers.verify_trees().expect("a check").damages;
        assert_eq!(found.len(), 1, "{at}: {found:?}");
        assert!(tree.starts_with(&found[0].path), "{at}: {found:?}");
        world.layers.discard_tree(&found[0]).expect("removed");
        unpacked(&world, &blobs);
        let sound = world.layers.verify_trees().expect("a check");
        assert!(sound.damages.is_empty(), "{at}: {sound:?}");
    }
}

/// What overlayfs makes of the trees is what the merged index says, which is what a WebAssembly container sees.
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn overlayfs_shows_what_the_index_says() {
    if form() != TreeForm::Root {
        eprintln!("SKIPPED: overlayfs is mounted by root only");
        return;
    }
    let world = World::new();
    let base = Tar::default()
        .dir("keep", 0o750)
        .file("keep/a", b"1")
        .file("swap", b"a file")
        .file("hide/a", b"1")
        .file("hide/b", b"1")
        .symlink("l", "keep")
        .dir("tmp", 0o1777)
        .end();
    let middle = Tar::default()
        .file("keep/.wh.a", b"")
        .file("keep/b", b"22")
        .dir("swap", 0o700)
        .file("swap/in", b"3")
        .file("hide/.wh..wh..opq", b"")
        .file("hide/c", b"4")
        .file("tmp/t", b"")
        .end();
    let top = Tar::default()
        .file("keep/a", b"again")
        .file(".wh.l", b"")
        .file("hide/b", b"55")
        .file("new/deep/er", b"6")
        .end();
    let blobs = [base, middle, top].map(|tar| Blob::gzip(&tar));
    let trees = unpacked(&world, &blobs);
    let image = world.image(&blobs);
    let rootfs = world.layers.prepare(&world.store, &image).expect("packed");
    let index = rootfs.read_index().expect("an index");
    let mut want: Vec<String> = walk(&index)
        .expect("sound")
        .into_iter()
        .filter(|(path, _)| !path.is_empty())
        .map(|(path, seen)| {
            let path = String::from_utf8(path).expect("text");
            format!("{path} {:o} {} {}", seen.mode, seen.uid, seen.gid)
        })
        .collect();
    want.sort();
    let lowers: Vec<_> = trees
        .lowers
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let at = world.dir.path().join("mounted");
    fs::create_dir(&at).expect("a folder");
    let script = "mount -t overlay overlay -o \"lowerdir=$1\" \"$2\" && cd \"$2\" && find . -mindepth 1 -printf '%P %m %U %G\\n'";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh", &lowers.join(":")])
        .arg(&at)
        .output()
        .expect("unshare");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut got: Vec<String> = String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .map(str::to_owned)
        .collect();
    got.sort();
    assert_eq!(got, want);
}
