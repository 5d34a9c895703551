//! What enforces each class of grants at a start: both walls, side by side.

use serde::Serialize;

use super::{Class, Policy};
use crate::sandbox::wall::{Subject, Verdict, WallReport};

/// What enforces one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Enforcement {
    /// The class.
    pub class: Class,
    /// What of it was granted; nothing else of it is there.
    pub granted: Vec<String>,
    /// How well the first wall keeps to that. WebAssembly has each class to itself, on every system: a guest's only way out is
    /// a function that asks the policy.
    pub first_wall: Verdict,
    /// How well the second wall would, if the first had a hole; absent where the operating system knows nothing of the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_wall: Option<Verdict>,
}

/// Returns what enforced a policy behind these walls, class by class.
pub fn enforcement(policy: &Policy, walls: Option<&WallReport>) -> Vec<Enforcement> {
    let grants: Vec<(Class, String)> = policy.grants().collect();
    let by_wall = |subject| {
        let item = walls?.items.iter().find(|item| item.what == subject)?;
        Some(item.verdict.clone())
    };
    let table = [
        (Class::Files, Some(Subject::Files)),
        (Class::Connect, Some(Subject::Network)),
        (Class::Listen, Some(Subject::Network)),
        (Class::Dns, Some(Subject::Network)),
        (Class::Environment, None),
        (Class::Streams, None),
        (Class::Clock, None),
        (Class::Process, Some(Subject::Processes)),
        (Class::Interface, None),
    ];
    table
        .into_iter()
        .map(|(class, subject)| Enforcement {
            class,
            granted: grants
                .iter()
                .filter(|(of, _)| *of == class)
                .map(|(_, grant)| grant.clone())
                .collect(),
            first_wall: first_wall(policy, class),
            second_wall: subject.and_then(by_wall),
        })
        .collect()
}

fn first_wall(policy: &Policy, class: Class) -> Verdict {
    let is_network = matches!(class, Class::Connect | Class::Listen | Class::Dns);
    if is_network && policy.net.mode == super::net::Mode::Host {
        return Verdict::Approximated(
            "all of the host's network was granted: nothing is checked".to_owned(),
        );
    }
    Verdict::Enforced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::wall::ReportItem;

    #[test]
    fn each_class_has_what_was_granted_and_what_keeps_to_it() {
        let policy =
            Policy::parse(b"fs = [\"/a:/b\"]\nnet.publish = [\"80:80\"]").expect("a policy");
        let walls = WallReport {
            items: vec![ReportItem {
                what: Subject::Files,
                verdict: Verdict::Unsupported("no Landlock".to_owned()),
            }],
            landlock_abi: None,
            seccomp_instructions: None,
        };
        let report = enforcement(&policy, Some(&walls));
        let files = &report[0];
        assert_eq!(
            (files.class, files.granted.as_slice()),
            (Class::Files, &["/a:/b".to_owned()][..])
        );
        assert_eq!(files.first_wall, Verdict::Enforced);
        assert_eq!(
            files.second_wall,
            Some(Verdict::Unsupported("no Landlock".to_owned()))
        );
        let listen = report
            .iter()
            .find(|item| item.class == Class::Listen)
            .expect("a line");
        assert_eq!(listen.granted, ["80:80/tcp"]);
        assert!(
            report
                .iter()
                .all(|item| item.class != Class::Environment || item.granted.is_empty())
        );
    }

    #[test]
    fn a_network_that_is_not_checked_is_not_called_enforced() {
        let policy = Policy::parse(b"net.mode = \"host\"").expect("a policy");
        let report = enforcement(&policy, None);
        let connect = report
            .iter()
            .find(|item| item.class == Class::Connect)
            .expect("a line");
        assert!(matches!(connect.first_wall, Verdict::Approximated(_)));
    }
}
