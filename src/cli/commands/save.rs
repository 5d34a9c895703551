//! `coracle save`

use std::io::IsTerminal as _;
use std::path::PathBuf;

use coracle_packager::platform::Platform;

use super::super::Exit;
use super::super::error::Failure;
use crate::engine::{ArchiveForm, Engine, SaveTo};

/// Save images to a tar archive, on standard output unless --output says otherwise
///
/// The archive keeps names and digests; `coracle load`, Docker, Podman and OCI tools read it. Of an image with entries for several
/// platforms those that are here are saved.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Write to this file, or this folder for oci-dir
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write this form only [default: one that Docker and OCI tools both read]
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<Form>,
    /// Save only the entry for this platform, such as wasi/wasm
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Images: names, or the beginnings of their IDs
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    /// A tar of an OCI image layout
    OciArchive,
    /// What `docker save` writes
    DockerArchive,
    /// An OCI image layout in a folder
    OciDir,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let platform = args.platform.as_deref().map(Platform::parse).transpose()?;
    let form = match args.format {
        None => ArchiveForm::Common,
        Some(Form::OciArchive) => ArchiveForm::OciArchive,
        Some(Form::DockerArchive) => ArchiveForm::DockerArchive,
        Some(Form::OciDir) => ArchiveForm::OciFolder,
    };
    if let Some(path) = &args.output {
        engine.save(&args.images, form, platform.as_ref(), SaveTo::Path(path))?;
        return Ok(Exit::Success);
    }
    if form == ArchiveForm::OciFolder {
        return Err(Failure::usage("saving a folder: no --output was given"));
    }
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        return Err(Failure::usage("saving to a terminal would garble it")
            .with_hint("name a file with --output, or redirect standard output"));
    }
    engine.save(
        &args.images,
        form,
        platform.as_ref(),
        SaveTo::Stream(&mut stdout),
    )?;
    Ok(Exit::Success)
}
