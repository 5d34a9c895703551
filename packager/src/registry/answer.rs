//! What an answer means, and what no answer means.

use std::error::Error;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::body;
use super::error::Cause;
use super::redact;
use super::transport::LookupError;

/// Sorts an answer that is no success.
pub(super) async fn refused(answer: Response, registry: &str, sent: bool) -> Cause {
    let status = answer.status();
    let wait = retry_after(answer.headers());
    let detail = told(&body::beginning(answer).await);
    of_status(status, detail, wait, registry, sent)
}

/// Sorts a failure to get an answer.
pub(super) fn failed(error: reqwest::Error, registry: &str) -> Cause {
    if let Some(lookup) = found::<LookupError>(&error) {
        let host = error
            .url()
            .and_then(|url| url.host_str())
            .unwrap_or(registry);
        let host = redact::foreign(host);
        return match lookup {
            LookupError::Guarded(_) => Cause::Misled {
                registry: registry.to_owned(),
                target: host,
                problem: lookup.to_string(),
            },
            lookup => Cause::Lookup {
                host,
                problem: lookup.to_string(),
            },
        };
    }
    let registry = registry.to_owned();
    // The URL may be a signed one.
    let error = error.without_url();
    let detail = redact::chain(&error);
    if error.is_connect() && detail.contains("certificate") {
        Cause::Certificate { registry, detail }
    } else if error.is_connect() {
        Cause::Connect { registry, detail }
    } else if error.is_builder() {
        Cause::Protocol { registry, detail }
    } else {
        Cause::Broken { registry, detail }
    }
}

/// Sorts a failure while a body was read.
pub(super) fn broken(error: reqwest::Error, registry: &str) -> Cause {
    Cause::Broken {
        registry: registry.to_owned(),
        detail: redact::chain(&error.without_url()),
    }
}

fn of_status(
    status: StatusCode,
    detail: String,
    wait: Option<Duration>,
    registry: &str,
    sent: bool,
) -> Cause {
    let registry = registry.to_owned();
    match status.as_u16() {
        401 => Cause::Unauthorized {
            registry,
            sent,
            detail,
        },
        403 => Cause::Denied { registry, detail },
        404 => Cause::NotFound,
        429 => Cause::TooManyRequests {
            registry,
            detail,
            wait,
        },
        status => Cause::Status {
            registry,
            status,
            detail,
            wait,
        },
    }
}

/// Returns how long the registry wants to be left alone: in seconds, or until a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Returns what a registry's error body tells: the first message in its JSON, or the text itself.
fn told(body: &[u8]) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| {
            let text = |pointer: &str| {
                let text = value.pointer(pointer)?.as_str()?;
                (!text.is_empty()).then(|| text.to_owned())
            };
            // The last are those of token servers (RFC 6749 §5.2) and of proxies.
            [
                "/errors/0/message",
                "/errors/0/code",
                "/error_description",
                "/details",
                "/message",
                "/error",
            ]
            .into_iter()
            .find_map(text)
        });
    if let Some(message) = message {
        return redact::foreign(&message);
    }
    if body.trim_ascii_start().starts_with(b"<") {
        return "a web page (HTML)".to_owned();
    }
    redact::foreign(&String::from_utf8_lossy(body))
}

/// Returns the first cause of this type.
fn found<T: Error + Clone + 'static>(error: &(dyn Error + 'static)) -> Option<T> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<T>() {
            return Some(found.clone());
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_sorted() {
        for (status, temporary, word) in [
            (400, false, "status 400"),
            (401, false, "refused the user or password"),
            (403, false, "denied"),
            (404, false, "not found"),
            (429, true, "limits requests"),
            (500, true, "status 500"),
            (503, true, "status 503"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let cause = of_status(status, "why".to_owned(), None, "r.example", true);
            assert_eq!(cause.is_temporary(), temporary, "{status}");
            assert!(cause.to_string().contains(word), "{cause}");
        }
    }

    #[test]
    fn error_bodies_tell_their_message() {
        for (body, want) in [
            (
                r#"{"errors":[{"code":"DENIED","message":"no \u001b[31m such right"}]}"#,
                "no [31m such right",
            ),
            (r#"{"errors":[{"code":"DENIED","message":""}]}"#, "DENIED"),
            (
                r#"{"details":"incorrect username or password"}"#,
                "incorrect username or password",
            ),
            (
                r#"{"error":"invalid_grant","error_description":"too old"}"#,
                "too old",
            ),
            ("<html>\n<p>", "a web page (HTML)"),
            ("see https://u:p@h/?sig=secret", "see https://h/…"),
            (r#"{"errors":[]}"#, r#"{"errors":[]}"#),
            ("", ""),
        ] {
            assert_eq!(told(body.as_bytes()), want);
        }
    }

    #[test]
    fn waiting_times_are_seconds_or_dates() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            retry_after(&headers)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
        assert!(wait(&later).is_some_and(|wait| wait > Duration::from_secs(3000)));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
    }
}
