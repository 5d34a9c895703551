//! How this user speaks to registries: credentials from Docker's `config.json`.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use coracle_packager::registry::{Anonymous, CredentialSource, DockerConfig};

use super::error::Failure;
use super::ui;
use crate::engine::{Registries, dirs};

/// Reads the user's credentials. No file means no credentials.
pub(super) fn of_user() -> Result<Registries, Failure> {
    let credentials: Arc<dyn CredentialSource> =
        match dirs::docker_config(|name| std::env::var_os(name)) {
            Some(path) => read(&path)?,
            None => Arc::new(Anonymous),
        };
    Ok(Registries {
        credentials,
        insecure: Vec::new(),
        extra_roots: Vec::new(),
    })
}

fn read(path: &Path) -> Result<Arc<dyn CredentialSource>, Failure> {
    let file = path.display().to_string();
    match std::fs::read(path) {
        Ok(text) => match DockerConfig::parse(&text) {
            Ok(config) => Ok(Arc::new(config)),
            Err(problem) => Err(Failure::usage(format!(
                "reading credentials from {file}: {problem}"
            ))
            .with_hint("mend the file, or move it away to go without credentials")),
        },
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Arc::new(Anonymous))
        }
        // Another user's, such as root's under `sudo`: many images need none.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            ui::warning(&format!(
                "going on without credentials: reading {file}: {error}"
            ));
            Ok(Arc::new(Anonymous))
        }
        Err(source) => Err(Failure::Io {
            doing: format!("reading credentials from {file}"),
            source,
        }),
    }
}
