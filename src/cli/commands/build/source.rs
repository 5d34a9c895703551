//! Where the Dockerfile and its context come from.

use std::io::Read;
use std::path::Path;

use cap_std::fs::Dir;

use super::super::super::error::Failure;
use crate::engine::{Engine, UnpackedContext, open_context};

/// Largest Dockerfile that is read, in bytes; the packager refuses it long before.
const LARGEST_DOCKERFILE: u64 = 16 << 20;

/// What is built.
pub(super) struct Source {
    pub(super) context: Dir,
    pub(super) dockerfile: String,
    /// What messages call it.
    pub(super) name: String,
    /// The folder that an archive was unpacked to, which goes with this.
    pub(super) unpacked: Option<UnpackedContext>,
}

/// Opens a folder, or what standard input holds: with `-` as the context a Dockerfile or a tar archive, with `--file -` a
/// Dockerfile.
pub(super) fn open(
    engine: &Engine,
    context: &Path,
    file: Option<&Path>,
) -> Result<Source, Failure> {
    let stdin = Path::new("-");
    if context == stdin {
        if file == Some(stdin) {
            return Err(Failure::usage(
                "standard input cannot be both the Dockerfile and the context",
            ));
        }
        return from_stdin(engine, file);
    }
    let dir = open_context(context)?;
    if file == Some(stdin) {
        let dockerfile = text(std::io::stdin().lock(), "standard input")?;
        return Ok(Source {
            context: dir,
            dockerfile,
            name: "Dockerfile".to_owned(),
            unpacked: None,
        });
    }
    let file = match file {
        Some(file) => file.to_owned(),
        None => default_file(context),
    };
    Ok(Source {
        context: dir,
        dockerfile: read_dockerfile(&file)?,
        // Inside the folder, its name there finds the ignore file that belongs to it.
        name: file
            .strip_prefix(context)
            .unwrap_or(&file)
            .display()
            .to_string(),
        unpacked: None,
    })
}

/// Podman's name is taken where Docker's is not there.
fn default_file(context: &Path) -> std::path::PathBuf {
    let docker = context.join("Dockerfile");
    let podman = context.join("Containerfile");
    if !docker.exists() && podman.exists() {
        podman
    } else {
        docker
    }
}

fn from_stdin(engine: &Engine, file: Option<&Path>) -> Result<Source, Failure> {
    let mut head = Vec::new();
    let mut stdin = std::io::stdin().lock();
    stdin
        .by_ref()
        .take(512)
        .read_to_end(&mut head)
        .map_err(|source| Failure::Io {
            doing: "reading standard input".to_owned(),
            source,
        })?;
    let is_archive = head.get(257..262) == Some(b"ustar")
        || head.starts_with(b"\x1f\x8b")
        || head.starts_with(b"\x28\xb5\x2f\xfd");
    let all = std::io::Cursor::new(head).chain(stdin);
    if !is_archive {
        let empty = UnpackedContext::new(engine, &mut std::io::empty())?;
        return Ok(Source {
            context: empty.open()?,
            dockerfile: text(all, "standard input")?,
            name: "Dockerfile".to_owned(),
            unpacked: Some(empty),
        });
    }
    let unpacked = UnpackedContext::new(engine, &mut { all })?;
    let context = unpacked.open()?;
    let name = file.unwrap_or(Path::new("Dockerfile"));
    let doing = || format!("reading {} of the context", name.display());
    let failed = |source| Failure::Io {
        doing: doing(),
        source,
    };
    let opened = context.open(name).map_err(failed)?;
    let dockerfile = text(opened, &doing())?;
    Ok(Source {
        dockerfile,
        name: name.display().to_string(),
        context,
        unpacked: Some(unpacked),
    })
}

fn text(reader: impl Read, what: &str) -> Result<String, Failure> {
    let mut text = String::new();
    reader
        .take(LARGEST_DOCKERFILE)
        .read_to_string(&mut text)
        .map_err(|source| Failure::Io {
            doing: format!("reading {what}"),
            source,
        })?;
    Ok(text)
}

fn read_dockerfile(path: &Path) -> Result<String, Failure> {
    let doing = || format!("reading {}", path.display());
    let file = std::fs::File::open(path).map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            return Failure::usage(format!("{}: there is no such file", doing()))
                .with_hint("name the Dockerfile with --file");
        }
        Failure::Io {
            doing: doing(),
            source,
        }
    })?;
    text(file, &path.display().to_string())
}
