//! Which images are trusted: policies in the form of containers-policy.json(5), which Podman, skopeo and CRI-O read as well.
//!
//! A policy has requirements for all images, for all of a transport, and for scopes within one; the narrowest that fits an image
//! counts alone. Of the transports only `docker` means anything here: images in registries. What is written but cannot be checked
//! here, such as GPG signatures, refuses the images that it is about: nothing is ever weaker than it says.
//!
//! | file | subject |
//! |---|---|
//! | `policy.rs` | the file, and which of its requirements are for an image |
//! | `requirement.rs` | one requirement as it is written, and the keys that it names |
//! | `identity.rs` | which name a signature must be for |
//! | `demand.rs` | what is demanded of one image, and the verdict |

mod demand;
mod error;
mod identity;
mod map;
mod policy;
mod requirement;
#[cfg(test)]
mod tests;

pub use demand::Demand;
pub use error::{PolicyError, Refused};
pub use policy::TrustPolicy;
