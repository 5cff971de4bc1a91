//! Text of models and tools made fit to be kept and shown.

use serde_json::Value;

/// U+0000, which no store keeps, as U+FFFD.
pub(super) fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text }
}

/// The same for every string and key of a JSON value.
pub(super) fn clean_json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(clean_json).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (clean(k), clean_json(v))).collect()),
        value => value,
    }
}

/// The text, or as much of it as fits `limit` bytes, whole characters, with a note that says so.
pub(super) fn cut(text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    let shown = text.floor_char_boundary(limit);
    format!("{}\n[cut: these are the first {shown} of {} bytes]", &text[..shown], text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("äää".into(), 6), "äää");
        assert_eq!(cut("äää".into(), 5), "ää\n[cut: these are the first 4 of 6 bytes]");
    }

    #[test]
    fn nul_is_replaced_to_the_leaves() {
        let value = serde_json::json!({"a\0": [{"b": "c\0"}, 1, null]});
        assert_eq!(clean_json(value), serde_json::json!({"a\u{FFFD}": [{"b": "c\u{FFFD}"}, 1, null]}));
    }
}
