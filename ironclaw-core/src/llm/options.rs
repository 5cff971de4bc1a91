//! How a model is to answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LlmError, LlmErrorKind, LlmRequest};
use crate::id::ToolName;

/// How a model is to answer. What is absent is the service's own default.
///
/// An option that a provider's protocol can't say is an error, never left out in silence:
/// [`LlmErrorKind::OptionUnsupported`] from [`LlmProvider::check`](super::LlmProvider::check), before anything is sent.
///
/// ```
/// use ironclaw_core::llm::{LlmOptions, ReasoningEffort};
///
/// let all = LlmOptions::default().temperature(0.2).max_output_tokens(2_000);
/// let this = LlmOptions::default().max_output_tokens(100).reasoning_effort(ReasoningEffort::Low);
/// let both = this.or(&all);
/// assert_eq!((both.temperature, both.max_output_tokens), (Some(0.2), Some(100)));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LlmOptions {
    /// How much chance there is in the answer: 0 for as little as the model can, at most 2; some services take at most 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// The most tokens of the answer, reasoning included where the service counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// Texts before which the answer ends, whichever comes first; the text itself is left out. Services take 4 or 5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Where chance begins: the same seed makes the same answer likelier, and no service promises it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// Whether the model calls tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// The form that the answer's text has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_schema: Option<ResponseSchema>,
    /// How much the model reasons before it answers. A model that does not reason may refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<ReasoningEffort>,
    /// What only this provider knows: an object that is merged into the request's body as JSON Merge Patch (RFC 7396) does,
    /// objects with objects; `null` takes out what was there, and anything else replaces it. `null` in place of the object
    /// is nothing. It can't set `stream`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub extra_body: Value,
}

/// Whether the model calls tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolChoice {
    /// As it thinks best.
    Auto,
    /// It calls none.
    None,
    /// It calls at least one. An agent asks for that once: after the first calls the model may answer.
    Required,
    /// It calls this one; for an agent, as with [`Self::Required`].
    Tool(ToolName),
}

/// The form of an answer: a JSON schema. The answer's text is then JSON of that form, if the service keeps its word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResponseSchema {
    /// What the form is called: 1 to 64 of `a-z A-Z 0-9 _ -`.
    pub name: String,
    /// The schema, an object. Services take a part of JSON Schema each: with all properties required and
    /// `additionalProperties` false it fits all of them.
    pub schema: Value,
}

impl ResponseSchema {
    /// The form of this name.
    pub fn new(name: impl Into<String>, schema: Value) -> Self {
        Self { name: name.into(), schema }
    }
}

impl LlmOptions {
    /// With this temperature.
    #[must_use]
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// With at most this many tokens of answer.
    #[must_use]
    pub fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }

    /// With these texts to end before.
    #[must_use]
    pub fn stop<T: Into<String>>(mut self, texts: impl IntoIterator<Item = T>) -> Self {
        self.stop = texts.into_iter().map(Into::into).collect();
        self
    }

    /// With this seed.
    #[must_use]
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = Some(seed);
        self
    }

    /// With this choice of tools.
    #[must_use]
    pub fn tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = Some(choice);
        self
    }

    /// With this form of the answer.
    #[must_use]
    pub fn response_schema(mut self, schema: ResponseSchema) -> Self {
        self.response_schema = Some(schema);
        self
    }

    /// With this much reasoning.
    #[must_use]
    pub fn reasoning_effort(mut self, effort: ReasoningEffort) -> Self {
        self.reasoning_effort = Some(effort);
        self
    }

    /// With this merged into the request's body.
    #[must_use]
    pub fn extra_body(mut self, extra: Value) -> Self {
        self.extra_body = extra;
        self
    }

    /// These options, and for each that is absent the other's. Both `extra_body` are merged: `null` in these takes out what
    /// the other's has under the same name.
    ///
    /// What is given there can be given otherwise here ([`ToolChoice::Auto`], another effort), but not taken back: what some
    /// calls are to go without is given with the others, and not to the agent.
    ///
    /// ```
    /// use ironclaw_core::llm::LlmOptions;
    /// use serde_json::json;
    ///
    /// let all = LlmOptions::default().extra_body(json!({"top_k": 40, "user": "ada"}));
    /// let this = LlmOptions::default().extra_body(json!({"top_k": null})).or(&all);
    /// assert_eq!(this.extra_body, json!({"top_k": null, "user": "ada"}));
    /// ```
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let extra_body = match (self.extra_body, &other.extra_body) {
            (Value::Null, extra) => extra.clone(),
            (this, other) => {
                let mut extra = other.clone();
                compose(&mut extra, this);
                extra
            }
        };
        Self {
            temperature: self.temperature.or(other.temperature),
            max_output_tokens: self.max_output_tokens.or(other.max_output_tokens),
            stop: if self.stop.is_empty() { other.stop.clone() } else { self.stop },
            seed: self.seed.or(other.seed),
            tool_choice: self.tool_choice.or_else(|| other.tool_choice.clone()),
            response_schema: self.response_schema.or_else(|| other.response_schema.clone()),
            reasoning_effort: self.reasoning_effort.or(other.reasoning_effort),
            extra_body,
        }
    }
}

