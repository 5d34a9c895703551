//! The end that the program's watcher serves.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::frame::Frame;
use super::place;
use crate::logs::{LogWriter, Stream};
use crate::sys;

/// How many may be attached at once.
const MOST_CLIENTS: usize = 16;
/// What is kept for one who does not read, in bytes. Above it the program waits.
pub const BACKLOG: usize = 256 << 10;
/// How long a program waits for one who does not read, before that one is let go of.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Most input that is kept for a program which does not read, in bytes. Above it those who type wait.
const MOST_INPUT: usize = 64 << 10;
/// Most that is read at once, in bytes.
const CHUNK: usize = 16 << 10;
/// How long those attached may take for what is left when the program has ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a program has that others can attach to.
#[derive(Debug)]
pub enum Lines {
    /// No standard input: only its log can be followed.
    None,
    /// The writing end of the pipe that is its standard input.
    Pipe {
        /// That end.
        writer: File,
        /// Does it end with the first who was attached?
        once: bool,
    },
    /// The outer end of its terminal.
    Terminal(File),
}

/// A container's console, while its program runs.
#[derive(Debug)]
pub struct Console {
    /// None where there is nothing to attach to.
    listener: Option<UnixListener>,
    lines: Lines,
    clients: Vec<Client>,
    /// What was typed and not taken yet.
    input: VecDeque<u8>,
    /// Does the input end when that is taken?
    ending: bool,
    /// Takes what a terminal shows.
    log: Option<LogWriter>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    received: Vec<u8>,
    backlog: VecDeque<u8>,
    /// When it last took something, or owed nothing.
    alive: Instant,
    /// Has it said that it sends no more, or gone?
    done: bool,
    gone: bool,
}

impl Console {
    /// Serves the console of the container in this folder. What a terminal shows is kept in `log`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open(dir: &Path, lines: Lines, log: Option<LogWriter>) -> io::Result<Self> {
        let listener = match lines {
            Lines::None => None,
            _ => Some(place::listen(dir)?),
        };
        if let Some(listener) = &listener {
            listener.set_nonblocking(true)?;
        }
        if let Lines::Pipe { writer: end, .. } | Lines::Terminal(end) = &lines {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        Ok(Self {
            listener,
            lines,
            clients: Vec::new(),
            input: VecDeque::new(),
            ending: false,
            log,
        })
    }

