//! Which failure a service's words mean.

use super::reason::Reason;
use crate::llm::LlmErrorKind;

impl Reason {
    /// Which failure this is: the service's codes decide first, then the status, and known phrases where the status
    /// leaves it open.
    pub(super) fn kind(&self, status: Option<u16>, comes_back: bool) -> LlmErrorKind {
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
