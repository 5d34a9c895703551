//! The choice of one entry from an index.
//!
//! Wasm where there is some, else the host's own platform, else a refusal that says what there is. A platform that was
//! asked for overrides this.

use std::fmt;

use crate::image::{Descriptor, ImageIndex};
use crate::media_type::Kind;
use crate::platform::Platform;

/// Marks an entry that describes another one, as BuildKit's attestations do.
const DESCRIBES_OTHER: &str = "vnd.docker.reference.type";

/// Platforms that a refusal lists. More would hide the message.
const LISTED: usize = 20;

/// An entry, and why it was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Names the manifest, or an index within the index.
    pub descriptor: Descriptor,
    /// One phrase for people, such as `wasi/wasm: Wasm comes first`.
    pub reason: String,
    /// The same without the platform.
    pub why: String,
}

/// How an image was chosen, index by index. Empty where there was no choice: the name leads to one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// The indexes on the way; more than one only where an index is within an index.
    pub steps: Vec<SelectionStep>,
}

/// The choice from one index.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectionStep {
    /// Digest of the index, as text.
    pub index: String,
    /// What was chosen, and why.
    pub outcome: Result<Choice, SelectError>,
    /// Every entry, in the order of the index.
    pub entries: Vec<Considered>,
}

/// An entry of an index, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Considered {
    /// Names it.
    pub descriptor: Descriptor,
    /// Its platform, or `None` if it states none.
    pub platform: Option<Platform>,
    /// Was it chosen?
    pub chosen: bool,
    /// One phrase for people.
    pub reason: String,
}

impl fmt::Display for Selection {
    /// One line for each entry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("the name leads to one image: there is no choice");
        }
        for (number, step) in self.steps.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "index {}", step.index)?;
            for entry in &step.entries {
                let mark = if entry.chosen { '*' } else { ' ' };
                let platform = entry.platform.as_ref();
                let platform = platform.map_or_else(|| "-".to_owned(), ToString::to_string);
                write!(
                    f,
                    "\n{mark} {:<16} {}  {}",
                    crate::digest::shown(&platform),
                    entry.descriptor.digest(),
                    entry.reason
                )?;
            }
            if let Err(error) = &step.outcome {
                write!(f, "\n{error}")?;
            }
        }
        Ok(())
    }
}

/// Chooses an entry, and says of every other why not.
pub fn explain(
    digest: &str,
    index: &ImageIndex,
    wanted: Option<&Platform>,
    host: &Platform,
) -> SelectionStep {
    let outcome = choose(index, wanted, host);
    let chosen = outcome.as_ref().ok();
    let mut found = false;
    let mut entries = Vec::new();
    for descriptor in index.manifests() {
        // One that is listed twice is chosen once.
        let is_chosen = !found && chosen.is_some_and(|choice| choice.descriptor == *descriptor);
        found |= is_chosen;
        let reason = match chosen {
            Some(choice) if is_chosen => choice.why.clone(),
            _ => why_not(descriptor, wanted, host),
        };
        entries.push(Considered {
            descriptor: descriptor.clone(),
            platform: descriptor.platform().as_ref().map(Platform::from),
            chosen: is_chosen,
            reason,
        });
    }
    SelectionStep {
        index: digest.to_owned(),
        outcome,
        entries,
    }
}

fn why_not(descriptor: &Descriptor, wanted: Option<&Platform>, host: &Platform) -> String {
    let Some(entry) = Entry::of(descriptor) else {
        let kind = Kind::of(descriptor.media_type().as_ref());
        return if kind.is_manifest_or_index() {
            "no program: it describes another entry, such as an attestation".to_owned()
        } else {
            "neither an image nor an index".to_owned()
        };
    };
    let Some(platform) = &entry.platform else {
        return "it states no platform, and is taken if nothing else fits".to_owned();
    };
    let fits = |wanted: &Platform| platform.satisfies(wanted);
    match wanted {
        Some(wanted) if fits(wanted) => "it fits, but another comes first".to_owned(),
        Some(wanted) => format!("{wanted} was asked for"),
        None if fits(&Platform::wasm()) => "it fits, but another comes first".to_owned(),
        None if fits(host) => "Wasm comes before this host's platform".to_owned(),
        None => "not for this host".to_owned(),
    }
}

