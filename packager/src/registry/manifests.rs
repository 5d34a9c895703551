//! Manifests, tags and small blobs, one request each: what tools other than pull and push are made of.

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::endpoint::Ask;
use super::error::{Cause, RegistryError, Step};
use super::redact;
use super::repository::Repository;
use super::retry::Attempts;
use crate::digest::Digest;
use crate::image::{ImageIndex, Limits};
use crate::media_type::{ACCEPTED_MANIFESTS, OCI_INDEX};

/// Tags of one repository that are listed.
const TAGS: usize = 100_000;
/// Bytes of all pages of one list together.
const LIST_BYTES: usize = 64 << 20;
/// Pages of one list that are asked for.
const PAGES: usize = 1_000;
/// Where registries say what digest an answer has.
const DIGEST: &str = "docker-content-digest";
/// Where registries say that they know what a manifest refers to (distribution-spec, "Pushing Manifests with Subject").
const SUBJECT: &str = "oci-subject";

/// Which manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestName {
    /// By a tag.
    Tag(String),
    /// By its digest.
    Digest(Digest),
}

impl ManifestName {
    fn path(&self) -> String {
        match self {
            Self::Tag(tag) => format!("manifests/{tag}"),
            Self::Digest(digest) => format!("manifests/{digest}"),
        }
    }

    fn step(&self) -> Step {
        match self {
            Self::Tag(_) => Step::Resolve,
            Self::Digest(digest) => Step::Manifest(digest.clone()),
        }
    }
}

/// A manifest or index as the registry has it, checked against its digest if it was named by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    /// What the registry says it is.
    pub media_type: String,
    /// Digest of the bytes.
    pub digest: Digest,
    /// The bytes; [`Limits::MANIFEST`] at most.
    pub bytes: Bytes,
}

/// A manifest that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// Digest of the bytes.
    pub digest: Digest,
    /// Does the registry know what it refers to? If not, its `subject` is found by the tag schema only.
    pub knows_subject: bool,
}

impl Repository {
    /// Asks which digest a manifest has, without fetching it. A `HEAD` does not count against the limits of Docker Hub.
    ///
    /// # Errors
    ///
    /// [`Cause::NotFound`], or what else keeps the registry from answering.
    pub async fn head_manifest(&self, name: &ManifestName) -> Result<Digest, RegistryError> {
        let step = name.step();
        let fail = |cause| self.fail(step.clone(), cause);
        let url = self.url(&name.path()).await.map_err(fail)?;
        let asked = self.call(step.clone(), accepting(Method::HEAD, url)).await;
        match asked {
            Ok(answer) => match self.told_digest(answer.headers()).map_err(fail)? {
                Some(digest) => Ok(digest),
                None => Ok(self.get_manifest(name).await?.digest),
            },
            Err(error)
                if matches!(
                    *error.cause,
                    Cause::Status {
                        status: 405 | 501,
                        ..
                    }
                ) =>
            {
                Ok(self.get_manifest(name).await?.digest)
            }
            Err(error) => Err(error),
        }
    }

    /// Fetches a manifest or index.
    ///
    /// # Errors
    ///
    /// [`Cause::NotFound`], [`Cause::TooLarge`], [`Cause::WrongDigest`], or what else keeps the registry from answering.
    pub async fn get_manifest(&self, name: &ManifestName) -> Result<RawManifest, RegistryError> {
        let step = name.step();
        let fail = |cause| self.fail(step.clone(), cause);
        let url = self.url(&name.path()).await.map_err(fail)?;
        let limit = usize::try_from(Limits::MANIFEST).unwrap_or(usize::MAX);
        let ask = accepting(Method::GET, url);
        let (headers, bytes) = self
            .document(step.clone(), ask, limit, "the manifest")
            .await?;
        let digest = match name {
            ManifestName::Digest(want) => {
                let mut hasher = crate::digest::Hasher::for_digest(want);
                hasher.update(&bytes);
                let got = hasher.finish();
                if got != *want {
                    let (got, want) = (got.to_string(), want.to_string());
                    return Err(fail(Cause::WrongDigest { got, want }));
                }
                got
            }
            ManifestName::Tag(_) => Digest::sha256_of(&bytes),
        };
        let media_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = media_type
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default();
        Ok(RawManifest {
            media_type: media_type.trim().to_owned(),
            digest,
            bytes,
        })
    }

