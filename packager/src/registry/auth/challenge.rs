//! The header `WWW-Authenticate` (RFC 9110 §11.6.1): what a registry wants to see.

/// Parameters of one challenge that are kept. A registry sends three or four.
const PARAMETERS: usize = 16;
/// Challenges of one answer that are kept.
const CHALLENGES: usize = 8;

/// One way to prove who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// In lower case, such as `bearer`.
    pub scheme: String,
    /// Names in lower case, and values.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Reads all challenges of one header. There may be several, with commas between, as there are between parameters.
    ///
    /// What cannot be understood is passed over: the next challenge may be one that can.
    pub fn parse_all(header: &str) -> Vec<Self> {
        let mut challenges: Vec<Self> = Vec::new();
        let mut rest = Scanner(header);
        loop {
            rest.skip(|c| c.is_ascii_whitespace() || c == ',');
            let word = rest.take(is_token);
            if word.is_empty() {
                // A character that belongs nowhere.
                if !rest.skip_one() {
                    return challenges;
                }
                continue;
            }
            rest.skip(|c| c.is_ascii_whitespace());
            if let Some(value) = rest.value() {
                if let Some(current) = challenges.last_mut()
                    && current.parameters.len() < PARAMETERS
                {
                    current.parameters.push((word.to_ascii_lowercase(), value));
                }
            } else if challenges.len() < CHALLENGES {
                challenges.push(Self {
                    scheme: word.to_ascii_lowercase(),
                    parameters: Vec::new(),
                });
            } else {
                return challenges;
            }
        }
    }

    /// Returns a parameter, the first of its name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// RFC 9110 §5.6.2, and `/`, which only the value of an unquoted parameter may not have but some have.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c)
}

struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn take(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !is_part(c)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    fn skip(&mut self, is_part: impl Fn(char) -> bool) {
        let _skipped: &str = self.take(is_part);
    }

    fn skip_one(&mut self) -> bool {
        let mut characters = self.0.chars();
        let was_there = characters.next().is_some();
        self.0 = characters.as_str();
        was_there
    }

    /// Reads `=value`; `None` if there is no `=`.
    fn value(&mut self) -> Option<String> {
        self.0 = self.0.strip_prefix('=')?;
        self.skip(|c| c.is_ascii_whitespace());
        let Some(quoted) = self.0.strip_prefix('"') else {
            return Some(self.take(|c| is_token(c) || c == '=').to_owned());
        };
        let mut value = String::new();
        let mut characters = quoted.chars();
        while let Some(c) = characters.next() {
            match c {
                '"' => break,
                '\\' => value.extend(characters.next()),
                c => value.push(c),
            }
        }
        self.0 = characters.as_str();
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(header: &str) -> String {
        let challenges = Challenge::parse_all(header);
        let shown = challenges.iter().map(|challenge| {
            let parameters = challenge.parameters.iter();
            let parameters: Vec<String> = parameters
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("{}[{}]", challenge.scheme, parameters.join(";"))
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn challenges_of_known_registries() {
        for (header, want) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                "bearer[realm=https://auth.docker.io/token;service=registry.docker.io;scope=repository:a/b:pull,push]",
            ),
            (r#"Basic realm="r""#, "basic[realm=r]"),
            ("Basic", "basic[]"),
            (
                r#"BEARER Realm = "https://x/t" , Service=x,error="insufficient_scope""#,
                "bearer[realm=https://x/t;service=x;error=insufficient_scope]",
            ),
            (
                r#"Basic realm="a, b", Bearer realm="c \"d\" \\", scope="""#,
                r#"basic[realm=a, b] bearer[realm=c "d" \;scope=]"#,
            ),
            (
                "Negotiate abc==, Basic realm=x",
                "negotiate[abc==] basic[realm=x]",
            ),
            (
                "Bearer realm=https://x/token,service=y",
                "bearer[realm=https://x/token;service=y]",
            ),
        ] {
            assert_eq!(shown(header), want, "{header}");
        }
    }

    #[test]
    fn nonsense_ends() {
        for header in [
            "",
            ",,, ,",
            "=",
            "\"",
            "a=",
            "Bearer realm=\"never closed",
            "é€",
            "Bearer realm=\"\\",
        ] {
            let _read = Challenge::parse_all(header);
        }
        assert_eq!(Challenge::parse_all(&"a ".repeat(10_000)).len(), CHALLENGES);
        let many = Challenge::parse_all(&format!("Bearer {}", "a=b,".repeat(10_000)));
        assert_eq!(many[0].parameters.len(), PARAMETERS);
    }
}
