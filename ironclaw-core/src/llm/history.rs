//! A history made fit to send, whatever it is and wherever it comes from.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::{ContentPart, LlmMessage, ToolCall};
use crate::id::ToolName;

/// Stands between what one side said in several messages that follow one another.
pub(crate) const SEPARATOR: &str = "\n\n---\n\n";

/// Stands for the result of a call that was interrupted before its result was recorded.
const INTERRUPTED: &str = "The call was interrupted. Whether it took effect is not known.";
/// Stands for a result of nothing.
const NO_OUTPUT: &str = "[no output]";
/// Stands for the answer that was never made of the results that come before the next question.
pub(crate) const NO_ANSWER: &str = "[This answer was interrupted.]";
/// Stands before an assistant who speaks first.
pub(crate) const BEGINNING: &str = "[The assistant begins.]";
/// Stands for the text of a message that has none beside its images and documents.
pub(crate) const SEE_PARTS: &str = "[See what is attached.]";
/// Stands for the question where there is none.
const GO_ON: &str = "[Go on.]";

/// The longest name and the longest id of a call that every service takes.
const NAME_BYTES: usize = 64;
const ID_BYTES: usize = 40;

/// Any history as even the strictest service takes it:
///
/// - one message of the system at most, first;
/// - then the user and the assistant by turns, the user first and, unless results of tools are, last; messages of one
///   side that follow one another are one, with a line of `---` between them;
/// - no text that is empty or blank;
/// - each call under a name of `a-z A-Z 0-9 _ -` and an id of its own, its arguments an object (`{}` stands for what is
///   none);
/// - the results of an answer's calls right after it, in the order of the calls; a call without a result has one that
///   says that it was interrupted, and a result without a call is left out;
/// - an answer, if only a note that there is none, between results and the next question.
///
/// What is fit already comes back as it is. The function is pure: a history always becomes the same.
///
/// ```
/// use ironclaw_core::llm::{LlmMessage, fit_history};
///
/// let user = |text: &str| LlmMessage::user(text);
/// let empty = LlmMessage::Assistant { text: String::new(), tool_calls: vec![] };
/// let fit = fit_history(vec![user("When is the launch?"), empty, user("Hello?")]);
/// assert_eq!(fit, [user("When is the launch?\n\n---\n\nHello?")]);
/// ```
pub fn fit_history(messages: Vec<LlmMessage>) -> Vec<LlmMessage> {
    let mut instructions: Vec<String> = Vec::new();
    let mut fit: Vec<LlmMessage> = Vec::new();
    for message in pair(messages.into_iter().map(|message| ((), message))).into_iter().flat_map(|group| group.messages)
    {
        match message {
            LlmMessage::System { text } => instructions.push(text),
            LlmMessage::User { text, parts } => add_user(&mut fit, text, parts),
            LlmMessage::Assistant { text, tool_calls } => add_assistant(&mut fit, text, tool_calls),
            result @ LlmMessage::Tool { .. } => fit.push(result),
        }
    }
    if matches!(fit.last(), None | Some(LlmMessage::Assistant { .. })) {
        fit.push(LlmMessage::user(GO_ON));
    }
    name_calls(&mut fit);
    if !instructions.is_empty() {
        fit.insert(0, LlmMessage::System { text: instructions.join("\n\n") });
    }
    fit
}

fn add_user(fit: &mut Vec<LlmMessage>, text: String, parts: Vec<ContentPart>) {
    match fit.last_mut() {
        Some(LlmMessage::User { text: before, parts: shown }) => {
            before.push_str(SEPARATOR);
            before.push_str(&text);
            shown.extend(parts);
        }
        last => {
            if matches!(last, Some(LlmMessage::Tool { .. })) {
                fit.push(LlmMessage::Assistant { text: NO_ANSWER.to_owned(), tool_calls: Vec::new() });
            }
            fit.push(LlmMessage::User { text, parts });
        }
    }
}

