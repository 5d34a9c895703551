//! Asking a service whether it is well.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::TokioIo;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// Nobody answers there.
    #[error("connecting")]
    Connect(#[from] std::io::Error),
    /// The path is none.
    #[error("making a request of the path")]
    Path(#[from] http::Error),
    /// What came is no answer.
    #[error("{0}")]
    Answer(#[from] hyper::Error),
}

/// Asks for a path over HTTP/1.1, and returns the status. The answer's body is not read. Needs a running event loop.
///
/// # Errors
///
/// If there is no answer.
pub async fn http(address: SocketAddr, path: &str) -> Result<u16, ProbeError> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header("host", address.to_string())
        .header("user-agent", "coracle-health")
        .body(Empty::<Bytes>::new())?;
    tokio::select! {
        ended = connection => {
            ended?;
            Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())
        }
        answer = sender.send_request(request) => Ok(answer?.status().as_u16()),
    }
}
