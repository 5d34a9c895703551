//! How well a Linux container's policy is enforced, in the words of the other backend's report.

use coracle_runtime::container::{ContainerConfig, Namespace, NativeConfig};
use coracle_runtime::policy::net::Mode;
use coracle_runtime::sandbox::wall::{ReportItem, Subject, Verdict, WallReport};
use oci_spec::runtime::Spec;

/// Says what stands between a container and the host.
pub(super) fn of(config: &ContainerConfig, native: &NativeConfig, spec: &Spec) -> WallReport {
    let linux = spec.linux().as_ref();
    let filtered = linux.is_some_and(|linux| linux.seccomp().is_some());
    let masked = linux.is_some_and(|linux| {
        linux
            .masked_paths()
            .as_ref()
            .is_some_and(|paths| !paths.is_empty())
    });
    let process = spec.process().as_ref();
    let no_new = process.is_some_and(|process| process.no_new_privileges() == Some(true));
    let unless = |holds: bool, verdict: Verdict| match holds {
        true => Verdict::Enforced,
        false => verdict,
    };
    let open = |reason: &str| Verdict::Unsupported(reason.to_owned());
    let nearly = |reason: &str| Verdict::Approximated(reason.to_owned());
    let of = |what, verdict| ReportItem { what, verdict };
    let files = unless(
        masked && !native.privileged,
        open("the kernel's own files, or all devices, were granted"),
    );
    WallReport {
        items: vec![
            of(
                Subject::Privileges,
                unless(
                    no_new,
                    nearly(
                        "a set-user-ID program of the image gains the container's own capabilities",
                    ),
                ),
            ),
            of(
                Subject::Files,
                match linux.is_some_and(|linux| linux.uid_mappings().is_some()) {
                    true if files == Verdict::Enforced => nearly(
                        "all files of the image belong to its root: this user has no other users to give them to",
                    ),
                    _ => files.clone(),
                },
            ),
            of(Subject::FileAttributes, files),
            of(Subject::Programs, Verdict::Enforced),
            of(
                Subject::ExecutableMemory,
                open("a Linux program may turn data into code"),
            ),
            of(
                Subject::Processes,
                unless(
                    native.pid == Namespace::Private,
                    open("it sees others' processes, as was asked for"),
                ),
            ),
            of(
                Subject::Network,
                unless(
                    config.policy.net.mode != Mode::Host,
                    nearly("it has the host's network, as was asked for"),
                ),
            ),
            of(
                Subject::SystemCalls,
                unless(filtered, open("there is no filter, as was asked for")),
            ),
        ],
        landlock_abi: None,
        seccomp_instructions: None,
    }
}
