//! Sizes, shares of a processor and lengths of time, as people write them on Docker's command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A text that is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {want}")]
pub struct QuantityError {
    /// What was given.
    pub text: String,
    /// What it was to be.
    pub what: &'static str,
    /// How it is written.
    pub want: &'static str,
}

/// A number of bytes: `64m`, `1.5g`, `1048576`. Units count in steps of 1024, as Docker's do, in either case, with or
/// without `b` or `ib` behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(u64);

impl Size {
    const UNITS: [(char, u32); 6] = [
        ('b', 0),
        ('k', 10),
        ('m', 20),
        ('g', 30),
        ('t', 40),
        ('p', 50),
    ];

    /// Makes a size.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns the number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let digits = text
                .find(|character: char| !character.is_ascii_digit() && character != '.')
                .unwrap_or(text.len());
            let (number, unit) = text.split_at_checked(digits)?;
            let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
            let shift = match unit.as_str() {
                "" => 0,
                unit => {
                    let mut letters = unit.chars();
                    let first = letters.next()?;
                    let (_, shift) = Self::UNITS.iter().find(|(letter, _)| *letter == first)?;
                    match letters.as_str() {
                        "" => {}
                        "b" | "ib" if first != 'b' => {}
                        _ => return None,
                    }
                    *shift
                }
            };
            // Whole numbers exactly; Docker computes the others in floating point as well.
            let bytes = match number.parse::<u64>() {
                Ok(whole) => whole.checked_mul(1 << shift)?,
                Err(_) => {
                    let value = decimal(number)? * 2_f64.powi(shift.try_into().ok()?);
                    (value < 2_f64.powi(63)).then_some(value as u64)?
                }
            };
            (bytes <= i64::MAX as u64).then_some(Self(bytes))
        };
        parse().ok_or_else(|| QuantityError {
            text: text.to_owned(),
            what: "a size",
            want: "write a number with b, k, m or g, such as 64m",
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, shift) = Self::UNITS
            .into_iter()
            .rev()
            .find(|(_, shift)| self.0 != 0 && self.0.trailing_zeros() >= *shift)
            .unwrap_or(('b', 0));
        write!(f, "{}{letter}", self.0 >> shift)
    }
}

/// A share of one processor's time: `0.5`, `2`. At least a hundredth, at most 8,192 processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cpus(u64);

impl Cpus {
    const ONE: u64 = 1_000_000_000;
    const LEAST: u64 = Self::ONE / 100;
    const MOST: u64 = Self::ONE * 8192;

    /// Returns the share in thousand millionths, as Docker's `NanoCpus`.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Is it less than one whole processor, so that it binds a program of one thread?
    pub const fn is_partial(self) -> bool {
        self.0 < Self::ONE
    }

    /// Returns the whole processors in it.
    pub const fn whole(self) -> u64 {
        self.0 / Self::ONE
    }

    /// Returns how long this much work takes at this share.
    pub fn time_for(self, work: Duration) -> Duration {
        let nanos = work
            .as_nanos()
            .saturating_mul(Self::ONE.into())
            .checked_div(self.0.into())
            .unwrap_or(u128::MAX);
        Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX))
    }
}

impl FromStr for Cpus {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let nanos = decimal(text).map(|share| (share * Self::ONE as f64).round() as u64);
        match nanos {
            Some(nanos) if (Self::LEAST..=Self::MOST).contains(&nanos) => Ok(Self(nanos)),
            _ => Err(QuantityError {
                text: text.to_owned(),
                what: "a number of processors",
                want: "write a decimal number from 0.01 on, such as 0.5",
            }),
        }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / Self::ONE, self.0 % Self::ONE);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// A length of time: `30s`, `1m30s`, `1.5h`, `200ms`; a bare number counts seconds. From a millisecond to ten years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timeout(Duration);

impl Timeout {
    const LEAST: Duration = Duration::from_millis(1);
    const MOST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

