//! References: the names of images, in Docker's grammar.
//!
//! `[registry[:port]/]repository[:tag][@digest]`, with Docker's abbreviations: `hello` means
//! `docker.io/library/hello`. Grammar: <https://pkg.go.dev/github.com/distribution/reference>.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, DigestError, shown};

/// The registry that a name without a registry means.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag that a reference without tag and digest means.
pub const DEFAULT_TAG: &str = "latest";

/// An old name of the default registry.
const LEGACY_DEFAULT_REGISTRY: &str = "index.docker.io";
/// The namespace of the default registry that a name without a `/` means.
const OFFICIAL: &str = "library/";
/// Longest reference, in bytes: a host name (253) and port, a repository, a tag and a sha512 digest fit.
const MAX_TEXT: usize = 1024;
/// Longest repository, in bytes: Docker's limit.
const MAX_REPOSITORY: usize = 255;
/// Longest tag, in bytes: the distribution specification's limit.
const MAX_TAG: usize = 128;

/// Why a text is not a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parsing reference {text:?}: {problem}")]
pub struct ReferenceError {
    /// The text, shortened.
    pub text: String,
    /// What is wrong with it.
    pub problem: ReferenceProblem,
}

/// What is wrong with a text that should be a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceProblem {
    /// It is empty.
    #[error("it is empty, want a name such as \"hello:latest\"")]
    Empty,
    /// It is longer than any reference may be.
    #[error("got {got} bytes, want at most {MAX_TEXT}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// It has the form of an image ID, so that a command could not tell the two apart.
    #[error("64 hexadecimal digits are an image ID, not a name")]
    ImageId,
    /// The repository has upper-case letters.
    #[error("repository name must be lower case, such as {lower:?}")]
    UpperCase {
        /// The repository in lower case.
        lower: String,
    },
    /// A part of the repository between slashes is wrong.
    #[error(
        "part {part:?} of the repository name is wrong, want lower-case letters and digits, with one \".\", one or two \"_\" or some \"-\" only between them"
    )]
    Part {
        /// The part, shortened.
        part: String,
    },
    /// The repository is too long.
    #[error("repository name has {got} bytes, want at most {MAX_REPOSITORY}")]
    RepositoryTooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// The registry is not a host name or address.
    #[error(
        "registry {host:?} is not a host, want a name such as \"example.com\", an IPv4 address, or an IPv6 address in brackets"
    )]
    Host {
        /// The host, shortened.
        host: String,
    },
    /// The registry's port is not a number from 1 to 65535.
    #[error("port {port:?} of the registry is wrong, want a number from 1 to 65535")]
    Port {
        /// The port, shortened.
        port: String,
    },
    /// The tag is wrong.
    #[error(
        "tag {tag:?} is wrong, want 1 to {MAX_TAG} letters, digits, \"_\", \".\" or \"-\", and neither \".\" nor \"-\" in front"
    )]
    Tag {
        /// The tag, shortened.
        tag: String,
    },
    /// What follows the `@` is not a digest.
    #[error("{0}")]
    Digest(DigestError),
}