/// Why no entry was chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// There is nothing to choose from.
    #[error("the image index has no image")]
    Empty,
    /// Nothing fits.
    #[error("no image for {wanted}: the index has {available}")]
    NoMatch {
        /// The platforms that would fit, as text.
        wanted: String,
        /// The platforms there are, as text.
        available: String,
    },
}

/// Chooses an entry.
///
/// # Errors
///
/// [`SelectError`] says what there is.
pub fn choose(
    index: &ImageIndex,
    wanted: Option<&Platform>,
    host: &Platform,
) -> Result<Choice, SelectError> {
    let entries: Vec<Entry<'_>> = index.manifests().iter().filter_map(Entry::of).collect();
    if entries.is_empty() {
        return Err(SelectError::Empty);
    }
    let chosen = match wanted {
        Some(wanted) => best(&entries, wanted).map(|entry| (entry, "it was asked for".to_owned())),
        None => best(&entries, &Platform::wasm())
            .map(|entry| (entry, "Wasm comes first".to_owned()))
            .or_else(|| {
                best(&entries, host).map(|entry| {
                    (
                        entry,
                        "no Wasm in the index, and this is the host's".to_owned(),
                    )
                })
            }),
    };
    if let Some((entry, why)) = chosen {
        return Ok(entry.chosen(&why));
    }
    // What does not state its platform may still be right: only its config, or the index that it is, can tell.
    if let Some(entry) = entries.iter().find(|entry| entry.platform.is_none()) {
        return Ok(entry.chosen("nothing else fits, and this entry states no platform"));
    }
    Err(SelectError::NoMatch {
        wanted: match wanted {
            Some(wanted) => wanted.to_string(),
            None => format!("{} or {host}", Platform::wasm()),
        },
        available: listed(&entries),
    })
}

struct Entry<'a> {
    descriptor: &'a Descriptor,
    platform: Option<Platform>,
}

impl<'a> Entry<'a> {
    /// Returns `None` for what is no image: attestations, and media types that are neither manifest nor index.
    fn of(descriptor: &'a Descriptor) -> Option<Self> {
        let platform = descriptor.platform().as_ref().map(Platform::from);
        let describes_other = descriptor
            .annotations()
            .as_ref()
            .is_some_and(|annotations| annotations.contains_key(DESCRIBES_OTHER));
        let kind = Kind::of(descriptor.media_type().as_ref());
        if describes_other
            || !kind.is_manifest_or_index()
            || platform.as_ref().is_some_and(Platform::is_unknown)
        {
            return None;
        }
        Some(Self {
            descriptor,
            platform,
        })
    }

    fn chosen(&self, why: &str) -> Choice {
        let platform = match &self.platform {
            Some(platform) => platform.to_string(),
            None => self.descriptor.digest().to_string(),
        };
        Choice {
            descriptor: self.descriptor.clone(),
            reason: format!("{platform}: {why}"),
            why: why.to_owned(),
        }
    }
}

/// Returns the first entry that fits; an image before an artifact, and the exact `os` before another.
fn best<'a>(entries: &'a [Entry<'a>], wanted: &Platform) -> Option<&'a Entry<'a>> {
    let fits = |entry: &&Entry<'_>| {
        entry
            .platform
            .as_ref()
            .is_some_and(|platform| platform.satisfies(wanted))
    };
    entries.iter().filter(fits).min_by_key(|entry| {
        let is_artifact = entry.descriptor.artifact_type().is_some();
        let is_exact = entry.platform.as_ref() == Some(wanted);
        (is_artifact, !is_exact)
    })
}

