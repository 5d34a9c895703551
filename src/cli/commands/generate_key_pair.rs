//! `coracle generate-key-pair`

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use coracle_packager::sign::{KeyPair, PublicKey};

use super::super::args::key::{self, Ask};
use super::super::error::{Failure, with_causes};
use super::super::{Exit, ui};
use super::printing;

/// Make a pair of keys to sign images with
///
/// Writes `cosign.key`, encrypted with a password, and `cosign.pub`, in the form of `cosign generate-key-pair`. The password is
/// read from COSIGN_PASSWORD, the terminal, or standard input.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Begin the files' names so
    #[arg(long, value_name = "PREFIX", default_value = "cosign")]
    output_key_prefix: String,
}

pub(in super::super) fn run(args: &Args) -> Result<Exit, Failure> {
    let names = ["key", "pub"].map(|end| format!("{}.{end}", args.output_key_prefix));
    // Whoever loses a private key cannot sign any more: none is replaced.
    for name in &names {
        if Path::new(name).symlink_metadata().is_ok() {
            return Err(Failure::usage(format!("{name} is there already"))
                .with_hint("move it away, or choose other names with --output-key-prefix"));
        }
    }
    let password = key::password(Ask::Twice)?;
    if password.reveal().is_empty() {
        ui::warning("the password is empty: who can read the private key can sign with it");
    }
    let making = |error| Failure::usage(format!("making a pair of keys: {}", with_causes(&error)));
    let pair = KeyPair::generate(&password).map_err(making)?;
    let public = PublicKey::from_pem(pair.public.as_bytes()).map_err(making)?;
    let [private_name, public_name] = &names;
    write(private_name, pair.private.reveal(), Readers::Owner)?;
    write(public_name, &pair.public, Readers::Everybody)?;
    ui::status(&format!("Private key written to {private_name}"));
    ui::status(&format!("Public key written to {public_name}"));
    ui::line(&public.fingerprint().to_string()).map_err(printing)?;
    Ok(Exit::Success)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readers {
    Owner,
    Everybody,
}

fn write(name: &str, text: &str, readers: Readers) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(match readers {
            Readers::Owner => 0o600,
            Readers::Everybody => 0o644,
        });
    }
    #[cfg(not(unix))]
    let _: Readers = readers;
    let written = options.open(name).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| Failure::Io {
        doing: format!("writing {name}"),
        source,
    })
}
