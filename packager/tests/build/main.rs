//! Builds from temporary directories into temporary stores.

mod base;
mod copy;
mod escape;
mod image;
mod world;
