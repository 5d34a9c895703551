//! Telling modules and components apart.

use wasmtime::Module;
use wasmtime::component::{Component, Linker};

use super::bind::{p1, p2};
use crate::policy::NamePrefix;

/// Largest WebAssembly file that is compiled, in bytes. The largest real program we met has 99 MB; compiling takes many
/// times the file's size in memory.
pub const LARGEST_PROGRAM: u64 = 512 << 20;

/// What a WebAssembly file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WasmKind {
    /// A core module.
    Module,
    /// A component.
    Component,
}

/// Recognises a WebAssembly file by its first eight bytes: magic, version, layer.
pub fn detect(first_bytes: &[u8]) -> Option<WasmKind> {
    match first_bytes.get(..8)? {
        // Core version 1. All versions of the component binary format so far have layer 1 in their upper half.
        [0, b'a', b's', b'm', 1, 0, 0, 0] => Some(WasmKind::Module),
        [0, b'a', b's', b'm', _, _, 1, 0] => Some(WasmKind::Component),
        _ => None,
    }
}

/// A program whose compiled code is mapped.
#[derive(Clone)]
pub enum Program {
    /// A core module.
    Module(Module),
    /// A component.
    Component(Component),
}

impl Program {
    /// Returns the names of what it imports: interfaces of a component, `module.function` of a module.
    pub fn imports(&self) -> Vec<String> {
        match self {
            Self::Module(module) => module
                .imports()
                .map(|import| format!("{}.{}", import.module(), import.name()))
                .collect(),
            Self::Component(component) => component
                .component_type()
                .imports(component.engine())
                .map(|(name, _)| name.to_owned())
                .collect(),
        }
    }

    /// Returns those of its imports that this host does not have.
    pub fn unknown_imports(&self) -> Vec<String> {
        match self {
            Self::Module(module) => p1::missing(module),
            Self::Component(component) => {
                let engine = component.engine();
                // What cannot be linked for another reason is told when it is.
                p2::link(&mut Linker::new(engine), engine, component).unwrap_or_default()
            }
        }
    }

    /// Returns the first import that is denied, if one is.
    pub(super) fn denied_import(&self, denied: &[NamePrefix]) -> Option<String> {
        if denied.is_empty() {
            return None;
        }
        let is_denied = |import: &String| denied.iter().any(|name| name.matches_interface(import));
        self.imports().into_iter().find(is_denied)
    }

    /// Returns what it is.
    pub fn kind(&self) -> WasmKind {
        match self {
            Self::Module(_) => WasmKind::Module,
            Self::Component(_) => WasmKind::Component,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_kind() {
        assert_eq!(detect(b"\0asm\x01\0\0\0"), Some(WasmKind::Module));
        assert_eq!(detect(b"\0asm\x0d\0\x01\0rest"), Some(WasmKind::Component));
        for other in [
            &b""[..],
            b"\0asm",
            b"\0asm\x01\0\0",
            b"\0asm\x02\0\0\0",
            b"\x7fELF\x02\x01\x01\0",
            b"#!/bin/sh",
        ] {
            assert_eq!(detect(other), None, "{other:?}");
        }
    }
}
