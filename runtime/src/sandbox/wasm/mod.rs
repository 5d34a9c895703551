//! WebAssembly programs in a sandbox: modules of WASI preview 1 (and its forerunner, preview 0), and components of WASI 0.2.
//!
//! | module | subject |
//! |---|---|
//! | [`engine`] | wasmtime's settings; compiled code: made once, loaded afterwards |
//! | `cache` | where compiled code is kept, and when it is trusted |
//! | `cpu` | what compiled code may depend on |
//! | [`program`] | telling modules and components apart |
//! | `shape` | what is too much to compile |
//! | [`run`](mod@run) | one run from start to end, in the order that the second wall needs |
//! | [`http`] | serving components that answer requests |
//! | `interface` | what a component imports and exports, without compiling it |
//! | `invoke` | calling one exported function |
//! | [`link`] | components that import from other components |
//! | `pool` | memory for the instances of a service |
//! | `net` | what a guest does with the network, decided |
//! | `bind` | WASI on the guest's file system, one folder per version |
//! | `stdio` | standard streams, byte for byte |
//! | `host` | what differs between systems |
//! | [`interrupt`] | stopping a guest from outside, even from a signal handler |
//! | `limits`, `throttle` | what a guest may use up |
//! | [`exit`] | how a run ended |

mod bind;
mod cache;
mod cpu;
pub mod engine;
pub mod error;
pub mod exit;
mod host;
pub mod http;
mod interface;
pub mod interrupt;
mod invoke;
mod limits;
pub mod link;
mod net;
mod pool;
pub mod program;
pub mod run;
mod shape;
mod stdio;
mod throttle;

pub use cache::{CheckedCode, DamagedCode};
pub use engine::WasmEngine;
pub use error::{LoadError, RunError};
pub use exit::Outcome;
pub use http::Drain;
pub use interface::Interface;
pub use interrupt::Interrupt;
pub use program::{LARGEST_PROGRAM, Program, WasmKind, detect};
pub use run::{run, run_then};

/// The version of the WebAssembly engine, wasmtime.
pub const WASMTIME_VERSION: &str = "48.0.8";
