//! `coracle login`

use std::io::{IsTerminal as _, Read as _};

use coracle_packager::registry::{Keeper, Secret};

use super::super::args::registry::RegistryArgs;
use super::super::error::Failure;
use super::super::{Exit, prompt, registries, ui};
use super::printing;

/// Bytes of a password or token.
const PASSWORD_LIMIT: u64 = 64 << 10;

/// Log in to a registry
///
/// Asks the registry whether it believes the user and password, and keeps them where Docker does, so that `docker`, `podman`
/// and `skopeo` find them as well: with the helper that Docker's config.json names, else in the file itself.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// The user [default: asked for]
    #[arg(short, long)]
    username: Option<String>,
    /// Refused: everybody on this machine could read it
    #[arg(short, long, hide = true)]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    registry: RegistryArgs,
    /// The registry, such as registry.example:5000 [default: Docker Hub]
    server: Option<String>,
}

pub(in super::super) fn run(args: &Args) -> Result<Exit, Failure> {
    if args.password.is_some() {
        return Err(Failure::usage(
            "a password on the command line is seen by every process of this machine and stays in the shell's history",
        )
        .with_hint("leave it out and type it, or pipe it to --password-stdin"));
    }
    let registry = registries::named(args.server.as_deref());
    let file = registries::auth_file()?;
    let settings = args.registry.apply(registries::of_user()?);
    let (username, password) = credential(args, &registry)?;
    let believed = settings.login(&registry, &username, &password)?;
    let keeper = file
        .store(&registry, &username, &believed.credential)
        .map_err(|error| Failure::usage(super::super::error::with_causes(&error)))?;
    if keeper == Keeper::File {
        ui::warning(&format!(
            "the credential is kept unencrypted in {}; a credential helper would keep it better (docs/registries.md)",
            file.path().display()
        ));
    }
    if !believed.was_asked {
        ui::warning(&format!(
            "{registry} lets everybody in, and has not looked at the password"
        ));
    }
    ui::line("Login Succeeded").map_err(printing)?;
    Ok(Exit::Success)
}

fn credential(args: &Args, registry: &str) -> Result<(String, Secret), Failure> {
    let is_terminal = std::io::stdin().is_terminal();
    let no_terminal = || {
        Failure::usage("standard input is no terminal to ask on")
            .with_hint("give the user with --username, and pipe the password to --password-stdin")
    };
    let reading = |source| Failure::Io {
        doing: "reading the password".to_owned(),
        source,
    };
    let username = match &args.username {
        Some(username) => username.clone(),
        None if args.password_stdin || !is_terminal => return Err(no_terminal()),
        None => prompt::line(&format!("Username for {registry}: ")).map_err(reading)?,
    };
    if username.is_empty() || username.contains(':') {
        return Err(Failure::usage(format!(
            "{username:?} is no user: it is empty, or has a colon"
        )));
    }
    let password = if args.password_stdin {
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .take(PASSWORD_LIMIT)
            .read_to_string(&mut text)
            .map_err(reading)?;
        // As Docker: the end of the line is not the password's.
        Secret::new(text.trim_end_matches(['\r', '\n']))
    } else if is_terminal {
        Secret::new(prompt::secret("Password: ").map_err(reading)?)
    } else {
        return Err(no_terminal());
    };
    if password.reveal().is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    Ok((username, password))
}
