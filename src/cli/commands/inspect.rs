//! `coracle inspect`

use coracle_packager::platform::Platform;

use super::super::error::Failure;
use super::super::sanitize::sanitize;
use super::super::{Exit, ui};
use super::printing;
use crate::cli::inspection;
use crate::engine::{Engine, Error};

/// Show everything about containers or images, as JSON
///
/// The fields are Docker's. A name that both a container and an image have means the container, unless --type says otherwise.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// What kind of thing is meant
    #[arg(long = "type", value_enum)]
    kind: Option<Kind>,
    /// Containers or images: names, or the beginnings of their IDs
    #[arg(required = true, value_name = "NAME|ID")]
    names: Vec<String>,
}

/// Show everything about images, as JSON
#[derive(clap::Args)]
pub(in super::super) struct ImageArgs {
    /// Say instead which entry of each image would be run here, and why
    #[arg(long)]
    explain: bool,
    /// With --explain: choose for this platform, such as linux/amd64
    #[arg(long, value_name = "OS/ARCH", requires = "explain")]
    platform: Option<String>,
    /// Images: names, or the beginnings of their IDs
    #[arg(required = true, value_name = "IMAGE")]
    names: Vec<String>,
}

/// Inspects images only.
pub(in super::super) fn images(engine: &Engine, args: &ImageArgs) -> Result<Exit, Failure> {
    if !args.explain {
        return run(
            engine,
            &Args {
                kind: Some(Kind::Image),
                names: args.names.clone(),
            },
        );
    }
    let platform = args.platform.as_deref().map(Platform::parse).transpose()?;
    Ok(super::for_each(&args.names, |name| {
        let found = engine.find_image(name)?;
        let selection = engine.explain_selection(&found.descriptor, platform.as_ref())?;
        for line in selection.to_string().lines() {
            ui::line(&sanitize(line)).map_err(printing)?;
        }
        Ok(())
    }))
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Container,
    Image,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let mut found = Vec::new();
    let exit = super::for_each(&args.names, |name| {
        found.push(find(engine, name, args.kind)?);
        Ok(())
    });
    ui::json_pretty(&found).map_err(printing)?;
    Ok(exit)
}

fn find(engine: &Engine, name: &str, kind: Option<Kind>) -> Result<serde_json::Value, Failure> {
    use coracle_runtime::container::ContainerError::NotFound;
    if kind != Some(Kind::Image) {
        match engine.find_container(name) {
            Ok(summary) => {
                let walls = summary.container.walls().map_err(Error::from)?;
                let refused = summary.container.refused().map_err(Error::from)?;
                return Ok(inspection::container(&summary, &walls, &refused));
            }
            Err(Error::Container(NotFound { .. })) if kind.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    match engine.find_image(name) {
        Ok(named) => Ok(inspection::image(&engine.inspect_image(&named)?)),
        Err(Error::NoSuchImage { .. }) if kind.is_none() => Err(Failure::usage(format!(
            "no such container or image: {name}"
        ))
        .with_hint("list them with `coracle ps -a` and `coracle images`")),
        Err(error) => Err(error.into()),
    }
}
