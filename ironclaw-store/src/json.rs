//! JSON as it is read back.

use ironclaw_core::Limits;
use serde::de::DeserializeOwned;

/// How many levels of arrays and objects within one another are read: several times what is written, so that what was
/// stored before there was a limit can be read, and few enough for the stack of any thread.
const DEPTH: usize = 512;

const _: () = assert!(DEPTH >= 4 * Limits::JSON_DEPTH_MAX);

/// A stored value; `None` if it is none, or nested more deeply than is read.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    // The parser's own limit, 127 levels, counts what values are wrapped in and would refuse what was accepted.
    if depth(text) > DEPTH {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    let value = T::deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}

/// How many brackets and braces are open at once. Of text that is no JSON it is any number.
fn depth(text: &str) -> usize {
    let (mut open, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use ironclaw_core::model::jobs::JobStep;
    use serde_json::Value;

    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels))
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        assert_eq!(depth("1"), 0);
        assert_eq!(depth(r#"[{"[[[": "\"[[["}, [], [{}]]"#), 3);
        assert_eq!(depth("]]]][["), 2);
    }

    #[test]
    fn deeper_values_are_read_than_the_parser_reads_by_itself() {
        let value: Value = read(&nested(DEPTH)).unwrap();
        assert_eq!(value.to_string(), nested(DEPTH));
        assert!(read::<Value>(&nested(DEPTH + 1)).is_none());
        assert!(read::<Value>(&nested(100_000)).is_none());
        assert!(read::<Value>("[1] 2").is_none());
        let step = format!(
            r#"{{"kind":"tool_call","call_id":"a","tool":"b","arguments":{},"outcome":{{"success":1}},"duration_us":1}}"#,
            nested(DEPTH - 1)
        );
        assert_eq!(serde_json::to_string(&read::<JobStep>(&step).unwrap()).unwrap(), step);
    }
}
