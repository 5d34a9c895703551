//! What a prune prints: Docker's lists, and how much is free now.

use super::super::error::Failure;
use super::super::{ui, units};
use super::printing;
use crate::engine::{Pruned, RemovedImage};

pub(super) fn print(pruned: &Pruned) -> Result<(), Failure> {
    let mut text = String::new();
    if !pruned.containers.is_empty() {
        text += "Deleted Containers:\n";
        for id in &pruned.containers {
            text += &format!("{id}\n");
        }
        text += "\n";
    }
    if !pruned.volumes.is_empty() {
        text += "Deleted Volumes:\n";
        for name in &pruned.volumes {
            text += &format!("{name}\n");
        }
        text += "\n";
    }
    if !pruned.images.is_empty() {
        text += "Deleted Images:\n";
        for image in &pruned.images {
            text += &match image {
                RemovedImage::Untagged(name) => format!("untagged: {}\n", name.familiar()),
                RemovedImage::Deleted(digest) => format!("deleted: {digest}\n"),
            };
        }
        text += "\n";
    }
    text += &format!("Total reclaimed space: {}", units::size(pruned.bytes));
    ui::line(&text).map_err(printing)
}
