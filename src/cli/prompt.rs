//! Questions to the person at the terminal.

use std::io::{self, BufRead as _, Read as _};

use super::ui;

/// Bytes of an answer.
const ANSWER_LIMIT: u64 = 64 << 10;

/// Asks for one line, without the spaces around it.
pub(super) fn line(question: &str) -> io::Result<String> {
    ui::ask(question);
    let mut answer = String::new();
    io::stdin()
        .lock()
        .take(ANSWER_LIMIT)
        .read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// Asks for one line that the terminal does not show.
pub(super) fn secret(question: &str) -> io::Result<String> {
    ui::ask(question);
    let answer = terminal::read_unseen();
    // What was typed has not ended the line.
    ui::status("");
    let bytes = answer?;
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// What one byte does to a line that is typed unseen.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    More,
    Done,
    Interrupted,
}

/// Adds a byte to the line, as a terminal would.
fn typed(line: &mut Vec<u8>, byte: u8) -> Typed {
    match byte {
        b'\r' | b'\n' => return Typed::Done,
        // Ctrl-C, and Ctrl-D on an empty line.
        3 => return Typed::Interrupted,
        4 if line.is_empty() => return Typed::Interrupted,
        4 => return Typed::Done,
        // Backspace takes a whole character, of up to four bytes.
        8 | 127 => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
        // Ctrl-U
        21 => line.clear(),
        byte if (line.len() as u64) < ANSWER_LIMIT => line.push(byte),
        _ => {}
    }
    Typed::More
}

#[cfg(unix)]
mod terminal {
    use std::io::{self, Read as _};

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    use super::{Typed, typed};

    /// A terminal that shows nothing and sends no signals, until this is dropped.
    struct Unseen(Termios);

    impl Unseen {
        fn new() -> io::Result<Self> {
            let before = tcgetattr(io::stdin())?;
            let mut during = before.clone();
            // Signals become bytes: a process that a signal ends could not put the terminal back.
            during
                .local_modes
                .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
            tcsetattr(io::stdin(), OptionalActions::Flush, &during)?;
            Ok(Self(before))
        }
    }

    impl Drop for Unseen {
        fn drop(&mut self) {
            // A terminal that is gone needs nothing.
            let _back = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        }
    }

    pub(super) fn read_unseen() -> io::Result<Vec<u8>> {
        let _unseen = Unseen::new()?;
        let mut line = Vec::new();
        for byte in io::stdin().lock().bytes() {
            match typed(&mut line, byte?) {
                Typed::More => {}
                Typed::Done => return Ok(line),
                Typed::Interrupted => {
                    return Err(io::Error::new(
                        io::ErrorKind::Interrupted,
                        "it was broken off",
                    ));
                }
            }
        }
        Ok(line)
    }
}

#[cfg(not(unix))]
mod terminal {
    use std::io;

    pub(super) fn read_unseen() -> io::Result<Vec<u8>> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this system's terminal cannot hide what is typed; use --password-stdin",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: &[u8]) -> (Typed, String) {
        let mut line = Vec::new();
        for byte in bytes {
            match typed(&mut line, *byte) {
                Typed::More => {}
                end => return (end, String::from_utf8(line).expect("UTF-8")),
            }
        }
        (Typed::More, String::from_utf8(line).expect("UTF-8"))
    }

    #[test]
    fn a_line_is_edited_as_on_a_terminal() {
        for (bytes, end, want) in [
            ("pass\n", Typed::Done, "pass"),
            ("pa\x7fas\x08ss\r", Typed::Done, "pass"),
            ("pä€\x7f\x7fass\n", Typed::Done, "pass"),
            ("\x7f\x7fx\n", Typed::Done, "x"),
            ("wrong\x15right\n", Typed::Done, "right"),
            ("half\x03", Typed::Interrupted, "half"),
            ("\x04", Typed::Interrupted, ""),
            ("x\x04", Typed::Done, "x"),
        ] {
            assert_eq!(
                answer(bytes.as_bytes()),
                (end, want.to_owned()),
                "{bytes:?}"
            );
        }
    }
}
