//! Where compiled code is kept: `<cache>/<what it fits>/<SHA-256 of the program>.cwasm`.
//!
//! Compiled code is executed as it is, so whoever can write it rules the process: it is taken only from a directory and
//! a file that nobody but this user can write. It arrives whole or not at all (temporary file, sync, rename).
//! wasmtime checks its head: version, settings, processor. A file that was damaged in the middle is not noticed at a start, as
//! with any program on the disk; a sum beside it (`<SHA-256 of the program>.sum`) lets [`Cache::check`] find it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

use super::cpu;
use super::error::LoadError;
use super::host;
use super::program::Program;

mod check;

pub use check::{CheckedCode, DamagedCode};

/// A temporary file older than this was left by a process that died: no compilation takes a day.
const ABANDONED: Duration = Duration::from_hours(24);
/// The name's end of a temporary file.
const TEMPORARY: &str = ".tmp";

/// Compiled code that fits one engine.
pub(super) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Names the directory; touches nothing.
    pub(super) fn new(root: &Path, engine: &Engine) -> Self {
        // Not SHA-256: nobody gains by a collision, and finding out how to compute it takes 25 us of every start. A
        // compiler of ours that hashes otherwise makes the code anew.
        let mut fits = DefaultHasher::new();
        // wasmtime's version and settings. The engine has no compiler, so what that would add is added here; wasmtime
        // checks it all once more when it loads.
        engine.precompile_compatibility_hash().hash(&mut fits);
        (std::env::consts::ARCH, std::env::consts::OS).hash(&mut fits);
        cpu::features().hash(&mut fits);
        Self {
            dir: root.join(format!("{:016x}", fits.finish())),
        }
    }

    /// Returns the directory, which need not exist yet.
    pub(super) fn directory(&self) -> &Path {
        &self.dir
    }

    fn path(&self, sha256: &[u8; 32]) -> PathBuf {
        self.dir.join(format!("{}.cwasm", hex(sha256)))
    }

    /// Says whether there is compiled code, without loading it.
    pub(super) fn contains(&self, sha256: &[u8; 32]) -> Result<bool, LoadError> {
        let path = self.path(sha256);
        Ok(self.trusted(&path)? && matches!(Engine::detect_precompiled_file(&path), Ok(Some(_))))
    }

    /// Maps compiled code. `None` if there is none; what can't be used is removed.
    pub(super) fn load(
        &self,
        engine: &Engine,
        sha256: &[u8; 32],
    ) -> Result<Option<Program>, LoadError> {
        let path = self.path(sha256);
        if !self.trusted(&path)? {
            return Ok(None);
        }
        match map(engine, &path) {
            Some(program) => Ok(Some(program)),
            None => {
                // A process without descriptors or memory must not throw away what is good.
                File::open(&path).map_err(|source| LoadError::Cache {
                    doing: "opening",
                    path: path.clone(),
                    source,
                })?;
                // If it can't be removed, the rename that follows replaces it.
                fs::remove_file(&path).ok();
                Ok(None)
            }
        }
    }

    /// Maps compiled code for another engine than the cache's. `None` if there is none, or if that engine cannot use it.
    pub(super) fn map(&self, engine: &Engine, sha256: &[u8; 32]) -> Option<Program> {
        let path = self.path(sha256);
        self.trusted(&path).ok()?.then(|| map(engine, &path))?
    }

    /// Says whether the file is there; refuses it if others could have written it.
    fn trusted(&self, path: &Path) -> Result<bool, LoadError> {
        for (path, is_dir) in [(&*self.dir, true), (path, false)] {
            let metadata = match fs::symlink_metadata(path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(source) => {
                    return Err(LoadError::Cache {
                        doing: "looking at",
                        path: path.to_owned(),
                        source,
                    });
                }
            };
            let problem = if metadata.is_dir() != is_dir || metadata.is_symlink() {
                Some("is not what it should be")
            } else {
                host::trust_problem(&metadata)
            };
            if let Some(problem) = problem {
                return Err(LoadError::Untrusted {
                    path: path.to_owned(),
                    problem,
                });
            }
        }
        Ok(true)
    }

    /// Keeps compiled code. Readers see the whole file or none, also after a crash.
    pub(super) fn store(&self, sha256: &[u8; 32], code: &[u8]) -> Result<(), LoadError> {
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| LoadError::Cache {
                doing,
                path,
                source,
            }
        };
        create_private_dir(&self.dir).map_err(failed("creating", &self.dir))?;
        self.sweep();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!(
            "{}.{}.{number}{TEMPORARY}",
            hex(sha256),
            std::process::id()
        ));
        let path = self.path(sha256);
        // Before the code: what has no sum is not checked, what has another one's would be called damaged.
        fs::remove_file(check::sum_of(&path)).ok();
        let written = write_private(&temporary, code)
            .map_err(failed("writing", &temporary))
            .and_then(|()| fs::rename(&temporary, &path).map_err(failed("renaming to", &path)))
            .and_then(|()| {
                let sum = check::sum_of(&path);
                check::write_sum(&sum, code).map_err(failed("writing", &sum))
            });
        if written.is_err() {
            fs::remove_file(&temporary).ok();
        }
        written
    }

    /// Removes compiled code of programs that are not among these. One that is needed after all is compiled again.
    pub(super) fn keep(&self, programs: &BTreeSet<[u8; 32]>) -> Result<(), LoadError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(self.failed("listing", source)),
        };
        let kept: BTreeSet<PathBuf> = programs.iter().map(|program| self.path(program)).collect();
        for entry in entries {
            let path = entry
                .map_err(|source| self.failed("listing", source))?
                .path();
            let is_code = path.extension().is_some_and(|end| end == "cwasm");
            if !is_code || kept.contains(&path) {
                continue;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("removing from", error));
                }
                _ => {}
            }
            // Without its code it says nothing, and is replaced with the next.
            fs::remove_file(check::sum_of(&path)).ok();
        }
        Ok(())
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> LoadError {
        LoadError::Cache {
            doing,
            path: self.dir.clone(),
            source,
        }
    }

    /// Removes what dead processes left. Whatever fails here is tried again at the next compilation.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        let now = SystemTime::now();
        for entry in entries.flatten() {
            let old = || {
                let modified = entry.metadata().ok()?.modified().ok()?;
                Some(now.duration_since(modified).ok()? > ABANDONED)
            };
            if entry.file_name().to_string_lossy().ends_with(TEMPORARY) && old() == Some(true) {
                fs::remove_file(entry.path()).ok();
            }
        }
    }
}

/// Maps a file that was found trustworthy; `None` if wasmtime doesn't want it.
#[expect(
    unsafe_code,
    reason = "wasmtime can't verify compiled code; who could write it is all that there is to check"
)]
fn map(engine: &Engine, path: &Path) -> Option<Program> {
    match Engine::detect_precompiled_file(path).ok()?? {
        // SAFETY: `Cache::trusted` found that only this user can write the directory and the file, and this user's
        // Coracle puts nothing there but what `precompile_module` returned, whole, and never changes a file in place:
        // it is replaced by rename, which leaves the mapped one as it is.
        Precompiled::Module => unsafe { Module::deserialize_file(engine, path) }
            .ok()
            .map(Program::Module),
        // SAFETY: as above, with `precompile_component`.
        Precompiled::Component => unsafe { Component::deserialize_file(engine, path) }
            .ok()
            .map(Program::Component),
    }
}

#[cfg(unix)]
fn create_private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file: File = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Writes bytes as lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String cannot fail");
            text
        })
}
