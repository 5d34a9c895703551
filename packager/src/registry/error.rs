//! What can fail between here and a registry.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::credentials::CredentialError;
use crate::digest::Digest;
use crate::image::select::SelectError;
use crate::image::{ImageError, Shape};
use crate::platform::Platform;
use crate::store::StoreError;
use crate::trust::Refused;

/// A pull or push that failed: of which image, at which step, and why (the source).
#[derive(Debug, thiserror::Error)]
#[error("{action} \"{reference}\": {step}")]
pub struct RegistryError {
    /// Pull or push.
    pub action: Action,
    /// The image, canonical.
    pub reference: String,
    /// The registry, as the reference names it.
    pub registry: String,
    /// What was being done.
    pub step: Step,
    /// Why it failed.
    #[source]
    pub cause: Box<Cause>,
}

impl RegistryError {
    /// May the same call succeed later, with nothing changed here? Such failures have been retried already.
    pub fn is_temporary(&self) -> bool {
        self.cause.is_temporary()
    }

    /// Returns what the user could do next, if that is known.
    pub fn hint(&self) -> Option<String> {
        let registry = &self.registry;
        match &*self.cause {
            Cause::Unauthorized { sent: true, .. } => Some(match self.action {
                Action::Login => "check the user and the password; many registries want an access token in its place".to_owned(),
                _ => format!("log in again with `coracle login {registry}`"),
            }),
            Cause::Unauthorized { sent: false, .. } => Some(format!(
                "log in first with `coracle login {registry}`, or check the image's name"
            )),
            Cause::Denied { .. } => Some(format!(
                "check the image's name, and that the user who is logged in to \"{registry}\" may do this"
            )),
            Cause::Credential(CredentialError::Helper { .. }) => Some(format!(
                "install the helper, or log in again with `coracle login {registry}`"
            )),
            Cause::NotFound => match self.action {
                Action::Pull | Action::Read(_) => Some("check the image's name and tag".to_owned()),
                Action::Write(_) => Some("the image has to be in the registry first: push it with `coracle push`".to_owned()),
                Action::Push => Some(format!(
                    "some registries want the repository to be created first: check that it is there at \"{registry}\""
                )),
                Action::Login => Some(format!("check that \"{registry}\" is a registry")),
            },
            Cause::Elsewhere { .. } => Some(
                "only images for Windows have such layers; choose an entry for another platform with --platform"
                    .to_owned(),
            ),
            Cause::Lookup { .. } => Some("check the name, and the network".to_owned()),
            Cause::Connect { .. } => Some(format!(
                "check the name and port of \"{registry}\"; without TLS only a registry on this machine is spoken to, unless --tls-verify=false is given"
            )),
            Cause::Certificate { .. } => Some(format!(
                "put the certificate of the authority that signed for it into /etc/docker/certs.d/{registry}/ca.crt"
            )),
            Cause::Blocked { .. } => Some("the entry is in registries.conf".to_owned()),
            Cause::Status { status: 400 | 415, detail, .. } if self.action == Action::Push && is_about_types(detail) => Some(
                "this registry takes only some kinds of artifact; ordinary images are taken by all".to_owned(),
            ),
            Cause::Tls { .. } => Some(
                "registries need the system's CA certificates (on Debian: package \"ca-certificates\")"
                    .to_owned(),
            ),
            Cause::TooManyRequests { .. } => {
                Some("wait and try again, or log in for a higher limit".to_owned())
            }
            Cause::Untrusted(refused) => Some(refused.hint().to_owned()),
            Cause::MissingEntry { .. } => Some(
                "pull the missing platform first, or push one platform of the image".to_owned(),
            ),
            Cause::DigestReference => Some("name a tag to push to".to_owned()),
            _ => None,
        }
    }
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// From the registry.
    Pull,
    /// To the registry.
    Push,
    /// Something else that only reads, such as "verifying".
    Read(&'static str),
    /// Something else that adds to what is there, such as "signing".
    Write(&'static str),
    /// Nowhere: who we are is to be proved.
    Login,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pulling",
            Self::Push => "pushing",
            Self::Read(word) | Self::Write(word) => word,
            Self::Login => "logging in to",
        })
    }
}

/// One step of a pull or push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Looking at the reference, the credentials and the TLS settings, before anything is sent.
    Prepare,
    /// The first contact, and the token if the registry wants one.
    Authenticate,
    /// From tag to digest.
    Resolve,
    /// One manifest or index.
    Manifest(Digest),
    /// The choice from an index.
    Choose(Digest),
    /// One config or layer.
    Blob(Digest),
    /// The list of tags.
    Tags,
    /// The list of what refers to a manifest.
    Referrers(Digest),
    /// The signatures of a manifest.
    Signatures(Digest),
    /// A read or write of the local store.
    Store,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare => f.write_str("preparing"),
            Self::Authenticate => f.write_str("authenticating"),
            Self::Resolve => f.write_str("resolving the tag"),
            Self::Manifest(digest) => write!(f, "transferring manifest {digest}"),
            Self::Choose(digest) => write!(f, "choosing from index {digest}"),
            Self::Blob(digest) => write!(f, "transferring blob {digest}"),
            Self::Tags => f.write_str("listing the tags"),
            Self::Referrers(digest) => write!(f, "listing what refers to {digest}"),
            Self::Signatures(digest) => write!(f, "looking at the signatures of {digest}"),
            Self::Store => f.write_str("using the local store"),
        }
    }
}

