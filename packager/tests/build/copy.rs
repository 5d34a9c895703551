//! What COPY and ADD put where.

use std::fs;

use crate::world::World;

/// The context of most tables here.
const FILES: [&str; 8] = [
    "a",
    "b",
    "dir/x",
    "dir/sub/y",
    "dir/empty/",
    "other/z",
    "sp ace",
    ".hidden",
];

#[test]
fn destinations_follow_dockers_rules() {
    let world = World::with(&FILES);
    for (copies, want) in [
        ("COPY a /b", "b=a"),
        ("COPY a /", "a=a"),
        ("COPY a /new/deep/b", "new/ new/deep/ new/deep/b=a"),
        ("COPY a /new/", "new/ new/a=a"),
        ("COPY a .", "a=a"),
        ("COPY a ./", "a=a"),
        ("COPY a rel", "rel=a"),
        ("COPY a /x/../y", "y=a"),
        ("COPY a ../../y", "y=a"),
        ("WORKDIR /w\nCOPY a .", "w/ w/a=a"),
        ("WORKDIR /w\nCOPY a x", "w/ w/x=a"),
        ("WORKDIR /w\nCOPY a x/", "w/ w/x/ w/x/a=a"),
        ("WORKDIR /w\nCOPY a /w", "w/ w/a=a"),
        ("WORKDIR /w\nCOPY a ..", "a=a w/"),
        ("COPY a b /d/", "d/ d/a=a d/b=b"),
        ("COPY a b .", "a=a b=b"),
        ("WORKDIR /d\nCOPY a b /d", "d/ d/a=a d/b=b"),
        (
            "COPY dir /d",
            "d/ d/empty/ d/sub/ d/sub/y=dir/sub/y d/x=dir/x",
        ),
        (
            "COPY dir/ /d/",
            "d/ d/empty/ d/sub/ d/sub/y=dir/sub/y d/x=dir/x",
        ),
        ("COPY dir /", "empty/ sub/ sub/y=dir/sub/y x=dir/x"),
        ("COPY dir/. /", "empty/ sub/ sub/y=dir/sub/y x=dir/x"),
        ("COPY dir/empty /d", "d/"),
        ("COPY dir/empty /d/e/", "d/ d/e/"),
        (
            "COPY dir other /d/",
            "d/ d/empty/ d/sub/ d/sub/y=dir/sub/y d/x=dir/x d/z=other/z",
        ),
        ("COPY dir/sub dir/sub/y a /d/", "d/ d/a=a d/y=dir/sub/y"),
        ("COPY a /x\nCOPY b /x", "x=b"),
        (
            "COPY a /dir/x\nCOPY dir /dir",
            "dir/ dir/empty/ dir/sub/ dir/sub/y=dir/sub/y dir/x=dir/x",
        ),
        (r#"COPY ["sp ace", "/s p/"]"#, "s p/ s p/sp ace=sp ace"),
        ("ADD a /x", "x=a"),
        ("ADD dir/sub /x", "x/ x/y=dir/sub/y"),
    ] {
        let built = world.build(&format!("FROM scratch\n{copies}\n"));
        assert_eq!(world.names(&built).join(" "), want, "{copies}");
    }
}

#[test]
fn destinations_that_cannot_be() {
    let world = World::with(&FILES);
    for (copies, want) in [
        ("COPY a b /d", "2 sources cannot all become `/d`"),
        ("COPY a /x\nCOPY a b /x", "2 sources cannot all become `/x`"),
        (
            "COPY a /x\nCOPY a /x/y",
            "`/x` is not a directory in the image",
        ),
        (
            "COPY a /x\nCOPY a /x/",
            "`/x` is not a directory in the image",
        ),
        (
            "COPY a /x\nCOPY dir /x",
            "the directory `dir` cannot replace `/x` of the image",
        ),
        (
            "COPY dir/x /d/sub\nCOPY dir /d",
            "the directory `dir/sub` cannot replace `/d/sub`",
        ),
        (
            "COPY a /d/x/y\nCOPY dir /d",
            "`dir/x` cannot replace the directory `/d/x`",
        ),
        (
            "COPY a /d/a/y\nCOPY a /d",
            "`a` cannot replace the directory `/d/a`",
        ),
        (
            "COPY a /x\nWORKDIR /x",
            "`/x` is not a directory in the image",
        ),
    ] {
        let message = world.refused(&format!("FROM scratch\n{copies}\n"));
        assert!(message.contains(want), "{copies}: {message}");
        let line = 1 + copies.lines().count();
        assert!(
            message.starts_with(&format!("Dockerfile:{line}:1: ")),
            "{message}"
        );
    }
}

#[test]
fn wildcards_match_as_in_docker() {
    let world = World::with(&[
        "a.txt",
        "b.txt",
        "c.md",
        ".d.txt",
        "x[1].txt",
        "x1.txt",
        "dir/a.txt",
        "dir/sub/a.txt",
        "dri/b.txt",
    ]);
    for (sources, want) in [
        ("*.txt", ".d.txt a.txt b.txt x1.txt x[1].txt"),
        ("?.txt", "a.txt b.txt"),
        ("[ab].*", "a.txt b.txt"),
        ("[^ab].*", "c.md"),
        ("x[[]1].txt", "x[1].txt"),
        ("*.txt *.md", ".d.txt a.txt b.txt c.md x1.txt x[1].txt"),
        ("d*/a.txt", "a.txt"),
        ("d*/*.txt", "a.txt b.txt"),
        ("d?r", "a.txt sub/ sub/a.txt"),
        ("dir/*", "a.txt"),
        ("*/sub/*", "a.txt"),
        ("./dir/../[c]*", "c.md"),
        ("a.txt nothing*", "a.txt"),
    ] {
        let built = world.build(&format!("FROM scratch\nCOPY {sources} /d/\n"));
        let names: Vec<String> = world
            .names(&built)
            .iter()
            .skip(1)
            .map(|name| {
                let name = name.split('=').next().unwrap_or_default();
                name.trim_start_matches("d/").to_owned()
            })
            .collect();
        // `dir/*` matches the directory `sub` as well, whose content is copied: the same name twice is the later one.
        assert_eq!(names.join(" "), want, "{sources}");
    }
    let error = world.refused("FROM scratch\nCOPY *.txt /d\n");
    assert!(
        error.contains("5 sources cannot all become `/d`"),
        "{error}"
    );
    let one = world.build("FROM scratch\nCOPY c* /d\n");
    assert_eq!(world.names(&one), ["d=c.md"]);
}

#[test]
fn a_wildcard_without_match_warns_and_makes_no_layer() {
    let world = World::with(&["a"]);
    let built = world.build("FROM scratch\nCOPY *.nope missing/*.x /d/\n");
    assert_eq!(world.names(&built), [""; 0]);
    assert_eq!(
        built.warnings,
        ["Dockerfile:2:1: `COPY *.nope missing/*.x /d/` copies nothing: nothing matches"]
    );
    assert!(built.image.config.history[0].empty_layer);
}

#[test]
fn a_missing_source_is_named_with_its_line() {
    let world = World::with(&["a/b"]);
    for source in ["nope", "a/nope", "a/b/c", "nope/"] {
        let message = world.refused(&format!("FROM scratch\nENV x=1\nCOPY a {source} /d/\n"));
        let path = source.trim_end_matches('/');
        let want = format!(
            "Dockerfile:3:1: carrying out `COPY a {source} /d/`: `{path}` is not in the build context"
        );
        let want_parent = want.replace(&format!("`{path}` is"), "`nope` is");
        assert!(message == want || message == want_parent, "{message}");
    }
}

#[test]
fn ignored_files_do_not_exist() {
    let world = World::with(&[
        "keep",
        "secret.key",
        "docs/a.md",
        "docs/b.txt",
        "docs/deep/c.md",
        "target/x/app.wasm",
        "target/x/big",
        "target/junk/",
        ".dockerignore=*.key\n**/*.md\ntarget\n!target/x/app.wasm\n",
    ]);
    let built = world.build("FROM scratch\nCOPY . /\n");
    assert_eq!(
        world.names(&built),
        [
            ".dockerignore=*.key\n**/*.md\ntarget\n!target/x/app.wasm\n",
            "docs/",
            "docs/b.txt=docs/b.txt",
            "docs/deep/",
            "keep=keep",
            "target/",
            "target/x/",
            "target/x/app.wasm=target/x/app.wasm",
        ]
    );
    let built = world.build("FROM scratch\nCOPY *e* docs/* target /d/\n");
    assert_eq!(
        world.names(&built).join(" ").replace(['\n', '*'], ""),
        "d/ d/.dockerignore=.key/.mdtarget!target/x/app.wasm d/b.txt=docs/b.txt d/keep=keep d/x/ \
         d/x/app.wasm=target/x/app.wasm"
    );
    for (source, path, line) in [
        ("secret.key", "secret.key", 1),
        ("docs/deep/c.md", "docs/deep/c.md", 2),
        ("target/junk", "target/junk", 3),
        ("target/x/big", "target/x/big", 3),
    ] {
        let message = world.refused(&format!("FROM scratch\nCOPY {source} /\n"));
        let want =
            format!("`{path}` is excluded from the build context by line {line} of .dockerignore");
        assert!(message.ends_with(&want), "{message}");
    }

    world.put("Dockerfile.dockerignore=*\n!keep");
    let built = world.build("FROM scratch\nCOPY . /\n");
    assert_eq!(world.names(&built), ["keep=keep"]);
    let mut request = world.request("FROM scratch\nCOPY . /\n");
    request.dockerfile_name = "/somewhere/else/Dockerfile".to_owned();
    assert_eq!(
        world.names(&world.run(&request).expect("builds")),
        ["keep=keep"]
    );
    request.dockerfile_name = "sub/Other".to_owned();
    assert_eq!(world.names(&world.run(&request).expect("builds")).len(), 9);
}

#[test]
fn a_bad_ignore_file_is_refused() {
    let world = World::with(&["a", ".dockerignore=a\n!\n"]);
    let message = world.refused("FROM scratch\nCOPY . /\n");
    assert_eq!(
        message,
        ".dockerignore:2: `!` is not a pattern: nothing follows the `!`"
    );
    fs::write(world.path(".dockerignore"), vec![b'a'; (1 << 20) + 1]).expect("written");
    let message = world.refused("FROM scratch\n");
    assert!(
        message.contains("1048577 bytes, want at most 1048576"),
        "{message}"
    );
}

/// A tar archive of these members: `name=text`, `name/`, `name->target`, `name=>hard link`.
fn tar(members: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for member in members {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o640);
        header.set_uid(5);
        header.set_gid(6);
        let (name, text, kind, link) = if let Some((name, link)) = member.split_once("->") {
            (name, "", tar::EntryType::Symlink, link)
        } else if let Some((name, link)) = member.split_once("=>") {
            (name, "", tar::EntryType::Link, link)
        } else if let Some((name, text)) = member.split_once('=') {
            (name, text, tar::EntryType::Regular, "")
        } else {
            (*member, "", tar::EntryType::Directory, "")
        };
        header.set_entry_type(kind);
        header.set_size(text.len() as u64);
        if !link.is_empty() {
            header.set_link_name(link).expect("a short link");
        }
        // Names that the crate itself refuses are what a hostile archive has.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, text.as_bytes()).expect("appended");
    }
    builder.into_inner().expect("an archive")
}

