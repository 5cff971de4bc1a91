//! What models, tools and services say, made fit to be kept: bounded, and without U+0000.
//!
//! Everything that an agent records passes through here first, so that no store refuses it and a job always ends
//! recorded. What is cut says so.

use serde_json::Value;

use crate::input::{JSON_DEPTH, json_depth};

/// Room for the mark of what was cut, in bytes.
const MARK_BYTES: usize = 96;
/// The longest reason that is recorded of what failed, in bytes.
pub(super) const REASON_BYTES: usize = 4 << 10;

/// U+0000, which no store keeps, as U+FFFD.
pub(super) fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text }
}

/// The text, or as much of it as fits `limit` bytes, whole characters, with a note that says so.
pub(super) fn cut(text: String, limit: usize) -> String {
    match text.len() <= limit {
        true => text,
        false => beginning(&text, text.floor_char_boundary(limit)),
    }
}

/// Why something failed, as it is recorded.
pub(super) fn reason(text: String) -> String {
    clean(cut(text, REASON_BYTES))
}

/// A short text, without a note where it is cut.
pub(super) fn short(mut text: String, limit: usize) -> String {
    text = clean(text);
    text.truncate(text.floor_char_boundary(limit));
    text
}

/// The value, if it is at most [`JSON_DEPTH`] levels deep and `limit` bytes of JSON; otherwise its beginning as text,
/// which is no more than that as JSON. The call stack stays small however deep it is.
pub(super) fn json(value: Value, limit: usize) -> Value {
    record(value, limit, JSON_DEPTH)
}

/// The same of what may be deeper.
pub(super) fn record(value: Value, limit: usize, depth: usize) -> Value {
    if json_depth(&value) > depth {
        let text = written(&value, limit);
        dismantle(value);
        return Value::String(cut_json(clean(text), limit));
    }
    let value = clean_json(value);
    let length = json_bytes(&value);
    match value {
        value if length <= limit => value,
        Value::String(text) => Value::String(cut_json(text, limit)),
        value => Value::String(cut_json(value.to_string(), limit)),
    }
}

/// How long the value is as JSON, in bytes.
pub(super) fn json_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => 2 + text.chars().map(escaped_bytes).sum::<usize>(),
        value => value.to_string().len(),
    }
}

/// A value's parts taken apart one by one: dropping it as a whole takes as much stack as it is deep.
pub(super) fn dismantle(value: Value) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(map) => left.extend(map.into_iter().map(|(_, item)| item)),
            _ => {}
        }
    }
}

fn beginning(text: &str, shown: usize) -> String {
    format!("{}\n[cut: these are the first {shown} of {} bytes]", &text[..shown], text.len())
}

/// The text, or its beginning with a note, so that it is at most `limit` bytes as JSON.
fn cut_json(text: String, limit: usize) -> String {
    let (mut bytes, mut fits) = (2, 0);
    for (at, c) in text.char_indices() {
        bytes += escaped_bytes(c);
        if bytes > limit {
            return beginning(&text, fits);
        }
        if bytes + MARK_BYTES <= limit {
            fits = at + c.len_utf8();
        }
    }
    text
}

fn escaped_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{C}' => 2,
        '\0'..='\u{1F}' => 6,
        c => c.len_utf8(),
    }
}

/// U+0000 replaced in every string and key of a JSON value whose depth is bounded.
fn clean_json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(clean_json).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (clean(k), clean_json(v))).collect()),
        value => value,
    }
}

/// The value as JSON, or its beginning of at least `limit` bytes.
fn written(value: &Value, limit: usize) -> String {
    enum Part<'a> {
        Value(&'a Value),
        Key(&'a str),
        Sign(char),
    }
    let mut text = String::new();
    let mut left = vec![Part::Value(value)];
    while let Some(part) = left.pop() {
        if text.len() > limit {
            break;
        }
        match part {
            Part::Sign(sign) => text.push(sign),
            Part::Key(key) => text.push_str(&format!("{}:", Value::from(key))),
            Part::Value(Value::Array(items)) => {
                text.push('[');
                left.push(Part::Sign(']'));
                for (at, item) in items.iter().enumerate().rev() {
                    left.push(Part::Value(item));
                    left.extend((at > 0).then_some(Part::Sign(',')));
                }
            }
            Part::Value(Value::Object(map)) => {
                text.push('{');
                left.push(Part::Sign('}'));
                for (at, (key, item)) in map.iter().enumerate().rev() {
                    left.extend([Part::Value(item), Part::Key(key)]);
                    left.extend((at > 0).then_some(Part::Sign(',')));
                }
            }
            Part::Value(value) => text.push_str(&value.to_string()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nested(depth: usize) -> Value {
        // The macro would copy what is inside, level by level.
        (0..depth).fold(Value::from(1), |inner, _| Value::from_iter([("a", Value::Array(vec![inner]))]))
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("äää".into(), 6), "äää");
        assert_eq!(cut("äää".into(), 5), "ää\n[cut: these are the first 4 of 6 bytes]");
        assert_eq!(short("äää\0".into(), 5), "ää");
    }

    #[test]
    fn nul_is_replaced_to_the_leaves() {
        let value = serde_json::json!({"a\0": [{"b": "c\0"}, 1, null]});
        assert_eq!(json(value, 1_000), serde_json::json!({"a\u{FFFD}": [{"b": "c\u{FFFD}"}, 1, null]}));
    }

    #[test]
    fn what_is_too_deep_is_kept_as_text() {
        assert_eq!(json(nested(32), 1_000), nested(32));
        assert_eq!(json(nested(33), 1_000), Value::String(nested(33).to_string()));
        let text = json(nested(1_000_000), 1_000);
        let text = text.as_str().unwrap();
        assert!(text.starts_with(r#"{"a":[{"a":["#) && text.len() < 1_000 && text.contains("[cut: "), "{text}");
        assert_eq!(written(&serde_json::json!({"a": [1, "x\n"], "b": {}}), 99), r#"{"a":[1,"x\n"],"b":{}}"#);
    }

    proptest! {
        #[test]
        fn what_grows_when_it_is_encoded_stays_within_the_limit(
            text in "[a\u{1}\u{0}\"ä\\\n]{0,400}", limit in 200_usize..600, deep in any::<bool>()
        ) {
            let value = if deep { serde_json::json!({ "a": [text] }) } else { Value::String(text) };
            let fits = json_bytes(&record(value.clone(), usize::MAX, 64)) <= limit;
            let kept = json(value.clone(), limit);
            prop_assert!(kept.to_string().len() <= limit, "{}", kept);
            prop_assert_eq!(kept.to_string().len(), json_bytes(&kept));
            prop_assert!(kept.to_string().contains("[cut: ") != fits);
        }
    }
}