fn listed(entries: &[Entry<'_>]) -> String {
    let mut names: Vec<String> = Vec::new();
    for platform in entries.iter().filter_map(|entry| entry.platform.as_ref()) {
        let name = crate::digest::shown(&platform.to_string());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let hidden = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    let text = names.join(", ");
    match hidden {
        0 => text,
        _ => format!("{text} and {hidden} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Document;

    /// Entries as `platform`, with `@attestation`, `@artifact`, `@index` or `@layer` behind; `-` states no platform.
    fn index(entries: &[&str]) -> ImageIndex {
        let entries: Vec<String> = entries
            .iter()
            .enumerate()
            .map(|(number, entry)| {
                let (platform, mark) = entry.split_once('@').unwrap_or((entry, ""));
                let media_type = match mark {
                    "index" => "application/vnd.oci.image.index.v1+json",
                    "layer" => "application/vnd.oci.image.layer.v1.tar",
                    "docker" => "application/vnd.docker.distribution.manifest.v2+json",
                    _ => "application/vnd.oci.image.manifest.v1+json",
                };
                let extra = match mark {
                    "attestation" => {
                        r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#
                    }
                    "artifact" => r#","artifactType":"application/vnd.wasm.config.v0+json""#,
                    _ => "",
                };
                let parts: Vec<&str> = platform.split('/').collect();
                let platform = match parts[..] {
                    [os, arch] => {
                        format!(r#","platform":{{"os":"{os}","architecture":"{arch}"}}"#)
                    }
                    [os, arch, variant] => format!(
                        r#","platform":{{"os":"{os}","architecture":"{arch}","variant":"{variant}"}}"#
                    ),
                    _ => String::new(),
                };
                format!(
                    r#"{{"mediaType":"{media_type}","digest":"sha256:{number:064x}","size":2{platform}{extra}}}"#
                )
            })
            .collect();
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            entries.join(",")
        );
        let media_type = "application/vnd.oci.image.index.v1+json";
        match Document::parse(text.as_bytes(), media_type) {
            Ok(Document::Index(index)) => index,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_table() {
        for (entries, wanted, host, chosen) in [
            // Wasm comes first, wherever it stands and however `os` is spelt.
            (
                &["linux/amd64", "wasi/wasm"][..],
                None,
                "linux/amd64",
                Some(1),
            ),
            (
                &["linux/amd64", "linux/wasm32"],
                None,
                "linux/amd64",
                Some(1),
            ),
            (&["wasip2/wasm", "wasi/wasm"], None, "linux/amd64", Some(1)),
            (
                &["wasip2/wasm", "wasip1/wasm"],
                None,
                "linux/amd64",
                Some(0),
            ),
            (
                &["linux/amd64", "wasi/wasm64"],
                None,
                "linux/amd64",
                Some(0),
            ),
            // An image before an artifact of the same platform.
            (
                &["wasi/wasm@artifact", "wasip1/wasm"],
                None,
                "linux/amd64",
                Some(1),
            ),
            (
                &["wasi/wasm@artifact", "linux/amd64"],
                None,
                "linux/amd64",
                Some(0),
            ),
            // Else the host's own.
            (
                &["linux/arm64", "linux/amd64"],
                None,
                "linux/amd64",
                Some(1),
            ),
            (
                &["linux/arm64/v8", "linux/amd64@docker"],
                None,
                "linux/arm64",
                Some(0),
            ),
            (
                &["linux/amd64/v3", "linux/amd64"],
                None,
                "linux/amd64",
                Some(1),
            ),
            (&["linux/amd64/v3"], None, "linux/amd64", None),
            (&["linux/s390x", "windows/amd64"], None, "linux/amd64", None),
            // What is asked for overrides both.
            (
                &["wasi/wasm", "linux/arm64"],
                Some("linux/arm64"),
                "linux/amd64",
                Some(1),
            ),
            (
                &["wasi/wasm", "linux/arm64"],
                Some("linux/amd64"),
                "linux/amd64",
                None,
            ),
            (
                &["linux/amd64", "wasip1/wasm"],
                Some("wasi/wasm"),
                "linux/amd64",
                Some(1),
            ),
            (
                &["linux/arm/v6", "linux/arm"],
                Some("linux/arm/v7"),
                "linux/amd64",
                Some(1),
            ),
            // What is no image is not chosen.
            (
                &["unknown/unknown", "linux/amd64"],
                None,
                "linux/amd64",
                Some(1),
            ),
            (
                &["linux/amd64@attestation", "linux/amd64"],
                None,
                "linux/amd64",
                Some(1),
            ),
            (
                &["wasi/wasm@layer", "linux/amd64"],
                None,
                "linux/amd64",
                Some(1),
            ),
            (
                &["unknown/unknown"],
                Some("unknown/unknown"),
                "linux/amd64",
                None,
            ),
            (&[], None, "linux/amd64", None),
            // Without a platform: only when nothing else fits.
            (&["-", "linux/amd64"], None, "linux/amd64", Some(1)),
            (&["linux/arm64", "-@index"], None, "linux/amd64", Some(1)),
            (&["-"], Some("wasi/wasm"), "linux/amd64", Some(0)),
        ] {
            let index = index(entries);
            let wanted = wanted.map(|text| Platform::parse(text).expect("a platform"));
            let host = Platform::parse(host).expect("a platform");
            let got = choose(&index, wanted.as_ref(), &host).ok();
            let got = got.map(|choice| choice.descriptor.digest().to_string());
            let chosen = chosen.map(|number: usize| format!("sha256:{number:064x}"));
            assert_eq!(got, chosen, "{entries:?} for {wanted:?} on {host}");
        }
    }

    #[test]
    fn a_refusal_says_what_there_is() {
        let host = Platform::parse("linux/amd64").expect("a platform");
        let arms = index(&[
            "linux/arm64",
            "linux/arm/v7",
            "linux/arm64",
            "unknown/unknown",
        ]);
        let error = choose(&arms, None, &host).expect_err("no fit");
        assert_eq!(
            error.to_string(),
            "no image for wasi/wasm or linux/amd64: the index has linux/arm64, linux/arm/v7"
        );
        let many: Vec<String> = (0..900)
            .map(|number| format!("linux/cpu{number}"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let message = choose(&index(&many), None, &host)
            .expect_err("no fit")
            .to_string();
        assert!(message.ends_with("linux/cpu19 and 880 more"), "{message}");
        assert_eq!(choose(&index(&[]), None, &host), Err(SelectError::Empty));
    }

    #[test]
    fn a_choice_is_explained() {
        let host = Platform::parse("linux/amd64").expect("a platform");
        let all = index(&[
            "linux/amd64",
            "wasi/wasm",
            "wasip2/wasm",
            "unknown/unknown",
            "linux/s390x",
            "wasi/wasm@layer",
            "-",
        ]);
        let reasons = |wanted: Option<&Platform>| -> Vec<(bool, String)> {
            let step = explain("sha256:x", &all, wanted, &host);
            step.entries
                .into_iter()
                .map(|entry| (entry.chosen, entry.reason))
                .collect()
        };
        let marked = |at: usize, reasons: &[(bool, String)]| {
            assert!(
                reasons
                    .iter()
                    .enumerate()
                    .all(|(number, (chosen, _))| *chosen == (number == at)),
                "{reasons:?}"
            );
        };
        let got = reasons(None);
        marked(1, &got);
        let text: Vec<&str> = got.iter().map(|(_, reason)| reason.as_str()).collect();
        assert_eq!(
            text,
            [
                "Wasm comes before this host's platform",
                "Wasm comes first",
                "it fits, but another comes first",
                "no program: it describes another entry, such as an attestation",
                "not for this host",
                "neither an image nor an index",
                "it states no platform, and is taken if nothing else fits",
            ]
        );
        let arm = Platform::parse("linux/s390x").expect("a platform");
        let got = reasons(Some(&arm));
        marked(4, &got);
        assert_eq!(got[0].1, "linux/s390x was asked for");
        let selection = Selection {
            steps: vec![explain("sha256:x", &all, None, &host)],
        };
        assert!(
            selection.to_string().contains("\n* wasi/wasm"),
            "{selection}"
        );
    }

    #[test]
    fn the_reason_names_the_platform() {
        let host = Platform::parse("linux/amd64").expect("a platform");
        let both = index(&["linux/amd64", "wasi/wasm"]);
        let choice = choose(&both, None, &host).expect("a choice");
        assert_eq!(choice.reason, "wasi/wasm: Wasm comes first");
    }
}
