//! The system calls of a short run: the list in `docs/start-up.md` is complete, and does not grow unseen.

use std::collections::BTreeMap;
use std::fs;

use crate::world::{World, finish};

/// The rows of the list: a system call, and how often one run may make it.
fn listed() -> BTreeMap<String, usize> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/start-up.md");
    let text = fs::read_to_string(path).expect("the list");
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let call = cells.next()?.strip_suffix('`')?;
        Some((call.to_owned(), cells.next()?.parse().ok()?))
    });
    rows.collect()
}

/// What a run does, by strace's account.
fn counted(world: &World, image: &str) -> BTreeMap<String, usize> {
    let trace = world.path("trace");
    let trace_text = trace.to_str().expect("UTF-8");
    let coracle = env!("CARGO_BIN_EXE_coracle");
    let arguments = ["-f", "-o", trace_text, coracle, "run", "--rm", image];
    let output = finish(world.tool("strace", &arguments), b"").expect_code(0, &arguments);
    assert_eq!(output.text(), "hello\n");
    let text = fs::read_to_string(trace).expect("the trace");
    let mut counted = BTreeMap::new();
    for line in text.lines() {
        // "1234 openat(AT_FDCWD, …", also with spaces before the name; signals and the end have other forms.
        let call = line
            .split_whitespace()
            .nth(1)
            .and_then(|word| word.split_once('('));
        if let Some((call, _)) = call {
            *counted.entry(call.to_owned()).or_default() += 1;
        }
    }
    counted
}

#[test]
fn a_run_makes_the_calls_that_are_listed() {
    let world = World::new();
    world.guest_image("hello");
    // The first leaves what the second moves into.
    for _ in 0..2 {
        assert_eq!(world.ok(&["run", "--rm", "hello"]), "hello\n");
    }
    let (listed, counted) = (listed(), counted(&world, "hello"));
    assert!(listed.len() > 20, "the list was not found: {listed:?}");
    for (call, count) in &counted {
        let most = listed.get(call).copied().unwrap_or(0);
        assert!(
            *count <= most,
            "{call} is called {count} times, the list has {most}: {counted:?}"
        );
    }
    for call in listed.keys() {
        assert!(
            counted.contains_key(call),
            "{call} is listed and not called: {counted:?}"
        );
    }
    let (made, most): (usize, usize) = (counted.values().sum(), listed.values().sum());
    assert!(
        made + 12 >= most,
        "{made} calls are made, {most} listed: make the list as short"
    );
}

#[test]
fn neither_files_nor_names_cost_calls() {
    let world = World::new();
    world.guest_image("hello");
    let files: Vec<(String, Vec<u8>)> = (0..300)
        .map(|number| {
            (
                format!("files/{number}"),
                format!("{number}\n").into_bytes(),
            )
        })
        .collect();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    world.build(
        "many",
        "FROM scratch\nCOPY . /\nENTRYPOINT [\"/hello.wasm\"]\n",
        &["hello"],
        &files,
    );
    for number in 0..50 {
        world.ok(&["tag", "hello", &format!("other:{number}")]);
    }
    for image in ["hello", "many"] {
        for _ in 0..2 {
            world.ok(&["run", "--rm", image]);
        }
    }
    let sum = |image| counted(&world, image).values().sum::<usize>();
    let (few, many) = (sum("hello"), sum("many"));
    // The index of many files lies on more pages, which takes no call; memory may be asked for once more.
    assert!(
        many <= few + 4,
        "{many} calls with 300 files, {few} with one"
    );
}