/// A checked name of an image.
///
/// Its text form is canonical: registry and repository are written out, so equal images have equal names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses a reference as Docker does. No tag is added: see [`Reference::or_latest`].
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] names the text and what would be right.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        Self::parse_parts(text).map_err(|problem| ReferenceError {
            text: shown(text),
            problem,
        })
    }

    fn parse_parts(text: &str) -> Result<Self, ReferenceProblem> {
        if text.is_empty() {
            return Err(ReferenceProblem::Empty);
        }
        if text.len() > MAX_TEXT {
            return Err(ReferenceProblem::TooLong { got: text.len() });
        }
        if is_image_id(text) {
            return Err(ReferenceProblem::ImageId);
        }
        let (registry, official, rest) = split_registry(text);
        check_registry(registry)?;
        let (name, digest) = match rest.split_once('@') {
            Some((name, digest)) => {
                let digest = Digest::parse(digest).map_err(ReferenceProblem::Digest)?;
                (name, Some(digest))
            }
            None => (rest, None),
        };
        let (name, tag) = match name.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (name, None),
        };
        check_name(name)?;
        let repository = match official {
            Namespace::Official => format!("{OFFICIAL}{name}"),
            Namespace::Given => name.to_owned(),
        };
        if repository.len() > MAX_REPOSITORY {
            return Err(ReferenceProblem::RepositoryTooLong {
                got: repository.len(),
            });
        }
        if let Some(tag) = tag {
            check_tag(tag)?;
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// Returns the registry with its port if one was given: `docker.io`, `127.0.0.1:5000`, `[::1]:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the repository within the registry: `library/hello`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest, if there is one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the reference with the tag `latest` where it has neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// Returns the same name with another tag. A digest stays, as in Docker.
    ///
    /// # Errors
    ///
    /// The tag has more than 128 bytes or characters that a tag may not have.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        check_tag(tag).map_err(|problem| ReferenceError {
            text: shown(&format!("{}:{tag}", self.name())),
            problem,
        })?;
        Ok(Self {
            tag: Some(tag.to_owned()),
            ..self.clone()
        })
    }

    /// Returns the same name with another digest. A tag stays.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Returns the name without tag and digest.
    #[must_use]
    pub fn without_tag_and_digest(&self) -> Self {
        Self {
            tag: None,
            digest: None,
            ..self.clone()
        }
    }

    /// Returns registry and repository, as text: `docker.io/library/hello`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns the reference as Docker prints it: `hello:latest`, `127.0.0.1:5000/x:1`.
    ///
    /// Parsing it yields the same reference again.
    pub fn familiar(&self) -> String {
        let mut text = self.familiar_name();
        self.push_tag_and_digest(&mut text);
        text
    }

    /// Returns the name as Docker prints it, without tag and digest: `hello`, `127.0.0.1:5000/x`.
    ///
    /// Where the short form would be read as another name (`docker.io/localhost/x`), it is the long form.
    pub fn familiar_name(&self) -> String {
        if self.registry == DEFAULT_REGISTRY {
            let short = match self.repository.strip_prefix(OFFICIAL) {
                Some(rest) if !rest.contains('/') => rest,
                _ => &self.repository,
            };
            if Self::parse(short).is_ok_and(|read| read == self.without_tag_and_digest()) {
                return short.to_owned();
            }
        }
        self.name()
    }

    fn push_tag_and_digest(&self, text: &mut String) {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
    }
}

enum Namespace {
    /// `library/` is to be put in front.
    Official,
    Given,
}

/// Splits off the registry: a first part counts as one only if it cannot be a user's name on the default registry.
fn split_registry(text: &str) -> (&str, Namespace, &str) {
    let (registry, rest) = match text.split_once('/') {
        None => (DEFAULT_REGISTRY, text),
        Some((LEGACY_DEFAULT_REGISTRY, rest)) => (DEFAULT_REGISTRY, rest),
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.chars().any(char::is_uppercase) =>
        {
            (first, rest)
        }
        Some(_) => (DEFAULT_REGISTRY, text),
    };
    let namespace = if registry == DEFAULT_REGISTRY && !rest.contains('/') {
        Namespace::Official
    } else {
        Namespace::Given
    };
    (registry, namespace, rest)
}

fn is_image_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn check_registry(registry: &str) -> Result<(), ReferenceProblem> {
    let wrong_host = || ReferenceProblem::Host {
        host: shown(registry),
    };
    let port = if let Some(rest) = registry.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or_else(wrong_host)?;
        address.parse::<Ipv6Addr>().map_err(|_| wrong_host())?;
        match rest {
            "" => None,
            _ => Some(rest.strip_prefix(':').ok_or_else(wrong_host)?),
        }
    } else {
        let (host, port) = match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        };
        if !host.split('.').all(is_host_label) {
            return Err(wrong_host());
        }
        port
    };
    match port {
        None => Ok(()),
        Some(port) if is_port(port) => Ok(()),
        Some(port) => Err(ReferenceProblem::Port { port: shown(port) }),
    }
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Digits only: `u16::from_str` alone would accept a leading `+`.
fn is_port(port: &str) -> bool {
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|number| number != 0)
}

