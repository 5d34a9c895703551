//! The folders of all volumes, and the locks that keep a volume from going while a container that uses it comes.
//!
//! ```text
//! <root>/volumes/<name>/_data         the files
//!                       volume.json   when it was made, and its labels
//!                       lock filling  while the image's files are copied in
//! <root>/volumes/.lock                held together by who makes containers with volumes, alone by who removes volumes
//! <root>/volumes/.passing/<name>      those that go when no container has them any more
//! <root>/volumes/.new-… .gone-…       in the making, or in removal
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use coracle_runtime::container::remove_tree;
use coracle_runtime::sys::create_private_dir_all;
use serde::{Deserialize, Serialize};

use super::super::random;
use super::{VolumeError, VolumeName};

const DATA: &str = "_data";
const RECORD: &str = "volume.json";
const LOCK: &str = ".lock";
const PASSING: &str = ".passing";
const NEW: &str = ".new-";
const GONE: &str = ".gone-";

/// Largest record that is read, in bytes; larger ones are not written.
const LARGEST_RECORD: usize = 1 << 20;

/// What is known about a volume, beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Version of this format; 1.
    pub(super) version: u32,
    /// When it was made, in seconds since 1970.
    pub(super) created: i64,
    /// Its labels.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
}

/// A folder that outlives the containers which use it.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    pub(super) home: PathBuf,
}

impl Volume {
    /// The label of volumes whose name was made up, Docker's.
    pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

    /// Returns the folder with its files.
    pub fn path(&self) -> PathBuf {
        self.home.join(DATA)
    }

    /// Was its name made up?
    pub fn is_anonymous(&self) -> bool {
        self.labels.contains_key(Self::ANONYMOUS)
    }
}

/// How long a volume stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// Until it is removed.
    Kept,
    /// As long as a container has it.
    Passing,
}

/// Keeps volumes from being removed.
#[derive(Debug)]
pub(super) struct Lease {
    _lock: File,
}

/// The volumes of one data directory.
#[derive(Clone, Debug)]
pub(super) struct VolumeStore {
    root: PathBuf,
}

impl VolumeStore {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Returns where a volume's files are, whether it exists or not.
    pub(super) fn data_path(&self, name: &VolumeName) -> PathBuf {
        self.root.join(name.as_str()).join(DATA)
    }

    /// Keeps every volume in its place until the lease is dropped.
    pub(super) fn lease(&self) -> Result<Lease, VolumeError> {
        let (path, lock) = self.open_lock()?;
        lock.lock_shared().map_err(failed("locking", &path))?;
        Ok(Lease { _lock: lock })
    }

    /// Waits until nobody has a lease, and lets nobody have one until this is dropped.
    pub(super) fn lock(&self) -> Result<Lease, VolumeError> {
        let (path, lock) = self.open_lock()?;
        lock.lock().map_err(failed("locking", &path))?;
        self.sweep();
        Ok(Lease { _lock: lock })
    }

    /// As [`Self::lock`], but `None` where it would have to wait.
    pub(super) fn try_lock(&self) -> Result<Option<Lease>, VolumeError> {
        let (path, lock) = self.open_lock()?;
        match lock.try_lock() {
            Ok(()) => {
                self.sweep();
                Ok(Some(Lease { _lock: lock }))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed("locking", &path)(source)),
        }
    }

