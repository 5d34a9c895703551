//! `coracle tag`

use coracle_packager::reference::Reference;

use super::super::Exit;
use super::super::error::Failure;
use crate::engine::Engine;

/// Give an image another name
///
/// Nothing is copied: both names refer to the same image.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// The image: its name, or the beginning of its ID
    source: String,
    /// The new name, such as `registry.example/team/app:1.2`
    target: String,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    engine.tag(&args.source, &new_name(&args.target)?)?;
    Ok(Exit::Success)
}

/// Returns the name that the text gives to an image.
pub(super) fn new_name(text: &str) -> Result<Reference, Failure> {
    let name = Reference::parse(text)?;
    // Who writes so means a digest.
    if name.familiar_name() == "sha256" {
        let problem = format!("naming an image {text:?}: `sha256` is kept for digests");
        return Err(Failure::usage(problem).with_hint("choose another name"));
    }
    if name.digest().is_some() {
        let problem = format!("naming an image {text:?}: a digest cannot be given to an image");
        return Err(Failure::usage(problem).with_hint("leave out the part from `@` on"));
    }
    Ok(name.or_latest())
}