fn add_assistant(fit: &mut Vec<LlmMessage>, text: String, calls: Vec<ToolCall>) {
    match fit.last_mut() {
        // It called nothing: what it called would come in between.
        Some(LlmMessage::Assistant { text: before, tool_calls }) => {
            if !text.is_empty() {
                before.push_str(SEPARATOR);
                before.push_str(&text);
            }
            *tool_calls = calls;
        }
        last => {
            if last.is_none() {
                fit.push(LlmMessage::user(BEGINNING));
            }
            fit.push(LlmMessage::Assistant { text, tool_calls: calls });
        }
    }
}

/// Gives each call an id of its own, and its result the same: the results follow their calls, in order.
fn name_calls(messages: &mut [LlmMessage]) {
    let mut taken: HashSet<String> = HashSet::new();
    let mut made = 0_usize;
    let mut ids = Vec::new().into_iter();
    for message in messages {
        match message {
            LlmMessage::Assistant { tool_calls, .. } => {
                for call in tool_calls.iter_mut() {
                    while !is_id(&call.id) || taken.contains(&call.id) {
                        made += 1;
                        call.id = made_id(made);
                    }
                    taken.insert(call.id.clone());
                }
                ids = tool_calls.iter().map(|call| call.id.clone()).collect::<Vec<_>>().into_iter();
            }
            LlmMessage::Tool { call_id, .. } => *call_id = ids.next().unwrap_or_default(),
            LlmMessage::System { .. } | LlmMessage::User { .. } => {}
        }
    }
}

/// The id of a call that came with none of its own.
pub(crate) fn made_id(number: usize) -> String {
    format!("call{number:05}")
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_BYTES && id.bytes().all(is_plain)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// Whether there is nothing to read in a text.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control())
}

/// Messages that stay together: one by itself, or an answer that calls tools with all their results.
#[derive(Debug, PartialEq)]
pub(crate) struct Group<K> {
    /// What the first is of, and then what each result is of that came, in the order in which they came.
    pub(crate) of: Vec<K>,
    pub(crate) messages: Vec<LlmMessage>,
}

impl<K> Group<K> {
    fn new(of: K, messages: Vec<LlmMessage>) -> Self {
        Self { of: vec![of], messages }
    }
}

/// The history in groups that stay together. What has nothing in it is left out. Calls and results that are `of` different
/// things have nothing to do with one another, though their ids be equal.
pub(crate) fn pair<K: PartialEq>(history: impl IntoIterator<Item = (K, LlmMessage)>) -> Vec<Group<K>> {
    let mut groups: Vec<Group<K>> = Vec::new();
    // Where the results of calls go that have none yet, by the ids of the calls: group, and place within it.
    let mut waiting: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
    for (of, message) in history {
        match message {
            LlmMessage::System { ref text } => {
                if !is_blank(text) {
                    groups.push(Group::new(of, vec![message]));
                }
            }
            LlmMessage::User { text, parts } => {
                // No service takes an empty text, beside an image or not.
                let text = if is_blank(&text) && !parts.is_empty() { SEE_PARTS.to_owned() } else { text };
                if !is_blank(&text) {
                    groups.push(Group::new(of, vec![LlmMessage::User { text, parts }]));
                }
            }
            LlmMessage::Assistant { text, tool_calls } => {
                // What comes under the id of one of these calls from here on answers it and no earlier one.
                for call in &tool_calls {
                    waiting.entry(call.id.clone()).or_default().retain(|&(group, _)| groups[group].of[0] != of);
                }
                let ids: Vec<String> = tool_calls.iter().map(|call| call.id.clone()).collect();
                let Some((answer, places)) = answer(text, tool_calls) else { continue };
                for (id, place) in ids.into_iter().zip(places) {
                    waiting.entry(id).or_default().extend(place.map(|place| (groups.len(), place)));
                }
                groups.push(Group::new(of, answer));
            }
            LlmMessage::Tool { call_id, content, is_error, .. } => {
                let Some(calls) = waiting.get_mut(&call_id) else { continue };
                let Some(at) = calls.iter().position(|&(group, _)| groups[group].of[0] == of) else { continue };
                let (group, place) = calls.remove(at);
                let group = &mut groups[group];
                group.of.push(of);
                if let LlmMessage::Tool { content: said, is_error: failed, .. } = &mut group.messages[place] {
                    *said = if is_blank(&content) { NO_OUTPUT.to_owned() } else { content };
                    *failed = is_error;
                }
            }
        }
    }
    groups
}

