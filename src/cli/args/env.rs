//! `--env NAME=value`, and `--env NAME` for a variable of the caller.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use super::super::error::Failure;

/// Returns each variable as `NAME=value`. A bare name takes the caller's value; if the caller has none it is left out, as in Docker.
pub(in super::super) fn resolve(
    typed: &[String],
    caller: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<Vec<String>, Failure> {
    let mut resolved = Vec::new();
    for text in typed {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (
                text.as_str(),
                caller(text).map(|value| value.to_string_lossy().into_owned()),
            ),
        };
        if name.is_empty() || text.contains('\0') {
            return Err(Failure::usage(format!(
                "parsing --env {text:?}: a variable needs a name, as in NAME=value"
            )));
        }
        if let Some(value) = value {
            resolved.push(format!("{name}={value}"));
        }
    }
    Ok(resolved)
}

/// Largest file that is read, in bytes: as much as Linux passes to a program.
const LARGEST: u64 = 2 << 20;

/// Reads files of `NAME=value` lines, as Docker does: empty lines and those that begin with `#` are left out, a bare name takes
/// the caller's value, and nothing is unquoted.
pub(in super::super) fn read_files(
    paths: &[PathBuf],
    caller: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        let failed = |source| Failure::Io {
            doing: format!("reading variables from {}", path.display()),
            source,
        };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(LARGEST + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
        if text.len() as u64 > LARGEST {
            return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
        }
        let lines = text
            .trim_start_matches('\u{feff}')
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let name = line.split('=').next().unwrap_or(line);
            if name.contains(char::is_whitespace) {
                return Err(Failure::usage(format!(
                    "reading variables from {}: the name {name:?} has white space",
                    path.display()
                )));
            }
            all.extend(resolve(&[line.to_owned()], &caller)?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_takes_the_callers_value() {
        let caller = |name: &str| (name == "HERE").then(|| "x y".into());
        let resolve = |typed: &[&str]| {
            let typed: Vec<String> = typed.iter().map(|text| (*text).to_owned()).collect();
            resolve(&typed, caller).ok()
        };
        assert_eq!(
            resolve(&["A=1=2", "HERE", "GONE", "E="]).as_deref(),
            Some(&["A=1=2".to_owned(), "HERE=x y".to_owned(), "E=".to_owned()][..])
        );
        assert_eq!(resolve(&["=1"]), None);
        assert_eq!(resolve(&[""]), None);
    }
}
