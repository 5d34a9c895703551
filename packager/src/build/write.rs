//! From planned entries to a layer in the store.

use std::fs::File;
use std::io::Read;

use super::copy::{Content, Entries};
use super::run::{RunChange, RunChangeKind};
use crate::digest::Digest;
use crate::layer::{Attributes, LayerError, LayerStore, LayerWriter, WrittenLayer};
use crate::store::Store;

/// Writes the layer of a step. Every entry gets the same time.
pub(super) fn layer(
    entries: &Entries<'_>,
    mtime: i64,
    store: &Store,
    layers: &LayerStore,
) -> Result<WrittenLayer, LayerError> {
    collect(entries, mtime)?.finish(layers, store)
}

/// Writes only the packed form, for files that are to be mounted.
pub(super) fn packed(
    entries: &Entries<'_>,
    mtime: i64,
    layers: &LayerStore,
) -> Result<Digest, LayerError> {
    collect(entries, mtime)?.finish_packed(layers)
}

fn collect<'e>(entries: &'e Entries<'_>, mtime: i64) -> Result<LayerWriter<'e>, LayerError> {
    let mut writer = LayerWriter::new();
    for (path, entry) in entries {
        let attributes = Attributes {
            mode: entry.mode,
            uid: entry.owner.0,
            gid: entry.owner.1,
            mtime,
            xattrs: entry.xattrs.clone(),
        };
        match &entry.content {
            Content::Directory => writer.add_dir(path, &attributes)?,
            Content::Symlink(target) => writer.add_symlink(path, &attributes, target)?,
            Content::File { place, size } => {
                writer.add_file(path, &attributes, *size, Box::new(|| place.open()))?;
            }
        }
    }
    Ok(writer)
}

/// Writes what a program changed. What it made gets the time of the build; what is older, such as what it unpacked, keeps its
/// own, so that the same program gives the same layer on any day.
pub(super) fn changes(
    changes: &[RunChange],
    times: Times,
    store: &Store,
    layers: &LayerStore,
) -> Result<WrittenLayer, LayerError> {
    let mut writer = LayerWriter::new();
    for change in changes {
        let path = &change.path;
        let attributes = Attributes {
            mode: change.mode,
            uid: change.owner.0,
            gid: change.owner.1,
            mtime: match change.mtime < times.started {
                true => change.mtime,
                false => times.source_date,
            },
            xattrs: change.xattrs.clone(),
        };
        match &change.kind {
            RunChangeKind::Removed => writer.add_whiteout(path, times.source_date)?,
            RunChangeKind::Directory { opaque } => {
                writer.add_dir(path, &attributes)?;
                if *opaque {
                    writer.add_opaque(path, times.source_date)?;
                }
            }
            RunChangeKind::Symlink(target) => writer.add_symlink(path, &attributes, target)?,
            RunChangeKind::HardLink(target) => writer.add_hard_link(path, &attributes, target)?,
            RunChangeKind::File { content, size } => {
                let open = move || Ok(Box::new(File::open(content)?) as Box<dyn Read>);
                writer.add_file(path, &attributes, *size, Box::new(open))?;
            }
        }
    }
    writer.finish(layers, store)
}

/// The times of a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// What files get that the build makes, seconds since 1970.
    pub(super) source_date: i64,
    /// When the build began, seconds since 1970.
    pub(super) started: i64,
}
