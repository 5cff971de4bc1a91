//! What a service said about an error, in whatever shape.

use std::time::Duration;

use serde_json::Value;

use crate::genai::retry_after;
use crate::llm::LlmErrorKind;

/// The most of a reason that is looked at, in bytes; of it less is told.
const REASON_BYTES: usize = 8 << 10;

/// What a service said about an error.
#[derive(Debug, Default)]
pub(super) struct Reason {
    pub(super) status: Option<u16>,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    /// All of its codes, in lower case.
    pub(super) codes: Vec<String>,
    /// The service's sentences in lower case, without what they quote.
    pub(super) phrases: String,
    pub(super) retry_after: Option<Duration>,
}

impl Reason {
    /// Reads the shapes that are in use: `{"error": {…}}`, `{"error": "…"}`, `[{"error": …}]`, `{"detail": …}`,
    /// `{"detail": [{…}]}`, `{"message": …}`, `{"error_message": …}`, `{"errors": [{…}]}`, and text.
    pub(super) fn of(body: &Value) -> Self {
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

    /// A reason that is nothing but text.
    pub(super) fn in_words(text: &str) -> Self {
        let message = cut(text);
        Self { phrases: unquoted(&message), message: Some(message), ..Self::default() }
    }

    /// Whether the service knows no such path, which some say with a status of success.
    pub(super) fn is_wrong_path(&self) -> bool {
        self.phrases.contains("unexpected endpoint or method")
    }

    /// What happened, what to do about it, and what the service said.
    pub(super) fn told(&self, mut about: String, kind: &LlmErrorKind) -> String {
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
pub(in crate::genai) fn is_something(value: &Value) -> bool {
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
