//! Random sequences of calls, compared with a simple model and with the kernel's overlayfs.
//!
//! One sequence fills a directory, which becomes the lower; a second one runs on the container. Each call's answer is
//! compared, then the whole trees: as the first handle sees it, and as a new process would. Our side is two file systems
//! on one upper, used in turn.

mod kernel;
mod model;
mod subject;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;

/// One call by path, from the root.
#[derive(Clone, PartialEq, Eq)]
enum Op {
    Mkdir(String),
    Rmdir(String),
    Unlink(String),
    /// Makes a file that must be new, or may be there.
    Create {
        path: String,
        exclusive: bool,
    },
    /// Appends two bytes, or replaces the content by them.
    Write {
        path: String,
        truncate: bool,
    },
    Read(String),
    Rename(String, String),
    Link(String, String),
    Symlink {
        target: String,
        path: String,
    },
    ReadLink(String),
    Stat {
        path: String,
        follow: bool,
    },
    List(String),
    Touch {
        path: String,
        follow: bool,
    },
    /// Keeps a directory open, instead of the one before, or nothing if it is none.
    Hold(String),
    /// A call by name in the directory that is held, whatever became of it.
    Held(Verb, &'static str),
    /// Remembers the number of what is at a path, a symlink's not, and keeps it open so that nothing else gets it.
    Remember(String),
    /// Has this the remembered number?
    IsRemembered(String),
}

/// A call in a directory that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Create,
    Mkdir,
    Unlink,
    Rmdir,
    Kind,
}

impl Op {
    /// Does it need what an earlier call left in the same subject?
    fn is_about_a_handle(&self) -> bool {
        matches!(
            self,
            Self::Hold(_) | Self::Held(..) | Self::Remember(_) | Self::IsRemembered(_)
        )
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mkdir(path) => write!(f, "mkdir {path}"),
            Self::Rmdir(path) => write!(f, "rmdir {path}"),
            Self::Unlink(path) => write!(f, "unlink {path}"),
            Self::Create { path, exclusive } => write!(f, "create {path} exclusive={exclusive}"),
            Self::Write { path, truncate } => write!(f, "write {path} truncate={truncate}"),
            Self::Read(path) => write!(f, "read {path}"),
            Self::Rename(from, to) => write!(f, "rename {from} {to}"),
            Self::Link(from, to) => write!(f, "link {from} {to}"),
            Self::Symlink { target, path } => write!(f, "symlink {target} {path}"),
            Self::ReadLink(path) => write!(f, "readlink {path}"),
            Self::Stat { path, follow } => write!(f, "stat {path} follow={follow}"),
            Self::List(path) => write!(f, "list {path}"),
            Self::Touch { path, follow } => write!(f, "touch {path} follow={follow}"),
            Self::Hold(path) => write!(f, "hold {path}"),
            Self::Held(verb, name) => write!(f, "in the held one {verb:?} {name}"),
            Self::Remember(path) => write!(f, "remember {path}"),
            Self::IsRemembered(path) => write!(f, "is remembered {path}"),
        }
    }
}

/// What a call answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Bytes(Vec<u8>),
    Names(Vec<(String, FileKind)>),
    /// `nlink` and `size` are of files only: for directories each file system has its own.
    Stat {
        kind: FileKind,
        nlink: u64,
        size: u64,
        touched: bool,
    },
    Kind(FileKind),
    IsRemembered(bool),
}

type Outcome = Result<Answer>;

/// Something that the calls run on.
trait Subject {
    fn run(&mut self, op: &Op) -> Outcome;
}

/// Sequences per run, always the same; about three seconds of work. `CORACLE_VFS_CASES` asks for others, and so many.
const CASES: u32 = 300;

/// Calls that were compared.
static COMPARED: AtomicU64 = AtomicU64::new(0);

fn runner() -> TestRunner {
    let asked = std::env::var("CORACLE_VFS_CASES");
    match asked.ok().map(|text| text.parse()) {
        None => {
            let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            TestRunner::new_with_rng(config(CASES), rng)
        }
        Some(Ok(cases)) => TestRunner::new(config(cases)),
        Some(Err(_)) => panic!("CORACLE_VFS_CASES is not a number"),
    }
}

