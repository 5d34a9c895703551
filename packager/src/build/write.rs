//! From planned entries to a layer in the store.

use std::io::{self, Read};

use super::BuildError;
use super::context::{Context, ContextError};
use super::copy::{Content, Entries};
use super::plan::Step;
use crate::layer::{Attributes, LayerError, LayerStore, LayerWriter, WrittenLayer};
use crate::store::Store;

/// Writes the layer of a step. Every entry gets the same time.
pub(super) fn layer(
    step: &Step,
    entries: &Entries,
    context: &Context<'_>,
    mtime: i64,
    store: &Store,
    layers: &LayerStore,
) -> Result<WrittenLayer, BuildError> {
    write(entries, context, mtime, store, layers).map_err(|source| BuildError::WriteLayer {
        at: step.at.clone(),
        step: step.text.clone(),
        source: Box::new(source),
    })
}

fn write(
    entries: &Entries,
    context: &Context<'_>,
    mtime: i64,
    store: &Store,
    layers: &LayerStore,
) -> Result<WrittenLayer, LayerError> {
    let mut writer = LayerWriter::new();
    for (path, entry) in entries {
        let attributes = Attributes {
            mode: entry.mode,
            uid: entry.owner.0,
            gid: entry.owner.1,
            mtime,
            ..Attributes::default()
        };
        match &entry.content {
            Content::Directory => writer.add_dir(path, &attributes)?,
            Content::Symlink(target) => writer.add_symlink(path, &attributes, target)?,
            Content::File { path: source, size } => {
                let open = move || {
                    let file = context.open_file(source).map_err(reading)?;
                    Ok(Box::new(file) as Box<dyn Read>)
                };
                writer.add_file(path, &attributes, *size, Box::new(open))?;
            }
        }
    }
    writer.finish(layers, store)
}

fn reading(error: ContextError) -> io::Error {
    match error {
        ContextError::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}
