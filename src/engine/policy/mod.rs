//! From what was granted to the policy that a container keeps.

mod accepted;
mod explain;
mod observer;
mod request;

use std::fs::File;
use std::sync::Arc;

use coracle_runtime::container::MountConfig;
use coracle_runtime::policy::ceiling::{beyond, denied};
use coracle_runtime::policy::{
    Capability, Ceiling, Deny, EnvGrant, FsAccess, FsGrant, Policy, Refusal, SecondWall,
};
use coracle_runtime::sandbox::wall::WallReport;

pub use explain::Explanation;
pub use request::{Requested, request};

pub(super) use observer::Watch;

use super::{Error, RunContainer};

/// A host's ceiling, and where it was found.
#[derive(Clone, Debug)]
pub struct NamedCeiling {
    /// The file, for people.
    pub name: String,
    /// What it says.
    pub ceiling: Ceiling,
}

/// How grants are meant, besides what they are.
#[derive(Clone, Debug, Default)]
pub struct PolicyRequest {
    /// What is denied, whoever grants it.
    pub deny: Deny,
    /// Does the guest get nothing but what is named?
    pub strict: bool,
    /// Must the second wall stand?
    pub second_wall: SecondWall,
    /// Does the guest start even where that wall is missing? A ceiling's demand holds nevertheless.
    pub allow_degraded: bool,
    /// What this host lets anybody grant.
    pub ceilings: Vec<NamedCeiling>,
    /// Where what the guest uses and is refused is written down.
    pub record: Option<Arc<File>>,
    /// Is told the first few things that the guest is refused.
    pub tell: Option<fn(&Capability)>,
}

/// Collects what was granted. The network's part is added where its ports are opened.
pub(super) fn collect(request: &RunContainer, options: &PolicyRequest) -> Policy {
    let mount = |mount: &MountConfig| FsGrant {
        source: Some(mount.source.clone()),
        target: mount.target.clone(),
        access: if mount.read_only {
            FsAccess::ReadOnly
        } else {
            FsAccess::ReadWrite
        },
    };
    // Memory is nothing of the host's, and a volume holds what containers have put there.
    let of_host = request
        .mounts
        .iter()
        .filter(|mount| mount.tmpfs.is_none() && mount.volume.is_none());
    let variable = |pair: &String| EnvGrant {
        name: pair.split('=').next().unwrap_or(pair).to_owned(),
        // The record has the whole environment; one copy of a secret is enough.
        value: None,
    };
    Policy {
        fs: of_host.map(mount).collect(),
        env: request.env.iter().map(variable).collect(),
        stdin: request.open_stdin,
        read_only: request.read_only || options.strict,
        strict: options.strict,
        second_wall: options.second_wall,
        limits: request.limits,
        deny: options.deny.clone(),
        ..Policy::default()
    }
}

/// Brings a policy below the host's ceilings. Returns what does not fit under them.
pub(super) fn bring_below(policy: &mut Policy, options: &PolicyRequest) -> Vec<Refusal> {
    let mut refusals = denied(policy);
    let mut demanded = SecondWall::default();
    for NamedCeiling { name, ceiling } in &options.ceilings {
        refusals.extend(beyond(policy, ceiling, name));
        ceiling.limit(&mut policy.limits);
        demanded = demanded.max(ceiling.second_wall);
        policy.net.deny.extend_from_slice(&ceiling.deny.net.connect);
        policy
            .deny
            .interfaces
            .extend_from_slice(&ceiling.deny.interfaces);
    }
    policy.net.deny.extend_from_slice(&policy.deny.net.connect);
    if policy.second_wall > demanded && options.allow_degraded {
        policy.degraded = true;
    } else {
        policy.second_wall = policy.second_wall.max(demanded);
    }
    refusals
}

/// The policy wants the second wall, and this system does not have all of it.
#[derive(Debug, thiserror::Error)]
#[error("the policy requires all of it, and this system has not: {missing}")]
pub(super) struct Incomplete {
    missing: String,
}

