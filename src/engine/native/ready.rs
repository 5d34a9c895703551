//! What a Linux container is started with: its image's layers as directories, and the image's users.

use std::io::Read;
use std::path::Path;

use cap_std::fs::Dir;
use coracle_packager::image::Image;
use coracle_packager::layer::{TreeForm, Trees};
use coracle_runtime::sys;
use coracle_runtime::vfs::{GuestFs, Node, OpenOptions};

use super::super::{Engine, Error};
use super::user::MAX_FILE_BYTES;

/// What a Linux container is started with.
pub(in super::super) struct Ready {
    /// Its image's layers as directories.
    pub(super) trees: Trees,
    /// The root directory's mode, owner and group, as the image has them.
    pub(super) root: (u32, u32, u32),
    /// `/etc/passwd`.
    pub(super) passwd: Vec<u8>,
    /// `/etc/group`.
    pub(super) group: Vec<u8>,
}

impl Ready {
    /// Sees to it that the image is unpacked, and reads who its users are. A container that exists has its own files as well.
    pub(in super::super) fn new(
        engine: &Engine,
        image: &Image,
        view: &GuestFs,
        upper: Option<(Dir, Dir)>,
    ) -> Result<Self, Error> {
        let trees = engine.trees(image)?;
        let stat = view.root().stat();
        let root = stat.map_or((0o755, 0, 0), |stat| (stat.mode, stat.uid, stat.gid));
        let upper = upper.map(|(upper, _)| upper);
        let read = |path| own(upper.as_ref(), path).unwrap_or_else(|| of_image(view, path));
        Ok(Self {
            trees,
            root,
            passwd: read("etc/passwd"),
            group: read("etc/group"),
        })
    }
}

impl Engine {
    /// Returns an image's layers as directories, and makes those that are not there.
    fn trees(&self, image: &Image) -> Result<Trees, Error> {
        let form = match sys::is_root() {
            true => TreeForm::Root,
            false => TreeForm::Single,
        };
        if let Some(trees) = self.layers.unpacked(image, form)? {
            return Ok(trees);
        }
        let _leases = (self.store.lease()?, self.layers.lease()?);
        Ok(self.layers.unpack(&self.store, image, form)?)
    }
}

/// Reads a file that the container itself has changed, if it has.
fn own(upper: Option<&Dir>, path: &str) -> Option<Vec<u8>> {
    let upper = upper?;
    // A pipe that the container has put there would wait for its other end.
    if !upper.symlink_metadata(Path::new(path)).ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    let file = upper.open(path).ok()?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Reads a file of the image's; an image without it has no users.
fn of_image(view: &GuestFs, path: &str) -> Vec<u8> {
    let options = OpenOptions {
        read: true,
        follow: true,
        ..OpenOptions::default()
    };
    let Ok(Node::File(file)) = view.root().open(path.as_bytes(), &options) else {
        return Vec::new();
    };
    let size = file.stat().map_or(0, |stat| stat.size).min(MAX_FILE_BYTES);
    let mut text = vec![0; usize::try_from(size).unwrap_or_default()];
    let mut length = 0;
    while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, length as u64) {
            Ok(0) | Err(_) => break,
            Ok(count) => length += count,
        }
    }
    text.truncate(length);
    text
}
