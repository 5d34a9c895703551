//! The names of Docker's instructions, and which of them a mistyped word was meant to be.

/// All of Docker's instructions, carried out here or not.
pub(super) const KNOWN: &[&str] = &[
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Returns the instruction that a mistyped word is closest to, if any is close.
pub(super) fn suggestion(word: &str) -> Option<&'static str> {
    // Longer words allow more slips of the finger; two is what Docker's own suggestions allow.
    let allowed = if word.len() < 4 { 1 } else { 2 };
    // A long line without instruction is not measured at all.
    if word.len() > 16 {
        return None;
    }
    KNOWN
        .iter()
        .map(|known| (distance(word.as_bytes(), known.as_bytes()), *known))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, known)| known)
}

/// Counts the single-byte insertions, deletions and replacements that turn one word into the other.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (b, up) in to.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(a != b);
            left = replaced.min(left + 1).min(up + 1);
            diagonal = *up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_get_a_suggestion() {
        for (word, want) in [
            ("COYP", Some("COPY")),
            ("FORM", Some("FROM")),
            ("ENTRPOINT", Some("ENTRYPOINT")),
            ("WORKDI", Some("WORKDIR")),
            ("RUM", Some("RUN")),
            ("XYZZY", None),
            ("INCLUDE", None),
            ("", None),
        ] {
            assert_eq!(suggestion(word), want, "{word}");
        }
    }
}
