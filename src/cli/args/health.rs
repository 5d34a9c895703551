//! Flags on how a container is asked whether it is well.

use coracle_runtime::container::{HealthCheck, Probe};
use jiff::{SignedDuration, Span};

use super::super::error::Failure;
use crate::engine::HealthRequest;

/// What was typed.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Ask whether it is well by running a command in it, with its shell if it has one
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Ask by an HTTP request to a published port of the container, such as 8080/health
    #[arg(long, value_name = "PORT[/PATH]", conflicts_with = "health_cmd")]
    health_http: Option<String>,
    /// Ask by a connection to a published port of the container
    #[arg(long, value_name = "PORT", conflicts_with_all = ["health_cmd", "health_http"])]
    health_tcp: Option<u16>,
    /// Ask so often [default: the image's, or 30s]
    #[arg(long, value_name = "TIME")]
    health_interval: Option<String>,
    /// Take no answer for so long as a failure [default: the image's, or 30s]
    #[arg(long, value_name = "TIME")]
    health_timeout: Option<String>,
    /// Take so many failures one after the other as unhealthy [default: the image's, or 3]
    #[arg(long, value_name = "N")]
    health_retries: Option<u32>,
    /// Count no failures for so long after the start [default: the image's, or 0s]
    #[arg(long, value_name = "TIME")]
    health_start_period: Option<String>,
    /// Ask so often meanwhile [default: the image's, or 5s]
    #[arg(long, value_name = "TIME")]
    health_start_interval: Option<String>,
    /// Do not ask, whatever the image says
    #[arg(long)]
    no_healthcheck: bool,
}

impl Args {
    /// Checks all that was typed.
    pub(in super::super) fn resolve(&self) -> Result<HealthRequest, Failure> {
        let probe = match (&self.health_http, self.health_tcp) {
            (Some(text), _) => Some(http(text)?),
            (None, Some(port)) => Some(Probe::Tcp { port }),
            (None, None) => None,
        };
        let shell = self
            .health_cmd
            .clone()
            .filter(|command| !command.is_empty());
        let request = HealthRequest {
            none: self.no_healthcheck,
            probe,
            shell,
            interval: time("--health-interval", self.health_interval.as_deref())?,
            timeout: time("--health-timeout", self.health_timeout.as_deref())?,
            retries: self.health_retries,
            start_period: time("--health-start-period", self.health_start_period.as_deref())?,
            start_interval: time(
                "--health-start-interval",
                self.health_start_interval.as_deref(),
            )?,
        };
        let none = HealthRequest {
            none: true,
            ..HealthRequest::default()
        };
        if request.none && request != none {
            return Err(Failure::usage(
                "--no-healthcheck conflicts with --health-* options",
            ));
        }
        Ok(request)
    }
}

fn http(text: &str) -> Result<Probe, Failure> {
    let (port, path) = match text.split_once('/') {
        Some((port, path)) => (port, format!("/{path}")),
        None => (text, "/".to_owned()),
    };
    let port = port.parse().map_err(|_| {
        Failure::usage(format!("parsing --health-http {text:?}"))
            .with_hint("write a port of the container, and a path if not /: 8080/health")
    })?;
    Ok(Probe::Http { port, path })
}

/// Reads a time in nanoseconds; Docker's zero means the default.
fn time(flag: &str, text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let wrong = |problem: &str| {
        Failure::usage(format!("parsing {flag} {text:?}: {problem}"))
            .with_hint("such as 500ms, 30s or 1m30s")
    };
    let span: Span = text.parse().map_err(|_| wrong("a time is wanted"))?;
    let time = SignedDuration::try_from(span).map_err(|_| wrong("a time is wanted"))?;
    let nanos = u64::try_from(time.as_nanos()).map_err(|_| wrong("it cannot be negative"))?;
    if nanos > 0 && nanos < HealthCheck::SHORTEST {
        return Err(wrong("it cannot be less than 1ms"));
    }
    Ok(Some(nanos).filter(|nanos| *nanos > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ports_are_read() {
        let read = |text| time("--health-interval", Some(text)).ok();
        assert_eq!(read("1m30s"), Some(Some(90_000_000_000)));
        assert_eq!(read("500ms"), Some(Some(500_000_000)));
        assert_eq!(read("0s"), Some(None));
        for bad in ["", "x", "-1s", "10us", "5"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let path = |text| match http(text) {
            Ok(Probe::Http { port, path }) => Some((port, path)),
            _ => None,
        };
        assert_eq!(path("80"), Some((80, "/".to_owned())));
        assert_eq!(path("8080/a?b"), Some((8080, "/a?b".to_owned())));
        assert_eq!(path("/a"), None);
    }
}