impl LlmRequest {
    /// Refuses options that make no sense, whatever the provider.
    ///
    /// # Errors
    /// [`LlmErrorKind::InvalidRequest`], which names the option: a temperature outside 0 to 2, an empty stop text, a
    /// choice of a tool that is not among the request's, a schema or an `extra_body` that is no object.
    pub fn check_options(&self) -> Result<(), LlmError> {
        let options = &self.options;
        let refused = |what: String| Err(LlmError::new(LlmErrorKind::InvalidRequest, "check", what));
        if options.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
            return refused("temperature: a number from 0 to 2".to_owned());
        }
        if options.max_output_tokens == Some(0) {
            return refused("max_output_tokens: at least 1".to_owned());
        }
        if options.stop.iter().any(String::is_empty) {
            return refused("stop: a text must not be empty".to_owned());
        }
        match &options.tool_choice {
            Some(ToolChoice::Required) if self.tools.is_empty() => {
                return refused("tool_choice: there is no tool to call; give one, or leave the choice out".to_owned());
            }
            Some(ToolChoice::Tool(name)) if !self.tools.iter().any(|tool| tool.name == *name) => {
                return refused(format!("tool_choice: {name} is none of the tools that the model is given"));
            }
            _ => {}
        }
        if let Some(form) = &options.response_schema {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            if !(1..=64).contains(&form.name.len()) || !form.name.bytes().all(plain) {
                return refused("response_schema: its name is 1 to 64 of a-z, A-Z, 0-9, `_` and `-`".to_owned());
            }
            if !form.schema.is_object() {
                return refused("response_schema: the schema must be an object".to_owned());
            }
        }
        match &options.extra_body {
            Value::Null => Ok(()),
            Value::Object(extra) if !extra.contains_key("stream") => Ok(()),
            Value::Object(_) => refused("extra_body: `stream` can't be set; answers are always streamed".to_owned()),
            _ => refused("extra_body: must be an object".to_owned()),
        }
    }
}

