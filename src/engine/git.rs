//! Clones git repositories for a build, with the program `git`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coracle_packager::build::Refusal;

/// Bytes of what git says that a message repeats.
const SAID: usize = 2000;

/// Clones what `URL#ref:subdirectory` names into a directory that is not there yet, without its history. Returns the directory in
/// it that is meant.
pub(super) fn clone(url: &str, to: &Path) -> Result<PathBuf, Refusal> {
    let (address, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (reference, below) = fragment.split_once(':').unwrap_or((fragment, ""));
    let reference = if reference.is_empty() {
        "HEAD"
    } else {
        reference
    };
    if reference.starts_with('-') || address.starts_with('-') {
        return Err("a name that starts with a dash would be an option of git".into());
    }
    if Path::new(below).components().any(|part| {
        !matches!(
            part,
            std::path::Component::Normal(_) | std::path::Component::CurDir
        )
    }) {
        return Err(format!("`{below}` is not a directory of the repository").into());
    }
    fs::create_dir(to)?;
    git(to, &["init", "--quiet"])?;
    git(to, &["remote", "add", "origin", "--", address])?;
    git(to, &["fetch", "--quiet", "--depth=1", "origin", reference])?;
    git(to, &["checkout", "--quiet", "--detach", "FETCH_HEAD"])?;
    if to.join(".gitmodules").exists() {
        git(
            to,
            &[
                "submodule",
                "--quiet",
                "update",
                "--init",
                "--recursive",
                "--depth=1",
            ],
        )?;
    }
    Ok(to.join(below))
}

fn git(directory: &Path, arguments: &[&str]) -> Result<(), Refusal> {
    let output = Command::new("git")
        // Neither questions nor programs of the repository's choice.
        .env("GIT_TERMINAL_PROMPT", "0")
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "protocol.ext.allow=never",
        ])
        .args(arguments.iter().map(OsStr::new))
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("starting the program `git`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.trim().chars().take(SAID).collect();
    Err(format!("git {}: {said}", arguments.first().unwrap_or(&"")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(path: &Path) {
        fs::create_dir_all(path.join("sub")).expect("made");
        fs::write(path.join("sub/file"), "one").expect("written");
        let run = |arguments: &[&str]| git(path, arguments).expect("git works");
        run(&["init", "--quiet"]);
        run(&["add", "."]);
        run(&[
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@example.org",
            "commit",
            "--quiet",
            "--message=one",
        ]);
        run(&["tag", "v1"]);
    }

    #[test]
    fn what_a_url_names_is_cloned() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = temporary.path().join("repository");
        repository(&path);
        let url = |rest: &str| format!("file://{}{rest}", path.display());
        for (index, (rest, below)) in [("", ""), ("#v1", ""), ("#v1:sub", "sub"), ("#:sub", "sub")]
            .into_iter()
            .enumerate()
        {
            let to = temporary.path().join(index.to_string());
            let found = clone(&url(rest), &to).expect(rest);
            assert_eq!(found, to.join(below), "{rest}");
            assert_eq!(
                fs::read(to.join("sub/file")).expect("is there"),
                b"one",
                "{rest}"
            );
        }
        for rest in ["#missing", "#--upload-pack=x", "#v1:../..", "#v1:/etc"] {
            let to = temporary.path().join("refused");
            drop(fs::remove_dir_all(&to));
            assert!(clone(&url(rest), &to).is_err(), "{rest}");
        }
    }
}
