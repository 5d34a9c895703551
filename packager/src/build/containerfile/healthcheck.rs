//! `HEALTHCHECK`.

use super::instruction::CommandLine;

/// How to see whether the program is well. Times are in nanoseconds; 0 where the file gives none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `--interval`
    pub interval: i64,
    /// `--timeout`
    pub timeout: i64,
    /// `--start-period`
    pub start_period: i64,
    /// `--start-interval`
    pub start_interval: i64,
    /// `--retries`
    pub retries: i64,
    /// The command.
    pub command: CommandLine,
}

/// Shortest time that Docker takes: a millisecond.
const SHORTEST: i64 = 1_000_000;

/// Reads a duration as Go writes it, such as `1m30s`, `1.5h`, `500ms`; at least a millisecond, or zero.
pub(super) fn duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total: f64 = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..end)?.parse().ok()?;
        rest = rest.get(end..)?;
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let scale = match rest.get(..unit)? {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * scale;
        rest = rest.get(unit..)?;
    }
    // Some 292 years, where Go ends as well.
    if !(0.0..9.2e18).contains(&total) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "its range was checked, and parts of a nanosecond do not count"
    )]
    let total = total as i64;
    (total == 0 || total >= SHORTEST).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, want) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1s", Some(1_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            ("500ms", Some(500_000_000)),
            ("1ms", Some(1_000_000)),
            ("1us", None),
            ("5", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1x", None),
            ("1.2.3s", None),
            ("999999999999h", None),
        ] {
            assert_eq!(duration(text), want, "{text}");
        }
    }
}
