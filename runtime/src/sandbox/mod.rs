//! Running a guest: [`wasm`] for WebAssembly programs, and the second [`wall`] around the process that hosts it.

pub mod wall;
pub mod wasm;
