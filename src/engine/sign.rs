//! Signs images in their registries, and checks signatures there.

use std::collections::BTreeMap;

use coracle_packager::digest::Digest;
use coracle_packager::image::{Document, Limits};
use coracle_packager::reference::Reference;
use coracle_packager::registry::{Action, ManifestName, Repository};
use coracle_packager::sign::{Flaw, Payload, PrivateKey, PublicKey, Signature};
use serde_json::Value;

use super::registries::runtime;
use super::{Engine, Error, Registries};

/// What to sign, and what to say of it.
pub struct SignImage<'a> {
    /// The image, in its registry.
    pub reference: &'a Reference,
    /// The key to sign with.
    pub key: &'a PrivateKey,
    /// The name to sign for, instead of the image's without its tag.
    pub identity: Option<&'a str>,
    /// What the signature says beside digest and name.
    pub annotations: &'a BTreeMap<String, String>,
    /// Is each manifest of an index signed as well?
    pub recursive: bool,
}

/// A manifest or index that is signed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    /// It.
    pub digest: Digest,
    /// Is the signature new? If not, there was one before that says the same.
    pub added: bool,
}

/// Which signatures are right.
pub struct VerifyImage<'a> {
    /// The image, in its registry.
    pub reference: &'a Reference,
    /// The key that must have made them.
    pub key: &'a PublicKey,
    /// The repository that they must be for, instead of the image's own.
    pub identity: Option<&'a Reference>,
    /// What they must say beside.
    pub annotations: &'a BTreeMap<String, String>,
}

/// An image with a right signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedImage {
    /// What its name stands for now.
    pub digest: Digest,
    /// What the right signatures say: at least one.
    pub claims: Vec<Payload>,
}

impl Engine {
    /// Signs what a name stands for in its registry.
    ///
    /// # Errors
    ///
    /// [`Error::NotTheSame`] if the image of that name here is another one; what the registry says.
    pub fn sign(
        &self,
        request: &SignImage<'_>,
        registries: &Registries,
    ) -> Result<Vec<SignedManifest>, Error> {
        let reference = request.reference;
        let client = registries.client();
        let repository = client.repository(reference, Action::Write("signing"))?;
        runtime()?.block_on(async {
            let top = resolve(&repository, reference).await?;
            self.refuse_another(reference, &top)?;
            let mut digests = vec![top.clone()];
            if request.recursive {
                digests.extend(parts(&repository, &top).await?);
            }
            let mut signed = Vec::new();
            for digest in digests {
                let claim = Payload {
                    digest: digest.clone(),
                    identity: request
                        .identity
                        .map_or_else(|| reference.name(), str::to_owned),
                    optional: request
                        .annotations
                        .iter()
                        .map(|(name, value)| (name.clone(), Value::from(value.clone())))
                        .collect(),
                };
                let signature = Signature::make(&claim, request.key)?;
                let added = repository
                    .add_signature(&digest, &signature, &request.key.public())
                    .await?;
                signed.push(SignedManifest { digest, added });
            }
            Ok(signed)
        })
    }

    /// Checks that what a name stands for in its registry has a signature that is right.
    ///
    /// # Errors
    ///
    /// [`Error::NotSigned`]; what the registry says.
    pub fn verify(
        &self,
        request: &VerifyImage<'_>,
        registries: &Registries,
    ) -> Result<VerifiedImage, Error> {
        let reference = request.reference;
        let client = registries.client();
        let repository = client.repository(reference, Action::Read("verifying"))?;
        let (digest, attached) = runtime()?.block_on(async {
            let digest = resolve(&repository, reference).await?;
            let attached = repository.signatures(&digest).await?;
            Ok::<_, Error>((digest, attached))
        })?;
        let mut claims = Vec::new();
        let mut flaws = attached.unreadable;
        for signature in &attached.signatures {
            match request.check(signature, &digest) {
                Ok(claim) => claims.push(claim),
                Err(flaw) => flaws.push(flaw),
            }
        }
        if claims.is_empty() {
            return Err(Error::NotSigned {
                image: reference.familiar(),
                digest: digest.to_string(),
                count: flaws.len(),
                flaw: Flaw::most_telling(flaws),
            });
        }
        Ok(VerifiedImage { digest, claims })
    }

    /// Refuses to sign for a name what is not the image of that name here: who signs means the image that was looked at.
    fn refuse_another(&self, reference: &Reference, there: &Digest) -> Result<(), Error> {
        match self.store.resolve(reference)? {
            Some(here) if Digest::of(&here)? != *there => Err(Error::NotTheSame {
                name: reference.familiar(),
                here: here.digest().to_string(),
                there: there.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

impl VerifyImage<'_> {
    fn check(&self, signature: &Signature, digest: &Digest) -> Result<Payload, Flaw> {
        let claim = signature.check_for(self.key, std::slice::from_ref(digest))?;
        claim.is_of_repository(self.identity.unwrap_or(self.reference))?;
        for (name, value) in self.annotations {
            if claim.optional.get(name).and_then(Value::as_str) != Some(value) {
                return Err(Flaw::Form {
                    problem: format!("it does not say {name}={value}"),
                });
            }
        }
        Ok(claim)
    }
}

pub(super) async fn resolve(
    repository: &Repository,
    reference: &Reference,
) -> Result<Digest, Error> {
    if let Some(digest) = reference.digest() {
        let name = ManifestName::Digest(digest.clone());
        // Whatever it says that the digest is: that it is there.
        let _there: Digest = repository.head_manifest(&name).await?;
        return Ok(digest.clone());
    }
    let tag = reference.tag().unwrap_or("latest").to_owned();
    Ok(repository.head_manifest(&ManifestName::Tag(tag)).await?)
}

/// Returns the manifests that an index lists, and those that the indexes in it list.
async fn parts(repository: &Repository, top: &Digest) -> Result<Vec<Digest>, Error> {
    let mut found = Vec::new();
    let mut level = vec![top.clone()];
    for _ in 0..=Limits::NESTING {
        let mut next = Vec::new();
        for digest in level {
            let raw = repository
                .get_manifest(&ManifestName::Digest(digest))
                .await?;
            if let (Document::Index(index), _) = Document::detect(&raw.bytes)? {
                for entry in index.manifests() {
                    let entry = Digest::of(entry)?;
                    if entry != *top && !found.contains(&entry) {
                        found.push(entry.clone());
                        next.push(entry);
                    }
                }
            }
            if found.len() > Limits::INDEX_ENTRIES {
                return Err(coracle_packager::image::ImageError::TooMany {
                    kind: "index",
                    what: "manifests",
                    got: found.len(),
                    limit: Limits::INDEX_ENTRIES,
                }
                .into());
            }
        }
        if next.is_empty() {
            break;
        }
        level = next;
    }
    Ok(found)
}