/// Text after a colon, or nothing.
struct After<'a>(&'a str);

impl fmt::Display for After<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.0)
        }
    }
}

/// How long a registry wants to be left alone, or nothing.
struct Wait<'a>(&'a Option<Duration>);

impl fmt::Display for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(wait) => write!(f, ", for {} seconds", wait.as_secs()),
            None => Ok(()),
        }
    }
}

/// Why a step failed. Text that came from the registry is short, on one line, and has no secrets in URLs.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// A name leads nowhere.
    #[error("looking up \"{host}\": {problem}")]
    Lookup {
        /// The name.
        host: String,
        /// Why.
        problem: String,
    },
    /// The registry sends us where it must not.
    #[error("\"{registry}\" leads to \"{target}\", which is refused: {problem}")]
    Misled {
        /// The registry.
        registry: String,
        /// Where to.
        target: String,
        /// Why not.
        problem: String,
    },
    /// What was to be logged in to is no registry.
    #[error("it names no registry: {problem}")]
    NoRegistry {
        /// Why not.
        problem: String,
    },
    /// The user's settings forbid the registry.
    #[error("\"{prefix}\" is blocked by the settings")]
    Blocked {
        /// The prefix that fits.
        prefix: String,
    },
    /// A proxy cannot be one.
    #[error("the proxy \"{proxy}\" is no URL that could be used")]
    Proxy {
        /// It, without its password.
        proxy: String,
    },
    /// A host's certificates cannot be read.
    #[error("reading certificates from {path}")]
    Certificates {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A media type that no header can have.
    #[error("media type {media_type:?} cannot be sent")]
    MediaType {
        /// It.
        media_type: String,
    },
    /// There is no connection.
    #[error("connecting to \"{registry}\": {detail}")]
    Connect {
        /// The registry.
        registry: String,
        /// What the network says.
        detail: String,
    },
    /// Whoever answers cannot prove to be the registry.
    #[error("the certificate of \"{registry}\" is refused: {detail}")]
    Certificate {
        /// The registry.
        registry: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A connection broke, or the answer to a request was not HTTP.
    #[error("the connection to \"{registry}\" broke: {detail}")]
    Broken {
        /// The registry.
        registry: String,
        /// What the network says.
        detail: String,
    },
    /// An answer did not come.
    #[error("\"{registry}\" did not answer within {seconds} seconds")]
    TimedOut {
        /// The registry.
        registry: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// TLS cannot be set up on this side.
    #[error("setting up TLS: {detail}")]
    Tls {
        /// What is wrong.
        detail: String,
    },
    /// The registry wants to know who asks, or does not believe it.
    #[error(
        "registry \"{registry}\" refused {}{}",
        if *sent { "the user or password" } else { "anonymous access" },
        After(detail)
    )]
    Unauthorized {
        /// The registry.
        registry: String,
        /// Was a credential sent?
        sent: bool,
        /// What the registry says.
        detail: String,
    },
    /// The registry knows who asks, and says no.
    #[error("registry \"{registry}\" denied it{}", After(detail))]
    Denied {
        /// The registry.
        registry: String,
        /// What the registry says.
        detail: String,
    },
    /// The credential cannot be used.
    #[error("a credential is needed")]
    Credential(#[source] CredentialError),
    /// A layer that may not be distributed is not in the registry. Nobody is led to an address by an image.
    #[error(
        "the registry does not have it: the layer may not be distributed, and is offered at \"{url}\""
    )]
    Elsewhere {
        /// The first address that its descriptor names.
        url: String,
    },
    /// There is no such repository, tag, manifest or blob, or nobody may know of it.
    #[error("not found in the registry")]
    NotFound,
    /// Too much was asked of the registry in too short a time.
    #[error(
        "registry \"{registry}\" limits requests{}{}",
        Wait(wait),
        After(detail)
    )]
    TooManyRequests {
        /// The registry.
        registry: String,
        /// What the registry says.
        detail: String,
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
    /// The registry answered with another error.
    #[error(
        "registry \"{registry}\" answered with status {status}{}",
        After(detail)
    )]
    Status {
        /// The registry.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// What the registry says.
        detail: String,
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
    /// The answer is not one that a registry gives.
    #[error("\"{registry}\" does not answer like a registry: {detail}")]
    Protocol {
        /// The registry.
        registry: String,
        /// What is wrong with the answer.
        detail: String,
    },
    /// The registry has not kept all that was sent to it.
    #[error("registry \"{registry}\" has kept the range {got:?} of {sent} bytes sent")]
    LostPiece {
        /// The registry.
        registry: String,
        /// What it says it has.
        got: String,
        /// How much it should have, in bytes.
        sent: u64,
    },
    /// The bytes are not those that were named.
    #[error("got content with digest {got}, want {want}")]
    WrongDigest {
        /// Digest of the bytes.
        got: String,
        /// The digest that was asked for.
        want: String,
    },
    /// There are fewer or more bytes than were announced.
    #[error("got {} bytes, want {want}", if *more { format!("more than {got}") } else { got.to_string() })]
    WrongSize {
        /// Bytes that came.
        got: u64,
        /// Were there more?
        more: bool,
        /// Bytes that were announced.
        want: u64,
    },
    /// The blob is larger than any honest one.
    #[error("{what} has {got} bytes, want at most {limit}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size in bytes.
        got: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The manifest, index or config is none, or none that is read.
    #[error("it is not an image that can be read")]
    Image(#[source] Box<ImageError>),
    /// Indexes lie within indexes deeper than any honest one.
    #[error("indexes lie within indexes more than {limit} deep")]
    Nesting {
        /// The limit.
        limit: usize,
    },
    /// The image is for another platform.
    #[error("the image is for {got}, want {want}")]
    Platform {
        /// The platform in its config.
        got: Box<Platform>,
        /// The platform that was asked for.
        want: Box<Platform>,
    },
    /// Nothing in the index fits.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// It is a chart, a signature or the like.
    #[error("it is {shape} (config of type {config:?})")]
    NotAnImage {
        /// What it is.
        shape: Shape,
        /// The config's media type.
        config: String,
    },
    /// It is a Wasm artifact without a program: a WIT package, or a component for other components.
    #[error("it is a WIT package or a library: it has no export that could be run, only {exports}")]
    NoProgram {
        /// What the component exports, as text.
        exports: String,
    },
    /// What is beside a manifest is not what should be there.
    #[error("{problem}")]
    Beside {
        /// What is wrong with it.
        problem: String,
    },
    /// The user's policy does not trust it.
    #[error(transparent)]
    Untrusted(#[from] Refused),
    /// The local store failed.
    #[error(transparent)]
    Store(Box<StoreError>),
    /// A thread of our own ended before its work.
    #[error("the thread that writes to the store stopped: {detail}")]
    Stopped {
        /// Why.
        detail: String,
    },
    /// An index to push lists a manifest that is not in the store.
    #[error("the index lists {digest} for {platform}, which is not in the local store")]
    MissingEntry {
        /// The manifest.
        digest: Digest,
        /// Its platform, as text.
        platform: String,
    },
    /// A manifest to push lists a blob that is not in the store.
    #[error("blob {digest} of the image is not in the local store")]
    MissingBlob {
        /// The blob.
        digest: Digest,
    },
    /// A push names a digest: the registry computes that itself.
    #[error("cannot push to a digest")]
    DigestReference,
}

impl From<StoreError> for Cause {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

impl From<ImageError> for Cause {
    fn from(error: ImageError) -> Self {
        Self::Image(Box::new(error))
    }
}

/// Does a registry's message speak of a kind of artifact?
fn is_about_types(detail: &str) -> bool {
    let detail = detail.to_ascii_lowercase();
    [
        "media type",
        "mediatype",
        "media-type",
        "artifact type",
        "unsupported",
        "manifest invalid",
    ]
    .iter()
    .any(|word| detail.contains(word))
}

impl Cause {
    /// Returns how long the registry wants to be left alone.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { wait, .. } | Self::Status { wait, .. } => *wait,
            _ => None,
        }
    }

    /// May another place that has the same image help?
    pub(super) fn is_of_the_place(&self) -> bool {
        !matches!(
            self,
            Self::Store(_) | Self::Stopped { .. } | Self::Tls { .. } | Self::Proxy { .. }
        )
    }

    /// May the same request succeed a moment later?
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Broken { .. }
            | Self::LostPiece { .. }
            | Self::TimedOut { .. }
            | Self::TooManyRequests { .. } => true,
            // A short body is a broken connection for a server that does not announce its length.
            Self::WrongSize { got, want, .. } => got < want,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 500..=599),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_reference_step_and_hint() {
        let error = RegistryError {
            action: Action::Pull,
            reference: "r.example/x:1".to_owned(),
            registry: "r.example".to_owned(),
            step: Step::Resolve,
            cause: Box::new(Cause::Unauthorized {
                registry: "r.example".to_owned(),
                sent: true,
                detail: String::new(),
            }),
        };
        assert_eq!(
            error.to_string(),
            "pulling \"r.example/x:1\": resolving the tag"
        );
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("coracle login r.example"))
        );
        assert!(!error.is_temporary());
    }
}
