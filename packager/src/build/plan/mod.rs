//! From instructions to steps: variables replaced, paths made absolute, values checked.
//!
//! A plan depends on the Dockerfile, on the arguments of the build and on the config of the base image, and on nothing
//! else: making it touches neither the build context nor the store.

mod planner;
mod scope;
mod value;

pub use planner::Planner;
pub(super) use scope::{DEFAULT_PATH, set_env};

use super::containerfile::{Location, Verb};
use crate::platform::Platform;
use crate::reference::Reference;

/// What a build is told besides its Dockerfile.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// `--build-arg`, in order; the last of a name counts.
    pub args: &'a [(String, String)],
    /// `--target`.
    pub target: Option<&'a str>,
    /// The platform of the image.
    pub platform: &'a Platform,
    /// The platform that the build runs on.
    pub build_platform: &'a Platform,
}

/// What an image starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Nothing, or an image.
    pub name: BaseName,
    /// The platform to take, and to build for.
    pub platform: Platform,
    /// Where FROM names it.
    pub at: Location,
}

/// The argument of FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseName {
    /// `FROM scratch`
    Scratch,
    /// `FROM image`
    Image(Reference),
}

/// What the base image's config says that instructions build upon.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Environment, `NAME=value` each.
    pub env: Vec<String>,
    /// Working directory; empty means `/`.
    pub working_dir: String,
    /// The program of the shell form, if the image names one.
    pub shell: Option<Vec<String>>,
}

/// The steps that make an image of its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// Build arguments that no ARG asked for.
    pub unused_args: Vec<String>,
}

/// One instruction, ready to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it stands.
    pub at: Location,
    /// The instruction with its variables replaced, as progress and history show it.
    pub text: String,
    /// What to do.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing to the image: an ARG has been taken into account.
    Arg,
    /// Sets the default command.
    Cmd(Vec<String>),
    /// Copies from the build context.
    Copy(CopyAction),
    /// Sets the entrypoint, or takes it away.
    Entrypoint(Option<Vec<String>>),
    /// Sets environment variables.
    Env(Vec<(String, String)>),
    /// Names ports, as `80/tcp`.
    Expose(Vec<String>),
    /// Sets labels.
    Label(Vec<(String, String)>),
    /// Sets the user.
    User(String),
    /// Names directories that are to be volumes.
    Volume(Vec<String>),
    /// Sets the working directory, an absolute path, and makes it.
    Workdir(String),
}

/// What COPY or ADD copies, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyAction {
    /// COPY or ADD.
    pub verb: Verb,
    /// One or more sources.
    pub sources: Vec<Source>,
    /// Absolute path in the image, without `.`, `..` and slash at its end.
    pub destination: String,
    /// Does the destination's spelling say that it is a directory?
    pub into_directory: bool,
    /// Owner and group, if given.
    pub owner: Option<(u32, u32)>,
    /// Mode, if given.
    pub mode: Option<u32>,
}

/// A source of COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As written, with variables replaced.
    pub text: String,
    /// The way from the context's root; `.` and `..` are gone. A part may be a wildcard.
    pub parts: Vec<String>,
}
