//! Clearing away: ended ephemeral containers, what killed processes left, and names that lead nowhere.
//!
//! Nothing here may keep a new container from starting: what cannot be removed now is tried again by the next command.

use std::fs::{self, DirEntry};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::execs;
use super::record::is_running;
use super::reuse::Husk;
use super::store::{STATE, failed, read_bounded, read_config};
use super::{Container, ContainerError, ContainerStore, Id, Name};

/// What a directory in the making ends with, below `staging`.
pub(super) const NEW: &str = "new";
/// What a directory in removal ends with, below `staging`.
pub(super) const DEAD: &str = "dead";
/// What a name's file that is being freed ends with, below `staging`.
pub(super) const FREED: &str = "freed";

/// How many directories one command looks at, so that a start never waits for thousands of them.
const SWEEP_AT_MOST: usize = 16;

/// How long what has no lock yet is left alone: longer than any create takes from one step to the next.
pub(super) const STALE: Duration = Duration::from_secs(60);

impl ContainerStore {
    /// Clears away a bounded number of directories and names.
    pub(super) fn sweep(&self) {
        self.sweep_staging();
        for name in some(fs::read_dir(self.names())) {
            self.sweep_name(&name);
        }
        for home in self.some_ephemeral() {
            self.discard_ended(&home);
        }
    }

    /// Clears away a bounded number of directories, but keeps one, if it can, for the container with this id.
    pub(super) fn sweep_but_one(&self, id: &Id) -> Option<Husk> {
        self.sweep_staging();
        let mut kept = None;
        for home in self.some_ephemeral() {
            if kept.is_none() {
                kept = self.adopt(&home, id);
                if kept.is_some() {
                    continue;
                }
            }
            self.discard_ended(&home);
        }
        kept
    }

    fn sweep_staging(&self) {
        let staging = fs::read_dir(self.staging()).into_iter().flatten().flatten();
        for entry in staging.take(SWEEP_AT_MOST) {
            let path = entry.path();
            if path.extension().is_some_and(|end| end == DEAD) {
                drop(remove(&path));
            } else if path.extension().is_some_and(|end| end == FREED) {
                if is_older_than(&path, STALE) {
                    drop(fs::remove_file(&path));
                }
            } else if is_abandoned(&path) {
                drop(self.discard(&path, None));
            }
        }
    }

    /// Returns some containers that are removed when they end, whether they have or not.
    fn some_ephemeral(&self) -> Vec<PathBuf> {
        some(fs::read_dir(self.ephemeral()))
    }

    /// Frees a name that was taken for a container which never came to be.
    fn sweep_name(&self, path: &Path) {
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.and_then(|name| name.parse().ok())
            && is_older_than(path, STALE)
            && !self.leads_anywhere(path)
        {
            drop(self.release_stale_name(&name, path));
        }
    }

    fn discard_ended(&self, home: &Path) {
        if !is_running(&home.join(STATE)).unwrap_or(true) {
            drop(self.discard(home, None));
        }
    }

    /// Makes a container's directory vanish at once, frees its name, then removes it. Losing a race to another remover is success.
    pub(super) fn discard(&self, home: &Path, name: Option<&Name>) -> Result<(), ContainerError> {
        let id = home
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let known = match name {
            Some(name) => Some(name.clone()),
            None => read_config(home).ok().map(|config| config.name),
        };
        execs::release_all(home);
        let dead = self.staging().join(id).with_extension(DEAD);
        match fs::rename(home, &dead) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(failed("removing", home))?,
        }
        // It may have been given another name since; now nobody can any more.
        let last = read_config(&dead).ok().map(|config| config.name);
        for name in [known, last].into_iter().flatten() {
            self.free_name(&name, id);
        }
        remove(&dead).map_err(failed("removing", &dead))
    }

    /// Frees a name if it is still this container's: it may have been given to a new one. It is moved aside first: between a look
    /// and a removal somebody else could take the name, and lose it again.
    pub(super) fn free_name(&self, name: &Name, id: &str) {
        let path = self.names().join(name.as_str());
        let aside = self.staging().join(id).with_extension(FREED);
        if fs::rename(&path, &aside).is_err() {
            return;
        }
        if !read_bounded(&aside, 256).is_ok_and(|text| text == id.as_bytes()) {
            // It is somebody else's. Who has taken the name this very moment keeps it.
            drop(fs::hard_link(&aside, &path));
        }
        drop(fs::remove_file(&aside));
    }

    /// Frees a name whose container is gone or ended unseen; says who has it otherwise.
    pub(super) fn release_stale_name(
        &self,
        name: &Name,
        path: &Path,
    ) -> Result<(), ContainerError> {
        let text = match read_bounded(path, 256) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read.map_err(failed("reading", path))?,
        };
        // An empty or torn file names nobody.
        let id = String::from_utf8_lossy(&text).parse::<Id>().ok();
        let in_use = || ContainerError::NameInUse {
            name: name.clone(),
            id: id.clone().unwrap_or_else(|| Id::from_random([0; 32])),
        };
        if let Some(id) = &id {
            let dir = self.kept().join(id.as_str());
            if dir.exists() {
                let Ok(config) = read_config(&dir) else {
                    return Err(in_use());
                };
                // A rename that was cut short has left it, or one is between two steps.
                if config.name != *name {
                    return if is_older_than(path, STALE) {
                        free(path)
                    } else {
                        Err(in_use())
                    };
                }
                let container = Container {
                    config,
                    dir: dir.clone(),
                };
                return if container.is_over() {
                    self.discard(&dir, Some(name))
                } else {
                    Err(in_use())
                };
            }
            let ephemeral = self.ephemeral().join(id.as_str());
            match is_running(&ephemeral.join(STATE)) {
                Ok(true) => return Err(in_use()),
                Ok(false) => return self.discard(&ephemeral, Some(name)),
                Err(_) => {}
            }
            let new = self.staging().join(id.as_str()).with_extension(NEW);
            if new.exists() {
                return if is_abandoned(&new) {
                    self.discard(&new, Some(name)).and_then(|()| free(path))
                } else {
                    Err(in_use())
                };
            }
        }
        // Its creator may be between two steps.
        if is_older_than(path, STALE) {
            free(path)
        } else {
            Err(in_use())
        }
    }
}

