//! Flag values that mean something: typed text in, checked values out.

pub(super) mod env;
pub(super) mod health;
pub(super) mod key;
pub(super) mod labels;
pub(super) mod life;
pub(super) mod limits;
pub(super) mod mount;
mod mount_list;
pub(super) mod native;
pub(super) mod network;
pub(super) mod policy;
pub(super) mod prune;
pub(super) mod registry;
pub(super) mod storage;
mod tmpfs;
