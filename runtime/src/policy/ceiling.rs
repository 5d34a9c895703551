//! What may be granted at most, and what may never be.

use serde::{Deserialize, Serialize};

use super::document::{DocumentError, from_toml};
use super::net::{ConnectRule, Exposed, Mode, NamePattern};
use super::{Class, EnvGrant, FsGrant, HostPath, Limits, NamePrefix, Policy, SecondWall};

/// What is denied, whoever granted it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Deny {
    /// Host paths, with all below them; with `:ro` they may be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fs: Vec<HostPath>,
    /// Variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<NamePrefix>,
    /// The network.
    #[serde(skip_serializing_if = "super::is_default")]
    pub net: DenyNet,
    /// Interfaces, WASI's as well: a program that imports one is not started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<NamePrefix>,
}

/// Connections that are denied, whoever granted them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct DenyNet {
    /// Where the guest may not connect to. A grant that includes it holds for the rest.
    pub connect: Vec<ConnectRule>,
}

impl Deny {
    /// Is nothing denied?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Does it deny what this program imports? Returns the first such import.
    pub fn import<'a>(&self, mut imports: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        if self.interfaces.is_empty() {
            return None;
        }
        imports.find(|import| {
            self.interfaces
                .iter()
                .any(|denied| denied.matches_interface(import))
        })
    }
}

/// What may be granted. A class that is not named is not limited; an empty list allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Allow {
    /// Host paths that may be mounted, with all below them.
    pub fs: Option<Vec<HostPath>>,
    /// Variables that may be set.
    pub env: Option<Vec<NamePrefix>>,
    /// May standard input be passed on?
    pub stdin: Option<bool>,
    /// The network.
    pub net: AllowNet,
}

/// What of the network may be granted. What is not named is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct AllowNet {
    /// May all of the host's network be granted? Whatever else is limited, it may not.
    pub host: Option<bool>,
    /// Where guests may connect to.
    pub connect: Option<Vec<ConnectRule>>,
    /// Names that they may look up.
    pub dns: Option<Vec<NamePattern>>,
    /// Ports of the host that may be opened.
    pub publish: Option<Vec<Exposed>>,
}

impl AllowNet {
    fn allows_host(&self) -> bool {
        let is_limited = self.connect.is_some() || self.dns.is_some() || self.publish.is_some();
        self.host.unwrap_or(!is_limited)
    }
}

/// A host's ceiling: grants beyond it are refused. Several hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Ceiling {
    /// Must the second wall stand?
    pub second_wall: SecondWall,
    /// What may be used up at most. Who sets no limit has this one.
    pub limits: Limits,
    /// What may be granted.
    pub allow: Allow,
    /// What may not, even if it is named above.
    pub deny: Deny,
}

impl Ceiling {
    /// Reads a ceiling from a TOML document.
    ///
    /// # Errors
    /// [`DocumentError`], with the line: a ceiling that cannot be read must not be passed over.
    pub fn parse(toml: &[u8]) -> Result<Self, DocumentError> {
        from_toml(toml)
    }

    /// Sets the limits that nobody has set.
    pub fn limit(&self, limits: &mut Limits) {
        let most = &self.limits;
        limits.memory = limits.memory.or(most.memory);
        limits.cpus = limits.cpus.or(most.cpus);
        limits.processes = limits.processes.or(most.processes);
        limits.timeout = limits.timeout.or(most.timeout);
        limits.fuel = limits.fuel.or(most.fuel);
        // Everybody has one of these.
        if limits.open_files == Limits::DEFAULT_OPEN_FILES {
            limits.open_files = limits.open_files.min(most.open_files);
        }
    }
}

/// Why a grant does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The class of the grant.
    pub class: Class,
    /// The grant, as it is written.
    pub grant: String,
    /// What it runs into.
    pub reason: String,
}

/// Looks for grants that a policy itself denies. Host paths are to be free of links.
pub fn denied(policy: &Policy) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    deny(
        policy,
        &policy.deny,
        "the policy's own `deny`",
        &mut refusals,
    );
    refusals
}

