//! From instructions to steps: variables replaced, paths made absolute, values checked.
//!
//! A plan depends on the Dockerfile, on the arguments of the build and on the configs of the base images, and on nothing
//! else: making it touches neither the build context nor the store.

mod copy;
mod mode;
mod planner;
mod run;
mod scope;
mod value;

use std::collections::BTreeMap;

pub use mode::Mode;
pub use planner::Planner;
pub use run::{Mount, MountKind, Network, RunAction, Sharing};
pub(super) use scope::{DEFAULT_PATH, set_env};

use super::containerfile::{Location, Verb};
use crate::digest::Digest;
use crate::image::Healthcheck;
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
    /// Names of the contexts beside the main one. They come before stages and images of the same name.
    pub contexts: &'a [String],
}

/// What a stage starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Nothing, an image, or an earlier stage.
    pub name: BaseName,
    /// The platform to take, and to build for.
    pub platform: Platform,
    /// Does the file name the platform?
    pub platform_given: bool,
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
    /// `FROM stage`
    Stage(usize),
    /// The name of a context
    Context(String),
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The build context.
    Context,
    /// An earlier stage.
    Stage(usize),
    /// Another context, by its name.
    Named(String),
    /// An image.
    Image(Reference),
}

/// What the base image's config says that instructions build upon.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Environment, `NAME=value` each.
    pub env: Vec<String>,
    /// ARGs of the stage that this one starts from.
    pub args: BTreeMap<String, String>,
    /// Working directory; empty means `/`.
    pub working_dir: String,
    /// The user; empty means root.
    pub user: String,
    /// The program of the shell form, if the image names one.
    pub shell: Option<Vec<String>>,
    /// Instructions that the base image's author left.
    pub triggers: Vec<String>,
}

/// The steps that make a stage of its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// ARGs that are set at the end.
    pub args: BTreeMap<String, String>,
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
    /// Copies files.
    Copy(Box<CopyAction>),
    /// Sets the entrypoint, or takes it away.
    Entrypoint(Option<Vec<String>>),
    /// Sets environment variables.
    Env(Vec<(String, String)>),
    /// Names ports, as `80/tcp`.
    Expose(Vec<String>),
    /// Sets how to see whether the program is well.
    Healthcheck(Box<HealthcheckAction>),
    /// Sets labels.
    Label(Vec<(String, String)>),
    /// Sets the author.
    Maintainer(String),
    /// Leaves an instruction for who builds on the image.
    OnBuild(String),
    /// Runs a program.
    Run(Box<RunAction>),
    /// Sets the program of the shell form.
    Shell(Vec<String>),
    /// Sets the signal that asks the program to end.
    StopSignal(String),
    /// Sets the user.
    User(String),
    /// Names directories that are to be volumes.
    Volume(Vec<String>),
    /// Sets the working directory, an absolute path, and makes it.
    Workdir(String),
}

/// What HEALTHCHECK sets. Times are in nanoseconds, 0 where the file gives none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthcheckAction {
    /// `NONE`, or `CMD` or `CMD-SHELL` and the command.
    pub test: Vec<String>,
    /// Time between two checks.
    pub interval: i64,
    /// Time that one check may take.
    pub timeout: i64,
    /// Time at the start in which failures do not count.
    pub start_period: i64,
    /// Time between two checks at the start.
    pub start_interval: i64,
    /// Failures that make a container unhealthy.
    pub retries: i64,
}

impl HealthcheckAction {
    /// Returns what the config holds.
    pub(super) fn config(&self) -> Healthcheck {
        let given = |number: i64| (number != 0).then_some(number);
        let mut healthcheck = Healthcheck {
            test: Some(self.test.clone()),
            interval: given(self.interval),
            timeout: given(self.timeout),
            retries: given(self.retries),
            ..Healthcheck::default()
        };
        for (name, time) in [
            ("StartPeriod", self.start_period),
            ("StartInterval", self.start_interval),
        ] {
            if let Some(time) = given(time) {
                healthcheck.other.insert(name.to_owned(), time.into());
            }
        }
        healthcheck
    }
}

/// What COPY or ADD copies, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyAction {
    /// COPY or ADD.
    pub verb: Verb,
    /// Where the sources are.
    pub origin: Origin,
    /// Paths and patterns.
    pub sources: Vec<Source>,
    /// Files whose text stands in the Dockerfile.
    pub files: Vec<InlineFile>,
    /// What is fetched.
    pub remotes: Vec<Remote>,
    /// Absolute path in the image, without `.`, `..` and slash at its end.
    pub destination: String,
    /// Does the destination's spelling say that it is a directory?
    pub into_directory: bool,
    /// Owner and group, if given.
    pub owner: Option<Owner>,
    /// Mode, if given.
    pub mode: Option<Mode>,
    /// Patterns of what is left out.
    pub excludes: Vec<String>,
    /// Is the path of each source kept?
    pub parents: bool,
    /// What a downloaded file must be.
    pub checksum: Option<Digest>,
    /// Is `.git` kept of a cloned repository?
    pub keep_git: bool,
    /// Are archives unpacked? If not said, local ones are and downloaded ones are not.
    pub unpack: Option<bool>,
}

/// A path of COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As written, with variables replaced.
    pub text: String,
    /// The way from the root; `.` and `..` are gone. A part may be a wildcard.
    pub parts: Vec<String>,
    /// With `--parents`: how many of the parts do not show in the image, because `/./` stands behind them.
    pub pivot: usize,
}

/// A file whose text stands in the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineFile {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A source that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// A file.
    Url(String),
    /// A git repository.
    Git(String),
}

/// An owner, by name or number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Id,
    /// The group; if it is missing, a user's number is the group's too, and a user's name has its own.
    pub group: Option<Id>,
}

/// A user or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// As the image's `/etc/passwd` or `/etc/group` names it.
    Name(String),
    /// A number.
    Number(u32),
}
