use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use super::{AgentError, AgentErrorKind};
use crate::id::{ConversationId, JobId, MessageId};
use crate::llm::{FinishReason, TokenUsage};
use crate::model::jobs::ToolOutcome;
use crate::model::workspace::Passage;
use crate::setters::setters;

/// What an agent answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Reply {
    /// The conversation.
    pub conversation: ConversationId,
    /// The message that holds the answer.
    pub message: MessageId,
    /// The answer.
    pub text: String,
    /// What the answer cites, in the order of first citation.
    pub citations: Vec<Citation>,
    /// What the answer was made without, and why, in the words of [`Omission`](crate::omission::Omission): a search that
    /// failed, words that were not searched for, passages and messages that had no room. Empty if there was no such thing.
    pub degraded: Vec<String>,
    /// Which messages of the conversation the model was not shown, since there was no room for them.
    pub left_out: Option<LeftOut>,
    /// The tools that were called on the way, in order.
    pub tool_calls: Vec<CalledTool>,
    /// The model that answered, as the service named it.
    pub model: String,
    /// Why the answer ended: with [`FinishReason::Length`] it is cut. The stored message has it in its metadata, as
    /// `finish`.
    pub finish: FinishReason,
    /// The job that records how the answer came about.
    pub job: JobId,
    /// Tokens and cost of all the model's calls together; a count that no call knew is absent.
    pub usage: TokenUsage,
    /// Where the time went. Nothing, for a reply that is given again.
    pub timings: Timings,
}

impl Reply {
    /// A reply that is this text, with nothing else in it: what a host's own tests may need.
    pub fn new(conversation: ConversationId, message: MessageId, job: JobId, text: impl Into<String>) -> Self {
        Self {
            conversation,
            message,
            text: text.into(),
            citations: Vec::new(),
            degraded: Vec::new(),
            left_out: None,
            tool_calls: Vec::new(),
            model: String::new(),
            finish: FinishReason::Stop,
            job,
            usage: TokenUsage::default(),
            timings: Timings::default(),
        }
    }
}

setters! {
    Reply:
    citations: Vec<Citation>,
    degraded: Vec<String>,
    left_out: into Option<LeftOut>,
    tool_calls: Vec<CalledTool>,
    model: into String,
    finish: FinishReason,
    usage: TokenUsage,
    timings: Timings,
}

/// Messages of a conversation that a model was not shown: the oldest, for which there was no room, and results whose call it
/// was not shown. An answer that calls tools and their results are shown together, or left out together, also where
/// something else was said in between: then not all from the first to the last are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeftOut {
    /// How many.
    pub messages: u64,
    /// The place of the first in the conversation.
    pub first: u64,
    /// The place of the last.
    pub last: u64,
}

impl LeftOut {
    /// So many messages, of which these are the places of the first and of the last.
    pub fn new(messages: u64, first: u64, last: u64) -> Self {
        Self { messages, first, last }
    }

    /// Those before the place where what was read begins, and those at these places after it, if there are any.
    pub(super) fn of(begins: u64, places: impl Iterator<Item = u64>) -> Option<Self> {
        let before = begins.saturating_sub(1);
        let before = (before > 0).then_some(Self { messages: before, first: 1, last: before });
        places.fold(before, |left, place| {
            let Self { messages, first, last } = left.unwrap_or(Self { messages: 0, first: place, last: place });
            Some(Self { messages: messages + 1, first: first.min(place), last: last.max(place) })
        })
    }
}

/// Something that was retrieved and that the answer cites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Citation {
    /// The number in the answer: `[1]`.
    pub number: usize,
    /// Where the number stands in [`Reply::text`]: its bytes, without the brackets, each time, but no more than 1,000 times.
    pub places: Vec<Range<usize>>,
    /// What is cited. For a message its path is only a label, of no file:
    /// `conversations/<date>/<conversation>/<sequence>-<role>`.
    pub passage: Passage,
    /// The earlier message that is cited, if it is one.
    pub message: Option<CitedMessage>,
}

