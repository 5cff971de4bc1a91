//! Why a call failed, in the service's own words.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use super::frames::beginning;
use super::retry_after;
use super::scrub::scrub;
use crate::llm::{LlmError, LlmErrorKind};
use crate::secret::SecretValue;

/// The most of a reason that is looked at, in bytes; of it less is told.
const REASON_BYTES: usize = 8 << 10;

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
        let reason = match serde_json::from_str::<Value>(body) {
            Ok(body) => Reason::of(&body),
            Err(_) if body.trim_start().starts_with('<') => Reason::default(),
            Err(_) => Reason { message: Some(cut(body.trim())), ..Reason::default() },
        };
        let retry_after = retry_after.or(reason.retry_after);
        let status = status.as_u16();
        let kind = reason.kind(Some(status), retry_after.is_some());
        let about = if (300..400).contains(&status) {
            format!("status {status}: redirects are not followed; set the endpoint to where the service is")
        } else {
            format!("status {status}")
        };
        Self { context: reason.told(about, &kind), kind, retry_after }
    }

    /// An error that the service sent in place of its answer, or in the middle of it.
    pub(super) fn of_service(error: &Value) -> Self {
        let reason = Reason::of(error);
        let kind = reason.kind(reason.status, reason.retry_after.is_some());
        let context = reason.told("the service broke off its answer".to_owned(), &kind);
        Self { kind, context, retry_after: reason.retry_after }
    }

    pub(super) fn of_transport(error: &reqwest::Error) -> Self {
        if error.is_builder() {
            return Self::new(LlmErrorKind::InvalidRequest, "the request could not be built");
        }
        let context = match () {
            () if error.is_timeout() => "the service did not answer in time",
            () if error.is_connect() => "no connection to the endpoint",
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
                context.push_str(&format!("; the service said to come back in {:.1} s", after.as_secs_f64()));
                LlmError::new(self.kind, "stream", context).with_retry_after(after)
            }
            None => LlmError::new(self.kind, "stream", context),
        }
    }
}

/// What a service said about an error.
#[derive(Debug, Default)]
struct Reason {
    status: Option<u16>,
    code: Option<String>,
    message: Option<String>,
    retry_after: Option<Duration>,
}

impl Reason {
    /// Reads the shapes that are in use: `{"error": {…}}`, `{"error": "…"}`, `[{"error": …}]`, `{"detail": …}`,
    /// `{"message": …}`, `{"error_message": …}`, `{"errors": [{…}]}`, and text.
    fn of(body: &Value) -> Self {
        let body = body.get(0).unwrap_or(body);
        let error = ["/error", "/errors/0", "/response/error"].into_iter().find_map(|at| body.pointer(at));
        let error = error.filter(|error| is_something(error)).unwrap_or(body);
        let text = |names: &[&str]| {
            let found = names.iter().flat_map(|name| [error.get(name), body.get(name)]);
            found.flatten().find_map(|value| value.as_str().filter(|text| !text.trim().is_empty()))
        };
        let mut message = match error {
            Value::String(text) => Some(cut(text)),
            _ => text(&["message", "error_message", "detail", "msg", "error_description", "reason", "title"]).map(cut),
        };
        // A service that passes on another's error has the reason in there.
        if let Some(raw) = error.pointer("/metadata/raw").filter(|raw| is_something(raw)) {
            let raw = raw.as_str().map_or_else(|| raw.to_string(), str::to_owned);
            message = Some(format!("{} {}", message.unwrap_or_default(), cut(&raw)));
        }
        let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let status = ["code", "status", "status_code"].into_iter().find_map(|name| {
            let number = error.get(name).or_else(|| body.get(name)).and_then(number)?;
            u16::try_from(number).ok().filter(|status| (300..600).contains(status))
        });
        let code = ["code", "type", "status", "error_type"].into_iter().find_map(|name| {
            let code = error.get(name).or_else(|| body.get(name))?.as_str()?;
            (is_code(code) && code != "error").then(|| code.to_owned())
        });
        if message.is_none() && code.is_none() && is_something(error) {
            message = Some(cut(&error.to_string()));
        }
        Self { status, code, message, retry_after: retry_after::of_details(error) }
    }

