//! What a guest may use up.
//!
//! What is not in here is bounded all the same, by constants where it is kept: tables, instances, resources, buffers of
//! host calls.

use serde::{Deserialize, Serialize};

use super::quantity::{Cpus, Size, Timeout};

/// What a guest may use up. `None` is no limit but WebAssembly's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Memories, tables and garbage-collected heaps together. Beyond it the guest's `memory.grow` fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Processor time, as a share of one processor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Cpus>,
    /// Processes and threads; a command has one of each and no way to make more, so that any number holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// Files and directories open at once, standard streams included.
    pub open_files: u32,
    /// How long the guest may run, by the clock on the wall. Held by [`crate::sys::end_after`], which ends the process that
    /// hosts the guest, and so by whoever owns that process; [`run`](crate::sandbox::wasm::run()) alone does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    /// WebAssembly instructions, counted by wasmtime: the same program with the same input ends at the same place on every
    /// machine. Needs an engine that counts: [`WasmEngine::metered`](crate::sandbox::wasm::WasmEngine::metered).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
}

impl Limits {
    /// Above the 1,024 that a Linux shell gives a program, so that what runs there runs here; below what a host process may hold.
    pub const DEFAULT_OPEN_FILES: u32 = 4096;
    /// Least that works: three standard streams, the root and the working directory, and one file.
    pub const LEAST_OPEN_FILES: u32 = 6;
    /// Linux' own bound for one process (`fs.nr_open`).
    pub const MOST_OPEN_FILES: u32 = 1 << 20;
    /// Least that works: one page of WebAssembly's.
    pub const LEAST_MEMORY: Size = Size::from_bytes(64 << 10);
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: None,
            cpus: None,
            processes: None,
            open_files: Self::DEFAULT_OPEN_FILES,
            timeout: None,
            fuel: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_what_people_write() {
        let limits = Limits {
            memory: Some("64m".parse().expect("a size")),
            cpus: Some("0.5".parse().expect("a share")),
            timeout: Some("1m30s".parse().expect("a time")),
            fuel: Some(1000),
            ..Limits::default()
        };
        let text = serde_json::to_string(&limits).expect("it serialises");
        assert_eq!(
            text,
            r#"{"memory":"64m","cpus":"0.5","open-files":4096,"timeout":"1m30s","fuel":1000}"#
        );
        assert_eq!(
            serde_json::from_str::<Limits>(&text).expect("its own text"),
            limits
        );
        assert_eq!(
            serde_json::from_str::<Limits>("{}").expect("nothing is limited"),
            Limits::default()
        );
        for wrong in [
            r#"{"memory":"much"}"#,
            r#"{"cpus":"0"}"#,
            r#"{"timeout":"soon"}"#,
            r#"{"memroy":"1g"}"#,
        ] {
            assert!(serde_json::from_str::<Limits>(wrong).is_err(), "{wrong}");
        }
    }
}
