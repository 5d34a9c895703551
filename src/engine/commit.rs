//! An image of a container: its image with one more layer, which is what the container has changed.

use std::io::Read;

use coracle_packager::build::append;
use coracle_packager::digest::Digest;
use coracle_packager::image::{Descriptor, Empty, History, Image, ImageConfig};
use coracle_packager::layer::{Attributes, LayerWriter};
use coracle_packager::reference::Reference;
use coracle_runtime::container::{Container, ContainerConfig, State};
use coracle_runtime::vfs::{FileKind, GuestFs, Node, OpenOptions, Stat};

use super::changes::{ChangeKind, Changes};
use super::export::Content;
use super::import::check_changes;
use super::{Engine, Error, is_paused, now};

/// What to make of a container.
#[derive(Clone, Debug, Default)]
pub struct CommitContainer {
    /// The image's name, if it gets one.
    pub name: Option<Reference>,
    /// Dockerfile instructions that change no file.
    pub changes: Vec<String>,
    /// For the history.
    pub message: String,
    /// Who made it.
    pub author: String,
    /// Is the container halted meanwhile?
    pub pause: bool,
}

/// An image that was made of a container.
#[derive(Debug)]
pub struct CommittedImage {
    /// The image.
    pub image: Image,
    /// Paths that no layer can hold, with the reason: they are left out.
    pub left: Vec<String>,
}

impl Engine {
    /// Makes an image of a container: its image's layers, and one more with what it has changed. What is mounted is no part of it.
    ///
    /// # Errors
    ///
    /// If there is no such container, its image is gone, damaged or no image of layers, a change is none, or something cannot
    /// be written. Then nothing is kept.
    pub fn commit(&self, text: &str, request: &CommitContainer) -> Result<CommittedImage, Error> {
        check_changes(&request.changes)?;
        let container = self.find_container(text)?.container;
        let state = container.state()?;
        let halts = request.pause && matches!(state, State::Running { .. }) && !is_paused(&state);
        if halts {
            self.pause(&container)?;
        }
        let committed = self.commit_once(&container, request);
        if halts && let Err(error) = self.unpause(&container) {
            // It may have ended or been let go meanwhile. Halted it must not stay.
            if !matches!(error, Error::NotRunning { .. } | Error::NotPaused { .. }) {
                return Err(error);
            }
        }
        let collected = self.collect_garbage();
        let committed = committed?;
        collected?;
        Ok(committed)
    }

    fn commit_once(
        &self,
        container: &Container,
        request: &CommitContainer,
    ) -> Result<CommittedImage, Error> {
        let _leases = (self.store.lease()?, self.layers.lease()?);
        let base = self.open_manifest(&Digest::parse(&container.config.manifest)?)?;
        let changes = self.changes_of(container)?;
        let mut left = Vec::new();
        let layer = layer_of(&changes, container, &mut left)?;
        let layer = match layer.is_empty() {
            true => None,
            false => Some(layer.finish(&self.layers, &self.store)?),
        };
        let created = jiff::Timestamp::from_second(now()).unwrap_or_default();
        let mut config = config_of(&base.config, &container.config);
        config.created = Some(created.to_string());
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        config.author = some(&request.author).or(config.author);
        config.history.push(History {
            created: config.created.clone(),
            created_by: Some(container.config.args.join(" ")),
            author: some(&request.author),
            comment: some(&request.message),
            empty_layer: layer.is_none(),
            ..History::default()
        });
        let (mut descriptor, mut image): (Descriptor, Image) =
            append(&self.store, &self.layers, &base, layer, config)?;
        if !request.changes.is_empty() {
            let platform = image.platform();
            (descriptor, image) = self.change(image, &request.changes, now(), &platform)?;
        }
        // What is wrong with its program is told when it is run.
        drop(self.make_ready(&image)?);
        match &request.name {
            Some(name) => self.store.set_name(name, &descriptor, now())?,
            None => self.store.keep_unnamed(&descriptor, now())?,
        }
        Ok(CommittedImage { image, left })
    }
}

