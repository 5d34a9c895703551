//! What a kill at any instant leaves.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::*;

thread_local! {
    /// How many more changes of the host's state this thread can make before it "dies". `None`: it lives.
    static STEPS_LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Called before every change of the host's state. A dead thread changes nothing any more, clean-ups included.
pub(in crate::vfs) fn step() -> Result<()> {
    STEPS_LEFT.with(|left| match left.get() {
        None => Ok(()),
        Some(0) => Err(Errno::Io),
        Some(count) => {
            left.set(Some(count - 1));
            Ok(())
        }
    })
}

fn image() -> World {
    World::new(|lower| {
        let root = lower.root();
        lower
            .add_file(root, b"f", 0o644, b"image f")
            .expect("a file");
        lower.add_symlink(root, b"l", b"f").expect("a link");
        for dir in [&b"d"[..], b"e"] {
            let d = lower.add_dir(root, dir, 0o755).expect("a directory");
            lower.add_file(d, b"x", 0o644, dir).expect("a file");
            let sub = lower.add_dir(d, b"sub", 0o755).expect("a directory");
            lower.add_file(sub, b"y", 0o644, b"deeper").expect("a file");
        }
        lower.add_dir(root, b"empty", 0o755).expect("a directory");
    })
}

type Change = fn(&Directory) -> Result<()>;

fn clear_e(root: &Directory) -> Result<()> {
    for path in [&b"e/x"[..], b"e/sub/y"] {
        root.remove_file(path)?;
    }
    root.remove_dir(b"e/sub")
}

const NOTHING: Change = |_| Ok(());

/// What was done before, and what is interrupted.
const SCENES: &[(&str, Change, Change)] = &[
    ("append to a lower file", NOTHING, |root| {
        file(root, "d/sub/y", &APPEND)?.append(b"new").map(drop)
    }),
    ("create", NOTHING, |root| write(root, "d/sub/new", "")),
    (
        "create over a whiteout",
        |root| root.remove_file(b"f"),
        |root| write(root, "f", ""),
    ),
    ("unlink a lower file", NOTHING, |root| {
        root.remove_file(b"d/x")
    }),
    (
        "unlink a copied file",
        |root| write(root, "f", "new"),
        |root| root.remove_file(b"f"),
    ),
    ("rmdir of the lower", NOTHING, |root| {
        root.remove_dir(b"empty")
    }),
    ("rmdir of a merged one", clear_e, |root| {
        root.remove_dir(b"e")
    }),
    (
        "mkdir over a whiteout",
        |root| clear_e(root).and_then(|()| root.remove_dir(b"e")),
        |root| root.create_dir(b"e"),
    ),
    ("rename a lower file", NOTHING, |root| {
        root.rename(b"f", root, b"d/g")
    }),
    ("rename over a lower file", NOTHING, |root| {
        root.rename(b"f", root, b"d/x")
    }),
    ("rename a lower link", NOTHING, |root| {
        root.rename(b"l", root, b"m")
    }),
    ("rename a lower directory", NOTHING, |root| {
        root.rename(b"d", root, b"moved")
    }),
    (
        "rename a merged directory",
        |root| write(root, "d/new", "n"),
        |root| root.rename(b"d", root, b"empty"),
    ),
    ("rename over an emptied directory", clear_e, |root| {
        root.rename(b"d", root, b"e")
    }),
    (
        "rename a new directory over a lower one",
        |root| root.create_dir(b"n"),
        |root| root.rename(b"n", root, b"empty"),
    ),
    ("link", NOTHING, |root| {
        root.hard_link(b"f", false, root, b"d/g")
    }),
    (
        "symlink over a whiteout",
        |root| root.remove_file(b"f"),
        |root| root.symlink(b"l", b"f"),
    ),
];

/// Kills every scene after each of its steps, and looks at what a new process finds.
#[test]
fn a_kill_at_any_step_loses_nothing() {
    for (name, prepare, change) in SCENES {
        let world = image();
        let root = world.guest();
        prepare(&root).expect("prepared");
        let before = snapshot(&root);
        change(&root).expect("undisturbed");
        let after = snapshot(&root);
        assert_ne!(before, after, "{name}");
        let mut states = BTreeSet::new();
        for steps in 0.. {
            let world = image();
            let root = world.guest();
            prepare(&root).expect("prepared");
            STEPS_LEFT.set(Some(steps));
            let done = change(&root).is_ok();
            drop(root);
            STEPS_LEFT.set(None);
            let found = world.guest();
            let state = snapshot(&found);
            states.insert(check(name, steps, &state, &before, &after));
            if state == before {
                // Whoever comes next can do it, whatever is left.
                change(&found)
                    .unwrap_or_else(|error| panic!("{name}, again after {steps} steps: {error}"));
                assert_eq!(snapshot(&found), after, "{name}, again after {steps} steps");
            }
            if done {
                assert_eq!(state, after, "{name}");
                break;
            }
        }
        assert!(
            states.contains("before") && states.contains("after"),
            "{name}: {states:?}"
        );
    }
}

type Tree = BTreeMap<String, String>;

/// A state that may be found: the one before, the one after, or both names.
fn check(name: &str, steps: usize, state: &Tree, before: &Tree, after: &Tree) -> &'static str {
    if state == before {
        return "before";
    }
    if state == after {
        return "after";
    }
    // Between making a file and giving it content, or moving and clearing up: nothing that is neither's.
    for (path, content) in state {
        let known = [before.get(path), after.get(path)].contains(&Some(content));
        assert!(
            known,
            "{name} after {steps} steps: {path} is {content:?}\nbefore {before:?}\nafter {after:?}"
        );
    }
    for (path, content) in before {
        if after.get(path) == Some(content) {
            assert_eq!(
                state.get(path),
                Some(content),
                "{name} after {steps} steps: {path} is lost"
            );
        }
        let kept = state.values().any(|value| value == content)
            || !after.values().any(|value| value == content);
        assert!(
            kept,
            "{name} after {steps} steps: the content of {path} is lost"
        );
    }
    "between"
}
