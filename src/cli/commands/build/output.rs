//! `--output`: where the result of a build goes beside the store.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use super::super::super::error::Failure;
use crate::engine::{ArchiveForm, BuiltImage, Engine, ExportTo, SaveTo};

/// Where the result goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Nowhere else.
    Image,
    /// The files, to a folder.
    Folder(PathBuf),
    /// The files, as a tar archive. `None` is standard output.
    Tar(Option<PathBuf>),
    /// The image, as an archive.
    Archive(ArchiveForm, Option<PathBuf>),
}

impl Output {
    /// Reads `type=…,dest=…`, a folder, or `-`.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |problem: String| {
            Failure::usage(format!("parsing --output {text:?}: {problem}"))
                .with_hint("write type=local|tar|oci|docker,dest=PATH")
        };
        if text == "-" {
            return Ok(Self::Tar(None));
        }
        if !text.contains('=') {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        let mut kind = None;
        let mut to = None;
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("type", value)) => kind = Some(value.to_owned()),
                Some(("dest" | "destination", value)) => to = Some(value.to_owned()),
                _ => {
                    return Err(wrong(format!("`{field}` is not known")));
                }
            }
        }
        let path = |to: Option<String>| to.filter(|to| to != "-").map(PathBuf::from);
        match kind.as_deref() {
            Some("local") => match path(to) {
                Some(path) => Ok(Self::Folder(path)),
                None => Err(wrong("a folder is needed, as dest=".to_owned())),
            },
            Some("tar") => Ok(Self::Tar(path(to))),
            Some("oci") => Ok(Self::Archive(ArchiveForm::OciArchive, path(to))),
            Some("docker") => Ok(Self::Archive(ArchiveForm::DockerArchive, path(to))),
            Some("image") => Ok(Self::Image),
            Some(other) => Err(wrong(format!("there is no type `{other}`"))),
            None => Err(wrong("it has no type".to_owned())),
        }
    }

    /// Writes the result.
    pub(super) fn write(&self, engine: &Engine, built: &BuiltImage) -> Result<(), Failure> {
        match self {
            Self::Image => Ok(()),
            Self::Folder(path) => Ok(engine.write_files(built, path)?),
            Self::Tar(to) => with(to.as_deref(), |to| {
                let to = match to {
                    SaveTo::Path(path) => ExportTo::File(path),
                    SaveTo::Stream(stream) => ExportTo::Stream(stream),
                };
                Ok(engine.write_tar(built, to)?)
            }),
            Self::Archive(form, to) => with(to.as_deref(), |to| {
                let image = [built.descriptor.digest().to_string()];
                Ok(engine.save(&image, *form, None, to)?)
            }),
        }
    }
}

/// Opens a file, or standard output if that is no terminal.
fn with(
    path: Option<&Path>,
    write: impl FnOnce(SaveTo<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if let Some(path) = path {
        return write(SaveTo::Path(path));
    }
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        return Err(Failure::usage("writing to a terminal would garble it")
            .with_hint("name a file with dest=, or redirect standard output"));
    }
    write(SaveTo::Stream(&mut stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_docker_s() {
        for (text, want) in [
            ("-", Output::Tar(None)),
            ("out", Output::Folder("out".into())),
            ("type=local,dest=x", Output::Folder("x".into())),
            ("type=tar,dest=-", Output::Tar(None)),
            ("type=tar,dest=a.tar", Output::Tar(Some("a.tar".into()))),
            (
                "type=oci,dest=a",
                Output::Archive(ArchiveForm::OciArchive, Some("a".into())),
            ),
            (
                "type=docker",
                Output::Archive(ArchiveForm::DockerArchive, None),
            ),
            ("type=image", Output::Image),
        ] {
            assert_eq!(Output::parse(text).ok(), Some(want), "{text}");
        }
        for text in ["type=local", "type=cacheonly", "dest=x", "type=tar,x=y"] {
            assert!(Output::parse(text).is_err(), "{text}");
        }
    }
}
