//! Component dependencies: what a program imports and the host has not comes from components in the image's `/usr/lib/wasm`.

use coracle_packager::layer::TreeIndex;
use coracle_runtime::sandbox::wasm::link::{Link, LinkError, MOST_LIBRARIES, Part, key as key_of};
use coracle_runtime::sandbox::wasm::{LARGEST_PROGRAM, WasmEngine};
use coracle_runtime::vfs::{GuestFs, Node, OpenOptions};

use super::compile::{read_whole, sha256};
use super::run::Found;
use super::{Engine, Error};

/// Where libraries lie in the guest.
const FOLDER: &str = "/usr/lib/wasm";
/// The same, as a way from the root.
const WAY: [&[u8]; 3] = [b"usr", b"lib", b"wasm"];
/// The end of a library's name.
const ENDING: &[u8] = b".wasm";

/// Returns the libraries that a guest sees, each content once, in the order of their names. Opens files and reads none: most
/// images have none, and this is on the way of every run.
pub(super) fn libraries(fs: &GuestFs) -> Result<Vec<Found>, Error> {
    let open = |path: &[u8], directory| {
        let options = OpenOptions {
            read: true,
            follow: true,
            directory,
            ..OpenOptions::default()
        };
        fs.root().open(path, &options)
    };
    let folder = WAY.join(&b'/');
    // What cannot be opened is not there for the guest either; what is missing is told when it is needed.
    let Ok(Node::Directory(directory)) = open(&folder, true) else {
        return Ok(Vec::new());
    };
    let entries = directory.read_dir().unwrap_or_default().into_iter();
    let mut names: Vec<_> = entries
        .map(|entry| entry.name)
        .filter(|name| name.ends_with(ENDING))
        .collect();
    if names.len() > MOST_LIBRARIES {
        let folder = FOLDER.to_owned();
        return Err(LinkError::TooMany { folder }.into());
    }
    names.sort();
    let mut found: Vec<Found> = Vec::new();
    for name in names {
        let path = [&*folder, b"/", &name].concat();
        let Ok(Node::File(file)) = open(&path, false) else {
            continue;
        };
        let sha256 = file.content_sha256();
        // One file under several names, as `store.wasm` and `store-1.wasm`, is one library.
        if sha256.is_some() && found.iter().any(|other| other.sha256 == sha256) {
            continue;
        }
        let path = format!("/{}", String::from_utf8_lossy(&path));
        found.push(Found { path, file, sha256 });
    }
    Ok(found)
}

/// Returns the key under which compiled code of a program with these libraries is kept.
pub(super) fn key(program: &[u8; 32], libraries: &mut [Found]) -> Result<[u8; 32], Error> {
    let mut digests = Vec::new();
    for library in libraries {
        let digest = match library.sha256 {
            Some(digest) => digest,
            // It lies in a mount, or was changed.
            None => sha256(&read_whole(library)?),
        };
        library.sha256 = Some(digest);
        digests.push(digest);
    }
    Ok(key_of(program, digests))
}

/// Returns the digests of the libraries that are files of an image, so that what was compiled with them is kept. What is missed
/// here (a folder that is a link, say) is compiled again.
pub(super) fn in_index<T: AsRef<[u8]>>(index: &TreeIndex<T>) -> Vec<[u8; 32]> {
    let folder = WAY.iter().try_fold(index.root(), |at, name| {
        index.lookup(at, name).ok().flatten()
    });
    let children = folder.and_then(|folder| index.children(folder).ok());
    let nodes = children
        .unwrap_or_default()
        .filter_map(|number| index.node(number).ok());
    nodes
        .filter(|node| node.name.ends_with(ENDING))
        .filter_map(|node| node.sha256)
        .collect()
}

/// Reads libraries for a program of so many bytes.
fn read(program: &Found, size: usize, libraries: &[Found]) -> Result<Vec<Part>, Error> {
    let mut parts: Vec<Part> = Vec::new();
    let mut sum = size;
    for library in libraries {
        let bytes = read_whole(library)?;
        sum = sum.saturating_add(bytes.len());
        if sum as u64 > LARGEST_PROGRAM {
            let path = program.path.clone();
            return Err(LinkError::TooLarge { path }.into());
        }
        // The same content twice, of which nobody knew the digest.
        if parts.iter().all(|part| part.bytes != bytes) {
            let path = library.path.clone();
            parts.push(Part { path, bytes });
        }
    }
    Ok(parts)
}

impl Engine {
    /// Links a program with its libraries, and compiles what comes out.
    pub(super) fn prepare_linked(
        &self,
        key: &[u8; 32],
        found: &Found,
        bytes: Vec<u8>,
        libraries: &[Found],
        wasm: &WasmEngine,
    ) -> Result<(), Error> {
        let libraries = read(found, bytes.len(), libraries)?;
        let path = found.path.clone();
        let program = Part { path, bytes };
        Ok(wasm.prepare_linked(key, &program, &libraries, FOLDER)?)
    }

    /// Says what a program would be linked to. It need not be quick: a run does not ask.
    pub(super) fn links(&self, fs: &GuestFs, found: &Found) -> Result<Vec<Link>, Error> {
        let libraries = libraries(fs)?;
        if libraries.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = read_whole(found)?;
        let libraries = read(found, bytes.len(), &libraries)?;
        let path = found.path.clone();
        let program = Part { path, bytes };
        let linked = self.wasm()?.link(&program, &libraries, FOLDER)?;
        Ok(linked.map(|linked| linked.links).unwrap_or_default())
    }
}
