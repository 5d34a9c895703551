//! Images whose program is a layer by itself: what their root file system would be.
//!
//! | shape | the program lies at |
//! |---|---|
//! | runwasi's component layer | the path that the config's entrypoint names |
//! | CNCF Wasm artifact, wasm-to-oci, Krustlet, solo.io | `/app.wasm` |
//! | Spin application of one component | `/app.wasm`, its files at their paths |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{ArtifactError, Descriptor, Image, ImageError, Shape, checked_digest, descriptor};
use crate::digest::Digest;
use crate::media_type::{Kind, OCI_CONFIG, OCI_LAYER, SPIN_APPLICATION};

/// Where a program lies whose image names no path.
pub const PROGRAM: &str = "/app.wasm";

/// Files of a Spin application. Its own tool makes archives of more than some hundred.
const MAX_FILES: usize = 10_000;

/// What the root file system of an artifact holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// The files, by their paths.
    pub files: Vec<RootFile>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFile {
    /// Its path; a stranger's.
    pub path: String,
    /// What it holds.
    pub content: Content,
}

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A blob, with its size in bytes.
    Blob(Digest, u64),
    /// Some bytes.
    Bytes(Vec<u8>),
}

/// Returns the layer that describes a Spin application.
pub fn lock_file(image: &Image) -> Option<&Descriptor> {
    let mut layers = image.manifest.layers().iter();
    layers.find(|layer| layer.media_type().as_ref() == SPIN_APPLICATION)
}

/// Returns the root file system of an image that has no layers of files. `lock` is the content of [`lock_file`].
///
/// # Errors
///
/// [`ArtifactError`] says why there is none.
pub fn root(image: &Image, lock: Option<&[u8]>) -> Result<Root, ArtifactError> {
    let shape = image.shape();
    let refused = |problem: &str| ArtifactError::NotRunnable {
        shape,
        problem: problem.to_owned(),
    };
    match shape {
        Shape::ComponentLayers | Shape::WasmArtifact | Shape::OldWasmArtifact => {
            one_program(image, shape)
        }
        Shape::SpinApplication => spin(image, lock.unwrap_or_default()),
        Shape::TarLayers => Err(refused("it has layers of files")),
        Shape::Encrypted => Err(refused(
            "decrypt it first, with skopeo copy --decryption-key",
        )),
        Shape::OtherArtifact => Err(refused("it holds no program")),
    }
}

/// Returns the image as it would be if its root file system were a layer with this diff ID.
pub fn with_layer(image: &Image, diff_id: &Digest, entrypoint: &[String]) -> Image {
    let mut made = image.clone();
    let defaults = &mut made.config.config;
    if defaults.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        defaults.entrypoint = Some(entrypoint.to_vec());
    }
    made.config.rootfs.diff_ids = vec![diff_id.clone()];
    made.manifest
        .set_layers(vec![descriptor(OCI_LAYER, diff_id, 0)]);
    let mut config = made.manifest.config().clone();
    config.set_media_type(OCI_CONFIG.into());
    made.manifest.set_config(config);
    // What marks a Spin application would make it one again.
    made.config.config.labels.remove(super::shape::SPIN_LABEL);
    made
}

fn one_program(image: &Image, shape: Shape) -> Result<Root, ArtifactError> {
    let refused = |problem: String| ArtifactError::NotRunnable { shape, problem };
    let programs: Vec<&Descriptor> = image
        .manifest
        .layers()
        .iter()
        .filter(|layer| {
            let kind = Kind::of(layer.media_type().as_ref());
            matches!(
                kind,
                Kind::WasmLayer | Kind::ComponentLayer | Kind::ContentLayer
            )
        })
        .collect();
    let [program] = programs[..] else {
        let count = programs.len();
        return Err(refused(format!("it has {count} programs, want one")));
    };
    let others = image.manifest.layers().len() - 1;
    if others > 0 {
        return Err(refused(format!(
            "it has {others} layers beside its program"
        )));
    }
    let defaults = &image.config.config;
    let entrypoint = defaults.entrypoint.clone().filter(|list| !list.is_empty());
    // runwasi knows no CMD in place of an entrypoint, but Docker does.
    let named = entrypoint.as_ref().or(defaults.cmd.as_ref());
    let path = named
        .and_then(|list| list.first())
        .filter(|path| !path.is_empty())
        .map_or_else(|| PROGRAM.to_owned(), |path| absolute(path));
    let digest = checked_digest(program, || "the program".to_owned());
    let digest = digest.map_err(|error: ImageError| refused(error.to_string()))?;
    Ok(Root {
        entrypoint: entrypoint.unwrap_or_else(|| vec![path.clone()]),
        files: vec![RootFile {
            path,
            content: Content::Blob(digest, program.size()),
        }],
    })
}

fn absolute(path: &str) -> String {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    format!("/{path}")
}

/// A Spin lock file, as far as it matters here.
#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    source: ContentRef,
    #[serde(default)]
    files: Vec<File>,
    #[serde(default)]
    env: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    dependencies: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct File {
    content: ContentRef,
    path: String,
}

#[derive(Deserialize)]
struct ContentRef {
    digest: Option<String>,
    /// Base64.
    inline: Option<String>,
}

fn spin(image: &Image, lock: &[u8]) -> Result<Root, ArtifactError> {
    let shape = Shape::SpinApplication;
    let refused = |problem: String| ArtifactError::NotRunnable { shape, problem };
    let lock: Lock = serde_json::from_slice(lock)
        .map_err(|error| refused(format!("its lock file cannot be read: {error}")))?;
    let [component] = &lock.components[..] else {
        let count = lock.components.len();
        return Err(refused(format!("it has {count} components, want one")));
    };
    if !component.dependencies.is_empty() {
        return Err(refused("its component has dependencies".to_owned()));
    }
    if !component.env.is_empty() {
        return Err(refused("its component has variables of its own".to_owned()));
    }
    if component.files.len() > MAX_FILES {
        return Err(refused(format!("it has more than {MAX_FILES} files")));
    }
    let content = |from: &ContentRef, what: &str| {
        content(image, from).ok_or_else(|| {
            let what = crate::digest::shown(what);
            refused(format!("{what} is not among its layers"))
        })
    };
    let mut files = vec![RootFile {
        path: PROGRAM.to_owned(),
        content: content(&component.source, "its program")?,
    }];
    for file in &component.files {
        files.push(RootFile {
            path: file.path.clone(),
            content: content(&file.content, &file.path)?,
        });
    }
    Ok(Root {
        entrypoint: vec![PROGRAM.to_owned()],
        files,
    })
}

fn content(image: &Image, from: &ContentRef) -> Option<Content> {
    if let Some(inline) = &from.inline {
        return STANDARD.decode(inline).ok().map(Content::Bytes);
    }
    let digest = Digest::parse(from.digest.as_deref()?).ok()?;
    let layers = image.manifest.layers();
    let layer = layers.iter().find(|layer| {
        Digest::of(layer).as_ref() == Ok(&digest)
            && !matches!(Kind::of(layer.media_type().as_ref()), Kind::TarLayer(..))
    })?;
    Some(Content::Blob(digest, layer.size()))
}
