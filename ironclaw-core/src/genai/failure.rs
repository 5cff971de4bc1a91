use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::llm::{LlmError, LlmErrorKind};

/// Why a call failed, with nothing in it that the service or the request said but a status and a code.
///
/// genai's own errors hold headers, bodies and requests, any of which can echo a key or a prompt: they are read here
/// and dropped.
#[derive(Debug)]
pub(super) struct Failure {
    kind: LlmErrorKind,
    context: String,
    retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(kind: LlmErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), retry_after: None }
    }

    pub(super) fn of(error: &::genai::Error) -> Self {
        use ::genai::Error;
        match error {
            Error::HttpError { status, body, headers, .. } => {
                let mut failure = Self::of_status(*status, serde_json::from_str(body).ok().as_ref());
                failure.retry_after = headers
                    .get(reqwest::header::RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.parse().ok())
                    .map(Duration::from_secs);
                failure
            }
            Error::WebStream { error, .. } => Self::of_transport(error.as_ref()),
            Error::ChatResponse { body, .. } => Self::of_event(body),
            Error::StreamParse { .. } | Error::SerdeJson(_) | Error::JsonValueExt(_) => {
                Self::new(LlmErrorKind::MalformedAnswer, "a piece of the answer is not what the protocol says")
            }
            Error::Resolver { .. } | Error::RequiresApiKey { .. } | Error::NoAuthData { .. } => {
                Self::new(LlmErrorKind::Unauthorised, "the provider needs a key")
            }
            error => match error.status() {
                Some(status) => Self::of_status(status, None),
                None => Self::new(LlmErrorKind::InvalidRequest, "the request can't be said in the provider's protocol"),
            },
        }
    }

    fn of_status(status: StatusCode, body: Option<&Value>) -> Self {
        let kind = match status.as_u16() {
            401..=403 => LlmErrorKind::Unauthorised,
            404 => LlmErrorKind::UnknownModel,
            429 => LlmErrorKind::RateLimited,
            300..=399 | 408 | 500..=599 => LlmErrorKind::Unreachable,
            _ => LlmErrorKind::InvalidRequest,
        };
        let mut context = format!("status {}", status.as_u16());
        if let Some(code) = body.and_then(code) {
            context = format!("{context} ({code})");
        }
        if status.is_redirection() {
            context.push_str(": redirects are not followed; set the endpoint to where the service is");
        } else if status == StatusCode::NOT_FOUND {
            context.push_str(": the endpoint or the model is not there");
        }
        Self::new(kind, context)
    }

    /// An error that the service sent in the middle of its answer.
    fn of_event(body: &Value) -> Self {
        let code = code(body);
        let kind = match code {
            Some("rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED") => LlmErrorKind::RateLimited,
            Some("authentication_error" | "permission_error" | "PERMISSION_DENIED" | "UNAUTHENTICATED") => {
                LlmErrorKind::Unauthorised
            }
            Some("invalid_request_error" | "INVALID_ARGUMENT") => LlmErrorKind::InvalidRequest,
            _ if body.get("error").is_none() && body.get("finishReason").is_some() => LlmErrorKind::MalformedAnswer,
            _ => LlmErrorKind::Unreachable,
        };
        match code {
            Some(code) => Self::new(kind, format!("the service broke off its answer ({code})")),
            None => Self::new(kind, "the service broke off its answer"),
        }
    }

    fn of_transport(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
        if let Some(error) = error.downcast_ref::<::genai::Error>() {
            return Self::of(error);
        }
        if error.is::<std::string::FromUtf8Error>() || error.is::<std::str::Utf8Error>() {
            return Self::new(LlmErrorKind::MalformedAnswer, "the answer is not UTF-8");
        }
        let context = match error.downcast_ref::<reqwest::Error>() {
            Some(error) if error.is_timeout() => "the service did not answer in time",
            Some(error) if error.is_connect() => "no connection to the endpoint",
            Some(error) if error.is_builder() => {
                return Self::new(LlmErrorKind::InvalidRequest, "the request could not be built");
            }
            Some(_) => "the connection broke",
            // genai's own timeouts have no public type.
            None => "the service did not answer in time",
        };
        Self::new(LlmErrorKind::Unreachable, context)
    }

    pub(super) fn is_retryable(&self) -> bool {
        matches!(self.kind, LlmErrorKind::RateLimited | LlmErrorKind::Unreachable)
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(super) fn into_error(self) -> LlmError {
        LlmError::new(self.kind, "stream", self.context)
    }
}

/// The service's code for an error, if it is one: letters and underscores, which no key consists of.
fn code(body: &Value) -> Option<&str> {
    ["/error/code", "/error/type", "/error/status", "/code", "/type"]
        .into_iter()
        .filter_map(|at| body.pointer(at)?.as_str())
        .find(|code| *code != "error" && is_code(code))
}

fn is_code(text: &str) -> bool {
    (3..=48).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_are_repeated() {
        let body = serde_json::json!({"error": {"code": "sk-live-0123", "type": "invalid_request_error"}});
        assert_eq!(code(&body), Some("invalid_request_error"));
        let failure = Failure::of_status(StatusCode::UNAUTHORIZED, Some(&body)).into_error();
        assert_eq!(failure.to_string(), "stream: not authorised: status 401 (invalid_request_error)");
    }
}