#[test]
fn add_unpacks_archives() {
    let world = World::with(&["a"]);
    let plain = tar(&["d/", "d/f=text", "l->d", "l/g=through", "h=>d/f"]);
    let mut old = plain.clone();
    // Without the magic of POSIX; the checksum is set anew.
    old[257..265].fill(0);
    old[148..156].fill(b' ');
    let sum: u32 = old[..512].iter().map(|byte| u32::from(*byte)).sum();
    old[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let gzip = {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).expect("compressed");
        encoder.finish().expect("compressed")
    };
    let zstd = zstd::encode_all(&plain[..], 1).expect("compressed");
    let bzip2 = {
        use std::io::Read;
        let mut bytes = Vec::new();
        let mut encoder = bzip2::read::BzEncoder::new(&plain[..], bzip2::Compression::fast());
        encoder.read_to_end(&mut bytes).expect("compressed");
        bytes
    };
    for (name, content) in [
        ("t.tar", &plain),
        ("old", &old),
        ("g", &gzip),
        ("z", &zstd),
        ("b", &bzip2),
    ] {
        fs::write(world.path(name), content).expect("written");
        let built = world.build(&format!("FROM scratch\nADD {name} /x/\n"));
        let names = world.names(&built);
        let want = [
            "x/",
            "x/d/",
            "x/d/f=text",
            "x/d/g=through",
            "x/h=text",
            "x/l->d",
        ];
        assert_eq!(names, want, "{name}");
        let layer = &world.layers_of(&built)[0];
        let file = layer.get("x/d/f").expect("is there");
        assert_eq!((file.mode, file.owner), (0o640, (5, 6)), "{name}");
        let built = world.build(&format!(
            "FROM scratch\nADD --chown=7 --chmod=600 {name} /x/\n"
        ));
        let layer = &world.layers_of(&built)[0];
        let file = layer.get("x/d/f").expect("is there");
        assert_eq!((file.mode, file.owner), (0o600, (7, 7)), "{name}");
    }
    // In a copied directory they are left alone, and what only looks so is a file.
    fs::create_dir(world.path("d")).expect("made");
    fs::write(world.path("d/t.tar"), &plain).expect("written");
    fs::write(world.path("text"), vec![b'7'; 2000]).expect("written");
    let built = world
        .build("FROM scratch\nADD d text /\nCOPY t.tar /copied\nADD --unpack=false t.tar /kept\n");
    assert_eq!(built.image.manifest.layers().len(), 3);
    let single = {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"no archive").expect("compressed");
        encoder.finish().expect("compressed")
    };
    fs::write(world.path("single.gz"), &single).expect("written");
    let built = world.build("FROM scratch\nADD single.gz /\n");
    assert_eq!(built.image.config.rootfs.diff_ids.len(), 1);
}

