//! Dockerfiles: from a text and a directory to an image in the store.
//!
//! ```text
//! Dockerfile ─ containerfile ─► stages ─ plan ─► steps ─ stage ─► layers, config ─ finish ─► manifest, index
//!                                                          ▲
//!          build context, stages, images ─ files ─ copy ───┘
//! ```
//!
//! `builder` walks the graph of stages: those that are not needed are not built, those that do not need each other are built
//! at the same time. RUN is carried out by a [`StepRunner`] that the caller brings.
//!
//! The same inputs give the same digest on every machine: entries are sorted, times are the given date, owners and modes
//! are uniform unless the Dockerfile states them, and every document is written in one canonical form.

mod append;
mod builder;
mod cache;
pub mod containerfile;
mod context;
mod copy;
mod date;
mod error;
mod files;
mod finish;
mod ignore;
mod output;
mod owner;
mod pattern;
pub mod plan;
mod remote;
mod run;
mod stage;
mod tree;
mod unpack;
mod write;

use std::error::Error;

use cap_std::fs::Dir;

pub use append::{AppendError, append};
pub use cache::{Kept, StepCache};
pub use containerfile::checks::Warning;
pub use context::{ContextError, IgnoreFileError};
pub use copy::CopyError;
pub use error::{BaseError, BuildError};
pub use finish::combine;
pub use ignore::IgnoreError;
pub use output::{UnpackError, unpack_context, write_files, write_part};
pub use run::{Changes, NoRunner, Ran, RunChange, RunChangeKind, RunStep, StepRunner};
pub use tree::TreeError;

use crate::digest::Digest;
use crate::image::{Descriptor, Image};
use crate::layer::LayerStore;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::Store;

/// What to build.
#[derive(Debug)]
pub struct BuildRequest {
    /// The directory whose files can be copied. Nothing outside it can.
    pub context: Dir,
    /// The text of the Dockerfile.
    pub dockerfile: String,
    /// What messages call the Dockerfile. `<name>.dockerignore` in the context is its ignore file.
    pub dockerfile_name: String,
    /// Values for ARG; the last of a name counts.
    pub args: Vec<(String, String)>,
    /// Labels beside those of the Dockerfile, which they replace.
    pub labels: Vec<(String, String)>,
    /// The stage to build, if it must be a certain one.
    pub target: Option<String>,
    /// The time of the image and of all files in it, in seconds since 1970.
    pub source_date: i64,
    /// The platform of the image, unless FROM names another. Without one, an image that FROM names is taken as `run` would
    /// take it, and a stage that starts from nothing is for `wasi/wasm`.
    pub platform: Option<Platform>,
    /// Contexts beside the main one, by name.
    pub contexts: Vec<(String, NamedContext)>,
    /// Annotations of the manifest.
    pub annotations: Vec<(String, String)>,
    /// What steps made before; without it, every step is carried out.
    pub cache: Option<StepCache>,
    /// Which steps are carried out though their result is known.
    pub fresh: Fresh,
    /// Names that the image is to have. [`build`] gives none: its caller does, when the image is ready in its eyes too.
    pub tags: Vec<Reference>,
}

impl BuildRequest {
    /// Asks for a build with nothing but a directory and a Dockerfile.
    pub fn new(context: Dir, dockerfile: String) -> Self {
        Self {
            context,
            dockerfile,
            dockerfile_name: "Dockerfile".to_owned(),
            args: Vec::new(),
            labels: Vec::new(),
            target: None,
            source_date: 0,
            platform: None,
            contexts: Vec::new(),
            annotations: Vec::new(),
            cache: None,
            fresh: Fresh::default(),
            tags: Vec::new(),
        }
    }
}

/// Steps that are carried out though their result is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fresh {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those of the stages with these names or numbers.
    Stages(Vec<String>),
}

/// A context beside the main one, which FROM and `--from` can name.
#[derive(Debug)]
pub enum NamedContext {
    /// A directory.
    Directory(Dir),
    /// An image.
    Image(Reference),
}

/// Why something outside the build could not be done.
pub type Refusal = Box<dyn Error + Send + Sync>;

/// What a build needs of the world. Several threads may ask.
pub trait BaseImages: Sync {
    /// Returns an image, which is in the store with all its layers then. Without a platform, the one that `run` would take.
    fn fetch(&self, reference: &Reference, platform: Option<&Platform>) -> Result<Image, Refusal>;

    /// Fetches a URL into a file.
    ///
    /// # Errors
    ///
    /// It cannot be had, or is too long.
    fn download(&self, url: &str, to: &mut std::fs::File) -> Result<(), Refusal> {
        let _unused = (url, to);
        Err("nothing is downloaded here".into())
    }

    /// Clones a git repository, as `URL#ref:subdirectory` names it, into a directory that is not there yet; returns the
    /// directory in it that is meant.
    ///
    /// # Errors
    ///
    /// It cannot be had.
    fn clone_git(&self, url: &str, to: &std::path::Path) -> Result<std::path::PathBuf, Refusal> {
        let _unused = (url, to);
        Err("no repository is cloned here".into())
    }
}

/// How far a build is. Steps of several stages may mix.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildEvent {
    /// An instruction is about to be carried out.
    Step {
        /// Names the step in later events.
        id: usize,
        /// The stage's name or number, if there are several.
        stage: Option<String>,
        /// Its number in the stage, from 1.
        number: usize,
        /// How many there are.
        total: usize,
        /// The instruction, with its variables replaced.
        text: String,
    },
    /// What the program of a RUN says.
    Output {
        /// The step.
        id: usize,
        /// Is it standard error?
        error: bool,
        /// Some bytes of it.
        bytes: Vec<u8>,
    },
    /// The instruction made a layer, which is in the store.
    Layer {
        /// The compressed layer.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// The instruction has been carried out.
    Done {
        /// The step.
        id: usize,
        /// Was its result known?
        cached: bool,
    },
    /// The instruction cannot be carried out.
    Failed {
        /// The step.
        id: usize,
        /// Why.
        message: String,
    },
}

/// An image that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The image's index, with one entry.
    pub descriptor: Descriptor,
    /// That entry, with its platform.
    pub entry: Descriptor,
    /// The image.
    pub image: Image,
    /// What the author of the Dockerfile should look at.
    pub warnings: Vec<String>,
}

/// Builds an image into the store, and prepares its layers, so that it can be run at once.
///
/// The image has no name yet. If the build fails or is killed, whole blobs may stay in the store, which garbage collection
/// removes; nothing refers to them.
///
/// # Errors
///
/// [`BuildError`] names file, line and column of what is wrong in the Dockerfile, and the source of what cannot be copied.
/// [`BuildError::hint`] may say what to do about it.
pub fn build(
    request: &BuildRequest,
    store: &Store,
    layers: &LayerStore,
    bases: &dyn BaseImages,
    runner: &dyn StepRunner,
    progress: &(dyn Fn(BuildEvent) + Sync),
) -> Result<Built, BuildError> {
    builder::run(&builder::World {
        request,
        store,
        layers,
        bases,
        runner,
        progress,
    })
}

/// Looks at a Dockerfile without building it. Returns what its author should look at, and whether the file itself says that this
/// is an error.
///
/// # Errors
///
/// As [`build`], as far as the Dockerfile and the arguments tell.
pub fn check(request: &BuildRequest) -> Result<(Vec<Warning>, bool), BuildError> {
    builder::check(request)
}