/// Merges one patch into another, so that both take effect at once: `null` stays, to take out what it names.
fn compose(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (name, value) in patch {
                compose(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

/// Applies a patch (JSON Merge Patch, RFC 7396), as a provider does with what it sends.
#[cfg(any(feature = "genai", test))]
pub(crate) fn patch(into: &mut Value, change: Value) {
    let Value::Object(members) = change else {
        *into = change;
        return;
    };
    if !into.is_object() {
        *into = serde_json::json!({});
    }
    let Value::Object(into) = into else { return };
    for (name, value) in members {
        match value {
            Value::Null => drop(into.remove(&name)),
            value => patch(into.entry(name).or_insert(Value::Null), value),
        }
    }
}

/// How much a model reasons before it answers. Services know some of these, and refuse the others.
///
/// Where a protocol itself has fewer words, the nearest is said: Anthropic and Ollama `low` for [`Minimal`](Self::Minimal);
/// Ollama `max` for [`XHigh`](Self::XHigh); Gemini `high` for `XHigh` and [`Max`](Self::Max), and before Gemini 3 a number
/// of tokens for each, which is the same for those two and [`High`](Self::High).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ReasoningEffort {
    /// Not at all.
    None,
    /// As little as can be.
    Minimal,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// More than [`High`](Self::High).
    XHigh,
    /// As much as can be.
    Max,
}

impl ReasoningEffort {
    /// The word that services know it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_recorded_before_options_is_read() {
        let old = r#"{"messages": [], "passages": [], "tools": [], "max_output_tokens": null}"#;
        assert_eq!(serde_json::from_str::<LlmRequest>(old).unwrap(), LlmRequest::default());
        let options = LlmOptions::default().reasoning_effort(ReasoningEffort::XHigh);
        assert_eq!(serde_json::to_string(&options).unwrap(), r#"{"reasoning_effort":"xhigh"}"#);
    }

    #[test]
    fn what_is_given_with_a_call_comes_first() {
        let all = LlmOptions::default().stop(["a"]).seed(1).extra_body(json!({"a": {"b": 1, "c": 2}, "d": [1]}));
        let this = LlmOptions::default().seed(2).extra_body(json!({"a": {"b": 3}, "d": [2]}));
        let expected = LlmOptions::default().stop(["a"]).seed(2);
        assert_eq!(this.or(&all), expected.extra_body(json!({"a": {"b": 3, "c": 2}, "d": [2]})));
        assert_eq!(LlmOptions::default().or(&all), all);
    }

    #[test]
    fn null_takes_out_what_was_there() {
        let extra = |body| LlmOptions::default().extra_body(body);
        let both = extra(json!({"a": {"b": null}, "e": null, "d": {"x": 1}}))
            .or(&extra(json!({"a": {"b": 1, "c": 2}, "d": null, "e": {"f": 1}})));
        assert_eq!(both.extra_body, json!({"a": {"b": null, "c": 2}, "d": {"x": 1}, "e": null}));
        let mut body = json!({"a": {"b": 0, "z": null}, "e": 1, "kept": null});
        patch(&mut body, both.extra_body);
        assert_eq!(body, json!({"a": {"c": 2, "z": null}, "d": {"x": 1}, "kept": null}));
        // What is under a name that was no object.
        patch(&mut body, json!({"kept": {"new": {"x": null}}, "a": [1]}));
        assert_eq!(body, json!({"a": [1], "d": {"x": 1}, "kept": {"new": {}}}));
    }

    #[test]
    fn options_that_make_no_sense_are_named() {
        let tool = ToolChoice::Tool(ToolName::parse("weather").unwrap());
        let default = LlmOptions::default;
        for (options, named) in [
            (default().temperature(f32::NAN), "temperature"),
            (default().temperature(2.5), "temperature"),
            (default().max_output_tokens(0), "max_output_tokens"),
            (default().stop(["a", ""]), "stop"),
            (default().tool_choice(ToolChoice::Required), "tool_choice"),
            (default().tool_choice(tool), "weather"),
            (default().response_schema(ResponseSchema::new("a b", json!({}))), "response_schema"),
            (default().response_schema(ResponseSchema::new("a", json!(true))), "response_schema"),
            (default().extra_body(json!([])), "extra_body"),
            (default().extra_body(json!({"stream": false})), "stream"),
        ] {
            let error = LlmRequest::default().options(options).check_options().unwrap_err();
            assert!(*error.kind() == LlmErrorKind::InvalidRequest && error.to_string().contains(named), "{error}");
        }
        LlmRequest::default().options(default().temperature(2.0).stop(["a"])).check_options().unwrap();
    }
}
