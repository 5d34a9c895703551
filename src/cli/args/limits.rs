//! `--memory`, `--cpus`, `--pids-limit`, `--ulimit`, `--timeout`, `--fuel`.

use std::fmt::Display;
use std::str::FromStr;

use coracle_runtime::container::Ulimit;
use coracle_runtime::policy::Limits;

use super::super::error::Failure;

/// What the guest may use up.
#[derive(clap::Args)]
#[command(next_help_heading = "Limits")]
pub(in super::super) struct LimitArgs {
    /// Most memory, such as 64m; the program is refused more
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Most processor time, as a number of processors, such as 0.5
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// Most processes and threads; a WebAssembly program has one
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pids_limit: Option<String>,
    /// Most files open at once, as nofile=COUNT [default: 4096]; for a Linux program any of the kernel's limits
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]")]
    ulimits: Vec<String>,
    /// End the program after this time, such as 30s, with code 124
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// End the program after so many WebAssembly instructions, with code 152
    #[arg(long, value_name = "COUNT")]
    fuel: Option<String>,
}

impl LimitArgs {
    /// Returns the limits that were meant.
    pub(in super::super) fn resolve(&self) -> Result<Limits, Failure> {
        let mut limits = Limits {
            cpus: quantity("--cpus", self.cpus.as_deref())?,
            timeout: quantity("--timeout", self.timeout.as_deref())?,
            ..Limits::default()
        };
        // Docker's zero is no limit.
        limits.memory = quantity("--memory", self.memory.as_deref())?
            .filter(|memory: &coracle_runtime::policy::quantity::Size| memory.bytes() > 0);
        if let Some(memory) = limits
            .memory
            .filter(|memory| *memory < Limits::LEAST_MEMORY)
        {
            return Err(Failure::usage(format!(
                "--memory {memory} is too little: one page of WebAssembly has {}",
                Limits::LEAST_MEMORY
            )));
        }
        if let Some(text) = &self.pids_limit {
            limits.processes = processes(text)?;
        }
        for text in &self.ulimits {
            if let Some(files) = open_files(text)? {
                limits.open_files = files;
            }
        }
        limits.fuel = self.fuel.as_deref().map(fuel).transpose()?;
        Ok(limits)
    }

    /// Returns what `--ulimit` means for a Linux program.
    pub(in super::super) fn ulimits(&self) -> Result<Vec<Ulimit>, Failure> {
        self.ulimits.iter().map(|text| ulimit(text)).collect()
    }
}

/// What of it can be changed later. What is absent stays as it is.
#[derive(clap::Args)]
pub(in super::super) struct UpdateArgs {
    /// Most memory, such as 64m; 0 for no limit
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Most processor time, as a number of processors, such as 0.5
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// Most processes and threads; a WebAssembly program has one
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pids_limit: Option<String>,
}

impl UpdateArgs {
    /// Was nothing typed?
    pub(in super::super) fn is_empty(&self) -> bool {
        self.memory.is_none() && self.cpus.is_none() && self.pids_limit.is_none()
    }

    /// Changes what was typed.
    pub(in super::super) fn change(&self, limits: &mut Limits) -> Result<(), Failure> {
        let typed = LimitArgs {
            memory: self.memory.clone(),
            cpus: self.cpus.clone(),
            pids_limit: self.pids_limit.clone(),
            ulimits: Vec::new(),
            timeout: None,
            fuel: None,
        };
        let resolved = typed.resolve()?;
        if self.memory.is_some() {
            limits.memory = resolved.memory;
        }
        if self.cpus.is_some() {
            limits.cpus = resolved.cpus;
        }
        if self.pids_limit.is_some() {
            limits.processes = resolved.processes;
        }
        Ok(())
    }
}

fn quantity<T>(flag: &str, typed: Option<&str>) -> Result<Option<T>, Failure>
where
    T: FromStr<Err: Display>,
{
    let parse = |text: &str| {
        text.parse()
            .map_err(|error| Failure::usage(format!("parsing {flag}: {error}")))
    };
    typed.map(parse).transpose()
}

/// Zero and -1 are no limit, as in Docker.
fn processes(text: &str) -> Result<Option<u32>, Failure> {
    match text.parse::<i64>() {
        Ok(-1 | 0) => Ok(None),
        Ok(count) if u32::try_from(count).is_ok() => Ok(u32::try_from(count).ok()),
        _ => Err(Failure::usage(format!(
            "parsing --pids-limit {text:?}: a number is needed, or -1 for none"
        ))),
    }
}

fn fuel(text: &str) -> Result<u64, Failure> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| {
        Failure::usage(format!(
            "parsing --fuel {text:?}: a number of instructions is needed, at least 1"
        ))
    })
}

/// Reads `nofile=SOFT[:HARD]`; `None` for another limit of Linux'. A guest has no call that raises the soft limit, so that only
/// this one counts.
fn open_files(text: &str) -> Result<Option<u32>, Failure> {
    let wrong = |problem: String| Failure::usage(format!("parsing --ulimit {text:?}: {problem}"));
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if OTHER_ULIMITS.contains(&name) {
        return Ok(None);
    }
    if name != "nofile" {
        return Err(wrong(format!("there is no limit `{name}`")));
    }
    let range = Limits::LEAST_OPEN_FILES..=Limits::MOST_OPEN_FILES;
    let count = |text: &str| {
        text.parse()
            .ok()
            .filter(|count| range.contains(count))
            .ok_or_else(|| {
                wrong(format!(
                    "a number from {} to {} is needed",
                    range.start(),
                    range.end()
                ))
            })
    };
    let (soft, hard) = value.split_once(':').unwrap_or((value, value));
    let (soft, hard) = (count(soft)?, count(hard)?);
    if soft > hard {
        return Err(wrong(
            "the first number may not be above the second".to_owned(),
        ));
    }
    Ok(Some(soft))
}

