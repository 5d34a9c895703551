//! Images for Coracle: their model, the content store, packed layers, the Dockerfile builder and registries.
//!
//! The crate knows nothing of how a container runs. It takes bytes from strangers (registries, build contexts, layout
//! directories) and yields checked values: a [`reference::Reference`], a [`digest::Digest`], an [`image::Image`].
//!
//! | module | subject |
//! |---|---|
//! | [`digest`], [`reference`], [`platform`], [`media_type`] | names, checked once |
//! | [`image`] | manifests, indexes and configs, and the choice of one entry from an index |
//! | [`store`] | blobs and names in an OCI image layout |
//! | [`layer`] | layers in packed form, and their merged view |
//! | [`archive`] | images in files and folders: what `save` writes and `load` reads |
//! | [`build`] | Dockerfiles |
//! | [`convert`] | images in other forms |
//! | [`registry`] | pull and push |
//! | [`sign`] | signatures of images, and keys |
//! | [`trust`] | which images are trusted: policies |

#![forbid(unsafe_code)]

pub mod archive;
pub mod build;
pub mod convert;
pub mod digest;
#[cfg(any(test, feature = "testing"))]
pub mod fuzz;
pub mod image;
pub mod layer;
pub mod media_type;
pub mod platform;
pub mod reference;
pub mod registry;
pub mod sign;
pub mod store;
pub mod trust;
