//! What a container may do: grants by name, nothing else.
//!
//! A [`Policy`] is plain data. It is decided before a container starts, frozen into its record, and enforced by the
//! sandbox: who decides about a use asks the policy, and tells the [`Observer`] what came of it.
//!
//! | module | subject |
//! |---|---|
//! | `capability` | one use of the outside world, and the flag that grants it |
//! | [`interface`] | which class of grant an import of a program needs |
//! | [`net`] | connecting, looking up names, listening |
//! | `observer` | who is told what a guest used and was refused |

mod capability;
pub mod interface;
pub mod net;
mod observer;

use serde::{Deserialize, Serialize};

pub use capability::{Capability, Class, Protocol};
pub use observer::Observer;

/// What a container was granted. The default is nothing: its own files, arguments and environment, output, clocks and
/// random numbers are always there and are not listed.
///
/// Each grant is written as on the command line, so that a policy file, an image's request and a flag hold the same text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Policy {
    /// WIT interfaces beside WASI's own, by name: `acme:greet/hello`, or `acme:greet/*` for all of a package.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
}
