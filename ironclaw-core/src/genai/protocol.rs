//! The protocols: how each says a request, and how its frames are read.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::answer::Answer;
use super::calls::{Piece, is_exact};
use super::failure::{Failure, is_something};
use super::frames::Frame;
use crate::llm::options::patch;
use crate::llm::{ContentPart, LlmErrorKind, LlmMessage, LlmOptions, LlmRequest, PartData, ToolChoice};
use crate::secret::SecretValue;

mod anthropic;
mod chat;
mod gemini;
mod ollama;
mod responses;

/// How a service is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's Gemini.
    Gemini,
    /// Ollama's own.
    Ollama,
}

/// What the services are sent: instructions apart, and the passages in front of the question.
struct Prompt<'a> {
    model: &'a str,
    endpoint: &'a str,
    instructions: Option<String>,
    turns: Vec<LlmMessage>,
    request: &'a LlmRequest,
}

impl Protocol {
    /// The path of a call, under the endpoint.
    pub(super) fn path(self, model: &str) -> String {
        match self {
            Self::Chat => "chat/completions".to_owned(),
            Self::Responses => "responses".to_owned(),
            Self::Anthropic => "messages".to_owned(),
            Self::Gemini => gemini::path(model),
            Self::Ollama => "api/chat".to_owned(),
        }
    }

    /// The headers that say who asks. Their values are marked as sensitive.
    pub(super) fn headers(self, key: Option<&SecretValue>) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        if self == Self::Anthropic {
            headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        }
        let Some(key) = key else { return Ok(headers) };
        let (name, prefix) = match self {
            Self::Anthropic => ("x-api-key", ""),
            Self::Gemini => ("x-goog-api-key", ""),
            Self::Chat | Self::Responses | Self::Ollama => ("authorization", "Bearer "),
        };
        let value = zeroize::Zeroizing::new([prefix.as_bytes(), key.expose()].concat());
        let mut value = HeaderValue::from_bytes(&value)
            .map_err(|_| Failure::new(LlmErrorKind::InvalidRequest, "the key can't stand in a header"))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
        Ok(headers)
    }

    /// The body of a request to this model at this endpoint.
    pub(super) fn body(self, model: &str, endpoint: &str, request: &LlmRequest) -> Value {
        let prompt = Prompt::new(model, endpoint, request);
        let mut body = match self {
            Self::Chat => chat::body(&prompt),
            Self::Responses => responses::body(&prompt),
            Self::Anthropic => anthropic::body(&prompt),
            Self::Gemini => gemini::body(&prompt),
            Self::Ollama => ollama::body(&prompt),
        };
        if !request.options.extra_body.is_null() {
            patch(&mut body, request.options.extra_body.clone());
        }
        body
    }

    /// The first of the options that can't be said in this protocol.
    pub(super) fn unsayable(self, options: &LlmOptions) -> Option<&'static str> {
        let forces = matches!(options.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)));
        let (stop, seed) = (!options.stop.is_empty(), options.seed.is_some());
        let options: &[(bool, &'static str)] = match self {
            Self::Chat => &[],
            Self::Responses => &[(stop, "stop"), (seed, "seed")],
            Self::Anthropic => &[(seed, "seed")],
            Self::Gemini => {
                &[(options.seed.is_some_and(|seed| seed > i32::MAX.unsigned_abs()), "seed above 2147483647")]
            }
            Self::Ollama => &[(forces, "tool_choice that makes the model call a tool")],
        };
        options.iter().find(|(given, _)| *given).map(|(_, name)| *name)
    }

    /// Whether a part of a message can be said in this protocol. Whether the model reads it is its own matter.
    pub(super) fn takes(self, part: &ContentPart) -> bool {
        match part {
            ContentPart::Image { .. } => true,
            ContentPart::ImageUrl { .. } => self != Self::Ollama,
            ContentPart::Document { media_type, .. } => self != Self::Ollama && media_type == "application/pdf",
        }
    }

    /// Reads a frame into the answer.
    pub(super) fn read(self, frame: &Frame, answer: &mut Answer) -> Result<(), Failure> {
        let data = frame.data.trim();
        if data.is_empty() || matches!(frame.event.as_deref(), Some("ping" | "keepalive" | "keep-alive" | "heartbeat"))
        {
            return if data.is_empty() && frame.cut { broken_off(answer) } else { Ok(()) };
        }
        match serde_json::from_str(data) {
            Ok(error) if frame.event.as_deref() == Some("error") => {
                return Err(Failure::of_service(&error, answer.has_begun()));
            }
            Ok(value) => return self.read_value(&value, frame.bare, answer),
            Err(_) => {}
        }
        // Events whose empty lines were lost come as one with several lines.
        for line in data.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if line == "[DONE]" {
                answer.done();
                continue;
            }
            match serde_json::from_str(line) {
                Ok(value) => self.read_value(&value, frame.bare, answer)?,
                Err(_) if frame.cut => return broken_off(answer),
                Err(_) if frame.event.as_deref() == Some("error") => {
                    return Err(Failure::of_service(&Value::String(line.to_owned()), answer.has_begun()));
                }
                Err(_) => return Err(Failure::malformed("a piece of the answer is not JSON", line)),
            }
        }
        Ok(())
    }

    fn read_value(self, value: &Value, bare: bool, answer: &mut Answer) -> Result<(), Failure> {
        // A stream as one array, as Gemini sends it to those who don't ask for events.
        if let Value::Array(values) = value {
            return values.iter().try_for_each(|value| self.read_value(value, bare, answer));
        }
        if value.get("error").is_some_and(is_something) {
            return Err(Failure::of_service(value, answer.has_begun()));
        }
        let known = match self {
            Self::Chat => chat::read(value, answer)?,
            Self::Responses => responses::read(value, answer)?,
            Self::Anthropic => anthropic::read(value, answer)?,
            Self::Gemini => gemini::read(value, answer)?,
            Self::Ollama => ollama::read(value, answer)?,
        };
        match known {
            true => Ok(()),
            // What has no part of an answer in it is an error's report, or says something about the call.
            false if reports_an_error(value) => Err(Failure::of_service(value, answer.has_begun())),
            false if bare => {
                Err(Failure::malformed("the service answered with JSON that is no answer", &value.to_string()))
            }
            false => Ok(()),
        }
    }
}

