//! Signatures of images, as cosign makes them with a pair of keys.
//!
//! A signature is a small JSON document ("simple signing") that names a manifest's digest and the repository that the signer
//! meant, and what a private key made of its bytes. It lies in the image's own repository, as a layer of another image whose
//! tag is made of the digest: `sha256-<hex>.sig` (<https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>).
//! `docs/signing.md` is the user's view.
//!
//! | file | subject |
//! |---|---|
//! | `key.rs`, `sealed.rs`, `pem.rs` | keys and the files they are in |
//! | `payload.rs` | what is signed |
//! | `signature.rs` | payload and signature together |
//! | `attached.rs` | signatures in a registry |
//!
//! Elliptic curves are `ring`'s, which TLS has brought along; `scrypt`, `salsa20` and `poly1305` (all RustCrypto's) open and
//! close the box that cosign keeps a private key in. The `sigstore` crate would bring its own HTTP client, OpenID and a
//! transparency log for the same.

mod attached;
mod error;
mod key;
mod payload;
mod pem;
mod sealed;
mod signature;
#[cfg(test)]
mod tests;

pub use attached::{Attached, signature_tag};
pub use error::{Flaw, KeyError};
pub use key::{KeyFile, KeyPair, PrivateKey, PublicKey};
pub use payload::Payload;
pub use signature::Signature;