/// Collects what a container has changed. Files are read when the layer is written.
fn layer_of<'a>(
    changes: &'a Changes,
    container: &Container,
    left: &mut Vec<String>,
) -> Result<LayerWriter<'a>, Error> {
    let mut layer = LayerWriter::new();
    for (path, kind) in changes.differences(container)? {
        if kind == ChangeKind::Deleted {
            layer.add_whiteout(&path, now())?;
            continue;
        }
        // One that is gone meanwhile is not there.
        let Ok(stat) = changes.merged.root().stat_at(&path, false) else {
            continue;
        };
        let attributes = Attributes {
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            mtime: stat.mtime.sec,
            ..Attributes::default()
        };
        match stat.kind {
            FileKind::Directory => layer.add_dir(&path, &attributes)?,
            FileKind::Symlink => {
                if let Ok(target) = changes.merged.root().read_link(&path) {
                    layer.add_symlink(&path, &attributes, &target)?;
                }
            }
            FileKind::File => {
                let (merged, from, size) = (&changes.merged, path.clone(), stat.size);
                let open = Box::new(move || open(merged, &from, &stat));
                layer.add_file(&path, &attributes, size, open)?;
            }
            FileKind::CharDevice | FileKind::BlockDevice | FileKind::Fifo | FileKind::Socket => {
                let path = String::from_utf8_lossy(&path);
                left.push(format!("/{path}: neither a file, a directory nor a link"));
            }
        }
    }
    Ok(layer)
}

/// Opens a file with the size that was said: it may be longer or shorter by now, if the container runs.
fn open<'a>(fs: &'a GuestFs, path: &[u8], stat: &Stat) -> std::io::Result<Box<dyn Read + 'a>> {
    let options = OpenOptions {
        read: true,
        ..OpenOptions::default()
    };
    match fs.root().open(path, &options) {
        Ok(Node::File(file)) => Ok(Box::new(Content::new(file, stat.size))),
        Ok(Node::Directory(_)) => Err(std::io::ErrorKind::IsADirectory.into()),
        Err(error) => Err(std::io::Error::other(error.to_string())),
    }
}

/// Returns the image's config with what the container was given.
fn config_of(image: &ImageConfig, container: &ContainerConfig) -> ImageConfig {
    let mut config = image.clone();
    let own = &mut config.config;
    own.env = (!container.env.is_empty()).then(|| container.env.clone());
    own.working_dir = Some(container.cwd.clone());
    own.labels = container.labels.clone();
    // A call of a function is nothing that an image starts with.
    if container.invoke.is_none() {
        let entrypoint = own.entrypoint.clone().unwrap_or_default();
        let rest = container.args.strip_prefix(entrypoint.as_slice());
        let cmd = match rest {
            Some(rest) => rest.to_vec(),
            None => {
                own.entrypoint = None;
                container.args.clone()
            }
        };
        own.cmd = (!cmd.is_empty()).then_some(cmd);
    }
    if container.stop_signal.is_some() {
        own.stop_signal.clone_from(&container.stop_signal);
    }
    for port in &container.ports {
        let name = format!("{}/{}", port.guest, port.protocol);
        own.exposed_ports.insert(name, Empty {});
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(args: &[&str]) -> ContainerConfig {
        let json = serde_json::json!({
            "version": 1, "id": "ab".repeat(32), "name": "one", "created": 0, "auto_remove": false, "image": "i", "manifest": "m",
            "image_id": "d", "args": args, "env": ["A=1"], "cwd": "/w", "mounts": [], "open_stdin": false, "read_only": false,
            "labels": { "l": "v" },
        });
        serde_json::from_value(json).expect("a container")
    }

    #[test]
    fn what_the_container_was_given_is_the_images() {
        let image =
            ImageConfig::parse(br#"{"config":{"Entrypoint":["/e"],"Cmd":["c"],"User":"u"}}"#)
                .expect("a config");
        let list = |list: &[&str]| {
            Some(
                list.iter()
                    .map(|text| (*text).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        for (args, entrypoint, cmd) in [
            (&["/e", "c"][..], list(&["/e"]), list(&["c"])),
            (&["/e", "other"], list(&["/e"]), list(&["other"])),
            (&["/e"], list(&["/e"]), None),
            (&["/x", "y"], None, list(&["/x", "y"])),
        ] {
            let made = config_of(&image, &container(args)).config;
            assert_eq!((made.entrypoint, made.cmd), (entrypoint, cmd), "{args:?}");
            assert_eq!(made.env, list(&["A=1"]));
            assert_eq!(made.working_dir.as_deref(), Some("/w"));
            assert_eq!(
                (made.user.as_deref(), made.labels["l"].as_str()),
                (Some("u"), "v")
            );
        }
    }
}
