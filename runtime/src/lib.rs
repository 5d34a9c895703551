//! Sandboxes for Coracle: the guest's file system, WebAssembly execution, and the second wall around it.
//!
//! A guest gets what its [`spec::ContainerSpec`] and file system name, and nothing else. The crate knows nothing of
//! images and registries: an image's files come in through the trait [`vfs::Lower`].
//!
//! | module | subject |
//! |---|---|
//! | [`vfs`] | the guest's file system: immutable lower, private upper, mounts |
//! | [`policy`] | what was granted, and who is told what was used |
//! | [`spec`] | what to run, as plain data |
//! | [`sandbox`] | running it, and the walls |
//! | [`container`] | what each container is, on disk |
//! | [`logs`] | what its guest said |
//! | [`sys`] | calls to the operating system; the only room with `unsafe` code of our own |

#![deny(unsafe_code)]

pub mod console;
pub mod container;
pub mod events;
pub mod logs;
pub mod policy;
pub mod probe;
pub mod sandbox;
pub mod spec;
pub mod sys;
pub mod vfs;
