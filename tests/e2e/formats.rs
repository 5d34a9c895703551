//! `--format` and `--filter`: what lists and `inspect` print.

use crate::world::World;

fn world() -> World {
    let world = World::new();
    world.guest_image("exit7");
    world.guest_image("hello");
    world.ok(&[
        "run", "--name", "one", "--label", "tier=web", "--label", "a.b-c=x", "hello",
    ]);
    let arguments = ["run", "--name", "two", "-v", "data:/data", "exit7"];
    world.run(&arguments).expect_code(7, &arguments);
    world.ok(&[
        "create", "--name", "three", "--label", "tier=db", "hello", "arg",
    ]);
    world
}

fn names(world: &World, filters: &[&str]) -> String {
    let flags: Vec<&str> = filters
        .iter()
        .flat_map(|filter| ["--filter", filter])
        .collect();
    let list = world.ok(&[&["ps", "-a", "--format", "{{.Names}}"], &flags[..]].concat());
    let mut names: Vec<&str> = list.lines().collect();
    names.sort_unstable();
    names.join(" ")
}

#[test]
fn a_list_is_printed_as_a_template_says() {
    let world = world();
    let format = |format: &str| world.ok(&["ps", "-a", "--format", format, "--filter", "name=one"]);
    assert_eq!(
        format("{{.Names}}: {{.Image}} {{.State}} {{.Label \"tier\"}}"),
        "one: hello exited web\n"
    );
    assert_eq!(
        format("table {{.Names}}\\t{{.Label \"a.b-c\"}}"),
        "NAMES     b c\none       x\n"
    );
    assert_eq!(format("{{json .Command}}"), "\"\\\"/hello.wasm\\\"\"\n");
    assert!(
        format("table").starts_with("CONTAINER ID   IMAGE     COMMAND"),
        "{}",
        format("table")
    );
    let json: serde_json::Value = serde_json::from_str(&format("json")).expect("JSON");
    assert_eq!(json["Labels"], "a.b-c=x,tier=web");
    assert_eq!(json["Networks"], "none");
    let sized = world.ok(&["ps", "-as", "--filter", "name=two"]);
    assert!(
        sized.contains("SIZE") && sized.contains("0B (virtual "),
        "{sized}"
    );
    assert_eq!(
        world
            .ok(&["ps", "-an1", "--format", "{{.Names}}"])
            .lines()
            .count(),
        1
    );
    for bad in ["{{.Nope}}", "{{", "{{nonsense}}"] {
        world.failed(&["ps", "-a", "--format", bad]);
    }
    assert_eq!(
        world.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}", "hello"]),
        "hello:latest\n"
    );
    let table = world.ok(&[
        "images",
        "--format",
        "table {{.Repository}}\\t{{.ID}}",
        "hello",
    ]);
    assert!(
        table.starts_with("REPOSITORY   IMAGE ID\nhello        "),
        "{table}"
    );
    assert_eq!(
        world
            .ok(&["history", "--format", "{{.CreatedBy}}", "hello"])
            .lines()
            .count(),
        2
    );
    assert_eq!(
        world.ok(&["volume", "ls", "--format", "{{.Name}} {{.Driver}}"]),
        "data local\n"
    );
    assert_eq!(
        world
            .ok(&["system", "df", "--format", "{{.Type}}"])
            .lines()
            .next(),
        Some("Images")
    );
    let version = world.ok(&["version", "--format", "{{.Server.Version}}"]);
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn inspect_is_printed_as_a_template_says() {
    let world = world();
    let format = |format: &str, name: &str| world.ok(&["inspect", "-f", format, name]);
    assert_eq!(
        format("{{.State.Status}} {{.State.ExitCode}} {{.Name}}", "two"),
        "exited 7 /two\n"
    );
    assert_eq!(
        format(
            "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}}{{end}}",
            "two"
        ),
        "volume data /data\n"
    );
    assert_eq!(format("{{index .Config.Labels \"tier\"}}", "one"), "web\n");
    assert_eq!(
        format("{{json .Config.Cmd}}", "three"),
        "[\"/hello.wasm\",\"arg\"]\n"
    );
    assert_eq!(
        format("{{if .State.Running}}up{{else}}down{{end}}", "one"),
        "down\n"
    );
    let ids = world.ok(&["inspect", "-f", "{{.Id}}", "one", "two"]);
    assert_eq!(ids.lines().count(), 2);
    let image = world.ok(&[
        "image",
        "inspect",
        "-f",
        "{{join .Config.Entrypoint \" \"}}",
        "hello",
    ]);
    assert_eq!(image, "/hello.wasm\n");
    assert_eq!(
        world.ok(&["inspect", "--type", "volume", "-f", "{{.Name}}", "data"]),
        "data\n"
    );
    assert_eq!(
        world.ok(&["volume", "inspect", "-f", "{{.Driver}}", "data"]),
        "local\n"
    );
    let size = world.ok(&["inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "one"]);
    assert!(size.starts_with("0 "), "{size}");
    world
        .run(&["inspect", "-f", "{{.Nope}}", "one"])
        .expect_code(1, &["no such field"]);
    world
        .run(&["inspect", "--type", "image", "one"])
        .expect_code(1, &["no such image"]);
}

#[test]
fn lists_are_filtered() {
    let world = world();
    for (filters, wanted) in [
        (&["name=^t"][..], "three two"),
        (&["name=/one"], "one"),
        (&["label=tier"], "one three"),
        (&["label=tier=web"], "one"),
        (&["label=tier=web", "label=nope"], ""),
        (&["status=created"], "three"),
        (&["status=exited", "status=created"], "one three two"),
        (&["exited=7"], "two"),
        (&["ancestor=hello"], "one three"),
        (&["ancestor=exit7:latest"], "two"),
        (&["volume=data"], "two"),
        (&["volume=/data", "status=exited"], "two"),
        (&["is-task=false", "name=one"], "one"),
        (&["id=zzz"], ""),
    ] {
        assert_eq!(names(&world, filters), wanted, "{filters:?}");
    }
    assert_eq!(
        world
            .ok(&["ps", "-q", "--filter", "exited=7"])
            .lines()
            .count(),
        1,
        "what ended is meant"
    );
    for bad in [
        "status=sleepy",
        "exited=x",
        "nonsense=1",
        "name",
        "before=nobody",
    ] {
        world.failed(&["ps", "-a", "--filter", bad]);
    }
    let images =
        |filter: &str| world.ok(&["images", "--filter", filter, "--format", "{{.Repository}}"]);
    assert_eq!(images("reference=hel*"), "hello\n");
    assert_eq!(images("dangling=true"), "");
    assert_eq!(images("dangling=false").lines().count(), 2);
    assert_eq!(images("label=nope"), "");
    world.failed(&["images", "--filter", "nonsense=1"]);
    assert_eq!(
        world.ok(&["images", "--format", "{{.Repository}}", "ex*"]),
        "exit7\n"
    );
}
