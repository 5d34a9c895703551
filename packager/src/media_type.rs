//! Media types: every string that names a kind of blob in an image, in one place.

use std::fmt;

/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI layer: a plain tar.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer: tar, gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI layer: tar, zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// OCI layer that may not be pushed elsewhere (deprecated): a plain tar.
pub const OCI_FOREIGN_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
/// OCI layer that may not be pushed elsewhere (deprecated): tar, gzip.
pub const OCI_FOREIGN_LAYER_GZIP: &str =
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
/// OCI layer that may not be pushed elsewhere (deprecated): tar, zstd.
pub const OCI_FOREIGN_LAYER_ZSTD: &str =
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
/// The empty JSON object `{}`, where a descriptor is needed and there is nothing to describe.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Docker schema 2: list of manifests, Docker's index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker schema 2: manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer: a plain tar.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker layer: tar, gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker layer: tar, zstd.
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/// Docker layer that may not be pushed elsewhere: tar, gzip.
pub const DOCKER_FOREIGN_LAYER_GZIP: &str =
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
/// Docker schema 1 (2015): signed manifest. Refused: its layers have no digests of their contents.
pub const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// Docker schema 1 (2015): unsigned manifest. Refused as the signed one.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";

/// CNCF Wasm artifact: config.
pub const WASM_CONFIG_V0: &str = "application/vnd.wasm.config.v0+json";
/// CNCF Wasm artifact: the module or component itself.
pub const WASM: &str = "application/wasm";
/// runwasi: a component as a layer of an otherwise ordinary image.
pub const WASM_COMPONENT_LAYER: &str =
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm";
/// wasm-to-oci and Krustlet: config.
pub const WASM_CONFIG_V1: &str = "application/vnd.wasm.config.v1+json";
/// wasm-to-oci, Krustlet and Spin: the module or component itself.
pub const WASM_CONTENT_LAYER: &str = "application/vnd.wasm.content.layer.v1+wasm";
/// solo.io, wasme and the old wasmCloud: config.
pub const WASM_MODULE_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";
/// solo.io, wasme and the old wasmCloud: the module itself.
pub const WASM_MODULE_CONTENT_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";
/// Spin: one static file.
pub const SPIN_DATA: &str = "application/vnd.wasm.content.layer.v1+data";
/// Spin: an archive of static files.
pub const SPIN_BUNDLE: &str = "application/vnd.wasm.content.bundle.v1.tar+gzip";
/// Spin: the lock file that describes an application.
pub const SPIN_APPLICATION: &str = "application/vnd.fermyon.spin.application.v1+config";

/// What a request for a manifest accepts, best first.
pub const ACCEPTED_MANIFESTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// How a tar layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// A plain tar.
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878; zstd:chunked as well, whose extra frames are skippable.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// May a layer be pushed to another registry?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Yes.
    Free,
    /// No: it is fetched from the URLs in its descriptor (Windows base layers).
    Restricted,
}

/// What a media type says about a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An index, OCI's or Docker's.
    Index,
    /// A manifest, OCI's or Docker's.
    Manifest,
    /// A manifest of Docker's schema 1.
    Schema1,
    /// An image config, OCI's or Docker's.
    Config,
    /// A config of a Wasm artifact: CNCF's.
    WasmConfig,
    /// A config of an older Wasm artifact.
    OldWasmConfig,
    /// A layer of files.
    TarLayer(Compression, Distribution),
    /// A layer that is one module or component: CNCF's `application/wasm`.
    WasmLayer,
    /// A layer that is one component: runwasi's.
    ComponentLayer,
    /// A layer that is one module or component: Spin's and the older artifacts'.
    ContentLayer,
    /// A file, archive or lock file of a Spin application.
    SpinLayer,
    /// `{}`.
    Empty,
    /// None of those.
    Other,
}

impl Kind {
    /// Classifies a media type. Parameters (`; charset=utf-8`) do not count.
    pub fn of(media_type: &str) -> Self {
        use Compression::{Gzip, None, Zstd};
        use Distribution::{Free, Restricted};

        let plain = media_type.split(';').next().unwrap_or_default().trim();
        match plain {
            OCI_INDEX | DOCKER_LIST => Self::Index,
            OCI_MANIFEST | DOCKER_MANIFEST => Self::Manifest,
            DOCKER_SCHEMA1 | DOCKER_SCHEMA1_SIGNED => Self::Schema1,
            OCI_CONFIG | DOCKER_CONFIG => Self::Config,
            WASM_CONFIG_V0 => Self::WasmConfig,
            WASM_CONFIG_V1 | WASM_MODULE_CONFIG => Self::OldWasmConfig,
            OCI_LAYER | DOCKER_LAYER => Self::TarLayer(None, Free),
            OCI_LAYER_GZIP | DOCKER_LAYER_GZIP => Self::TarLayer(Gzip, Free),
            OCI_LAYER_ZSTD | DOCKER_LAYER_ZSTD => Self::TarLayer(Zstd, Free),
            OCI_FOREIGN_LAYER => Self::TarLayer(None, Restricted),
            OCI_FOREIGN_LAYER_GZIP | DOCKER_FOREIGN_LAYER_GZIP => Self::TarLayer(Gzip, Restricted),
            OCI_FOREIGN_LAYER_ZSTD => Self::TarLayer(Zstd, Restricted),
            WASM => Self::WasmLayer,
            WASM_COMPONENT_LAYER => Self::ComponentLayer,
            WASM_CONTENT_LAYER | WASM_MODULE_CONTENT_LAYER => Self::ContentLayer,
            SPIN_DATA | SPIN_BUNDLE | SPIN_APPLICATION => Self::SpinLayer,
            OCI_EMPTY => Self::Empty,
            _ => Self::Other,
        }
    }

    /// Is it a document that lists other blobs?
    pub const fn is_manifest_or_index(self) -> bool {
        matches!(self, Self::Index | Self::Manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        use Compression::{Gzip, None, Zstd};
        use Distribution::{Free, Restricted};
        for (media_type, kind) in [
            (OCI_INDEX, Kind::Index),
            (DOCKER_LIST, Kind::Index),
            (OCI_MANIFEST, Kind::Manifest),
            (
                "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
                Kind::Manifest,
            ),
            (DOCKER_MANIFEST, Kind::Manifest),
            (DOCKER_SCHEMA1_SIGNED, Kind::Schema1),
            (OCI_CONFIG, Kind::Config),
            (DOCKER_CONFIG, Kind::Config),
            (OCI_LAYER, Kind::TarLayer(None, Free)),
            (DOCKER_LAYER_GZIP, Kind::TarLayer(Gzip, Free)),
            (OCI_LAYER_ZSTD, Kind::TarLayer(Zstd, Free)),
            (DOCKER_LAYER_ZSTD, Kind::TarLayer(Zstd, Free)),
            (DOCKER_FOREIGN_LAYER_GZIP, Kind::TarLayer(Gzip, Restricted)),
            (WASM_CONFIG_V0, Kind::WasmConfig),
            (WASM, Kind::WasmLayer),
            (WASM_COMPONENT_LAYER, Kind::ComponentLayer),
            (WASM_CONTENT_LAYER, Kind::ContentLayer),
            (SPIN_APPLICATION, Kind::SpinLayer),
            (OCI_EMPTY, Kind::Empty),
            ("application/vnd.oci.image.manifest.v1", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(Kind::of(media_type), kind, "{media_type}");
        }
    }
}
