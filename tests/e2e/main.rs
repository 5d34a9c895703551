//! End to end: the built `coracle` command, real registries, real tools and real programs.
//!
//! What these tests need is installed, fetched or compiled by `tests/run.sh`. What is not there fails the test that
//! needs it: nothing is skipped. One file per subject; [`world`], [`registry`], [`stall`], [`layout`] and [`table`]
//! are the tools.

#![expect(
    clippy::print_stderr,
    reason = "a test tells how long a real program took"
)]

mod fixtures;
mod layout;
mod registry;
#[path = "../guests/bare/service.rs"]
mod service;
mod stall;
mod table;
mod world;

mod applications;
mod archive;
mod attach;
mod build;
mod calls;
mod check;
mod completion;
mod component;
mod containers;
mod convert;
mod copying;
mod crash;
mod dockerd;
mod events;
mod example;
mod files;
mod filework;
mod formats;
mod health;
mod http;
mod images;
mod inspect;
mod invalid;
mod invoke;
mod kills;
mod life;
mod limits;
mod linked;
mod manifest;
mod native;
#[path = "../guests/net.rs"]
mod net_guest;
mod network;
#[cfg(target_os = "linux")]
mod oci;
mod peers;
mod policy;
mod prune;
mod referrers;
mod repair;
mod restart;
mod rootfs;
mod run;
mod shapes;
mod sign;
mod stdio;
mod steps;
mod storage;
mod storm;
mod together;
mod tools;
mod transfer;
mod trust;
mod volumes;