#[test]
fn hostile_archives_are_refused_or_stay_inside() {
    let mut world = World::with(&["evil/passwd=image"]);
    let base = world.build("FROM scratch\nCOPY evil /etc\n");
    world.add_base("base:latest", base.image);
    for (members, want) in [
        (&["../up=x"][..], "leads out of it"),
        (&["a/../../up=x"], "leads out of it"),
        (&["h=>missing"], "is a link to nothing"),
        (&["h=>../../etc/passwd"], "is a link to nothing"),
        (&["f=x", "f/below=y"], "is not a directory"),
        (&["loop->loop", "loop/x=y"], "symbolic links"),
        (&[".wh.passwd=x"], "kept for whiteouts"),
    ] {
        fs::write(world.path("t"), tar(members)).expect("written");
        let message = world.refused("FROM base\nADD t /x/\n");
        assert!(message.contains(want), "{members:?}: {message}");
    }
    // A link of the archive leads within the image, never to the host.
    fs::write(world.path("t"), tar(&["l->/etc", "l/new=x", "/abs=y"])).expect("written");
    let built = world.build("FROM base\nADD t /x/\n");
    let names = world.names(&built);
    assert!(names.contains(&"etc/new=x".to_owned()), "{names:?}");
    assert!(names.contains(&"x/abs=y".to_owned()), "{names:?}");
}