/// An answer with a place for the result of each call, until it comes one that says that the call was interrupted; and
/// where the place of each call is. A call that names no tool could not have been made and is left out. `None` if
/// nothing is left.
fn answer(text: String, calls: Vec<ToolCall>) -> Option<(Vec<LlmMessage>, Vec<Option<usize>>)> {
    let (mut tool_calls, mut results, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for mut call in calls {
        let name = tool_name(&call.name);
        places.push(name.is_some().then_some(results.len() + 1));
        let Some(name) = name else { continue };
        if !call.arguments.is_object() {
            call.arguments = json!({});
        }
        name.as_str().clone_into(&mut call.name);
        let (call_id, content) = (call.id.clone(), INTERRUPTED.to_owned());
        results.push(LlmMessage::Tool { call_id, name, content, is_error: true });
        tool_calls.push(call);
    }
    let text = if is_blank(&text) { String::new() } else { text };
    if text.is_empty() && tool_calls.is_empty() {
        return None;
    }
    results.insert(0, LlmMessage::Assistant { text, tool_calls });
    Some((results, places))
}

/// The name as every service takes it, or `None` if there is none.
fn tool_name(name: &str) -> Option<ToolName> {
    let plain = |c: char| if c.is_ascii() && is_plain(c as u8) { c } else { '_' };
    ToolName::parse(name.chars().take(NAME_BYTES).map(plain).collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(text: &str) -> LlmMessage {
        LlmMessage::user(text)
    }

    fn said(text: &str, ids: &[&str]) -> LlmMessage {
        let call = |id: &&str| ToolCall { id: (*id).into(), name: "echo".into(), arguments: json!({}) };
        LlmMessage::Assistant { text: text.into(), tool_calls: ids.iter().map(call).collect() }
    }

    fn result(id: &str, content: &str) -> LlmMessage {
        let name = ToolName::parse("echo").unwrap();
        LlmMessage::Tool { call_id: id.into(), name, content: content.into(), is_error: false }
    }

    fn interrupted(id: &str) -> LlmMessage {
        let name = ToolName::parse("echo").unwrap();
        LlmMessage::Tool { call_id: id.into(), name, content: INTERRUPTED.into(), is_error: true }
    }

    #[test]
    fn results_follow_their_calls_in_the_order_of_the_calls() {
        let history = vec![
            user("q"),
            said("", &["a", "b", "c"]),
            result("c", "3"),
            user("r"),
            result("a", "1"),
            result("x", "?"),
        ];
        let expected = [
            user("q"),
            said("", &["a", "b", "c"]),
            result("a", "1"),
            interrupted("b"),
            result("c", "3"),
            said(NO_ANSWER, &[]),
            user("r"),
        ];
        assert_eq!(fit_history(history), expected);
    }

    #[test]
    fn a_result_answers_the_last_call_of_its_id() {
        let history = vec![user("q"), said("", &["a"]), said("", &["a"]), result("a", "2"), result("a", "3")];
        let mut second = said("", &["call00001"]);
        let expected = [user("q"), said("", &["a"]), interrupted("a"), second.clone(), result("call00001", "2")];
        assert_eq!(fit_history(history.clone()), expected);
        // Of different answers, each has its own.
        let of = [0, 1, 2, 2, 1];
        let groups: Vec<_> = pair(of.into_iter().zip(history)).into_iter().map(|group| group.messages).collect();
        second = said("", &["a"]);
        assert_eq!(groups[1..], [vec![second.clone(), result("a", "3")], vec![second, result("a", "2")]]);
    }

    #[test]
    fn both_sides_take_turns_and_the_system_speaks_first() {
        let system = |text: &str| LlmMessage::System { text: text.into() };
        let history =
            vec![said("Hello!", &[]), system("a"), user(" \n"), user("q"), user("r"), system("b"), said("", &[])];
        let expected = [system("a\n\nb"), user(BEGINNING), said("Hello!", &[]), user("q\n\n---\n\nr")];
        assert_eq!(fit_history(history), expected);
        assert_eq!(
            fit_history(vec![user("q"), said("x", &[]), said("y", &["a"]), result("a", " ")])[1..],
            [said("x\n\n---\n\ny", &["a"]), result("a", NO_OUTPUT)]
        );
        assert_eq!(fit_history(vec![]), [user(GO_ON)]);
    }

    #[test]
    fn names_ids_and_arguments_are_what_services_take() {
        let call = |id: &str, name: &str, arguments| ToolCall { id: id.into(), name: name.into(), arguments };
        let tool_calls = vec![
            call("a b", "weather.in/Graz", json!("{\"city\": ")),
            call("x", "", json!({})),
            call("a b", &"n".repeat(99), json!(null)),
        ];
        let odd = LlmMessage::Assistant { text: "I look.".into(), tool_calls };
        let fit = fit_history(vec![user("q"), odd, result("a b", "1")]);
        let tool_calls =
            vec![call("call00001", "weather_in_Graz", json!({})), call("call00002", &"n".repeat(64), json!({}))];
        assert_eq!(fit[1], LlmMessage::Assistant { text: "I look.".into(), tool_calls });
        assert!(matches!(&fit[2], LlmMessage::Tool { call_id, name, content, .. }
            if call_id == "call00001" && name.as_str() == "weather_in_Graz" && content == "1"));
    }

    pub(in crate::llm) fn any_history() -> impl Strategy<Value = Vec<LlmMessage>> {
        let text = || {
            prop::sample::select(vec!["", " \n", "\0", "q", "text\n\n---\n\nmore", "  padded "]).prop_map(str::to_owned)
        };
        let id = || {
            prop::sample::select(vec!["", "a", "b", "call00001", "call00002", "not an id", "ä"]).prop_map(str::to_owned)
        };
        let name = prop::sample::select(vec![
            "",
            "echo",
            "a.b",
            "名",
            "very long name of a tool that no service takes, with blanks",
        ]);
        let parts = || prop::collection::vec(Just(ContentPart::image("image/png", &b"x"[..])), 0..2);
        let arguments = prop::sample::select(vec![json!({}), json!({"a": 1}), json!(null), json!("{\"a"), json!([1])]);
        let call =
            (id(), name, arguments).prop_map(|(id, name, arguments)| ToolCall { id, name: name.to_owned(), arguments });
        let message = prop_oneof![
            text().prop_map(|text| LlmMessage::System { text }),
            (text(), parts()).prop_map(|(text, parts)| LlmMessage::User { text, parts }),
            (text(), prop::collection::vec(call, 0..4))
                .prop_map(|(text, tool_calls)| LlmMessage::Assistant { text, tool_calls }),
            (id(), text(), any::<bool>()).prop_map(|(call_id, content, is_error)| LlmMessage::Tool {
                call_id,
                name: ToolName::parse("other").unwrap(),
                content,
                is_error
            }),
        ];
        prop::collection::vec(message, 0..14)
    }

    proptest! {
        #[test]
        fn what_is_fit_stays_as_it_is(history in any_history()) {
            let fit = fit_history(history);
            prop_assert_eq!(fit_history(fit.clone()), fit);
        }

        #[test]
        fn nothing_readable_that_a_person_said_is_lost(history in any_history()) {
            let fit = fit_history(history.clone());
            let all: Vec<&str> = fit.iter().map(LlmMessage::text).collect();
            for message in &history {
                if !matches!(message, LlmMessage::Tool { .. }) && !is_blank(message.text()) {
                    prop_assert!(all.iter().any(|text| text.contains(message.text())));
                }
            }
        }
    }
}
