//! The choice of one entry from an index.
//!
//! Wasm where there is some, else the host's own platform, else a refusal that says what there is. A platform that was
//! asked for overrides this.

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
