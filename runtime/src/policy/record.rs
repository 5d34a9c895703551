//! Writes down what a guest used and was refused, as a policy that can be edited.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::net::Publish;
use super::{Capability, Class, FsGrant, Observer, Policy};

/// Different capabilities that are kept of a guest. One that asks for more is looking for holes, and no policy is made of it.
const MOST: usize = 1000;

/// Keeps a file up to date with what a guest used and was refused.
///
/// The file is opened before the second wall goes up, and written anew each time something new comes: so it is whole however the
/// process ends.
#[derive(Debug)]
pub struct Recorder {
    file: File,
    granted: Vec<FsGrant>,
    published: Vec<Publish>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    used: BTreeSet<Capability>,
    refused: BTreeSet<Capability>,
    /// Was something left out?
    full: bool,
}

impl Recorder {
    /// Starts with the mounts, the variables and the input that were granted: they are handed over, whether the guest looks or not.
    ///
    /// # Errors
    /// What the system says of the file.
    pub fn new(file: File, granted: &Policy) -> io::Result<Self> {
        let recorder = Self {
            file,
            granted: granted.fs.clone(),
            published: granted.net.publish.clone(),
            seen: Mutex::default(),
        };
        let mut seen = recorder.seen();
        for grant in &granted.env {
            let name = grant.name.clone();
            seen.used.insert(Capability::Environment { name });
        }
        if granted.stdin {
            seen.used.insert(Capability::Stdin);
        }
        recorder.write(&seen)?;
        drop(seen);
        Ok(recorder)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Whoever panicked inserted or did not: both are whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, capability: &Capability, set: impl Fn(&mut Seen) -> &mut BTreeSet<Capability>) {
        let mut seen = self.seen();
        if set(&mut seen).contains(capability) {
            return;
        }
        if seen.used.len() + seen.refused.len() >= MOST {
            if seen.full {
                return;
            }
            seen.full = true;
        } else {
            set(&mut seen).insert(capability.clone());
        }
        // The guest cannot help it, and must not notice.
        self.write(&seen).ok();
    }

    fn write(&self, seen: &Seen) -> io::Result<()> {
        let text = self.render(seen);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    }

    fn render(&self, seen: &Seen) -> String {
        let mut text = String::from(
            "# What a run used, and what it was refused. Use it with `coracle run --policy FILE`.\n\
             # What was refused is commented out: remove the `#` to grant it.\n",
        );
        if seen.full {
            text.push_str("# The guest asked for much more; the rest is left out.\n");
        }
        text.push('\n');
        list(&mut text, "fs", self.files(seen));
        list(&mut text, "env", of(seen, Class::Environment));
        let stdin = of(seen, Class::Streams).any(|(_, granted)| granted);
        if stdin {
            text.push_str("stdin = true\n");
        }
        let mut net = String::new();
        list(&mut net, "connect", of(seen, Class::Connect));
        list(&mut net, "dns", of(seen, Class::Dns));
        list(&mut net, "publish", self.ports(seen));
        if !net.is_empty() {
            text.push_str("\n[net]\n");
            text.push_str(&net);
        }
        text
    }

    /// The ports that were listened on, as they were published.
    fn ports(&self, seen: &Seen) -> impl Iterator<Item = (String, bool)> {
        of(seen, Class::Listen).map(|(port, granted)| {
            let asked = port.parse::<Publish>();
            let published = self.published.iter().find(|published| {
                asked.as_ref().is_ok_and(|asked| {
                    asked.protocol == published.protocol && published.guest.includes(asked.guest)
                })
            });
            match published.filter(|_| granted) {
                Some(published) => (published.to_string(), true),
                None => (port, granted),
            }
        })
    }

    /// The mounts, and the places where one is missing.
    fn files(&self, seen: &Seen) -> impl Iterator<Item = (String, bool)> {
        let mut grants = Vec::new();
        for grant in &self.granted {
            grants.push((grant.to_string(), true));
        }
        for capability in &seen.refused {
            let path = match capability {
                Capability::Read { path } => format!("HOST:{path}:ro"),
                Capability::Write { path } => format!("HOST:{path}"),
                _ => continue,
            };
            grants.push((path, false));
        }
        grants.into_iter()
    }
}

impl Observer for Recorder {
    fn used(&self, capability: &Capability) {
        self.add(capability, |seen| &mut seen.used);
    }

    fn refused(&self, capability: &Capability) {
        self.add(capability, |seen| &mut seen.refused);
    }
}

