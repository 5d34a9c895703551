//! What happens to containers and images, one line of JSON each, in files that every process adds to.
//!
//! A line is added with one write to a file that is opened for appending, so that lines of several processes never mix and none
//! waits for another. When the newest file is full it becomes the older one: so at least [`LARGEST_FILE`] bytes of the past are
//! kept, and at most twice as many.
//!
//! ```text
//! <root>/events/events.jsonl     the newest
//!               events.jsonl.1   the one before
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A file of this size is full, in bytes: some twenty thousand events.
pub const LARGEST_FILE: u64 = 4 << 20;
/// Longest line that is written and read, in bytes. Labels of an image can be far longer.
const LONGEST_LINE: usize = 16 << 10;
/// How long to wait before looking whether there is more.
const PAUSE: Duration = Duration::from_millis(50);

const NEWEST: &str = "events.jsonl";
const OLDER: &str = "events.jsonl.1";

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// To what kind of thing: `container` or `image`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What, in Docker's words: `start`, `die`, `pull`.
    pub action: String,
    /// To which.
    pub id: String,
    /// What else there is to know, such as `name`, `image`, `exitCode`, and labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// The events of a data directory.
#[derive(Clone, Debug)]
pub struct EventLog {
    dir: PathBuf,
}

/// The newest file, opened while that was allowed: for a process that sits behind the second wall when it has something to say.
#[derive(Debug)]
pub struct EventWriter(File);

impl EventWriter {
    /// Adds an event.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn add(&mut self, event: &Event) -> io::Result<()> {
        self.0.write_all(&line(event))
    }
}

