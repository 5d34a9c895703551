//! What a policy demands of one image, and the verdict.

use super::error::{PolicyError, Refused};
use super::identity::Identity;
use super::requirement::Requirement;
use crate::digest::Digest;
use crate::reference::Reference;
use crate::sign::{Attached, Flaw, PublicKey, Signature};

/// Requirements, all of which an image must meet.
#[derive(Clone, Debug)]
pub struct Demand {
    /// For messages.
    scope: String,
    checks: Vec<Check>,
}

#[derive(Clone, Debug)]
enum Check {
    Reject,
    Unsupported(&'static str),
    Signed {
        keys: Vec<PublicKey>,
        identity: Identity,
    },
}

impl Demand {
    pub(super) fn new(scope: String, requirements: &[Requirement]) -> Result<Self, PolicyError> {
        let mut checks = Vec::new();
        for requirement in requirements {
            match requirement {
                Requirement::AcceptAnything => {}
                Requirement::Reject => checks.push(Check::Reject),
                Requirement::Unsupported(what) => checks.push(Check::Unsupported(what)),
                Requirement::Signed { keys, identity } => checks.push(Check::Signed {
                    keys: keys.read()?,
                    identity: identity.clone(),
                }),
            }
        }
        Ok(Self { scope, checks })
    }

    /// Is nothing demanded?
    pub fn accepts_anything(&self) -> bool {
        self.checks.is_empty()
    }

    /// Does it take a signature to meet this?
    pub fn wants_signatures(&self) -> bool {
        self.checks
            .iter()
            .any(|check| matches!(check, Check::Signed { .. }))
    }

    /// Says no where the image itself does not matter, so that it need not be fetched.
    ///
    /// # Errors
    ///
    /// [`Refused::Rejected`], [`Refused::Unsupported`].
    pub fn refuse_outright(&self) -> Result<(), Refused> {
        for check in &self.checks {
            let scope = self.scope.clone();
            match check {
                Check::Reject => return Err(Refused::Rejected { scope }),
                Check::Unsupported(what) => {
                    let what = (*what).to_owned();
                    return Err(Refused::Unsupported { scope, what });
                }
                Check::Signed { .. } => {}
            }
        }
        Ok(())
    }

    /// Judges an image by its signatures. `manifests` are what the name stands for: an index and the manifest that is chosen from
    /// it, or a manifest alone. A signature of any of them is one of the last, which the others name by its digest.
    ///
    /// # Errors
    ///
    /// [`Refused`] says what was not met.
    pub fn judge(
        &self,
        named: &Reference,
        manifests: &[Digest],
        attached: &Attached,
    ) -> Result<(), Refused> {
        self.refuse_outright()?;
        for check in &self.checks {
            let Check::Signed { keys, identity } = check else {
                continue;
            };
            let mut flaws = Vec::new();
            let is_met = attached.signatures.iter().any(|signature| {
                match accept(signature, keys, identity, named, manifests) {
                    Ok(()) => true,
                    Err(flaw) => {
                        flaws.push(flaw);
                        false
                    }
                }
            });
            if !is_met {
                flaws.extend(attached.unreadable.iter().cloned());
                return Err(self.none_of(flaws));
            }
        }
        Ok(())
    }

    fn none_of(&self, flaws: Vec<Flaw>) -> Refused {
        let (scope, count) = (self.scope.clone(), flaws.len());
        match Flaw::most_telling(flaws) {
            Some(flaw) => Refused::WrongSignatures { scope, count, flaw },
            None => Refused::Unsigned { scope },
        }
    }
}

fn accept(
    signature: &Signature,
    keys: &[PublicKey],
    identity: &Identity,
    named: &Reference,
    manifests: &[Digest],
) -> Result<(), Flaw> {
    let mut flaw = Flaw::Key;
    for key in keys {
        let checked = signature
            .check_for(key, manifests)
            .and_then(|claim| identity.check(named, &claim.identity));
        match checked {
            Ok(()) => return Ok(()),
            Err(Flaw::Key) => {}
            Err(other) => flaw = other,
        }
    }
    Err(flaw)
}
