//! From a file or folder into the store.

use std::collections::HashSet;
use std::io::Read;

use cap_std::fs::Dir;

use super::contents::Contents;
use super::error::ArchiveError;
use super::{INDEX, MANIFEST, MARKER, REPOSITORIES, docker, folder, oci};
use crate::digest::Digest;
use crate::image::Descriptor;
use crate::media_type::{Distribution, Kind};
use crate::reference::Reference;
use crate::store::{Store, StoreError};

/// Where images come from.
pub enum Input<'a> {
    /// An OCI layout.
    Folder(Dir),
    /// An OCI or Docker archive, plain or compressed with gzip or zstd.
    Archive(Box<dyn Read + 'a>),
}

/// An image that is in the store now, whole, and has no name yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// The names that it is to have.
    pub names: Vec<Reference>,
}

/// Reads all images of a file or folder into the store. Hold a lease until they have their names.
///
/// # Errors
///
/// [`ArchiveError`] says what is wrong with it. Whole blobs may be in the store then, which nothing refers to.
pub fn load(store: &Store, input: Input<'_>) -> Result<Vec<Loaded>, ArchiveError> {
    let mut loaded: Vec<Loaded> = Vec::new();
    let mut add = |descriptor: Descriptor, names: Vec<Reference>| {
        let same = loaded
            .iter_mut()
            .find(|image| image.descriptor.digest() == descriptor.digest());
        match same {
            Some(image) => image.names.extend(names),
            None => loaded.push(Loaded { descriptor, names }),
        }
    };
    let list = match input {
        Input::Folder(dir) => {
            let index = folder::document(&dir, INDEX)?.ok_or(ArchiveError::NoImages)?;
            oci::check_marker(folder::document(&dir, MARKER)?.as_deref())?;
            let mut copy = folder::Copy {
                dir: &dir,
                store,
                seen: HashSet::new(),
            };
            for entry in oci::parse(&index)? {
                copy.image(&entry.descriptor, 0)?;
                add(entry.descriptor, entry.name.into_iter().collect());
            }
            INDEX
        }
        Input::Archive(archive) => {
            let contents = Contents::read(store, archive)?;
            let of_docker = contents.document(MANIFEST).map(docker::parse).transpose()?;
            match (contents.document(INDEX), of_docker) {
                (Some(index), of_docker) => {
                    oci::check_marker(contents.document(MARKER))?;
                    for entry in oci::parse(index)? {
                        let names = match entry.name {
                            Some(name) => vec![name],
                            None => {
                                let of_docker = of_docker.as_deref().unwrap_or_default();
                                docker_names(store, &contents, of_docker, &entry.descriptor)?
                            }
                        };
                        add(entry.descriptor, names);
                    }
                    INDEX
                }
                (None, Some(entries)) => {
                    for entry in entries {
                        add(entry.manifest(store, &contents)?, entry.names()?);
                    }
                    MANIFEST
                }
                (None, None) if contents.document(REPOSITORIES).is_some() => {
                    return Err(ArchiveError::TooOld);
                }
                (None, None) => return Err(ArchiveError::NoImages),
            }
        }
    };
    if loaded.is_empty() {
        return Err(ArchiveError::Empty { list });
    }
    for image in &mut loaded {
        check_whole(store, &image.descriptor)?;
        let mut seen = HashSet::new();
        image.names.retain(|name| seen.insert(name.to_string()));
    }
    Ok(loaded)
}

/// Finds the names that Docker's list gives to an image which the layout's list does not name.
fn docker_names(
    store: &Store,
    contents: &Contents,
    entries: &[docker::Entry],
    descriptor: &Descriptor,
) -> Result<Vec<Reference>, ArchiveError> {
    let configs = store.manifests(descriptor)?.configs;
    let is_it = |entry: &&docker::Entry| {
        entry.id(contents).is_some_and(|id| {
            configs
                .iter()
                .any(|config| Digest::of(config).as_ref() == Ok(id))
        })
    };
    entries
        .iter()
        .find(is_it)
        .map_or_else(|| Ok(Vec::new()), docker::Entry::names)
}

/// Checks that an image is there with all it names, or for an index at least one of its images.
fn check_whole(store: &Store, descriptor: &Descriptor) -> Result<(), ArchiveError> {
    let found = store.manifests(descriptor)?;
    let has_image = !found.configs.is_empty();
    if !has_image {
        let what = match found.absent.first() {
            Some(absent) => format!(
                "any image of the index {}, such as {}",
                descriptor.digest(),
                absent.digest()
            ),
            None => format!("any image of the index {}", descriptor.digest()),
        };
        return Err(ArchiveError::Missing { what });
    }
    for part in found.configs.iter().chain(&found.layers) {
        let digest = Digest::of(part).map_err(StoreError::from)?;
        let kind = Kind::of(part.media_type().as_ref());
        let elsewhere = matches!(kind, Kind::TarLayer(_, Distribution::Restricted));
        if !elsewhere && !store.has_blob(&digest, part.size())? {
            return Err(ArchiveError::Missing {
                what: docker::blob_path(&digest),
            });
        }
    }
    Ok(())
}
