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
    let target = Reference::parse(&args.target)?;
    if target.digest().is_some() {
        return Err(Failure::usage(format!(
            "naming an image {:?}: a digest cannot be given to an image",
            args.target
        ))
        .with_hint("leave out the part from `@` on"));
    }
    engine.tag(&args.source, &target.or_latest())?;
    Ok(Exit::Success)
}
