//! `coracle logs`

use std::io::{self, Write};

use coracle_runtime::logs::{Entry, Stream, Wanted};
use jiff::{Span, Timestamp};

use super::super::error::Failure;
use super::super::{Exit, ui};
use super::start::plain;
use crate::engine::Engine;

/// Show what a container's program has said
///
/// Its standard output goes to standard output, its standard error to standard error, byte for byte.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Go on until the container ends
    #[arg(short, long)]
    follow: bool,
    /// Show the newest N lines only, or `all`
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value = "all",
        allow_hyphen_values = true
    )]
    tail: String,
    /// Show what was said since then: a time such as 2026-01-31T12:00:00Z, or how long ago, such as 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show what was said before that time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Put the time before each line
    #[arg(short, long)]
    timestamps: bool,
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let wanted = wanted(args).map_err(Failure::plainly)?;
    let container = engine.find_container(&args.container).map_err(plain)?;
    let mut printer = Printer::new(args.timestamps);
    let mut closed = false;
    let shown = engine.logs(&container.container, &wanted, args.follow, &mut |entry| {
        printer.print(entry).inspect_err(|error| {
            closed = error.kind() == io::ErrorKind::BrokenPipe;
        })
    });
    match shown {
        // Nobody reads on.
        Err(_) if closed => Ok(Exit::Success),
        shown => {
            if shown.map_err(plain)? {
                ui::warning(
                    "the program said more than the log keeps, and some of it was removed before it was shown; keep more with --log-opt max-size= and max-file=",
                );
            }
            Ok(Exit::Success)
        }
    }
}

fn wanted(args: &Args) -> Result<Wanted, Failure> {
    Ok(Wanted {
        tail: tail(&args.tail)?,
        since: args.since.as_deref().map(time).transpose()?,
        until: args.until.as_deref().map(time).transpose()?,
    })
}

/// Reads how many lines are wanted.
fn tail(text: &str) -> Result<Option<usize>, Failure> {
    if text == "all" {
        return Ok(None);
    }
    // Docker takes a negative number for all.
    if text.parse::<i64>().is_ok_and(|number| number < 0) {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        Failure::usage(format!(
            "parsing --tail {text:?}: a number of lines or `all` is wanted"
        ))
    })
}

/// Reads a time, or how long ago it was.
pub(super) fn time(text: &str) -> Result<Timestamp, Failure> {
    let wrong = || {
        Failure::usage(format!("parsing the time {text:?}"))
            .with_hint("write a time such as 2026-01-31T12:00:00Z, seconds since 1970, or how long ago, such as 10m or 1h30m")
    };
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(date) = text.parse::<jiff::civil::DateTime>() {
        let zoned = date.to_zoned(jiff::tz::TimeZone::UTC);
        return zoned.map(|zoned| zoned.timestamp()).map_err(|_| wrong());
    }
    if let Some(seconds) = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| seconds.is_finite())
    {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float too large becomes the largest, which is refused"
        )]
        return Timestamp::from_millisecond((seconds * 1e3) as i64).map_err(|_| wrong());
    }
    let ago = text.parse::<Span>().map_err(|_| wrong())?;
    Timestamp::now().checked_sub(ago).map_err(|_| wrong())
}

/// Writes entries to the streams that they were written to.
pub(super) struct Printer {
    timestamps: bool,
    /// Is the stream at the start of a line?
    at_start: [bool; 2],
}

impl Printer {
    pub(super) fn new(timestamps: bool) -> Self {
        Self {
            timestamps,
            at_start: [true; 2],
        }
    }

    pub(super) fn print(&mut self, entry: &Entry) -> io::Result<()> {
        let at_start = &mut self.at_start[usize::from(entry.stream == Stream::Stderr)];
        let mut bytes = Vec::new();
        if self.timestamps && *at_start {
            write!(bytes, "{:.9} ", entry.time)?;
        }
        *at_start = entry.bytes.ends_with(b"\n");
        bytes.extend_from_slice(&entry.bytes);
        match entry.stream {
            Stream::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&bytes)?;
                out.flush()
            }
            Stream::Stderr => io::stderr().lock().write_all(&bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_absolute_or_ago() {
        let second = |text: &str| time(text).expect(text).as_second();
        assert_eq!(second("2026-01-31T12:00:00Z"), 1_769_860_800);
        assert_eq!(second("2026-01-31T12:00:00"), 1_769_860_800);
        assert_eq!(second("1769860800"), 1_769_860_800);
        let now = Timestamp::now().as_second();
        for (text, ago) in [("10m", 600), ("1h30m", 5400), ("90s", 90)] {
            assert!((now - second(text) - ago).abs() <= 5, "{text}");
        }
        for bad in ["", "x", "nan", "1e300"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tail_is_a_number_or_all() {
        assert_eq!(tail("all").ok(), Some(None));
        assert_eq!(tail("-1").ok(), Some(None));
        assert_eq!(tail("5").ok(), Some(Some(5)));
        assert!(tail("five").is_err());
    }
}