    /// Returns it.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Timeout {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        /// Go's units, which Docker's flags have, in seconds.
        const UNITS: [(&str, f64); 4] = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let parse = || {
            if let Some(seconds) = decimal(text) {
                return Duration::try_from_secs_f64(seconds).ok();
            }
            let (mut rest, mut seconds) = (text, 0.0);
            while !rest.is_empty() {
                let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
                let (number, behind) = rest.split_at_checked(end)?;
                let end = behind
                    .find(|c: char| c.is_ascii_digit() || c == '.')
                    .unwrap_or(behind.len());
                let (unit, behind) = behind.split_at_checked(end)?;
                let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
                seconds += decimal(number)? * factor;
                rest = behind;
            }
            Duration::try_from_secs_f64(seconds).ok()
        };
        match parse() {
            Some(time) if (Self::LEAST..=Self::MOST).contains(&time) => {
                // What is finer could not be written again.
                let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                Ok(Self(Duration::from_millis(millis)))
            }
            _ => Err(QuantityError {
                text: text.to_owned(),
                what: "a length of time",
                want: "write a number with ms, s, m or h, such as 30s or 1m30s",
            }),
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.subsec_millis();
        let seconds = self.0.as_secs();
        let parts = [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (millis.into(), "ms"),
        ];
        for (count, unit) in parts {
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

/// Parses digits with at most one point among them: no sign, exponent, infinity or NaN.
fn decimal(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let some = text.bytes().any(|byte| byte.is_ascii_digit());
    (plain && some).then(|| text.parse().ok()).flatten()
}

macro_rules! as_text {
    ($($type:ident)*) => { $(
        impl TryFrom<String> for $type {
            type Error = QuantityError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )* };
}

as_text! { Size Cpus Timeout }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("6m", 6 << 20),
            ("6M", 6 << 20),
            ("6mb", 6 << 20),
            ("6MiB", 6 << 20),
            ("6 m", 6 << 20),
            ("1.5g", 3 << 29),
            (".5k", 512),
            ("7b", 7),
            ("1t", 1 << 40),
        ] {
            assert_eq!(text.parse::<Size>().expect(text).bytes(), bytes, "{text}");
        }
        for wrong in [
            "",
            "m",
            "-1",
            "1x",
            "1mm",
            "1bb",
            "1 2m",
            "1..5m",
            "1e3",
            "inf",
            "nan",
            "1m ",
            "١m",
            "18446744073709551615",
            "16777216t",
            "99999999999999999999999p",
        ] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        for (bytes, text) in [
            (0, "0b"),
            (1023, "1023b"),
            (64 << 20, "64m"),
            (3 << 29, "1536m"),
        ] {
            assert_eq!(Size::from_bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn shares_are_dockers() {
        for (text, nanos) in [
            ("0.01", 10_000_000),
            (".5", 500_000_000),
            ("1", 1_000_000_000),
            ("1.5", 1_500_000_000),
        ] {
            assert_eq!(text.parse::<Cpus>().expect(text).nanos(), nanos, "{text}");
        }
        for wrong in ["", "0", "0.009", "-1", "one", "1e9", "9999", "inf"] {
            assert!(wrong.parse::<Cpus>().is_err(), "{wrong}");
        }
        let half: Cpus = "0.5".parse().expect("a share");
        assert!(half.is_partial());
        assert_eq!(
            half.time_for(Duration::from_millis(5)),
            Duration::from_millis(10)
        );
        for text in ["0.5", "1", "2.25"] {
            assert_eq!(text.parse::<Cpus>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn times_are_gos_or_seconds() {
        for (text, millis) in [
            ("5", 5000),
            ("0.25", 250),
            ("200ms", 200),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("1h1ms", 3_600_001),
        ] {
            let time: Timeout = text.parse().expect(text);
            assert_eq!(time.duration(), Duration::from_millis(millis), "{text}");
            assert_eq!(time.to_string().parse(), Ok(time), "{text}");
        }
        for wrong in [
            "",
            "0",
            "0s",
            "-1s",
            "s",
            "5 s",
            "5x",
            "1m30",
            "1e3s",
            "999999999h",
            "0.0001s",
        ] {
            assert!(wrong.parse::<Timeout>().is_err(), "{wrong}");
        }
    }
}