/// Runs a comparison on random sequences, and says on how many calls.
#[expect(clippy::print_stderr, reason = "the long form shows how much it did")]
fn compare_many(run: impl Fn((Vec<Op>, Vec<Op>)) -> std::result::Result<(), TestCaseError>) {
    runner()
        .run(&sequences(), run)
        .unwrap_or_else(|failure| panic!("{failure}"));
    eprintln!("{} calls compared", COMPARED.load(Ordering::Relaxed));
}

/// The time that `Touch` sets. Nothing else does, so it shows whether a copy keeps times and a change sets them.
const TOUCHED: i64 = 1_000_000;

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("c")]
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        Just(Verb::Create),
        Just(Verb::Mkdir),
        Just(Verb::Unlink),
        Just(Verb::Rmdir),
        Just(Verb::Kind),
    ]
}

fn path(slash: bool) -> impl Strategy<Value = String> {
    let middle = || prop_oneof![8 => name(), 1 => Just(".")];
    (proptest::collection::vec(middle(), 0..3), name(), 0..24_u8).prop_map(
        move |(mut path, last, form)| {
            path.push(last);
            match form {
                // `..` only after a name, since paths that climb above the handle are another rule.
                0 => path.extend(["..", "b"]),
                1 => path.push("."),
                2 => path.insert(0, "."),
                _ => {}
            }
            if slash && form == 3 {
                path.push("");
            }
            path.join("/")
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let target = prop_oneof![
        Just("a"),
        Just("b"),
        Just("c"),
        Just("a/b"),
        Just("../a"),
        Just("/a/b"),
        Just("/"),
        Just("../../c"),
        Just("a/../b"),
        Just("nowhere"),
    ];
    prop_oneof![
        4 => path(true).prop_map(Op::Mkdir),
        3 => path(true).prop_map(Op::Rmdir),
        3 => path(true).prop_map(Op::Unlink),
        4 => (path(true), any::<bool>()).prop_map(|(path, exclusive)| Op::Create { path, exclusive }),
        4 => (path(true), any::<bool>()).prop_map(|(path, truncate)| Op::Write { path, truncate }),
        2 => path(true).prop_map(Op::Read),
        8 => (path(true), path(true)).prop_map(|(from, to)| Op::Rename(from, to)),
        2 => (path(false), path(true)).prop_map(|(from, to)| Op::Link(from, to)),
        2 => (target, path(true)).prop_map(|(target, path)| Op::Symlink { target: target.to_owned(), path }),
        1 => path(true).prop_map(Op::ReadLink),
        2 => (path(true), any::<bool>()).prop_map(|(path, follow)| Op::Stat { path, follow }),
        2 => path(true).prop_map(Op::List),
        2 => (path(true), any::<bool>()).prop_map(|(path, follow)| Op::Touch { path, follow }),
        2 => path(false).prop_map(Op::Hold),
        4 => (verb(), name()).prop_map(|(verb, name)| Op::Held(verb, name)),
        1 => path(false).prop_map(Op::Remember),
        2 => path(false).prop_map(Op::IsRemembered),
    ]
}

fn sequences() -> impl Strategy<Value = (Vec<Op>, Vec<Op>)> {
    // Hard links in a lower are where the kernel itself has several answers.
    let setup = op().prop_filter("no hard links in the lower, and no handles", |op| {
        !matches!(op, Op::Link(..)) && !op.is_about_a_handle()
    });
    (
        proptest::collection::vec(setup, 0..30),
        proptest::collection::vec(op(), 1..40),
    )
}

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..Config::default()
    }
}

/// Everything that a subject shows, as one text.
fn tree(subject: &mut dyn Subject) -> String {
    let mut text = String::new();
    let mut todo = vec![".".to_owned()];
    while let Some(dir) = todo.pop() {
        let Ok(Answer::Names(names)) = subject.run(&Op::List(dir.clone())) else {
            panic!("{dir} can't be listed, after:\n{text}");
        };
        for (name, kind) in names {
            let path = format!("{dir}/{name}");
            let stat = subject.run(&Op::Stat {
                path: path.clone(),
                follow: false,
            });
            let content = match kind {
                FileKind::File => subject.run(&Op::Read(path.clone())),
                FileKind::Symlink => subject.run(&Op::ReadLink(path.clone())),
                _ => {
                    todo.push(path.clone());
                    Ok(Answer::Done)
                }
            };
            text += &format!("{path} {kind:?} {stat:?} {content:?}\n");
        }
    }
    text
}

