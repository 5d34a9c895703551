//! The file that tells where a container is in its life.
//!
//! It has a line of JSON when the container was created to be started later, one when the guest starts, and one when it has
//! ended. The process that runs the guest holds an exclusive lock on it, so that "running" is a question to the kernel. It
//! is opened before the second wall goes up and written with one system call a line: so the walled process needs no right on
//! the directory, and a signal handler can write it as well.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ContainerError;
use super::store::{STATE, failed};
use crate::policy::Capability;

/// Largest file that is read, in bytes: a report of a few dozen lines, and how the container ended.
const LARGEST: u64 = 64 << 10;

/// How long another process may ask before we look again.
const ASKING: Duration = Duration::from_millis(1);

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code that the command had, 0 to 255.
    pub code: u8,
    /// Why it ended, where the guest's own exit code does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Did it end for want of memory, because its limit was reached?
    #[serde(default, skip_serializing_if = "is_false")]
    pub out_of_memory: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Exit {
    /// Longest reason that is kept, in bytes of UTF-8.
    const LONGEST_REASON: usize = 1024;

    /// Makes the exit of a guest that ended by itself.
    pub fn by_itself(code: u8) -> Self {
        Self {
            code,
            reason: None,
            out_of_memory: false,
        }
    }

    /// Makes an exit with a reason; an overlong reason is cut.
    pub fn because(code: u8, reason: &str) -> Self {
        let mut end = reason.len().min(Self::LONGEST_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            code,
            reason: Some(reason[..end].to_owned()),
            out_of_memory: false,
        }
    }

    /// Returns the line that says it.
    pub fn to_line(&self) -> Vec<u8> {
        line(self)
    }
}

/// A capability that a guest was refused while it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The class of grants that it belongs to, such as `net.connect`.
    pub class: String,
    /// What was refused, as a grant of it is written. It comes from the guest.
    pub refused: String,
}

/// Since when a container runs or ran, and behind which walls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) started: i64,
    pub(super) walls: Value,
}

/// Says that the container waits for its first start.
#[derive(Serialize, Deserialize)]
struct Created {
    created: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Created(Created),
    Start(Start),
    Exit(Exit),
    Refused(Refused),
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("numbers, strings and lists serialise");
    bytes.push(b'\n');
    bytes
}

/// What the file says.
#[derive(Debug)]
pub(super) struct Life {
    /// Does a process run the guest?
    pub(super) running: bool,
    /// Was it created to be started later? A container that is made and run in one go never says so.
    pub(super) created: bool,
    pub(super) start: Option<Start>,
    pub(super) exit: Option<Exit>,
    pub(super) refused: Vec<Refused>,
    /// When the last line was written.
    pub(super) changed: SystemTime,
}

impl Life {
    /// Reads the file. A line that a power cut has torn was not said.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let running = is_locked(&file)?;
        let metadata = file.metadata()?;
        let mut text =
            Vec::with_capacity(usize::try_from(metadata.len().min(LARGEST)).unwrap_or(0) + 1);
        file.take(LARGEST).read_to_end(&mut text)?;
        let mut life = Self {
            running,
            created: false,
            start: None,
            exit: None,
            refused: Vec::new(),
            changed: metadata.modified()?,
        };
        for line in text.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Line::Created(Created { created })) => life.created = created,
                Ok(Line::Start(start)) => (life.start, life.exit) = (Some(start), None),
                Ok(Line::Exit(exit)) => life.exit = Some(exit),
                Ok(Line::Refused(refused)) => life.refused.push(refused),
                Err(_) => {}
            }
        }
        Ok(life)
    }
}

/// The file, held open: what it says last can be read even if the container was removed.
#[derive(Debug)]
pub struct LastWords(File);

impl LastWords {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// Returns how the last life ended. `None`: it has not, or nobody has said yet.
    ///
    /// # Errors
    ///
    /// [`ContainerError::File`].
    pub fn exit(&self) -> Result<Option<Exit>, ContainerError> {
        let read = || {
            let mut text = Vec::new();
            (&self.0).rewind()?;
            (&self.0).take(LARGEST).read_to_end(&mut text)?;
            Ok(text)
        };
        let text = read().map_err(failed("reading", Path::new(STATE)))?;
        let mut exit = None;
        for line in text.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Line::Start(_)) => exit = None,
                Ok(Line::Exit(said)) => exit = Some(said),
                _ => {}
            }
        }
        Ok(exit)
    }
}

/// Does a process run the guest whose file this is?
pub(super) fn is_running(path: &Path) -> io::Result<bool> {
    is_locked(&File::open(path)?)
}

fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The open file of the process that runs the guest. The kernel gives the lock back when that process ends, however it ends.
#[derive(Debug)]
pub struct Record(Arc<File>);

impl Record {
    /// Creates the file, locked: nobody sees it without its lock, which would mean that its maker is dead.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let new = path.with_extension("new");
        let file = File::create_new(&new)?;
        file.lock()?;
        fs::rename(&new, path)?;
        Ok(Self(Arc::new(file)))
    }

    /// Takes over the file of a container that exists. `None`: another process has it.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let record = Self::resume(path)?;
        if let Some(record) = &record {
            // One life at a time: what the last one said is not added to for ever.
            record.0.set_len(0)?;
        }
        Ok(record)
    }

    /// Takes over the file with what it says. `None`: another process has it.
    pub(super) fn resume(path: &Path) -> io::Result<Option<Self>> {
        let file = File::options().read(true).append(true).open(path)?;
        // Whoever asks whether it runs holds the lock for a moment, together with others; its owner holds it alone.
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::Error(error) => return Err(error),
                TryLockError::WouldBlock if is_locked(&file)? => return Ok(None),
                TryLockError::WouldBlock => std::thread::sleep(ASKING),
            }
        }
        Ok(Some(Self(Arc::new(file))))
    }

    /// Says that the container waits for its first start.
    pub(super) fn created(&mut self) -> io::Result<()> {
        (&*self.0).write_all(&line(&Created { created: true }))
    }

    /// Takes a file that is locked, to be written from where it stands.
    pub(super) fn of(file: File) -> Self {
        Self(Arc::new(file))
    }

    pub(super) fn started(&mut self, start: &Start) -> io::Result<()> {
        (&*self.0).write_all(&line(start))
    }

    pub(super) fn ended(&mut self, exit: &Exit) -> io::Result<()> {
        (&*self.0).write_all(&exit.to_line())
    }

    /// Returns a handle for whoever is told what the guest is refused.
    pub fn refusals(&self) -> Refusals {
        Refusals {
            file: self.0.clone(),
        }
    }

    /// Returns the file, for a signal handler that must write without allocating.
    pub fn file(&self) -> &File {
        &self.0
    }
}

/// Writes down what a guest is refused while it runs.
#[derive(Clone, Debug)]
pub struct Refusals {
    file: Arc<File>,
}

impl Refusals {
    /// Longest text that is kept, in bytes of UTF-8: a host name with its port.
    const LONGEST: usize = 300;

    /// Opens the file of a container that another process runs. A line is added with one write, and mixes with no other.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().append(true).open(path)?;
        Ok(Self {
            file: Arc::new(file),
        })
    }

    /// Adds a line. The caller bounds how many.
    ///
    /// # Errors
    /// What the system says.
    pub fn add(&self, capability: &Capability) -> io::Result<()> {
        let mut refused = capability.to_string();
        let mut end = refused.len().min(Self::LONGEST);
        while !refused.is_char_boundary(end) {
            end -= 1;
        }
        refused.truncate(end);
        let class = capability.class().name().to_owned();
        (&*self.file).write_all(&line(&Refused { class, refused }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("state");
        let mut record = Record::create(&path).expect("create");
        let life = Life::read(&path).expect("read");
        assert!(life.running && life.start.is_none() && life.exit.is_none());
        let start = Start {
            started: 1_700_000_000,
            walls: serde_json::json!({"up": true}),
        };
        let exit = Exit::because(134, &"\u{1}ä".repeat(5000));
        record.started(&start).expect("write");
        let long = Capability::Dns {
            name: "ä".repeat(1000),
        };
        record.refusals().add(&Capability::Stdin).expect("write");
        record.refusals().add(&long).expect("write");
        record.ended(&exit).expect("write");
        drop(record);
        let life = Life::read(&path).expect("read");
        assert_eq!(
            (life.running, life.start, life.exit),
            (false, Some(start), Some(exit))
        );
        let refused: Vec<_> = life
            .refused
            .iter()
            .map(|refused| refused.class.as_str())
            .collect();
        assert_eq!(refused, ["stdio", "net.dns"]);
        assert!(life.refused[1].refused.len() <= Refusals::LONGEST);
    }

    #[test]
    fn rubbish_counts_as_not_said() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("state");
        for rubbish in [
            &b"\0\0\0"[..],
            b"{",
            b"{\"code\":700}\n{\"started\":\"x\"}",
            b"[]",
            b"",
            b"\xff\n\n",
        ] {
            fs::write(&path, rubbish).expect("write");
            let life = Life::read(&path).expect("read");
            assert!(!life.running && life.start.is_none() && life.exit.is_none());
        }
    }
}
