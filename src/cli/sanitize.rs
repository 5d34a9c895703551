//! Text from outside, made safe for a terminal.

/// Escapes what could command a terminal or deceive a reader: control characters, and those that change the direction of text.
/// Line breaks become `\n`, so that one message stays one line.
pub(super) fn sanitize(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmful(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Could the character command a terminal or deceive a reader?
pub(super) fn is_harmful(character: char) -> bool {
    // Marks, embeddings, overrides and isolates of the bidirectional algorithm (Unicode UAX 9), and line separators.
    let directs = matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || directs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_commands() {
        assert_eq!(
            sanitize("a\u{1b}[2Jb\n\u{9b}c\u{202e}d"),
            "a\\u{1b}[2Jb\\n\\u{9b}c\\u{202e}d"
        );
        assert_eq!(
            sanitize("naïve — \"quoted\" 日本"),
            "naïve — \"quoted\" 日本"
        );
    }
}
