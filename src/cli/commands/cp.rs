//! `coracle cp`

use std::io::IsTerminal as _;
use std::path::Path;

use super::super::error::Failure;
use super::super::{Exit, ui, units};
use super::start::plain;
use crate::engine::{CopiedFiles, CopyFrom, CopyHow, CopyTo, Engine};

/// Copy files into a container or out of it: CONTAINER:PATH names a place in one, - a tar on standard input or output
///
/// As in Docker: a folder is copied into a folder that is there, and becomes what is not there; with `/.` at its end only what is in it
/// is copied. The container may run or not.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Keep owners
    #[arg(short, long)]
    archive: bool,
    /// Copy what a link leads to, if SOURCE is one
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Do not say how much was copied
    #[arg(short, long)]
    quiet: bool,
    /// From where
    #[arg(allow_hyphen_values = true)]
    source: String,
    /// To where
    #[arg(allow_hyphen_values = true)]
    destination: String,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let how = CopyHow {
        archive: args.archive,
        follow: args.follow_link,
    };
    let (copied, to) = match (split(&args.source), split(&args.destination)) {
        (Some((container, path)), None) => {
            let copied = if args.destination == "-" {
                let mut stdout = std::io::stdout().lock();
                if stdout.is_terminal() {
                    return Err(Failure::Plain(Box::new(
                        Failure::usage("copying to a terminal would garble it")
                            .with_hint("name a file, or redirect standard output"),
                    )));
                }
                engine.copy_out(container, path, CopyTo::Stream(&mut stdout), how)
            } else {
                let place = Path::new(&args.destination);
                engine.copy_out(container, path, CopyTo::Host(place), how)
            };
            (copied.map_err(plain)?, &args.destination)
        }
        (None, Some((container, path))) => {
            let copied = if args.source == "-" {
                let mut stdin = std::io::stdin().lock();
                engine.copy_in(container, CopyFrom::Stream(&mut stdin), path, how)
            } else {
                let source = Path::new(&args.source);
                engine.copy_in(container, CopyFrom::Host(source), path, how)
            };
            (copied.map_err(plain)?, &args.destination)
        }
        (None, None) => {
            return Err(wrong(
                "one of the two must be in a container, as CONTAINER:PATH",
            ));
        }
        (Some(_), Some(_)) => return Err(wrong("copying between containers is not supported")),
    };
    tell(&copied, to, args.quiet);
    Ok(Exit::Success)
}

fn wrong(problem: &str) -> Failure {
    Failure::Plain(Box::new(Failure::usage(problem)))
}

fn tell(copied: &CopiedFiles, to: &str, quiet: bool) {
    for path in &copied.left {
        ui::warning(&format!("left out {path}"));
    }
    if !quiet && ui::is_watched() {
        ui::status(&format!(
            "Successfully copied {} to {to}",
            units::size(copied.bytes)
        ));
    }
}

/// Takes `CONTAINER:PATH` apart. What begins like a path of the host is one, whatever colons it has.
fn split(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['.', '/']) || Path::new(text).is_absolute() {
        return None;
    }
    let (container, path) = text.split_once(':')?;
    (!container.is_empty()).then_some((container, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_container_is_told_from_one_on_the_host() {
        assert_eq!(split("web:/etc/x"), Some(("web", "/etc/x")));
        assert_eq!(split("web:x:y"), Some(("web", "x:y")));
        assert_eq!(split("web:"), Some(("web", "")));
        for host in ["-", "x", "./a:b", "/a:b", "../a:b", ":x"] {
            assert_eq!(split(host), None, "{host}");
        }
    }
}