/// Reads `NAME=SOFT[:HARD]`, where -1 is no limit.
fn ulimit(text: &str) -> Result<Ulimit, Failure> {
    let wrong = |problem: &str| Failure::usage(format!("parsing --ulimit {text:?}: {problem}"));
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| wrong("NAME=SOFT[:HARD] is needed"))?;
    let count = |text: &str| match text {
        "-1" | "unlimited" => Ok(None),
        text => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| wrong("a number is needed, or -1 for no limit")),
    };
    let (soft, hard) = value.split_once(':').unwrap_or((value, value));
    let (soft, hard) = (count(soft)?, count(hard)?);
    if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
        return Err(wrong("the first number may not be above the second"));
    }
    Ok(Ulimit {
        name: name.to_owned(),
        soft,
        hard,
    })
}

/// Linux' other limits, which only a Linux program is held to.
const OTHER_ULIMITS: [&str; 15] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Docker's other limits, and why they are refused. They stay unknown flags: help lists what there is.
const OTHER_FLAGS: [(&[&str], &str); 5] = [
    (
        &[
            "--memory-swap",
            "--memory-swappiness",
            "--memory-reservation",
        ],
        "what a guest has is limited by --memory as a whole; where the host keeps it is the host's affair",
    ),
    (
        &["--kernel-memory", "--oom-kill-disable", "--oom-score-adj"],
        "a guest is refused memory beyond --memory, and not killed for it",
    ),
    (
        &[
            "--cpu-period",
            "--cpu-quota",
            "--cpu-rt-period",
            "--cpu-rt-runtime",
            "--cpu-count",
            "--cpu-percent",
        ],
        "give the quotient, with --cpus",
    ),
    (
        &["--cpu-shares", "-c", "--cpuset-cpus", "--cpuset-mems"],
        "a guest has one thread, which runs where the host puts it; --cpus holds it to a share",
    ),
    (
        &[
            "--blkio-weight",
            "--blkio-weight-device",
            "--device-read-bps",
            "--device-read-iops",
            "--device-write-bps",
            "--device-write-iops",
            "--io-maxbandwidth",
            "--io-maxiops",
        ],
        "the speed of files is not limited",
    ),
];

/// Says why one of Docker's flags is refused.
pub(in super::super) fn refusal(flag: &str) -> Option<&'static str> {
    let (_, reason) = OTHER_FLAGS
        .iter()
        .find(|(flags, _)| flags.contains(&flag))?;
    Some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(typed: &[&str]) -> Result<Limits, String> {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            limits: LimitArgs,
        }
        let line = [&["run"], typed].concat();
        let parsed = Line::try_parse_from(line).map_err(|error| error.to_string())?;
        parsed.limits.resolve().map_err(|failure| match failure {
            Failure::Usage { message, .. } => message,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn what_was_typed_means_limits() {
        let limits = resolve(&[
            "-m",
            "64m",
            "--cpus",
            ".5",
            "--pids-limit",
            "10",
            "--ulimit",
            "nofile=100:200",
            "--timeout",
            "1m",
            "--fuel",
            "1000",
        ])
        .expect("valid");
        assert_eq!(limits.memory, "64m".parse().ok());
        assert_eq!(limits.cpus, "0.5".parse().ok());
        assert_eq!(limits.processes, Some(10));
        assert_eq!(limits.open_files, 100);
        assert_eq!(limits.timeout, "60s".parse().ok());
        assert_eq!(limits.fuel, Some(1000));
        for none in [
            &[][..],
            &["--memory", "0"],
            &["--pids-limit", "0"],
            &["--pids-limit", "-1"],
        ] {
            assert_eq!(resolve(none), Ok(Limits::default()), "{none:?}");
        }
    }

    #[test]
    fn limits_of_linux_programs() {
        let read = |text: &str| {
            ulimit(text).map_err(|failure| match failure {
                Failure::Usage { message, .. } => message,
                other => panic!("{other:?}"),
            })
        };
        let limit = |soft, hard| Ulimit {
            name: "nproc".to_owned(),
            soft,
            hard,
        };
        assert_eq!(read("nproc=5"), Ok(limit(Some(5), Some(5))));
        assert_eq!(read("nproc=5:-1"), Ok(limit(Some(5), None)));
        assert_eq!(read("nproc=unlimited"), Ok(limit(None, None)));
        for (text, message) in [
            ("nproc", "NAME=SOFT[:HARD] is needed"),
            ("nproc=x", "a number is needed"),
            ("nproc=-1:5", "may not be above"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_held_is_refused() {
        for (typed, message) in [
            (&["--memory", "1k"][..], "--memory 1k is too little"),
            (
                &["--memory", "lots"],
                "parsing --memory: `lots` is not a size",
            ),
            (
                &["--cpus", "0"],
                "parsing --cpus: `0` is not a number of processors",
            ),
            (&["--pids-limit", "-2"], "parsing --pids-limit \"-2\""),
            (&["--fuel", "0"], "at least 1"),
            (
                &["--timeout", "0"],
                "parsing --timeout: `0` is not a length of time",
            ),
            (&["--ulimit", "nofile=2"], "a number from 6 to 1048576"),
            (&["--ulimit", "nofile=-1"], "a number from 6"),
            (&["--ulimit", "nofile=20:10"], "may not be above"),
            (&["--ulimit", "nofile"], "a number from 6"),
            (&["--ulimit", "bogus=1"], "there is no limit `bogus`"),
        ] {
            let error = resolve(typed).expect_err("refused");
            assert!(error.contains(message), "{error}");
        }
    }
}
