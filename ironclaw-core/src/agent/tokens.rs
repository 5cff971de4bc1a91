use crate::llm::framing::{around_passages, render_document, render_name, render_passage, render_result};
use crate::llm::history::made_id;
use crate::llm::{ContentPart, LlmMessage, LlmOptions, ToolCall};
use crate::model::workspace::Passage;
use crate::tool::ToolSpec;

mod classes;

use classes::{Class, class};

/// What a message costs besides its text: role and separators.
const MESSAGE_TOKENS: usize = 4;
/// An image, or 32 KiB of a document that is no text.
const PART_TOKENS: usize = 1_600;
/// What a call or a tool costs besides its texts: the JSON or the markup around them.
const CALL_TOKENS: usize = 12;
const TOOL_TOKENS: usize = 16;

/// About how many tokens a text is for a language model.
///
/// Every model counts differently, so the estimate errs on the high side: compared with `o200k_base`, the vocabulary of
/// OpenAI's newer models, it is at most 10 % too low and 60 % too high for prose in the larger languages, code, JSON,
/// CSV, hex and emoji. Older vocabularies need up to three times as many tokens for scripts other than Latin.
///
/// It goes by the classes of characters, as the vocabularies do when they cut a text into words: a word costs by its
/// length and its script, three digits cost one token, a sign costs one, a blank before a word nothing.
///
/// ```
/// use ironclaw_core::agent::estimate_tokens;
///
/// assert_eq!(estimate_tokens("When is the launch?"), 6);
/// assert_eq!(estimate_tokens("打ち上げはいつ"), 8);
/// assert_eq!(estimate_tokens(""), 0);
/// ```
pub fn estimate_tokens(text: &str) -> usize {
    let mut hundredths = 0;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (cost, length) = match class(first) {
            Class::Latin => latin(rest),
            Class::Word { base, letter } => {
                let (count, length) = run(rest, |c| class(c) == class(first));
                (word(base, letter, count), length)
            }
            Class::Digit => {
                let (count, length) = run(rest, |c| class(c) == Class::Digit);
                (100 * count.div_ceil(3), length)
            }
            Class::Blank => blank(rest),
            Class::Sign => sign(rest),
            Class::Each(cost) => (cost, first.len_utf8()),
        };
        hundredths += cost;
        rest = &rest[length..];
    }
    hundredths.div_ceil(100)
}

/// How many characters at the beginning are of a kind, and their bytes.
fn run(text: &str, is: impl Fn(char) -> bool) -> (usize, usize) {
    let length = text.find(|c| !is(c)).unwrap_or(text.len());
    (text[..length].chars().count(), length)
}

/// A word is at least a token, and the longer it is, the more.
fn word(base: usize, letter: usize, letters: usize) -> usize {
    (base + letter * letters).max(100)
}

/// A word of Latin letters. A capital within it begins another; letters with marks cost more, and so do capitals, mixed
/// ones most of all, and consonants without vowels: they are seldom words.
fn latin(text: &str) -> (usize, usize) {
    let (mut letters, mut capitals, mut consonants, mut more, mut length) = (0, 0, 0, 0, 0);
    for c in text.chars().take_while(|c| class(*c) == Class::Latin) {
        let capital = c.is_uppercase();
        if capital && capitals < letters {
            break;
        }
        letters += 1;
        length += c.len_utf8();
        capitals += usize::from(capital);
        more += match c {
            '\0'..='\x7F' => 0,
            '\u{80}'..='\u{FF}' => 54,
            '\u{100}'..='\u{17F}' => 82,
            _ => 40,
        };
        let vowel = !c.is_ascii() || matches!(c.to_ascii_lowercase(), 'a' | 'e' | 'i' | 'o' | 'u' | 'y');
        consonants = if vowel { 0 } else { consonants + 1 };
        more += if consonants > 3 { 70 } else { 0 };
    }
    let letter = match capitals {
        0 | 1 => 21,
        _ if capitals == letters => 25,
        _ => 58,
    };
    (word(40, letter, letters) + more, length)
}

