//! Signals by name or number, all that Linux has.

/// Names of Linux's signals, by number from 1 on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// The C library's first real-time signal, and the last.
const FIRST_REAL_TIME: i32 = 34;
const LAST: i32 = 64;

/// Reads `9`, `KILL`, `SIGKILL` or `RTMIN+3`.
pub(super) fn parse(text: &str) -> Result<i32, String> {
    let unknown = || format!("unknown signal `{}`", text.escape_debug());
    if let Ok(number) = text.parse::<i32>() {
        return (1..=LAST)
            .contains(&number)
            .then_some(number)
            .ok_or_else(unknown);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = NAMES.iter().zip(1..).find(|(known, _)| **known == name);
    let real_time = || {
        let offset = |text: &str| {
            if text.is_empty() {
                Some(0)
            } else {
                text.parse::<i32>().ok()
            }
        };
        let number = if let Some(rest) = name.strip_prefix("RTMIN") {
            offset(rest)? + FIRST_REAL_TIME
        } else {
            offset(name.strip_prefix("RTMAX")?)? + LAST
        };
        (FIRST_REAL_TIME..=LAST).contains(&number).then_some(number)
    };
    named
        .map(|(_, number)| number)
        .or_else(real_time)
        .ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("9", 9),
            ("SIGTERM", 15),
            ("term", 15),
            ("SYS", 31),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for wrong in ["0", "65", "-9", "NONE", "RTMIN-1", "RTMAX+1", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
