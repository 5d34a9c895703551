//! Linking a component with those that it imports from, as a dynamic linker finds shared libraries.
//!
//! What the host has is the host's: no library takes its place. Everything else must be exported by a library, under exactly
//! that name, or, if none has it, under one of a compatible version (`acme:db/store@1.2.0` for `@1.0.0`). Libraries may import
//! from each other; each that is needed is instantiated once, and shared. The rest is left out.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};
use wac_graph::types::{Package, are_semver_compatible};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};

use super::error::LoadError;
use super::program::{LARGEST_PROGRAM, WasmKind, detect};
use super::shape;

#[cfg(test)]
mod tests;

/// Most libraries that are looked at.
pub const MOST_LIBRARIES: usize = 100;
/// Longest chain of libraries that import from each other.
const LONGEST_CHAIN: usize = 32;
/// Interfaces of the host's world. One that this host does not have may be a library's, or is refused at the start.
const WASI: &str = "wasi:";
/// Sets keys of linked programs apart from digests of files, and one way of linking from the next.
const LINKED: &[u8] = b"coracle linked 1";

/// A component, and where it lies.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its path in the guest.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Several components, made one.
#[derive(Clone, Debug)]
pub struct Linked {
    /// The component.
    pub bytes: Vec<u8>,
    /// What was taken from where, in the order in which it was found.
    pub links: Vec<Link>,
}

/// One import, and who fulfils it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Link {
    /// The component that imports, by its path in the guest.
    pub importer: String,
    /// What it imports.
    pub import: String,
    /// The library, by its path in the guest.
    pub library: String,
    /// The name under which the library exports it.
    pub export: String,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} to {}",
            self.import, self.importer, self.library
        )?;
        if self.export != self.import {
            write!(f, ", which has {}", self.export)?;
        }
        Ok(())
    }
}

/// Two libraries that export what is imported.
#[derive(Debug)]
pub struct Ambiguity {
    /// The component that needs it.
    pub importer: String,
    /// What it imports.
    pub import: String,
    /// A library that has it.
    pub first: String,
    /// Under which name.
    pub first_export: String,
    /// Another.
    pub second: String,
    /// Under which name.
    pub second_export: String,
}

/// Why components could not be linked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// No library exports what is imported.
    #[error(
        "\"{importer}\" imports \"{import}\", which no component in \"{folder}\" exports; there are {}",
        paths(libraries)
    )]
    Missing {
        /// The component that needs it.
        importer: String,
        /// What it imports.
        import: String,
        /// The folder of libraries.
        folder: String,
        /// The libraries that there are.
        libraries: Vec<String>,
    },
    /// Several export what is imported.
    #[error(
        "\"{}\" imports \"{}\", which \"{}\" exports as \"{}\" and \"{}\" as \"{}\"",
        .0.importer, .0.import, .0.first, .0.first_export, .0.second, .0.second_export
    )]
    Ambiguous(Box<Ambiguity>),
    /// Libraries need each other in a circle.
    #[error("components import from each other in a circle: {}", paths(circle))]
    Cycle {
        /// The way from a library to itself.
        circle: Vec<String>,
    },
    /// Libraries need others that need others, and so on.
    #[error(
        "\"{path}\" is the end of a chain of more than {LONGEST_CHAIN} components that import from each other"
    )]
    TooDeep {
        /// The library that is one too many.
        path: String,
    },
    /// A component is not one, or a library exports something else than is imported.
    #[error("linking \"{path}\": {detail}")]
    Component {
        /// Its path in the guest.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// There are too many libraries.
    #[error("more than {MOST_LIBRARIES} files in \"{folder}\" could be libraries")]
    TooMany {
        /// The folder of libraries.
        folder: String,
    },
    /// They are not what they should be, or cannot be compiled.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Together they are too large.
    #[error("\"{path}\" and its libraries have more than {LARGEST_PROGRAM} bytes")]
    TooLarge {
        /// The program.
        path: String,
    },
}