fn check_name(name: &str) -> Result<(), ReferenceProblem> {
    let lower = name.to_lowercase();
    // What is no name in lower case either is not to be suggested.
    if lower != name && lower.split('/').all(is_name_part) {
        return Err(ReferenceProblem::UpperCase {
            lower: shown(&lower),
        });
    }
    match name.split('/').find(|part| !is_name_part(part)) {
        None => Ok(()),
        Some(part) => Err(ReferenceProblem::Part { part: shown(part) }),
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_name_part(part: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = part;
    loop {
        let word_end = rest.bytes().position(|b| !word(b)).unwrap_or(rest.len());
        let Some((_, after)) = rest.split_at_checked(word_end).filter(|_| word_end > 0) else {
            return false;
        };
        if after.is_empty() {
            return true;
        }
        let separator_end = after.bytes().position(word).unwrap_or(after.len());
        let Some((separator, next)) = after.split_at_checked(separator_end) else {
            return false;
        };
        if !(matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-')) {
            return false;
        }
        rest = next;
    }
}

/// `[\w][\w.-]{0,127}`, where `\w` is ASCII.
fn check_tag(tag: &str) -> Result<(), ReferenceProblem> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = tag.bytes();
    let first_is_right = bytes.next().is_some_and(word);
    if first_is_right && tag.len() <= MAX_TAG && bytes.all(|b| word(b) || matches!(b, b'.' | b'-'))
    {
        return Ok(());
    }
    Err(ReferenceProblem::Tag { tag: shown(tag) })
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.name();
        self.push_tag_and_digest(&mut text);
        f.write_str(&text)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn reference(text: &str) -> Reference {
        Reference::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn problem(text: &str) -> ReferenceProblem {
        match Reference::parse(text) {
            Err(error) => error.problem,
            Ok(read) => panic!("{text:?} was read as {read}"),
        }
    }

    #[test]
    fn dockers_abbreviations() {
        for (text, canonical, familiar) in [
            ("hello", "docker.io/library/hello", "hello"),
            ("hello:1", "docker.io/library/hello:1", "hello:1"),
            ("user/app", "docker.io/user/app", "user/app"),
            ("docker.io/hello", "docker.io/library/hello", "hello"),
            (
                "docker.io/library/hello",
                "docker.io/library/hello",
                "hello",
            ),
            (
                "index.docker.io/hello:1",
                "docker.io/library/hello:1",
                "hello:1",
            ),
            ("library/hello", "docker.io/library/hello", "hello"),
            (
                "docker.io/library/a/b",
                "docker.io/library/a/b",
                "library/a/b",
            ),
            ("localhost/x", "localhost/x", "localhost/x"),
            (
                "localhost:5000",
                "docker.io/library/localhost:5000",
                "localhost:5000",
            ),
            ("localhost:5000/x", "localhost:5000/x", "localhost:5000/x"),
            (
                "127.0.0.1:5000/x:1",
                "127.0.0.1:5000/x:1",
                "127.0.0.1:5000/x:1",
            ),
            ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
            (
                "[2001:db8::1]/x:y",
                "[2001:db8::1]/x:y",
                "[2001:db8::1]/x:y",
            ),
            ("Example/x", "Example/x", "Example/x"),
            (
                "ghcr.io/a/b/c:V1.0_x-y",
                "ghcr.io/a/b/c:V1.0_x-y",
                "ghcr.io/a/b/c:V1.0_x-y",
            ),
            (
                "a__b/c.d/e---f_g",
                "docker.io/a__b/c.d/e---f_g",
                "a__b/c.d/e---f_g",
            ),
            (
                "docker.io/localhost/x",
                "docker.io/localhost/x",
                "docker.io/localhost/x",
            ),
            ("docker.io/a.b/c", "docker.io/a.b/c", "docker.io/a.b/c"),
        ] {
            let read = reference(text);
            assert_eq!(read.to_string(), canonical, "{text}");
            assert_eq!(read.familiar(), familiar, "{text}");
        }
    }

    #[test]
    fn tag_and_digest() {
        let text = format!("hello:1@sha256:{HEX}");
        let read = reference(&text);
        assert_eq!(read.tag(), Some("1"));
        assert_eq!(read.digest().map(Digest::hex), Some(HEX));
        assert_eq!(read.familiar(), text);
        assert_eq!(read.familiar_name(), "hello");
        let only_digest = reference(&format!("hello@sha256:{HEX}"));
        assert_eq!(only_digest.clone().or_latest(), only_digest);
        assert_eq!(reference("hello").or_latest().tag(), Some("latest"));
        assert_eq!(reference("hello:1").or_latest().tag(), Some("1"));
        let tagged = only_digest.with_tag("2").expect("a tag");
        assert_eq!(
            tagged.to_string(),
            format!("docker.io/library/hello:2@sha256:{HEX}")
        );
        assert_eq!(tagged.without_tag_and_digest(), reference("hello"));
        assert!(read.with_tag("a b").is_err());
    }

    #[test]
    fn an_image_id_is_no_name() {
        assert_eq!(problem(HEX), ReferenceProblem::ImageId);
        let named = reference(&format!("docker.io/library/{HEX}"));
        assert_eq!(reference(&named.familiar()), named);
    }

    #[test]
    fn upper_case_is_explained() {
        let error = Reference::parse("Hello:1").expect_err("upper case");
        assert_eq!(
            error.to_string(),
            r#"parsing reference "Hello:1": repository name must be lower case, such as "hello""#
        );
        // What is no name in lower case either is not suggested.
        assert!(matches!(problem("user/Éa"), ReferenceProblem::Part { .. }));
    }

    #[test]
    fn wrong_texts_are_refused_by_part() {
        use ReferenceProblem as P;
        assert_eq!(problem(""), P::Empty);
        for text in [
            "a b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a.-b",
            "/a",
            "a/",
            "a//b",
            ":1",
            "@",
            "a/./b",
            "a\n",
            "a\0",
            "ä",
            "user/.hidden",
            "https://example.com/x",
        ] {
            assert!(
                matches!(
                    problem(text),
                    P::Part { .. } | P::Port { .. } | P::Digest(_)
                ),
                "{text:?}: {:?}",
                problem(text)
            );
        }
        for text in ["a:", "a:.x", "a:-x", "a:b c", "a:b:c", "a:é"] {
            assert!(matches!(problem(text), P::Tag { .. }), "{text:?}");
        }
        for text in [
            "-x.com/a",
            "x-.com/a",
            "a..com/a",
            "my_host.com/a",
            "[::1/a",
            "[::g]/a",
            "[::1]x/a",
            ".com/a",
            "../a",
        ] {
            assert!(
                matches!(problem(text), P::Host { .. }),
                "{text:?}: {:?}",
                problem(text)
            );
        }
        for text in [
            "host:/a",
            "host:x/a",
            "host:+1/a",
            "host:0/a",
            "host:65536/a",
            "[::1]:x/a",
            "hello:1/a:2/b:x/",
        ] {
            assert!(
                matches!(
                    problem(text),
                    P::Port { .. } | P::Part { .. } | P::Tag { .. }
                ),
                "{text:?}"
            );
        }
        for text in ["a@", "a@sha256:", "a@md5:00", &format!("a@sha256:{HEX}@x")] {
            assert!(matches!(problem(text), P::Digest(_)), "{text:?}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        assert!(Reference::parse(&"a".repeat(MAX_REPOSITORY - OFFICIAL.len())).is_ok());
        assert_eq!(
            problem(&"a".repeat(MAX_REPOSITORY)),
            ReferenceProblem::RepositoryTooLong { got: 263 }
        );
        assert!(Reference::parse(&format!("a:{}", "t".repeat(MAX_TAG))).is_ok());
        let long_tag = format!("a:{}", "t".repeat(MAX_TAG + 1));
        assert!(matches!(problem(&long_tag), ReferenceProblem::Tag { .. }));
        let huge = "a".repeat(10_000_000);
        assert_eq!(
            problem(&huge),
            ReferenceProblem::TooLong { got: huge.len() }
        );
        let message = Reference::parse(&huge).expect_err("too long").to_string();
        assert!(message.len() < 1000, "{} bytes of message", message.len());
    }

    proptest! {
        #[test]
        fn every_form_reads_back(
            host in "(|localhost/|[a-z]{1,5}(-[a-z0-9]{1,3})?\\.[a-z]{2,3}(:[1-9][0-9]{0,3})?/|\\[::[1-9a-f]\\](:5000)?/|docker\\.io/)",
            // No dot in the first part: without a host it would be read as one.
            name in "[a-z0-9]{1,6}((_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,4}([._-][a-z]{1,2})?){0,3}",
            tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
            digest in proptest::option::of("[0-9a-f]{64}"),
        ) {
            let mut text = format!("{host}{name}");
            if let Some(tag) = &tag {
                text.push(':');
                text.push_str(tag);
            }
            if let Some(digest) = &digest {
                text.push_str("@sha256:");
                text.push_str(digest);
            }
            let read = Reference::parse(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(read.tag(), tag.as_deref());
            prop_assert_eq!(read.digest().map(Digest::hex), digest.as_deref());
            prop_assert_eq!(&Reference::parse(&read.to_string()).expect("canonical form"), &read);
            prop_assert_eq!(&Reference::parse(&read.familiar()).expect("familiar form"), &read);
            let json = serde_json::to_string(&read).expect("JSON");
            prop_assert_eq!(&serde_json::from_str::<Reference>(&json).expect("from JSON"), &read);
        }

        #[test]
        fn no_text_panics_and_what_is_read_is_canonical(text in "\\PC{0,80}|[a-zA-Z0-9:/@._\\[\\]-]{0,80}") {
            if let Ok(read) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&read.to_string()), Ok(read.clone()));
                prop_assert_eq!(Reference::parse(&read.familiar()), Ok(read));
            }
        }
    }
}
