//! Sources that try to leave the build context, and things that no image can hold.
#![cfg(unix)]

use std::fs;
use std::os::unix::net::UnixListener;

use crate::world::World;

#[test]
fn links_out_of_the_context_are_refused() {
    let world = World::with(&[
        "passwd->/etc/passwd",
        "etc->/etc",
        "up->..",
        "sibling->../outside",
        "deep/er/far->../../../outside",
        "chain->first",
        "first->second",
        "second->/etc/passwd",
        "through->deep/er/far",
    ]);
    fs::write(world.root().join("outside"), "secret").expect("written");
    for (source, link, target) in [
        ("passwd", "passwd", "/etc/passwd"),
        ("etc", "etc", "/etc"),
        ("etc/passwd", "etc", "/etc"),
        ("etc/pass*", "etc", "/etc"),
        ("up", "up", ".."),
        ("up/outside", "up", ".."),
        ("sibling", "sibling", "../outside"),
        ("sib*", "sibling", "../outside"),
        ("deep/er/far", "deep/er/far", "../../../outside"),
        ("through", "deep/er/far", "../../../outside"),
        ("chain", "second", "/etc/passwd"),
    ] {
        for verb in ["COPY", "ADD"] {
            let message = world.refused(&format!("FROM scratch\n{verb} {source} /x\n"));
            let want =
                format!("the symbolic link `{link}` leads out of the build context, to `{target}`");
            assert!(message.ends_with(&want), "{source}: {message}");
        }
    }
}

#[test]
fn links_within_the_context_are_followed_where_named() {
    let world = World::with(&[
        "real/file",
        "real/back->..",
        "link->real",
        "a/b/file->../../real/./file",
        "long->real/back/link/file",
    ]);
    for (copy, want) in [
        ("COPY link /d", "d/ d/back->.. d/file=real/file"),
        ("COPY link/file /d", "d=real/file"),
        ("COPY a/b/file /d/", "d/ d/file=real/file"),
        ("COPY long /", "long=real/file"),
        ("COPY lon* /", "long=real/file"),
        ("COPY link/f* /d", "d=real/file"),
        // A link to a directory is not walked into in search of matches.
        ("COPY lin?/f* real/file /d/", "d/ d/file=real/file"),
        // Within a copied directory a link is copied as a link.
        ("COPY a /d", "d/ d/b/ d/b/file->../../real/./file"),
    ] {
        let built = world.build(&format!("FROM scratch\n{copy}\n"));
        assert_eq!(world.names(&built).join(" "), want, "{copy}");
    }
}

#[test]
fn links_in_a_copied_directory_are_text() {
    let world = World::with(&[
        "d/abs->/etc/passwd",
        "d/up->../../../x",
        "d/gone->nowhere",
        "d/self->self",
    ]);
    let built = world.build("FROM scratch\nCOPY d /\n");
    assert_eq!(
        world.names(&built),
        [
            "abs->/etc/passwd",
            "gone->nowhere",
            "self->self",
            "up->../../../x"
        ]
    );
    let message = world.refused("FROM scratch\nCOPY d/self /\n");
    assert!(
        message.ends_with("more than 40 symbolic links on the way to `d/self`"),
        "{message}"
    );
    let message = world.refused("FROM scratch\nCOPY d/gone /\n");
    assert!(
        message.ends_with("`d/nowhere` is not in the build context"),
        "{message}"
    );
}

#[test]
fn an_ignored_file_is_not_reached_through_a_link() {
    let world = World::with(&["secret", "link->secret", ".dockerignore=secret"]);
    let message = world.refused("FROM scratch\nCOPY link /\n");
    assert!(message.contains("`secret` is excluded"), "{message}");
    world.put(".dockerignore=link");
    let message = world.refused("FROM scratch\nCOPY link /\n");
    assert!(message.contains("`link` is excluded"), "{message}");
}

#[test]
fn links_in_the_image_stay_in_the_image() {
    let world = World::with(&[
        "file",
        "links/abs->/opt/data",
        "links/up->../../../../srv",
        "links/loop->loop",
        "links/host->/etc",
    ]);
    let built = world.build(
        "FROM scratch\nCOPY links /\nCOPY file /abs/\nCOPY file /up/a\nWORKDIR /host/conf\nCOPY file .\n",
    );
    assert_eq!(
        world.names(&built),
        [
            "abs->/opt/data",
            "etc/",
            "etc/conf/",
            "etc/conf/file=file",
            "host->/etc",
            "loop->loop",
            "opt/",
            "opt/data/",
            "opt/data/file=file",
            "srv/",
            "srv/a=file",
            "up->../../../../srv",
        ]
    );
    assert_eq!(
        built.image.config.config.working_dir.as_deref(),
        Some("/host/conf")
    );
    let message = world.refused("FROM scratch\nCOPY links /\nCOPY file /loop/x\n");
    assert!(
        message.contains("more than 40 symbolic links on the way to `/loop/x`"),
        "{message}"
    );
}

#[test]
fn sockets_are_refused_by_name() {
    let world = World::with(&["d/a"]);
    // A context's path may be longer than a socket's may be.
    let short = tempfile::Builder::new()
        .tempdir_in("/tmp")
        .expect("a directory");
    let _listener = UnixListener::bind(short.path().join("s")).expect("a socket");
    fs::rename(short.path().join("s"), world.path("d/sock")).expect("moved");
    for copy in ["COPY d /", "COPY d/sock /", "COPY d/s* /"] {
        let message = world.refused(&format!("FROM scratch\n{copy}\n"));
        assert!(
            message.ends_with("`d/sock` is a socket, which an image cannot hold"),
            "{message}"
        );
    }
    world.put(".dockerignore=**/sock");
    let built = world.build("FROM scratch\nCOPY d /\n");
    assert_eq!(world.names(&built), ["a=d/a"]);
}

#[test]
fn names_that_are_no_text_are_copied() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let world = World::with(&["d/"]);
    fs::write(world.path("d").join(OsStr::from_bytes(b"\xff\xfe")), "x").expect("written");
    let built = world.build("FROM scratch\nCOPY d /\n");
    assert_eq!(world.layers_of(&built)[0].len(), 1);
}

#[test]
fn depth_is_bounded() {
    let world = World::with(&[]);
    let mut path = world.path("d");
    for _ in 0..300 {
        path.push("d");
    }
    fs::create_dir_all(&path).expect("made");
    let message = world.refused("FROM scratch\nCOPY . /\n");
    assert!(
        message.contains("more than 256 directories within each other"),
        "{message}"
    );
}
