//! `coracle build`: what goes into an image, the same bytes each time, and what is refused.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::fixtures::{PATH, only};
use crate::layout;
use crate::world::World;

#[test]
fn the_same_inputs_give_the_same_digest() {
    let dockerfile =
        "FROM scratch\nCOPY . /app\nENV A=1\nLABEL l=1\nENTRYPOINT [\"/app/show.wasm\"]\n";
    let names = ["b.txt", "a.txt", "sub/deep/c.txt", "sub/z"];
    let mut digests = Vec::new();
    for age in [0, 4_000_000] {
        let world = World::new();
        let mut files: Vec<(&str, &[u8])> =
            names.iter().map(|name| (*name, name.as_bytes())).collect();
        if age > 0 {
            // The order in which a folder lists its files is the order of their creation on some systems.
            files.reverse();
        }
        let context = world.context("context", dockerfile, &["show"], &files);
        for path in layout::files(context.as_ref()) {
            File::options()
                .append(true)
                .open(path)
                .and_then(|file| file.set_modified(SystemTime::now() - Duration::from_secs(age)))
                .expect("a time in the past");
        }
        let id = world.ok(&["build", "-q", "-t", "same:1", &context]);
        let index = layout::read_json(&world.images().join("index.json"));
        digests.push((id, index["manifests"][0]["digest"].clone()));
        layout::assert_tidy(&world.images());
    }
    assert_eq!(digests[0], digests[1]);
    assert!(digests[0].0.starts_with("sha256:"), "{digests:?}");
}

#[test]
fn building_again_adds_nothing() {
    let world = World::new();
    let first = world.guest_image("exit7");
    let blobs = layout::blobs(&world.images());
    assert_eq!(world.guest_image("exit7"), first);
    assert_eq!(layout::blobs(&world.images()), blobs);
}

#[test]
fn every_instruction_arrives_in_the_config() {
    let world = World::new();
    world.build(
        "full:1",
        "ARG GREETING=hello\n\
         FROM scratch\n\
         ARG GREETING\n\
         ARG WHO=world\n\
         ENV TEXT=\"$GREETING ${WHO}\" \\\n    PLAIN=x\n\
         WORKDIR /srv\n\
         WORKDIR app\n\
         COPY show.wasm .\n\
         ADD note.txt /srv/notes/\n\
         LABEL org.example.a=1 \"org.example.b\"=\"two words\"\n\
         EXPOSE 8080 53/udp\n\
         VOLUME [\"/data\", \"/more\"]\n\
         USER 10:20\n\
         ENTRYPOINT [\"/srv/app/show.wasm\"]\n\
         CMD [\"one\", \"two words\"]\n",
        &["show"],
        &[("note.txt", b"note\n")],
    );
    let inspected = world.json(&["inspect", "full:1"]);
    let image = &inspected[0];
    assert_eq!(image["Os"], "wasi");
    assert_eq!(image["Architecture"], "wasm");
    let config = &image["Config"];
    assert_eq!(config["Env"], json!([PATH, "TEXT=hello world", "PLAIN=x"]));
    assert_eq!(config["WorkingDir"], "/srv/app");
    assert_eq!(config["Entrypoint"], json!(["/srv/app/show.wasm"]));
    assert_eq!(config["Cmd"], json!(["one", "two words"]));
    assert_eq!(config["User"], "10:20");
    assert_eq!(
        config["Labels"],
        json!({"org.example.a": "1", "org.example.b": "two words"})
    );
    assert_eq!(
        config["ExposedPorts"],
        json!({"53/udp": {}, "8080/tcp": {}})
    );
    assert_eq!(config["Volumes"], json!({"/data": {}, "/more": {}}));
}

#[test]
fn a_build_argument_replaces_the_default_and_must_be_declared() {
    let world = World::new();
    let context = world.context(
        "context",
        "FROM scratch\nARG A=1\nENV A=$A\nCOPY show.wasm /\nENTRYPOINT [\"/show.wasm\"]\n",
        &["show"],
        &[],
    );
    world.ok(&["build", "-t", "args", "--build-arg", "A=2", &context]);
    let image = world.json(&["inspect", "args"]);
    assert_eq!(image[0]["Config"]["Env"], json!([PATH, "A=2"]));
}