/// Refuses to start behind a wall with holes where the policy wants it whole.
pub(super) fn check_wall(policy: &Policy, wall: &WallReport) -> Result<(), Incomplete> {
    if policy.second_wall != SecondWall::Required || policy.degraded {
        return Ok(());
    }
    let missing: Vec<String> = wall.unsupported().map(ToString::to_string).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        let missing = missing.join("; ");
        Err(Incomplete { missing })
    }
}

/// Refuses grants that are denied, or beyond a ceiling.
pub(super) fn refuse(refusals: Vec<Refusal>) -> Result<(), Error> {
    let mut refusals = refusals.into_iter();
    match refusals.next() {
        None => Ok(()),
        Some(Refusal {
            class,
            grant,
            reason,
        }) => Err(Error::NotGrantable {
            class: class.name(),
            grant,
            reason,
            more: refusals.count(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use coracle_runtime::sandbox::wall::{ReportItem, Subject, Verdict};

    use super::*;

    fn ceiling(toml: &str) -> NamedCeiling {
        NamedCeiling {
            name: "/etc/coracle/policy.toml".to_owned(),
            ceiling: Ceiling::parse(toml.as_bytes()).expect(toml),
        }
    }

    #[test]
    fn a_ceilings_demand_cannot_be_waived() {
        // (the policy requires it, a ceiling requires it, --allow-degraded) -> (required, degraded)
        let table = [
            (false, false, false, (false, false)),
            (false, false, true, (false, false)),
            (true, false, false, (true, false)),
            (true, false, true, (true, true)),
            (true, true, true, (true, false)),
            (false, true, true, (true, false)),
        ];
        for (own, host, waived, want) in table {
            let mut policy = Policy {
                second_wall: if own {
                    SecondWall::Required
                } else {
                    SecondWall::default()
                },
                ..Policy::default()
            };
            let options = PolicyRequest {
                allow_degraded: waived,
                ceilings: vec![ceiling(if host {
                    "second-wall = \"required\""
                } else {
                    ""
                })],
                ..PolicyRequest::default()
            };
            assert!(bring_below(&mut policy, &options).is_empty());
            let got = (policy.second_wall == SecondWall::Required, policy.degraded);
            assert_eq!(got, want, "{own} {host} {waived}");
        }
    }

    #[test]
    fn a_wall_with_a_hole_is_refused_only_where_it_is_required() {
        let wall = |verdict| WallReport {
            items: vec![ReportItem {
                what: Subject::Files,
                verdict,
            }],
            landlock_abi: None,
            seccomp_instructions: None,
        };
        let hole = || {
            wall(Verdict::Unsupported(
                "the kernel has no Landlock".to_owned(),
            ))
        };
        let whole = wall(Verdict::Approximated("nearly".to_owned()));
        let policy = |second_wall, degraded| Policy {
            second_wall,
            degraded,
            ..Policy::default()
        };
        let required = policy(SecondWall::Required, false);
        assert!(check_wall(&policy(SecondWall::WhereThereIsOne, false), &hole()).is_ok());
        assert!(check_wall(&policy(SecondWall::Required, true), &hole()).is_ok());
        assert!(check_wall(&required, &whole).is_ok());
        assert_eq!(
            check_wall(&required, &hole())
                .expect_err("a hole")
                .to_string(),
            "the policy requires all of it, and this system has not: files: unsupported: the kernel has no Landlock"
        );
    }

    #[test]
    fn what_a_ceiling_denies_goes_to_where_it_is_decided() {
        let mut policy = Policy::parse(b"net.connect = [\"tcp://*:443\"]").expect("a policy");
        let options = PolicyRequest {
            ceilings: vec![ceiling(
                "deny.net.connect = [\"tcp://evil.example:*\"]\ndeny.interfaces = [\"wasi:random/*\"]",
            )],
            ..PolicyRequest::default()
        };
        assert!(bring_below(&mut policy, &options).is_empty());
        assert_eq!(policy.net.deny.len(), 1);
        assert_eq!(policy.deny.interfaces.len(), 1);
    }
}
