//! Files with keys, and the passwords that open them.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use coracle_packager::registry::Secret;
use coracle_packager::sign::{KeyError, KeyFile, PrivateKey, PublicKey};

use super::super::error::{Failure, with_causes};
use super::super::prompt;

/// The variable that cosign reads the password of a private key from.
const VARIABLE: &str = "COSIGN_PASSWORD";
/// Bytes of a key file that are read; the largest that can be one has fewer.
const FILE_LIMIT: u64 = 1 << 20;
/// Bytes of a password.
const PASSWORD_LIMIT: u64 = 64 << 10;

/// Reads a private key, and asks for its password if it has one.
pub(in super::super) fn private(path: &Path) -> Result<PrivateKey, Failure> {
    let wrong = |error| unusable(path, &error);
    let file = KeyFile::parse(&read(path)?).map_err(wrong)?;
    let password = if file.is_sealed() {
        password(Ask::Once)?
    } else {
        Secret::new("")
    };
    file.open(&password).map_err(wrong)
}

/// Reads a public key.
pub(in super::super) fn public(path: &Path) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(&read(path)?).map_err(|error| unusable(path, &error))
}

/// How a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Ask {
    /// For a password that is known to be right or wrong.
    Once,
    /// For one that nobody could correct.
    Twice,
}

/// Returns the password of a private key: of the environment, of the person at the terminal, or from standard input. Never of an
/// argument: everybody on the machine could read that.
pub(in super::super) fn password(ask: Ask) -> Result<Secret, Failure> {
    if let Some(text) = std::env::var_os(VARIABLE) {
        return match text.into_string() {
            Ok(text) => Ok(Secret::new(text)),
            Err(_) => Err(Failure::usage(format!("{VARIABLE} is not UTF-8 text"))),
        };
    }
    let reading = |source| Failure::Io {
        doing: "reading the password of the private key".to_owned(),
        source,
    };
    if !std::io::stdin().is_terminal() {
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .take(PASSWORD_LIMIT)
            .read_to_string(&mut text)
            .map_err(reading)?;
        // The end of the line is not the password's.
        return Ok(Secret::new(text.trim_end_matches(['\r', '\n'])));
    }
    let first = prompt::secret("Password of the private key: ").map_err(reading)?;
    if ask == Ask::Twice {
        let again = prompt::secret("Again: ").map_err(reading)?;
        if first != again {
            return Err(Failure::usage("the two passwords are not the same"));
        }
    }
    Ok(Secret::new(first))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut text))
        .map_err(|source| Failure::Io {
            doing: format!("reading the key {}", path.display()),
            source,
        })?;
    Ok(text)
}

fn unusable(path: &Path, error: &KeyError) -> Failure {
    let failure = Failure::usage(format!(
        "using the key {}: {}",
        path.display(),
        with_causes(error)
    ));
    match error {
        KeyError::Password => failure.with_hint(format!(
            "the password is read from {VARIABLE}, the terminal, or standard input"
        )),
        _ => failure.with_hint("make a pair of keys with `coracle generate-key-pair`"),
    }
}
