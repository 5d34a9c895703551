//! Running a guest: [`wasm`] for WebAssembly programs, and the second [`wall`] around the process that hosts it. On Linux also
//! `native`, for programs of the host's own kind.

#[cfg(target_os = "linux")]
pub mod native;
pub mod wall;
pub mod wasm;
