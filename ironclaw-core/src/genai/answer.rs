use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use ::genai::chat::{ChatOptions, ChatStream, ChatStreamEvent, StopReason, StreamEnd, Usage};
use futures::{Stream, StreamExt};
use serde_json::Value;

use super::failure::Failure;
use super::{GenaiLlm, Provider, request};
use crate::llm::{FinishReason, LlmErrorKind, LlmEvent, LlmRequest, LlmResponse, TokenUsage, ToolCall};

/// The longest answer that is taken, in bytes.
const ANSWER_BYTES: usize = 16 << 20;
/// How many frames are looked at for the model's name.
const NAME_FRAMES: u32 = 4;

/// An answer that is coming in.
pub(super) struct Answer {
    stream: Quiet<ChatStream>,
    provider: Provider,
    asked: String,
    served_by: Arc<OnceLock<String>>,
    text: String,
    ended: bool,
}

impl Answer {
    /// Prepares the call; it is made when the first event is asked for.
    pub(super) async fn begin(llm: &GenaiLlm, request: &LlmRequest) -> Result<Self, Failure> {
        let served_by = Arc::new(OnceLock::new());
        let name = Arc::clone(&served_by);
        let mut options = ChatOptions::default()
            .with_capture_usage(true)
            .with_capture_tool_calls(true)
            .with_stream_header_timeout(llm.timeout)
            .with_stream_read_timeout(llm.timeout)
            .with_raw_frame_fn(move |_, frame| {
                if frame.index < NAME_FRAMES
                    && name.get().is_none()
                    && let Some(model) = frame.json().as_ref().and_then(model_of)
                {
                    // Frames of one stream come one after another: nobody else sets it in between.
                    let _ = name.set(model.to_owned());
                }
            });
        if let Some(tokens) = request.options.max_output_tokens {
            options = options.with_max_tokens(tokens);
        }
        let chat = request::chat_request(llm.provider, request);
        let call = Box::pin(llm.client.exec_chat_stream(llm.target(), chat, Some(&options)));
        let response = Quiet(call).await.map_err(|error| Failure::of(&error))?;
        Ok(Self {
            stream: Quiet(response.stream),
            provider: llm.provider,
            asked: llm.model.clone(),
            served_by,
            text: String::new(),
            ended: false,
        })
    }

    /// Whether the whole answer was given.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next piece of text, or the whole answer.
    pub(super) async fn next(&mut self) -> Result<LlmEvent, Failure> {
        while let Some(event) = self.stream.next().await {
            match event.map_err(|error| Failure::of(&error))? {
                ChatStreamEvent::Chunk(chunk) if !chunk.content.is_empty() => {
                    if self.text.len() + chunk.content.len() > ANSWER_BYTES {
                        return Err(Failure::new(LlmErrorKind::MalformedAnswer, "the answer is longer than 16 MiB"));
                    }
                    self.text.push_str(&chunk.content);
                    return Ok(LlmEvent::Text(chunk.content));
                }
                ChatStreamEvent::End(end) => {
                    self.ended = true;
                    return self.finish(end).map(LlmEvent::Finished);
                }
                _ => {}
            }
        }
        Err(broken_off())
    }

    fn finish(&mut self, end: StreamEnd) -> Result<LlmResponse, Failure> {
        // Where the protocol has no mark for its end, genai makes one when the connection closes: without a reason
        // it was cut off.
        let unmarked = matches!(self.provider, Provider::Gemini | Provider::OpenAiResponses | Provider::Ollama);
        let done = end.captured_stop_reason.is_some()
            || (self.provider == Provider::Ollama && end.captured_usage.is_some())
            || !unmarked;
        if !done {
            return Err(broken_off());
        }
        let usage = end.captured_usage.as_ref().map(usage).unwrap_or_default();
        let reason = end.captured_stop_reason.clone();
        let tool_calls: Vec<ToolCall> =
            end.captured_into_tool_calls().unwrap_or_default().into_iter().map(tool_call).collect();
        let nothing = tool_calls.is_empty() && self.text.is_empty();
        let finish = match reason {
            Some(StopReason::MaxTokens(_)) => FinishReason::Length,
            Some(StopReason::ContentFilter(_)) => FinishReason::Filtered,
            Some(StopReason::ToolCall(_)) if tool_calls.is_empty() => {
                return Err(Failure::new(LlmErrorKind::MalformedAnswer, "tools are to be called, but none is named"));
            }
            Some(StopReason::Other(_)) if nothing => {
                return Err(Failure::new(LlmErrorKind::MalformedAnswer, "the answer ended with nothing in it"));
            }
            _ if !tool_calls.is_empty() => FinishReason::ToolCalls,
            _ => FinishReason::Stop,
        };
        let model = self.served_by.get().cloned().unwrap_or_else(|| self.asked.clone());
        Ok(LlmResponse { text: std::mem::take(&mut self.text), tool_calls, finish, usage, model })
    }
}

fn broken_off() -> Failure {
    Failure::new(LlmErrorKind::Unreachable, "the answer broke off before its end")
}

fn tool_call(call: ::genai::chat::ToolCall) -> ToolCall {
    // Arguments that came in pieces are text; a tool without parameters is often called with none at all.
    let arguments = match call.fn_arguments {
        Value::Null => Value::Object(serde_json::Map::new()),
        Value::String(text) if text.trim().is_empty() => Value::Object(serde_json::Map::new()),
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        arguments => arguments,
    };
    ToolCall { id: call.call_id, name: call.fn_name, arguments }
}

fn usage(usage: &Usage) -> TokenUsage {
    let count = |tokens: Option<i32>| tokens.and_then(|tokens| u64::try_from(tokens).ok());
    TokenUsage { input: count(usage.prompt_tokens), output: count(usage.completion_tokens), cost_micro_usd: None }
}

fn model_of(frame: &Value) -> Option<&str> {
    ["/model", "/message/model", "/response/model", "/modelVersion"]
        .into_iter()
        .find_map(|at| frame.pointer(at)?.as_str())
        .filter(|model| !model.is_empty() && model.len() <= 256 && !model.contains('\0'))
}

/// genai logs the bodies of failed answers, which can echo a key: nothing is logged while it is polled.
struct Quiet<T>(T);

impl<T: Unpin> Quiet<T> {
    fn hushed<R>(&mut self, poll: impl FnOnce(Pin<&mut T>) -> R) -> R {
        tracing::dispatcher::with_default(&tracing::Dispatch::none(), || poll(Pin::new(&mut self.0)))
    }
}

impl<T: Future + Unpin> Future for Quiet<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        self.hushed(|call| call.poll(cx))
    }
}

impl Stream for Quiet<ChatStream> {
    type Item = Result<ChatStreamEvent, ::genai::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.hushed(|stream| stream.poll_next(cx))
    }
}