impl<'a> Prompt<'a> {
    fn new(model: &'a str, endpoint: &'a str, request: &'a LlmRequest) -> Self {
        let mut instructions = None;
        let mut turns = Vec::with_capacity(request.messages.len());
        // The passages are part of the question and not of the instructions: what a file says has no more authority than
        // what its owner says.
        for message in request.to_messages() {
            match message {
                LlmMessage::System { text } => instructions = Some(text),
                message => turns.push(message),
            }
        }
        Self { model, endpoint, instructions, turns, request }
    }
}

/// A number as it was written, and not as the nearest of twice its length.
fn number(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// The choice as OpenAI's words, which others took over.
fn word(choice: &ToolChoice) -> &'static str {
    match choice {
        ToolChoice::Auto => "auto",
        ToolChoice::None => "none",
        ToolChoice::Required | ToolChoice::Tool(_) => "required",
    }
}

/// Bytes as a URL (RFC 2397).
fn data_url(media_type: &str, data: &PartData) -> String {
    format!("data:{media_type};base64,{}", data.to_base64())
}

/// A user's content: the text alone, or a list of the text and its parts.
fn content(text: &str, parts: &[ContentPart], say_text: Value, say: impl Fn(&ContentPart) -> Value) -> Value {
    match parts {
        [] => Value::String(text.to_owned()),
        parts => std::iter::once(say_text).chain(parts.iter().map(say)).collect(),
    }
}

/// A body that ended within a frame: what was cut off is not missed if the answer's reason to end was there already.
fn broken_off(answer: &Answer) -> Result<(), Failure> {
    if answer.is_finished() || answer.is_done() { Ok(()) } else { Err(Failure::broken_off()) }
}

fn reports_an_error(value: &Value) -> bool {
    let says = |name: &str| value.get(name).is_some_and(is_something);
    value["object"] == "error"
        || value["type"] == "error"
        || ["detail", "message", "msg", "error_message", "error_msg", "error_type", "errors"].into_iter().any(says)
}

/// The arguments of a call as text; an object is written out.
///
/// # Errors
/// For an object with a number that may have changed when it was read: what it was can't be told any more.
fn arguments(value: Option<&Value>) -> Result<String, Failure> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) if is_exact(value) => Ok(value.to_string()),
        Some(_) => {
            let context = "a number in a tool call's arguments does not fit into 64 bits, and would be another one";
            Err(Failure::new(LlmErrorKind::MalformedAnswer, context))
        }
    }
}

/// A call that comes as a whole.
fn whole_call<'a>(id: Option<&'a Value>, name: Option<&'a Value>, given: Option<&Value>) -> Result<Piece<'a>, Failure> {
    Ok(Piece {
        id: id.and_then(Value::as_str),
        name: name.and_then(Value::as_str),
        arguments: arguments(given)?,
        whole: true,
        ..Piece::default()
    })
}

/// A part of an answer that has no place in one.
fn unknown_part(kind: &str) -> Failure {
    Failure::malformed("the answer has a part that can't be read", kind)
}