    fn open_lock(&self) -> Result<(PathBuf, File), VolumeError> {
        let path = self.root.join(LOCK);
        let open = || {
            File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
        };
        let file = match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create_private_dir_all(&self.root).map_err(failed("creating", &self.root))?;
                open()
            }
            opened => opened,
        };
        let file = file.map_err(failed("opening", &path))?;
        Ok((path, file))
    }

    /// Removes what killed processes left half made or half removed. What cannot be removed now is tried again.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(NEW) || name.starts_with(GONE) {
                drop(remove_tree(&entry.path()));
            }
        }
    }

    /// Lists all volumes, by name.
    pub(super) fn list(&self) -> Result<Vec<Volume>, VolumeError> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed("listing", &self.root))?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed("listing", &self.root))?.file_name();
            let name = name.to_str().and_then(|name| name.parse().ok());
            if let Some(name) = name
                && let Some(volume) = self.find(&name)?
            {
                all.push(volume);
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Finds a volume.
    pub(super) fn find(&self, name: &VolumeName) -> Result<Option<Volume>, VolumeError> {
        let home = self.root.join(name.as_str());
        let metadata = match fs::symlink_metadata(home.join(DATA)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(failed("reading", &home))?,
        };
        // Its files count: what a power cut has done to the record must not hide them.
        let record = read_record(&home.join(RECORD)).unwrap_or_else(|| Record {
            created: metadata.modified().map_or(0, seconds),
            ..Record::default()
        });
        Ok(Some(Volume {
            name: name.clone(),
            created: record.created,
            labels: record.labels,
            home,
        }))
    }

    /// Makes a volume unless there is one of this name, and says whether it was made. Whoever uses it holds a lease.
    pub(super) fn ensure(
        &self,
        _held: &Lease,
        name: &VolumeName,
        record: &Record,
        stay: Stay,
    ) -> Result<(Volume, bool), VolumeError> {
        if let Some(volume) = self.find(name)? {
            return Ok((volume, false));
        }
        let text = serde_json::to_vec(record).expect("strings and numbers serialise");
        if text.len() > LARGEST_RECORD {
            return Err(VolumeError::LargeRecord { size: text.len() });
        }
        if stay == Stay::Passing {
            let passing = self.root.join(PASSING);
            create_private_dir_all(&passing).map_err(failed("creating", &passing))?;
            let mark = passing.join(name.as_str());
            File::create(&mark).map_err(failed("creating", &mark))?;
        }
        let new = self.unique(NEW);
        let home = self.root.join(name.as_str());
        let make = || {
            fs::create_dir(&new)?;
            fs::create_dir(new.join(DATA))?;
            fs::write(new.join(RECORD), text)?;
            fs::rename(&new, &home)
        };
        let made = match make() {
            Ok(()) => true,
            Err(error) => {
                // The first error is the one to report.
                drop(remove_tree(&new));
                // Another process was first: one folder does not replace another that has something in it.
                if !home.join(DATA).exists() {
                    return Err(failed("creating", &home)(error));
                }
                false
            }
        };
        match self.find(name)? {
            Some(volume) => Ok((volume, made)),
            None => Err(failed("finding", &home)(ErrorKind::NotFound.into())),
        }
    }

    /// Removes a volume with its files; says whether there was one. Others that begin to use it are kept out by the lock.
    pub(super) fn remove(&self, _held: &Lease, name: &VolumeName) -> Result<bool, VolumeError> {
        let home = self.root.join(name.as_str());
        let gone = self.unique(GONE);
        let removed = match fs::rename(&home, &gone) {
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            renamed => {
                renamed.map_err(failed("removing", &home))?;
                true
            }
        };
        // A mark without a volume does no harm.
        drop(fs::remove_file(self.root.join(PASSING).join(name.as_str())));
        if removed {
            remove_tree(&gone).map_err(failed("removing", &home))?;
        }
        Ok(removed)
    }

    /// Returns the names of volumes that go when no container has them any more.
    pub(super) fn passing(&self) -> Vec<VolumeName> {
        let entries = fs::read_dir(self.root.join(PASSING)).into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        names
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect()
    }

    fn unique(&self, prefix: &str) -> PathBuf {
        let number = u64::from_ne_bytes(random());
        self.root.join(format!("{prefix}{number:016x}"))
    }
}

fn read_record(path: &Path) -> Option<Record> {
    let text = fs::read(path).ok()?;
    serde_json::from_slice(&text).ok()
}

fn seconds(when: std::time::SystemTime) -> i64 {
    let since = when.duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VolumeError {
    let path = path.to_owned();
    move |source| VolumeError::File {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, VolumeStore) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = VolumeStore::new(dir.path().join("volumes"));
        (dir, store)
    }

    fn name(text: &str) -> VolumeName {
        text.parse().expect(text)
    }

    fn make(store: &VolumeStore, text: &str, stay: Stay) -> (Volume, bool) {
        let lease = store.lease().expect("a lease");
        let record = Record {
            created: 5,
            labels: [("a".to_owned(), "b".to_owned())].into(),
            ..Record::default()
        };
        store
            .ensure(&lease, &name(text), &record, stay)
            .expect("a volume")
    }

    #[test]
    fn a_volume_is_made_once_and_removed_with_its_files() {
        let (_dir, store) = store();
        assert!(store.list().expect("none").is_empty());
        let (volume, made) = make(&store, "db", Stay::Kept);
        assert!(made && volume.created == 5 && volume.labels["a"] == "b");
        fs::write(volume.path().join("f"), "x").expect("a file");
        assert!(!make(&store, "db", Stay::Kept).1);
        assert_eq!(fs::read(volume.path().join("f")).expect("kept"), b"x");
        let held = store.lock().expect("the lock");
        assert!(store.remove(&held, &name("db")).expect("removed"));
        assert!(!store.remove(&held, &name("db")).expect("it is gone"));
        let left = fs::read_dir(&store.root).expect("the folder");
        let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, [LOCK]);
    }

    #[test]
    fn many_make_one() {
        let (_dir, store) = store();
        let made: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| usize::from(make(&store, "db", Stay::Passing).1)))
                .collect();
            threads
                .into_iter()
                .map(|made| made.join().expect("no panic"))
                .sum()
        });
        assert_eq!(made, 1);
        assert_eq!(store.list().expect("list").len(), 1);
        assert_eq!(store.passing(), [name("db")]);
    }

    #[test]
    fn a_lease_keeps_removers_out_and_leftovers_are_swept() {
        let (_dir, store) = store();
        let lease = store.lease().expect("a lease");
        assert!(store.try_lock().expect("asked").is_none());
        let left = store.unique(NEW);
        fs::create_dir_all(left.join(DATA)).expect("a leftover");
        drop(lease);
        assert!(store.try_lock().expect("asked").is_some());
        assert!(!left.exists());
    }

    #[test]
    fn a_damaged_record_does_not_hide_the_files() {
        let (_dir, store) = store();
        let (volume, _) = make(&store, "db", Stay::Kept);
        for rubbish in ["", "{", "[]", "\0\0"] {
            fs::write(volume.home.join(RECORD), rubbish).expect("a torn record");
            let found = store.find(&name("db")).expect("read").expect("it is there");
            assert!(found.created > 5 && found.labels.is_empty());
        }
    }
}