/// Returns some of a directory's entries, from anywhere in it, so that a few that stay for long do not hide those behind them for
/// ever.
fn some(entries: io::Result<fs::ReadDir>) -> Vec<PathBuf> {
    let all: Vec<DirEntry> = entries.into_iter().flatten().flatten().collect();
    let first = match all.len() {
        0..=SWEEP_AT_MOST => 0,
        count => RandomState::new().hash_one(count) as usize % count,
    };
    let some = all
        .iter()
        .cycle()
        .skip(first)
        .take(SWEEP_AT_MOST.min(all.len()));
    some.map(DirEntry::path).collect()
}

fn free(path: &Path) -> Result<(), ContainerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed("removing", path)),
    }
}

/// Was the making of this directory given up? Its maker holds the lock from its first step on.
pub(super) fn is_abandoned(new: &Path) -> bool {
    match is_running(&new.join(STATE)) {
        Ok(running) => !running,
        Err(_) => is_older_than(new, STALE),
    }
}

pub(super) fn is_older_than(path: &Path, age: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|when| when.elapsed().is_ok_and(|passed| passed > age))
}

/// Removes a directory with all that is in it. Several processes may do so at once.
///
/// # Errors
///
/// What the file system says; none if it is not there.
pub fn remove(dir: &Path) -> io::Result<()> {
    loop {
        match empty(dir).and_then(|()| fs::remove_dir(dir)) {
            // Another has removed something that we were about to: all of it, or we go on with the rest.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !dir.exists() {
                    return Ok(());
                }
            }
            removed => return removed,
        }
    }
}

/// Removes all that is in a directory. A guest can nest directories deeper than a process can hold open and longer than a
/// path can be, so they are moved up to the top, level by level, and none is ever opened below the second.
pub(super) fn empty(top: &Path) -> io::Result<()> {
    let mut moved = 0u64;
    loop {
        let mut directories = 0;
        for entry in fs::read_dir(top)? {
            let entry = entry?;
            if !remove_file(&entry)? {
                directories += 1;
                flatten(top, &entry.path(), &mut moved)?;
            }
        }
        if directories == 0 {
            return Ok(());
        }
    }
}

/// Removes a directory's files, moves its directories up to `top`, and removes it.
fn flatten(top: &Path, dir: &Path, moved: &mut u64) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(dir)?;
            fs::read_dir(dir)?
        }
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let mut opened_up = false;
        while !remove_file(&entry)? {
            *moved += 1;
            match fs::rename(entry.path(), top.join(format!(".moved-{moved}"))) {
                // Somebody has given that name to something.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory
                    ) => {}
                // A directory that is moved is written to, and a Linux container may have left one without rights; overlayfs does.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !opened_up => {
                    open_up(&entry.path())?;
                    opened_up = true;
                }
                renamed => {
                    renamed?;
                    break;
                }
            }
        }
    }
    fs::remove_dir(dir)
}

/// Gives this user all rights on a directory of its own. Nobody uses it any more.
fn open_up(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
    }
    #[cfg(not(unix))]
    {
        let _: &Path = dir;
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// Removes an entry unless it is a directory; says whether it is gone.
fn remove_file(entry: &DirEntry) -> io::Result<bool> {
    if entry.file_type()?.is_dir() {
        return Ok(false);
    }
    match fs::remove_file(entry.path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        removed => removed.map(|()| true),
    }
}
