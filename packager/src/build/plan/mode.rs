//! `--chmod`: octal, or in the words of chmod.

/// A mode, or a change of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The 12 bits.
    Octal(u32),
    /// `u=rwX,go=rX`: one change after the other.
    Changes(Vec<Change>),
}

/// `go+rX`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Bits of those whom it is about.
    who: u32,
    operator: char,
    /// `r`, `w`, `x`, `s`, `t` for everybody.
    bits: u32,
    /// Is `X` given: `x` if it is a directory, or if somebody may execute it already?
    search: bool,
}

/// Changes in one mode: more than anybody writes.
const MAX_CHANGES: usize = 32;

impl Mode {
    /// Reads a mode.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'7')) {
            let mode = u32::from_str_radix(text, 8).ok()?;
            return (mode <= 0o7777).then_some(Self::Octal(mode));
        }
        let changes: Option<Vec<Change>> = text.split(',').map(change).collect();
        changes
            .filter(|changes| changes.len() <= MAX_CHANGES)
            .map(Self::Changes)
    }

    /// Returns the mode that something gets which has the mode `old`.
    pub fn apply(&self, old: u32, is_directory: bool) -> u32 {
        let changes = match self {
            Self::Octal(mode) => return *mode,
            Self::Changes(changes) => changes,
        };
        changes.iter().fold(old, |mode, change| {
            let search = change.search && (is_directory || mode & 0o111 != 0);
            let bits = (change.bits | if search { 0o111 } else { 0 }) & change.who;
            match change.operator {
                '+' => mode | bits,
                '-' => mode & !bits,
                _ => (mode & !change.who) | bits,
            }
        })
    }
}

fn change(text: &str) -> Option<Change> {
    let at = text.find(['+', '-', '='])?;
    let (who, rest) = text.split_at(at);
    let mut mask = 0;
    for c in who.chars() {
        mask |= match c {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => return None,
        };
    }
    let mut chars = rest.chars();
    let operator = chars.next()?;
    let mut change = Change {
        who: if who.is_empty() { 0o7777 } else { mask },
        operator,
        bits: 0,
        search: false,
    };
    for c in chars {
        change.bits |= match c {
            'r' => 0o444,
            'w' => 0o222,
            'x' => 0o111,
            's' => 0o6000,
            't' => 0o1000,
            'X' => {
                change.search = true;
                0
            }
            _ => return None,
        };
    }
    Some(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_or_changes() {
        for (text, old, directory, want) in [
            ("0755", 0, false, 0o755),
            ("7777", 0, false, 0o7777),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("u+s", 0o755, false, 0o4755),
            ("o=", 0o777, false, 0o770),
            ("+t", 0o777, true, 0o1777),
        ] {
            let mode = Mode::parse(text).expect(text);
            assert_eq!(mode.apply(old, directory), want, "{text}");
        }
        for text in [
            "", "8", "10000", "-1", "+7", "0o7", "u", "u+q", "q+r", "u+x,",
        ] {
            assert_eq!(Mode::parse(text), None, "{text}");
        }
    }
}