    /// Serves those who are attached, until one of `watched` can be read or the time is over. Says which of them can.
    ///
    /// # Errors
    ///
    /// When the system cannot be asked. What those who are attached do is no error.
    pub fn serve(
        &mut self,
        watched: &[BorrowedFd<'_>],
        until: Option<Instant>,
    ) -> io::Result<Vec<bool>> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let ready = self.turn(watched, left)?;
            if ready.iter().any(|ready| *ready) || left.is_some_and(|left| left.is_zero()) {
                return Ok(ready);
            }
        }
    }

    /// Waits once, and does what can be done.
    fn turn(
        &mut self,
        watched: &[BorrowedFd<'_>],
        patience: Option<Duration>,
    ) -> io::Result<Vec<bool>> {
        let blocked = self
            .clients
            .iter()
            .any(|client| client.backlog.len() >= BACKLOG);
        // Somebody's patience may end meanwhile.
        let patience = if blocked {
            Some(patience.map_or(PATIENCE, |patience| patience.min(PATIENCE)))
        } else {
            patience
        };
        let taking = self.input.len() < MOST_INPUT && !self.ending;
        let mut fds: Vec<PollFd<'_>> = watched
            .iter()
            .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
            .collect();
        for client in &self.clients {
            let mut wanted = PollFlags::empty();
            wanted.set(PollFlags::IN, taking && !client.done);
            wanted.set(PollFlags::OUT, !client.backlog.is_empty());
            fds.push(PollFd::new(&client.stream, wanted));
        }
        let first_client = watched.len();
        let door = fds.len();
        if let Some(listener) = &self.listener {
            // Who comes when all places are taken waits.
            let free = self.clients.len() < MOST_CLIENTS;
            let wanted = if free {
                PollFlags::IN
            } else {
                PollFlags::empty()
            };
            fds.push(PollFd::new(listener, wanted));
        }
        let line = fds.len();
        match &self.lines {
            Lines::None => {}
            Lines::Pipe { writer, .. } => {
                if !self.input.is_empty() {
                    fds.push(PollFd::new(writer, PollFlags::OUT));
                }
            }
            Lines::Terminal(terminal) => {
                let mut wanted = PollFlags::empty();
                wanted.set(PollFlags::IN, !blocked);
                wanted.set(PollFlags::OUT, !self.input.is_empty());
                if !wanted.is_empty() {
                    fds.push(PollFd::new(terminal, wanted));
                }
            }
        }
        let time = patience.and_then(|patience| Timespec::try_from(patience).ok());
        match poll(&mut fds, time.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(vec![false; watched.len()]),
            polled => polled?,
        };
        let events: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        drop(fds);
        let ready = |at: usize| events.get(at).copied().unwrap_or(PollFlags::empty());

        for (at, client) in self.clients.iter_mut().enumerate() {
            let events = ready(first_client + at);
            if events.contains(PollFlags::OUT) {
                client.send();
            }
            if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                client.receive(events);
            }
        }
        self.take_input();
        if ready(line).intersects(PollFlags::IN | PollFlags::HUP) {
            self.show();
        }
        self.pass_input();
        self.let_go();
        if ready(door).contains(PollFlags::IN) {
            self.accept();
        }
        Ok((0..watched.len()).map(|at| !ready(at).is_empty()).collect())
    }

    fn accept(&mut self) {
        while self.clients.len() < MOST_CLIENTS {
            let accepted = self.listener.as_ref().map(UnixListener::accept);
            let Some(Ok((stream, _))) = accepted else {
                return;
            };
            if stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client {
                    stream,
                    received: Vec::new(),
                    backlog: VecDeque::new(),
                    alive: Instant::now(),
                    done: false,
                    gone: false,
                });
            }
        }
    }

    /// Looks at what was received.
    fn take_input(&mut self) {
        for client in &mut self.clients {
            loop {
                match Frame::take(&mut client.received) {
                    Ok(None) => break,
                    Ok(Some(Frame::Input(bytes))) => {
                        if !matches!(self.lines, Lines::None) && !self.ending {
                            self.input.extend(bytes);
                        }
                    }
                    Ok(Some(Frame::End)) => client.done = true,
                    Ok(Some(Frame::Size(size))) => {
                        if let Lines::Terminal(terminal) = &self.lines {
                            // A size that the system does not take changes nothing.
                            drop(sys::set_window_size(terminal, size));
                        }
                    }
                    Err(_) => {
                        client.gone = true;
                        break;
                    }
                }
            }
            if (client.done || client.gone) && matches!(self.lines, Lines::Pipe { once: true, .. })
            {
                self.ending = true;
            }
        }
    }

    /// Gives the program what was typed, as far as it takes it.
    fn pass_input(&mut self) {
        let end = match &mut self.lines {
            Lines::None => return,
            Lines::Pipe { writer: end, .. } | Lines::Terminal(end) => end,
        };
        while !self.input.is_empty() {
            let (bytes, _) = self.input.as_slices();
            match end.write(bytes) {
                Ok(0) => break,
                Ok(count) => drop(self.input.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody reads any more.
                Err(_) => self.input.clear(),
            }
        }
        if self.ending {
            self.lines = Lines::None;
        }
    }

    /// Passes on what the terminal shows. Returns how much.
    fn show(&mut self) -> usize {
        let Lines::Terminal(terminal) = &mut self.lines else {
            return 0;
        };
        let mut buffer = [0; CHUNK];
        let count = terminal.read(&mut buffer).unwrap_or(0);
        let bytes = buffer.get(..count).unwrap_or_default();
        if let Some(log) = &self.log
            && !bytes.is_empty()
        {
            // A log that takes no more, on a full disk say, must not stop the program.
            drop(log.write(Stream::Stdout, bytes));
        }
        for client in &mut self.clients {
            if client.backlog.is_empty() {
                client.alive = Instant::now();
            }
            client.backlog.extend(bytes);
            client.send();
        }
        count
    }

    /// Lets go of those who are gone, and of those for whom the program has waited long enough.
    fn let_go(&mut self) {
        self.clients.retain(|client| {
            let stuck = client.backlog.len() >= BACKLOG && client.alive.elapsed() >= PATIENCE;
            !client.gone && !stuck
        });
    }

    /// Passes on what is left when the program has ended, and lets everybody go.
    pub fn close(mut self) {
        while self.show() > 0 {}
        let end = Instant::now() + FAREWELL;
        loop {
            for client in &mut self.clients {
                client.send();
            }
            self.clients
                .retain(|client| !client.gone && !client.backlog.is_empty());
            if self.clients.is_empty() || Instant::now() > end {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Client {
    fn receive(&mut self, events: PollFlags) {
        if !events.contains(PollFlags::IN) || self.done {
            // It has hung up, and has nothing more to say.
            self.gone |= events.intersects(PollFlags::HUP | PollFlags::ERR);
            return;
        }
        let mut buffer = [0; CHUNK];
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.done = true;
                self.gone = true;
            }
            Ok(count) => self
                .received
                .extend(buffer.get(..count).unwrap_or_default()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => self.gone = true,
        }
    }

    fn send(&mut self) {
        while !self.backlog.is_empty() {
            let (bytes, _) = self.backlog.as_slices();
            match self.stream.write(bytes) {
                Ok(0) => break,
                Ok(count) => {
                    drop(self.backlog.drain(..count));
                    self.alive = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::connect;

    /// Serves until it is so.
    fn serve_until(console: &mut Console, mut is_so: impl FnMut(&Console) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is_so(console) {
            assert!(Instant::now() < end, "it never was so");
            let soon = Instant::now() + Duration::from_millis(5);
            console.serve(&[], Some(soon)).expect("served");
        }
    }

    fn send(stream: &mut UnixStream, frame: &Frame) {
        stream.write_all(&frame.encode()).expect("sent");
    }

    #[test]
    fn a_pipe_gets_what_is_typed_and_ends_once() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let lines = Lines::Pipe {
            writer: File::from(std::os::fd::OwnedFd::from(writer)),
            once: true,
        };
        let mut console = Console::open(dir.path(), lines, None).expect("opened");
        let mut client = connect(dir.path()).expect("connected");
        send(&mut client, &Frame::Input(b"one\n".to_vec()));
        send(&mut client, &Frame::End);
        serve_until(&mut console, |console| matches!(console.lines, Lines::None));
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read to its end");
        assert_eq!(text, "one\n");
    }

    #[test]
    fn who_talks_nonsense_is_let_go_of() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (_reader, writer) = io::pipe().expect("a pipe");
        let lines = Lines::Pipe {
            writer: File::from(std::os::fd::OwnedFd::from(writer)),
            once: false,
        };
        let mut console = Console::open(dir.path(), lines, None).expect("opened");
        let mut bad = connect(dir.path()).expect("connected");
        let _good = connect(dir.path()).expect("connected");
        serve_until(&mut console, |console| console.clients.len() == 2);
        bad.write_all(b"GET / HTTP/1.1\r\n").expect("sent");
        serve_until(&mut console, |console| console.clients.len() == 1);
        assert_eq!(bad.read(&mut [0; 1]).expect("closed"), 0);
    }

    #[test]
    fn a_terminal_is_shown_to_all_and_holds_back_who_floods_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let sys::Pty { outer, mut inner } = sys::open_terminal().expect("a terminal");
        let mut console = Console::open(dir.path(), Lines::Terminal(outer), None).expect("opened");
        let mut clients = [(); 2].map(|()| connect(dir.path()).expect("connected"));
        serve_until(&mut console, |console| console.clients.len() == 2);
        inner.write_all(b"hi").expect("shown");
        let mut seen = [const { Vec::new() }; 2];
        serve_until(&mut console, |_| {
            for (client, seen) in clients.iter_mut().zip(&mut seen) {
                client.set_nonblocking(true).expect("it does not wait");
                let mut buffer = [0; 8];
                if let Ok(count) = client.read(&mut buffer) {
                    seen.extend_from_slice(&buffer[..count]);
                }
            }
            seen.iter().all(|seen| seen == b"hi")
        });
        // Nobody reads on: it is kept up to a bound.
        let flood = std::thread::spawn(move || {
            for _ in 0..64 {
                if inner.write_all(&[b'x'; 64 << 10]).is_err() {
                    return;
                }
            }
        });
        serve_until(&mut console, |console| {
            console
                .clients
                .iter()
                .any(|client| client.backlog.len() >= BACKLOG)
        });
        let kept = console
            .clients
            .iter()
            .map(|client| client.backlog.len())
            .max();
        assert!(kept.is_some_and(|kept| kept <= BACKLOG + CHUNK), "{kept:?}");
        // As if its time were over: the program goes on.
        for client in &mut console.clients {
            client.alive = Instant::now() - PATIENCE;
        }
        serve_until(&mut console, |console| console.clients.is_empty());
        serve_until(&mut console, |_| flood.is_finished());
    }
}
