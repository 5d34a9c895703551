//! Merges the layers of an image into the one tree that a container sees.
//!
//! OCI image specification, layer.md, "Applying Changesets": an upper name replaces a lower one, except that directories are
//! united; whiteouts remove. A directory that the upper layer only implies keeps the owner and mode that the lower layer gave it.

use std::collections::VecDeque;
use std::ops::Range;

use crate::digest::Digest;

use super::encode::{Encoder, Record};
use super::error::IndexError;
use super::format;
use super::format::NodeKind;
use super::index::{Node, TreeIndex};

/// A node of one of the layers.
#[derive(Clone, Copy, Debug)]
struct Place {
    layer: usize,
    node: u32,
}

/// What a name leads to when all layers have been asked.
struct Merged {
    /// Gives the node its kind, metadata and content.
    from: Place,
    /// For a directory: those whose children are united, top first.
    united: Vec<Place>,
}

/// The root of an image without layers.
const EMPTY_ROOT: Record<'static> = Record {
    name: b"",
    kind: NodeKind::Directory,
    flags: format::IMPLICIT,
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime_sec: 0,
    mtime_nsec: 0,
    layer: 0,
    size: 0,
    place: 0,
    link: b"",
    sha256: None,
    xattrs: b"",
    parent: 0,
    share: None,
};

/// A directory of one layer, on the way through its children.
struct Cursor {
    layer: usize,
    rest: Range<u32>,
}

/// Makes the merged index of `layers`, base first.
///
/// Works directory by directory, from the root down, with one cursor for each layer that has the directory: memory is needed for
/// the result and for the directories still to be done, not for the layers.
pub(super) fn merge<B: AsRef<[u8]>>(
    layers: &[TreeIndex<B>],
    diff_ids: &[Digest],
    limit: u32,
) -> Result<Encoder, IndexError> {
    let mut encoder = Encoder::new(diff_ids, limit)?;
    let roots: Vec<Place> = layers
        .iter()
        .enumerate()
        .rev()
        .map(|(layer, index)| Place {
            layer,
            node: index.root(),
        })
        .collect();
    let Some(root) = resolve(layers, &roots)? else {
        encoder.push(&EMPTY_ROOT)?;
        return Ok(encoder);
    };
    let Place { layer, node } = root.from;
    encoder.push(&record(layers[layer].node(node)?, b"", layer, 0))?;
    let mut queue = VecDeque::from([(0, root.united)]);

    let mut same_name = Vec::new();
    while let Some((number, united)) = queue.pop_front() {
        let mut cursors = Vec::with_capacity(united.len());
        for place in united {
            cursors.push(Cursor {
                layer: place.layer,
                rest: layers[place.layer].children(place.node)?,
            });
        }
        let first = encoder.node_count();
        while let Some(name) = next_name(layers, &mut cursors, &mut same_name)? {
            let Some(merged) = resolve(layers, &same_name)? else {
                continue;
            };
            let Place { layer, node } = merged.from;
            let child = encoder.push(&record(layers[layer].node(node)?, name, layer, number))?;
            if !merged.united.is_empty() {
                queue.push_back((child, merged.united));
            }
        }
        encoder.close(number, first);
    }
    Ok(encoder)
}

/// Takes the smallest name that any cursor stands at, with all nodes that have it, top first.
fn next_name<'a, B: AsRef<[u8]>>(
    layers: &'a [TreeIndex<B>],
    cursors: &mut [Cursor],
    same_name: &mut Vec<Place>,
) -> Result<Option<&'a [u8]>, IndexError> {
    let mut smallest: Option<&[u8]> = None;
    for cursor in cursors.iter().filter(|cursor| !cursor.rest.is_empty()) {
        let name = layers[cursor.layer].node(cursor.rest.start)?.name;
        if smallest.is_none_or(|smallest| name < smallest) {
            smallest = Some(name);
        }
    }
    same_name.clear();
    let Some(smallest) = smallest else {
        return Ok(None);
    };
    for cursor in cursors.iter_mut().filter(|cursor| !cursor.rest.is_empty()) {
        let node = cursor.rest.start;
        if layers[cursor.layer].node(node)?.name == smallest {
            same_name.push(Place {
                layer: cursor.layer,
                node,
            });
            cursor.rest.start += 1;
        }
    }
    Ok(Some(smallest))
}

/// Decides what a name leads to, given what the layers that have it say, top first. `None` if it has been removed.
fn resolve<B: AsRef<[u8]>>(
    layers: &[TreeIndex<B>],
    places: &[Place],
) -> Result<Option<Merged>, IndexError> {
    let mut merged: Option<Merged> = None;
    // Has a directory above hidden what lower layers have in it? They may still give it its owner and mode.
    let mut hidden = false;
    // Has the directory been named by an entry?
    let mut explicit = false;
    for place in places {
        let node = layers[place.layer].node(place.node)?;
        if node.kind != NodeKind::Directory {
            if merged.is_none() && !node.whiteout {
                merged = Some(Merged {
                    from: *place,
                    united: Vec::new(),
                });
            }
            break;
        }
        let merged = merged.get_or_insert_with(|| Merged {
            from: *place,
            united: Vec::new(),
        });
        if !node.implicit && !explicit {
            merged.from = *place;
            explicit = true;
        }
        if !hidden {
            merged.united.push(*place);
        }
        hidden |= node.opaque;
        if node.whiteout || hidden && explicit {
            break;
        }
    }
    Ok(merged)
}

fn record<'a>(node: Node<'a>, name: &'a [u8], layer: usize, parent: u32) -> Record<'a> {
    let (major, minor) = node.device;
    let place = match node.kind {
        NodeKind::CharDevice | NodeKind::BlockDevice => u64::from(major) << 32 | u64::from(minor),
        _ => node.offset,
    };
    Record {
        name,
        kind: node.kind,
        flags: match node.implicit {
            true => format::IMPLICIT,
            false => 0,
        },
        mode: node.mode as u16,
        uid: node.uid,
        gid: node.gid,
        mtime_sec: node.mtime_sec,
        mtime_nsec: node.mtime_nsec,
        layer: layer as u32,
        size: node.size,
        place,
        link: node.link,
        sha256: node.sha256,
        xattrs: node.xattrs.as_bytes(),
        parent,
        share: (node.nlink > 1).then(|| (layer as u64) << 32 | u64::from(node.inode)),
    }
}