#[test]
fn an_image_in_the_store_is_a_base() {
    let world = World::new();
    world.build(
        "base:1",
        "FROM scratch\nCOPY files.wasm /bin/\nCOPY a.txt b.txt /\nENV FROM_BASE=1\nENTRYPOINT [\"/bin/files.wasm\"]\n",
        &["files"],
        &[("a.txt", b"base a\n"), ("b.txt", b"base b\n")],
    );
    world.build(
        "child:1",
        "FROM base:1\nCOPY a.txt /\nENV FROM_CHILD=1\nCMD [\"read,/a.txt\", \"read,/b.txt\"]\n",
        &[],
        &[("a.txt", b"child a\n")],
    );
    assert_eq!(world.ok(&["run", "--rm", "child:1"]), "child a\nbase b\n");
    let layers = |name: &str| world.json(&["inspect", name])[0]["RootFS"]["Layers"].clone();
    let (base, child) = (layers("base:1"), layers("child:1"));
    let base = base.as_array().expect("layers");
    let child = child.as_array().expect("layers");
    assert!(child.starts_with(base), "{base:?} {child:?}");
    assert_eq!(child.len(), base.len() + 1);
    let image = world.json(&["inspect", "child:1"]);
    assert_eq!(
        image[0]["Config"]["Env"],
        json!([PATH, "FROM_BASE=1", "FROM_CHILD=1"])
    );
}

