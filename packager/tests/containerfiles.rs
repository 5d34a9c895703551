//! Dockerfiles that must be read, and Dockerfiles that must be refused.
//!
//! Each folder of `data/containerfiles/good` holds a Containerfile and the plan that it makes; each of `bad` one and the
//! error that it gets. `options` beside it holds what the build is told: `arg NAME=VALUE`, `target NAME`, and the base
//! image's `env NAME=VALUE` and `workdir PATH`. With `UPDATE_GOLDEN=1` in the environment the expectations are written
//! anew: read the difference before you keep it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use coracle_packager::build::containerfile::{ContainerfileError, parse};
use coracle_packager::build::plan::{BaseName, Options, Planner, Start};
use coracle_packager::platform::Platform;
use proptest::prelude::*;

#[test]
fn good_files_make_their_plan() {
    run("good", "plan", 25, |case| {
        plan(case).expect("the file is read")
    });
}

#[test]
fn bad_files_get_their_error() {
    run("bad", "error", 40, |case| {
        let error = plan(case).expect_err("the file is refused");
        let mut text = format!("{error}\n");
        if let Some(hint) = error.hint() {
            writeln!(text, "hint: {hint}").expect("text can be written");
        }
        text
    });
}

/// Pieces that the parser treats in some special way.
const PIECES: &[&str] = &[
    "FROM scratch\n",
    "FROM a AS b\n",
    "ARG a=1\n",
    "ENV ",
    "COPY ",
    "ADD ",
    "LABEL ",
    "CMD ",
    "ENTRYPOINT ",
    "EXPOSE ",
    "VOLUME ",
    "WORKDIR ",
    "USER ",
    "# escape=`\n",
    "#",
    "\n",
    "\r\n",
    "\\\n",
    "`\n",
    "\\",
    "`",
    " ",
    "\t",
    "\"",
    "'",
    "$",
    "${",
    "}",
    ":-",
    ":+",
    "?",
    "[",
    "]",
    "[\"",
    "\"]",
    "\",\"",
    ",",
    "=",
    "--",
    "--chown=",
    "--chmod=",
    "0",
    "1:1",
    "a",
    "é",
    "☺",
    "/",
    "..",
    "*",
    "<<EOF",
    "\0",
    "\u{feff}",
    "65536",
    "-",
    "80",
    "tcp",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any text is read or refused; a place in a refusal is within the file.
    #[test]
    fn any_text_is_read_or_refused(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        let text = pieces.concat();
        let lines = text.split('\n').count();
        match read(&text, &[], None, Start::default()) {
            Ok(plan) => prop_assert!(!plan.is_empty()),
            Err(error) => {
                prop_assert!((1..=lines).contains(&error.at.place.line));
                prop_assert!(error.at.place.column >= 1);
                prop_assert!(!error.to_string().is_empty());
                let _hint = error.hint();
            }
        }
    }
}

fn run(folder: &str, expectation: &str, at_least: usize, make: impl Fn(&Path) -> String) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/containerfiles");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut cases: Vec<PathBuf> = fs::read_dir(root.join(folder))
        .expect("the folder is there")
        .map(|entry| entry.expect("the folder is listed").path())
        .collect();
    cases.sort();
    assert!(cases.len() >= at_least, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| make(case)));
        let got = made.unwrap_or_else(|_| panic!("in {}", case.display()));
        let file = case.join(expectation);
        if update {
            fs::write(&file, &got).expect("the expectation is written");
        }
        let want = fs::read_to_string(&file).unwrap_or_default();
        if got != want {
            wrong.push(format!(
                "{}\n--- want\n{want}--- got\n{got}",
                case.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn plan(case: &Path) -> Result<String, ContainerfileError> {
    let text = fs::read_to_string(case.join("Containerfile")).expect("the case has a file");
    let told = fs::read_to_string(case.join("options")).unwrap_or_default();
    let told = |key: &str| {
        let lines = told.lines().filter_map(|line| line.split_once(' '));
        let values = lines.filter(|(name, _)| *name == key);
        values
            .map(|(_, value)| value.to_owned())
            .collect::<Vec<_>>()
    };
    let args: Vec<(String, String)> = told("arg")
        .iter()
        .map(|arg| arg.split_once('=').expect("an argument has a value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let start = Start {
        env: told("env"),
        working_dir: told("workdir").pop().unwrap_or_default(),
        ..Start::default()
    };
    read(&text, &args, told("target").pop().as_deref(), start)
}

fn read(
    text: &str,
    args: &[(String, String)],
    target: Option<&str>,
    start: Start,
) -> Result<String, ContainerfileError> {
    let platform = Platform::wasm();
    let options = Options {
        args,
        target,
        platform: &platform,
        build_platform: &Platform::new("linux", "amd64", None),
        contexts: &[],
    };
    let file = parse("Containerfile", text)?;
    let planner = Planner::new(&file, options)?;
    let mut out = String::new();
    // From the first stage to the target: each is planned as if its base were empty, or the stage that it names.
    let target = planner.target()?;
    let mut args = vec![std::collections::BTreeMap::new(); file.stages.len()];
    for stage in 0..=target {
        let base = planner.base(stage)?;
        let mut start = start.clone();
        if let BaseName::Stage(earlier) = base.name {
            start.args.clone_from(&args[earlier]);
        }
        let plan = planner.steps(stage, start, &base.platform)?;
        writeln!(out, "{:?} for {}", base.name, base.platform).expect("text can be written");
        for need in planner.needs(stage)? {
            writeln!(out, "needs {}", file.stage_name(need)).expect("text can be written");
        }
        for step in plan.steps {
            writeln!(out, "{}: {}", step.at.place.line, step.text).expect("text can be written");
            writeln!(out, "    {:?}", step.action).expect("text can be written");
        }
        args[stage] = plan.args;
    }
    for name in planner.unused_args() {
        writeln!(out, "unused argument {name}").expect("text can be written");
    }
    for (place, name) in planner.undefined() {
        writeln!(out, "{}: `{name}` is not set", place.line).expect("text can be written");
    }
    Ok(out)
}