impl Citation {
    /// A citation of this passage under this number, which stands at these places.
    pub fn new(number: usize, places: Vec<Range<usize>>, passage: Passage) -> Self {
        Self { number, places, passage, message: None }
    }
}

setters! {
    Citation:
    message: into Option<CitedMessage>,
}

/// An earlier message of the same user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CitedMessage {
    /// Its conversation.
    pub conversation: ConversationId,
    /// The message.
    pub message: MessageId,
    /// Its place in the conversation.
    pub sequence: u64,
}

impl CitedMessage {
    /// The message at this place of this conversation.
    pub fn new(conversation: ConversationId, message: MessageId, sequence: u64) -> Self {
        Self { conversation, message, sequence }
    }
}

/// A tool that was called.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CalledTool {
    /// The model's id of the call.
    pub call_id: String,
    /// The tool's name as the model wrote it.
    pub name: String,
    /// The arguments.
    pub arguments: Value,
    /// What it answered.
    pub outcome: ToolOutcome,
}

impl CalledTool {
    /// A call of this tool that ended so.
    pub fn new(call_id: impl Into<String>, name: impl Into<String>, arguments: Value, outcome: ToolOutcome) -> Self {
        Self { call_id: call_id.into(), name: name.into(), arguments, outcome }
    }
}

/// Where the time of one answer went. Serialised in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Timings {
    /// Reading the conversation and searching, while the first commit was going on.
    #[serde(serialize_with = "milliseconds")]
    pub retrieval: Duration,
    /// Waiting for the model.
    #[serde(serialize_with = "milliseconds")]
    pub model: Duration,
    /// Running tools.
    #[serde(serialize_with = "milliseconds")]
    pub tools: Duration,
    /// All of it, commits and waiting for the caller to take events included.
    #[serde(serialize_with = "milliseconds")]
    pub total: Duration,
}

setters! {
    Timings:
    retrieval: Duration,
    model: Duration,
    tools: Duration,
    total: Duration,
}

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64() * 1_000.0)
}

/// What happens while an agent answers.
///
/// Serialised, it is an object of the event's name and what belongs to it, as an event stream of a web server has them:
/// `{"event": "text", "data": "The launch"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event", content = "data")]
#[non_exhaustive]
pub enum AgentEvent {
    /// More of the model's text. What it says before it calls tools comes here too, and is not part of [`Reply::text`].
    Text(String),
    /// A tool is about to be called.
    ToolStarted {
        /// The model's id of the call.
        call_id: String,
        /// The tool's name as the model wrote it.
        name: String,
        /// The arguments.
        arguments: Value,
    },
    /// A tool's call ended.
    ToolFinished {
        /// The model's id of the call.
        call_id: String,
        /// What it answered.
        outcome: ToolOutcome,
        /// How long it took. Serialised in milliseconds, as `duration_ms`.
        #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
        duration: Duration,
    },
    /// The answer is complete and durable. Always the last event.
    Finished(Box<Reply>),
}

/// An agent's answer as it comes: any number of events, then [`AgentEvent::Finished`] or an error.
///
/// Dropping it stops the work at the next point where it can be stopped, and the job ends as cancelled.
#[derive(Debug)]
pub struct AgentStream {
    events: Receiver<Result<AgentEvent, AgentError>>,
    ended: bool,
}

impl AgentStream {
    pub(super) fn new(events: Receiver<Result<AgentEvent, AgentError>>) -> Self {
        Self { events, ended: false }
    }

    /// The reply at the end, without what comes before it.
    pub(super) async fn reply(mut self) -> Result<Reply, AgentError> {
        while let Some(event) = self.next().await {
            if let AgentEvent::Finished(reply) = event? {
                return Ok(*reply);
            }
        }
        Err(AgentError::new(AgentErrorKind::Cancelled, "send", "the work ended without an answer"))
    }
}

