//! Other programs that run in a container, beside the one that it was made for.
//!
//! Each has a file in `execs/` that its process keeps locked; it is named after that process. What a process leaves there is
//! swept by whoever looks next: behind its wall it cannot remove the file itself.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::record::is_running;
use super::store::{failed, make_dir, read_bounded};
use super::{Container, ContainerError};
use crate::sys::{Process, Signal};

const EXECS: &str = "execs";
/// Most that is kept of a command, in bytes.
const LONGEST_COMMAND: usize = 4096;

/// Says, as long as it lives, that this process runs a program in a container.
#[derive(Debug)]
pub struct ExecLock(#[expect(dead_code, reason = "it holds the lock")] File);

/// A program that runs in a container beside its own.
#[derive(Debug)]
pub struct RunningExec {
    /// Its process.
    pub process: Process,
    /// The number of that.
    pub pid: u32,
    /// The program and its arguments, as far as they were kept.
    pub command: String,
}

impl Container {
    /// Says that this process runs a program in it. Needs a right on its folder: before the second wall.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn enter(&self, args: &[String]) -> Result<ExecLock, ContainerError> {
        let dir = self.dir.join(EXECS);
        make_dir(&dir)?;
        let path = dir.join(std::process::id().to_string());
        let new = path.with_extension("new");
        let mut command = args.join(" ");
        let mut end = command.len().min(LONGEST_COMMAND);
        while !command.is_char_boundary(end) {
            end -= 1;
        }
        command.truncate(end);
        let write = || {
            let mut file = File::create(&new)?;
            file.lock()?;
            file.write_all(command.as_bytes())?;
            // It is never seen without its lock.
            fs::rename(&new, &path)?;
            Ok(file)
        };
        write().map(ExecLock).map_err(failed("writing", &path))
    }

    /// Lists the other programs that run in it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn execs(&self) -> Result<Vec<RunningExec>, ContainerError> {
        running(&self.dir)
    }

    /// Lets other programs that run in it, and are halted, go on, when it has ended itself: they end by themselves then, which who
    /// is halted cannot.
    pub fn release_execs(&self) {
        release_all(&self.dir);
    }
}

/// Lets the programs that run in the container of this folder go on.
pub(super) fn release_all(home: &Path) {
    for exec in running(home).unwrap_or_default() {
        // It may have ended meanwhile.
        drop(exec.process.signal(Signal::CONT));
    }
}

fn running(home: &Path) -> Result<Vec<RunningExec>, ContainerError> {
    let dir = home.join(EXECS);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("listing", &dir))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("listing", &dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(pid) = name.and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Opened first: if it still holds its lock then, it is the right one.
        let process = Process::open(pid).map_err(failed("finding the process of", &path))?;
        let runs = is_running(&path).unwrap_or(false);
        match process {
            Some(process) if runs => found.push(RunningExec {
                process,
                pid,
                command: String::from_utf8_lossy(
                    &read_bounded(&path, LONGEST_COMMAND as u64).unwrap_or_default(),
                )
                .into_owned(),
            }),
            // Somebody else may sweep as well.
            _ => drop(fs::remove_file(&path)),
        }
    }
    found.sort_by_key(|exec| exec.pid);
    Ok(found)
}
