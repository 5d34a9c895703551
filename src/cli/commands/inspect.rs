//! `coracle inspect`

use coracle_packager::platform::Platform;
use serde_json::Value;

use super::super::error::Failure;
use super::super::sanitize::sanitize;
use super::super::{Exit, inspection, listing, ui};
use super::printing;
use crate::engine::{Engine, Error, VolumeError};

/// Show everything about containers, images or volumes, as JSON
///
/// The fields are Docker's. A name that both a container and an image have means the container, unless --type says otherwise.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// What kind of thing is meant
    #[arg(long = "type", value_enum)]
    kind: Option<Kind>,
    /// Print each as a template says, such as {{.State.Status}} or {{json .Mounts}}
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Say of containers how large they are
    #[arg(short, long)]
    size: bool,
    /// Containers, images or volumes: names, or the beginnings of their IDs
    #[arg(required = true, value_name = "NAME|ID")]
    names: Vec<String>,
}

/// Show everything about images, as JSON
#[derive(clap::Args)]
pub(in super::super) struct ImageArgs {
    /// Say instead which entry of each image would be run here, and why
    #[arg(long)]
    explain: bool,
    /// Print each as a template says, such as {{.Id}}
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with = "explain")]
    format: Option<String>,
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
                format: args.format.clone(),
                size: false,
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
    Volume,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let mut found = Vec::new();
    let exit = super::for_each(&args.names, |name| {
        found.push(find(engine, name, args)?);
        Ok(())
    });
    listing::print_each(args.format.as_deref(), &found)?;
    Ok(exit)
}

fn find(engine: &Engine, name: &str, args: &Args) -> Result<Value, Failure> {
    use coracle_runtime::container::ContainerError::NotFound;
    let kind = args.kind;
    if kind.is_none_or(|kind| kind == Kind::Container) {
        match engine.find_container(name) {
            Ok(summary) => {
                let walls = summary.container.walls().map_err(Error::from)?;
                let refused = summary.container.refused().map_err(Error::from)?;
                let mut shown = inspection::container(&summary, &walls, &refused);
                if let Some(shown) = shown.as_object_mut().filter(|_| args.size) {
                    let size = engine.container_size(&summary.container);
                    shown.insert("SizeRw".to_owned(), size.own.into());
                    shown.insert("SizeRootFs".to_owned(), size.with_image.into());
                }
                return Ok(shown);
            }
            Err(Error::Container(NotFound { .. })) if kind.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    if kind.is_none_or(|kind| kind == Kind::Image) {
        match engine.find_image(name) {
            Ok(named) => return Ok(inspection::image(&engine.inspect_image(&named)?)),
            // What is no name of an image may be one of a volume.
            Err(Error::NoSuchImage { .. } | Error::Reference(_)) if kind.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    match engine.find_volume(name) {
        Ok(volume) => Ok(super::volume::inspect::shown(&volume)),
        Err(Error::Volume(VolumeError::NotFound { .. })) if kind.is_none() => Err(Failure::usage(
            format!("no such container, image or volume: {name}"),
        )
        .with_hint("list them with `coracle ps -a`, `coracle images` and `coracle volume ls`")),
        Err(error) => Err(error.into()),
    }
}
