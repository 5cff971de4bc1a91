//! A stored conversation made fit to send: what of it there is room for, in groups that stay together.
//!
//! What is stored is never sent back as it came. A stored history can be anything: a host appended what it liked, a process
//! was killed between a call and its result, another model wrote it. [`History::fit`] and [`fit_history`] after it make of it
//! what every protocol takes.
//!
//! [`fit_history`]: crate::llm::fit_history

use std::collections::HashSet;

use serde_json::Value;

use super::reply::LeftOut;
use super::tokens::of_message;
use crate::llm::history::{BEGINNING, Group as Paired, NO_ANSWER, SEE_PARTS, is_blank, pair};
use crate::llm::{ContentPart, LlmMessage, LlmProvider, LlmRequest};
use crate::model::conversations::{Message, Role, ToolResult};

/// Stands for images and documents that the model doesn't read.
const UNREAD_PARTS: &str = "\n\n[An attachment was left out: this model can't read it.]";
/// Stands for images and documents that were not even read from the store.
const LEFT_OUT_PARTS: &str = "\n\n[An attachment was left out: there is no room for it.]";

/// What was said before the question.
#[derive(Debug)]
pub(super) struct History {
    groups: Vec<Group>,
    /// The place in the conversation where what was read of it begins.
    begins: u64,
    /// The places of what was read and is in no group: results of calls that were not read.
    lost: Vec<u64>,
}

/// Messages that stay together: a call of tools and its results.
#[derive(Debug)]
struct Group {
    messages: Vec<LlmMessage>,
    tokens: usize,
    /// Their places in the conversation; a result that never came has none.
    places: Vec<u64>,
}

/// Whose a message is: calls and results of different answers, which their jobs tell apart, are never taken for one
/// another's.
struct Of {
    job: Option<Value>,
    sequence: u64,
}

impl PartialEq for Of {
    fn eq(&self, other: &Self) -> bool {
        self.job == other.job
    }
}

impl History {
    /// The stored messages that come before the one at `question`, in order, as this model reads them.
    pub(super) fn new(stored: Vec<Message>, question: u64, llm: &dyn LlmProvider) -> Self {
        let begins = stored.first().map_or(question, |message| message.sequence);
        let says_something = |message: &&Message| !is_blank(&message.message.content);
        let mut lost: Vec<u64> = stored.iter().filter(says_something).map(|message| message.sequence).collect();
        let group = |Paired { of, messages }: Paired<Of>| {
            // An answer that called tools may need a note that it went no further.
            let note = if messages.len() > 1 { of_message(&no_answer()) } else { 0 };
            let tokens = messages.iter().map(of_message).sum::<usize>() + note;
            Group { messages, tokens, places: of.iter().map(|of| of.sequence).collect() }
        };
        let mut groups: Vec<Group> = said(stored, llm).into_iter().map(group).collect();
        let grouped: HashSet<u64> = groups.iter().flat_map(|group| group.places.iter().copied()).collect();
        lost.retain(|place| !grouped.contains(place));
        if let Some(group) = groups.iter_mut().find(|group| !group.is_of_system()).filter(|group| !group.is_of_user()) {
            // An assistant who speaks first needs a note that it does.
            group.tokens += of_message(&LlmMessage::user(BEGINNING));
        }
        Self { groups, begins, lost }
    }

    /// The newest for which there is room, in tokens; and what is left out for it.
    pub(super) fn fit(&self, room: usize) -> (impl Iterator<Item = &LlmMessage>, Option<LeftOut>) {
        let shown = newest(&self.groups, room);
        let dropped = &self.groups[..self.groups.len() - shown.len()];
        let places = dropped.iter().flat_map(|group| &group.places).chain(&self.lost).copied();
        let left_out = LeftOut::of(self.begins, places);
        (shown.iter().flat_map(|group| &group.messages), left_out)
    }
}

/// What stored messages say, each answer that calls tools together with all its results.
pub(super) fn turns(stored: Vec<Message>, llm: &dyn LlmProvider) -> Vec<LlmMessage> {
    said(stored, llm).into_iter().flat_map(|group| group.messages).collect()
}

/// The tokens of a stored message by itself, as this model reads it: among others it has no fewer.
pub(super) fn tokens_alone(stored: &Message, llm: &dyn LlmProvider) -> usize {
    read(stored.clone(), llm).as_ref().map_or(0, of_message)
}

fn said(stored: Vec<Message>, llm: &dyn LlmProvider) -> Vec<Paired<Of>> {
    pair(stored.into_iter().filter_map(|stored| {
        let of = Of { job: stored.message.metadata.get("job").cloned(), sequence: stored.sequence };
        Some((of, read(stored, llm)?))
    }))
}

