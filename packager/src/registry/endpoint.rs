//! One server that speaks for a registry, and those that it leads to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Body, Method, Response, StatusCode, Url};
use tokio::sync::OnceCell;

use super::error::Cause;
use super::transport::{
    HostCertificates, LookupError, Peer, Reach, Scheme, Transport, Trust, is_loopback,
};
use super::{answer, redact};

/// Time until the head of an answer to a small request comes.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Redirects that one request follows. Registries need one, to their storage.
const REDIRECTS: usize = 5;
/// Other servers whose clients are kept.
const OTHERS: usize = 16;

/// A request that can be made again.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    /// Is a credential in the body, which no other server may get?
    pub(super) is_secret: bool,
}

impl Ask {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            is_secret: false,
        }
    }

    pub(super) fn with(mut self, name: reqwest::header::HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

/// One server, found by HTTPS or, where that is allowed, by HTTP.
pub(super) struct Endpoint {
    transport: Arc<Transport>,
    /// The registry as references name it, for messages.
    registry: String,
    /// Host and port that are spoken to.
    authority: String,
    trust: Trust,
    certificates: HostCertificates,
    link: OnceCell<Link>,
    reach: OnceCell<Reach>,
    /// Clients for the servers that this one led to, by scheme and authority.
    others: Mutex<BTreeMap<String, reqwest::Client>>,
}

struct Link {
    scheme: Scheme,
    client: reqwest::Client,
}

impl Endpoint {
    /// Prepares to speak to a server. Nothing is sent yet.
    pub(super) fn new(
        transport: Arc<Transport>,
        registry: &str,
        authority: &str,
        trust: Trust,
    ) -> Result<Self, Cause> {
        Ok(Self {
            certificates: transport.certificates(authority)?,
            transport,
            registry: registry.to_owned(),
            authority: authority.to_owned(),
            trust,
            link: OnceCell::new(),
            reach: OnceCell::new(),
            others: Mutex::new(BTreeMap::new()),
        })
    }

    /// Prepares to speak to the server of a URL, the way that it says.
    pub(super) fn of_url(
        transport: Arc<Transport>,
        authority: &str,
        scheme: Scheme,
        trust: Trust,
    ) -> Result<Self, Cause> {
        let mut endpoint = Self::new(transport, authority, authority, trust)?;
        let client = endpoint.own_client(scheme, false)?;
        endpoint.link = OnceCell::new_with(Some(Link { scheme, client }));
        Ok(endpoint)
    }

    pub(super) fn registry(&self) -> &str {
        &self.registry
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the URL of something in the API: what comes after `/v2/`.
    pub(super) async fn url(&self, rest: &str) -> Result<Url, Cause> {
        let scheme = self.link().await?.scheme.prefix();
        Url::parse(&format!("{scheme}://{}/v2/{rest}", self.authority))
            .map_err(|error| self.protocol(error.to_string()))
    }

    /// Does this URL lead to the server itself, the way it is spoken to?
    pub(super) fn is_own(&self, url: &Url) -> bool {
        let Some(link) = self.link.get() else {
            return false;
        };
        Url::parse(&format!("{}://{}/", link.scheme.prefix(), self.authority))
            .is_ok_and(|own| own.origin() == url.origin())
    }

    /// Makes a request, and follows where it leads. Every status but a redirect is an answer.
    pub(super) async fn send(&self, ask: Ask) -> Result<Response, Cause> {
        let Ask {
            mut method,
            mut url,
            mut headers,
            mut body,
            is_secret,
        } = ask;
        for _ in 0..=REDIRECTS {
            let client = self.client_for(&url).await?;
            let mut request = client
                .request(method.clone(), url.clone())
                .headers(headers.clone());
            if let Some(body) = &body {
                request = request.body(body.clone());
            }
            let answer = self.in_time(request.send()).await?;
            let Some(next) = self.redirect(&answer)? else {
                return Ok(answer);
            };
            if answer.status() == StatusCode::SEE_OTHER && method != Method::HEAD {
                (method, body) = (Method::GET, None);
            }
            super::body::drain(answer).await;
            if next.origin() != url.origin() {
                if is_secret && body.is_some() {
                    return Err(self.misled(&next, "a credential would go to another server"));
                }
                headers.remove(AUTHORIZATION);
            }
            url = next;
        }
        Err(self.protocol(format!("it redirects more than {REDIRECTS} times")))
    }

    /// Sends a body that comes piece by piece. It cannot follow a redirect, and the caller watches the time.
    pub(super) async fn stream(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response, Cause> {
        let client = self.client_for(&url).await?;
        let request = client.request(method, url).headers(headers).body(body);
        let answer = request
            .send()
            .await
            .map_err(|error| answer::failed(error, &self.registry))?;
        match self.redirect(&answer)? {
            None => Ok(answer),
            Some(_) => Err(self.protocol("it redirects an upload".to_owned())),
        }
    }

    /// Returns where `Location` leads, relative to the URL that was asked.
    pub(super) fn location(&self, answer: &Response) -> Result<Option<Url>, Cause> {
        let Some(location) = answer.headers().get(LOCATION) else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(location.as_bytes());
        let mut url = answer.url().join(&text).map_err(|_| {
            self.protocol(format!(
                "its Location {:?} is no URL",
                redact::foreign(&text)
            ))
        })?;
        // A registry behind a proxy that does the TLS for it may not know that it is spoken to by HTTPS.
        let own = answer.url();
        if url.scheme() == "http"
            && own.scheme() == "https"
            && url.host() == own.host()
            && url.port().is_none()
        {
            let _changed = url.set_scheme("https");
            let _changed = url.set_port(own.port());
        }
        url.set_fragment(None);
        Ok(Some(url))
    }

    fn redirect(&self, answer: &Response) -> Result<Option<Url>, Cause> {
        if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        match self.location(answer)? {
            Some(url) => Ok(Some(url)),
            None => Err(self.protocol("it redirects to nowhere".to_owned())),
        }
    }

    async fn in_time(
        &self,
        request: impl Future<Output = reqwest::Result<Response>>,
    ) -> Result<Response, Cause> {
        match tokio::time::timeout(ANSWER_LIMIT, request).await {
            Ok(answer) => answer.map_err(|error| answer::failed(error, &self.registry)),
            Err(_) => Err(Cause::TimedOut {
                registry: self.registry.clone(),
                seconds: ANSWER_LIMIT.as_secs(),
            }),
        }
    }

    /// Finds out how the server is to be spoken to.
    async fn link(&self) -> Result<&Link, Cause> {
        self.link.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Link, Cause> {
        if Transport::may_be_plain(&self.authority, self.trust) {
            let probe = self.own_client(Scheme::Https, true)?;
            let url = format!("https://{}/v2/", self.authority);
            match self.in_time(probe.get(url).send()).await {
                Ok(_) => {}
                // A certificate that is refused is another cause, and no reason to go on without one.
                Err(Cause::Connect { detail, .. }) => {
                    tracing::debug!(registry = self.registry, detail, "no HTTPS, trying HTTP");
                    let client = self.own_client(Scheme::Http, false)?;
                    return Ok(Link {
                        scheme: Scheme::Http,
                        client,
                    });
                }
                Err(cause) => return Err(cause),
            }
        }
        Ok(Link {
            scheme: Scheme::Https,
            client: self.own_client(Scheme::Https, false)?,
        })
    }

    fn own_client(&self, scheme: Scheme, is_probe: bool) -> Result<reqwest::Client, Cause> {
        self.transport.client(&Peer {
            authority: &self.authority,
            scheme,
            trust: self.trust,
            certificates: &self.certificates,
            led_from: None,
            is_probe,
        })
    }

    /// Returns the client for a URL, if this server may send us there.
    async fn client_for(&self, url: &Url) -> Result<reqwest::Client, Cause> {
        let link = self.link().await?;
        if self.is_own(url) {
            return Ok(link.client.clone());
        }
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(self.misled(url, "only HTTPS and HTTP are spoken")),
        };
        let Some(host) = url.host_str() else {
            return Err(self.misled(url, "it names no host"));
        };
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        // Between servers on this machine nobody can listen. Elsewhere what was secret with TLS stays so.
        let local = link.scheme == Scheme::Http && is_loopback(&authority);
        if scheme == Scheme::Http && self.trust == Trust::Checked && !local {
            return Err(self.misled(url, "it is not encrypted, as the registry is or should be"));
        }
        let from = *self.reach.get_or_init(|| self.find_reach()).await;
        // Names are looked at when they have been looked up, by the client.
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse::<IpAddr>()
            && !from.may_lead_to(Reach::of(address))
        {
            return Err(self.misled(
                url,
                "it is inside a network that this registry must not lead to",
            ));
        }
        let key = format!("{}://{authority}", scheme.prefix());
        if let Some(client) = self.others().get(&key) {
            return Ok(client.clone());
        }
        // A proxy looks names up by itself: what this machine knows to be inside is not asked of it. What only the proxy knows,
        // only the proxy can refuse.
        if self.transport.has_proxy() {
            let guarded = self.transport.resolver.led_from(from);
            if let Err(error @ LookupError::Guarded(_)) = guarded.addresses(host).await {
                return Err(self.misled(url, &error.to_string()));
            }
        }
        let mut certificates = self.transport.certificates(&authority)?;
        certificates
            .roots
            .extend(self.certificates.roots.iter().cloned());
        let client = self.transport.client(&Peer {
            authority: &authority,
            scheme,
            trust: self.trust,
            certificates: &certificates,
            led_from: Some(from),
            is_probe: false,
        })?;
        let mut others = self.others();
        if others.len() >= OTHERS {
            others.clear();
        }
        others.insert(key, client.clone());
        Ok(client)
    }

    /// Returns the network that the registry is in; the internet if that is not known, which is the strictest.
    async fn find_reach(&self) -> Reach {
        let host = super::transport::host_of(&self.authority);
        match self.transport.resolver.addresses(host).await {
            Ok(addresses) => Reach::of_all(&addresses),
            Err(_) => Reach::Public,
        }
    }

    fn others(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, reqwest::Client>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn misled(&self, url: &Url, problem: &str) -> Cause {
        Cause::Misled {
            registry: self.registry.clone(),
            target: redact::foreign(url.as_str()),
            problem: problem.to_owned(),
        }
    }

    fn protocol(&self, detail: String) -> Cause {
        Cause::Protocol {
            registry: self.registry.clone(),
            detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::transport::Proxies;
    use super::*;

    #[tokio::test]
    async fn a_proxy_is_not_sent_inwards_by_a_name() {
        // Another test of the process may have done it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let proxies = Proxies {
            https: Some("http://127.0.0.1:1".to_owned()),
            ..Proxies::default()
        };
        let url = Url::parse("https://localhost/blob").expect("a URL");
        for (proxies, refused) in [(proxies, true), (Proxies::default(), false)] {
            let transport = Transport::new("test".to_owned(), Vec::new(), proxies, Vec::new());
            // On the internet; it is not spoken to.
            let endpoint = Endpoint::new(Arc::new(transport), "1.1.1.1", "1.1.1.1", Trust::Checked)
                .expect("no certificates are needed");
            // Without a proxy the client looks at the address itself, when it has looked up the name.
            let client = endpoint.client_for(&url).await.map(drop);
            assert_eq!(
                matches!(client, Err(Cause::Misled { .. })),
                refused,
                "{client:?}"
            );
        }
    }
}
