//! Guests in the Wasm sandbox: what WASI gives them, what it refuses, how they end.

mod cache;
mod component;
mod cwd;
mod ending;
mod files;
mod guest;
mod hostile;
mod http;
mod invoke;
mod limits;
mod paths;
mod preview0;
mod proposals;
#[path = "../../../tests/guests/bare/service.rs"]
mod service;
mod stdio;
mod time;
mod world;
