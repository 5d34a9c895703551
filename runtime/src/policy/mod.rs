//! What a container may do: grants by name, nothing else.
//!
//! A [`Policy`] is plain data. It is decided before a container starts, frozen into its record, and enforced by the
//! sandbox: who decides about a use asks the policy, and tells the [`Observer`] what came of it. An image's [`Request`] says what
//! it would like and grants nothing; a host's [`Ceiling`] says what may be granted at most.
//!
//! | module | subject |
//! |---|---|
//! | `capability` | one use of the outside world, and the flag that grants it |
//! | [`ceiling`] | what may be granted at most, and what never |
//! | `document` | reading policies from files and labels |
//! | `fs`, `name` | grants of files, variables and interfaces |
//! | [`interface`] | which class of grant an import of a program needs |
//! | [`limits`] | what a guest may use up |
//! | [`net`] | connecting, looking up names, listening |
//! | `observer`, [`record`] | who is told what a guest used and was refused |
//! | [`quantity`] | sizes, shares of a processor and lengths of time, as people write them |
//! | [`report`] | what enforces each class of grants at a start |
//! | [`resolve`] | what becomes of each thing that is asked for or imported |
//! | [`request`] | what an image asks for, and what an upgrade asks for anew |

mod capability;
pub mod ceiling;
mod document;
mod fs;
pub mod interface;
pub mod limits;
mod name;
pub mod net;
mod observer;
pub mod quantity;
pub mod record;
pub mod report;
pub mod request;
pub mod resolve;

use serde::{Deserialize, Serialize};

use net::Mode;

pub use capability::{Capability, Class, Protocol};
pub use ceiling::{Ceiling, Deny, Refusal};
pub use document::{DocumentError, InvalidGrant, LARGEST_DOCUMENT};
pub use fs::{FsAccess, FsGrant, HostPath};
pub use limits::Limits;
pub use name::{EnvGrant, NamePrefix};
pub use net::NetPolicy;
pub use observer::Observer;
pub use request::Request;

/// Implements serde's conversions of a type that is written as one text.
macro_rules! as_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = $crate::policy::InvalidGrant;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}
use as_text;

/// Must the second wall stand?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecondWall {
    /// As far as the host has one: the first wall enforces every grant by itself.
    #[default]
    WhereThereIsOne,
    /// A guest is not started where a part of the wall is missing.
    Required,
}

/// What a container was granted. The default is nothing: its own files, arguments and environment, output, clocks and
/// random numbers are always there and are not listed.
///
/// Each grant is written as on the command line, so that a policy file and a flag hold the same text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Policy {
    /// Host folders and files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fs: Vec<FsGrant>,
    /// Variables beside the image's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvGrant>,
    /// May the guest read the caller's standard input?
    #[serde(skip_serializing_if = "is_default")]
    pub stdin: bool,
    /// The network.
    #[serde(skip_serializing_if = "is_default")]
    pub net: NetPolicy,
    /// May the guest change only what is mounted?
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Does the guest get nothing but what is named: not the image's environment, and no place to write?
    #[serde(skip_serializing_if = "is_default")]
    pub strict: bool,
    /// What the guest may use up.
    #[serde(skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// Must the second wall stand?
    #[serde(skip_serializing_if = "is_default")]
    pub second_wall: SecondWall,
    /// Was a second wall that is required left out where the host has none, because the user said so?
    #[serde(skip_serializing_if = "is_default")]
    pub degraded: bool,
    /// What is denied, whoever granted it.
    #[serde(skip_serializing_if = "is_default")]
    pub deny: Deny,
}

/// Need it not be written down?
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Policy {
    /// Reads a policy from a TOML document.
    ///
    /// # Errors
    /// [`DocumentError`], with the line.
    pub fn parse(toml: &[u8]) -> Result<Self, DocumentError> {
        let mut policy: Self = document::from_toml(toml)?;
        policy.net.settle();
        Ok(policy)
    }

    /// Returns every grant as it is written, with its class. A variable's value is left out: it may be a secret.
    pub fn grants(&self) -> impl Iterator<Item = (Class, String)> {
        let net = &self.net;
        let fs = self
            .fs
            .iter()
            .map(|grant| (Class::Files, grant.to_string()));
        let env = self
            .env
            .iter()
            .map(|grant| (Class::Environment, grant.name.clone()));
        let stdin = self.stdin.then(|| (Class::Streams, "stdin".to_owned()));
        let host = (net.mode == Mode::Host).then(|| (Class::Connect, "host".to_owned()));
        let connect = net
            .connect
            .iter()
            .map(|rule| (Class::Connect, rule.to_string()));
        let dns = net.dns.iter().map(|name| (Class::Dns, name.to_string()));
        let publish = net
            .publish
            .iter()
            .map(|publish| (Class::Listen, publish.to_string()));
        fs.chain(env)
            .chain(stdin)
            .chain(host)
            .chain(connect)
            .chain(dns)
            .chain(publish)
    }
}
