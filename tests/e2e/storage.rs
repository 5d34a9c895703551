//! Memory that is mounted, Docker's long form of mounts, and the bound on a container's own files.

use crate::world::{Output, World};

fn world() -> World {
    let world = World::new();
    world.build(
        "files",
        "FROM scratch\nCOPY files.wasm /bin/\nCOPY tree /\nENTRYPOINT [\"/bin/files.wasm\"]\n",
        &["files"],
        &[("tree/a.txt", b"from the image\n")],
    );
    world
}

fn run(world: &World, flags: &[&str], commands: &[&str]) -> Output {
    world.run(&[&["run", "--rm"], flags, &["files"], commands].concat())
}

#[test]
fn memory_is_mounted_and_bounded() {
    let world = world();
    let flags = ["--tmpfs", "/srv/t:size=8k,mode=700", "--read-only"];
    let output = run(
        &world,
        &flags,
        &[
            "list,/srv",
            "write,/srv/t/f,in memory\n",
            "rename,/srv/t/f,/srv/t/g",
            "read,/srv/t/g",
            "write,/x,no",
        ],
    )
    .expect_code(1, &["run"]);
    let text = output.text();
    assert!(text.starts_with("t\nin memory\n"), "{text}");
    assert!(text.contains("Read-only file system"), "{text}");
    let output = run(
        &world,
        &flags,
        &["list,/srv/t", "write,/srv/t/1,x", "write,/srv/t/2,x"],
    )
    .expect_code(1, &["a file each in 4 KiB, and 1 KiB for the name"]);
    assert_eq!(output.text(), "write /srv/t/2: No space left on device\n");
    let output = run(&world, &["--tmpfs", "/t:ro"], &["write,/t/f,x"]).expect_code(1, &["ro"]);
    assert_eq!(output.text(), "write /t/f: Read-only file system\n");
}

#[test]
fn the_long_form_mounts_as_the_short_one() {
    let world = world();
    let file = world.write("shared/in.txt", "from the host\n");
    let mount = format!(
        "type=bind,source={},target=/m/deep,readonly",
        world.path("shared").display()
    );
    let output = run(
        &world,
        &[
            "--mount",
            &mount,
            "--mount",
            "type=bind,source=shared/in.txt,target=/a.txt",
            "--mount",
            "type=tmpfs,target=/m/deep/er,tmpfs-size=1m",
        ],
        &[
            "read,/m/deep/in.txt",
            "write,/a.txt,changed\n",
            "list,/m/deep",
            "write,/m/deep/er/f,in memory\n",
            "read,/m/deep/er/f",
        ],
    )
    .expect_code(0, &["run --mount"]);
    assert_eq!(
        output.text(),
        "from the host\ner\nin.txt\nin memory\n",
        "a mount in a mount, and one over a file of the image"
    );
    assert_eq!(
        std::fs::read_to_string(file).expect("the file"),
        "changed\n"
    );
    for (mount, wanted) in [
        ("type=volume,source=./data,target=/d", "not a volume name"),
        (
            "type=bind,source=/nowhere-at-all,target=/d",
            "/nowhere-at-all",
        ),
        ("type=bind,source=/tmp", "no target"),
    ] {
        let message = world.refused(&["run", "--rm", "--mount", mount, "files", "list,/"]);
        assert!(message.contains(wanted), "{mount}: {message}");
    }
}

#[test]
fn a_containers_own_files_can_be_bounded() {
    let world = world();
    let bound = ["--storage-opt", "size=12k"];
    let output = run(
        &world,
        &bound,
        &[
            "mkdir,/1",
            "mkdir,/2",
            "write,/f,x",
            "rm,/2",
            "append,/f,yz",
            "mkdir,/3",
            "read,/f",
        ],
    )
    .expect_code(1, &["run"]);
    assert_eq!(
        output.text(),
        "write /f: No space left on device\nmkdir /3: No space left on device\nyz",
        "12 KiB are three names, or two and some text"
    );
    let message = world.refused(&["run", "--storage-opt", "size=0", "files"]);
    assert!(message.contains("0 bytes"), "{message}");
}

#[test]
fn a_changed_file_keeps_its_number_behind_both_walls() {
    let world = world();
    let output = run(
        &world,
        &[],
        &[
            "ino,/a.txt",
            "append,/a.txt,more\n",
            "ino,/a.txt",
            "rename,/a.txt,/b.txt",
            "ino,/b.txt",
        ],
    )
    .expect_code(0, &["run"]);
    let text = output.text();
    let numbers: Vec<_> = text.lines().collect();
    assert_eq!(numbers.len(), 3, "{text}");
    assert!(numbers.iter().all(|number| *number == numbers[0]), "{text}");
}
