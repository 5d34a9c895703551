//! Real interpreters that nobody here wrote, from a Dockerfile through a registry into an empty store.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::fixtures::application;
use crate::layout;
use crate::registry::Registry;
use crate::world::World;

const PYTHON_SCRIPT: &str = r#"
import os, sys

numbers = {name: int(open(os.path.join("/data", name)).read()) for name in sorted(os.listdir("/data"))}
os.makedirs("/var/lib/app", exist_ok=True)
with open("/var/lib/app/report.txt", "w") as report:
    for name, number in numbers.items():
        report.write(f"{name}: {number}\n")
    report.write(f"sum: {sum(numbers.values())}\n")
print(open("/var/lib/app/report.txt").read(), end="")
print("greeting:", os.environ["GREETING"], sys.argv[1:])
try:
    open("/etc/passwd")
except FileNotFoundError:
    print("no host files", file=sys.stderr)
sys.exit(7)
"#;

const RUBY_SCRIPT: &str = r#"
require "json"

numbers = Dir.children("/data").sort.to_h { |name| [name, Integer(File.read("/data/#{name}").strip)] }
File.write("/report.json", JSON.generate(numbers.merge("sum" => numbers.values.sum)))
puts File.read("/report.json")
warn "no host files" unless File.exist?("/etc/passwd")
exit 7
"#;

#[test]
fn python_travels_and_runs() {
    let sender = World::new();
    let context = interpreter(
        &sender,
        "python",
        "FROM scratch\n\
         COPY python.wasm /usr/bin/\n\
         COPY app.py /app/\n\
         ENV GREETING=hello\n\
         ENTRYPOINT [\"/usr/bin/python.wasm\"]\n",
        ("app.py", PYTHON_SCRIPT),
    );
    let open = Registry::open();
    let closed = Registry::with_password("alice", "secret");
    let (name, guarded) = (open.image("python:3.12"), closed.image("python:3.12"));
    timed("python: build", || {
        sender.ok(&["build", "-q", "-t", &name, "-t", &guarded, &context])
    });
    timed("python: push", || sender.ok(&["push", "-q", &name]));
    sender.refused(&["push", "-q", &guarded]);
    sender.log_in(&closed.host(), "alice", "secret");
    sender.ok(&["push", "-q", &guarded]);

    let receiver = World::new();
    timed("python: pull", || receiver.ok(&["pull", "-q", &name]));
    receiver.log_in(&closed.host(), "alice", "secret");
    receiver.ok(&["pull", "-q", &guarded]);
    layout::assert_tidy(&receiver.images());

    // Nothing is compiled when it runs: that was done once, and is kept.
    let compiled = compiled(&receiver);
    let first = timed("python: first run", || {
        receiver.ok(&["run", "--rm", &name, "-c", "print(6*7)"])
    });
    assert_eq!(first, "42\n");
    let second = timed("python: second run", || {
        receiver.ok(&["run", "--rm", &guarded, "-c", "print(6*7)"])
    });
    assert_eq!(second, "42\n");
    assert_eq!(self::compiled(&receiver), compiled);

    let output = run_script(&receiver, &name, &["/app/app.py", "a", "b c"]);
    assert_eq!(
        output,
        (
            "a.txt: 1\nb.txt: 41\nsum: 42\ngreeting: hello ['a', 'b c']\n".to_owned(),
            "no host files\n".to_owned()
        )
    );
    let gone = receiver.ok(&[
        "run",
        "--rm",
        &name,
        "-c",
        "import os; print(os.path.exists('/var/lib/app'))",
    ]);
    assert_eq!(gone, "False\n");
    let program = receiver
        .run_with(
            &["run", "--rm", "-i", &name, "-"],
            b"import sys\nsys.exit('from stdin')\n",
        )
        .expect_code(1, &["run -i python -"]);
    assert_eq!(program.errors(), "from stdin\n");
}

#[test]
fn ruby_travels_and_runs() {
    let sender = World::new();
    let context = interpreter(
        &sender,
        "ruby",
        "FROM scratch\nCOPY ruby.wasm app.rb /\nENTRYPOINT [\"/ruby.wasm\"]\n",
        ("app.rb", RUBY_SCRIPT),
    );
    let registry = Registry::open();
    let name = registry.image("ruby:3.2");
    timed("ruby: build", || {
        sender.ok(&["build", "-q", "-t", &name, &context])
    });
    sender.ok(&["push", "-q", &name]);

    let receiver = World::new();
    // To save the minute: the compiler has made the same of the same program a moment ago. Python's test does it twice.
    copy_folder(
        &sender.root().join("compiled"),
        &receiver.root().join("compiled"),
    );
    receiver.ok(&["pull", "-q", &name]);
    assert_eq!(
        receiver.ok(&["run", "--rm", &name, "-e", "puts 1+1"]),
        "2\n"
    );
    let output = run_script(&receiver, &name, &["/app.rb"]);
    assert_eq!(
        output,
        (
            "{\"a.txt\":1,\"b.txt\":41,\"sum\":42}\n".to_owned(),
            "no host files\n".to_owned()
        )
    );
}

/// Makes the context of an interpreter's image.
fn interpreter(world: &World, name: &str, dockerfile: &str, script: (&str, &str)) -> String {
    let context = world.context(name, dockerfile, &[], &[(script.0, script.1.as_bytes())]);
    let program = format!("{name}.wasm");
    fs::copy(application(&program), Path::new(&context).join(&program))
        .expect("the interpreter is copied");
    context
}

/// Runs a script on a mounted folder of numbers; it must end with 7. Returns stdout and stderr.
fn run_script(world: &World, name: &str, arguments: &[&str]) -> (String, String) {
    world.write("numbers/a.txt", "1\n");
    world.write("numbers/b.txt", "41\n");
    let mount = format!("{}:/data:ro", world.path("numbers").display());
    let mut all = vec!["run", "--rm", "-v", &mount, name];
    all.extend(arguments);
    let output = world.run(&all).expect_code(7, &all);
    (output.text(), output.errors())
}

/// The compiled programs, with what would change if one was made anew.
fn compiled(world: &World) -> Vec<(PathBuf, std::time::SystemTime)> {
    let files = layout::files(&world.root().join("compiled"));
    assert!(!files.is_empty(), "nothing was compiled");
    files
        .into_iter()
        .map(|path| {
            let written = path
                .metadata()
                .and_then(|data| data.modified())
                .expect("its time");
            (path, written)
        })
        .collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder");
    for path in layout::files(from) {
        let place = to.join(path.strip_prefix(from).expect("a file below"));
        fs::create_dir_all(place.parent().expect("a folder")).expect("the folder");
        fs::copy(&path, place).expect("the file is copied");
    }
}

/// Tells how long it took: nextest shows it with `--no-capture`.
fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = act();
    eprintln!("{what}: {:.3} s", start.elapsed().as_secs_f64());
    result
}