/// What was used of a class, and what was refused.
fn of(seen: &Seen, class: Class) -> impl Iterator<Item = (String, bool)> {
    let all = [(&seen.used, true), (&seen.refused, false)];
    all.into_iter().flat_map(move |(set, granted)| {
        let fits = set
            .iter()
            .filter(move |capability| capability.class() == class);
        fits.map(move |capability| (capability.to_string(), granted))
    })
}

/// Writes a list of grants; those that were refused as comments.
fn list(text: &mut String, name: &str, grants: impl Iterator<Item = (String, bool)>) {
    let mut grants = grants.peekable();
    if grants.peek().is_none() {
        return;
    }
    writeln!(text, "{name} = [").expect("writing to a String cannot fail");
    for (grant, granted) in grants {
        let mark = if granted { "" } else { "# " };
        writeln!(text, "    {mark}{},", quoted(&grant)).expect("writing to a String cannot fail");
    }
    text.push_str("]\n");
}

/// Writes a text of the guest's as a string of TOML, in which nothing but ASCII that can be seen stands for itself.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            ' '..='~' => quoted.push(letter),
            _ => write!(quoted, "\\U{:08x}", u32::from(letter))
                .expect("writing to a String cannot fail"),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Protocol;

    fn recorder(policy: &str) -> (Recorder, tempfile::NamedTempFile) {
        let policy = Policy::parse(policy.as_bytes()).expect(policy);
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let recorder = Recorder::new(file.reopen().expect("the file again"), &policy);
        (recorder.expect("it is written"), file)
    }

    fn read(path: &std::path::Path) -> Policy {
        let text = std::fs::read(path).expect("the record");
        Policy::parse(&text)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&text)))
    }

    fn path(path: &str) -> String {
        path.to_owned()
    }

    #[test]
    fn what_was_used_is_a_policy_and_what_was_refused_a_comment() {
        let (recorder, file) =
            recorder("fs = [\"/a:/data:ro\"]\nenv = [\"TOKEN=secret\"]\nstdin = true");
        recorder.refused(&Capability::Write {
            path: path("/etc/\"x\u{1b}"),
        });
        recorder.refused(&Capability::Write {
            path: path("/data/x"),
        });
        let want = "fs = [\"/a:/data:ro\"]\nenv = [\"TOKEN\"]\nstdin = true";
        assert_eq!(
            read(file.path()),
            Policy::parse(want.as_bytes()).expect(want)
        );
        let text = std::fs::read_to_string(file.path()).expect("text");
        assert!(!text.contains("secret"), "{text}");
        assert!(
            text.contains("    # \"HOST:/etc/\\\"x\\U0000001b\",\n"),
            "{text}"
        );
        let edited = text.replace("# \"HOST", "\"/host");
        assert_eq!(
            Policy::parse(edited.as_bytes()).expect("edited").fs.len(),
            3
        );
    }

    #[test]
    fn the_network_is_written_as_it_was_granted() {
        let (recorder, file) =
            recorder("net.publish = [\"127.0.0.1:8080-8081:80-81\", \"53/udp\"]");
        let connect = |host: &str| Capability::Connect {
            protocol: Protocol::Tcp,
            host: host.to_owned(),
            port: 5432,
        };
        recorder.used(&connect("db.example"));
        recorder.refused(&connect("fd00::1"));
        recorder.used(&Capability::Listen {
            protocol: Protocol::Tcp,
            port: 81,
        });
        let want = "[net]\nconnect = [\"tcp://db.example:5432\"]\npublish = [\"127.0.0.1:8080-8081:80-81\"]";
        assert_eq!(
            read(file.path()),
            Policy::parse(want.as_bytes()).expect(want)
        );
        let text = std::fs::read_to_string(file.path()).expect("text");
        let all = text.replace("# \"", "\"");
        assert_eq!(
            Policy::parse(all.as_bytes())
                .expect("edited")
                .net
                .connect
                .len(),
            2
        );
    }

    #[test]
    fn a_guest_that_asks_for_everything_fills_no_disk() {
        let (recorder, file) = recorder("");
        for number in 0..MOST + 100 {
            recorder.refused(&Capability::Write {
                path: format!("/{number}"),
            });
        }
        let text = std::fs::read_to_string(file.path()).expect("text");
        assert_eq!(text.matches("HOST:").count(), MOST);
        assert!(text.contains("the rest is left out"));
        assert_eq!(read(file.path()), Policy::default());
    }
}
