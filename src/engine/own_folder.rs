//! Folders of one build's own, in the data directory.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::random;

/// How old a folder without an owner is before it is swept: it is locked right after it was made.
const FRESH: Duration = Duration::from_secs(60);

/// A folder that goes when it is dropped. What a killed process leaves is swept by the next one that makes a folder there.
pub(super) struct OwnFolder {
    path: PathBuf,
    /// Says that somebody uses it.
    _lock: File,
}

impl OwnFolder {
    /// Makes a folder in `parent`, for its owner only.
    pub(super) fn new(parent: &Path) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(parent)?;
        sweep(parent);
        let path = parent.join(format!("{:016x}", u64::from_ne_bytes(random())));
        builder.create(&path)?;
        let lock = File::open(&path)?;
        lock.lock_shared()?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes what nobody uses any more. What cannot be removed takes room, and nothing else.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let made = entry.metadata().and_then(|metadata| metadata.modified());
        let age = made.map(|made| SystemTime::now().duration_since(made).unwrap_or_default());
        if age.is_ok_and(|age| age > FRESH)
            && File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok())
        {
            remove(&path);
        }
    }
}

fn remove(path: &Path) {
    // An overlay's own directory, which without root's rights even its owner cannot enter.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let inner = path.join("work/work");
        drop(fs::set_permissions(
            inner,
            fs::Permissions::from_mode(0o700),
        ));
    }
    drop(fs::remove_dir_all(path));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_is_swept() {
        let parent = tempfile::tempdir().expect("a directory");
        let used = OwnFolder::new(parent.path()).expect("made");
        let old = SystemTime::now() - Duration::from_secs(3600);
        let (left, fresh) = (parent.path().join("left"), parent.path().join("fresh"));
        for path in [&left, &fresh] {
            fs::create_dir(path).expect("made");
        }
        for path in [&left, &used.path().to_owned()] {
            let folder = File::open(path).expect("opens");
            folder.set_modified(old).expect("a time in the past");
        }
        let second = OwnFolder::new(parent.path()).expect("made");
        assert!(!left.exists());
        assert!(fresh.exists() && used.path().exists() && second.path().exists());
        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }
}
