//! What becomes of an image's request when it is run: it grants nothing, unless the user says so; and an upgrade that asks
//! for more than the user has seen is not run before the user has.

use std::io::{BufRead, IsTerminal};

use coracle_packager::image::Image;

use super::args::policy::{Flags, grant_request};
use super::error::Failure;
use super::ui;
use crate::engine::{self, Engine, RunContainer};

/// Looks at what the image asks for. `repository` is the name that the image shares with its upgrades.
pub(super) fn consider(
    engine: &Engine,
    flags: &Flags,
    image: &Image,
    repository: Option<&str>,
    container: &mut RunContainer,
) -> Result<(), Failure> {
    let requested = engine::request(image);
    if let Some(problem) = &requested.unread {
        let message = format!("reading what the image asks for: {problem}");
        if flags.allows_requested() {
            return Err(Failure::usage(message)
                .with_hint("grant what it needs by name, without --allow-requested"));
        }
        ui::warning(&message);
    }
    let request = &requested.request;
    if request.is_empty() {
        return Ok(());
    }
    if let Some(repository) = repository.filter(|_| !flags.explain) {
        let new = engine.not_accepted(repository, request)?;
        if !new.is_empty() {
            let list: Vec<String> = new
                .iter()
                .map(|(class, what)| format!("{class} {what}"))
                .collect();
            let message = format!(
                "this image asks for more than was accepted for {repository}: {}",
                list.join(", ")
            );
            if !flags.accept && !says_yes(&message) {
                return Err(Failure::usage(message).with_hint(
                    "compare it with `coracle policy diff OLD NEW`, and run it with --accept; asking grants nothing",
                ));
            }
            engine.accept(repository, request)?;
        }
    }
    if flags.allows_requested() {
        let (granted, left) = grant_request(request, container)?;
        if !granted.is_empty() {
            ui::status(&format!(
                "Granting what the image asks for: {}",
                granted.join(" ")
            ));
        }
        if !left.is_empty() {
            ui::warning(&format!(
                "the image also asks for what only you can name: {}",
                left.join(" ")
            ));
        }
    }
    Ok(())
}

/// Asks, if somebody is there to answer.
fn says_yes(message: &str) -> bool {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() || !ui::is_watched() {
        return false;
    }
    ui::status(message);
    ui::status("Accept it? It grants nothing yet. [y/N]");
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).is_ok()
        && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes")
}
