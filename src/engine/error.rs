//! What can go wrong in the engine, sorted for the doors.

use std::path::PathBuf;

use coracle_packager::archive::ArchiveError;
use coracle_packager::build::{AppendError, BuildError, UnpackError};
use coracle_packager::convert::ConvertError;
use coracle_packager::digest::DigestError;
use coracle_packager::image::select::SelectError;
use coracle_packager::image::{ArtifactError, ImageError};
use coracle_packager::layer::LayerError;
use coracle_packager::platform::PlatformError;
use coracle_packager::reference::ReferenceError;
use coracle_packager::registry::{RegistryError, Step};
use coracle_packager::sign::{Flaw, KeyError};
use coracle_packager::store::StoreError;
use coracle_packager::trust::{PolicyError, Refused};
use coracle_runtime::container::ContainerError;
use coracle_runtime::sandbox::wasm::link::LinkError;
use coracle_runtime::sandbox::wasm::{LoadError, RunError};
use coracle_runtime::spec::ListenError;
use coracle_runtime::vfs::{Errno, VfsError};

use super::backend::BackendError;
use super::{CopyError, VolumeError};

/// What is being done when a build context cannot be opened.
pub(super) const CONTEXT: &str = "opening the build context";

/// What can go wrong in the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither a name nor an id of an image here.
    #[error("no such image: {text}")]
    NoSuchImage {
        /// What was looked for.
        text: String,
    },
    /// Several images have ids that begin so.
    #[error("the image id `{text}` is ambiguous: {count} images begin so")]
    AmbiguousImage {
        /// What was looked for.
        text: String,
        /// How many match.
        count: usize,
    },
    /// A container still needs the image.
    #[error("image {image} is used by container {container}")]
    ImageInUse {
        /// The image as named.
        image: String,
        /// The container's name.
        container: String,
    },
    /// The image has several names, and which to remove was not said.
    #[error("image {image} has {count} names")]
    SeveralNames {
        /// The image's id.
        image: String,
        /// How many names.
        count: usize,
    },
    /// The container does not run, and the move needs that it does.
    #[error("container {container} is not running")]
    NotRunning {
        /// Its name.
        container: String,
    },
    /// The container is halted, and the move needs that it is not.
    #[error("container {container} is paused")]
    Paused {
        /// Its name.
        container: String,
    },
    /// The container is not halted, and the move needs that it is.
    #[error("container {container} is not paused")]
    NotPaused {
        /// Its name.
        container: String,
    },
    /// The container's process did not end in time after it was killed.
    #[error(
        "the process of container {container} did not end within {seconds} s after it was killed"
    )]
    WouldNotDie {
        /// Its name.
        container: String,
        /// How long we waited, in seconds.
        seconds: u64,
    },
    /// The container has this name already.
    #[error("renaming a container with the same name as its current name \"{name}\"")]
    SameName {
        /// The name.
        name: String,
    },
    /// The container is removed when it ends, and cannot be started again.
    #[error(
        "container {container} is removed when it ends (--rm): there would be nothing to start again"
    )]
    RemovedAtEnd {
        /// Its name.
        container: String,
    },
    /// A container does not answer as it should.
    #[error("{problem}")]
    Unwell {
        /// What is wrong.
        problem: String,
    },
    /// The container was made to keep no log.
    #[error("container {container} keeps no log")]
    NoLog {
        /// Its name.
        container: String,
    },
    /// No command was given, and the image has none.
    #[error("no command given, and image {image} has neither ENTRYPOINT nor CMD")]
    NoCommand {
        /// The image as named.
        image: String,
    },
    /// The program is not in the image.
    #[error("{program}: no such file in the container")]
    ProgramNotFound {
        /// What was to be run.
        program: String,
    },
    /// The program is there, but cannot be run.
    #[error("{program}: {problem}")]
    ProgramNotRunnable {
        /// What was to be run.
        program: String,
        /// Why not.
        problem: String,
    },
    /// A host path that was to be mounted.
    #[error("mounting {path} at {target}")]
    Mount {
        /// The host path.
        path: PathBuf,
        /// The guest path.
        target: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A grant that the host, or the policy itself, denies.
    #[error("{class} {grant} cannot be granted: {reason}{}", and_more(*more))]
    NotGrantable {
        /// The class of the grant.
        class: &'static str,
        /// The grant, as it is written.
        grant: String,
        /// What it runs into.
        reason: String,
        /// How many others are denied as well.
        more: usize,
    },
    /// The file for what a guest uses cannot be written.
    #[error("writing what the guest uses to the file of --record")]
    Recording(#[source] std::io::Error),
    /// The working directory cannot be made.
    #[error("creating the working directory {path}")]
    WorkingDirectory {
        /// The guest path.
        path: String,
        /// What the guest's file system says.
        source: Errno,
    },
    /// A limit that this process cannot be held to.
    #[error("{doing}")]
    Limit {
        /// What we were doing.
        doing: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file operation of the engine failed.
    #[error("{doing} {path}")]
    File {
        /// What we were doing, such as "reading".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A name that is not a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A text that is not a platform.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// A text that is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The image is wrong, or not for us.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image has no files, and no program that could be found.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The content store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Images in a file or folder.
    #[error("{path}")]
    Archive {
        /// The file or folder, or a word for a stream.
        path: String,
        /// What is wrong.
        source: Box<ArchiveError>,
    },
    /// An instruction that an import cannot carry out.
    #[error("the change {text:?} is not one that can be made to an image")]
    Change {
        /// What was given.
        text: String,
    },
    /// A name that is to be a new index is taken.
    #[error("{name} is there already")]
    ListExists {
        /// The name.
        name: String,
    },
    /// A name that should be an index is one image.
    #[error("{name} is an image and not an index of images")]
    NoList {
        /// The name.
        name: String,
    },
    /// An index has no such entry.
    #[error("{image} is not in {name}")]
    NotInList {
        /// What was looked for.
        image: String,
        /// The index.
        name: String,
    },
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The image of this name in the registry is not the one here.
    #[error("{name} is {there} in the registry, and {here} here")]
    NotTheSame {
        /// The name.
        name: String,
        /// What it stands for here.
        here: String,
        /// What it stands for in the registry.
        there: String,
    },
    /// No signature of an image is right.
    #[error("{image} ({digest}) {}", verdict(*count, flaw.as_ref()))]
    NotSigned {
        /// The image.
        image: String,
        /// What its name stands for.
        digest: String,
        /// How many signatures it has.
        count: usize,
        /// What is wrong with one of them.
        flaw: Option<Flaw>,
    },
    /// An image that could not be converted.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// Layers of files that are to be compressed, of an image that has none.
    #[error("{form} has no layers of files to compress")]
    NothingToCompress {
        /// The form.
        form: &'static str,
    },
    /// A form of image that cannot say what the image says.
    #[error("converting {image} to {form} would lose: {}", losses.join("; "))]
    Lossy {
        /// The image, as it was named.
        image: String,
        /// The form.
        form: &'static str,
        /// What would be lost.
        losses: Vec<String>,
    },
    /// What was to be fetched as an attachment is an index.
    #[error("{name} is an index, and has no files")]
    NotAttached {
        /// The name.
        name: String,
    },
    /// The policy about images cannot be used.
    #[error("using the trust policy {path}")]
    TrustPolicy {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<PolicyError>,
    },
    /// The policy does not let an image run.
    #[error("{image} is refused")]
    Untrusted {
        /// The image.
        image: String,
        /// Why.
        source: Refused,
    },
    /// A registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A build.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Files cannot be copied into a container, or out of it.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// One more layer on an image.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Files cannot be written where a build was told to.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// A container on disk.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The guest's file system.
    #[error(transparent)]
    Vfs(#[from] VfsError),
    /// The program is no WebAssembly, or is damaged.
    #[error("{program}")]
    Program {
        /// Its guest path.
        program: String,
        /// What is wrong with it.
        source: LoadError,
    },
    /// The WebAssembly engine cannot be set up.
    #[error(transparent)]
    Wasm(#[from] LoadError),
    /// A program that cannot be linked with the libraries that it needs.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A program that cannot be started.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What is asked for cannot be had with what runs the program.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The runtime specification of a Linux container cannot be made.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Spec(#[from] super::native::SpecError),
    /// A Linux container cannot be started or handled.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Native(#[from] coracle_runtime::sandbox::native::NativeError),
    /// What stands between a Linux container and the host is not all that its policy wants.
    #[error("{problem}")]
    Degraded {
        /// What is missing.
        problem: String,
    },
    /// A port of the host cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// What sort of failure it is. Each door maps it once: the command line to an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The program is not there.
    ProgramNotFound,
    /// The program is there, but cannot be run.
    ProgramNotRunnable,
    /// Everything else.
    Engine,
}

impl Kind {
    /// Returns the exit code that Docker has for it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Engine => 125,
            Self::ProgramNotRunnable => 126,
            Self::ProgramNotFound => 127,
        }
    }
}

impl Error {
    /// Sorts the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::ProgramNotFound { .. } => Kind::ProgramNotFound,
            #[cfg(target_os = "linux")]
            Self::Native(coracle_runtime::sandbox::native::NativeError::Program {
                missing,
                ..
            }) => match missing {
                true => Kind::ProgramNotFound,
                false => Kind::ProgramNotRunnable,
            },
            // The host fails here, and the program may be sound.
            Self::Program {
                source:
                    LoadError::Cache { .. } | LoadError::Untrusted { .. } | LoadError::Engine { .. },
                ..
            }
            | Self::Run(
                RunError::Wall(_)
                | RunError::Host { .. }
                | RunError::NoPort { .. }
                | RunError::NoExport { .. }
                | RunError::Arguments { .. }
                | RunError::WorkingDirectory { .. },
            ) => Kind::Engine,
            Self::Artifact(_)
            | Self::ProgramNotRunnable { .. }
            | Self::Backend(BackendError::OtherHost { .. })
            | Self::Program { .. }
            | Self::Link(_)
            | Self::Run(_) => Kind::ProgramNotRunnable,
            _ => Kind::Engine,
        }
    }

    /// Could something damaged in the data directory be the reason?
    pub(super) fn may_be_damage(&self) -> bool {
        match self {
            Self::Registry(error) => matches!(error.step, Step::Store | Step::Blob(_)),
            Self::Image(_) | Self::Store(_) | Self::Layer(_) => true,
            Self::File { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidData
            ),
            _ => false,
        }
    }

    /// Does an image have nothing for this host?
    pub(super) fn is_no_match(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Select {
                source: SelectError::NoMatch { .. },
                ..
            })
        )
    }

    /// Says what to do next, if that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSuchImage { .. } => "list the images here with `coracle images`, or fetch one with `coracle pull`".to_owned(),
            Self::Untrusted { source, .. } => source.hint().to_owned(),
            Self::TrustPolicy { .. } => "nothing is run under a policy that cannot be read; docs/signing.md says what is read of it, and --insecure-policy goes on without".to_owned(),
            Self::NotTheSame { name, there, .. } => {
                let repository = name.rsplit_once(':').map_or(name.as_str(), |(repository, _)| repository);
                format!("push the image first, or name what you mean by its digest: {repository}@{there}")
            }
            Self::AmbiguousImage { .. } | Self::Container(ContainerError::Ambiguous { .. }) => "give more digits of the id".to_owned(),
            Self::ImageInUse { container, .. } => format!("remove the container first with `coracle rm {container}`, or use `rmi --force`"),
            Self::SeveralNames { .. } => "give the name to remove, or use `rmi --force` to remove all".to_owned(),
            Self::NoCommand { .. } => "name the program after the image, such as `coracle run IMAGE /app.wasm`".to_owned(),
            Self::File { doing: CONTEXT, .. } => "name a folder that has a Dockerfile, such as `.`".to_owned(),
            Self::ProgramNotFound { .. } | Self::ProgramNotRunnable { .. } => "see what there is with `coracle export CONTAINER | tar t`; an image's ENTRYPOINT is shown by `coracle inspect IMAGE`, and `run --entrypoint` chooses another".to_owned(),
            Self::Mount { source, .. } if source.kind() == std::io::ErrorKind::NotFound => "create the host path first; it is not created for you".to_owned(),
            Self::NotGrantable { .. } => "see all of it with `coracle run --explain`".to_owned(),
            Self::Run(RunError::Wall(source)) if source.is::<super::policy::Incomplete>() => "start it without that with `--allow-degraded`, if it is not the host's ceiling that requires it".to_owned(),
            Self::Run(RunError::UnknownImports { .. }) => "no flag grants it; link what provides it into the program before it goes into the image, such as with `wac plug`, or put the component that provides it into the image's /usr/lib/wasm".to_owned(),
            Self::Link(LinkError::Missing { .. }) => "put a component that exports it, in a compatible version, into that folder: as a file of the image or as a layer of its own".to_owned(),
            Self::Link(LinkError::Ambiguous(_)) => "leave one of them in the image, or name the exact version in the import".to_owned(),
            Self::Container(ContainerError::NameInUse { name, .. }) => format!("choose another --name, or remove that container with `coracle rm {name}`"),
            Self::Container(
                ContainerError::BadConfig { path, .. } | ContainerError::UnknownVersion { path, .. },
            ) => {
                let id = path.parent().and_then(std::path::Path::file_name).unwrap_or_default();
                format!("remove the container with `coracle rm {}`", id.display())
            }
            Self::Listen(error) if error.source.kind() == std::io::ErrorKind::AddrInUse => "choose another host port, or leave it out and have a free one chosen".to_owned(),
            Self::Listen(error) if error.source.kind() == std::io::ErrorKind::PermissionDenied => "ports below 1024 are for root on most systems; choose a higher one".to_owned(),
            Self::Volume(error) => return error.hint(),
            Self::NotRunning { container } => format!("start it with `coracle start {container}`"),
            Self::Paused { container } => format!("let it go on with `coracle unpause {container}`"),
            Self::NoLog { .. } => "it was made with `--log-driver none`".to_owned(),
            Self::Container(ContainerError::Running { .. }) => "stop it first, or use `rm --force`".to_owned(),
            Self::Container(ContainerError::NotFound { .. }) => "list all containers with `coracle ps -a`".to_owned(),
            Self::Store(StoreError::Io { source, .. }) | Self::Layer(LayerError::Io { source, .. }) if source.kind() == std::io::ErrorKind::IsADirectory => "a folder stands where a file belongs; put it right with `coracle system check --repair`".to_owned(),
            Self::Store(
                StoreError::WrongDigest { .. } | StoreError::WrongSize { .. } | StoreError::Missing { .. },
            )
            | Self::Layer(_) => "what is imported must be a tar with a root file system; an image that was whole before is damaged here: pull or build it again".to_owned(),
            Self::Store(StoreError::DamagedIndex { .. }) => "no image is lost; get the names back with `coracle system check --repair`".to_owned(),
            Self::Store(StoreError::Layout { .. }) => "if nothing but Coracle writes there, have it made again with `coracle system check --repair`".to_owned(),
            Self::ListExists { name } => format!("add to it with --amend, or remove it with `coracle rmi {name}`"),
            Self::NothingToCompress { .. } => "leave out --compression, or say --to image".to_owned(),
            Self::Lossy { .. } => "if that may go, use `coracle convert --force`".to_owned(),
            Self::NoList { .. } => "make an index with `coracle manifest create`".to_owned(),
            Self::NotInList { name, .. } => format!("see its entries with `coracle manifest inspect {name}`"),
            Self::Change { .. } => "changes are CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME and WORKDIR, each on one line".to_owned(),
            Self::Archive { source, .. } => return source.hint().map(str::to_owned),
            Self::Run(RunError::NoPort { .. }) => "publish one, such as `-p 8080:80`; which port of the container it is called makes no difference".to_owned(),
            Self::Run(RunError::MemoryLimit { .. }) => "give it more with --memory".to_owned(),
            Self::Run(RunError::NotACommand { .. }) => "call one of its functions, such as `coracle run --invoke NAME IMAGE 1 2`".to_owned(),
            Self::Backend(error) => return error.hint(),
            #[cfg(target_os = "linux")]
            Self::Spec(super::native::SpecError::Unmapped { .. }) => "without root's rights a container has one user, its root: run it with `--user 0`, or as root".to_owned(),
            Self::Build(error) => return error.hint().or_else(|| of_base(error)),
            Self::Registry(error) => return error.hint(),
            _ => return None,
        })
    }
}

fn and_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!("; and {more} more"),
    }
}

/// Returns the hint of our own error that a build passes on, where a base image could not be had.
fn of_base(error: &BuildError) -> Option<String> {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<Error>() {
            return error.hint();
        }
        next = cause.source();
    }
    None
}

/// Says what is wrong with signatures.
fn verdict(count: usize, flaw: Option<&Flaw>) -> String {
    match (count, flaw) {
        (1, Some(flaw)) => format!("has one signature, which is not right: {flaw}"),
        (count, Some(flaw)) => {
            format!("has {count} signatures, of which none is right; of one: {flaw}")
        }
        (_, None) => "has no signature".to_owned(),
    }
}

/// Joins an error and its causes, leaving out a cause that repeats what was said.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}
