//! Bodies of answers, read no further than they may be long.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;

use super::answer;
use super::error::Cause;

/// Time for a body of bounded size.
const READ_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of a token server's answer: tokens for many scopes have some 10 KiB.
pub(super) const TOKEN_LIMIT: usize = 64 << 10;
/// Bytes of the body of an error that are read. Some servers send a whole page.
const ERROR_LIMIT: usize = 64 << 10;

/// Reads a body, and gives up as soon as it is too long.
pub(super) async fn read(
    mut answer: Response,
    limit: usize,
    what: &'static str,
    registry: &str,
) -> Result<Bytes, Cause> {
    let too_large = |got: u64| Cause::TooLarge {
        what,
        got,
        limit: limit as u64,
    };
    if let Some(length) = answer.content_length()
        && length > limit as u64
    {
        return Err(too_large(length));
    }
    let whole = async {
        let mut bytes = BytesMut::new();
        while let Some(piece) = answer
            .chunk()
            .await
            .map_err(|error| answer::broken(error, registry))?
        {
            bytes.extend_from_slice(&piece);
            if bytes.len() > limit {
                return Err(too_large(bytes.len() as u64));
            }
        }
        Ok(bytes.freeze())
    };
    match tokio::time::timeout(READ_LIMIT, whole).await {
        Ok(result) => result,
        Err(_) => Err(Cause::TimedOut {
            registry: registry.to_owned(),
            seconds: READ_LIMIT.as_secs(),
        }),
    }
}

/// Reads the beginning of an error's body, whatever comes after it.
pub(super) async fn beginning(mut answer: Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    let some = async {
        while bytes.len() < ERROR_LIMIT {
            match answer.chunk().await {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                Ok(None) | Err(_) => break,
            }
        }
    };
    // What has come by then has to do.
    let _in_time = tokio::time::timeout(READ_LIMIT, some).await;
    bytes.truncate(ERROR_LIMIT);
    bytes
}

/// Reads a small body to its end, so that the connection can be used again.
pub(super) async fn drain(answer: Response) {
    if answer
        .content_length()
        .is_some_and(|length| length <= ERROR_LIMIT as u64)
    {
        let _body = beginning(answer).await;
    }
}