impl EventLog {
    /// Names the directory that holds them.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// Opens the newest file, to add to it; first makes it the older one if it is full.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn writer(&self) -> io::Result<EventWriter> {
        let file = match self.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                crate::sys::create_private_dir_all(&self.dir)?;
                self.open()?
            }
            opened => opened?,
        };
        if file.metadata()?.len() >= LARGEST_FILE && self.rotate()? {
            return Ok(EventWriter(self.open()?));
        }
        Ok(EventWriter(file))
    }

    /// Adds an event.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn add(&self, event: &Event) -> io::Result<()> {
        self.writer()?.add(event)
    }

    fn open(&self) -> io::Result<File> {
        File::options()
            .append(true)
            .create(true)
            .open(self.dir.join(NEWEST))
    }

    /// Makes the newest file the older one, unless another process is doing that. Says whether it was done.
    fn rotate(&self) -> io::Result<bool> {
        let lock = File::create(self.dir.join("lock"))?;
        if lock.try_lock().is_err() {
            return Ok(false);
        }
        let newest = self.dir.join(NEWEST);
        // Another process may have done it just before.
        if fs::metadata(&newest)?.len() < LARGEST_FILE {
            return Ok(true);
        }
        fs::rename(&newest, self.dir.join(OLDER))?;
        Ok(true)
    }

    /// Calls `show` with each event, oldest first, as far as they are kept. As long as `more` says so, waits for further ones.
    ///
    /// # Errors
    ///
    /// What the file system or `show` says.
    pub fn read(
        &self,
        more: &mut dyn FnMut() -> bool,
        show: &mut dyn FnMut(Event) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut newest = self.open_to_read(NEWEST)?;
        let older = self.open_to_read(OLDER)?;
        // Between both calls the newest may have become the older one.
        if let Some(older) = older
            && !newest
                .as_ref()
                .is_some_and(|newest| is_same(newest, &older))
        {
            Lines::new(older).drain(show)?;
        }
        let mut lines = newest.take().map(Lines::new);
        loop {
            // Asked first: what was written until now is read below.
            let goes_on = more();
            let current = self.open_to_read(NEWEST)?;
            if let Some(lines) = &mut lines {
                lines.drain(show)?;
            }
            let is_new = match (&current, &lines) {
                (Some(current), Some(lines)) => !is_same(current, lines.0.get_ref()),
                (current, _) => current.is_some(),
            };
            if is_new {
                // The full one was read to its end above; what came to it since then, here.
                if let Some(lines) = &mut lines {
                    lines.drain(show)?;
                }
                lines = current.map(Lines::new);
                continue;
            }
            if !goes_on {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn open_to_read(&self, name: &str) -> io::Result<Option<File>> {
        match File::open(self.dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }
}

/// Returns the line for an event; without what makes it too long.
fn line(event: &Event) -> Vec<u8> {
    let text = |event: &Event| {
        let mut bytes = serde_json::to_vec(event).expect("strings and numbers serialise");
        bytes.push(b'\n');
        bytes
    };
    let whole = text(event);
    if whole.len() <= LONGEST_LINE {
        return whole;
    }
    // Labels are the only thing that somebody else can make long.
    let mut short = event.clone();
    short.attributes.retain(|_, value| value.len() <= 256);
    while text(&short).len() > LONGEST_LINE {
        short.attributes.pop_last();
    }
    text(&short)
}

/// The lines of one file, as far as they are written.
struct Lines(BufReader<File>, Vec<u8>);

impl Lines {
    fn new(file: File) -> Self {
        Self(BufReader::new(file), Vec::new())
    }

    fn drain(&mut self, show: &mut dyn FnMut(Event) -> io::Result<()>) -> io::Result<()> {
        loop {
            let room = (LONGEST_LINE + 1).saturating_sub(self.1.len());
            let mut part = io::Read::take(&mut self.0, room as u64);
            part.read_until(b'\n', &mut self.1)?;
            if !self.1.ends_with(b"\n") && self.1.len() <= LONGEST_LINE {
                return Ok(());
            }
            // A line that a power cut has torn says nothing.
            if let Ok(event) = serde_json::from_slice(&self.1) {
                show(event)?;
            }
            self.1.clear();
        }
    }
}

#[cfg(unix)]
fn is_same(a: &File, b: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_same(a: &File, b: &File) -> bool {
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => a.created().ok() == b.created().ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, attributes: &[(&str, &str)]) -> Event {
        let pairs = attributes.iter();
        Event {
            time: Timestamp::UNIX_EPOCH,
            kind: "container".to_owned(),
            action: action.to_owned(),
            id: "ab".repeat(32),
            attributes: pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn all(log: &EventLog) -> Vec<Event> {
        let mut seen = Vec::new();
        log.read(&mut || false, &mut |event| {
            seen.push(event);
            Ok(())
        })
        .expect("read");
        seen
    }

    #[test]
    fn processes_add_and_nothing_is_lost_when_a_file_is_full() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = EventLog::new(&dir.path().join("events"));
        assert!(all(&log).is_empty());
        let long = "x".repeat(1000);
        // More than one file holds, and less than two.
        const EACH: usize = 1500;
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (log, long) = (&log, &long);
                scope.spawn(move || {
                    for number in 0..EACH {
                        let action = format!("{thread}.{number}");
                        log.add(&event(&action, &[("pad", long)])).expect("added");
                    }
                });
            }
        });
        assert!(dir.path().join("events").join(OLDER).exists());
        let mut seen: Vec<String> = all(&log).into_iter().map(|event| event.action).collect();
        assert_eq!(seen.len(), 4 * EACH);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 4 * EACH);
    }

    #[test]
    fn who_follows_sees_what_comes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = EventLog::new(dir.path());
        let mut seen = Vec::new();
        let mut asked = 0;
        let mut more = || {
            asked += 1;
            if asked <= 3 {
                log.add(&event(&asked.to_string(), &[])).expect("added");
            }
            asked < 5
        };
        log.read(&mut more, &mut |event| {
            seen.push(event.action);
            Ok(())
        })
        .expect("read");
        assert_eq!(seen, ["1", "2", "3"]);
    }

    #[test]
    fn endless_labels_make_no_endless_line() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = EventLog::new(dir.path());
        let endless = "y".repeat(1 << 20);
        let mut many = event("start", &[("image", "hello"), ("long", &endless)]);
        for number in 0..10_000 {
            many.attributes.insert(format!("z{number}"), "v".to_owned());
        }
        log.add(&many).expect("added");
        fs::write(
            dir.path().join(OLDER),
            [&b"\0\0\n{\n"[..], &[b'x'; 100_000], b"\n[]\n"].concat(),
        )
        .expect("rubbish");
        let seen = all(&log);
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].attributes["image"], "hello");
        let size = fs::metadata(dir.path().join(NEWEST))
            .expect("its size")
            .len();
        assert!(size <= LONGEST_LINE as u64);
    }
}
