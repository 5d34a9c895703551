//! `coracle sign`

use std::path::PathBuf;

use coracle_packager::reference::Reference;

use super::super::args::registry::RegistryArgs;
use super::super::args::{key, labels};
use super::super::error::Failure;
use super::super::{Exit, registries, ui};
use super::printing;
use crate::engine::{Engine, SignImage};

/// Sign images in their registry, as cosign does
///
/// The signature is stored beside the image, under the tag `sha256-<digest>.sig`, where `coracle verify`, `cosign verify`, podman
/// and Kubernetes' policy controllers look for it. Prints what was signed.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// The private key: cosign's encrypted form, or PKCS #8 in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Let the signature say this as well
    #[arg(short, long = "annotations", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// Sign each image of an index as well; Podman and skopeo look for the signature of the one that they pull
    #[arg(short, long)]
    recursive: bool,
    /// Sign for this name [default: the image's, without tag]
    #[arg(long, value_name = "NAME")]
    sign_container_identity: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Images that were pushed
    #[arg(required = true, value_name = "NAME[:TAG|@DIGEST]")]
    images: Vec<String>,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let references = args
        .images
        .iter()
        .map(|image| Ok(Reference::parse(image)?.or_latest()))
        .collect::<Result<Vec<_>, Failure>>()?;
    if let Some(identity) = &args.sign_container_identity {
        Reference::parse(identity)?;
    }
    let annotations = labels::parse(&args.annotations)?;
    let registries = args.registry.apply(registries::of_user()?);
    let key = key::private(&args.key)?;
    for reference in &references {
        let request = SignImage {
            reference,
            key: &key,
            identity: args.sign_container_identity.as_deref(),
            annotations: &annotations,
            recursive: args.recursive,
        };
        for signed in engine.sign(&request, &registries)? {
            let name = reference
                .without_tag_and_digest()
                .with_digest(signed.digest);
            if !signed.added {
                ui::status(&format!("{name}: signed before by the same key"));
            }
            ui::line(&name.to_string()).map_err(printing)?;
        }
    }
    Ok(Exit::Success)
}
