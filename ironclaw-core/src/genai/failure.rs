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
        let body = body.trim_start_matches('\u{FEFF}').trim();
        let framed = || {
            let line =
                body.lines().find_map(|line| line.strip_prefix("data:").or_else(|| line.strip_prefix("error:")))?;
            serde_json::from_str::<Value>(line).ok()
        };
        let reason = match serde_json::from_str::<Value>(body).ok().or_else(framed) {
            Some(body) => Reason::of(&body),
            None if body.is_empty() || body.starts_with('<') => Reason::default(),
            None => Reason { message: Some(cut(body)), phrases: unquoted(&cut(body)), ..Reason::default() },
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
    /// All of its codes, in lower case.
    codes: Vec<String>,
    /// The service's sentences in lower case, without what they quote.
    phrases: String,
    retry_after: Option<Duration>,
}

impl Reason {
    /// Reads the shapes that are in use: `{"error": {…}}`, `{"error": "…"}`, `[{"error": …}]`, `{"detail": …}`,
    /// `{"detail": [{…}]}`, `{"message": …}`, `{"error_message": …}`, `{"errors": [{…}]}`, and text.
    fn of(body: &Value) -> Self {
        let body = body.get(0).unwrap_or(body);
        let error = ["/error", "/errors/0", "/response/error", "/detail/0"].into_iter().find_map(|at| body.pointer(at));
        let error = error.filter(|error| is_something(error)).unwrap_or(body);
        let text = |names: &[&str]| {
            let found = names.iter().flat_map(|name| [error.get(name), body.get(name)]);
            found.flatten().find_map(|value| value.as_str().filter(|text| !text.trim().is_empty()))
        };
        let mut message = match error {
            Value::String(text) => Some(cut(text)),
            _ => text(&["message", "error_message", "detail", "msg", "error_description", "reason", "title"]).map(cut),
        };
        let mut phrases = message.as_deref().map(unquoted).unwrap_or_default();
        let named =
            ["code", "type", "status", "error_type"].into_iter().flat_map(|name| [error.get(name), body.get(name)]);
        let mut codes: Vec<String> =
            named.flatten().filter_map(Value::as_str).filter(|code| is_code(code)).map(str::to_lowercase).collect();
        // A service that passes on another's error has the reason in there.
        if let Some(raw) = error.pointer("/metadata/raw").filter(|raw| is_something(raw)) {
            let raw = raw.as_str().map_or_else(|| raw.to_string(), str::to_owned);
            match serde_json::from_str::<Value>(&raw) {
                Ok(Value::Object(inner)) => {
                    // Not inner reasons without end: what is further inside is not looked at.
                    let mut inner = Value::Object(inner);
                    if let Some(metadata) = inner.pointer_mut("/error/metadata") {
                        metadata.take();
                    }
                    if let Some(metadata) = inner.pointer_mut("/metadata") {
                        metadata.take();
                    }
                    let inner = Self::of(&inner);
                    phrases = format!("{phrases} {}", inner.phrases);
                    codes.extend(inner.codes);
                }
                _ => phrases = format!("{phrases} {}", unquoted(&cut(&raw))),
            }
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
        Self { status, code, message, codes, phrases, retry_after: retry_after::of_details(error) }
    }

    /// Which failure this is: the service's codes decide first, then the status, and known phrases where the status
    /// leaves it open.
    fn kind(&self, status: Option<u16>, comes_back: bool) -> LlmErrorKind {
        use LlmErrorKind::*;
        let coded = |known: &[&str]| self.codes.iter().any(|code| known.iter().any(|known| code.contains(known)));
        let says = |known: &[&str]| known.iter().any(|known| self.phrases.contains(known));
        // A limit that passes by itself is no lack of credit, whatever it is called.
        if coded(&["insufficient_quota"]) || (!comes_back && coded(NO_CREDIT_CODES)) {
            return NoCredit;
        }
        let no_credit = !comes_back && says(NO_CREDIT);
        if status == Some(429) {
            return if no_credit { NoCredit } else { RateLimited };
        }
        for (codes, kind) in [
            (NO_TOOLS_CODES, ToolsUnsupported),
            (TOO_LONG_CODES, ContextTooLong),
            (FILTERED_CODES, Filtered),
            (UNAUTHORISED_CODES, Unauthorised),
            (UNKNOWN_MODEL_CODES, UnknownModel),
        ] {
            if coded(codes) {
                return kind;
            }
        }
        // A request larger than a whole minute's share never passes.
        if status != Some(413) && coded(RATE_LIMITED_CODES) {
            return if no_credit { NoCredit } else { RateLimited };
        }
        match status {
            // What single services say with these.
            Some(404) if says(&["no endpoints found that support tool use"]) => return ToolsUnsupported,
            Some(500) if says(&["tools param requires --jinja flag"]) => return ToolsUnsupported,
            Some(403) if says(&["your input was flagged"]) => return Filtered,
            Some(401 | 403 | 407) => return Unauthorised,
            Some(402) => return NoCredit,
            Some(404) => return UnknownModel,
            Some(408 | 409 | 425 | 500..) => return Unreachable,
            None | Some(400 | 413 | 422) => {}
            Some(_) => return InvalidRequest,
        }
        match () {
            () if self.is_wrong_path() => InvalidRequest,
            () if no_credit => NoCredit,
            () if says(NO_TOOLS) => ToolsUnsupported,
            () if status == Some(413) || says(TOO_LONG) || (says(CONTEXT) && says(EXCEEDED)) => ContextTooLong,
            () if says(FILTERED) => Filtered,
            () if says(UNAUTHORISED) => Unauthorised,
            () if says(UNKNOWN_MODEL) || misses_model(&self.phrases) => UnknownModel,
            () if says(RATE_LIMITED) => RateLimited,
            () if status.is_some() || coded(INVALID_CODES) => InvalidRequest,
            () => Unreachable,
        }
    }

    /// Whether the service knows no such path, which some say with a status of success.
    fn is_wrong_path(&self) -> bool {
        self.phrases.contains("unexpected endpoint or method")
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
            LlmErrorKind::InvalidRequest if self.is_wrong_path() => "; check the endpoint's path",
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
    "does not support the tool",
    "tools is not supported",
    "not support parameters: tools",
    "argument supplied: tools",
];
const NO_TOOLS_CODES: &[&str] = &["tool_use_not_supported", "tools_not_supported"];
const TOO_LONG: &[&str] = &[
    "prompt is too long",
    "prompt too long",
    "input is too long",
    "input too long",
    "too many tokens",
    "input token count",
    "maximum prompt length",
    "request too large",
    "reduce the length of",
    "longer than the model",
    "exceeds the maximum number of tokens",
    "tokens + … must be",
    "model token limit",
];
/// What is too small for the request, if one of [`EXCEEDED`] is said of it.
const CONTEXT: &[&str] = &["context length", "context window", "context size", "context_length", "context_window"];
const EXCEEDED: &[&str] = &["maximum", "exceed", "too long", "too large", "longer than", "larger than", "greater than"];
const TOO_LONG_CODES: &[&str] = &["context_length", "context_window", "context_size", "request_too_large"];
const NO_CREDIT: &[&str] = &[
    "exceeded your current quota",
    "credit balance is too low",
    "insufficient credit",
    "insufficient balance",
    "insufficient funds",
    "out of credit",
    "not enough credit",
    "payment required",
    "check your billing details",
    "plan and billing details",
    "billing hard limit",
    "monthly spending limit",
    "account is in arrears",
];
const NO_CREDIT_CODES: &[&str] = &[
    "insufficient_balance",
    "insufficient_credit",
    "insufficient_funds",
    "exceeded_current_quota",
    "billing",
    "payment_required",
    "arrearage",
];
const FILTERED: &[&str] = &[
    "content management policy",
    "triggered the content filter",
    "blocked by the content filter",
    "blocked by content filter",
    "content policy violation",
    "violates our content policy",
    "violates our usage policies",
    "violate our usage policies",
    "content exists risk",
    "input was flagged",
    "prompt was flagged",
    "blocked by safety",
    "our safety system",
    "blocked by guardrail",
    "may contain inappropriate content",
];
const FILTERED_CODES: &[&str] = &[
    "content_filter",
    "content_policy",
    "responsibleaipolicy",
    "data_inspection_failed",
    "datainspectionfailed",
    "prohibited_content",
    "moderation_blocked",
];
const UNAUTHORISED: &[&str] =
    &["api key not valid", "invalid api key", "incorrect api key", "api key expired", "no auth credentials"];
const UNAUTHORISED_CODES: &[&str] = &[
    "authentication_error",
    "permission_error",
    "invalid_api_key",
    "api_key_invalid",
    "unauthenticated",
    "permission_denied",
    "unauthorized",
];
const UNKNOWN_MODEL: &[&str] = &[
    "unknown model",
    "invalid model name",
    "invalid model id",
    "not a valid model",
    "no such model",
    "try pulling it",
];
const UNKNOWN_MODEL_CODES: &[&str] = &["model_not_found", "model_not_exist", "deploymentnotfound"];
const NOT_THERE: &[&str] = &["not found", "does not exist", "doesn't exist", "not exist", "not available"];
const RATE_LIMITED: &[&str] =
    &["rate limit reached", "rate limit exceeded", "exceeded the rate limit", "too many requests", "quota exceeded"];
const RATE_LIMITED_CODES: &[&str] = &["rate_limit", "ratelimit", "resource_exhausted", "too_many_requests", "throttl"];
const INVALID_CODES: &[&str] = &["invalid_request", "invalid_argument", "bad_request", "badrequest"];

/// How a call ended that the service reports an error of.
pub(super) fn ended_by(begun: bool) -> &'static str {
    if begun { "the service broke off its answer" } else { "the service reported an error" }
}

/// Whether a model is said not to be there: "model x does not exist".
fn misses_model(phrases: &str) -> bool {
    phrases.match_indices("model").any(|(at, model)| {
        let rest = phrases[at + model.len()..].trim_start_matches([' ', ':']);
        let after_name = rest.split_once(' ').map_or("", |(_, rest)| rest);
        [rest, after_name].into_iter().any(|rest| {
            let rest = rest.strip_prefix("is ").unwrap_or(rest);
            NOT_THERE.iter().any(|known| rest.starts_with(known))
        })
    })
}

/// A message in lower case, with `…` in place of what it quotes: that can be anybody's words. A quote without an end
/// goes up to the message's.
fn unquoted(message: &str) -> String {
    let mut plain = String::with_capacity(message.len());
    let mut quote = None;
    let mut before = ' ';
    let mut rest = message.chars().peekable();
    while let Some(char) = rest.next() {
        match quote {
            // An apostrophe in a word ends no quote.
            Some(end) if char == end && !rest.peek().is_some_and(|next| next.is_alphanumeric()) => quote = None,
            Some(_) => {}
            None if matches!(char, '\'' | '"' | '`' | '“' | '‘') && !before.is_alphanumeric() => {
                quote = Some(match char {
                    '“' => '”',
                    '‘' => '’',
                    char => char,
                });
                plain.push('…');
            }
            None => plain.extend(char.to_lowercase()),
        }
        before = char;
    }
    plain
}

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