#[test]
fn another_dockerfile_can_be_named() {
    let world = World::new();
    let context = world.context("context", "FROM scratch\nRUN no\n", &["exit7"], &[]);
    world.write("other.docker", only("exit7"));
    world.ok(&[
        "build",
        "-f",
        "other.docker",
        "-t",
        "x",
        "-t",
        "y:2",
        &context,
    ]);
    for name in ["x:latest", "y:2"] {
        world.run(&["run", "--rm", name]).expect_code(7, &[name]);
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name_and_line() {
    let world = World::new();
    for instruction in [
        "RUN echo hello",
        "RUN [\"/exit7.wasm\"]",
        "ADD --from=a b /",
        "FORM scratch",
    ] {
        let name = instruction.split(' ').next().expect("a word");
        let context = world.context(
            "context",
            &format!("# a comment\nFROM scratch\n\nCOPY exit7.wasm /\n{instruction}\n"),
            &["exit7"],
            &[],
        );
        let message = world.refused(&["build", "-t", "refused", &context]);
        assert!(message.contains(name), "{name}: {message}");
        assert!(message.contains("Dockerfile:5"), "{name}: {message}");
    }
    assert_eq!(world.ok(&["images", "-q"]), "");
    layout::assert_tidy(&world.images());
}

#[test]
fn a_wrong_dockerfile_is_refused_with_its_line() {
    let world = World::new();
    for (dockerfile, wanted) in [
        ("", "Dockerfile"),
        ("COPY a /\n", "Dockerfile:1"),
        ("FROM scratch\nCOPY exit7.wasm\n", "Dockerfile:2"),
        ("FROM scratch\nCOPY missing.txt /\n", "missing.txt"),
        ("FROM scratch\nCOPY missing.txt /\n", "Dockerfile:2"),
        ("FROM scratch\nENTRYPOINT [\"/a\",\n", "Dockerfile:2"),
        ("FROM scratch\nENV =x\n", "Dockerfile:2"),
        ("FROM scratch\nENV A=${B\n", "Dockerfile:2"),
        ("FROM Upper/Case\n", "Dockerfile:1"),
        ("FROM Upper/Case\n", "Upper"),
    ] {
        let context = world.context("context", dockerfile, &["exit7"], &[]);
        let message = world.refused(&["build", "-t", "refused", &context]);
        assert!(message.contains(wanted), "{dockerfile:?}: {message}");
    }
    assert_eq!(world.ok(&["images", "-q"]), "");
    layout::assert_tidy(&world.images());
}

#[test]
fn the_build_sees_nothing_outside_its_context() {
    let world = World::new();
    world.write("secret.txt", "secret");
    let secret = world.path("secret.txt");
    for source in ["../secret.txt", "link", "up"] {
        let context = world.context(
            "context",
            &format!("FROM scratch\nCOPY exit7.wasm /\nCOPY {source} /taken\n"),
            &["exit7"],
            &[],
        );
        for (target, link) in [(secret.as_path(), "link"), ("../secret.txt".as_ref(), "up")] {
            let link = world.path("context").join(link);
            if !link.is_symlink() {
                std::os::unix::fs::symlink(target, link).expect("a symlink in the context");
            }
        }
        let output = world.run(&["build", "-t", "taken", &context]);
        assert_ne!(output.code, Some(0), "{source}");
    }
    for file in layout::files(&world.root()) {
        let bytes = fs::read(&file).expect("a file of the store");
        assert!(
            !bytes.windows(6).any(|window| window == b"secret"),
            "{file:?}"
        );
    }
}

#[test]
fn what_dockerignore_names_stays_out() {
    let world = World::new();
    world.build(
        "ignoring",
        "FROM scratch\nCOPY . /app/\nENTRYPOINT [\"/app/files.wasm\"]\nCMD [\"list,/app\"]\n",
        &["files"],
        &[
            (
                ".dockerignore",
                b"*.log\nDockerfile\n.dockerignore\n!keep.log\n",
            ),
            ("a.log", b"x"),
            ("keep.log", b"x"),
            ("a.txt", b"x"),
        ],
    );
    assert_eq!(
        world.ok(&["run", "--rm", "ignoring"]),
        "a.txt\nfiles.wasm\nkeep.log\n"
    );
}

#[test]
fn a_failed_build_leaves_the_name_where_it_was() {
    let world = World::new();
    let id = world.guest_image("exit7");
    let context = world.context(
        "bad",
        "FROM scratch\nCOPY cat.wasm /\nCOPY no /\n",
        &["cat"],
        &[],
    );
    world.refused(&["build", "-t", "exit7", &context]);
    assert_eq!(world.ok(&["images", "-q", "--no-trunc"]).trim_end(), id);
    layout::assert_tidy(&world.images());
}

#[test]
fn stages_here_documents_and_outputs_arrive() {
    let world = World::new();
    let context = world.context(
        "context",
        "FROM scratch AS files\nCOPY <<one /d/\ntext\none\nFROM scratch AS unused\nCOPY missing /\n\
         FROM scratch\nCOPY --from=files /d /d\nCOPY files.wasm /\nENTRYPOINT [\"/files.wasm\"]\nCMD [\"read,/d/one\"]\n",
        &["files"],
        &[],
    );
    let (id, meta, out) = (world.path("id"), world.path("meta"), world.path("out"));
    let shown = |path: &std::path::Path| path.display().to_string();
    let (id_path, meta_path) = (shown(&id), shown(&meta));
    let output = format!("type=local,dest={}", shown(&out));
    let said = world.run(&[
        "build",
        "-t",
        "staged",
        "--progress=plain",
        "--iidfile",
        &id_path,
        "--metadata-file",
        &meta_path,
        "--output",
        &output,
        "--annotation",
        "a=b",
        &context,
    ]);
    let said = said.expect_code(0, &["build"]);
    assert!(
        said.errors().contains("[files 2/2] COPY <<one /d/"),
        "{}",
        said.errors()
    );
    assert!(!said.errors().contains("missing"), "{}", said.errors());
    assert_eq!(world.ok(&["run", "--rm", "staged"]), "text\n");
    assert_eq!(fs::read(out.join("d/one")).expect("written"), b"text\n");
    let id = fs::read_to_string(id).expect("written");
    assert!(id.starts_with("sha256:"), "{id}");
    let meta = layout::read_json(&meta);
    assert_eq!(meta["containerimage.config.digest"], id);
    // Again, nothing is carried out.
    let again = world.run(&["build", "-t", "staged", "--progress=plain", &context]);
    assert!(again.errors().contains("CACHED"), "{}", again.errors());
    let fresh = world.run(&[
        "build",
        "-t",
        "staged",
        "--progress=plain",
        "--no-cache",
        &context,
    ]);
    assert!(!fresh.errors().contains("CACHED"), "{}", fresh.errors());
    layout::assert_tidy(&world.images());
}

#[test]
fn checks_are_those_of_buildkit() {
    let world = World::new();
    let context = world.context("context", "FROM scratch as Base\nMAINTAINER me\n", &[], &[]);
    let said = world.run(&["build", "--check", &context]);
    let said = said.expect_code(1, &["--check"]);
    for rule in ["StageNameCasing", "FromAsCasing", "MaintainerDeprecated"] {
        assert!(said.text().contains(rule), "{rule}: {}", said.text());
    }
    assert_eq!(world.ok(&["images", "-q"]), "");
}
