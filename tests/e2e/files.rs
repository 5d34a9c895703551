//! The guest's files: its own, those that were mounted, and nothing else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::layout;
use crate::world::{Output, World};

const DOCKERFILE: &str = "FROM scratch\n\
     COPY files.wasm /bin/\n\
     COPY tree /\n\
     ENTRYPOINT [\"/bin/files.wasm\"]\n";

fn world() -> World {
    let world = World::new();
    world.build(
        "files",
        DOCKERFILE,
        &["files"],
        &[
            ("tree/a.txt", b"from the image\n"),
            ("tree/dir/b.txt", b"deep\n"),
        ],
    );
    world
}

/// Runs commands of `files.c` on the image `files` with these flags.
fn run(world: &World, flags: &[&str], commands: &[&str]) -> Output {
    let mut arguments = vec!["run", "--rm"];
    arguments.extend(flags);
    arguments.push("files");
    arguments.extend(commands);
    world.run(&arguments)
}

#[test]
fn a_container_has_a_file_system_of_its_own() {
    let world = world();
    let output = run(
        &world,
        &[],
        &[
            "list,/",
            "read,/a.txt",
            "write,/a.txt,changed\n",
            "append,/a.txt,more\n",
            "read,/a.txt",
            "mkdir,/new",
            "write,/new/file,x",
            "rename,/dir/b.txt,/new/b.txt",
            "list,/new",
            "list,/dir",
            "rm,/bin/files.wasm",
            "list,/bin",
            "symlink,/new/file,/link",
            "readlink,/link",
            "read,/link",
        ],
    )
    .expect_code(0, &["run"]);
    assert_eq!(
        output.text(),
        "a.txt\nbin\ndir\nfrom the image\nchanged\nmore\nb.txt\nfile\n/new/file\nx"
    );
    // The next one starts from the image.
    let output =
        run(&world, &[], &["list,/", "read,/a.txt", "read,/dir/b.txt"]).expect_code(0, &["run"]);
    assert_eq!(output.text(), "a.txt\nbin\ndir\nfrom the image\ndeep\n");
    layout::assert_tidy(&world.images());
}

#[test]
fn nothing_stays_of_a_container_that_is_removed() {
    let world = world();
    run(&world, &[], &["write,/x,secret-of-the-guest"]).expect_code(0, &["run"]);
    // A guest's process is walled in and cannot remove the container itself: the next one does.
    run(&world, &[], &["list,/"]).expect_code(0, &["run"]);
    for file in layout::files(&world.root()) {
        let bytes = fs::read(&file).expect("a file of the data folder");
        assert!(
            !bytes
                .windows(19)
                .any(|window| window == b"secret-of-the-guest"),
            "{file:?}"
        );
    }
}

#[test]
fn a_mounted_folder_is_read_and_written() {
    let world = world();
    world.write("shared/in.txt", "from the host\n");
    let folder = world.path("shared");
    let mount = format!("{}:/mnt/data", folder.display());
    let output = run(
        &world,
        &["-v", &mount],
        &[
            "list,/mnt",
            "read,/mnt/data/in.txt",
            "write,/mnt/data/out.txt,from the guest\n",
            "list,/mnt/data",
        ],
    )
    .expect_code(0, &["run -v"]);
    assert_eq!(output.text(), "data\nfrom the host\nin.txt\nout.txt\n");
    let written = fs::read_to_string(folder.join("out.txt")).expect("the guest's file");
    assert_eq!(written, "from the guest\n");
}

#[test]
fn a_read_only_mount_cannot_be_changed_by_any_call() {
    let world = world();
    let file = world.write("shared/in.txt", "from the host\n");
    let mount = format!("{}:/data:ro", world.path("shared").display());
    let before = fs::metadata(&file).expect("the file").mtime_nsec();
    for command in [
        "write,/data/in.txt,x",
        "append,/data/in.txt,x",
        "write,/data/new,x",
        "mkdir,/data/dir",
        "rm,/data/in.txt",
        "rename,/data/in.txt,/data/moved",
        "rename,/data/in.txt,/moved",
        "rename,/a.txt,/data/in.txt",
        "symlink,/a.txt,/data/link",
    ] {
        let output = run(&world, &["-v", &mount], &[command]).expect_code(1, &[command]);
        assert!(!output.text().is_empty(), "{command} says why");
        assert_eq!(
            layout::files(&world.path("shared")),
            std::slice::from_ref(&file),
            "{command}"
        );
    }
    assert_eq!(
        fs::read_to_string(&file).expect("the file"),
        "from the host\n"
    );
    assert_eq!(fs::metadata(&file).expect("the file").mtime_nsec(), before);
    let output = run(&world, &["-v", &mount], &["read,/data/in.txt"]).expect_code(0, &["read"]);
    assert_eq!(output.text(), "from the host\n");
}

#[test]
fn a_single_file_can_be_mounted() {
    let world = world();
    let file = world.write("one.txt", "one\n");
    world.write("other.txt", "other\n");
    let mount = format!("{}:/etc/one.txt", file.display());
    let output = run(
        &world,
        &["-v", &mount],
        &[
            "list,/etc",
            "read,/etc/one.txt",
            "write,/etc/one.txt,changed\n",
        ],
    )
    .expect_code(0, &["run -v"]);
    assert_eq!(output.text(), "one.txt\none\n");
    assert_eq!(fs::read_to_string(&file).expect("the file"), "changed\n");
}