impl Stream for AgentStream {
    type Item = Result<AgentEvent, AgentError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = match std::task::ready!(self.events.poll_recv(cx)) {
            Some(event) => event,
            // The task ended without a word: its runtime is going down.
            None => Err(AgentError::new(AgentErrorKind::Cancelled, "send", "the runtime stopped the work")),
        };
        self.ended = matches!(event, Ok(AgentEvent::Finished(_)) | Err(_));
        Poll::Ready(Some(event))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::workspace::WorkspacePath;

    const ONE: &str = "01010101-0101-0101-0101-010101010101";
    const TWO: &str = "02020202-0202-0202-0202-020202020202";

    fn reply() -> Reply {
        let path = WorkspacePath::parse("notes/launch.md").unwrap();
        let passage = Passage::new(path, 3, 7, "March", 0.5);
        let (conversation, message) = (ConversationId::from_bytes([1; 16]), MessageId::from_bytes([2; 16]));
        let cited =
            Citation::new(1, vec![10..11, 15..16], passage).message(CitedMessage::new(conversation, message, 3));
        let outcome = ToolOutcome::Success(json!("free"));
        Reply::new(conversation, message, JobId::from_bytes([1; 16]), "In March [1], [1].")
            .citations(vec![cited])
            .degraded(vec!["no room".to_owned()])
            .left_out(LeftOut::new(2, 1, 2))
            .tool_calls(vec![CalledTool::new("call_1", "calendar", json!({"month": 3}), outcome)])
            .model("model-1")
            .finish(FinishReason::Length)
            .usage(TokenUsage::default().input(Some(10)))
            .timings(Timings::default().total(Duration::from_micros(1_500)))
    }

    fn reply_json() -> Value {
        json!({
            "conversation": ONE, "message": TWO, "text": "In March [1], [1].",
            "citations": [{
                "number": 1, "places": [{"start": 10, "end": 11}, {"start": 15, "end": 16}],
                "passage": {"path": "notes/launch.md", "start": 3, "end": 7, "text": "March", "score": 0.5},
                "message": {"conversation": ONE, "message": TWO, "sequence": 3},
            }],
            "degraded": ["no room"],
            "left_out": {"messages": 2, "first": 1, "last": 2},
            "tool_calls": [{
                "call_id": "call_1", "name": "calendar", "arguments": {"month": 3}, "outcome": {"success": "free"},
            }],
            "model": "model-1", "finish": "length", "job": ONE,
            "usage": {"input": 10, "output": null, "cost_micro_usd": null},
            "timings": {"retrieval": 0.0, "model": 0.0, "tools": 0.0, "total": 1.5},
        })
    }

    #[test]
    fn a_reply_is_shown_as_json() {
        assert_eq!(serde_json::to_value(reply()).unwrap(), reply_json());
    }

    #[test]
    fn events_are_shown_as_json_by_their_names() {
        let call_id = "call_1".to_owned();
        let (name, arguments) = ("calendar".to_owned(), json!({"month": 3}));
        let outcome = ToolOutcome::Success(json!("free"));
        let duration = Duration::from_micros(1_500);
        for (event, expected) in [
            (AgentEvent::Text("In".to_owned()), json!({"event": "text", "data": "In"})),
            (
                AgentEvent::ToolStarted { call_id: call_id.clone(), name, arguments },
                json!({
                    "event": "tool_started",
                    "data": {"call_id": "call_1", "name": "calendar", "arguments": {"month": 3}},
                }),
            ),
            (
                AgentEvent::ToolFinished { call_id, outcome, duration },
                json!({
                    "event": "tool_finished",
                    "data": {"call_id": "call_1", "outcome": {"success": "free"}, "duration_ms": 1.5},
                }),
            ),
            (AgentEvent::Finished(Box::new(reply())), json!({"event": "finished", "data": reply_json()})),
        ] {
            assert_eq!(serde_json::to_value(event).unwrap(), expected);
        }
    }
}