/// White space. One blank before a word or a sign is a part of it.
fn blank(text: &str) -> (usize, usize) {
    let (count, length) = run(text, |c| class(c) == Class::Blank);
    let blanks = &text[..length];
    let next = text[length..].chars().next().map(class);
    let lines = blanks.bytes().filter(|b| *b == b'\n').count();
    let tabs = blanks.bytes().filter(|b| *b == b'\t').count();
    let cost = match (blanks, lines) {
        (" ", _) => match next {
            None | Some(Class::Digit) => 100,
            Some(Class::Each(cost)) if cost > 100 => 25,
            Some(_) => 0,
        },
        (_, 0) => 100 + count / 8 * 10 + tabs * 5,
        _ => 100 + lines / 4 * 25 + tabs * 5 + if blanks.ends_with('\n') { 0 } else { 100 },
    };
    (cost, length)
}

/// Signs that follow one another are often one token together.
fn sign(text: &str) -> (usize, usize) {
    let (mut cost, mut length) = (70, 0);
    let mut before = None;
    for c in text.chars().take_while(|c| class(*c) == Class::Sign) {
        cost += if before == Some(c) { 2 } else { 30 };
        length += c.len_utf8();
        before = Some(c);
    }
    (cost, length)
}

pub(super) fn of_message(message: &LlmMessage) -> usize {
    MESSAGE_TOKENS
        + match message {
            LlmMessage::System { text } => estimate_tokens(text),
            LlmMessage::User { text, parts } => estimate_tokens(text) + parts.iter().map(of_part).sum::<usize>(),
            LlmMessage::Assistant { text, tool_calls } => {
                let call = |call: &ToolCall| {
                    CALL_TOKENS
                        + of_id(&call.id)
                        + estimate_tokens(&call.name)
                        + estimate_tokens(&call.arguments.to_string())
                };
                estimate_tokens(text) + tool_calls.iter().map(call).sum::<usize>()
            }
            LlmMessage::Tool { call_id, name, content, is_error } => {
                of_id(call_id) + estimate_tokens(&render_result(name, content, *is_error))
            }
        }
}

/// An id's tokens, or those of the one that [`fit_history`] gives in its place if it is none or taken.
///
/// [`fit_history`]: crate::llm::fit_history
fn of_id(id: &str) -> usize {
    estimate_tokens(id).max(estimate_tokens(&made_id(0)))
}

/// A part's tokens: of a document of text those of the text in its frame; of an image what services count at most for one
/// that they don't shrink; of any other document, whose pages aren't counted here, as much for each 32 KiB, and its name.
fn of_part(part: &ContentPart) -> usize {
    match (render_document(part), part) {
        (Some(text), _) => estimate_tokens(&text),
        (None, ContentPart::Document { name, .. }) => {
            PART_TOKENS * part.bytes().div_ceil(32 << 10) + estimate_tokens(&render_name(name))
        }
        (None, _) => PART_TOKENS,
    }
}

/// A passage's tokens with its frame.
pub(super) fn of_passage(passage: &Passage) -> usize {
    estimate_tokens(&render_passage(100, passage))
}

/// The tokens of all passages as they are rendered.
pub(super) fn of_passages<'a>(passages: impl ExactSizeIterator<Item = &'a Passage>) -> usize {
    let around = if passages.len() == 0 { 0 } else { estimate_tokens(&around_passages()) };
    around + passages.map(of_passage).sum::<usize>()
}

/// The tokens of what options add to a request: the form of the answer, and what only the provider knows, which may be
/// shown to the model as well.
pub(super) fn of_options(options: &LlmOptions) -> usize {
    let form = options.response_schema.as_ref();
    let form =
        form.map_or(0, |form| TOOL_TOKENS + estimate_tokens(&form.name) + estimate_tokens(&form.schema.to_string()));
    let extra = &options.extra_body;
    form + if extra.is_null() { 0 } else { estimate_tokens(&extra.to_string()) }
}

pub(super) fn of_tool(spec: &ToolSpec) -> usize {
    TOOL_TOKENS
        + estimate_tokens(spec.name.as_str())
        + estimate_tokens(&spec.description)
        + estimate_tokens(&spec.parameters.to_string())
}
