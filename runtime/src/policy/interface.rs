//! Which class of grant an import of a program needs.
//!
//! The table serves the check before the start and `--explain`. It does not decide what is linked.

use super::Class;

/// Returns the class of an import: a component's interface such as `wasi:sockets/tcp@0.2.6`, or a module's function such as
/// `wasi_snapshot_preview1.sock_accept`.
///
/// An import of WASI by itself needs no grant: compilers link interfaces that the program never calls, wasi-libc's sockets
/// above all. So WASI is always linked, and each use is decided. Whatever is not WASI is [`Class::Interface`].
pub fn class_of(import: &str) -> Class {
    if let Some((module, name)) = import.split_once('.')
        && !module.contains(':')
    {
        return class_of_function(module, name);
    }
    let interface = import.split('@').next().unwrap_or(import);
    match interface.split_once('/') {
        Some(("wasi:io", _)) => Class::Streams,
        Some(("wasi:cli", "environment")) => Class::Environment,
        Some(("wasi:cli", "exit" | "run")) => Class::Process,
        Some(("wasi:cli", _)) => Class::Streams,
        Some(("wasi:clocks" | "wasi:random", _)) => Class::Clock,
        Some(("wasi:filesystem", _)) => Class::Files,
        Some(("wasi:sockets", "ip-name-lookup")) => Class::Dns,
        Some(("wasi:sockets", _)) => Class::Connect,
        // Its types are used by servers as well; sending a request is what reaches out.
        Some(("wasi:http", "incoming-handler" | "types")) => Class::Listen,
        Some(("wasi:http", _)) => Class::Connect,
        _ => Class::Interface,
    }
}

/// A function of preview 1 or 0, or of a module that is neither.
fn class_of_function(module: &str, name: &str) -> Class {
    let is_wasi = matches!(module, "wasi_snapshot_preview1" | "wasi_unstable");
    match (module, name) {
        ("wasi", "thread-spawn") => Class::Process,
        _ if !is_wasi => Class::Interface,
        (_, "args_get" | "args_sizes_get" | "environ_get" | "environ_sizes_get") => {
            Class::Environment
        }
        (_, "clock_res_get" | "clock_time_get" | "random_get") => Class::Clock,
        (_, "proc_exit" | "proc_raise" | "sched_yield") => Class::Process,
        // A module of preview 1 cannot open a connection: it only takes those that come.
        (_, name) if name.starts_with("sock_") => Class::Listen,
        (_, "poll_oneoff") => Class::Streams,
        _ => Class::Files,
    }
}

/// Is the import one of WASI's, whatever its version?
pub fn is_wasi(import: &str) -> bool {
    import.starts_with("wasi:")
        || import.starts_with("wasi_snapshot_preview1.")
        || import.starts_with("wasi_unstable.")
        || import.starts_with("wasi.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_import_has_a_class() {
        let table = [
            ("wasi:cli/environment@0.2.0", Class::Environment),
            ("wasi:cli/stdin@0.3.0-rc-2025", Class::Streams),
            ("wasi:io/poll@0.2.3", Class::Streams),
            ("wasi:clocks/wall-clock@0.2.0", Class::Clock),
            ("wasi:random/insecure-seed@0.2.0", Class::Clock),
            ("wasi:filesystem/types@0.2.0", Class::Files),
            ("wasi:sockets/tcp@0.2.6", Class::Connect),
            ("wasi:sockets/ip-name-lookup@0.2.0", Class::Dns),
            ("wasi:http/outgoing-handler@0.2.0", Class::Connect),
            ("wasi:http/client@0.3.0", Class::Connect),
            ("wasi:http/types@0.2.0", Class::Listen),
            ("wasi:keyvalue/store@0.2.0", Class::Interface),
            ("acme:greet/hello@1.0.0", Class::Interface),
            ("acme:greet/hello", Class::Interface),
            ("hello", Class::Interface),
            ("", Class::Interface),
            ("wasi_snapshot_preview1.sock_send", Class::Listen),
            ("wasi_snapshot_preview1.path_open", Class::Files),
            ("wasi_unstable.environ_get", Class::Environment),
            ("wasi_snapshot_preview1.random_get", Class::Clock),
            ("wasi.thread-spawn", Class::Process),
            ("env.memory", Class::Interface),
            ("wasix_32v1.proc_fork", Class::Interface),
        ];
        for (import, class) in table {
            assert_eq!(class_of(import), class, "{import}");
        }
    }

    #[test]
    fn only_wasi_is_wasi() {
        for import in ["wasi:cli/run@0.2.0", "wasi_unstable.fd_read"] {
            assert!(is_wasi(import), "{import}");
        }
        for import in ["acme:wasi/x", "wasix_32v1.proc_fork", "wasip1.x", "env.f"] {
            assert!(!is_wasi(import), "{import}");
        }
    }
}
