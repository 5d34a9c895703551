//! Reading, and waiting for more.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::entry::{Entry, Stream, decode};
use super::{LogConfig, file};

/// Longest line that is read, in bytes: 16 KiB of text in which each byte needs six, and as much again in base64.
const LONGEST_LINE: u64 = 256 << 10;

/// How long to wait before looking whether there is more.
const PAUSE: Duration = Duration::from_millis(20);

/// Which part of a log is wanted. The default is all of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// At most so many lines, the newest.
    pub tail: Option<usize>,
    /// Only what was written at this time or later.
    pub since: Option<Timestamp>,
    /// Only what was written before this time.
    pub until: Option<Timestamp>,
}

/// Is more to come? Asked whenever the end was reached.
pub type Follow<'a> = &'a mut dyn FnMut() -> bool;

/// The log of a container, running or not.
#[derive(Debug)]
pub struct LogReader {
    dir: PathBuf,
}

impl LogReader {
    /// Names the log's directory. One that is not there is an empty log.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// Calls `show` with each entry, oldest first. With `follow`, waits for more until it says that there will be none. Returns
    /// whether files were removed before they were read: then entries are missing in between.
    ///
    /// # Errors
    ///
    /// What the file system or `show` says.
    pub fn read(
        &self,
        wanted: &Wanted,
        mut follow: Option<Follow<'_>>,
        show: &mut dyn FnMut(&Entry) -> io::Result<()>,
    ) -> io::Result<bool> {
        let mut files = self.files()?;
        if let Some(follow) = follow.as_mut() {
            while files.is_empty() {
                // Nothing was written yet. Asked first: what was written until now is seen below.
                let more = follow();
                files = self.files()?;
                if !more {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
        }
        let skip = match wanted.tail {
            Some(tail) => self.first_of(&files, wanted, tail)?,
            None => Position::default(),
        };
        let last = files.len().saturating_sub(1);
        for (at, open) in files.into_iter().enumerate() {
            let mut lines = Lines::new(open);
            match at.cmp(&skip.file) {
                Ordering::Less => continue,
                Ordering::Equal => lines.skip(skip.line)?,
                Ordering::Greater => {}
            }
            lines.drain(wanted, show)?;
            if at == last
                && let Some(follow) = follow.as_mut()
            {
                return self.follow(lines, wanted, follow, show);
            }
        }
        Ok(false)
    }

    /// Goes on reading a file, and the ones that come after it.
    fn follow(
        &self,
        mut lines: Lines,
        wanted: &Wanted,
        follow: Follow<'_>,
        show: &mut dyn FnMut(&Entry) -> io::Result<()>,
    ) -> io::Result<bool> {
        let mut missing = false;
        loop {
            // Asked first: what was written until now is read below.
            let more = follow();
            let newer = self.newer_than(lines.reader.get_ref())?;
            lines.rewind_if_emptied()?;
            lines.drain(wanted, show)?;
            if wanted.until.is_some_and(|until| Timestamp::now() > until) {
                return Ok(missing);
            }
            match newer {
                Some(next) => {
                    missing |= !next.follows;
                    lines = Lines::new(next.file);
                }
                None if more => std::thread::sleep(PAUSE),
                None => return Ok(missing),
            }
        }
    }

    /// Opens the file that was begun after this one.
    fn newer_than(&self, known: &File) -> io::Result<Option<Newer>> {
        let mut newer = None;
        for age in 0..LogConfig::MOST_FILES {
            let open = match File::open(file(&self.dir, age)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                open => open?,
            };
            if is_same(&open, known)? {
                return Ok(newer);
            }
            newer = Some(Newer {
                file: open,
                follows: true,
            });
        }
        // It is gone, and who knows how many with it: go on with the oldest.
        Ok(newer.map(|newer| Newer {
            follows: false,
            ..newer
        }))
    }

    /// Opens all files, oldest first.
    fn files(&self) -> io::Result<Vec<File>> {
        let mut files: Vec<File> = Vec::new();
        let mut holes = 0;
        for age in 0..LogConfig::MOST_FILES {
            let open = match File::open(file(&self.dir, age)) {
                // While files become one older there is a hole for a moment.
                Err(error) if error.kind() == io::ErrorKind::NotFound && holes == 0 => {
                    holes = 1;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                open => open?,
            };
            // It may have become one older since it was opened.
            let is_known = match files.last() {
                Some(last) => is_same(last, &open)?,
                None => false,
            };
            if !is_known {
                files.push(open);
            }
        }
        files.reverse();
        Ok(files)
    }

    /// Finds where the last `tail` lines begin.
    fn first_of(&self, files: &[File], wanted: &Wanted, tail: usize) -> io::Result<Position> {
        let end = Position {
            file: files.len(),
            line: 0,
        };
        if tail == 0 {
            // Of the newest file nothing, but what comes after.
            let Some(newest) = files.last() else {
                return Ok(end);
            };
            let mut lines = Lines::new(newest.try_clone()?);
            let mut line = 0;
            while lines.next()?.is_some() {
                line += 1;
            }
            newest.try_clone()?.rewind()?;
            return Ok(Position {
                file: files.len() - 1,
                line,
            });
        }
        let mut starts = VecDeque::new();
        // Of each stream, as they are shown.
        let mut at_start = [true; 2];
        for (at, open) in files.iter().enumerate() {
            let mut lines = Lines::new(open.try_clone()?);
            let mut line = 0;
            while let Some(entry) = lines.next()? {
                if let Some(entry) = entry.filter(|entry| wanted.holds(entry)) {
                    let at_start = &mut at_start[usize::from(entry.stream == Stream::Stderr)];
                    if *at_start {
                        starts.push_back(Position { file: at, line });
                        if starts.len() > tail {
                            starts.pop_front();
                        }
                    }
                    *at_start = entry.bytes.ends_with(b"\n");
                }
                line += 1;
            }
            open.try_clone()?.rewind()?;
        }
        Ok(starts.front().copied().unwrap_or(end))
    }
}

/// A file that was begun later than another.
struct Newer {
    file: File,
    /// Is it the next one?
    follows: bool,
}

#[derive(Clone, Copy, Default)]
struct Position {
    file: usize,
    line: u64,
}

impl Wanted {
    fn holds(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time < until)
    }
}

/// The lines of one file, as far as they are written.
struct Lines {
    reader: BufReader<File>,
    /// The beginning of a line whose end is not there yet.
    begun: Vec<u8>,
}

impl Lines {
    fn new(file: File) -> Self {
        Self {
            reader: BufReader::with_capacity(64 << 10, file),
            begun: Vec::new(),
        }
    }

    /// Returns the next line's entry, if the line says one. `None`: the end, for now.
    fn next(&mut self) -> io::Result<Option<Option<Entry>>> {
        let room = LONGEST_LINE.saturating_sub(self.begun.len() as u64);
        (&mut self.reader)
            .take(room)
            .read_until(b'\n', &mut self.begun)?;
        if self.begun.ends_with(b"\n") || self.begun.len() as u64 >= LONGEST_LINE {
            let entry = decode(&self.begun);
            self.begun.clear();
            return Ok(Some(entry));
        }
        Ok(None)
    }

    /// Goes back to the start of a file that was emptied because it is the only one and was full.
    fn rewind_if_emptied(&mut self) -> io::Result<()> {
        let at = self.reader.stream_position()?;
        if self.reader.get_ref().metadata()?.len() < at {
            self.begun.clear();
            self.reader.rewind()?;
        }
        Ok(())
    }

    fn skip(&mut self, lines: u64) -> io::Result<()> {
        for _ in 0..lines {
            self.next()?;
        }
        Ok(())
    }

    fn drain(
        &mut self,
        wanted: &Wanted,
        show: &mut dyn FnMut(&Entry) -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some(entry) = self.next()? {
            if let Some(entry) = entry.filter(|entry| wanted.holds(entry)) {
                show(&entry)?;
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
fn is_same(a: &File, b: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (a, b) = (a.metadata()?, b.metadata()?);
    Ok((a.dev(), a.ino()) == (b.dev(), b.ino()))
}

/// Files cannot be told apart here without a handle's number: a file that was begun later is one created later.
#[cfg(not(unix))]
fn is_same(a: &File, b: &File) -> io::Result<bool> {
    Ok(a.metadata()?.created()? == b.metadata()?.created()?)
}
