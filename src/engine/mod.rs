//! The engine joins images and containers: it is what every door calls.
//!
//! It prints nothing and reads no environment. A door opens it on a data directory and hands it requests:
//!
//! ```text
//! <root>/images/      an OCI image layout: blobs and names            coracle_packager::store
//! <root>/layers/      the same layers, packed for reading in place    coracle_packager::layer
//! <root>/artifacts/   what was made of images without layers of files     artifact.rs
//! <root>/compiled/    compiled programs                               coracle_runtime::sandbox::wasm
//! <root>/volumes/     folders that outlive containers                 volumes/
//! <root>/containers/ ephemeral/ names/ staging/                             coracle_runtime::container
//! <root>/events/      what has happened                                   coracle_runtime::events
//! ```

mod ahead;
mod archives;
mod artifact;
mod backend;
mod build;
mod changes;
mod check;
mod commit;
mod compile;
mod containers;
mod convert;
mod copy;
pub mod dirs;
mod disk;
mod error;
mod events;
mod export;
mod git;
mod health;
mod history;
mod host_files;
mod images;
mod import;
mod info;
mod lifecycle;
mod link;
mod lower;
mod manifest;
mod monitor;
mod names;
#[cfg_attr(not(target_os = "linux"), path = "native/absent.rs")]
mod native;
mod network;
mod own_folder;
mod policy;
mod probe;
mod prune;
mod referrers;
mod registries;
mod replace;
mod run;
mod sign;
mod spec;
mod stats;
#[cfg(target_os = "linux")]
mod step;
mod trust;
mod update;
mod volumes;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use coracle_packager::layer::LayerStore;
use coracle_packager::platform::Platform;
use coracle_packager::store::Store;
use coracle_runtime::container::ContainerStore;
use coracle_runtime::policy::Limits;
use coracle_runtime::sandbox::wasm::{LoadError, WasmEngine};

pub use archives::{ArchiveForm, LoadedImage, SaveTo};
pub use build::{BuildImage, BuildSecret, BuiltImage, UnpackedContext, open_context};
pub use changes::{ChangeKind, Differences};
pub use check::{CheckReport, Finding, Place, State};
pub use commit::{CommitContainer, CommittedImage};
pub use containers::{ContainerSize, ContainerSummary, RemoveContainer};
pub use convert::{ConvertImage, ConvertedImage, ImageForm};
pub use copy::{CopiedFiles, CopyError, CopyFrom, CopyHow, CopyTo};
pub use disk::{DiskUse, ImageUse, Share};
pub use error::{Error, Kind, with_causes};
pub use export::ExportTo;
pub use health::{HealthRequest, words};
pub use history::HistoryStep;
pub use images::{ImageSummary, InspectedImage, ListedImage, PulledImage, RemovedImage};
pub use import::ImportImage;
pub use info::Census;
pub use lifecycle::{Exec, is_paused};
pub use manifest::EntryChange;
pub use monitor::{Commands, STARTED, Watching};
pub use network::NetworkRequest;
pub use policy::{Explanation, NamedCeiling, PolicyRequest, Requested, request};
pub use prune::{PruneFilter, PruneImages, Pruned};
pub use referrers::{ATTACHED_LIMIT, AttachedFile};
pub use registries::Registries;
pub use run::{Prepared, RunContainer};
pub use sign::{SignImage, SignedManifest, VerifiedImage, VerifyImage};
pub use stats::{ContainerUse, ProcessUse};
pub use trust::TrustFrom;
pub use volumes::{PruneVolumes, Volume, VolumeError, VolumeName, VolumesFrom};

/// One data directory, and what can be done with it.
pub struct Engine {
    root: PathBuf,
    store: Store,
    layers: LayerStore,
    containers: ContainerStore,
    host: Platform,
    wasm: OnceLock<WasmEngine>,
    metered_wasm: OnceLock<WasmEngine>,
    trust: TrustFrom,
}

impl Engine {
    /// Opens the data directory; creates it if it is not there.
    ///
    /// # Errors
    ///
    /// What the file system says, with the path.
    pub fn open(root: &Path) -> Result<Self, Error> {
        // A container's record names its files by absolute path, whatever directory a later command runs in.
        let root = std::path::absolute(root).map_err(|source| Error::File {
            doing: "finding",
            path: root.to_owned(),
            source,
        })?;
        Ok(Self {
            store: Store::open(&root.join("images"))?,
            layers: LayerStore::open(&root.join("layers"))?,
            containers: ContainerStore::new(&root),
            host: Platform::host(),
            wasm: OnceLock::new(),
            metered_wasm: OnceLock::new(),
            trust: TrustFrom::default(),
            root,
        })
    }

    /// Returns the data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the WebAssembly engine, made on first use: most commands need none.
    fn wasm(&self) -> Result<&WasmEngine, Error> {
        made_once(&self.wasm, || WasmEngine::new(&self.compiled()))
    }

    /// Returns the WebAssembly engine for programs that count their instructions.
    fn metered_wasm(&self) -> Result<&WasmEngine, Error> {
        made_once(&self.metered_wasm, || WasmEngine::metered(&self.compiled()))
    }

    /// Returns the engine for a program with these limits.
    fn wasm_for(&self, limits: &Limits) -> Result<&WasmEngine, Error> {
        if limits.fuel.is_some() {
            self.metered_wasm()
        } else {
            self.wasm()
        }
    }

    fn compiled(&self) -> PathBuf {
        self.root.join("compiled")
    }
}

fn made_once(
    place: &OnceLock<WasmEngine>,
    make: impl FnOnce() -> Result<WasmEngine, LoadError>,
) -> Result<&WasmEngine, Error> {
    if let Some(engine) = place.get() {
        return Ok(engine);
    }
    let engine = make()?;
    Ok(place.get_or_init(|| engine))
}

/// Returns the time in seconds since 1970; 0 on a machine whose clock stands before that.
pub fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Returns random bytes from the operating system.
///
/// # Panics
///
/// If the system has no source of random numbers: an id could then be guessed or repeated.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}