/// Looks for grants beyond a ceiling. `name` tells people where that is from. Host paths are to be free of links.
pub fn beyond(policy: &Policy, ceiling: &Ceiling, name: &str) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    deny(
        policy,
        &ceiling.deny,
        &format!("`deny` in {name}"),
        &mut refusals,
    );
    let allow = &ceiling.allow;
    let mut beyond = |class, grant: String| {
        refusals.push(Refusal {
            class,
            grant,
            reason: format!("it is not in `allow` of {name}"),
        });
    };
    if let Some(allowed) = &allow.fs {
        for grant in &policy.fs {
            if !allowed.iter().any(|path| covers(path, grant)) {
                beyond(Class::Files, grant.to_string());
            }
        }
    }
    if let Some(allowed) = &allow.env {
        for grant in &policy.env {
            if !allowed.iter().any(|name| name.matches(&grant.name)) {
                beyond(Class::Environment, grant.name.clone());
            }
        }
    }
    if allow.stdin == Some(false) && policy.stdin {
        beyond(Class::Streams, "stdin".to_owned());
    }
    for (what, is_beyond) in limits_beyond(&policy.limits, &ceiling.limits) {
        if is_beyond {
            beyond(Class::Limits, what);
        }
    }
    let net = &policy.net;
    if net.mode == Mode::Host && !allow.net.allows_host() {
        beyond(Class::Connect, "--network host".to_owned());
    }
    if let Some(allowed) = &allow.net.connect {
        for rule in &net.connect {
            if !allowed.iter().any(|allowed| allowed.includes(rule)) {
                beyond(Class::Connect, rule.to_string());
            }
        }
    }
    if let Some(allowed) = &allow.net.dns {
        for name in &net.dns {
            if !allowed.iter().any(|allowed| allowed.includes(name)) {
                beyond(Class::Dns, name.to_string());
            }
        }
    }
    if let Some(allowed) = &allow.net.publish {
        for publish in &net.publish {
            if !allowed.iter().any(|allowed| allowed.includes(publish)) {
                beyond(Class::Listen, publish.to_string());
            }
        }
    }
    refusals
}

/// Names each limit that is set, and says whether it is wider than the ceiling's.
fn limits_beyond(limits: &Limits, most: &Limits) -> impl Iterator<Item = (String, bool)> {
    fn one<T: PartialOrd + std::fmt::Display>(
        name: &str,
        limit: Option<T>,
        most: Option<T>,
    ) -> Option<(String, bool)> {
        let (limit, most) = (limit?, most?);
        Some((format!("{name} {limit}"), limit > most))
    }
    let default = Limits::DEFAULT_OPEN_FILES;
    let own = |files: u32| (files != default).then_some(files);
    [
        one("--memory", limits.memory, most.memory),
        one("--cpus", limits.cpus, most.cpus),
        one("--pids-limit", limits.processes, most.processes),
        one("--timeout", limits.timeout, most.timeout),
        one("--fuel", limits.fuel, most.fuel),
        one(
            "--ulimit nofile",
            own(limits.open_files),
            own(most.open_files),
        ),
    ]
    .into_iter()
    .flatten()
}

fn covers(path: &HostPath, grant: &FsGrant) -> bool {
    let source = grant.source.as_deref();
    source.is_none_or(|source| path.covers(source, grant.access))
}