/// What a stored message says; nothing if it is a result of no call.
fn read(Message { message, parts_left_out, .. }: Message, llm: &dyn LlmProvider) -> Option<LlmMessage> {
    let mut text = message.content;
    Some(match message.role {
        Role::System => LlmMessage::System { text },
        Role::User => {
            if parts_left_out {
                text.push_str(LEFT_OUT_PARTS);
            }
            readable(text, message.parts, llm)
        }
        Role::Assistant => LlmMessage::Assistant { text, tool_calls: message.tool_calls },
        Role::Tool => {
            let ToolResult { call_id, name, is_error } = message.tool_result?;
            LlmMessage::Tool { call_id, name, content: text, is_error }
        }
    })
}

impl Group {
    fn is_of_system(&self) -> bool {
        matches!(self.messages.first(), Some(LlmMessage::System { .. }))
    }

    fn is_of_user(&self) -> bool {
        matches!(self.messages.first(), Some(LlmMessage::User { .. }))
    }
}

/// The groups at the end that fit, without gaps: all of them, or from a message of the user's on. An answer whose question
/// was dropped helps nobody, and some services want the user to speak first.
fn newest(history: &[Group], room: usize) -> &[Group] {
    let mut left = room;
    let mut from = history.len();
    for (at, group) in history.iter().enumerate().rev() {
        let Some(rest) = left.checked_sub(group.tokens) else { break };
        left = rest;
        from = at;
    }
    if from > 0 {
        from += history[from..].iter().take_while(|group| !group.is_of_user()).count();
    }
    &history[from..]
}

/// An earlier message without what this model doesn't read: another model may have been asked then.
fn readable(mut text: String, parts: Vec<ContentPart>, llm: &dyn LlmProvider) -> LlmMessage {
    let before = parts.len();
    let is_read = |part: &ContentPart| {
        let alone = LlmMessage::User { text: SEE_PARTS.to_owned(), parts: vec![part.clone()] };
        llm.check(&LlmRequest::new(vec![alone])).is_ok()
    };
    let parts: Vec<ContentPart> = parts.into_iter().filter(is_read).collect();
    if parts.len() < before {
        text.push_str(UNREAD_PARTS);
    }
    LlmMessage::User { text, parts }
}

