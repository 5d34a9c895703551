//! `coracle policy check`

use std::path::{Path, PathBuf};

use coracle_runtime::policy::Policy;
use coracle_runtime::policy::ceiling::{beyond, denied};
use coracle_runtime::policy::resolve::{Item, Verdict, granted, requested};

use super::super::super::args::policy::read;
use super::super::super::error::Failure;
use super::super::super::ui;
use super::super::super::{Exit, ceiling, explanation};
use super::super::{Format, printing};
use crate::engine::Engine;

/// Check a policy file, or what an image asks for, against this host's ceiling
///
/// Ends with 1 if a grant is refused, or the image asks for what --policy does not grant.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print as a table, or as JSON, one object a line
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The policy that the image is to be run with
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// An image's name, or a policy file such as ./policy.toml
    #[arg(value_name = "IMAGE|FILE")]
    what: String,
}

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let path = Path::new(&args.what);
    // No image is called so where there is such a file.
    let is_policy = path.extension().is_some_and(|end| end == "toml") && path.is_file();
    let is_file = is_policy || args.what.starts_with('.') || path.is_absolute();
    let (file, image) = if is_file {
        (Some(Path::new(&args.what)), None)
    } else {
        (args.policy.as_deref(), Some(&args.what))
    };
    let mut policy = file.map(read).transpose()?.unwrap_or_default();
    let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
    resolve_paths(&mut policy, folder);
    let mut refusals = denied(&policy);
    for ceiling in ceiling::read()? {
        refusals.extend(beyond(&policy, &ceiling.ceiling, &ceiling.name));
    }
    let grants = granted(&policy, &refusals);
    let mut requests = Vec::new();
    let mut unread = false;
    if let Some(image) = image {
        let found = super::requested(engine, image)?;
        unread = found.unread.is_some();
        requests = requested(&policy, &found.request);
    }
    if args.format == Format::Json {
        for item in grants.iter().chain(&requests) {
            ui::json_line(item).map_err(printing)?;
        }
    } else {
        explanation::table(&[("granted", &grants), ("requested", &requests)]).map_err(printing)?;
    }
    let is_refused =
        |item: &Item| matches!(item.verdict, Verdict::Refused(_) | Verdict::RefusedAtUse(_));
    Ok(
        if unread || grants.iter().chain(&requests).any(is_refused) {
            Exit::Failure
        } else {
            Exit::Success
        },
    )
}

/// Makes host paths whole and free of links, as a run does. One that is not there stays as it is, made whole.
fn resolve_paths(policy: &mut Policy, folder: &Path) {
    for source in policy
        .fs
        .iter_mut()
        .filter_map(|grant| grant.source.as_mut())
    {
        let path = folder.join(source.as_str());
        let whole = path.canonicalize().or_else(|_| std::path::absolute(&path));
        if let Some(whole) = whole
            .ok()
            .and_then(|path| path.into_os_string().into_string().ok())
        {
            *source = whole;
        }
    }
}
