//! Why a call failed, in the service's own words.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use self::reason::Reason;
pub(super) use self::reason::is_something;
use super::retry_after::LONGEST;
use super::scrub::scrub;
use crate::llm::{LlmError, LlmErrorKind};
use crate::secret::SecretValue;

mod kind;
mod reason;

/// Why a call failed. Its context can still hold keys: only [`Failure::into_error`] lets it out.
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

    /// An answer with a status of failure, and as much of its body as was read.
    pub(super) fn of_status(status: StatusCode, body: &str, retry_after: Option<Duration>) -> Self {
        let body = body.trim_start_matches('\u{FEFF}').trim();
        let framed = || {
            let mut at = 0;
            let rest = body.split_inclusive('\n').find_map(|line| {
                at += line.len();
                let value = line.strip_prefix("data:").or_else(|| line.strip_prefix("error:"))?;
                Some(&body[at - value.len()..])
            })?;
            // It may go on over several lines, and something may follow it.
            serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok()
        };
        let reason = match serde_json::from_str::<Value>(body).ok().or_else(framed) {
            Some(body) => Reason::of(&body),
            None if body.is_empty() || body.starts_with('<') => Reason::default(),
            None => Reason::in_words(body),
        };
        let retry_after = retry_after.or(reason.retry_after);
        let status = status.as_u16();
        let kind = reason.kind(Some(status), retry_after.is_some());
        let about = if (300..400).contains(&status) {
            format!("status {status}: the endpoint redirects, which is not followed; give the address that it leads to")
        } else {
            format!("status {status}")
        };
        Self { context: reason.told(about, &kind), kind, retry_after }
    }

    /// An error that the service sent in place of its answer, or in the middle of it if the answer had begun.
    pub(super) fn of_service(error: &Value, begun: bool) -> Self {
        let reason = Reason::of(error);
        let kind = reason.kind(reason.status, reason.retry_after.is_some());
        let context = reason.told(ended_by(begun).to_owned(), &kind);
        Self { kind, context, retry_after: reason.retry_after }
    }

    pub(super) fn of_transport(error: &reqwest::Error) -> Self {
        if error.is_builder() {
            return Self::new(LlmErrorKind::InvalidRequest, "the request could not be built");
        }
        let context = match () {
            () if error.is_timeout() => "the service did not answer in time",
            () if error.is_connect() => return Self::new(LlmErrorKind::Unreachable, unconnected(error)),
            () if error.is_body() || error.is_decode() => return Self::broken_off(),
            () => "the connection broke",
        };
        Self::new(LlmErrorKind::Unreachable, context)
    }

    pub(super) fn timed_out() -> Self {
        Self::new(LlmErrorKind::Unreachable, "the service did not answer in time")
    }

    /// Neither a reason for its end nor a last marker came.
    pub(super) fn broken_off() -> Self {
        Self::new(LlmErrorKind::Unreachable, "the answer broke off before its end")
    }

    /// A body without a byte.
    pub(super) fn blank(status: StatusCode) -> Self {
        let context = format!("the answer broke off before it began: status {} with nothing in it", status.as_u16());
        Self::new(LlmErrorKind::Unreachable, context)
    }

    /// A piece that is not what the protocol says.
    pub(super) fn malformed(what: &str, piece: &str) -> Self {
        Self::new(LlmErrorKind::MalformedAnswer, format!("{what}: {}", beginning(piece)))
    }

    pub(super) fn is_retryable(&self) -> bool {
        matches!(self.kind, LlmErrorKind::RateLimited | LlmErrorKind::Unreachable)
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    #[cfg(test)]
    pub(super) fn context(&self) -> &str {
        &self.context
    }

    /// The error, scrubbed of keys.
    pub(super) fn into_error(self, key: Option<&SecretValue>) -> LlmError {
        let mut context = scrub(&self.context, key);
        match self.retry_after {
            Some(after) => {
                context.push_str("; the service said to come back in ");
                context.push_str(&match after >= LONGEST {
                    true => "longer than a year".to_owned(),
                    false => format!("{:.1} s", after.as_secs_f64()),
                });
                LlmError::new(self.kind, "stream", context).with_retry_after(after)
            }
            None => LlmError::new(self.kind, "stream", context),
        }
    }
}

