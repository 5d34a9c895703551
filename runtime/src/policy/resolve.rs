//! What becomes of each thing that an image asks for and a program imports. Pure functions, for people to read before a start.

use std::collections::BTreeMap;

use serde::Serialize;

use super::interface::{class_of, is_wasi};
use super::net::{ConnectRule, Exposed, Mode};
use super::{Class, Policy, Refusal, Request};

/// One thing that is asked for or imported, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The class of grants that it belongs to.
    pub class: Class,
    /// The thing: a grant, or imports.
    pub what: String,
    /// What becomes of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What becomes of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "by")]
pub enum Verdict {
    /// Every container has it.
    Always,
    /// It is there. By which grants.
    Granted(String),
    /// The program starts without it, and each use is refused. The flag that would grant it.
    RefusedAtUse(String),
    /// It keeps the program from being started. Why.
    Refused(String),
}

/// Says what becomes of each thing that an image asks for.
pub fn requested(policy: &Policy, request: &Request) -> Vec<Item> {
    let mut items = Vec::new();
    let mut add = |class, what: String, grant: Option<String>, flag: String| {
        let verdict = grant.map_or(Verdict::RefusedAtUse(flag), Verdict::Granted);
        items.push(Item {
            class,
            what,
            verdict,
        });
    };
    for wanted in &request.fs {
        let grant = policy.fs.iter().find(|grant| grant.satisfies(wanted));
        let flag = format!("-v HOST:{wanted}");
        add(
            Class::Files,
            wanted.to_string(),
            grant.map(ToString::to_string),
            flag,
        );
    }
    for wanted in &request.env {
        let name = &wanted.name;
        let grant = policy.env.iter().find(|grant| grant.name == *name);
        let flag = format!("-e {name}");
        add(
            Class::Environment,
            name.clone(),
            grant.map(|grant| grant.name.clone()),
            flag,
        );
    }
    if request.stdin {
        let grant = policy.stdin.then(|| "stdin".to_owned());
        add(Class::Streams, "stdin".to_owned(), grant, "-i".to_owned());
    }
    let net = &policy.net;
    for wanted in &request.net.connect {
        let flag = format!("--allow-connect {wanted}");
        add(
            Class::Connect,
            wanted.to_string(),
            connects(policy, wanted),
            flag,
        );
    }
    for wanted in &request.net.dns {
        let grant = match net.mode {
            Mode::None => None,
            Mode::Host => Some("--network host".to_owned()),
            Mode::Granted => {
                let grant = net.dns.iter().find(|grant| grant.includes(wanted));
                grant.map(ToString::to_string)
            }
        };
        let flag = format!("--allow-dns {wanted}");
        add(Class::Dns, wanted.to_string(), grant, flag);
    }
    for wanted in &request.net.listen {
        let flag = format!("-p {}:{wanted}", wanted.ports);
        add(
            Class::Listen,
            wanted.to_string(),
            listens(policy, wanted),
            flag,
        );
    }
    items
}

fn connects(policy: &Policy, wanted: &ConnectRule) -> Option<String> {
    match policy.net.mode {
        Mode::None => None,
        Mode::Host => Some("--network host".to_owned()),
        Mode::Granted => {
            let mut rules = policy.net.connect.iter();
            rules
                .find(|rule| rule.includes(wanted))
                .map(ToString::to_string)
        }
    }
}

fn listens(policy: &Policy, wanted: &Exposed) -> Option<String> {
    match policy.net.mode {
        Mode::None => None,
        Mode::Host => Some("--network host".to_owned()),
        Mode::Granted => {
            let fits = |publish: &&super::net::Publish| {
                publish.protocol == wanted.protocol && publish.guest.includes(wanted.ports)
            };
            policy
                .net
                .publish
                .iter()
                .find(fits)
                .map(ToString::to_string)
        }
    }
}

