//! One file from the web, for ADD of a URL: with the same client, bounds and guards as registries.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use reqwest::{Method, StatusCode, Url};

use super::endpoint::{Ask, Endpoint};
use super::transport::{Scheme, Trust};
use super::{Cause, Client, answer, redact};

/// Bytes of one file: as much as a layer may have.
const MAX_BYTES: u64 = crate::layer::limits::MAX_LAYER_BYTES;

/// Why a file could not be fetched. The URL is for the caller to name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// It is no URL that can be fetched.
    #[error("it is not a URL: {problem}")]
    Url {
        /// What is wrong.
        problem: String,
    },
    /// The server has something else to say.
    #[error("the server answers {status}")]
    Status {
        /// Its status, with its words.
        status: String,
    },
    /// It is longer than we read.
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLarge,
    /// It cannot be written here.
    #[error("writing it")]
    Write(#[source] std::io::Error),
    /// The exchange failed.
    #[error(transparent)]
    Exchange(Box<Cause>),
}

impl From<Cause> for WebError {
    fn from(cause: Cause) -> Self {
        Self::Exchange(Box::new(cause))
    }
}

impl Client {
    /// Fetches a file, and returns how many bytes it has. Redirects are followed, but not into a network that the first server
    /// is not in itself, and not from HTTPS to HTTP.
    ///
    /// # Errors
    ///
    /// [`WebError`]. What had come by then is in the file.
    pub async fn download(&self, url: &str, to: &mut File) -> Result<u64, WebError> {
        let problem = |problem: &str| WebError::Url {
            problem: problem.to_owned(),
        };
        let mut url = Url::parse(url).map_err(|error| problem(&error.to_string()))?;
        url.set_fragment(None);
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(problem("only https and http are spoken")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(problem("a user and password in it would be in the history"));
        }
        let host = url.host_str().ok_or_else(|| problem("it names no host"))?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let trust = match self.verify_tls {
            true => Trust::Checked,
            false => Trust::Anyone,
        };
        let transport = Arc::clone(&self.transport);
        let stall = transport.stall;
        let endpoint = Endpoint::of_url(transport, &authority, scheme, trust)?;
        let mut response = endpoint.send(Ask::new(Method::GET, url)).await?;
        if response.status() != StatusCode::OK {
            return Err(WebError::Status {
                status: redact::foreign(&response.status().to_string()),
            });
        }
        if response.content_length().is_some_and(|len| len > MAX_BYTES) {
            return Err(WebError::TooLarge);
        }
        let mut written = 0u64;
        loop {
            let chunk = tokio::time::timeout(stall, response.chunk()).await;
            let chunk = chunk.map_err(|_| Cause::TimedOut {
                registry: authority.clone(),
                seconds: stall.as_secs(),
            })?;
            let Some(chunk) = chunk.map_err(|error| answer::broken(error, &authority))? else {
                break;
            };
            written = written.saturating_add(chunk.len() as u64);
            if written > MAX_BYTES {
                return Err(WebError::TooLarge);
            }
            to.write_all(&chunk).map_err(WebError::Write)?;
        }
        Ok(written)
    }
}