fn no_answer() -> LlmMessage {
    LlmMessage::Assistant { text: NO_ANSWER.to_owned(), tool_calls: Vec::new() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::ExtractiveLlm;
    use crate::clock::{SystemClock, Timestamp};
    use crate::id::{ConversationId, MessageId, ToolName};
    use crate::llm::{ToolCall, fit_history};
    use crate::model::conversations::NewMessage;

    const SECRETLY_ALIKE: [&str; 4] = ["", "a", "b", "not an id"];

    /// Messages of a conversation, from any place in it on.
    fn any_stored() -> impl Strategy<Value = Vec<Message>> {
        let text = prop::sample::select(vec!["", " \n", "q", "a longer text\n\n---\n\nwith a frame in it", "\0"]);
        let call = (prop::sample::select(&SECRETLY_ALIKE[..]), prop::sample::select(vec!["echo", "", "a.b"]))
            .prop_map(|(id, name)| ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: json!("{\"cut") });
        let calls = prop::collection::vec(call, 0..4);
        let result = prop::option::of(prop::sample::select(&SECRETLY_ALIKE[..]));
        let job = prop::sample::select(vec![json!(null), json!({"job": 1}), json!({"job": 2})]);
        let role = prop::sample::select(vec![Role::User, Role::Assistant, Role::System, Role::Tool, Role::Tool]);
        let message = (role, text, calls, result, job, any::<bool>()).prop_map(
            |(role, text, tool_calls, result, metadata, pictured)| NewMessage {
                tool_calls,
                tool_result: result.map(|id| ToolResult {
                    call_id: id.to_owned(),
                    name: ToolName::parse("echo").unwrap(),
                    is_error: false,
                }),
                metadata,
                parts: Vec::from_iter(pictured.then(|| ContentPart::image("image/png", &b"x"[..]))),
                ..NewMessage::text(MessageId::make(&SystemClock), role, text)
            },
        );
        (1_u64..50, prop::collection::vec(message, 0..24)).prop_map(|(begins, messages)| {
            let conversation = ConversationId::make(&SystemClock);
            let message = |(sequence, mut message): (u64, NewMessage)| {
                if !is_blank(&message.content) {
                    message.content.push_str(&mark(sequence));
                }
                Message::new(conversation, sequence, Timestamp::from_micros(0), message)
            };
            (begins..).zip(messages).map(message).collect()
        })
    }

    /// What a text that is not blank ends with, so that it is known again.
    fn mark(sequence: u64) -> String {
        format!(" #{sequence};")
    }

    /// Why a service would refuse these messages.
    fn fault(messages: &[LlmMessage]) -> Option<String> {
        let mut waiting: Vec<&str> = Vec::new();
        let mut before: Option<&LlmMessage> = None;
        for (at, message) in messages.iter().enumerate() {
            let follows = |kind: fn(&LlmMessage) -> bool| before.is_some_and(kind);
            let is_user: fn(&LlmMessage) -> bool = |message| matches!(message, LlmMessage::User { .. });
            let is_assistant: fn(&LlmMessage) -> bool = |message| matches!(message, LlmMessage::Assistant { .. });
            if !matches!(message, LlmMessage::Tool { .. }) && !waiting.is_empty() {
                return Some(format!("{at}: a call has no result"));
            }
            match message {
                LlmMessage::System { .. } if at > 0 => return Some(format!("{at}: the system speaks late")),
                LlmMessage::User { .. } if follows(is_user) => return Some(format!("{at}: the user speaks twice")),
                LlmMessage::User { .. } if follows(|message| matches!(message, LlmMessage::Tool { .. })) => {
                    return Some(format!("{at}: results without an answer"));
                }
                LlmMessage::Assistant { .. } if follows(is_assistant) || before.is_none() => {
                    return Some(format!("{at}: the assistant speaks out of turn"));
                }
                LlmMessage::Assistant { tool_calls, .. } => {
                    waiting = tool_calls.iter().map(|call| call.id.as_str()).collect();
                }
                LlmMessage::Tool { call_id, .. } => match waiting.first() {
                    Some(id) if id == call_id => drop(waiting.remove(0)),
                    _ => return Some(format!("{at}: a result without its call")),
                },
                LlmMessage::System { .. } | LlmMessage::User { .. } => {}
            }
            before = Some(message);
        }
        None
    }

    #[test]
    fn the_ids_that_calls_are_given_have_their_room() {
        let call = |_| ToolCall { id: String::new(), name: "echo".to_owned(), arguments: json!({}) };
        let answer = NewMessage {
            tool_calls: (0..64).map(call).collect(),
            ..NewMessage::text(MessageId::make(&SystemClock), Role::Assistant, "")
        };
        let conversation = ConversationId::make(&SystemClock);
        let stored = Message::new(conversation, 1, Timestamp::from_micros(0), answer);
        let history = History::new(vec![stored], 2, &ExtractiveLlm::new());
        let room = history.groups[0].tokens;
        let sent = fit_history(history.fit(room).0.cloned().collect());
        assert!(sent.iter().map(of_message).sum::<usize>() <= room);
    }

    proptest! {
        #[test]
        fn any_stored_history_is_made_fit_within_any_window(stored in any_stored(), room in 0_usize..600) {
            let begins = stored.first().map_or(7, |first| first.sequence);
            let question = begins + stored.len() as u64;
            let history = History::new(stored.clone(), question, &ExtractiveLlm::new());
            let (shown, left_out) = history.fit(room);
            let shown: Vec<LlmMessage> = shown.cloned().collect();
            let tokens: usize = shown.iter().map(of_message).sum();
            prop_assert!(tokens <= room);
            let texts: String = shown.iter().map(LlmMessage::text).collect();

            let ask = LlmMessage::user("the question");
            let sent = fit_history([vec![LlmMessage::System { text: "rules".into() }], shown, vec![ask]].concat());
            prop_assert_eq!(fault(&sent), None);
            let instructed = matches!(&sent[0], LlmMessage::System { text } if text.starts_with("rules"));
            prop_assert!(instructed);
            prop_assert!(sent.last().unwrap().text().ends_with("the question"));
            prop_assert!(sent.iter().all(|message| message.parts().is_empty()), "it reads no images");
            let cost: usize = sent[1..].iter().map(of_message).sum();
            prop_assert!(cost <= room + of_message(&LlmMessage::user("the question")) + 8, "{} of {}", cost, room);

            // Every text that is not shown is told, and none that is. What has no text may have parts or calls.
            let is_shown = |message: &&Message| texts.contains(&mark(message.sequence));
            let (blank, marked): (Vec<&Message>, Vec<&Message>) =
                stored.iter().partition(|message| is_blank(&message.message.content));
            let missing: Vec<u64> = marked.iter().filter(|m| !is_shown(m)).map(|m| m.sequence).collect();
            let least = begins - 1 + missing.len() as u64;
            let told = left_out.map_or(0, |left| left.messages);
            prop_assert!((least..=least + blank.len() as u64).contains(&told), "{} of {}", told, least);
            if let Some(left) = left_out {
                prop_assert!(left.first == 1 || begins > 1 || left.first <= missing.first().copied().unwrap_or(question));
                prop_assert!(begins == 1 || left.first == 1);
                prop_assert!(left.last >= missing.last().copied().unwrap_or(begins - 1) && left.last < question);
                prop_assert!(left.messages <= left.last - left.first + 1);
            }
        }
    }
}
