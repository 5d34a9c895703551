//! What a component imports and exports, told without compiling it.

use wasmparser::{Parser, Payload};

/// Names of one side that are listed. Real components have some dozens.
const MOST_NAMES: usize = 10_000;

/// The names of what a component imports and exports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Imports, in the component's order.
    pub imports: Vec<String>,
    /// Exports, in the component's order.
    pub exports: Vec<String>,
}

impl Interface {
    /// Reads the names of a component's own imports and exports; those of its inner components do not count. What comes after
    /// something that cannot be read is left out: whether it is valid is for the compiler to say.
    pub fn of(wasm: &[u8]) -> Self {
        let mut interface = Self::default();
        // Components and modules within.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(wasm) {
            let Ok(payload) = payload else { break };
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    let names = section.into_iter().flatten();
                    add(&mut interface.imports, names.map(|import| import.name.name));
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    let names = section.into_iter().flatten();
                    add(&mut interface.exports, names.map(|export| export.name.name));
                }
                _ => {}
            }
        }
        interface
    }
}

fn add<'a>(list: &mut Vec<String>, names: impl Iterator<Item = &'a str>) {
    let room = MOST_NAMES.saturating_sub(list.len());
    list.extend(names.take(room).map(str::to_owned));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_and_no_inner_ones() {
        let wasm = wat::parse_str(
            r#"(component
                (import "wasi:cli/environment@0.2.0" (instance))
                (import "f" (func))
                (component (import "inner" (func)) (export "out" (func 0)))
                (core module (func (export "core")))
                (export "wasi:cli/run@0.2.0" (func 0))
            )"#,
        )
        .expect("a component");
        let interface = Interface::of(&wasm);
        assert_eq!(interface.imports, ["wasi:cli/environment@0.2.0", "f"]);
        assert_eq!(interface.exports, ["wasi:cli/run@0.2.0"]);
        for cut in 0..wasm.len() {
            let interface = Interface::of(&wasm[..cut]);
            assert!(interface.imports.len() <= 2, "cut at {cut}");
        }
        assert_eq!(Interface::of(b"no wasm"), Interface::default());
    }
}