/// How a call ended that the service reports an error of.
pub(super) fn ended_by(begun: bool) -> &'static str {
    if begun { "the service broke off its answer" } else { "the service reported an error" }
}

/// Why there is no connection, as far as the error's causes tell.
fn unconnected(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let mut why = "";
    for cause in causes {
        // The one mark of a name's look-up that the connector's error has.
        if cause.to_string().starts_with("dns error") {
            return "no connection to the endpoint: its name could not be resolved".to_owned();
        }
        let Some(io) = cause.downcast_ref::<io::Error>() else { continue };
        // The TLS connector wraps an error of this kind in another, which leaves it out of its sources.
        let io = io.get_ref().and_then(|inner| inner.downcast_ref()).unwrap_or(io);
        why = match io.kind() {
            io::ErrorKind::ConnectionRefused => ": it was refused; nothing listens there",
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => ": it was reset",
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ": the network does not lead there",
            // So the TLS layer wraps its errors, which name certificates and no keys.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                return format!("no connection to the endpoint: TLS failed ({})", beginning(&io.to_string()));
            }
            _ => why,
        };
    }
    format!("no connection to the endpoint{why}")
}

/// As much of a text as helps to see what it is.
pub(super) fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(200)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind(status: u16, body: Value) -> LlmErrorKind {
        Failure::of_status(StatusCode::from_u16(status).unwrap(), &body.to_string(), None).kind
    }

    fn message(text: &str) -> Value {
        json!({"error": {"message": text, "type": "invalid_request_error"}})
    }

    #[test]
    fn known_reasons_are_told_apart() {
        use LlmErrorKind::*;
        for (status, text, expected) in [
            (400, "registry.ollama.ai/library/gemma:2b does not support tools", ToolsUnsupported),
            (
                400,
                "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set",
                ToolsUnsupported,
            ),
            (404, "No endpoints found that support tool use. Try disabling \"x\".", ToolsUnsupported),
            (500, "tools param requires --jinja flag", ToolsUnsupported),
            (400, "This model's maximum context length is 8192 tokens.", ContextTooLong),
            (400, "prompt is too long: 210000 tokens > 200000 maximum", ContextTooLong),
            (400, "request (9000 tokens) exceeds the available context size (8192 tokens)", ContextTooLong),
            (400, "The input token count (1200000) exceeds the maximum number of tokens allowed", ContextTooLong),
            (413, "Payload Too Large", ContextTooLong),
            (400, "Your credit balance is too low to access the Anthropic API.", NoCredit),
            (402, "Insufficient Balance", NoCredit),
            (429, "You exceeded your current quota, please check your plan and billing details.", NoCredit),
            (429, "Rate limit reached for requests", RateLimited),
            (404, "The model `x` does not exist.", UnknownModel),
            (400, "x/y is not a valid model ID", UnknownModel),
            (404, "model 'x' not found, try pulling it first", UnknownModel),
            (400, "API key not valid. Please pass a valid API key.", Unauthorised),
            (401, "no", Unauthorised),
            (403, "no", Unauthorised),
            (403, "Your chosen model requires moderation and your input was flagged", Filtered),
            (400, "The response was filtered due to Azure's content management policy.", Filtered),
            (500, "model requires more system memory", Unreachable),
            (422, "bad", InvalidRequest),
            (400, "Invalid 'messages[1].content': 'what's in “my billing” info?'", InvalidRequest),
            (400, "Invalid content: \"over the rate limit exceeded", InvalidRequest),
            (400, "Unknown parameter: 'quota_user'", InvalidRequest),
            (400, "Invalid token count parameter", InvalidRequest),
            (400, "Invalid context length parameter", InvalidRequest),
            (422, "`inputs` tokens + `max_new_tokens` must be <= 4096", ContextTooLong),
            (400, "Model x/y not found", UnknownModel),
            (503, "moderation service unavailable", Unreachable),
            (307, "moved", InvalidRequest),
        ] {
            assert_eq!(kind(status, message(text)), expected, "{text}");
        }
        let waits = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota",
                           "details": [{"retryDelay": "37s"}]}});
        assert_eq!(kind(429, waits), RateLimited);
    }

    #[test]
    fn the_reason_is_found_in_every_shape() {
        for body in [
            json!({"error": {"message": "the reason", "code": "some_code"}}),
            json!({"error": "the reason", "code": "some_code"}),
            json!([{"error": {"code": 400, "message": "the reason", "status": "some_code"}}]),
            json!({"detail": "the reason", "type": "some_code"}),
            json!({"detail": [{"msg": "the reason", "type": "some_code"}]}),
            json!({"object": "error", "message": "the reason", "type": "some_code", "code": 400}),
            json!({"error_type": "some_code", "error_message": "the reason"}),
            json!({"errors": [{"message": "the reason", "code": "some_code"}]}),
            json!({"error": {"message": "Provider returned error", "type": "some_code",
                             "metadata": {"raw": "{\"message\": \"the reason\"}"}}}),
            json!({"type": "error", "error": {"type": "some_code", "message": "the reason"}}),
            json!({"something": "the reason", "else": "some_code"}),
        ] {
            for failure in [
                Failure::of_status(StatusCode::BAD_REQUEST, &body.to_string(), None),
                Failure::of_service(&body, false),
            ] {
                assert!(
                    failure.context().contains("the reason") && failure.context().contains("some_code"),
                    "{failure:?}"
                );
            }
        }
        let text = Failure::of_status(StatusCode::BAD_GATEWAY, "upstream connect error", None);
        assert!(text.context().ends_with("502: upstream connect error"));
        let page = Failure::of_status(StatusCode::BAD_GATEWAY, "<html>…", None);
        assert_eq!(page.context(), "status 502");
    }

    #[test]
    fn the_service_s_code_decides_before_the_status() {
        use LlmErrorKind::*;
        for (status, code, expected) in [
            (500, "context_length_exceeded", ContextTooLong),
            (403, "insufficient_quota", NoCredit),
            (400, "content_filter", Filtered),
            (400, "model_not_found", UnknownModel),
            (413, "rate_limit_exceeded", ContextTooLong),
        ] {
            let body = json!({"error": {"message": "no", "type": "invalid_request_error", "code": code}});
            assert_eq!(kind(status, body), expected, "{code}");
        }
    }

    #[test]
    fn the_user_s_words_are_no_reason() {
        let body = json!({"detail": [{"msg": "field required", "input": {"content": "how is my billing?"}}]});
        let failure = Failure::of_status(StatusCode::UNPROCESSABLE_ENTITY, &body.to_string(), None);
        assert_eq!(
            (failure.kind, failure.context.as_str()),
            (LlmErrorKind::InvalidRequest, "status 422: field required")
        );
    }

    #[test]
    fn a_body_is_read_however_it_is_wrapped() {
        for (body, said) in [
            ("\u{FEFF}{\"error\": \"busy\"}", "status 503: busy"),
            ("data: {\"error\": {\"message\": \"busy\"}}\n\ndata: [DONE]\n\n", "status 503: busy"),
            ("error: {\"message\": \"busy\"}", "status 503: busy"),
            ("error: {\n  \"message\": \"busy\"\n}\n", "status 503: busy"),
            (" \n", "status 503"),
        ] {
            assert_eq!(Failure::of_status(StatusCode::SERVICE_UNAVAILABLE, body, None).context, said);
        }
    }

    #[test]
    fn a_status_inside_the_body_counts() {
        let failure = Failure::of_service(&json!({"error": {"message": "slow down", "code": 429}}), false);
        assert_eq!(failure.kind, LlmErrorKind::RateLimited);
        let failure = Failure::of_service(&json!({"error": {"message": "no", "code": "400"}}), false);
        assert_eq!(failure.kind, LlmErrorKind::InvalidRequest);
    }
}
