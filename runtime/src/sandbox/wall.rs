//! The second wall: the operating system's own limits around the process that hosts a guest.
//!
//! The first wall is WebAssembly: a guest can only call what it was given. The second holds when the first has a hole, such
//! as a bug in the compiler. It is raised once, after the compiled code is in memory and before the first guest
//! instruction, and cannot be lowered. It grants what the policy grants and what the process itself still needs.
//!
//! ```no_run
//! use coracle_runtime::sandbox::wall::{Place, WallSpec, raise};
//!
//! // Only this directory, no network.
//! let spec = WallSpec { read_write: vec![Place::Path("/srv/container/upper".into())], ..WallSpec::default() };
//! let report = raise(&spec)?;
//! for item in report.unsupported() {
//!     eprintln!("not enforced: {item}");
//! }
//! # Ok::<(), coracle_runtime::sandbox::wall::WallError>(())
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::policy::net::{Mode, NetPolicy, Scheme};
use crate::spec::Listener;
use crate::sys::{self, Applied, Reach, Restricted};
pub use crate::sys::{Place, Ports, RestrictError as WallError, Sockets};

/// What the process may still reach behind the wall. The default is nothing.
///
/// What is open when the wall goes up stays usable, whatever is said here; a list is needed for what is opened later.
#[derive(Debug, Default)]
pub struct WallSpec {
    /// Files, and directories with all below them, that may be read.
    pub read: Vec<Place>,
    /// Files, and directories with all below them, that may be read, changed, created and removed.
    pub read_write: Vec<Place>,
    /// What of the network may be used.
    pub sockets: Sockets,
}

/// Most single ports that the wall tells apart: each costs a system call at the start. With more, any port is let pass here,
/// and the first wall alone compares them.
const MOST_PORTS: usize = 64;

/// The port that name servers listen on.
const NAME_SERVER: u16 = 53;

impl WallSpec {
    /// Lets pass what the policy grants of the network, as nearly as the system can tell it apart.
    pub fn grant_network(&mut self, policy: &NetPolicy, listeners: &[Listener]) {
        self.sockets = match policy.mode {
            Mode::None => Sockets::default(),
            Mode::Host => Sockets {
                connect: Ports::Any,
                bind: Ports::Any,
                open: true,
                datagrams: true,
            },
            Mode::Granted => granted(policy, listeners),
        };
    }
}

fn granted(policy: &NetPolicy, listeners: &[Listener]) -> Sockets {
    let (udp, tcp): (Vec<_>, Vec<_>) = policy
        .connect
        .iter()
        .partition(|rule| rule.scheme == Scheme::Udp);
    let many = tcp.iter().map(|rule| rule.ports.count()).sum::<usize>() > MOST_PORTS;
    let connect = if many {
        Ports::Any
    } else {
        let mut ports: Vec<u16> = tcp.iter().flat_map(|rule| rule.ports.ports()).collect();
        // Name servers answer over TCP what is too long for a datagram.
        ports.extend(policy.has_names().then_some(NAME_SERVER));
        ports.sort_unstable();
        ports.dedup();
        Ports::Listed(ports)
    };
    Sockets {
        connect,
        bind: Ports::default(),
        open: !listeners.is_empty(),
        datagrams: !udp.is_empty() || policy.has_names(),
    }
}

/// Puts the whole process behind the wall, for as long as it lives.
///
/// Call it while the process has one thread; threads made later are behind the wall as well. Afterwards no memory can be
/// made executable, so compiled code must be in place. Once per process: a second call fails.
///
/// It never makes less of the wall than the system can: what the kernel does not have is in the report as
/// [`Verdict::Unsupported`], and the caller decides whether to go on.
///
/// # Errors
///
/// When a part that the system has could not be made, or there are other threads. Parts of the wall may stand then; do
/// not run a guest.
pub fn raise(spec: &WallSpec) -> Result<WallReport, WallError> {
    let WallSpec {
        read,
        read_write,
        sockets,
    } = spec;
    let reach = Reach {
        read,
        read_write,
        sockets,
    };
    Ok(WallReport::new(&sys::restrict(&reach)?, sockets))
}

/// What the wall enforces, item by item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallReport {
    /// Every subject, always in the same order.
    pub items: Vec<ReportItem>,
    /// Version of Landlock's interface, if there is Landlock.
    pub landlock_abi: Option<u32>,
    /// Length of the system call filter in instructions, if there is one.
    pub seccomp_instructions: Option<usize>,
}

