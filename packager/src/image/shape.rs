use std::fmt;

use super::{ImageConfig, ImageManifest};
use crate::media_type::{Kind, SPIN_APPLICATION};

/// Label by which Spin marks an application.
pub(super) const SPIN_LABEL: &str = "com.fermyon.spin.lockedAppDigest";

/// In which of the known ways an image holds its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// An ordinary image: a stack of tar layers. Its program may be Wasm or native.
    TarLayers,
    /// An ordinary config with components as layers, as runwasi's tools write it.
    ComponentLayers,
    /// The CNCF's Wasm artifact: one module or component, no file system.
    WasmArtifact,
    /// A Spin application.
    SpinApplication,
    /// A Wasm artifact from before the CNCF's: wasm-to-oci, Krustlet, solo.io.
    OldWasmArtifact,
    /// Its layers are encrypted (containerd's imgcrypt).
    Encrypted,
    /// Something that is no program, such as a signature or a chart.
    OtherArtifact,
}

impl Shape {
    /// Tells the shape by the media types; what `os` says does not count.
    pub(super) fn of(manifest: &ImageManifest, config: &ImageConfig) -> Self {
        let mut layers = manifest
            .layers()
            .iter()
            .map(|layer| layer.media_type().as_ref());
        if layers.clone().any(|layer| layer.ends_with("+encrypted")) {
            return Self::Encrypted;
        }
        match Kind::of(manifest.config().media_type().as_ref()) {
            Kind::WasmConfig => Self::WasmArtifact,
            Kind::OldWasmConfig => Self::OldWasmArtifact,
            Kind::Config => {
                if config.config.labels.contains_key(SPIN_LABEL)
                    || layers.clone().any(|layer| layer == SPIN_APPLICATION)
                {
                    return Self::SpinApplication;
                }
                let mut kinds = layers.map(Kind::of);
                match kinds.find(|kind| !matches!(kind, Kind::TarLayer(..))) {
                    None => Self::TarLayers,
                    Some(Kind::ComponentLayer | Kind::WasmLayer) => Self::ComponentLayers,
                    Some(Kind::ContentLayer) => Self::OldWasmArtifact,
                    Some(_) => Self::OtherArtifact,
                }
            }
            _ => {
                if layers.any(|layer| Kind::of(layer) == Kind::ContentLayer) {
                    Self::OldWasmArtifact
                } else {
                    Self::OtherArtifact
                }
            }
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TarLayers => "an image with tar layers",
            Self::ComponentLayers => "an image with Wasm components as layers (runwasi)",
            Self::WasmArtifact => "a CNCF Wasm artifact (application/vnd.wasm.config.v0+json)",
            Self::SpinApplication => "a Spin application",
            Self::OldWasmArtifact => "an old Wasm artifact (wasm-to-oci, Krustlet or solo.io)",
            Self::Encrypted => "encrypted: only who has its key can read its layers",
            Self::OtherArtifact => "an artifact and not a program",
        })
    }
}
