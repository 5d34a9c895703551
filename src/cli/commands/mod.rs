//! One command per file.

pub(super) mod attach;
pub(super) mod build;
pub(super) mod commit;
pub(super) mod completion;
mod container_filter;
pub(super) mod convert;
pub(super) mod cp;
pub(super) mod create;
pub(super) mod diff;
pub(super) mod events;
pub(super) mod exec;
pub(super) mod export;
pub(super) mod generate_key_pair;
pub(super) mod history;
pub(super) mod image;
mod image_filter;
pub(super) mod images;
pub(super) mod import;
pub(super) mod info;
pub(super) mod inspect;
pub(super) mod load;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod logs;
pub(super) mod manifest;
pub(super) mod monitor;
#[cfg(target_os = "linux")]
pub(super) mod oci;
pub(super) mod policy;
pub(super) mod port;
mod pruned;
pub(super) mod ps;
pub(super) mod pull;
pub(super) mod push;
pub(super) mod referrers;
pub(super) mod rename;
pub(super) mod rm;
pub(super) mod rmi;
pub(super) mod run;
pub(super) mod save;
pub(super) mod sign;
pub(super) mod start;
pub(super) mod stats;
pub(super) mod stop;
pub(super) mod system;
pub(super) mod tag;
pub(super) mod top;
pub(super) mod update;
pub(super) mod verify;
pub(super) mod version;
pub(super) mod volume;
pub(super) mod wait;

use super::error::Failure;

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Columns for people.
    Table,
    /// One JSON object per line.
    Json,
}

/// Does a thing for each name, reports each failure, and fails at the end if any did: one wrong name does not keep the others back.
fn for_each<T: AsRef<str>>(
    names: &[T],
    mut act: impl FnMut(&str) -> Result<(), Failure>,
) -> super::Exit {
    let mut exit = super::Exit::Success;
    for name in names {
        if let Err(failure) = act(name.as_ref()) {
            failure.report();
            exit = super::Exit::Failure;
        }
    }
    exit
}

/// Names the failure of printing.
pub(super) fn printing(source: std::io::Error) -> Failure {
    Failure::Io {
        doing: "writing to standard output".to_owned(),
        source,
    }
}
