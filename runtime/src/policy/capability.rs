//! One use of the outside world by a guest.

use std::fmt;

pub use super::net::Scheme as Protocol;

/// A class of grants. There are few, because people can hold few in mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Host folders and files.
    Files,
    /// Connections to others.
    Connect,
    /// Ports that others may connect to.
    Listen,
    /// Looking up names.
    Dns,
    /// Environment variables beside the image's own.
    Environment,
    /// Standard streams. Output is always there, input is granted.
    Streams,
    /// Time and random numbers: always there.
    Clock,
    /// Threads and processes.
    Process,
    /// A named WIT interface that is not WASI's.
    Interface,
    /// Memory, time and numbers of things.
    Limits,
}

impl Class {
    /// Returns the class's name in messages and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "fs",
            Self::Connect => "net.connect",
            Self::Listen => "net.listen",
            Self::Dns => "net.dns",
            Self::Environment => "env",
            Self::Streams => "stdio",
            Self::Clock => "clock/random",
            Self::Process => "process",
            Self::Interface => "interface",
            Self::Limits => "limits",
        }
    }
}

impl serde::Serialize for Class {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One use of the outside world. Its text is that of the grant that allows it, and no more.
///
/// Names and paths come from the guest: whoever shows them escapes them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Connecting, or sending a datagram.
    Connect {
        /// What is spoken.
        protocol: Protocol,
        /// A name, or an address; IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// Looking up a name.
    Dns {
        /// The name.
        name: String,
    },
    /// Waiting for connections or datagrams.
    Listen {
        /// Which kind; HTTP is TCP here.
        protocol: Protocol,
        /// The guest's port; 0 stands for any.
        port: u16,
    },
    /// Reading below a mount.
    Read {
        /// The absolute guest path of the mount.
        path: String,
    },
    /// Changing something, in a mount or elsewhere.
    Write {
        /// The absolute guest path.
        path: String,
    },
    /// Having a variable.
    Environment {
        /// Its name.
        name: String,
    },
    /// Reading standard input.
    Stdin,
    /// Calling an interface.
    Interface {
        /// Its name, such as `acme:greet/hello@1.0.0`.
        name: String,
    },
}

impl Capability {
    /// Returns the class of grants that it belongs to.
    pub fn class(&self) -> Class {
        match self {
            Self::Connect { .. } => Class::Connect,
            Self::Dns { .. } => Class::Dns,
            Self::Listen { .. } => Class::Listen,
            Self::Read { .. } | Self::Write { .. } => Class::Files,
            Self::Environment { .. } => Class::Environment,
            Self::Stdin => Class::Streams,
            Self::Interface { .. } => Class::Interface,
        }
    }

    /// Returns the flag of the command line that grants it, if one does.
    pub fn flag(&self) -> Option<String> {
        Some(match self {
            Self::Connect { .. } => format!("--allow-connect {self}"),
            Self::Dns { .. } => format!("--allow-dns {self}"),
            Self::Listen { port: 0, .. } | Self::Interface { .. } => return None,
            Self::Listen { .. } => format!("-p {self}"),
            Self::Read { path } => format!("-v HOST:{path}:ro"),
            Self::Write { path } => format!("-v HOST:{path}"),
            Self::Environment { name } => format!("-e {name}"),
            Self::Stdin => "-i".to_owned(),
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect {
                protocol,
                host,
                port,
            } if host.contains(':') => write!(f, "{protocol}://[{host}]:{port}"),
            Self::Connect {
                protocol,
                host,
                port,
            } => write!(f, "{protocol}://{host}:{port}"),
            Self::Dns { name } | Self::Environment { name } | Self::Interface { name } => {
                f.write_str(name)
            }
            Self::Listen {
                protocol: Protocol::Udp,
                port,
            } => write!(f, "{port}:{port}/udp"),
            Self::Listen { port, .. } => write!(f, "{port}:{port}"),
            Self::Read { path } => write!(f, "{path}:ro"),
            Self::Write { path } => f.write_str(path),
            Self::Stdin => f.write_str("stdin"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_flag_that_grants_it() {
        let connect = |protocol, host: &str| Capability::Connect {
            protocol,
            host: host.to_owned(),
            port: 443,
        };
        let path = || "/data".to_owned();
        let name = || "TOKEN".to_owned();
        let listen = |protocol, port| Capability::Listen { protocol, port };
        let table = [
            (
                connect(Protocol::Tcp, "db.example"),
                Some("--allow-connect tcp://db.example:443"),
            ),
            (
                connect(Protocol::Https, "2001:db8::1"),
                Some("--allow-connect https://[2001:db8::1]:443"),
            ),
            (
                Capability::Dns {
                    name: "db.example".to_owned(),
                },
                Some("--allow-dns db.example"),
            ),
            (listen(Protocol::Tcp, 80), Some("-p 80:80")),
            (listen(Protocol::Udp, 53), Some("-p 53:53/udp")),
            (listen(Protocol::Tcp, 0), None),
            (Capability::Read { path: path() }, Some("-v HOST:/data:ro")),
            (Capability::Write { path: path() }, Some("-v HOST:/data")),
            (Capability::Environment { name: name() }, Some("-e TOKEN")),
            (Capability::Stdin, Some("-i")),
            (Capability::Interface { name: name() }, None),
        ];
        for (capability, flag) in table {
            assert_eq!(capability.flag().as_deref(), flag, "{capability:?}");
        }
    }
}
