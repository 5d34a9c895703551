//! Compares the trees on disk with the layers that they were made of.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::digest::Digest;

use super::super::error::LayerError;
use super::super::format::NodeKind;
use super::super::gc::entries;
use super::super::index::Node;
use super::super::store::LayerStore;
use super::fill::{path_of, same_place};
use super::{FILES, Source, TREES, TreeForm, is_whole, read_record};

/// Bytes that are compared at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// A tree that is not as its layer says. It is made again once it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeDamage {
    /// The tree's directory.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
}

/// What a check of the trees has seen.
#[derive(Clone, Debug, Default)]
pub struct VerifiedTrees {
    /// What is wrong.
    pub damages: Vec<TreeDamage>,
    /// Trees that were read, from the first file to the last.
    pub trees: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

impl LayerStore {
    /// Reads every file of every tree, and compares it with the packed layer. A tree whose packed layer is gone is left alone.
    ///
    /// # Errors
    ///
    /// A directory cannot be listed, or a lock cannot be taken.
    pub fn verify_trees(&self) -> Result<VerifiedTrees, LayerError> {
        let mut verified = VerifiedTrees::default();
        let _lease = self.lease()?;
        for form in TreeForm::ALL {
            for path in entries(&self.root().join(TREES).join(form.directory()))? {
                if !is_whole(&path)? {
                    verified.damages.push(TreeDamage {
                        path,
                        problem: "it is not whole".to_owned(),
                    });
                    continue;
                }
                match self.verify_tree(&path, form) {
                    Ok(Some(bytes)) => {
                        verified.trees += 1;
                        verified.bytes = verified.bytes.saturating_add(bytes);
                    }
                    Ok(None) => {}
                    Err(problem) => verified.damages.push(TreeDamage { path, problem }),
                }
            }
        }
        Ok(verified)
    }

    /// Returns the bytes of a sound tree, and `None` if there is nothing to compare it with.
    fn verify_tree(&self, path: &Path, form: TreeForm) -> Result<Option<u64>, String> {
        let said = |error: LayerError| error.to_string();
        let Some(record) = read_record(path).map_err(said)? else {
            return Err("its record cannot be read".to_owned());
        };
        let parse = |text: &String| Digest::parse(text).map_err(|error| error.to_string());
        let Some(top) = record.diff_id.as_ref().map(parse).transpose()? else {
            return Ok(Some(0));
        };
        let below = record
            .below
            .iter()
            .map(parse)
            .collect::<Result<Vec<_>, _>>()?;
        for layer in below.iter().chain([&top]) {
            if !self.has_layer(layer).map_err(said)? {
                return Ok(None);
            }
        }
        let source = Source::open(self, &top, &below).map_err(said)?;
        let tree = path.join(FILES);
        let mut bytes = 0u64;
        for number in 0..source.index.node_count() {
            let place = path_of(&source.index, number).map_err(|error| error.to_string())?;
            let file = match number {
                0 => tree.clone(),
                _ => tree.join(OsStr::from_bytes(&place)),
            };
            let compared = compare(&source, number, &file, form, record.skipped.devices > 0);
            let len =
                compared.map_err(|problem| format!("{:?} {problem}", OsStr::from_bytes(&place)))?;
            bytes = bytes.saturating_add(len);
        }
        Ok(Some(bytes))
    }
}

/// Compares one file with what the index says of it, and returns its bytes.
fn compare(
    source: &Source,
    number: u32,
    path: &Path,
    form: TreeForm,
    lacks_devices: bool,
) -> Result<u64, String> {
    let said = |error: &dyn std::error::Error| error.to_string();
    let own = source.index.node(number).map_err(|error| said(&error))?;
    let node = match &source.merged {
        Some(merged) if own.implicit => same_place(&source.index, number, merged)
            .and_then(|place| merged.node(place))
            .map_err(|error| said(&error))?,
        _ => own,
    };
    let device = matches!(own.kind, NodeKind::CharDevice | NodeKind::BlockDevice);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(_) if device && lacks_devices => return Ok(0),
        Err(error) => return Err(said(&error)),
    };
    if own.whiteout && own.kind == NodeKind::File {
        let whiteout = found.file_type().is_char_device() && found.rdev() == 0;
        return whiteout
            .then_some(0)
            .ok_or_else(|| "is no whiteout".to_owned());
    }
    if !is_kind(&found, own.kind) {
        return Err("is of another kind".to_owned());
    }
    if form == TreeForm::Root && (found.uid(), found.gid()) != (node.uid, node.gid) {
        return Err(format!("belongs to {}:{}", found.uid(), found.gid()));
    }
    if own.kind == NodeKind::Symlink {
        let target = fs::read_link(path).map_err(|error| said(&error))?;
        let same = target.as_os_str().as_bytes() == own.link;
        return same
            .then_some(0)
            .ok_or_else(|| format!("leads to {}", target.display()));
    }
    if found.mode() & 0o7777 != node.mode {
        return Err(format!("has the mode {:o}", found.mode() & 0o7777));
    }
    match own.kind {
        NodeKind::Directory => same_names(source, number, path).map(|()| 0),
        NodeKind::File => same_content(source, &own, path, &found),
        _ => Ok(0),
    }
}

fn is_kind(found: &Metadata, kind: NodeKind) -> bool {
    let found = found.file_type();
    match kind {
        NodeKind::File => found.is_file(),
        NodeKind::Directory => found.is_dir(),
        NodeKind::Symlink => found.is_symlink(),
        NodeKind::CharDevice => found.is_char_device(),
        NodeKind::BlockDevice => found.is_block_device(),
        NodeKind::Fifo => found.is_fifo(),
    }
}

/// Is there anything in a directory that the layer does not have there?
fn same_names(source: &Source, number: u32, path: &Path) -> Result<(), String> {
    let said = |error: &dyn std::error::Error| error.to_string();
    let mut names = BTreeSet::new();
    for child in source
        .index
        .children(number)
        .map_err(|error| said(&error))?
    {
        let node = source.index.node(child).map_err(|error| said(&error))?;
        names.insert(node.name.to_vec());
    }
    for entry in fs::read_dir(path).map_err(|error| said(&error))? {
        let name = entry.map_err(|error| said(&error))?.file_name();
        if !names.contains(name.as_bytes()) {
            return Err(format!("has {name:?}, which is not the layer's"));
        }
    }
    Ok(())
}

fn same_content(
    source: &Source,
    node: &Node<'_>,
    path: &Path,
    found: &Metadata,
) -> Result<u64, String> {
    if found.len() != node.size {
        return Err(format!("has {} bytes, want {}", found.len(), node.size));
    }
    let reading = |error: io::Error| error.to_string();
    let mut file = File::open(path).map_err(reading)?;
    let (mut got, mut want) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let mut position = 0u64;
    while position < node.size {
        let left = usize::try_from(node.size - position).unwrap_or(BUFFER_BYTES);
        let len = left.min(BUFFER_BYTES);
        let (got, want) = (
            got.get_mut(..len).unwrap_or_default(),
            want.get_mut(..len).unwrap_or_default(),
        );
        file.read_exact(got).map_err(reading)?;
        let offset = node.offset.saturating_add(position);
        source.tar.read_exact_at(want, offset).map_err(reading)?;
        if got != want {
            return Err(format!("has other content from byte {position} on"));
        }
        position += len as u64;
    }
    Ok(node.size)
}