/// Returns the key of a program that is linked with these libraries: it tells the content of all, whatever they are called.
pub fn key(program: &[u8; 32], libraries: impl IntoIterator<Item = [u8; 32]>) -> [u8; 32] {
    let mut libraries: Vec<[u8; 32]> = libraries.into_iter().collect();
    libraries.sort_unstable();
    libraries.dedup();
    let mut hasher = Sha256::new_with_prefix(LINKED);
    hasher.update(program);
    for library in &libraries {
        hasher.update(library);
    }
    hasher.finalize().into()
}

/// Links a program with what it needs of `libraries`, which lie in `folder`. `is_hosts` says which imports the host fulfils.
/// `None` if the program needs none of them.
///
/// # Errors
/// See [`LinkError`].
pub(super) fn link(
    program: &Part,
    libraries: &[Part],
    folder: &str,
    is_hosts: &dyn Fn(&str) -> bool,
) -> Result<Option<Linked>, LinkError> {
    if detect(&program.bytes) != Some(WasmKind::Component) {
        return Ok(None);
    }
    if libraries.len() > MOST_LIBRARIES {
        return Err(LinkError::TooMany {
            folder: folder.to_owned(),
        });
    }
    let size = libraries.iter().fold(program.bytes.len(), |sum, part| {
        sum.saturating_add(part.bytes.len())
    });
    if size as u64 > LARGEST_PROGRAM {
        return Err(LinkError::TooLarge {
            path: program.path.clone(),
        });
    }
    let mut graph = CompositionGraph::new();
    let main = Component::read(&mut graph, 0, program, is_hosts)?;
    if main.imports.is_empty() {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for library in libraries {
        // A module beside them is somebody else's.
        if detect(&library.bytes) == Some(WasmKind::Component) {
            let number = parts.len().saturating_add(1);
            parts.push(Component::read(&mut graph, number, library, is_hosts)?);
        }
    }
    let mut linking = Linking {
        graph,
        folder,
        libraries: parts,
        made: BTreeMap::new(),
        links: Vec::new(),
    };
    let instance = linking.instantiate(&main, &mut Vec::new())?;
    if linking.links.is_empty() {
        return Ok(None);
    }
    let (mut graph, links) = (linking.graph, linking.links);
    let failed = |error: &dyn std::error::Error| main.failed(with_causes(error));
    for name in &main.exports {
        let export = graph
            .alias_instance_export(instance, name)
            .map_err(|error| failed(&error))?;
        graph.export(export, name).map_err(|error| failed(&error))?;
    }
    let bytes = graph
        .encode(EncodeOptions::default())
        .map_err(|error| failed(&error))?;
    Ok(Some(Linked { bytes, links }))
}

/// A component, read.
#[derive(Clone)]
struct Component {
    path: String,
    package: PackageId,
    /// What it imports that is not the host's.
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Component {
    fn read(
        graph: &mut CompositionGraph,
        number: usize,
        part: &Part,
        is_hosts: &dyn Fn(&str) -> bool,
    ) -> Result<Self, LinkError> {
        let failed = |detail: String| LinkError::Component {
            path: part.path.clone(),
            detail,
        };
        // As a whole it is looked at once more before it is compiled.
        shape::check(&part.bytes).map_err(|error| failed(error.to_string()))?;
        // Its name is never seen: a path may have letters that names of packages have not.
        let name = format!("part:n{number}");
        let package = Package::from_bytes(&name, None, part.bytes.clone(), graph.types_mut())
            .map_err(|error| failed(format!("{error:#}")))?;
        let world = &graph.types()[package.ty()];
        let imports = world.imports.keys().filter(|name| !is_hosts(name));
        let imports = imports.cloned().collect();
        let exports = world.exports.keys().cloned().collect();
        let package = graph
            .register_package(package)
            .map_err(|error| failed(with_causes(&error)))?;
        Ok(Self {
            path: part.path.clone(),
            package,
            imports,
            exports,
        })
    }

    /// Returns the name under which it exports this, and whether that is exactly the name.
    fn has(&self, import: &str) -> Option<(&str, bool)> {
        let find = |fits: &dyn Fn(&str) -> bool| self.exports.iter().find(|name| fits(name));
        find(&|name| name == import)
            .map(|name| (name.as_str(), true))
            .or_else(|| {
                find(&|name| are_semver_compatible(name, import)).map(|name| (name.as_str(), false))
            })
    }

    fn failed(&self, detail: String) -> LinkError {
        LinkError::Component {
            path: self.path.clone(),
            detail,
        }
    }
}

/// What was made so far.
struct Linking<'a> {
    graph: CompositionGraph,
    folder: &'a str,
    libraries: Vec<Component>,
    /// Instances of libraries, by path.
    made: BTreeMap<String, NodeId>,
    links: Vec<Link>,
}

impl Linking<'_> {
    /// Makes an instance, and those that it needs before. `way` are the components that wait for it.
    fn instantiate(
        &mut self,
        component: &Component,
        way: &mut Vec<String>,
    ) -> Result<NodeId, LinkError> {
        if let Some(made) = self.made.get(&component.path) {
            return Ok(*made);
        }
        if let Some(start) = way.iter().position(|path| *path == component.path) {
            let mut circle = way.split_off(start);
            circle.push(component.path.clone());
            return Err(LinkError::Cycle { circle });
        }
        if way.len() > LONGEST_CHAIN {
            return Err(LinkError::TooDeep {
                path: component.path.clone(),
            });
        }
        way.push(component.path.clone());
        let mut arguments = Vec::new();
        for import in &component.imports {
            let Some((library, export)) = self.provider(component, import)? else {
                continue;
            };
            self.links.push(Link {
                importer: component.path.clone(),
                import: import.clone(),
                library: library.path.clone(),
                export: export.clone(),
            });
            let instance = self.instantiate(&library, way)?;
            arguments.push((import, library, instance, export));
        }
        way.pop();
        let node = self.graph.instantiate(component.package);
        for (import, library, instance, export) in arguments {
            let export = self
                .graph
                .alias_instance_export(instance, &export)
                .map_err(|error| library.failed(with_causes(&error)))?;
            self.graph
                .set_instantiation_argument(node, import, export)
                .map_err(|error| library.failed(with_causes(&error)))?;
        }
        self.made.insert(component.path.clone(), node);
        Ok(node)
    }

    /// Finds the one library that exports this, and under which name. `None` if that is for the start to refuse.
    fn provider(
        &self,
        importer: &Component,
        import: &str,
    ) -> Result<Option<(Component, String)>, LinkError> {
        let having: Vec<_> = self
            .libraries
            .iter()
            .filter_map(|library| {
                library
                    .has(import)
                    .map(|(name, exact)| (library, name, exact))
            })
            .collect();
        let exact = having.iter().any(|(.., exact)| *exact);
        let mut fitting = having.into_iter().filter(|(.., is)| *is == exact);
        match (fitting.next(), fitting.next()) {
            (Some((library, name, _)), None) => Ok(Some((library.clone(), name.to_owned()))),
            (Some((first, first_export, _)), Some((second, second_export, _))) => {
                Err(LinkError::Ambiguous(Box::new(Ambiguity {
                    importer: importer.path.clone(),
                    import: import.to_owned(),
                    first: first.path.clone(),
                    first_export: first_export.to_owned(),
                    second: second.path.clone(),
                    second_export: second_export.to_owned(),
                })))
            }
            (None, _) if import.starts_with(WASI) => Ok(None),
            (None, _) => Err(LinkError::Missing {
                importer: importer.path.clone(),
                import: import.to_owned(),
                folder: self.folder.to_owned(),
                libraries: self
                    .libraries
                    .iter()
                    .map(|library| library.path.clone())
                    .collect(),
            }),
        }
    }
}

/// Names the first few paths.
fn paths(paths: &[String]) -> String {
    /// Paths that are named.
    const NAMED: usize = 8;
    if paths.is_empty() {
        return "none".to_owned();
    }
    let named: Vec<String> = paths
        .iter()
        .take(NAMED)
        .map(|path| format!("\"{path}\""))
        .collect();
    let more = if paths.len() > NAMED { ", …" } else { "" };
    format!("{}{more}", named.join(", "))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
