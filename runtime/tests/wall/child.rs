//! Running a piece of code in a child process, behind the wall or not.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::FromRawFd;
use std::path::{Path, PathBuf};

use coracle_runtime::sandbox::wall::{Place, Subject, Verdict, WallReport, WallSpec, raise};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How a child ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended<T> {
    /// It said something and left.
    Said(T),
    /// A signal ended it.
    Killed(i32),
}

/// What a try came to, as an error number; 0 for success.
pub(crate) type Errno = i32;

/// Runs `act` in a child process.
pub(crate) fn in_child<T: Serialize + DeserializeOwned>(act: impl FnOnce() -> T) -> Ended<T> {
    let mut ends = [0; 2];
    // SAFETY: pipe2 writes two descriptors into an array of two.
    let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(made, 0, "{}", io::Error::last_os_error());
    // SAFETY: both were just made, and nothing else owns them.
    let [mut from_child, mut to_parent] = ends.map(|end| unsafe { File::from_raw_fd(end) });
    // SAFETY: the child of a process with threads has one; it must not wait for a lock that another thread held. glibc puts
    // its allocator in order at fork, and the child uses neither the harness nor standard output, and leaves by _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", io::Error::last_os_error());
    if child == 0 {
        drop(from_child);
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        let code = match said {
            Ok(said) => i32::from(serde_json::to_writer(&mut to_parent, &said).is_err()),
            Err(_) => 101,
        };
        coracle_runtime::sys::exit_now(code);
    }
    drop(to_parent);
    let mut said = Vec::new();
    from_child
        .read_to_end(&mut said)
        .expect("read from the child");
    let mut status = 0;
    // SAFETY: waitpid writes one int; the child is ours and not yet waited for.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child, "{}", io::Error::last_os_error());
    if libc::WIFSIGNALED(status) {
        return Ended::Killed(libc::WTERMSIG(status));
    }
    assert_eq!(
        libc::WEXITSTATUS(status),
        0,
        "the child failed: {}",
        String::from_utf8_lossy(&said)
    );
    Ended::Said(serde_json::from_slice(&said).expect("what the child said"))
}

/// Runs `act` in a child process behind the wall that `spec` makes.
pub(crate) fn behind<T: Serialize + DeserializeOwned>(
    spec: WallSpec,
    act: impl FnOnce() -> T,
) -> Ended<T> {
    in_child(|| {
        raise(&spec).expect("raise the wall");
        act()
    })
}

/// The error number of a call that answers -1 when it fails.
pub(crate) fn errno(result: libc::c_long) -> Errno {
    match result {
        -1 => io::Error::last_os_error()
            .raw_os_error()
            .expect("an error number"),
        _ => 0,
    }
}

/// The error number of a result.
pub(crate) fn errno_of<T>(result: io::Result<T>) -> Errno {
    result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |_| 0)
}

/// Does this kernel do all that the wall can? Says loudly if it does not.
pub(crate) fn whole_wall() -> bool {
    let Ended::Said(report) = in_child(|| raise(&WallSpec::default()).expect("raise the wall"))
    else {
        panic!("raising the wall kills the process");
    };
    let report: WallReport = report;
    let missing: Vec<_> = report.unsupported().map(ToString::to_string).collect();
    let old = report.landlock_abi.is_none_or(|abi| abi < 6);
    if old || !missing.is_empty() {
        eprintln!(
            "SKIPPED: Landlock ABI {:?}, 6 is needed to try it all; {missing:?}",
            report.landlock_abi
        );
    }
    let weak = |what| {
        report
            .items
            .iter()
            .any(|item| item.what == what && item.verdict != Verdict::Enforced)
    };
    !(old || weak(Subject::Files) || weak(Subject::SystemCalls))
}

/// Two directories, of which the wall lets one be read and the other be written.
pub(crate) struct Ground {
    _dir: tempfile::TempDir,
    pub(crate) lower: PathBuf,
    pub(crate) upper: PathBuf,
    pub(crate) outside: PathBuf,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [lower, upper, outside] = ["lower", "upper", "outside"].map(|name| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).expect("create");
            std::fs::write(path.join("file"), name).expect("write");
            path
        });
        Self {
            _dir: dir,
            lower,
            upper,
            outside,
        }
    }

    pub(crate) fn spec(&self) -> WallSpec {
        let open = |path: &Path| Place::Handle(File::open(path).expect("open"));
        WallSpec {
            read: vec![Place::Path(self.lower.clone())],
            read_write: vec![open(&self.upper)],
            ..WallSpec::default()
        }
    }
}
