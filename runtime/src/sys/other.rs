//! macOS, Windows and the rest: the first wall only.

use std::fs::File;
use std::io::{self, PipeWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

use wasmtime::Engine;

use super::signal::Signal;
use super::{Applied, Ending, Reach, RestrictError, Restricted, Usage};

/// The bytes of a file that does not change. Read into memory here; Linux maps them.
#[derive(Debug)]
pub struct MappedFile(Vec<u8>);

impl MappedFile {
    /// Reads the whole of `file`. The handle may be closed afterwards; its position is at the end.
    ///
    /// # Errors
    ///
    /// What the system says of the file, and `OutOfMemory` for one that does not fit.
    pub fn open(file: &File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut bytes = Vec::new();
        let capacity = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes
            .try_reserve_exact(capacity)
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut file = file.try_clone()?;
        io::Seek::rewind(&mut file)?;
        file.take(length).read_to_end(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Ends the process now. Whatever is buffered must have been flushed before.
pub fn exit_now(code: i32) -> ! {
    #[expect(
        clippy::exit,
        reason = "the caller asked for it, at the end of a process of its own"
    )]
    std::process::exit(code)
}

/// Restricts nothing, and says so: the second wall exists on Linux only.
///
/// # Errors
///
/// None here.
pub fn restrict(_reach: &Reach<'_>) -> Result<Restricted, RestrictError> {
    fn none<T>() -> Applied<T> {
        Applied::Unsupported(format!(
            "first wall only: there is no second wall on {}",
            std::env::consts::OS
        ))
    }
    Ok(Restricted {
        no_new_privileges: none(),
        landlock: none(),
        seccomp: none(),
    })
}

/// Leaves signals as they are: the record then says that the process was killed.
///
/// # Errors
///
/// None here.
pub fn end_on_signals(_file: &File, _record: impl Fn(i32) -> Vec<u8>) -> io::Result<()> {
    Ok(())
}

/// Leaves signals as they are: they end the process.
///
/// # Errors
///
/// None here.
pub fn ring_on_signals(_bell: PipeWriter) -> io::Result<()> {
    Ok(())
}

/// Ends this process when so much time has passed: writes the record to `file` and the message to standard error.
///
/// # Errors
///
/// What the system says.
pub fn end_after(time: Duration, file: &File, ending: Ending) -> io::Result<()> {
    let mut file = file.try_clone()?;
    std::thread::Builder::new().spawn(move || {
        std::thread::sleep(time);
        // Nothing else is left to do if they cannot be written.
        file.write_all(&ending.record).ok();
        io::stderr().write_all(&ending.message).ok();
        exit_now(ending.code.into())
    })?;
    Ok(())
}

/// Makes the engine's epoch go on by one from time to time, so that guests are asked for an account.
///
/// # Errors
///
/// What the system says.
pub fn step_epochs(engine: &Engine, every: Duration) -> io::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new().spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(every);
        }
    })?;
    Ok(())
}

/// Leaves the system's bound on open files as it is: it is far above what a guest may have.
///
/// # Errors
///
/// None here.
pub fn allow_open_files(_count: u32) -> io::Result<()> {
    Ok(())
}

/// Does not know what has happened to a directory.
///
/// # Errors
///
/// None here.
pub fn is_untouched(_dir: &Path) -> io::Result<bool> {
    Ok(false)
}

/// A process of this machine. None can be found on this system yet.
#[derive(Debug)]
pub struct Process(Never);

#[derive(Debug)]
enum Never {}

impl Process {
    /// Refuses: not supported on this system yet.
    ///
    /// # Errors
    ///
    /// Always [`io::ErrorKind::Unsupported`].
    pub fn open(_pid: u32) -> io::Result<Option<Self>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never called: there is no such value.
    ///
    /// # Errors
    ///
    /// None.
    pub fn signal(&self, _signal: Signal) -> io::Result<()> {
        match self.0 {}
    }

    /// Never called: there is no such value.
    ///
    /// # Errors
    ///
    /// None.
    pub fn wait(&self, _patience: Duration) -> io::Result<bool> {
        match self.0 {}
    }
}

/// Knows nothing of other processes.
pub fn usage(_pid: u32) -> Option<Usage> {
    None
}

/// Does not know how much memory this machine has.
pub fn memory() -> u64 {
    0
}

/// Does not know for how long this machine has run.
pub fn uptime() -> Duration {
    Duration::ZERO
}

/// Nobody can stop a process on these systems.
pub fn is_stopped(_pid: u32) -> bool {
    false
}

/// Refuses: not supported on this system yet.
///
/// # Errors
///
/// Always [`io::ErrorKind::Unsupported`].
pub fn leave_session() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Refuses: not supported on this system yet.
///
/// # Errors
///
/// Always [`io::ErrorKind::Unsupported`].
pub fn end_with_parent(_parent: u32) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Refuses: not supported on this system yet.
///
/// # Errors
///
/// Always [`io::ErrorKind::Unsupported`].
pub fn standard_input() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Runs this: no handle tells more to an administrator on these systems.
///
/// # Errors
///
/// None.
pub fn without_administration<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    Ok(work())
}

/// Data is kept for each user on these systems, whatever rights the user has.
pub fn is_root() -> bool {
    false
}

/// Makes a directory with its parents. Who may enter it is what its parent passes on: on these systems the user's own folders
/// are closed to others.
///
/// # Errors
///
/// What the system says. A directory that is there is none.
pub fn create_private_dir_all(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Leaves open what is open: there is no second wall here, and a guest has no way to name it.
pub fn close_inherited_files() {}