/// How well one subject is covered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportItem {
    /// What is limited.
    pub what: Subject,
    /// How well.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What the wall limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Subject {
    /// Gaining rights by starting a set-user-ID program.
    Privileges,
    /// Opening, creating, changing and removing files outside of what was granted.
    Files,
    /// Asking about and changing the attributes of such files.
    FileAttributes,
    /// Starting programs.
    Programs,
    /// Turning data into code.
    ExecutableMemory,
    /// Making processes, and tracing or signalling others.
    Processes,
    /// Sockets outside of what was granted.
    Network,
    /// All else that the kernel can be asked.
    SystemCalls,
}

/// How well a subject is covered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "reason")]
pub enum Verdict {
    /// As the policy says.
    Enforced,
    /// Nearly; the text says where not.
    Approximated(String),
    /// Not at all on this system; the text says why.
    Unsupported(String),
}

impl WallReport {
    fn new(restricted: &Restricted, sockets: &Sockets) -> Self {
        let of = |what, verdict| ReportItem { what, verdict };
        Self {
            items: vec![
                of(Subject::Privileges, privileges(restricted)),
                of(Subject::Files, files(restricted)),
                of(Subject::FileAttributes, file_attributes(restricted)),
                of(Subject::Programs, programs(restricted)),
                of(Subject::ExecutableMemory, by_filter(restricted)),
                of(Subject::Processes, processes(restricted)),
                of(Subject::Network, network(restricted, sockets)),
                of(Subject::SystemCalls, by_filter(restricted)),
            ],
            landlock_abi: yes(&restricted.landlock),
            seccomp_instructions: yes(&restricted.seccomp),
        }
    }

    /// Returns what is not enforced at all.
    pub fn unsupported(&self) -> impl Iterator<Item = &ReportItem> {
        self.items
            .iter()
            .filter(|item| matches!(item.verdict, Verdict::Unsupported(_)))
    }
}

impl fmt::Display for ReportItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Subject::Privileges => "privileges",
            Subject::Files => "files",
            Subject::FileAttributes => "file attributes",
            Subject::Programs => "programs",
            Subject::ExecutableMemory => "executable memory",
            Subject::Processes => "processes",
            Subject::Network => "network",
            Subject::SystemCalls => "system calls",
        };
        match &self.verdict {
            Verdict::Enforced => write!(f, "{what}: enforced"),
            Verdict::Approximated(how) => write!(f, "{what}: approximated: {how}"),
            Verdict::Unsupported(why) => write!(f, "{what}: unsupported: {why}"),
        }
    }
}

fn yes<T: Copy>(applied: &Applied<T>) -> Option<T> {
    match applied {
        Applied::Yes(value) => Some(*value),
        Applied::Unsupported(_) => None,
    }
}

fn privileges(restricted: &Restricted) -> Verdict {
    match &restricted.no_new_privileges {
        Applied::Yes(()) => Verdict::Enforced,
        Applied::Unsupported(why) => Verdict::Unsupported(why.clone()),
    }
}

/// Paths are Landlock's alone: a system call filter cannot see them.
fn files(restricted: &Restricted) -> Verdict {
    match &restricted.landlock {
        Applied::Yes(3..) => Verdict::Enforced,
        Applied::Yes(2) => approximated(
            "files that may only be read can still be emptied (Landlock ABI 3, Linux 6.2)",
        ),
        Applied::Yes(_) => approximated(
            "files that may only be read can still be emptied (Landlock ABI 3, Linux 6.2), and files cannot be moved or \
             linked between directories (Landlock ABI 2, Linux 5.19)",
        ),
        Applied::Unsupported(why) => Verdict::Unsupported(why.clone()),
    }
}

/// Landlock does not control these, and the guest's file system needs the calls.
fn file_attributes(restricted: &Restricted) -> Verdict {
    match &restricted.seccomp {
        Applied::Yes(_) => approximated(
            "owners, and the mode and extended attributes of what cannot be opened, are safe; that a file exists, its size, \
             owner, times and link target can be asked for any path, and times of the user's own files set",
        ),
        Applied::Unsupported(why) => Verdict::Unsupported(why.clone()),
    }
}

fn programs(restricted: &Restricted) -> Verdict {
    match (&restricted.seccomp, &restricted.landlock) {
        (Applied::Yes(_), _) => Verdict::Enforced,
        (_, Applied::Yes(_)) => {
            approximated("programs in files are refused, those made in memory are not")
        }
        (Applied::Unsupported(why), _) => Verdict::Unsupported(why.clone()),
    }
}

fn processes(restricted: &Restricted) -> Verdict {
    match (&restricted.seccomp, &restricted.landlock) {
        (Applied::Yes(_), _) => Verdict::Enforced,
        (_, Applied::Yes(6..)) => approximated("processes can be made, behind the same wall"),
        (_, Applied::Yes(_)) => approximated(
            "processes can be made, behind the same wall, and signals sent to the user's own processes (Landlock ABI 6, \
             Linux 6.12)",
        ),
        (Applied::Unsupported(why), _) => Verdict::Unsupported(why.clone()),
    }
}

