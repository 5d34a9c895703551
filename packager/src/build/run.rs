//! RUN: what a program is run on, and what it changed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Refusal;
use super::plan::RunAction;
use crate::digest::Digest;
use crate::image::Image;
use crate::layer::Rootfs;
use crate::platform::Platform;

/// A RUN that is to be carried out.
#[derive(Debug)]
pub struct RunStep<'a> {
    /// The stage's file system so far.
    pub rootfs: &'a Rootfs,
    /// Its layers, base first.
    pub diff_ids: &'a [Digest],
    /// The stage as an image. Only its layers are in the store.
    pub image: &'a Image,
    /// User and group that the program runs as.
    pub owner: (u32, u32),
    /// That user's home directory.
    pub home: String,
    /// The stage's platform.
    pub platform: &'a Platform,
    /// What to run.
    pub action: &'a RunAction,
    /// Root file systems of stages and images that mounts show, in the order of the mounts; `None` for other mounts.
    pub mounts: &'a [Option<Rootfs>],
}

/// How a RUN went.
pub struct Ran {
    /// The program's exit code.
    pub code: i32,
    /// What it changed, if it went well.
    pub changes: Changes,
}

/// What a program changed in its file system, by path without slashes around it.
#[derive(Default)]
pub struct Changes {
    /// In any order.
    pub list: Vec<RunChange>,
    /// Kept until the changes have been read.
    pub keep: Option<Box<dyn std::any::Any + Send>>,
}

/// One path that a program changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunChange {
    /// Its path in the image.
    pub path: Vec<u8>,
    /// What it is now.
    pub kind: RunChangeKind,
    /// Permission bits with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Time of modification, seconds since 1970.
    pub mtime: i64,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What a changed path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunChangeKind {
    /// It is gone.
    Removed,
    /// A directory. If it is opaque, nothing that was in it is there any more.
    Directory {
        /// Is it?
        opaque: bool,
    },
    /// A file of so many bytes, which are in a file of the host.
    File {
        /// That file.
        content: PathBuf,
        /// Bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// One more name of a file that is among the changes.
    HardLink(Vec<u8>),
}

/// Runs programs for RUN. Several threads may ask at a time.
pub trait StepRunner: Sync {
    /// Runs a program to its end. What it says goes to `output`, with whether it is standard error.
    ///
    /// # Errors
    ///
    /// It cannot be run at all.
    fn run(&self, step: &RunStep<'_>, output: &mut dyn FnMut(bool, &[u8])) -> Result<Ran, Refusal>;
}

/// Runs nothing, and says so.
#[derive(Clone, Copy, Debug)]
pub struct NoRunner;

impl StepRunner for NoRunner {
    fn run(&self, _: &RunStep<'_>, _: &mut dyn FnMut(bool, &[u8])) -> Result<Ran, Refusal> {
        Err("nothing can be run here".into())
    }
}