#[test]
fn stages_give_files_to_each_other() {
    let world = World::with(&["a", "d/x", "d/sub/y", "d/l->sub"]);
    let built = world.build(
        "FROM scratch AS one\nCOPY d /d\nCOPY --chmod=4711 a /bin/a\n\
         FROM scratch AS unused\nCOPY missing /\n\
         FROM scratch AS two\nCOPY --from=one /d/l /from-link/\nCOPY --from=0 /d/*b /d/x /many/\n\
         FROM scratch\nCOPY --from=two / /\nCOPY --from=one /bin/a .\nCOPY --from=one --parents /d/./sub/y /p/\n",
    );
    let names = world.names(&built);
    assert_eq!(
        names,
        [
            "a=a",
            "from-link/",
            "from-link/y=d/sub/y",
            "many/",
            "many/x=d/x",
            "many/y=d/sub/y",
            "p/",
            "p/sub/",
            "p/sub/y=d/sub/y",
        ]
    );
    let modes: Vec<u32> = world
        .layers_of(&built)
        .iter()
        .filter_map(|layer| Some(layer.get("a")?.mode))
        .collect();
    assert_eq!(modes, [0o4711]);
    let message = world.refused("FROM scratch AS a\nCOPY a /\nFROM scratch\nCOPY --from=a /b /\n");
    assert!(message.contains("`/b` is not in the image"), "{message}");
    // What fails in a stage that others wait for is told once, and as what it is.
    let message = world.refused(
        "FROM scratch AS bad\nCOPY missing /\nFROM bad AS x\nFROM bad AS y\nFROM scratch\nCOPY --from=x / /\nCOPY --from=y / /\n",
    );
    assert!(message.starts_with("Dockerfile:2:1: "), "{message}");
}

