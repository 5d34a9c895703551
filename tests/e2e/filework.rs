//! Real programs doing real file work: what they see must be what they see on the host.

use std::path::Path;
use std::process::Command;

use crate::fixtures::application;
use crate::world::World;

/// Runs a script with an interpreter's image, in the container's own files, in a mounted folder and in memory, and the
/// same script with the host's interpreter.
fn compare(name: &str, script: &str, host: &str) {
    let world = World::new();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/applications");
    let text = std::fs::read(scripts.join(script)).expect("the script");
    let program = format!("{name}.wasm");
    let context = world.context(
        name,
        &format!(
            "FROM scratch\nCOPY {program} {script} /\nENTRYPOINT [\"/{program}\", \"/{script}\"]\n"
        ),
        &[],
        &[(script, &text)],
    );
    std::fs::copy(application(&program), Path::new(&context).join(&program))
        .expect("the interpreter is copied");
    world.ok(&["build", "-q", "-t", name, &context]);

    let here = world.path("on-the-host");
    let output = Command::new(host)
        .arg(scripts.join(script))
        .arg(&here)
        .output()
        .unwrap_or_else(|error| panic!("{host} runs (tests/run.sh installs it): {error}"));
    assert!(
        output.status.success(),
        "{host}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let wanted = String::from_utf8(output.stdout).expect("plain text");

    world.write("shared/.keep", "");
    let mount = format!("{}:/files", world.path("shared").display());
    for flags in [
        &[][..],
        &["-v", &mount],
        &["--tmpfs", "/files"],
        &["--storage-opt", "size=1g"],
    ] {
        let arguments = [&["run", "--rm"], flags, &[name, "/files/base"]].concat();
        let got = world.run(&arguments).expect_code(0, &arguments).text();
        let different = got
            .lines()
            .zip(wanted.lines())
            .find(|(got, wanted)| got != wanted);
        assert_eq!(different, None, "{flags:?}: ours, then the host's");
        assert_eq!(got, wanted, "{flags:?}");
    }
}

#[test]
fn python_works_with_files_as_on_the_host() {
    compare("python", "files.py", "python3");
}

#[test]
fn ruby_works_with_files_as_on_the_host() {
    compare("ruby", "files.rb", "ruby");
}

/// Go's heap takes for granted that memory grows in one piece.
#[test]
fn go_works_with_files_while_its_heap_grows() {
    let world = World::new();
    let context = world.context(
        "go",
        "FROM scratch\nCOPY go-files.wasm /\nENTRYPOINT [\"/go-files.wasm\"]\n",
        &[],
        &[],
    );
    std::fs::copy(
        application("go-files.wasm"),
        Path::new(&context).join("go-files.wasm"),
    )
    .expect("the program is copied");
    world.ok(&["build", "-q", "-t", "go", &context]);
    for flags in [&[][..], &["--tmpfs", "/files"]] {
        let arguments = [&["run", "--rm"], flags, &["go", "/files/base"]].concat();
        let got = world.run(&arguments).expect_code(0, &arguments).text();
        assert_eq!(
            got,
            "heap grew and was collected: true true\n2000 files, f1256e9f85b8f083\nmoved: true\nthrough the link: 50\ngone: true\n",
            "{flags:?}"
        );
    }
}
