//! Flags on how a container lives: in the background, how it is asked to end, what is kept of what it says.

use std::path::{Path, PathBuf};

use coracle_runtime::console::DetachKeys;
use coracle_runtime::container::RestartPolicy;
use coracle_runtime::logs::LogConfig;
use coracle_runtime::policy::quantity::Size;
use coracle_runtime::sys::Signal;

use super::super::error::Failure;
use super::health;
use crate::engine::HealthRequest;

/// What was typed.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Give the program a terminal; in the foreground it is the one that this command has
    #[arg(short, long)]
    tty: bool,
    /// Start it again when it has ended: no, on-failure[:N], always or unless-stopped
    #[arg(long, value_name = "POLICY", default_value_t = RestartPolicy::No)]
    restart: RestartPolicy,
    /// Run it so that its terminal can be left with these keys, such as ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,
    #[command(flatten)]
    health: health::Args,
    /// Send this signal to ask the program to end [default: SIGTERM]
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Kill the program if it has not ended so many seconds after it was asked to [default: 10]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    stop_timeout: Option<i64>,
    /// Keep what the program says, or not
    #[arg(long, value_enum, value_name = "DRIVER", default_value = "json-file")]
    log_driver: LogDriver,
    /// Bound what is kept: max-size=SIZE and max-file=N [default: max-size=16m, max-file=2]
    #[arg(long, value_name = "NAME=VALUE")]
    log_opt: Vec<String>,
    /// Write the container's ID to a file that does not exist yet
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,
    /// Have what a Linux program leaves behind reaped, and signals passed on; a WebAssembly program has no use for it
    #[arg(long)]
    init: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LogDriver {
    /// In files of one JSON object a line
    JsonFile,
    /// Not at all
    None,
}

/// What it means.
pub(in super::super) struct Life {
    pub(in super::super) tty: bool,
    pub(in super::super) restart: RestartPolicy,
    pub(in super::super) detach_keys: Option<DetachKeys>,
    pub(in super::super) health: HealthRequest,
    pub(in super::super) stop_signal: Option<String>,
    pub(in super::super) stop_timeout: Option<i64>,
    pub(in super::super) log: LogConfig,
    pub(in super::super) cidfile: Option<CidFile>,
    pub(in super::super) init: bool,
}

impl Args {
    /// Checks all that was typed.
    pub(in super::super) fn resolve(&self) -> Result<Life, Failure> {
        let signal = self.stop_signal.as_deref().map(signal).transpose()?;
        Ok(Life {
            tty: self.tty,
            restart: self.restart,
            detach_keys: self.detach_keys.clone(),
            health: self.health.resolve()?,
            stop_signal: signal.map(|signal| signal.to_string()),
            stop_timeout: self.stop_timeout,
            log: log(self.log_driver, &self.log_opt)?,
            cidfile: self.cidfile.as_deref().map(CidFile::create).transpose()?,
            init: self.init,
        })
    }
}

/// Reads a signal's name or number.
pub(in super::super) fn signal(text: &str) -> Result<Signal, Failure> {
    text.parse::<Signal>()
        .map_err(|error| Failure::usage(error.to_string()).with_hint("such as TERM, INT or 9"))
}

fn log(driver: LogDriver, options: &[String]) -> Result<LogConfig, Failure> {
    let mut log = LogConfig::default();
    for option in options {
        let wrong = |problem: &str| {
            Failure::usage(format!("parsing --log-opt {option:?}: {problem}"))
                .with_hint("such as --log-opt max-size=10m --log-opt max-file=3")
        };
        let (name, value) = option
            .split_once('=')
            .ok_or_else(|| wrong("a NAME=VALUE is wanted"))?;
        match name {
            "max-size" => {
                log.max_size = value
                    .parse::<Size>()
                    .ok()
                    .map(Size::bytes)
                    .filter(|size| *size > 0)
                    .ok_or_else(|| wrong("a size such as 10m is wanted"))?;
            }
            "max-file" => {
                log.max_files = value
                    .parse()
                    .ok()
                    .filter(|files| (1..=LogConfig::MOST_FILES).contains(files))
                    .ok_or_else(|| wrong("a number from 1 to 1000 is wanted"))?;
            }
            _ => return Err(wrong("only max-size and max-file are known")),
        }
    }
    match driver {
        LogDriver::JsonFile => Ok(log),
        LogDriver::None if options.is_empty() => Ok(LogConfig::NONE),
        LogDriver::None => Err(Failure::usage(
            "--log-opt bounds a log, and --log-driver none keeps none",
        )),
    }
}

/// A file that will hold a container's ID. It is made before the container, so that a name that is taken stops everything.
pub(in super::super) struct CidFile(PathBuf);

impl CidFile {
    /// Makes the file, empty.
    pub(in super::super) fn create(path: &Path) -> Result<Self, Failure> {
        let failed = |source: std::io::Error| {
            if source.kind() == std::io::ErrorKind::AlreadyExists {
                return Failure::usage(format!(
                    "container ID file found, make sure the other container isn't running or delete {}",
                    path.display()
                ));
            }
            Failure::Io {
                doing: format!("creating {}", path.display()),
                source,
            }
        };
        std::fs::File::create_new(path).map_err(failed)?;
        Ok(Self(path.to_owned()))
    }

    /// Removes the file, and says where it was.
    pub(in super::super) fn withdraw(self) -> PathBuf {
        self.0.clone()
    }

    /// Writes the ID.
    pub(in super::super) fn write(self, id: &str) -> Result<(), Failure> {
        let written = std::fs::write(&self.0, id).map_err(|source| Failure::Io {
            doing: format!("writing {}", self.0.display()),
            source,
        });
        // It is whole now, and stays.
        std::mem::forget(self);
        written
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        // No container came of it.
        drop(std::fs::remove_file(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_bounded_as_asked() {
        let options = |typed: &[&str]| typed.iter().map(|text| (*text).to_owned()).collect();
        let of = |typed: &[&str]| {
            let options: Vec<String> = options(typed);
            log(LogDriver::JsonFile, &options).ok()
        };
        assert_eq!(of(&[]), Some(LogConfig::default()));
        let want = LogConfig {
            max_size: 10 << 20,
            max_files: 3,
        };
        assert_eq!(of(&["max-size=10m", "max-file=3"]), Some(want));
        for bad in [
            "max-size",
            "max-size=0",
            "max-file=0",
            "max-file=x",
            "tag=y",
        ] {
            assert_eq!(of(&[bad]), None, "{bad}");
        }
        assert!(log(LogDriver::None, &options(&["max-file=3"])).is_err());
    }
}