    /// Which failure this is: known ones by the words that services use, others by the status.
    fn kind(&self, status: Option<u16>, comes_back: bool) -> LlmErrorKind {
        use LlmErrorKind::*;
        let words = [self.code.as_deref(), self.message.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let words = words.to_lowercase();
        let says = |known: &[&str]| known.iter().any(|known| words.contains(known));
        match status {
            Some(401 | 407) => return Unauthorised,
            Some(402) => return NoCredit,
            _ => {}
        }
        // A limit that passes by itself is no lack of credit, whatever it is called.
        if says(NO_CREDIT) && (!comes_back || says(&["insufficient_quota"])) {
            return NoCredit;
        }
        if status == Some(429) {
            return RateLimited;
        }
        if says(NO_TOOLS) {
            return ToolsUnsupported;
        }
        if status == Some(413) || says(TOO_LONG) {
            return ContextTooLong;
        }
        if says(FILTERED) {
            return Filtered;
        }
        if says(UNAUTHORISED) {
            return Unauthorised;
        }
        if status == Some(404) || says(UNKNOWN_MODEL) || (words.contains("model") && says(NOT_THERE)) {
            return UnknownModel;
        }
        if says(RATE_LIMITED) {
            return RateLimited;
        }
        match status {
            Some(403) => Unauthorised,
            Some(300..=399 | 408 | 409 | 425 | 500..) => Unreachable,
            Some(_) => InvalidRequest,
            None if says(&["invalid_request", "invalid_argument", "bad_request", "badrequest"]) => InvalidRequest,
            None => Unreachable,
        }
    }

    /// What happened, what to do about it, and what the service said.
    fn told(&self, mut about: String, kind: &LlmErrorKind) -> String {
        if let Some(code) = &self.code {
            about.push_str(&format!(" ({code})"));
        }
        about.push_str(match kind {
            LlmErrorKind::ToolsUnsupported => "; choose a model that can call tools, or offer none",
            LlmErrorKind::ContextTooLong => "; send less",
            LlmErrorKind::NoCredit => "; see to the account at the service",
            LlmErrorKind::UnknownModel => "; check the endpoint and the model's name",
            LlmErrorKind::Unauthorised => "; check the key",
            _ => "",
        });
        match &self.message {
            Some(message) => format!("{about}: {message}"),
            None => about,
        }
    }
}

const NO_TOOLS: &[&str] = &[
    "not support tool",
    "not support function",
    "tools are not supported",
    "tool use is not supported",
    "tool calling is not supported",
    "function calling is not supported",
    "function calling is not enabled",
    "that support tool use",
    "requires --enable-auto-tool-choice",
    "tools param requires",
    "`tools` is not supported",
    "does not support the tool",
    "tool_use_not_supported",
    "tools is not supported",
    "not support parameters: tools",
    "argument supplied: tools",
];
const TOO_LONG: &[&str] = &[
    "context_length",
    "context length",
    "context window",
    "context size",
    "context_window",
    "prompt is too long",
    "prompt too long",
    "input is too long",
    "input too long",
    "too many tokens",
    "token count",
    "maximum prompt length",
    "request too large",
    "request_too_large",
    "reduce the length",
    "longer than the model",
    "maximum number of tokens",
    "max_new_tokens must be",
    "model token limit",
];
const NO_CREDIT: &[&str] = &[
    "insufficient_quota",
    "exceeded your current quota",
    "credit balance",
    "insufficient credit",
    "insufficient balance",
    "insufficient_balance",
    "insufficient funds",
    "out of credit",
    "no credit",
    "not enough credit",
    "billing",
    "payment required",
    "available credits",
    "spending limit",
    "arrears",
    "arrearage",
];
const FILTERED: &[&str] = &[
    "content_filter",
    "content filter",
    "content_policy",
    "content policy",
    "content management policy",
    "responsibleaipolicy",
    "data_inspection_failed",
    "prohibited_content",
    "content exists risk",
    "was flagged",
    "blocked by safety",
    "safety system",
    "guardrail",
    "usage policies",
    "moderation",
];
const UNAUTHORISED: &[&str] = &[
    "authentication_error",
    "permission_error",
    "invalid_api_key",
    "api_key_invalid",
    "invalid api key",
    "incorrect api key",
    "api key not valid",
    "unauthenticated",
    "permission_denied",
    "unauthorized",
    "no auth credentials",
];
const UNKNOWN_MODEL: &[&str] =
    &["model_not_found", "unknown model", "invalid model", "not a valid model", "try pulling it"];
const NOT_THERE: &[&str] = &["not found", "not_found", "does not exist", "doesn't exist", "not exist", "not available"];
const RATE_LIMITED: &[&str] =
    &["rate_limit", "rate limit", "ratelimit", "resource_exhausted", "too many requests", "throttl", "quota"];

/// Whether a value says anything: not null, false, or empty.
pub(super) fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

/// A word of the service's for an error, as opposed to a sentence.
fn is_code(text: &str) -> bool {
    (3..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(REASON_BYTES)].to_owned()
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
            for failure in
                [Failure::of_status(StatusCode::BAD_REQUEST, &body.to_string(), None), Failure::of_service(&body)]
            {
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
    fn a_status_inside_the_body_counts() {
        let failure = Failure::of_service(&json!({"error": {"message": "slow down", "code": 429}}));
        assert_eq!(failure.kind, LlmErrorKind::RateLimited);
        let failure = Failure::of_service(&json!({"error": {"message": "no", "code": "400"}}));
        assert_eq!(failure.kind, LlmErrorKind::InvalidRequest);
    }
}
