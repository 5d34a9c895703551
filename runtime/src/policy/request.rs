//! What an image asks for. It grants nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::document::{DocumentError, from_json};
use super::net::{ConnectRule, Exposed, NamePattern};
use super::{Class, EnvGrant, FsGrant};

/// What an image says that its program needs: the label [`LABEL`](Self::LABEL), as compact JSON, and what it exposes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Request {
    /// Guest paths where something of the host is to be mounted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fs: Vec<FsGrant>,
    /// Names of variables that are to be set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvGrant>,
    /// Does it read standard input?
    #[serde(skip_serializing_if = "super::is_default")]
    pub stdin: bool,
    /// The network.
    #[serde(skip_serializing_if = "super::is_default")]
    pub net: RequestNet,
}

/// What an image asks for of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct RequestNet {
    /// Where it would connect to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect: Vec<ConnectRule>,
    /// Names that it would look up besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<NamePattern>,
    /// Ports that it listens on, as `EXPOSE` has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<Exposed>,
}

impl Request {
    /// The label of an image that holds its request.
    pub const LABEL: &str = "dev.coracle.request.v1";

    /// Reads the label's text.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn parse(json: &str) -> Result<Self, DocumentError> {
        from_json(json.as_bytes())
    }

    /// Adds a `VOLUME` of the image: a place to write that outlives the container.
    pub fn add_volume(&mut self, path: &str) {
        if let Ok(grant) = path.parse::<FsGrant>()
            && grant.source.is_none()
            && !self.fs.iter().any(|known| known.target == grant.target)
        {
            self.fs.push(grant);
        }
    }

    /// Adds an `EXPOSE` of the image. What is no port is passed over: other engines have let it through.
    pub fn add_port(&mut self, port: &str) {
        if let Ok(port) = port.parse::<Exposed>()
            && !self.net.listen.contains(&port)
        {
            self.net.listen.push(port);
        }
    }

    /// Is nothing asked for?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns each thing that is asked for, as it is written.
    pub fn items(&self) -> BTreeSet<(Class, String)> {
        let fs = self
            .fs
            .iter()
            .map(|grant| (Class::Files, grant.to_string()));
        let env = self
            .env
            .iter()
            .map(|grant| (Class::Environment, grant.name.clone()));
        let stdin = self.stdin.then(|| (Class::Streams, "stdin".to_owned()));
        let net = &self.net;
        let connect = net
            .connect
            .iter()
            .map(|rule| (Class::Connect, rule.to_string()));
        let dns = net.dns.iter().map(|name| (Class::Dns, name.to_string()));
        let listen = net
            .listen
            .iter()
            .map(|port| (Class::Listen, port.to_string()));
        fs.chain(env)
            .chain(stdin)
            .chain(connect)
            .chain(dns)
            .chain(listen)
            .collect()
    }

    /// Returns what is asked for here and was not before.
    pub fn beyond(&self, before: &BTreeSet<(Class, String)>) -> Vec<(Class, String)> {
        self.items().difference(before).cloned().collect()
    }
}
