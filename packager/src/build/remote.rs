//! ADD of URLs and git repositories.

use std::fs;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::BaseImages;
use super::copy::CopyError;
use super::plan::{CopyAction, Remote};
use crate::digest::Digest;
use crate::layer::Scratch;

/// Mode of a downloaded file, as Docker gives it.
pub(super) const DOWNLOAD_MODE: u32 = 0o600;

/// Something that was fetched.
pub(super) enum Fetched {
    /// A file of ours.
    File {
        name: String,
        url: String,
        path: std::path::PathBuf,
        size: u64,
    },
    /// A directory of ours.
    Directory { url: String, dir: Dir },
}

/// Fetches what an ADD names elsewhere.
pub(super) fn fetch(
    action: &CopyAction,
    bases: &dyn BaseImages,
    scratch: &Scratch,
) -> Result<Vec<Fetched>, CopyError> {
    let mut fetched = Vec::new();
    for remote in &action.remotes {
        fetched.push(match remote {
            Remote::Url(url) => download(url, action, bases, scratch)?,
            Remote::Git(url) => clone(url, action, bases, scratch)?,
        });
    }
    Ok(fetched)
}

fn failed(url: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CopyError {
    CopyError::Remote {
        url: url.to_owned(),
        source: source.into(),
    }
}

fn download(
    url: &str,
    action: &CopyAction,
    bases: &dyn BaseImages,
    scratch: &Scratch,
) -> Result<Fetched, CopyError> {
    let name = name_of(url);
    if name.is_empty() && action.into_directory {
        return Err(failed(url, "it does not say what the file is called"));
    }
    let (path, mut file) = scratch.file().map_err(|error| failed(url, error))?;
    bases
        .download(url, &mut file)
        .map_err(|error| failed(url, error))?;
    drop(file);
    if let Some(want) = &action.checksum {
        let file = fs::File::open(&path).map_err(|error| failed(url, error))?;
        let got = Digest::sha256_of_reader(file).map_err(|error| failed(url, error))?;
        if got != *want {
            return Err(CopyError::Checksum {
                url: url.to_owned(),
                got: got.to_string(),
                want: want.to_string(),
            });
        }
    }
    let size = fs::metadata(&path)
        .map_err(|error| failed(url, error))?
        .len();
    Ok(Fetched::File {
        name,
        url: url.to_owned(),
        path,
        size,
    })
}

/// Returns the last part of the URL's path; percent signs stay.
fn name_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    match path.split_once('/') {
        Some((_, path)) => path.rsplit('/').next().unwrap_or_default().to_owned(),
        None => String::new(),
    }
}

fn clone(
    url: &str,
    action: &CopyAction,
    bases: &dyn BaseImages,
    scratch: &Scratch,
) -> Result<Fetched, CopyError> {
    let path = scratch.path();
    let directory = bases
        .clone_git(url, &path)
        .map_err(|error| failed(url, error))?;
    if !action.keep_git {
        match fs::remove_dir_all(path.join(".git")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(url, error));
            }
            _ => {}
        }
    }
    let dir =
        Dir::open_ambient_dir(&path, ambient_authority()).map_err(|error| failed(url, error))?;
    // What the URL names in the repository may be reached through a link of it, but never outside it.
    let below = directory.strip_prefix(&path).unwrap_or(&directory);
    let dir = match below.as_os_str().is_empty() {
        true => dir,
        false => dir.open_dir(below).map_err(|error| failed(url, error))?,
    };
    Ok(Fetched::Directory {
        url: url.to_owned(),
        dir,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_as_its_url_ends() {
        for (url, want) in [
            ("https://example.org/a/b.tar.gz?x=/y#z", "b.tar.gz"),
            ("https://example.org/", ""),
            ("https://example.org", ""),
            ("http://example.org:80/a%20b", "a%20b"),
        ] {
            assert_eq!(name_of(url), want, "{url}");
        }
    }
}
