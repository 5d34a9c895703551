//! `RUN`: programs in the native sandbox while an image is built.

use std::fs;

use crate::fixtures::native;
use crate::world::World;

/// A world with busybox as the image `box`.
fn world() -> World {
    let world = World::new();
    let tar = native("busybox.tar");
    let tar = tar.to_str().expect("a path of text");
    world.ok(&["import", "--platform", "linux/amd64", tar, "box"]);
    world
}

/// The files of an image that is built, by path, with mode and link target.
fn files(world: &World, context: &str, more: &[&str]) -> String {
    let tar = world.path("files.tar").display().to_string();
    let output = format!("type=tar,dest={tar}");
    let line = [
        &["build", "-q", "-t", "made", "-o", &output],
        more,
        &[context],
    ]
    .concat();
    world.ok(&line);
    world.tool_ok("tar", &["--numeric-owner", "-tvf", &tar])
}

#[test]
fn what_a_program_changes_becomes_the_layer() {
    let world = world();
    let dockerfile = "FROM box\nRUN mkdir /d && echo made > /d/made && ln /d/made /d/name && ln -s made /d/link && rm /bin/wc\n\
         RUN chmod 4750 /d/made; chown 5:6 /d\nRUN rm -r /d/link\nRUN true\n";
    let context = world.context("context", dockerfile, &[], &[("a.txt", b"a\n")]);
    let listing = files(&world, &context, &[]);
    for line in ["5/6", "rwsr-x---", "d/name"] {
        assert!(listing.contains(line), "{line}: {listing}");
    }
    for gone in ["bin/wc", "d/link", "resolv.conf", "hosts"] {
        assert!(!listing.contains(gone), "{gone}: {listing}");
    }
    let layers = world.json(&["inspect", "made"])[0]["RootFS"]["Layers"].clone();
    // What changes nothing makes no layer.
    assert_eq!(layers.as_array().map(Vec::len), Some(4), "{layers}");
    let id = world.ok(&["build", "-q", "-t", "made", &context]);
    let again = world.ok(&["build", "-q", "--no-cache", "-t", "made", &context]);
    assert_eq!(id, again, "the same program gives the same image");
}

#[test]
fn a_program_sees_its_mounts_and_nothing_of_the_host() {
    let world = world();
    let secret = world.write("hush", "hush\n").display().to_string();
    let dockerfile = "FROM box AS other\nRUN echo of-stage > /s\nFROM box\n\
         RUN --mount=type=secret,id=k --mount=type=bind,target=/c --mount=type=bind,from=other,target=/o \
         --mount=type=tmpfs,target=/t --mount=type=cache,target=/k cat /run/secrets/k /c/a.txt /o/s > /got; echo x >/t/x; echo y >>/k/y; cat /k/y >>/got\n\
         RUN --network=none ip addr | grep -c inet > /inet; ls /proc | grep -c '^[0-9]' > /count; id -u >> /count; true\n";
    let context = world.context("context", dockerfile, &[], &[("a.txt", b"a\n")]);
    let out = world.path("out");
    let output = format!("type=local,dest={}", out.display());
    let key = format!("id=k,src={secret}");
    world.ok(&[
        "build", "-q", "-t", "made", "--secret", &key, "-o", &output, &context,
    ]);
    let read = |name: &str| fs::read_to_string(out.join(name)).expect(name);
    assert_eq!(read("got"), "hush\na\nof-stage\ny\n");
    for place in ["c", "o", "t", "k", "run/secrets/k"] {
        assert!(!out.join(place).exists(), "{place}");
    }
    // Its own processes: the shell, `ls` and `grep`.
    assert_eq!(read("count"), "3\n0\n");
    let missing = "FROM box\nRUN --mount=type=secret,id=gone,required true\n";
    let context = world.context("missing", missing, &[], &[]);
    let said = world.refused(&["build", "-t", "x", &context]);
    assert!(said.contains("--secret id=gone"), "{said}");
}

#[test]
fn a_program_that_fails_is_told_with_its_last_words() {
    let world = world();
    let dockerfile = "FROM box\nRUN echo before; seq 1 100; echo to-stderr >&2; exit 7\n";
    let context = world.context("context", dockerfile, &[], &[]);
    let said = world.refused(&["build", "-q", "-t", "x", &context]);
    assert!(said.contains("ended with exit code 7"), "{said}");
    assert!(said.contains("Dockerfile:2:1"), "{said}");
    assert!(
        said.contains("to-stderr") && said.contains(" 100"),
        "{said}"
    );
    // Its last words, not all of them.
    assert!(!said.contains(" 50\n"), "{said}");
    world.run(&["inspect", "x"]).expect_code(1, &["inspect"]);
}
