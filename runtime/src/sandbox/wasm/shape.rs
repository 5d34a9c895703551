//! What a program looks like before it is compiled: a few bytes can describe more than any machine can hold.
//!
//! The compiler writes out every instance that a component makes, also those that its nested components make in turn: a
//! component that instantiates its inner one twice, twenty levels deep, is a kilobyte long and has a million instances. And
//! it takes a hundred times a function's size in memory, and time that grows faster than the size.

use wasmparser::{Instance, Parser, Payload};

use super::error::LoadError;

/// Most instances that a component makes, those of nested components counted each time they are made. What tools compose has
/// a few dozen.
const MOST_INSTANCES: u64 = 1000;

/// Longest function, in bytes of its body. The longest that we met, an interpreter's loop, has 130 KB.
const LONGEST_FUNCTION: usize = 2 << 20;

/// Deepest nesting of components. Tools write two or three levels.
const DEEPEST: usize = 32;

/// What one component of the file makes, as far as it was read.
#[derive(Default)]
struct Level {
    /// How many instances each component that can be named here makes.
    components: Vec<u64>,
    /// How many instances it makes itself.
    instances: u64,
}

/// Refuses a program that would take too much to compile. Whether it is valid is for the compiler to say.
pub(super) fn check(wasm: &[u8]) -> Result<(), LoadError> {
    let mut levels = vec![Level::default()];
    // Core modules in a component end with a payload of their own.
    let mut open = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        // What is no WebAssembly, the compiler refuses with better words.
        let Ok(payload) = payload else { return Ok(()) };
        match payload {
            Payload::CodeSectionEntry(body) if body.range().len() > LONGEST_FUNCTION => {
                return Err(LoadError::LongFunction {
                    size: body.range().len(),
                    most: LONGEST_FUNCTION,
                });
            }
            Payload::ModuleSection { .. } => open.push(Part::Module),
            Payload::ComponentSection { .. } => {
                open.push(Part::Component);
                levels.push(Level::default());
                if levels.len() > DEEPEST {
                    return Err(LoadError::DeepComponent { most: DEEPEST });
                }
            }
            Payload::End(_) => {
                if let Some(Part::Component) = open.pop()
                    && let Some(inner) = levels.pop()
                    && let Some(level) = levels.last_mut()
                {
                    level.components.push(inner.instances);
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section.into_iter().flatten() {
                    if let Instance::Instantiate { .. } = instance {
                        add(&mut levels, 1)?;
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.into_iter().flatten() {
                    if let wasmparser::ComponentInstance::Instantiate {
                        component_index, ..
                    } = instance
                    {
                        let made = made_by(&levels, component_index);
                        add(&mut levels, made.saturating_add(1))?;
                    }
                }
            }
            // These can be named like the components that are written here. An alias names one of those; one that is imported
            // is counted where it is given.
            Payload::ComponentAliasSection(section) => {
                for alias in section.into_iter().flatten() {
                    alias_of(&mut levels, &alias);
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.into_iter().flatten() {
                    if let wasmparser::ComponentTypeRef::Component(_) = import.ty {
                        most_of_all(&mut levels);
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.into_iter().flatten() {
                    if export.kind == wasmparser::ComponentExternalKind::Component {
                        let made = made_by(&levels, export.index);
                        if let Some(level) = levels.last_mut() {
                            level.components.push(made);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What an inner part of the file is.
enum Part {
    Module,
    Component,
}

fn add(levels: &mut [Level], count: u64) -> Result<(), LoadError> {
    let Some(level) = levels.last_mut() else {
        return Ok(());
    };
    level.instances = level.instances.saturating_add(count);
    if level.instances > MOST_INSTANCES {
        return Err(LoadError::ManyInstances {
            most: MOST_INSTANCES,
        });
    }
    Ok(())
}

/// Returns how many instances the component of this number makes, in the space of the one that is read.
fn made_by(levels: &[Level], index: u32) -> u64 {
    let known = levels
        .last()
        .and_then(|level| level.components.get(usize::try_from(index).ok()?));
    known.copied().unwrap_or_else(|| most(levels))
}

/// Adds a component to the space of the one that is read: an outer one, or one that an instance exports.
fn alias_of(levels: &mut [Level], alias: &wasmparser::ComponentAlias<'_>) {
    let made = match *alias {
        wasmparser::ComponentAlias::Outer {
            kind: wasmparser::ComponentOuterAliasKind::Component,
            count,
            index,
        } => {
            let outer = usize::try_from(count)
                .ok()
                .and_then(|count| levels.len().checked_sub(count.checked_add(1)?));
            outer
                .and_then(|outer| levels.get(outer))
                .and_then(|level| level.components.get(usize::try_from(index).ok()?))
                .copied()
                .unwrap_or_else(|| most(levels))
        }
        wasmparser::ComponentAlias::InstanceExport {
            kind: wasmparser::ComponentExternalKind::Component,
            ..
        } => most(levels),
        _ => return,
    };
    if let Some(level) = levels.last_mut() {
        level.components.push(made);
    }
}

/// Adds a component of which nothing is known: it may be the largest so far.
fn most_of_all(levels: &mut [Level]) {
    let made = most(levels);
    if let Some(level) = levels.last_mut() {
        level.components.push(made);
    }
}

fn most(levels: &[Level]) -> u64 {
    let all = levels.iter().flat_map(|level| &level.components);
    all.copied().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<(), LoadError> {
        check(&wat::parse_str(text).expect("a program"))
    }

    /// A component that makes `2^levels` instances.
    fn doubling(levels: u32) -> String {
        let mut inner =
            "(component $c0 (core module $m (memory 1)) (core instance (instantiate $m)))"
                .to_owned();
        for level in 1..=levels {
            let below = level - 1;
            inner = format!(
                "(component $c{level} {inner} (instance (instantiate $c{below})) (instance (instantiate $c{below})))"
            );
        }
        inner
    }

    #[test]
    fn a_component_may_not_make_a_world() {
        of(&doubling(8)).expect("a few hundred instances");
        assert!(matches!(
            of(&doubling(12)),
            Err(LoadError::ManyInstances { .. })
        ));
        assert!(matches!(
            of(&doubling(28)),
            Err(LoadError::ManyInstances { .. })
        ));
    }

    #[test]
    fn a_component_that_is_handed_in_counts_where_it_is_made() {
        // The inner one is taken from outside by an alias, twice at each level.
        let text = "(component
            (component $a (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m)))
            (component $b (alias outer 1 $a (component $x)) (instance (instantiate $x)) (instance (instantiate $x)))
            (instance (instantiate $b)))";
        of(text).expect("seven instances");
        let many: String = (0..300).map(|_| "(instance (instantiate $b))").collect();
        let text = text.replace("(instance (instantiate $b))", &many);
        assert!(matches!(of(&text), Err(LoadError::ManyInstances { .. })));
    }

    #[test]
    fn a_function_has_a_length() {
        let body = |count: usize| format!("(module (func {}))", "nop ".repeat(count));
        of(&body(1000)).expect("short");
        assert!(matches!(
            of(&body(LONGEST_FUNCTION + 1)),
            Err(LoadError::LongFunction { .. })
        ));
        // One that is in a component as well.
        let text = format!(
            "(component (core module (func {})))",
            "nop ".repeat(LONGEST_FUNCTION + 1)
        );
        assert!(matches!(of(&text), Err(LoadError::LongFunction { .. })));
    }

    #[test]
    fn what_is_no_program_is_left_to_the_compiler() {
        for bytes in [
            &b""[..],
            b"\0asm",
            b"\0asm\x01\0\0\0\xff\xff",
            b"\0asm\x0d\0\x01\0\x04\xff",
        ] {
            check(bytes).expect("not judged");
        }
    }
}
