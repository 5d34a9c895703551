//! `coracle verify`

use std::path::PathBuf;

use coracle_packager::reference::Reference;
use serde_json::Value;

use super::super::args::registry::RegistryArgs;
use super::super::args::{key, labels};
use super::super::error::Failure;
use super::super::{Exit, registries, ui};
use super::printing;
use crate::engine::{Engine, VerifyImage};

/// Check the signatures of images in their registry
///
/// Succeeds if each image has a signature that this key made of it, for its name. Prints what the signatures say, as JSON.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// The public key, in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Want signatures that say this as well
    #[arg(short, long = "annotations", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// Want signatures for this name, such as of an image that was copied [default: the image's]
    #[arg(long, value_name = "NAME")]
    sign_container_identity: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Images
    #[arg(required = true, value_name = "NAME[:TAG|@DIGEST]")]
    images: Vec<String>,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let references = args
        .images
        .iter()
        .map(|image| Ok(Reference::parse(image)?.or_latest()))
        .collect::<Result<Vec<_>, Failure>>()?;
    let identity = args.sign_container_identity.as_deref();
    let identity = identity.map(Reference::parse).transpose()?;
    let annotations = labels::parse(&args.annotations)?;
    let registries = args.registry.apply(registries::of_user()?);
    let key = key::public(&args.key)?;
    let mut claims = Vec::new();
    for reference in &references {
        let request = VerifyImage {
            reference,
            key: &key,
            identity: identity.as_ref(),
            annotations: &annotations,
        };
        let verified = engine.verify(&request, &registries)?;
        let name = reference
            .without_tag_and_digest()
            .with_digest(verified.digest);
        ui::status(&format!("{name}: signed by the key {}", key.fingerprint()));
        for claim in verified.claims {
            let claim: Value = serde_json::from_slice(&claim.to_bytes())
                .map_err(std::io::Error::from)
                .map_err(printing)?;
            claims.push(claim);
        }
    }
    ui::json_line(&claims).map_err(printing)?;
    Ok(Exit::Success)
}
