//! The flags that grant the network.

use coracle_runtime::policy::net::{Mode, NetPolicy};

use super::super::error::Failure;
use super::super::ui;
use crate::engine::NetworkRequest;

/// Begins the name of a network that is another container's.
const CONTAINER: &str = "container:";

/// What was typed.
#[derive(clap::Args)]
pub(in super::super) struct Flags {
    /// Let the guest connect to this host and port; tcp://, udp://, http:// or https://, a name, *.name, an address, a range such
    /// as 10.0.0.0/8, or *
    #[arg(long, value_name = "[SCHEME://]HOST[:PORT]")]
    allow_connect: Vec<String>,
    /// Let the guest look this name up; what it may connect to, it may look up as well
    #[arg(long, value_name = "NAME")]
    allow_dns: Vec<String>,
    /// Let a port of this machine lead to the guest's
    #[arg(short, long, value_name = "[[IP:]HOSTPORT:]PORT[/PROTOCOL]")]
    publish: Vec<String>,
    /// Let a free port of this machine lead to each port that the image exposes
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Say that the guest listens on this port
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    expose: Vec<String>,
    /// Give the guest no network (none), what the flags grant, all that this machine has (host), or that of another Linux
    /// container (container:NAME)
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Option<String>,
    /// Give a name an address; the address host-gateway is this machine
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
}

/// Returns what the flags mean.
pub(in super::super) fn parse(flags: &Flags) -> Result<NetworkRequest, Failure> {
    let mut policy = NetPolicy {
        mode: Mode::None,
        connect: each(&flags.allow_connect).map_err(|failure| {
            failure.with_hint("write it as tcp://db.example:5432 or https://api.example")
        })?,
        dns: each(&flags.allow_dns)?,
        publish: each(&flags.publish)?,
        hosts: each(&flags.add_host)?,
        ..NetPolicy::default()
    };
    let exposed = each(&flags.expose)?;
    let grants = !(policy.connect.is_empty() && policy.dns.is_empty() && policy.publish.is_empty());
    let mut join = None;
    match flags.network.as_deref() {
        None => policy.settle(),
        Some("none") if grants || flags.publish_all => {
            return Err(Failure::usage(
                "--network none contradicts the other flags, which grant some of it",
            )
            .with_hint("leave it out: without a grant there is no network"));
        }
        Some("none") => {}
        Some("host") => {
            if !policy.publish.is_empty() || flags.publish_all {
                ui::warning("published ports are discarded when using host network mode");
                policy.publish.clear();
            }
            policy.mode = Mode::Host;
        }
        Some(name) if name.len() > CONTAINER.len() && name.starts_with(CONTAINER) => {
            if grants || flags.publish_all {
                return Err(Failure::usage(
                    "conflicting options: ports are published by the container whose network it is",
                ));
            }
            join = Some(name[CONTAINER.len()..].to_owned());
        }
        Some(name) => {
            return Err(Failure::usage(format!("network {name}: named networks do not exist yet"))
                .with_hint("grant what the guest needs with --allow-connect and --publish, or use --network host"));
        }
    }
    Ok(NetworkRequest {
        publish_all: flags.publish_all && policy.mode != Mode::Host,
        policy,
        exposed,
        join,
    })
}

fn each<T>(texts: &[String]) -> Result<Vec<T>, Failure>
where
    T: std::str::FromStr<Err = coracle_runtime::policy::net::NetError>,
{
    texts
        .iter()
        .map(|text| {
            text.parse()
                .map_err(|error: T::Err| Failure::usage(error.to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn typed(line: &str) -> Result<NetworkRequest, String> {
        let words = std::iter::once("run").chain(line.split(' ').filter(|word| !word.is_empty()));
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        parse(&line.flags).map_err(|failure| match failure {
            Failure::Usage { message, .. } => message,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn flags_make_a_policy() {
        let mode = |line: &str| typed(line).expect(line).policy.mode;
        assert_eq!(mode(""), Mode::None);
        assert_eq!(mode("--expose 80"), Mode::None);
        assert_eq!(mode("--network none"), Mode::None);
        assert_eq!(mode("--add-host a:1.2.3.4"), Mode::None);
        assert_eq!(mode("-p 80"), Mode::Granted);
        assert_eq!(mode("--allow-dns a.example"), Mode::Granted);
        assert_eq!(mode("--net host --allow-connect a:1"), Mode::Host);
        let request =
            typed("-p 8080:80 -p 53/udp -P --expose 90 --allow-connect a:1").expect("valid");
        let joined = typed("--network container:db").expect("valid");
        assert_eq!(joined.join.as_deref(), Some("db"));
        assert_eq!(request.policy.publish.len(), 2);
        assert!(request.publish_all && request.exposed.len() == 1);
        let host = typed("--network host -p 80 -P").expect("valid");
        assert!(host.policy.publish.is_empty() && !host.publish_all);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, want) in [
            (
                "--network web",
                "network web: named networks do not exist yet",
            ),
            (
                "--network none -p 80",
                "--network none contradicts the other flags, which grant some of it",
            ),
            (
                "--network container:db -p 80",
                "conflicting options: ports are published by the container whose network it is",
            ),
            (
                "--network container:",
                "network container:: named networks do not exist yet",
            ),
            ("-p x", "invalid containerPort: x"),
            (
                "--allow-connect a",
                "parsing the rule \"a\": there is no port",
            ),
            ("--add-host a", "bad format for add-host: \"a\""),
            ("--expose x", "invalid containerPort: x"),
        ] {
            assert_eq!(typed(line).expect_err(line), want);
        }
    }
}