/// Says what becomes of a program's imports; WASI's are taken together by class. `unknown` are those that this host does not have.
pub fn imported(policy: &Policy, imports: &[String], unknown: &[String]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut classes: BTreeMap<Class, Vec<&str>> = BTreeMap::new();
    for import in imports {
        let class = class_of(import);
        let refused = if policy.deny.import([import.as_str()].into_iter()).is_some() {
            Some("it is denied".to_owned())
        } else if !unknown.contains(import) {
            None
        } else if class == Class::Process {
            Some("a program cannot start threads or processes; nothing grants it".to_owned())
        } else if is_wasi(import) {
            Some("this version of Coracle does not have it".to_owned())
        } else {
            Some("this host does not have it; link what provides it into the program, such as with `wac plug`".to_owned())
        };
        match refused {
            Some(reason) => items.push(Item {
                class,
                what: import.clone(),
                verdict: Verdict::Refused(reason),
            }),
            None => classes.entry(class).or_default().push(import),
        }
    }
    items.extend(classes.into_iter().map(|(class, imports)| Item {
        class,
        what: together(&imports),
        verdict: of_class(policy, class),
    }));
    items
}

/// Names a few imports of one class, without their versions.
fn together(imports: &[&str]) -> String {
    const NAMED: usize = 3;
    let bare = |import: &&str| {
        let import = import.split('@').next().unwrap_or(import);
        import
            .strip_prefix("wasi_snapshot_preview1.")
            .or_else(|| import.strip_prefix("wasi_unstable."))
            .unwrap_or(import)
            .to_owned()
    };
    let mut names: Vec<String> = imports.iter().map(bare).collect();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let text = names.join(", ");
    match more {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// Says what becomes of WASI's imports of a class.
fn of_class(policy: &Policy, class: Class) -> Verdict {
    let flag = match class {
        Class::Connect => "--allow-connect HOST:PORT",
        Class::Dns => "--allow-dns NAME",
        Class::Listen => "-p PORT:PORT",
        _ => return Verdict::Always,
    };
    let all = policy.grants();
    let grants: Vec<String> = all
        .filter(|(of, grant)| *of == class || grant == "host")
        .map(|(_, grant)| grant)
        .collect();
    if grants.is_empty() {
        Verdict::RefusedAtUse(flag.to_owned())
    } else {
        Verdict::Granted(grants.join(", "))
    }
}

/// Says of each grant that it holds, or what it runs into.
pub fn granted(policy: &Policy, refusals: &[Refusal]) -> Vec<Item> {
    let mut items: Vec<Item> = policy
        .grants()
        .filter(|(class, grant)| {
            let mut same = refusals.iter();
            !same.any(|refusal| refusal.class == *class && refusal.grant == *grant)
        })
        .map(|(class, what)| Item {
            class,
            verdict: Verdict::Granted(what.clone()),
            what,
        })
        .collect();
    items.extend(refusals.iter().map(|refusal| Item {
        class: refusal.class,
        what: refusal.grant.clone(),
        verdict: Verdict::Refused(refusal.reason.clone()),
    }));
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(toml: &str) -> Policy {
        Policy::parse(toml.as_bytes()).expect(toml)
    }

    /// (policy, request, what grants it or the flag that would)
    const REQUESTS: &[(&str, &str, Result<&str, &str>)] = &[
        ("", r#"{"fs":["/data"]}"#, Err("-v HOST:/data")),
        (
            r#"fs = ["/x:/data"]"#,
            r#"{"fs":["/data"]}"#,
            Ok("/x:/data"),
        ),
        (
            r#"fs = ["/x:/data:ro"]"#,
            r#"{"fs":["/data"]}"#,
            Err("-v HOST:/data"),
        ),
        (
            r#"fs = ["/x:/data:ro"]"#,
            r#"{"fs":["/data:ro"]}"#,
            Ok("/x:/data:ro"),
        ),
        ("", r#"{"env":["TOKEN"]}"#, Err("-e TOKEN")),
        (r#"env = ["TOKEN=x"]"#, r#"{"env":["TOKEN"]}"#, Ok("TOKEN")),
        ("", r#"{"stdin":true}"#, Err("-i")),
        ("stdin = true", r#"{"stdin":true}"#, Ok("stdin")),
        (
            "",
            r#"{"net":{"connect":["db.example:5432"]}}"#,
            Err("--allow-connect tcp://db.example:5432"),
        ),
        (
            r#"net.connect = ["tcp://*.example:*"]"#,
            r#"{"net":{"connect":["db.example:5432"]}}"#,
            Ok("tcp://*.example:*"),
        ),
        (
            r#"net.connect = ["tcp://*.example:80"]"#,
            r#"{"net":{"connect":["db.example:5432"]}}"#,
            Err("--allow-connect tcp://db.example:5432"),
        ),
        (
            r#"net.mode = "host""#,
            r#"{"net":{"connect":["db.example:5432"]}}"#,
            Ok("--network host"),
        ),
        (
            "",
            r#"{"net":{"dns":["*.example"]}}"#,
            Err("--allow-dns *.example"),
        ),
        (
            r#"net.dns = ["*"]"#,
            r#"{"net":{"dns":["*.example"]}}"#,
            Ok("*"),
        ),
        ("", r#"{"net":{"listen":["80"]}}"#, Err("-p 80:80/tcp")),
        (
            r#"net.publish = ["8080:80"]"#,
            r#"{"net":{"listen":["80"]}}"#,
            Ok("8080:80/tcp"),
        ),
        (
            r#"net.publish = ["8080:80"]"#,
            r#"{"net":{"listen":["80/udp"]}}"#,
            Err("-p 80:80/udp"),
        ),
    ];

    #[test]
    fn a_request_is_granted_or_the_flag_is_named() {
        for (grants, request, want) in REQUESTS {
            let request = Request::parse(request).expect(request);
            let items = requested(&policy(grants), &request);
            let got: Vec<_> = items.iter().map(|item| &item.verdict).collect();
            let want = match want {
                Ok(grant) => Verdict::Granted((*grant).to_owned()),
                Err(flag) => Verdict::RefusedAtUse((*flag).to_owned()),
            };
            assert_eq!(got, [&want], "{grants} {request:?}");
        }
    }

    #[test]
    fn an_import_of_wasi_is_always_linked_and_another_must_be_there() {
        let imports = [
            "wasi:io/poll@0.2.0",
            "wasi:sockets/tcp@0.2.0",
            "wasi:sockets/udp@0.2.0",
            "wasi:random/random@0.2.0",
            "acme:greet/hello@1.0.0",
            "wasi.thread-spawn",
            "wasi:nn/tensor@0.2.0",
        ]
        .map(str::to_owned);
        let unknown = &imports[4..];
        let letters = |toml: &str| -> String {
            let items = imported(&policy(toml), &imports, unknown);
            let mut letters: Vec<_> = items
                .iter()
                .map(|item| match &item.verdict {
                    Verdict::Always => format!("{}:always", item.class),
                    Verdict::Granted(by) => format!("{}:granted {by}", item.class),
                    Verdict::RefusedAtUse(_) => format!("{}:at-use", item.class),
                    Verdict::Refused(_) => format!("{}:refused", item.class),
                })
                .collect();
            letters.sort();
            letters.join(" ")
        };
        assert_eq!(
            letters(""),
            "clock/random:always interface:refused interface:refused net.connect:at-use process:refused stdio:always"
        );
        assert_eq!(
            letters("net.connect = [\"a.example:1\"]"),
            "clock/random:always interface:refused interface:refused net.connect:granted tcp://a.example:1 process:refused \
             stdio:always"
        );
        assert_eq!(
            letters("deny.interfaces = [\"wasi:random/*\", \"wasi:sockets/udp\"]"),
            "clock/random:refused interface:refused interface:refused net.connect:at-use net.connect:refused process:refused \
             stdio:always"
        );
    }

    #[test]
    fn what_is_refused_is_not_listed_as_granted() {
        let policy = policy("fs = [\"/etc:/e\"]\nenv = [\"A=geheim\"]\ndeny.fs = [\"/etc\"]");
        let items = granted(&policy, &super::super::ceiling::denied(&policy));
        let text = serde_json::to_string(&items).expect("it serialises");
        assert_eq!(
            text,
            r#"[{"class":"env","what":"A","verdict":"granted","by":"A"},{"class":"fs","what":"/etc:/e","verdict":"refused","by":"/etc is in the policy's own `deny`"}]"#
        );
    }
}
