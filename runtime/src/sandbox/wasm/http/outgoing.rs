//! Requests of a guest to others: checked like any connection, and sent to exactly the address that was checked.
//!
//! Where a request goes is decided for each one by itself, so a redirect, which a guest follows with a request of its own,
//! leads nowhere that was not granted. Nothing of the host's environment has a part in it: no proxy, no credentials.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{Request, Response, Uri, uri};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use crate::policy::net::Scheme;
use crate::sandbox::wasm::net::{Network, ResolveError};

/// How long a connection may take to be made, TLS included, where the guest says nothing.
const CONNECT: Duration = Duration::from_secs(60);
/// How long an answer may keep us waiting, where the guest says nothing: as wasmtime has it.
const ANSWER: Duration = Duration::from_secs(600);
/// Largest head of an answer, in bytes.
const LARGEST_HEAD: usize = 256 << 10;

/// What comes of a request: the answer, and the connection that brings its body.
pub(in super::super) type Answer = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

/// Sends a request, if the guest may.
pub(in super::super) async fn send(
    network: Arc<Network>,
    mut request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<Answer, Error> {
    let options = options.unwrap_or_default();
    let target = Target::of(request.uri())?;
    let place = network.request().ok_or(Error::ConnectionLimitReached)?;
    let addresses = target.addresses(&network).await?;
    let connecting = connect(&network, &target, addresses);
    let connecting = timeout(options.connect_timeout.unwrap_or(CONNECT), connecting);
    let stream = connecting.await.map_err(|_| Error::ConnectionTimeout)??;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        .handshake(TokioIo::new(stream))
        .await?;
    let connection: AbortOnDropJoinHandle<_> = spawn(connection);
    // Host and scheme are for proxies only.
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    *request.uri_mut() = Uri::builder()
        .path_and_query(path)
        .build()
        .map_err(|_| Error::HttpRequestUriInvalid)?;
    let answering = timeout(
        options.first_byte_timeout.unwrap_or(ANSWER),
        sender.send_request(request),
    );
    let response = answering
        .await
        .map_err(|_| Error::ConnectionReadTimeout)??;
    let patience = options.between_bytes_timeout.unwrap_or(ANSWER);
    let response = response.map(|incoming| {
        WasiBody::new(Received {
            incoming,
            patience,
            late: None,
        })
    });
    let connection = async move {
        let ended = connection.await;
        drop(place);
        ended.map_err(Error::from)
    };
    Ok((response, Box::new(connection)))
}

/// Where a request goes.
struct Target {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, Error> {
        let (scheme, port) = match uri.scheme() {
            Some(scheme) if *scheme == uri::Scheme::HTTP => (Scheme::Http, 80),
            Some(scheme) if *scheme == uri::Scheme::HTTPS => (Scheme::Https, 443),
            _ => return Err(Error::HttpProtocolError),
        };
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        // What stands before an `@` looks like a host to people and is none.
        if authority.as_str().contains('@') {
            return Err(Error::HttpRequestUriInvalid);
        }
        Ok(Self {
            scheme,
            host: host(authority).to_owned(),
            port: authority.port_u16().unwrap_or(port),
        })
    }

    /// Returns the addresses that the guest may connect to for it.
    async fn addresses(&self, network: &Network) -> Result<Vec<SocketAddr>, Error> {
        let ips = match self.host.parse::<IpAddr>() {
            Ok(ip) => vec![ip],
            Err(_) => network
                .resolve_for(self.scheme, &self.host, self.port)
                .await
                .map_err(|error| match error {
                    ResolveError::Refused => Error::HttpRequestDenied,
                    ResolveError::Invalid => Error::HttpRequestUriInvalid,
                    ResolveError::NotFound => Error::DnsError {
                        rcode: Some("NXDOMAIN".to_owned()),
                        info_code: None,
                    },
                    ResolveError::Temporary => Error::DnsTimeout,
                })?,
        };
        Ok(ips
            .into_iter()
            .map(|ip| SocketAddr::new(ip, self.port))
            .collect())
    }
}

/// The host of an authority, IPv6 without brackets.
fn host(authority: &Authority) -> &str {
    let host = authority.host();
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to the first of the addresses that is allowed and answers.
async fn connect(
    network: &Network,
    target: &Target,
    addresses: Vec<SocketAddr>,
) -> Result<Box<dyn Stream>, Error> {
    let mut failed = Error::DestinationIpProhibited;
    for address in addresses {
        if !network.may_connect(target.scheme, address) {
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return secure(network, target, stream).await,
            Err(error) => failed = Error::Connect(error),
        }
    }
    Err(failed)
}

async fn secure(
    network: &Network,
    target: &Target,
    stream: TcpStream,
) -> Result<Box<dyn Stream>, Error> {
    // A request is written in one go; waiting for more only costs time.
    drop(stream.set_nodelay(true));
    if target.scheme != Scheme::Https {
        return Ok(Box::new(stream));
    }
    let config = network.tls().ok_or(Error::ConfigurationError)?;
    let name =
        ServerName::try_from(target.host.clone()).map_err(|_| Error::HttpRequestUriInvalid)?;
    let connector = TlsConnector::from(config);
    let stream = connector.connect(name, stream).await.map_err(Error::Tls)?;
    Ok(Box::new(stream))
}

/// Trusts whom the system trusts. Reads its certificates, so it is made before the second wall.
pub(in super::super) fn tls() -> Option<Arc<ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "reading the system's certificates");
    }
    // What one of them is wrong with does not make the others wrong.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, "trusted certificates");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .inspect_err(|error| tracing::debug!(%error, "setting up TLS"))
        .ok()?;
    Some(Arc::new(
        config.with_root_certificates(roots).with_no_client_auth(),
    ))
}

/// The body of an answer, whose parts may not be too long in coming.
struct Received {
    incoming: Incoming,
    patience: Duration,
    /// Runs while the guest waits: the time that it computes between two reads is not the server's.
    late: Option<Pin<Box<Sleep>>>,
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            self.late = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        let patience = self.patience.min(ANSWER);
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(late.as_mut().poll(context));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requests_target_is_its_authority() {
        let target = |uri: &str| {
            Target::of(&uri.parse().expect(uri))
                .ok()
                .map(|target| (target.scheme, target.host, target.port))
        };
        let want = |scheme, host: &str, port| Some((scheme, host.to_owned(), port));
        assert_eq!(
            target("http://a.example/x"),
            want(Scheme::Http, "a.example", 80)
        );
        assert_eq!(
            target("https://a.example"),
            want(Scheme::Https, "a.example", 443)
        );
        assert_eq!(target("http://[::1]:81/"), want(Scheme::Http, "::1", 81));
        assert_eq!(target("http://good.example@10.0.0.1/"), None);
        assert_eq!(target("ftp://a.example/"), None);
        assert_eq!(target("/x"), None);
    }
}
