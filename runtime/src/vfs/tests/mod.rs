//! Tests of the guest's file system.

mod areas;
pub(super) mod crash;
mod escape;
mod metadata;
mod mounts;
mod quota;
mod random;
mod shared;
mod tmpfs;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tempfile::TempDir;

use super::*;

/// A container on disk: `upper`, `work`, and room for more.
struct World {
    temp: TempDir,
    lower: Arc<dyn Lower>,
}

impl World {
    fn new(fill: impl FnOnce(&mut MemoryLower)) -> Self {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let data = fs::File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(temp.path().join("layer"));
        let mut lower = MemoryLower::new(data.expect("a layer"));
        fill(&mut lower);
        Self::with_lower(temp, Arc::new(lower))
    }

    fn with_lower(temp: TempDir, lower: Arc<dyn Lower>) -> Self {
        let world = Self { temp, lower };
        world.host_dir("upper");
        world.host_dir("work");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Makes a host directory beside the upper.
    fn host_dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a host directory");
        path
    }

    fn builder(&self) -> GuestFsBuilder {
        GuestFs::builder(self.lower.clone())
            .upper(open_dir(&self.path("upper")), open_dir(&self.path("work")))
    }

    fn guest(&self) -> Directory {
        self.builder().build().expect("a file system").root()
    }

    /// Every path in the upper, marks included.
    fn upper_paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        host_paths(&self.path("upper"), "", &mut paths);
        paths.sort();
        paths
    }
}

fn host_paths(dir: &Path, prefix: &str, paths: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("its kind").is_dir() {
            host_paths(&entry.path(), &format!("{name}/"), paths);
        }
        paths.push(name);
    }
}

fn open_dir(path: &Path) -> Dir {
    Dir::open_ambient_dir(path, ambient_authority()).expect("a directory")
}

fn mount_dir(path: &Path) -> MountSource {
    MountSource::Directory(open_dir(path))
}

const READ: OpenOptions = OpenOptions {
    read: true,
    write: false,
    append: false,
    create: false,
    exclusive: false,
    truncate: false,
    directory: false,
    follow: true,
};
const WRITE: OpenOptions = OpenOptions {
    read: false,
    write: true,
    ..READ
};
const CREATE: OpenOptions = OpenOptions {
    create: true,
    ..WRITE
};
const NEW: OpenOptions = OpenOptions {
    exclusive: true,
    ..CREATE
};
const APPEND: OpenOptions = OpenOptions {
    append: true,
    ..WRITE
};
const TRUNCATE: OpenOptions = OpenOptions {
    truncate: true,
    ..WRITE
};
const DIRECTORY: OpenOptions = OpenOptions {
    directory: true,
    ..READ
};

fn file(dir: &Directory, path: &str, options: &OpenOptions) -> Result<File> {
    match dir.open(path.as_bytes(), options)? {
        Node::File(file) => Ok(file),
        Node::Directory(_) => Err(Errno::IsDir),
    }
}

fn directory(dir: &Directory, path: &str) -> Result<Directory> {
    match dir.open(path.as_bytes(), &DIRECTORY)? {
        Node::Directory(dir) => Ok(dir),
        Node::File(_) => Err(Errno::NotDir),
    }
}

fn read_all(file: &File) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut buffer = [0; 1000];
    loop {
        match file.read_at(&mut buffer, content.len() as u64)? {
            0 => return Ok(content),
            count => content.extend_from_slice(&buffer[..count]),
        }
    }
}

fn read(dir: &Directory, path: &str) -> Result<String> {
    Ok(String::from_utf8_lossy(&read_all(&file(dir, path, &READ)?)?).into_owned())
}

/// Makes or replaces a file's content.
fn write(dir: &Directory, path: &str, content: &str) -> Result<()> {
    let file = file(
        dir,
        path,
        &OpenOptions {
            truncate: true,
            ..CREATE
        },
    )?;
    assert_eq!(file.write_at(content.as_bytes(), 0)?, content.len());
    Ok(())
}

fn names(dir: &Directory, path: &str) -> Result<Vec<String>> {
    let entries = directory(dir, path)?.read_dir()?;
    Ok(entries
        .into_iter()
        .map(|entry| String::from_utf8_lossy(&entry.name).into_owned())
        .collect())
}

/// Everything that a guest sees: path to content, with the kind before it.
fn snapshot(dir: &Directory) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    add_to_snapshot(dir, "", &mut all);
    all
}

fn add_to_snapshot(dir: &Directory, prefix: &str, all: &mut BTreeMap<String, String>) {
    for entry in dir.read_dir().expect("a listing") {
        let name = String::from_utf8(entry.name.clone()).expect("a test's name");
        let path = format!("{prefix}{name}");
        let stat = dir
            .stat_at(&entry.name, false)
            .expect("what is listed is there");
        assert_eq!(
            (stat.kind, stat.ino),
            (entry.kind, entry.ino),
            "listing and stat of {path}"
        );
        let content = match entry.kind {
            FileKind::File => format!("file {}", read(dir, &name).expect("a readable file")),
            FileKind::Symlink => {
                let target = dir.read_link(&entry.name).expect("a readable link");
                format!("link {}", String::from_utf8_lossy(&target))
            }
            FileKind::Directory => {
                let inside = directory(dir, &name).expect("a directory that opens");
                add_to_snapshot(&inside, &format!("{path}/"), all);
                "directory".to_owned()
            }
            other => format!("{other:?}"),
        };
        all.insert(path, content);
    }
}
