//! What an answer of `oci-client` means.

use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};

use super::error::Cause;
use super::redact;

impl Cause {
    /// Sorts an error of the registry client. `sent`: was a credential sent?
    pub(super) fn of(error: OciDistributionError, registry: &str, sent: bool) -> Self {
        let registry = registry.to_owned();
        match error {
            OciDistributionError::RequestError(error) => {
                // The URL may be a signed one.
                let error = error.without_url();
                let detail = redact::chain(&error);
                match error.status() {
                    Some(status) => Self::of_status(status.as_u16(), "", registry, sent),
                    None if error.is_connect() && detail.contains("certificate") => {
                        Self::Certificate { registry, detail }
                    }
                    None if error.is_connect() => Self::Connect { registry, detail },
                    None if error.is_builder() => Self::Protocol { registry, detail },
                    None if error.is_redirect() => Self::Protocol { registry, detail },
                    None => Self::Broken { registry, detail },
                }
            }
            OciDistributionError::ServerError { code, message, .. } => {
                Self::of_status(code, &message, registry, sent)
            }
            OciDistributionError::UnauthorizedError { .. } => {
                Self::of_status(401, "", registry, sent)
            }
            OciDistributionError::AuthenticationFailure(message) => Self::Unauthorized {
                registry,
                sent,
                detail: told(&message),
            },
            OciDistributionError::RegistryError { envelope, .. } => {
                let first = envelope.errors.into_iter().next();
                let Some(first) = first else {
                    return Self::Protocol {
                        registry,
                        detail: "an empty list of errors".to_owned(),
                    };
                };
                let detail = redact::foreign(&first.message);
                match first.code {
                    OciErrorCode::Unauthorized => Self::Unauthorized {
                        registry,
                        sent,
                        detail,
                    },
                    OciErrorCode::Denied => Self::Denied { registry, detail },
                    OciErrorCode::Toomanyrequests => Self::TooManyRequests { registry, detail },
                    OciErrorCode::BlobUnknown
                    | OciErrorCode::ManifestUnknown
                    | OciErrorCode::NameUnknown
                    | OciErrorCode::NotFound => Self::NotFound,
                    code => Self::Protocol {
                        registry,
                        detail: redact::foreign(&format!("{code:?}: {detail}")),
                    },
                }
            }
            OciDistributionError::DigestError(DigestError::VerificationError {
                expected,
                actual,
            }) => Self::WrongDigest {
                got: redact::foreign(&actual),
                want: redact::foreign(&expected),
            },
            error => Self::Protocol {
                registry,
                detail: redact::chain(&error),
            },
        }
    }

    /// Sorts an error of a body that was being read.
    pub(super) fn of_body(error: &std::io::Error, registry: &str) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<DigestError>())
        {
            Some(DigestError::VerificationError { expected, actual }) => Self::WrongDigest {
                got: redact::foreign(actual),
                want: redact::foreign(expected),
            },
            Some(error) => Self::Protocol {
                registry: registry.to_owned(),
                detail: redact::chain(error),
            },
            None => Self::Broken {
                registry: registry.to_owned(),
                detail: redact::chain(error),
            },
        }
    }

    fn of_status(status: u16, message: &str, registry: String, sent: bool) -> Self {
        let detail = told(message);
        match status {
            401 => Self::Unauthorized {
                registry,
                sent,
                detail,
            },
            403 => Self::Denied { registry, detail },
            404 => Self::NotFound,
            429 => Self::TooManyRequests { registry, detail },
            _ => Self::Status {
                registry,
                status,
                detail,
            },
        }
    }
}

/// Returns what a registry's error body tells: the first message in its JSON, or the text itself.
fn told(body: &str) -> String {
    let message = serde_json::from_str::<serde_json::Value>(body)
        .ok()
        .and_then(|value| {
            let first = value.pointer("/errors/0")?;
            let text = |field: &str| first.get(field).and_then(serde_json::Value::as_str);
            text("message")
                .filter(|message| !message.is_empty())
                .or_else(|| text("code"))
                .map(str::to_owned)
        });
    redact::foreign(message.as_deref().unwrap_or(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16, message: &str) -> Cause {
        let error = OciDistributionError::ServerError {
            code,
            url: "https://u:hunter2@r.example/v2/x?sig=hunter2".to_owned(),
            message: message.to_owned(),
        };
        Cause::of(error, "r.example", true)
    }

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
            let cause = of(status, "why");
            assert_eq!(cause.is_temporary(), temporary, "{status}");
            assert!(cause.to_string().contains(word), "{cause}");
            assert!(!format!("{cause:?}").contains("hunter2"), "{cause:?}");
        }
    }

    #[test]
    fn error_bodies_tell_their_message() {
        let json = r#"{"errors":[{"code":"DENIED","message":"no \u001b[31m such right"}]}"#;
        assert_eq!(
            of(403, json).to_string(),
            "registry \"r.example\" denied it: no [31m such right"
        );
        assert_eq!(told(r#"{"errors":[{"code":"DENIED"}]}"#), "DENIED");
        assert_eq!(told("<html>\n<p>"), "<html> <p>");
        assert_eq!(told(r#"{"errors":[]}"#), r#"{"errors":[]}"#);
    }
}
