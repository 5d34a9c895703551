//! Sizes and times as Docker words them.

use jiff::Timestamp;

/// Returns a size in decimal units with three digits: `13.3kB`, `1.2GB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    let mut text = format!("{value:.decimals$}");
    if decimals > 0 {
        let short = text.trim_end_matches('0').trim_end_matches('.').len();
        text.truncate(short);
    }
    text + UNITS[unit]
}

/// Returns a size in binary units with Docker's four digits: `4.176MiB`, `1GiB`.
pub(super) fn binary(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let whole = value.trunc().to_string().len();
    let decimals = 4_usize.saturating_sub(whole);
    let mut text = format!("{value:.decimals$}");
    if text.contains('.') {
        let short = text.trim_end_matches('0').trim_end_matches('.').len();
        text.truncate(short);
    }
    text + UNITS[unit]
}

/// Returns how long ago something was: `5 seconds ago`, `About an hour ago`, `3 weeks ago`.
pub(super) fn ago(seconds: i64, now: i64) -> String {
    format!("{} ago", duration(now.saturating_sub(seconds)))
}

/// Returns a duration in the largest unit that fits, with Docker's thresholds.
pub(super) fn duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// Returns a time as RFC 3339 in UTC: `2026-11-24T09:00:00Z`.
pub(super) fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// Returns a time as Docker's lists show it: `2026-11-24 09:00:00 +0000 UTC`.
pub(super) fn listed_time(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds);
    time.map_or_else(
        |_| seconds.to_string(),
        |time| time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        let table: [(u64, &str); 11] = [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1024, "1.02kB"),
            (13_256, "13.3kB"),
            (26_300_000, "26.3MB"),
            (999_499, "999kB"),
            (999_500, "1MB"),
            (110_000, "110kB"),
            (1_234_567_890, "1.23GB"),
            (u64::MAX, "18.4EB"),
        ];
        for (bytes, want) in table {
            assert_eq!(size(bytes), want, "{bytes}");
        }
    }

    #[test]
    fn binary_sizes_have_four_digits() {
        for (bytes, want) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (4_378_853, "4.176MiB"),
            (24_600_000_000, "22.91GiB"),
            (u64::MAX, "16EiB"),
        ] {
            assert_eq!(binary(bytes), want, "{bytes}");
        }
    }

    #[test]
    fn durations_use_the_largest_unit() {
        let (hour, day) = (3600, 86400);
        let table = [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * 60, "59 minutes"),
            (hour, "About an hour"),
            (5 * hour, "5 hours"),
            (47 * hour, "47 hours"),
            (48 * hour, "2 days"),
            (14 * day, "2 weeks"),
            (60 * day, "2 months"),
            (730 * day, "2 years"),
        ];
        for (seconds, want) in table {
            assert_eq!(duration(seconds), want, "{seconds}");
        }
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(listed_time(1_700_000_000), "2023-11-14 22:13:20 +0000 UTC");
    }
}
