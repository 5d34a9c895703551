//! What all prunes take.

use std::io::{BufRead as _, Read as _};

use super::super::error::Failure;
use super::super::ui;
use crate::engine::{PruneFilter, now};

/// Bytes of an answer that are read.
const LONGEST_ANSWER: u64 = 1024;

#[derive(clap::Args)]
pub(in super::super) struct PruneArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only what is older (until=24h, until=2026-01-31), or has or lacks a label (label=KEY[=VALUE], label!=KEY[=VALUE])
    #[arg(long = "filter", value_name = "FILTER")]
    filters: Vec<String>,
}

impl PruneArgs {
    /// Returns what the filters mean.
    pub(in super::super) fn filter(&self) -> Result<PruneFilter, Failure> {
        let mut filter = PruneFilter::default();
        for text in &self.filters {
            let label = |text: &str| match text.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (text.to_owned(), None),
            };
            if let Some(time) = text.strip_prefix("until=") {
                filter.until = Some(until(time, now())?);
            } else if let Some(text) = text.strip_prefix("label!=") {
                filter.without_labels.push(label(text));
            } else if let Some(text) = text.strip_prefix("label=") {
                filter.labels.push(label(text));
            } else {
                return Err(
                    Failure::usage(format!("the filter {text:?} is not known")).with_hint(
                        "filters are until=TIME, label=KEY[=VALUE] and label!=KEY[=VALUE]",
                    ),
                );
            }
        }
        Ok(filter)
    }

    /// Tells what will be removed, and asks whether that is meant, on standard error and input.
    pub(in super::super) fn is_confirmed(&self, what: &[&str]) -> Result<bool, Failure> {
        if self.force {
            return Ok(true);
        }
        match what {
            [what] => ui::status(&format!("WARNING! This will remove {what}.")),
            list => {
                ui::status("WARNING! This will remove:");
                for what in list {
                    ui::status(&format!("  - {what}"));
                }
            }
        }
        ui::ask("Are you sure you want to continue? [y/N] ");
        let mut answer = String::new();
        let mut input = std::io::stdin().lock().take(LONGEST_ANSWER);
        input.read_line(&mut answer).map_err(|source| Failure::Io {
            doing: "reading the answer from standard input".to_owned(),
            source,
        })?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

/// Reads a time: seconds since 1970, a date with or without a time, or how long ago.
fn until(text: &str, now: i64) -> Result<i64, Failure> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(seconds);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_second());
    }
    if let Ok(time) = text.parse::<jiff::civil::DateTime>()
        && let Ok(time) = time.to_zoned(jiff::tz::TimeZone::UTC)
    {
        return Ok(time.timestamp().as_second());
    }
    if let Ok(duration) = text.parse::<jiff::SignedDuration>() {
        return Ok(now.saturating_sub(duration.as_secs()));
    }
    Err(Failure::usage(format!("until={text}: that is no time"))
        .with_hint("write 24h, 2026-01-31, 2026-01-31T12:00:00Z or seconds since 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_docker_takes_them() {
        let table = [
            ("1000", 1000),
            ("1970-01-02", 86_400),
            ("1970-01-02T00:00:01", 86_401),
            ("1970-01-01T01:00:00+01:00", 0),
            ("10m", 1_000_000 - 600),
            ("1h30m", 1_000_000 - 5400),
            ("24h", 1_000_000 - 86_400),
        ];
        for (text, want) in table {
            assert_eq!(until(text, 1_000_000).ok(), Some(want), "{text}");
        }
        assert!(until("yesterday", 0).is_err());
        assert!(until("", 0).is_err());
    }

    #[test]
    fn filters() {
        let args = PruneArgs {
            force: true,
            filters: ["until=5", "label=a", "label=b=c=d", "label!=e"]
                .map(str::to_owned)
                .into(),
        };
        let filter = args.filter().expect("filters");
        assert_eq!(filter.until, Some(5));
        assert_eq!(filter.labels[1], ("b".to_owned(), Some("c=d".to_owned())));
        assert_eq!(filter.without_labels, [("e".to_owned(), None)]);
        let wrong = PruneArgs {
            force: true,
            filters: vec!["dangling=true".to_owned()],
        };
        assert!(wrong.filter().is_err());
    }
}