    /// Puts a manifest or index, byte for byte. What it names must be there already.
    ///
    /// # Errors
    ///
    /// What the registry says, or [`Cause::WrongDigest`] if it stored something else.
    pub async fn put_manifest(
        &self,
        name: &ManifestName,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<StoredManifest, RegistryError> {
        let digest = match name {
            ManifestName::Digest(digest) => digest.clone(),
            ManifestName::Tag(_) => Digest::sha256_of(&bytes),
        };
        let step = Step::Manifest(digest.clone());
        let fail = |cause| self.fail(step.clone(), cause);
        let content_type = HeaderValue::from_str(media_type).map_err(|_| {
            fail(Cause::MediaType {
                media_type: redact::foreign(media_type),
            })
        })?;
        let url = self.url(&name.path()).await.map_err(fail)?;
        let mut ask = Ask::new(Method::PUT, url).with(CONTENT_TYPE, content_type);
        ask.body = Some(bytes);
        let answer = self.call(step.clone(), ask).await?;
        if let Some(got) = self.told_digest(answer.headers()).map_err(fail)?
            && got.algorithm() == digest.algorithm()
            && got != digest
        {
            let (got, want) = (got.to_string(), digest.to_string());
            return Err(fail(Cause::WrongDigest { got, want }));
        }
        Ok(StoredManifest {
            knows_subject: answer.headers().contains_key(SUBJECT),
            digest,
        })
    }

    /// Lists the repository's tags, in the registry's order.
    ///
    /// # Errors
    ///
    /// [`Cause::NotFound`], or what else keeps the registry from answering.
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            // Some registries say null for none.
            tags: Option<Vec<String>>,
        }
        let fail = |cause| self.fail(Step::Tags, cause);
        let mut next = Some(self.url("tags/list").await.map_err(fail)?);
        let mut tags = Vec::new();
        let mut pages = Pages::default();
        while let Some(url) = next.take() {
            let (headers, bytes) = self
                .list(self.attempts(), Step::Tags, url.clone(), None)
                .await?;
            pages.add(&bytes, "the list of tags").map_err(fail)?;
            let page: Page = self.json(&bytes, "a list of tags").map_err(fail)?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > TAGS {
                return Err(fail(Cause::TooLarge {
                    what: "the list of tags",
                    got: tags.len() as u64,
                    limit: TAGS as u64,
                }));
            }
            next = self.next_page(&url, &headers).map_err(fail)?;
        }
        Ok(tags)
    }

    /// Lists the manifests that refer to one, or returns `None` where the registry does not know (distribution-spec, "Listing
    /// Referrers"): then they are listed by the manifest with the tag `<algorithm>-<hex>`, if there is one.
    ///
    /// A registry may ignore `artifact_type`: the caller filters anyway.
    ///
    /// # Errors
    ///
    /// What keeps the registry from answering.
    pub async fn referrers(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Option<ImageIndex>, RegistryError> {
        let fail = |cause| self.fail(Step::Referrers(digest.clone()), cause);
        let mut url = self
            .url(&format!("referrers/{digest}"))
            .await
            .map_err(fail)?;
        if let Some(artifact_type) = artifact_type {
            url.query_pairs_mut()
                .append_pair("artifactType", artifact_type);
        }
        let mut next = Some(url);
        let mut whole: Option<ImageIndex> = None;
        let mut more = Vec::new();
        let mut pages = Pages::default();
        while let Some(url) = next.take() {
            // Where there is no such API, some limit requests for it: trying again would only take time.
            let attempts = if whole.is_none() {
                Attempts::one()
            } else {
                self.attempts()
            };
            let asked = self
                .list(
                    attempts,
                    Step::Referrers(digest.clone()),
                    url.clone(),
                    Some(OCI_INDEX),
                )
                .await;
            let (headers, bytes) = match asked {
                Ok(page) => page,
                // 404 is what the specification says; other registries have answered with the others.
                Err(error) if whole.is_none() && no_such_api(&error.cause) => return Ok(None),
                Err(error) => return Err(error),
            };
            // A page for people, where an API should be.
            if whole.is_none() && bytes.trim_ascii_start().starts_with(b"<") {
                return Ok(None);
            }
            pages.add(&bytes, "the list of referrers").map_err(fail)?;
            let page: ImageIndex = self.json(&bytes, "a list of referrers").map_err(fail)?;
            more.extend(page.manifests().iter().cloned());
            if more.len() > TAGS {
                return Err(fail(Cause::TooLarge {
                    what: "the list of referrers",
                    got: more.len() as u64,
                    limit: TAGS as u64,
                }));
            }
            whole.get_or_insert(page);
            next = self.next_page(&url, &headers).map_err(fail)?;
        }
        if let Some(whole) = &mut whole {
            whole.set_manifests(more);
        }
        Ok(whole)
    }

    /// Fetches a small blob whole, and checks it.
    ///
    /// # Errors
    ///
    /// [`Cause::NotFound`], [`Cause::TooLarge`], [`Cause::WrongDigest`], or what else keeps the registry from answering.
    pub async fn get_blob(&self, digest: &Digest, limit: usize) -> Result<Bytes, RegistryError> {
        let step = Step::Blob(digest.clone());
        let fail = |cause| self.fail(step.clone(), cause);
        let url = self.blob_url(digest).await.map_err(fail)?;
        let (_, bytes) = self
            .document(step.clone(), Ask::new(Method::GET, url), limit, "the blob")
            .await?;
        let mut hasher = crate::digest::Hasher::for_digest(digest);
        hasher.update(&bytes);
        let got = hasher.finish();
        if got != *digest {
            let (got, want) = (got.to_string(), digest.to_string());
            return Err(fail(Cause::WrongDigest { got, want }));
        }
        Ok(bytes)
    }

    /// Puts a small blob, unless the registry has it. Returns its digest.
    ///
    /// # Errors
    ///
    /// What the registry says.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<Digest, RegistryError> {
        let digest = Digest::sha256_of(&bytes);
        let step = Step::Blob(digest.clone());
        let fail = |cause| self.fail(step.clone(), cause);
        if self.has_blob(&digest).await? {
            return Ok(digest);
        }
        let url = self.url("blobs/uploads/").await.map_err(fail)?;
        let ask = Ask::new(Method::POST, url).with(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let begun = self.call(step.clone(), ask).await?;
        let location = self.endpoint().location(&begun).map_err(fail)?;
        let mut url = location
            .ok_or_else(|| fail(self.protocol("it takes an upload but does not say where")))?;
        url.query_pairs_mut()
            .append_pair("digest", &digest.to_string());
        let mut ask = Ask::new(Method::PUT, url).with(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        ask.body = Some(bytes);
        self.call(step.clone(), ask).await?;
        Ok(digest)
    }

    /// Asks whether the registry has a blob.
    ///
    /// # Errors
    ///
    /// What keeps the registry from answering.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let step = Step::Blob(digest.clone());
        let url = self
            .blob_url(digest)
            .await
            .map_err(|cause| self.fail(step.clone(), cause))?;
        match self.call(step, Ask::new(Method::HEAD, url)).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(*error.cause, Cause::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn list(
        &self,
        attempts: Attempts,
        step: Step,
        url: Url,
        accept: Option<&'static str>,
    ) -> Result<(HeaderMap, Bytes), RegistryError> {
        let mut ask = Ask::new(Method::GET, url);
        if let Some(accept) = accept {
            ask = ask.with(ACCEPT, HeaderValue::from_static(accept));
        }
        let limit = usize::try_from(Limits::MANIFEST).unwrap_or(usize::MAX);
        self.document_within(attempts, step, ask, limit, "the list")
            .await
    }

    fn json<'a, T: Deserialize<'a>>(&self, bytes: &'a [u8], what: &str) -> Result<T, Cause> {
        serde_json::from_slice(bytes).map_err(|error| {
            if bytes.trim_ascii_start().starts_with(b"<") {
                self.protocol(format!("it sends a web page (HTML) where {what} should be"))
            } else {
                self.protocol(format!(
                    "reading {what}: {}",
                    redact::foreign(&error.to_string())
                ))
            }
        })
    }

    /// Reads the digest that the registry says an answer has.
    fn told_digest(&self, headers: &HeaderMap) -> Result<Option<Digest>, Cause> {
        let Some(value) = headers.get(DIGEST) else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(value.as_bytes());
        Digest::parse(&text)
            .map(Some)
            .map_err(|error| self.protocol(redact::chain(&error)))
    }

    /// Reads `Link: <…>; rel="next"` (RFC 8288). The next page must be at the registry itself.
    fn next_page(&self, url: &Url, headers: &HeaderMap) -> Result<Option<Url>, Cause> {
        let Some(link) = headers.get(LINK).and_then(|value| value.to_str().ok()) else {
            return Ok(None);
        };
        let Some((target, parameters)) = link
            .trim_start()
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
        else {
            return Ok(None);
        };
        if !parameters.contains("next") {
            return Ok(None);
        }
        let next = url
            .join(target)
            .ok()
            .filter(|next| self.endpoint().is_own(next));
        match next {
            Some(next) if next != *url => Ok(Some(next)),
            _ => Err(self.protocol("its link to the next page leads elsewhere")),
        }
    }
}

/// What the pages of one list have taken so far.
#[derive(Default)]
struct Pages {
    count: usize,
    bytes: usize,
}

impl Pages {
    /// Counts a page; a list that goes on without end is refused, not cut.
    fn add(&mut self, page: &[u8], what: &'static str) -> Result<(), Cause> {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(page.len());
        let (got, limit) = if self.count > PAGES {
            (self.count, PAGES)
        } else {
            (self.bytes, LIST_BYTES)
        };
        if got <= limit {
            return Ok(());
        }
        Err(Cause::TooLarge {
            what,
            got: got as u64,
            limit: limit as u64,
        })
    }
}

/// Asks for any kind of manifest that is known here.
fn accepting(method: Method, url: Url) -> Ask {
    let kinds = HeaderValue::from_str(&ACCEPTED_MANIFESTS.join(", "))
        .expect("media types are header values");
    Ask::new(method, url).with(ACCEPT, kinds)
}

fn no_such_api(cause: &Cause) -> bool {
    match cause {
        Cause::NotFound => true,
        Cause::Status { status, .. } => matches!(status, 400 | 405 | 406 | 501),
        // GitHub's redirects to a page that limits requests.
        Cause::TooManyRequests { .. } | Cause::Misled { .. } => true,
        _ => false,
    }
}
