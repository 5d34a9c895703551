//! Images to and from files and folders.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use coracle_packager::archive::{self, ArchiveError, Folder, Form, Input, Saved, Tar};
use coracle_packager::digest::Digest;
use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;

use super::replace::Replace;
use super::{Engine, Error, now};

/// In which form images are saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveForm {
    /// A tar that Docker and OCI tools both read; images that Docker cannot express are for OCI tools only.
    #[default]
    Common,
    /// The same, and what Docker cannot express is refused.
    DockerArchive,
    /// A tar of an OCI layout.
    OciArchive,
    /// An OCI layout in a folder.
    OciFolder,
}

/// Where images are saved to.
pub enum SaveTo<'a> {
    /// A file, which appears when it is whole; a folder for [`ArchiveForm::OciFolder`].
    Path(&'a Path),
    /// A stream, which no folder can go to.
    Stream(&'a mut dyn Write),
}

/// An image that was loaded.
#[derive(Debug)]
pub struct LoadedImage {
    /// Its names now.
    pub names: Vec<Reference>,
    /// Its ID.
    pub id: Digest,
    /// Why its default program could not be compiled; another one may be chosen at `run`.
    pub not_runnable: Option<Error>,
}

impl Engine {
    /// Saves images with their names: whole indexes, as far as they are here, or the entry for one platform.
    ///
    /// # Errors
    ///
    /// As [`Engine::find_image`], or what the archive says. A file or folder that is not whole is removed.
    pub fn save(
        &self,
        images: &[String],
        form: ArchiveForm,
        platform: Option<&Platform>,
        to: SaveTo<'_>,
    ) -> Result<(), Error> {
        let _lease = self.store.lease()?;
        let mut saved: Vec<Saved> = Vec::new();
        for text in images {
            self.add_saved(&mut saved, text, platform)?;
        }
        let lists = match form {
            ArchiveForm::Common => Form::Both,
            ArchiveForm::DockerArchive => Form::Docker,
            ArchiveForm::OciArchive | ArchiveForm::OciFolder => Form::Oci,
        };
        match (to, form) {
            (SaveTo::Path(path), ArchiveForm::OciFolder) => self.save_folder(path, &saved),
            (SaveTo::Path(path), _) => {
                let mut file = Replace::create(path)?;
                self.save_tar(&mut file.file, &path.display().to_string(), &saved, lists)?;
                file.finish()
            }
            (SaveTo::Stream(stream), _) => self.save_tar(stream, "standard output", &saved, lists),
        }
    }

    fn save_tar(
        &self,
        stream: &mut dyn Write,
        name: &str,
        saved: &[Saved],
        lists: Form,
    ) -> Result<(), Error> {
        let failed = failed(name);
        let mut tar = Tar::new(BufWriter::with_capacity(256 << 10, stream));
        archive::save(&self.store, saved, lists, &mut tar).map_err(&failed)?;
        tar.finish().map(drop).map_err(|source| Error::File {
            doing: "writing",
            path: PathBuf::from(name),
            source,
        })
    }

    fn save_folder(&self, path: &Path, saved: &[Saved]) -> Result<(), Error> {
        let is_new = !path.exists();
        let failed_file = |doing| {
            move |source| Error::File {
                doing,
                path: path.to_owned(),
                source,
            }
        };
        if is_new {
            fs::create_dir(path).map_err(failed_file("creating"))?;
        }
        let failed = failed(&path.display().to_string());
        let dir =
            Dir::open_ambient_dir(path, ambient_authority()).map_err(failed_file("opening"))?;
        let mut folder = Folder::new(dir).map_err(&failed)?;
        let result = archive::save(&self.store, saved, Form::Oci, &mut folder).map_err(&failed);
        if result.is_err() && is_new {
            fs::remove_dir_all(path).map_err(failed_file("removing"))?;
        }
        result
    }

    /// Adds an image as the user named it: a name saves that name, an ID the image without one.
    fn add_saved(
        &self,
        saved: &mut Vec<Saved>,
        text: &str,
        platform: Option<&Platform>,
    ) -> Result<(), Error> {
        let found = self.find_image(text)?;
        let image = match self.open_image(&found.descriptor, platform) {
            Ok(image) => Some(image),
            // A whole index can be saved wherever it may run.
            Err(error) if platform.is_none() && error.is_no_match() => None,
            Err(error) => return Err(error),
        };
        let descriptor = match (platform, &image) {
            (Some(_), Some(image)) => image.descriptor.clone(),
            _ => found.descriptor,
        };
        let typed = Reference::parse(text).ok().map(Reference::or_latest);
        let name = found.name.filter(|name| Some(name) == typed.as_ref());
        let same = saved
            .iter_mut()
            .find(|other| other.descriptor.digest() == descriptor.digest());
        match same {
            Some(other) => other
                .names
                .extend(name.filter(|name| !other.names.contains(name))),
            None => saved.push(Saved {
                descriptor,
                names: name.into_iter().collect(),
                image,
            }),
        }
        Ok(())
    }

    /// Loads all images of an OCI layout, OCI archive or Docker archive, compiles their programs, and only then gives them
    /// their names.
    ///
    /// # Errors
    ///
    /// What is wrong with the archive, or any image of it. Then none has a name, and what was read is gone.
    pub fn load_file(&self, path: &Path) -> Result<Vec<LoadedImage>, Error> {
        let failed = |source| Error::File {
            doing: "opening",
            path: path.to_owned(),
            source,
        };
        let input = if path.is_dir() {
            let dir = Dir::open_ambient_dir(path, ambient_authority());
            Input::Folder(dir.map_err(failed)?)
        } else {
            Input::Archive(Box::new(File::open(path).map_err(failed)?))
        };
        self.load(input, &path.display().to_string())
    }

    /// As [`Engine::load_file`], from a stream.
    ///
    /// # Errors
    ///
    /// As [`Engine::load_file`].
    pub fn load_stream(&self, stream: impl Read) -> Result<Vec<LoadedImage>, Error> {
        self.load(Input::Archive(Box::new(stream)), "standard input")
    }

    fn load(&self, input: Input<'_>, name: &str) -> Result<Vec<LoadedImage>, Error> {
        let loaded = self.load_once(input, name);
        // What a load that failed has brought, or images that have lost their names to these.
        let collected = self.collect_garbage();
        let loaded = loaded?;
        collected?;
        Ok(loaded)
    }

    fn load_once(&self, input: Input<'_>, name: &str) -> Result<Vec<LoadedImage>, Error> {
        let _leases = (self.store.lease()?, self.layers.lease()?);
        let images = archive::load(&self.store, input).map_err(failed(name))?;
        let mut loaded = Vec::new();
        for image in &images {
            let (id, not_runnable) = self.check_loaded(&image.descriptor)?;
            loaded.push(LoadedImage {
                names: image.names.clone(),
                id,
                not_runnable,
            });
        }
        let now = now();
        for image in &images {
            for name in &image.names {
                self.store.set_name(name, &image.descriptor, now)?;
            }
            if image.names.is_empty() {
                self.store.keep_unnamed(&image.descriptor, now)?;
            }
        }
        Ok(loaded)
    }

    /// Reads the entry for this host and compiles its program. An image for other hosts only is kept as well.
    fn check_loaded(
        &self,
        descriptor: &coracle_packager::image::Descriptor,
    ) -> Result<(Digest, Option<Error>), Error> {
        match self.open_image(descriptor, None) {
            Ok(image) => {
                let not_runnable = self.make_ready(&image)?;
                Ok((image.config_digest, not_runnable))
            }
            Err(error) if error.is_no_match() => Ok((Digest::of(descriptor)?, Some(error))),
            Err(error) => Err(error),
        }
    }
}

/// Names what was saved or loaded in an error.
fn failed(name: &str) -> impl Fn(ArchiveError) -> Error + use<> {
    let path = name.to_owned();
    move |source| Error::Archive {
        path: path.clone(),
        source: Box::new(source),
    }
}
