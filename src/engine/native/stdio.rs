//! A Linux program's standard streams: this process's own, a terminal in the container, or pipes to the log.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use coracle_runtime::logs::{LogWriter, Stream};
use coracle_runtime::sandbox::native::Stdio;
use coracle_runtime::spec::Output;
use coracle_runtime::sys;

use super::super::Error;

/// Bytes that are passed on at a time.
const CHUNK: usize = 32 << 10;

/// What passes on what the program reads and says, besides the kernel.
#[derive(Default)]
pub(super) struct Pumps {
    /// Each ends when nobody holds the program's end any more.
    outputs: Vec<JoinHandle<()>>,
    /// The user's terminal is as it was when this goes.
    _raw: Option<sys::RawTerminal>,
}

impl Pumps {
    /// Waits until all that was said has been passed on.
    pub(super) fn finish(self) {
        for output in self.outputs {
            // A thread that panicked has said so.
            drop(output.join());
        }
    }
}

/// Where what a program says goes.
#[derive(Clone)]
struct Sink {
    log: Option<(Arc<LogWriter>, Stream)>,
    file: Option<Arc<File>>,
    shown: bool,
}

impl Sink {
    fn of(output: &Output, stream: Stream) -> Self {
        let mut sink = Self {
            log: None,
            file: None,
            shown: false,
        };
        match output {
            Output::Inherit => sink.shown = true,
            Output::File(file) => sink.file = Some(file.clone()),
            Output::Nowhere => {}
            Output::Log { log, show } => {
                sink.log = Some((log.clone(), stream));
                sink.shown = *show;
            }
        }
        sink
    }

    /// A reader that has gone, or a full disk, must not keep the program from being read.
    fn take(&self, bytes: &[u8], stream: Stream) {
        if let Some((log, stream)) = &self.log {
            drop(log.write(*stream, bytes));
        }
        if let Some(file) = &self.file {
            drop((&**file).write_all(bytes));
        }
        if self.shown {
            drop(match stream {
                Stream::Stdout => io::stdout()
                    .write_all(bytes)
                    .and_then(|()| io::stdout().flush()),
                Stream::Stderr => io::stderr().write_all(bytes),
            });
        }
    }
}

/// Makes the streams of a program without a terminal, and what passes them on.
///
/// # Errors
///
/// What the system says.
pub(super) fn streams(open_stdin: bool, output: &Output) -> Result<(Stdio, Pumps), Error> {
    let mut stdio = Stdio::default();
    let mut pumps = Pumps::default();
    if !open_stdin {
        stdio.stdin = Some(null(false)?);
    }
    match output {
        Output::Inherit => {}
        Output::Nowhere => {
            stdio.stdout = Some(null(true)?);
            stdio.stderr = Some(null(true)?);
        }
        _ => {
            let mut piped = |stream| -> Result<OwnedFd, Error> {
                let (reader, writer) = io::pipe().map_err(failed("making a pipe for"))?;
                let sink = Sink::of(output, stream);
                pumps
                    .outputs
                    .push(pump(File::from(OwnedFd::from(reader)), sink, stream)?);
                Ok(writer.into())
            };
            stdio.stdout = Some(piped(Stream::Stdout)?);
            stdio.stderr = Some(piped(Stream::Stderr)?);
        }
    }
    Ok((stdio, pumps))
}

/// Joins a terminal in the container with this process's own streams: keys go in as they are typed, and sizes are passed on.
///
/// # Errors
///
/// What the system says.
pub(super) fn terminal(
    terminal: OwnedFd,
    open_stdin: bool,
    output: &Output,
) -> Result<Pumps, Error> {
    let copying = || failed("opening the terminal of");
    let copy = || terminal.try_clone();
    // A terminal behind this one makes of keys and lines what is to be made of them.
    let raw = match open_stdin || matches!(output, Output::File(_)) {
        true => sys::RawTerminal::stdin().map_err(copying())?,
        false => None,
    };
    if let Ok(size) = sys::window_size(io::stdin()) {
        drop(sys::set_window_size(&terminal, size));
        let resized = sys::hear_resizes().map_err(copying())?;
        let outer = copy().map_err(copying())?;
        in_thread(move || follow_sizes(resized, outer))?;
    }
    if open_stdin {
        let outer = File::from(copy().map_err(copying())?);
        in_thread(move || type_in(outer))?;
    }
    let sink = Sink::of(output, Stream::Stdout);
    let shown = pump(File::from(terminal), sink, Stream::Stdout)?;
    Ok(Pumps {
        outputs: vec![shown],
        _raw: raw,
    })
}

fn null(write: bool) -> Result<OwnedFd, Error> {
    let path = "/dev/null";
    let file = File::options().read(!write).write(write).open(path);
    file.map(OwnedFd::from).map_err(|source| Error::File {
        doing: "opening",
        path: path.into(),
        source,
    })
}

/// Passes on what is read until nobody can write any more. A terminal says that with an error.
fn pump(mut from: File, sink: Sink, stream: Stream) -> Result<JoinHandle<()>, Error> {
    in_thread(move || {
        let mut buffer = vec![0; CHUNK];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => sink.take(buffer.get(..count).unwrap_or_default(), stream),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    })
}

fn type_in(mut terminal: File) {
    let mut buffer = [0; 4096];
    // Not through `std::io::stdin`, whose buffer would hold keys back.
    let Ok(stdin) = io::stdin().as_fd().try_clone_to_owned() else {
        return;
    };
    let mut stdin = File::from(stdin);
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if terminal
                    .write_all(buffer.get(..count).unwrap_or_default())
                    .is_err()
                {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn follow_sizes(resized: OwnedFd, terminal: OwnedFd) {
    let mut byte = [0; 16];
    loop {
        let mut watched = [rustix::event::PollFd::new(
            &resized,
            rustix::event::PollFlags::IN,
        )];
        match rustix::event::poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        match rustix::io::read(&resized, &mut byte) {
            Ok(1..) | Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Ok(0) | Err(_) => return,
        }
        if let Ok(size) = sys::window_size(io::stdin()) {
            drop(sys::set_window_size(&terminal, size));
        }
    }
}

fn in_thread(work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new()
        .stack_size(128 << 10)
        .spawn(work)
        .map_err(failed("starting a thread for"))
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File {
        doing,
        path: "the container".into(),
        source,
    }
}