fn network(restricted: &Restricted, sockets: &Sockets) -> Verdict {
    let by_port = matches!(restricted.landlock, Applied::Yes(4..));
    if let Applied::Unsupported(why) = &restricted.seccomp {
        return if by_port {
            approximated(
                "TCP is limited by port and not by address, other protocols are not limited",
            )
        } else {
            Verdict::Unsupported(why.clone())
        };
    }
    if !sockets.makes() {
        // What is open was granted.
        return Verdict::Enforced;
    }
    if sockets.connect == Ports::Any && sockets.bind == Ports::Any && sockets.datagrams {
        return approximated("TCP and UDP, unlimited, as was granted; no other protocol");
    }
    let mut parts = Vec::new();
    if sockets.streams() {
        parts.push(match (&sockets.connect, by_port) {
            (Ports::Any, _) => "TCP to any port and address",
            (Ports::Listed(_), true) => "TCP limited by port and not by address",
            (Ports::Listed(_), false) => "TCP to any port and address (Landlock ABI 4, Linux 6.7)",
        });
    }
    if sockets.datagrams {
        parts.push("UDP to any port and address");
    }
    Verdict::Approximated(format!("{}; no other protocol", parts.join(", ")))
}

fn by_filter(restricted: &Restricted) -> Verdict {
    match &restricted.seccomp {
        Applied::Yes(_) => Verdict::Enforced,
        Applied::Unsupported(why) => Verdict::Unsupported(why.clone()),
    }
}

fn approximated(how: &str) -> Verdict {
    Verdict::Approximated(how.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(landlock: u32, seccomp: bool, has_network: bool) -> WallReport {
        let mut sockets = Sockets::default();
        if has_network {
            sockets.connect = Ports::Listed(vec![80]);
        }
        let none = || "not here".to_owned();
        let restricted = Restricted {
            no_new_privileges: Applied::Yes(()),
            landlock: if landlock == 0 {
                Applied::Unsupported(none())
            } else {
                Applied::Yes(landlock)
            },
            seccomp: if seccomp {
                Applied::Yes(100)
            } else {
                Applied::Unsupported(none())
            },
        };
        WallReport::new(&restricted, &sockets)
    }

    /// One letter for each item, in order: enforced, approximated, unsupported.
    fn letters(report: &WallReport) -> String {
        let letter = |item: &ReportItem| match item.verdict {
            Verdict::Enforced => 'E',
            Verdict::Approximated(_) => 'a',
            Verdict::Unsupported(_) => 'U',
        };
        report.items.iter().map(letter).collect()
    }

    #[test]
    fn no_kernel_is_said_to_do_more_than_it_does() {
        // In order: privileges, files, attributes, programs, executable memory, processes, network, system calls.
        let table = [
            (0, true, false, "EUaEEEEE"),
            (1, true, false, "EaaEEEEE"),
            (2, true, false, "EaaEEEEE"),
            (3, true, false, "EEaEEEEE"),
            (7, true, false, "EEaEEEEE"),
            (3, true, true, "EEaEEEaE"),
            (7, true, true, "EEaEEEaE"),
            (3, false, false, "EEUaUaUU"),
            (7, false, false, "EEUaUaaU"),
            (0, false, false, "EUUUUUUU"),
        ];
        for (landlock, seccomp, network, want) in table {
            assert_eq!(
                letters(&report(landlock, seccomp, network)),
                want,
                "{landlock} {seccomp} {network}"
            );
        }
    }

    #[test]
    fn a_platform_without_any_of_it_supports_nothing() {
        let none = || "first wall only".to_owned();
        let restricted = Restricted {
            no_new_privileges: Applied::Unsupported(none()),
            landlock: Applied::Unsupported(none()),
            seccomp: Applied::Unsupported(none()),
        };
        let report = WallReport::new(&restricted, &Sockets::default());
        assert_eq!(report.unsupported().count(), report.items.len());
        assert_eq!(
            (report.landlock_abi, report.seccomp_instructions),
            (None, None)
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for written in [report(0, false, true), report(7, true, false)] {
            let json = serde_json::to_string(&written).expect("serialises");
            assert_eq!(
                serde_json::from_str::<WallReport>(&json).expect("deserialises"),
                written
            );
        }
        let json = serde_json::to_value(report(0, true, false)).expect("serialises");
        assert_eq!(
            json["items"][1],
            serde_json::json!({"what": "files", "verdict": "unsupported", "reason": "not here"})
        );
        assert_eq!(
            json["items"][3],
            serde_json::json!({"what": "programs", "verdict": "enforced"})
        );
    }
}
