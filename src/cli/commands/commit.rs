//! `coracle commit`

use coracle_packager::reference::Reference;

use super::super::error::Failure;
use super::super::{Exit, ui};
use super::printing;
use super::start::plain;
use crate::engine::{CommitContainer, Engine};

/// Make an image of a container: its image, and what it has changed since
///
/// What is mounted is no part of it.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Who made it
    #[arg(short, long, default_value = "", hide_default_value = true)]
    author: String,
    /// Carry out a Dockerfile instruction that changes no file, such as 'CMD ["/app.wasm"]'
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    changes: Vec<String>,
    /// Say something for the history
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// Halt the container meanwhile; false to let it run
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pause: bool,
    /// The container: its name, or the beginning of its ID
    container: String,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

pub(in super::super) fn run(engine: &Engine, args: Args) -> Result<Exit, Failure> {
    let name = args.name.as_deref().map(Reference::parse).transpose();
    let request = CommitContainer {
        name: name
            .map_err(|error| plain(error.into()))?
            .map(Reference::or_latest),
        changes: args.changes,
        message: args.message,
        author: args.author,
        pause: args.pause,
    };
    let committed = engine.commit(&args.container, &request).map_err(plain)?;
    for path in committed.left {
        ui::warning(&format!("left out {path}"));
    }
    ui::line(&committed.image.config_digest.to_string()).map_err(printing)?;
    Ok(Exit::Success)
}
