//! What this host lets anybody grant: one file of the host's, one of the user's.

use std::io::ErrorKind;

use coracle_runtime::policy::Ceiling;

use super::args::policy::read_bounded;
use super::error::Failure;
use crate::engine::{NamedCeiling, dirs};

/// Reads the ceilings. A file that is not there limits nothing; one that cannot be read stops everything, because what it says is not
/// known.
pub(super) fn read() -> Result<Vec<NamedCeiling>, Failure> {
    let mut ceilings = Vec::new();
    for path in dirs::ceilings(|name| std::env::var_os(name)) {
        let name = path.display().to_string();
        let bytes = match read_bounded(&path) {
            Ok(bytes) => bytes,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                continue;
            }
            Err(source) => {
                return Err(Failure::Io {
                    doing: format!("reading the ceiling {name}"),
                    source,
                });
            }
        };
        let ceiling = Ceiling::parse(&bytes)
            .map_err(|error| Failure::usage(format!("reading the ceiling {name}: {error}")))?;
        ceilings.push(NamedCeiling { name, ceiling });
    }
    Ok(ceilings)
}