#[test]
fn here_documents_and_flags_make_files() {
    let world = World::with(&[
        "t/a.txt",
        "t/b.md",
        "t/deep/c.md",
        "etc/passwd=app:x:12:34::/:\n",
        "etc/group=grp:x:56:\n",
    ]);
    let built = world.build(
        "FROM scratch\nARG who=you\nCOPY <<one <<'two' /d/\nhello $who\none\nhello $who\ntwo\n\
         COPY --exclude=*.md t /t\nCOPY --exclude=**/c.md t/*.txt t/deep /u/\n\
         COPY etc /etc\nCOPY --chown=app t/a.txt /own1\nCOPY --chown=app:grp t/a.txt /own2\nCOPY --chmod=go-r,u+x t/a.txt /mode\n",
    );
    let names = world.names(&built).join(" ").replace('\n', "/n");
    assert_eq!(
        names,
        "d/ d/one=hello you/n d/two=hello $who/n etc/ etc/group=grp:x:56:/n etc/passwd=app:x:12:34::/:/n \
         mode=t/a.txt own1=t/a.txt own2=t/a.txt t/ t/a.txt=t/a.txt t/deep/ t/deep/c.md=t/deep/c.md u/ u/a.txt=t/a.txt"
    );
    let find = |name: &str| {
        let layers = world.layers_of(&built);
        layers
            .iter()
            .find_map(|layer| layer.get(name).cloned())
            .expect("is there")
    };
    assert_eq!(find("own1").owner, (12, 34));
    assert_eq!(find("own2").owner, (12, 56));
    assert_eq!(find("mode").mode, 0o700);
    let message = world.refused("FROM scratch\nCOPY --chown=who t/a.txt /\n");
    assert!(
        message.contains("user `who` is not in the image's /etc/passwd"),
        "{message}"
    );
}

#[test]
#[cfg(unix)]
fn owners_and_modes_are_uniform_unless_stated() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::with(&["d/plain", "d/program", "d/link->plain", "d/odd"]);
    let set = |name, mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(world.path(name), permissions).expect("set");
    };
    set("d/plain", 0o600);
    set("d/program", 0o700);
    set("d/odd", 0o4666);
    set("d", 0o700);
    for (flags, owner, directory, plain, program) in [
        ("", (0, 0), 0o755, 0o644, 0o755),
        ("--chown=7", (7, 7), 0o755, 0o644, 0o755),
        ("--chown=7:8 --chmod=0640", (7, 8), 0o640, 0o640, 0o640),
        ("--chmod=4711", (0, 0), 0o4711, 0o4711, 0o4711),
    ] {
        let built = world.build(&format!("FROM scratch\nCOPY {flags} d /new/d\n"));
        let layer = &world.layers_of(&built)[0];
        let of = |name: &str| {
            let entry = layer.get(name).expect(name);
            assert_eq!(
                (entry.owner, entry.mtime),
                (owner, 1_700_000_000),
                "{flags} {name}"
            );
            entry.mode
        };
        assert_eq!(of("new"), 0o755, "{flags}");
        assert_eq!(of("new/d"), directory, "{flags}");
        assert_eq!(of("new/d/plain"), plain, "{flags}");
        assert_eq!(of("new/d/odd"), plain, "{flags}");
        assert_eq!(of("new/d/program"), program, "{flags}");
        assert_eq!(of("new/d/link"), 0o777, "{flags}");
    }
}