fn deny(policy: &Policy, deny: &Deny, by: &str, refusals: &mut Vec<Refusal>) {
    if deny.is_empty() {
        return;
    }
    let mut refuse = |class, grant: String, rule: String| {
        refusals.push(Refusal {
            class,
            grant,
            reason: format!("{rule} is in {by}"),
        });
    };
    for grant in &policy.fs {
        let Some(source) = &grant.source else {
            continue;
        };
        if let Some(rule) = deny
            .fs
            .iter()
            .find(|rule| rule.touches(source, grant.access))
        {
            refuse(Class::Files, grant.to_string(), rule.to_string());
        }
    }
    for EnvGrant { name, .. } in &policy.env {
        if let Some(rule) = deny.env.iter().find(|rule| rule.matches(name)) {
            refuse(Class::Environment, name.clone(), rule.to_string());
        }
    }
    let denied = &deny.net.connect;
    if policy.net.mode == Mode::Host
        && let Some(rule) = denied.first()
    {
        refuse(
            Class::Connect,
            "--network host".to_owned(),
            rule.to_string(),
        );
    }
    for grant in &policy.net.connect {
        if let Some(rule) = denied.iter().find(|rule| rule.includes(grant)) {
            refuse(Class::Connect, grant.to_string(), rule.to_string());
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn policy(toml: &str) -> Policy {
        Policy::parse(toml.as_bytes()).expect(toml)
    }

    fn grants(refusals: &[Refusal]) -> Vec<&str> {
        refusals
            .iter()
            .map(|refusal| refusal.grant.as_str())
            .collect()
    }

    /// (ceiling, policy, the grants that are refused)
    const TABLE: &[(&str, &str, &[&str])] = &[
        ("", r#"fs = ["/etc:/e"]"#, &[]),
        (r#"allow.fs = []"#, r#"fs = ["/etc:/e"]"#, &["/etc:/e"]),
        (r#"allow.fs = []"#, r#"env = ["A"]"#, &[]),
        (
            r#"allow.fs = ["/srv", "/home:ro"]"#,
            r#"fs = ["/srv/a:/a", "/home/x:/h:ro", "/home/x:/w", "/srvx:/x:ro"]"#,
            &["/home/x:/w", "/srvx:/x"],
        ),
        (
            r#"allow.fs = ["/"]
            deny.fs = ["/etc", "/usr:ro"]"#,
            r#"fs = ["/:/host:ro", "/etc/ssh:/s:ro", "/usr:/usr:ro", "/usr/lib:/l", "/srv:/srv"]"#,
            &["/:/host:ro", "/etc/ssh:/s:ro", "/usr/lib:/l"],
        ),
        (
            r#"allow.env = ["APP_*", "LANG"]
            deny.env = ["APP_SECRET"]"#,
            r#"env = ["APP_A=1", "APP_SECRET=geheim", "LANG", "PATH=/x"]"#,
            &["APP_SECRET", "PATH"],
        ),
        ("allow.stdin = false", "stdin = true", &["stdin"]),
        ("allow.stdin = false", "", &[]),
        ("allow.stdin = true", "stdin = true", &[]),
        (
            r#"allow.net.connect = ["tcp://*.example:443", "tcp://10.0.0.0/8:5432"]"#,
            r#"net.connect = ["https://api.example", "10.1.2.3:5432", "tcp://*:443", "api.example:80"]"#,
            &["tcp://*:443", "tcp://api.example:80"],
        ),
        (
            r#"allow.net.connect = []"#,
            r#"net.mode = "host""#,
            &["--network host"],
        ),
        (
            "allow.net.connect = []\nallow.net.host = true",
            r#"net.mode = "host""#,
            &[],
        ),
        (r#"allow.fs = []"#, r#"net.mode = "host""#, &[]),
        (
            r#"deny.net.connect = ["10.0.0.0/8:*"]"#,
            r#"net.mode = "host""#,
            &["--network host"],
        ),
        (
            r#"deny.net.connect = ["tcp://10.0.0.0/8:*"]"#,
            r#"net.connect = ["tcp://10.1.0.0/16:80", "tcp://*:80"]"#,
            &["tcp://10.1.0.0/16:80"],
        ),
        (
            r#"limits.memory = "1g""#,
            r#"limits.memory = "2g""#,
            &["--memory 2g"],
        ),
        (r#"limits.memory = "1g""#, r#"limits.memory = "512m""#, &[]),
        (r#"limits.memory = "1g""#, "", &[]),
        (
            "limits.open-files = 100",
            "limits.open-files = 200",
            &["--ulimit nofile 200"],
        ),
        (
            r#"allow.net.dns = ["*.example"]"#,
            r#"net.dns = ["a.example", "*"]"#,
            &["*"],
        ),
        (
            r#"allow.net.publish = ["8000-8999"]"#,
            r#"net.publish = ["8080:80", "80:80", "90"]"#,
            &["80:80/tcp"],
        ),
    ];

    #[test]
    fn grants_beyond_the_ceiling_are_found() {
        for (ceiling, text, want) in TABLE {
            let ceiling = Ceiling::parse(ceiling.as_bytes()).expect(ceiling);
            let refusals = beyond(&policy(text), &ceiling, "the ceiling");
            let mut got = grants(&refusals);
            got.sort_unstable();
            let mut want: Vec<_> = want.to_vec();
            want.sort_unstable();
            // A grant of reading prints its `:ro`.
            let got: Vec<_> = got
                .iter()
                .map(|grant| grant.trim_end_matches(":ro"))
                .collect();
            let want: Vec<_> = want
                .iter()
                .map(|grant| grant.trim_end_matches(":ro"))
                .collect();
            assert_eq!(got, want, "{ceiling:?} {text}");
        }
    }

    #[test]
    fn who_sets_no_limit_has_the_hosts() {
        let ceiling =
            Ceiling::parse(b"limits.memory = \"1g\"\nlimits.open-files = 100").expect("a ceiling");
        let mut limits = policy("limits.timeout = \"5s\"").limits;
        ceiling.limit(&mut limits);
        let want = policy("[limits]\nmemory = \"1g\"\ntimeout = \"5s\"\nopen-files = 100").limits;
        assert_eq!(limits, want);
    }

    #[test]
    fn a_policy_can_deny_what_another_part_of_it_grants() {
        let refusals = denied(&policy("fs = [\"/etc:/e\"]\ndeny.fs = [\"/etc\"]"));
        assert_eq!(
            refusals,
            [Refusal {
                class: Class::Files,
                grant: "/etc:/e".to_owned(),
                reason: "/etc is in the policy's own `deny`".to_owned(),
            }]
        );
    }

    #[test]
    fn an_import_can_be_denied() {
        let deny =
            policy("deny.interfaces = [\"wasi:random/*\", \"wasi_snapshot_preview1.sock_*\"]").deny;
        let first = |imports: &[&'static str]| deny.import(imports.iter().copied());
        assert_eq!(
            first(&["wasi:io/poll@0.2.0", "wasi:random/random@0.2.6"]),
            Some("wasi:random/random@0.2.6")
        );
        assert_eq!(
            first(&["wasi_snapshot_preview1.sock_send"]),
            Some("wasi_snapshot_preview1.sock_send")
        );
        assert_eq!(first(&["wasi:io/poll@0.2.0"]), None);
    }

    #[test]
    fn a_ceiling_with_a_slip_is_no_ceiling_that_holds_less() {
        for slip in [
            "dney.fs = []",
            "allow.sf = []",
            "deny.fs = [\"etc\"]",
            "allow.fs = \"/\"",
        ] {
            assert!(Ceiling::parse(slip.as_bytes()).is_err(), "{slip}");
        }
    }
}
