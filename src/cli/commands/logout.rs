//! `coracle logout`

use super::super::error::{Failure, with_causes};
use super::super::{Exit, registries, ui};

/// Log out from a registry
///
/// Forgets the user and password that `login` has kept. The registry is not told: a token that it gave stays good until it
/// runs out.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// The registry, such as registry.example:5000 [default: Docker Hub]
    server: Option<String>,
}

pub(in super::super) fn run(args: &Args) -> Result<Exit, Failure> {
    let registry = registries::named(args.server.as_deref());
    let file = registries::auth_file()?;
    let was_there = file
        .erase(&registry)
        .map_err(|error| Failure::usage(with_causes(&error)))?;
    if was_there {
        ui::status(&format!("Removed the login credentials for {registry}"));
    } else {
        ui::status(&format!("Not logged in to {registry}"));
    }
    // Podman's file, or a variable, may have one as well.
    let others = registries::of_user()?.credentials.get(&registry);
    if matches!(others, Ok(Some(_))) {
        ui::warning(&format!(
            "another file or variable still has a credential for {registry}; docs/registries.md lists them"
        ));
    }
    Ok(Exit::Success)
}