/// Runs the calls on us and on another. The model knows no times.
fn compare(
    world: &World,
    ops: &[Op],
    other: &mut dyn Subject,
    times: bool,
) -> std::result::Result<(), TestCaseError> {
    let known = |outcome: Outcome| match outcome {
        Ok(Answer::Stat {
            kind,
            nlink,
            size,
            touched,
        }) => Ok(Answer::Stat {
            kind,
            nlink,
            size,
            touched: touched && times,
        }),
        other => other,
    };
    let whole = |subject: &mut dyn Subject| {
        let text = tree(subject);
        if times {
            text
        } else {
            text.replace("touched: true", "touched: false")
        }
    };
    // As two processes in one container, in turn.
    let mut ours = [(); 2].map(|()| subject::Guest::new(world.guest()));
    for (number, op) in ops.iter().enumerate() {
        let process = if op.is_about_a_handle() {
            0
        } else {
            number % 2
        };
        let (got, want) = (known(ours[process].run(op)), known(other.run(op)));
        COMPARED.fetch_add(1, Ordering::Relaxed);
        prop_assert_eq!(got, want, "call {}: {:?}", number, op);
    }
    let want = whole(other);
    prop_assert_eq!(whole(&mut ours[0]), want.clone(), "the tree");
    prop_assert_eq!(
        whole(&mut subject::Guest::new(world.guest())),
        want,
        "the tree that a new process sees"
    );
    Ok(())
}

/// A world whose lower is a host directory that `setup` filled.
fn filled(setup: &[Op]) -> World {
    let temp = tempfile::tempdir().expect("a directory");
    let lower = temp.path().join("lower");
    fs::create_dir(&lower).expect("a directory");
    let mut host = kernel::Host::new(&lower);
    for op in setup {
        // Most sequences hold calls that fail: that is what they are for.
        let _either = host.run(op);
    }
    World::with_lower(temp, Arc::new(DirLower::new(open_dir(&lower))))
}

#[test]
fn as_the_model() {
    let run = |(setup, ops): (Vec<Op>, Vec<Op>)| {
        let world = filled(&setup);
        let mut model = model::Model::new();
        for op in &setup {
            let _either = model.run(op);
        }
        compare(&world, &ops, &mut model, false)
    };
    compare_many(run);
}

/// A file system in memory does what a host's directory does, mounted in the same place.
#[test]
fn memory_as_a_mounted_directory() {
    let mounted = |source| {
        let world = filled(&[]);
        let fs = world.builder().mount("/m", source, Access::ReadWrite);
        let root = fs.build().expect("built").root();
        let dir = directory(&root, "m").expect("the mount");
        (world, subject::Guest::new(dir))
    };
    let run = |(setup, ops): (Vec<Op>, Vec<Op>)| {
        let temp = tempfile::tempdir().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let (_one, mut host) = mounted(mount_dir(temp.path()));
        let memory = MountSource::Memory(Tmpfs::new(TmpfsOptions::default()));
        let (_other, mut memory) = mounted(memory);
        for (number, op) in setup.iter().chain(&ops).enumerate() {
            prop_assert_eq!(memory.run(op), host.run(op), "call {}: {:?}", number, op);
            COMPARED.fetch_add(1, Ordering::Relaxed);
        }
        prop_assert_eq!(tree(&mut memory), tree(&mut host), "the tree");
        Ok(())
    };
    compare_many(run);
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn as_the_kernels_overlayfs() {
    match kernel::Overlay::mount(&filled(&[])) {
        Ok(_works) => {}
        Err(reason) => return eprintln!("SKIPPED: no overlayfs to compare with: {reason}"),
    }
    let run = |(setup, ops): (Vec<Op>, Vec<Op>)| {
        let world = filled(&setup);
        let mut overlay = kernel::Overlay::mount(&world).map_err(TestCaseError::fail)?;
        compare(&world, &ops, &mut overlay, true)
    };
    compare_many(run);
}
