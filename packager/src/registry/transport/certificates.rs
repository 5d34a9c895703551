//! `certs.d`: certificates by host, where Docker and Podman keep them.
//!
//! `<dir>/<host[:port]>/*.crt` are authorities, `*.cert` with a `.key` of the same name is our own certificate
//! (docs.docker.com/engine/security/certificates, containers-certs.d(5)).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::super::error::Cause;
use super::super::secret::Secret;

/// Bytes of one certificate file; bundles of all authorities of the world have some 250 KiB.
const FILE_LIMIT: u64 = 4 << 20;

/// Certificates for one host.
#[derive(Clone, Default)]
pub(in super::super) struct HostCertificates {
    /// Authorities beside the system's, in PEM or DER.
    pub(in super::super) roots: Vec<Vec<u8>>,
    /// Our own certificate and its key, in PEM.
    pub(in super::super) identity: Option<Secret>,
}

impl HostCertificates {
    /// Reads those of the first directory that knows the host.
    pub(in super::super) fn read(dirs: &[PathBuf], authority: &str) -> Result<Self, Cause> {
        for dir in dirs {
            let dir = dir.join(authority);
            match Self::of_dir(&dir) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                // Another user's: what is needed from it will be missed.
                Err((path, error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                    tracing::debug!(path = %path.display(), %error, "passing over certificates");
                }
                Err((path, source)) => return Err(Cause::Certificates { path, source }),
            }
        }
        Ok(Self::default())
    }

    fn of_dir(dir: &Path) -> Result<Option<Self>, (PathBuf, io::Error)> {
        let entries = match dir.read_dir() {
            Ok(entries) => entries,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err((dir.to_owned(), error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|error| (dir.to_owned(), error))?.path());
        }
        paths.sort();
        let mut found = Self::default();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => found.roots.push(read(&path)?),
                Some("cert") if found.identity.is_none() => {
                    let mut pem = read(&path)?;
                    pem.push(b'\n');
                    pem.extend(read(&path.with_extension("key"))?);
                    let pem = String::from_utf8(pem).map_err(|_| {
                        (
                            path.clone(),
                            io::Error::new(io::ErrorKind::InvalidData, "it is not PEM"),
                        )
                    })?;
                    found.identity = Some(Secret::new(pem));
                }
                _ => {}
            }
        }
        Ok(Some(found))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, (PathBuf, io::Error)> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut bytes))
        .map_err(|error| (path.to_owned(), error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_directory_that_knows_the_host_counts() {
        let home = tempfile::TempDir::new().expect("a folder");
        let (first, second) = (home.path().join("a"), home.path().join("b"));
        let host = second.join("r.example:5000");
        std::fs::create_dir_all(&host).expect("a folder");
        for (name, text) in [
            ("ca.crt", "A"),
            ("b.crt", "B"),
            ("client.cert", "C"),
            ("client.key", "K"),
            ("notes.txt", "x"),
        ] {
            std::fs::write(host.join(name), text).expect("a file");
        }
        let dirs = [first, second];
        let found = HostCertificates::read(&dirs, "r.example:5000").expect("certificates");
        assert_eq!(found.roots, [b"B".to_vec(), b"A".to_vec()]);
        assert_eq!(found.identity.expect("a certificate").reveal(), "C\nK");
        let none = HostCertificates::read(&dirs, "r.example").expect("nothing");
        assert!(none.roots.is_empty() && none.identity.is_none());

        std::fs::remove_file(host.join("client.key")).expect("a file");
        let error = HostCertificates::read(&dirs, "r.example:5000")
            .map(drop)
            .expect_err("a key is missing");
        assert!(error.to_string().contains("client.key"), "{error}");
    }
}
