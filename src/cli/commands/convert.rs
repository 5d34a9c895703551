//! `coracle convert`

use coracle_packager::media_type::Compression;
use coracle_packager::platform::Platform;

use super::super::error::Failure;
use super::super::sanitize::sanitize;
use super::super::{Exit, ui};
use super::printing;
use super::tag::new_name;
use crate::engine::{ConvertImage, Engine, ImageForm};

/// Make an image in another form, with another name
///
/// The image stays as it is; what both have in common is kept once. If the new form cannot say what the image says, such as its
/// environment in a Wasm artifact, that is listed and nothing is made. Prints the digest of what was made.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// The form [default: the one that the image has]
    #[arg(long, value_enum, value_name = "FORM")]
    to: Option<Form>,
    /// Compress the layers so [default: as they are]
    #[arg(long, value_enum, value_name = "ALGORITHM")]
    compression: Option<Packing>,
    /// Take only the entry for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Convert it even if something is lost; that is listed all the same
    #[arg(long)]
    force: bool,
    /// The image: its name, or the beginning of its ID
    source: String,
    /// The new name
    #[arg(value_name = "NAME[:TAG]")]
    target: String,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    /// An OCI index of images: what `coracle build` makes
    Index,
    /// One OCI image
    Image,
    /// Docker's schema 2: a manifest, or a list of several
    Docker,
    /// The CNCF's Wasm artifact: the program and nothing else
    Artifact,
    /// An image whose layer is the program, for runwasi
    Component,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Packing {
    /// gzip
    Gzip,
    /// Zstandard
    Zstd,
    /// Not at all
    None,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let form = args.to.map(|form| match form {
        Form::Index => ImageForm::Index,
        Form::Image => ImageForm::Image,
        Form::Docker => ImageForm::Docker,
        Form::Artifact => ImageForm::Artifact,
        Form::Component => ImageForm::ComponentLayer,
    });
    let converted = engine.convert(&ConvertImage {
        source: args.source.clone(),
        target: new_name(&args.target)?,
        form,
        compression: args.compression.map(|packing| match packing {
            Packing::Gzip => Compression::Gzip,
            Packing::Zstd => Compression::Zstd,
            Packing::None => Compression::None,
        }),
        platform: args.platform.as_deref().map(Platform::parse).transpose()?,
        force: args.force,
    })?;
    for loss in &converted.losses {
        ui::warning(&format!("lost: {}", sanitize(loss)));
    }
    ui::line(&converted.digest.to_string()).map_err(printing)?;
    Ok(Exit::Success)
}