#[test]
fn no_path_leads_out() {
    let world = world();
    let secret = world.write("secret.txt", "secret of the host");
    let absolute = secret.display().to_string();
    let outside: Vec<String> = vec![
        "../../etc/passwd".into(),
        "/../../../../../../etc/passwd".into(),
        "/etc/passwd".into(),
        "/dir/../../../../etc/passwd".into(),
        "bin/../../../../etc/passwd".into(),
        "/proc/self/environ".into(),
        "/proc/self/fd/1".into(),
        "/dev/null".into(),
        "//etc//passwd".into(),
        "./../etc/passwd".into(),
        absolute.clone(),
        format!("../../../../../../..{absolute}"),
        world.root().join("images/index.json").display().to_string(),
    ];
    for path in &outside {
        let output = run(&world, &[], &[&format!("read,{path}")]).expect_code(1, &[path]);
        assert!(
            output.text().starts_with(&format!("read {path}: ")),
            "{}",
            output.text()
        );
        assert_eq!(output.text().lines().count(), 1, "{}", output.text());
    }
}

#[test]
fn links_in_the_image_resolve_inside() {
    let world = World::new();
    let secret = world.write("secret.txt", "secret of the host");
    let context = world.context(
        "context",
        DOCKERFILE,
        &["files"],
        &[("tree/etc/hostname", b"the guest's own\n")],
    );
    for (link, target) in [
        ("passwd", "/etc/passwd".to_owned()),
        ("hostname", "/etc/hostname".to_owned()),
        ("up", "../../../../../../../etc/passwd".to_owned()),
        ("secret", secret.display().to_string()),
        ("root", "/".to_owned()),
        ("loop", "/loop".to_owned()),
        ("proc", "/proc/self/root".to_owned()),
    ] {
        symlink(target, world.path("context/tree").join(link)).expect("a link in the image");
    }
    world.ok(&["build", "-q", "-t", "files", &context]);
    let output = run(
        &world,
        &[],
        &[
            "read,/hostname",
            "read,/root/root/hostname",
            "readlink,/passwd",
        ],
    )
    .expect_code(0, &["run"]);
    assert_eq!(
        output.text(),
        "the guest's own\nthe guest's own\n/etc/passwd\n"
    );
    for path in [
        "/passwd",
        "/up",
        "/secret",
        "/loop",
        "/root/etc/passwd",
        "/proc/etc/passwd",
        "/proc/",
    ] {
        let output = run(&world, &[], &[&format!("read,{path}")]).expect_code(1, &[path]);
        assert!(
            output.text().starts_with(&format!("read {path}: ")),
            "{}",
            output.text()
        );
    }
}

#[test]
fn links_in_a_mounted_folder_do_not_lead_to_the_host() {
    let world = world();
    let secret = world.write("secret.txt", "secret of the host");
    world.write("shared/inner/file", "inner\n");
    let folder = world.path("shared");
    for (link, target) in [
        ("passwd", "/etc/passwd".to_owned()),
        ("up", "../secret.txt".to_owned()),
        ("far", "../../../../../../../../etc/passwd".to_owned()),
        ("secret", secret.display().to_string()),
        ("image", "/a.txt".to_owned()),
        ("inside", "inner/file".to_owned()),
        ("proc", "/proc/self/root/etc/passwd".to_owned()),
    ] {
        symlink(target, folder.join(link)).expect("a link in the folder");
    }
    let mount = format!("{}:/data", folder.display());
    let flags = ["-v", mount.as_str()];
    for link in ["passwd", "up", "far", "secret", "proc"] {
        for verb in ["read", "append"] {
            // A file that is made through the link is made in the container, not on the host.
            let command = format!("{verb},/data/{link},x");
            let output = run(&world, &flags, &[&command]);
            assert!(!output.text().contains("root:"), "{}", output.text());
            assert!(!output.text().contains("secret of"), "{}", output.text());
        }
    }
    assert_eq!(
        fs::read_to_string(&secret).expect("the secret"),
        "secret of the host"
    );
    let output = run(&world, &flags, &["read,/data/inside"]).expect_code(0, &["inside"]);
    assert_eq!(output.text(), "inner\n");
    // The guest plants a link and goes through it.
    let planted = run(
        &world,
        &flags,
        &["symlink,/etc/passwd,/data/planted", "read,/data/planted"],
    )
    .expect_code(1, &["planted"]);
    assert!(!planted.text().contains("root:"), "{}", planted.text());
    // Climbing out of the mount ends in the guest's own root.
    let climbing = run(&world, &flags, &["list,/data/..", "read,/data/../a.txt"])
        .expect_code(0, &["climbing"]);
    assert!(
        climbing.text().ends_with("from the image\n"),
        "{}",
        climbing.text()
    );
}

#[test]
fn a_wrong_mount_is_refused_before_anything_starts() {
    let world = world();
    let missing = world.path("missing").display().to_string();
    for (mount, wanted) in [
        (format!("{missing}:/data"), "missing"),
        ("relative/path:/data".to_owned(), "relative/path"),
        ("/tmp:relative".to_owned(), "relative"),
        ("/tmp:/data:rx".to_owned(), "rx"),
        ("tmp".to_owned(), "tmp"),
        ("/tmp:/".to_owned(), "/"),
        (String::new(), "-v"),
    ] {
        let message = world.refused(&["run", "--rm", "-v", &mount, "files", "list,/"]);
        assert!(message.contains(wanted), "{mount:?}: {message}");
    }
    assert_eq!(world.ok(&["ps", "-a", "-q"]), "");
}

#[test]
fn the_data_folder_is_its_owners_alone() {
    let world = world();
    let mode = fs::metadata(world.root())
        .expect("the data folder")
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
