//! Validation of what comes from outside: one error that names the field and the limit.

use thiserror::Error;

/// An input that was refused before anything was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct InputError {
    field: &'static str,
    problem: Problem,
}

impl InputError {
    /// The refusal of `field` because of `problem`.
    pub fn new(field: &'static str, problem: Problem) -> Self {
        Self { field, problem }
    }

    /// The field that was refused, as the API names it.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// Why it was refused.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl From<std::convert::Infallible> for InputError {
    /// A value that is of its type already is never refused.
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// The value itself, or the text parsed into one: what functions do that take either.
///
/// ```
/// use ironclaw_core::id::SecretName;
/// use ironclaw_core::input::{InputError, parsed};
///
/// fn greet(name: impl TryInto<SecretName, Error: Into<InputError>>) -> Result<String, InputError> {
///     let name: SecretName = parsed(name)?;
///     Ok(format!("hello, {name}"))
/// }
///
/// let openai = SecretName::parse("openai")?;
/// assert_eq!(greet("openai")?, greet(&openai)?);
/// assert_eq!(greet("").unwrap_err().to_string(), "secret: must not be empty");
/// # Ok::<(), InputError>(())
/// ```
///
/// # Errors
/// What the type refuses. A value that is of the type already is never refused, nor looked at again.
pub fn parsed<T>(value: impl TryInto<T, Error: Into<InputError>>) -> Result<T, InputError> {
    value.try_into().map_err(Into::into)
}

/// Why an input was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing was given where something is needed.
    #[error("must not be empty")]
    Empty,
    /// Longer or larger than the limit; both in the same unit.
    #[error("{actual} {unit} exceed the limit of {limit} {unit}")]
    TooLarge {
        /// The largest accepted size.
        limit: u64,
        /// The size that was given.
        actual: u64,
        /// What is counted: `bytes`, `items`, `dimensions`, `levels`.
        unit: &'static str,
    },
    /// U+0000, which text and JSON columns can't hold.
    #[error("must not contain U+0000 (found at byte {at})")]
    Nul {
        /// The byte offset of the first one.
        at: usize,
    },
    /// A control character in a name.
    #[error("must not contain control characters (found at byte {at})")]
    Control {
        /// The byte offset of the first one.
        at: usize,
    },
    /// Bytes that are not UTF-8 where text is needed.
    #[error("is not valid UTF-8 (valid up to byte {valid_up_to})")]
    NotUtf8 {
        /// How many bytes from the start are valid.
        valid_up_to: usize,
    },
    /// Not of the expected form.
    #[error("is malformed: expected {expected}")]
    Malformed {
        /// The form that is accepted.
        expected: &'static str,
    },
    /// A number outside its range, or not finite.
    #[error("is out of range: expected {expected}")]
    OutOfRange {
        /// The accepted range.
        expected: &'static str,
    },
}

/// Refuses text that is longer than `limit` bytes or contains U+0000. Empty text is accepted.
///
/// # Errors
/// [`Problem::TooLarge`] or [`Problem::Nul`].
pub fn check_text(field: &'static str, text: &str, limit: usize) -> Result<(), InputError> {
    check_size(field, text.len(), limit, "bytes")?;
    match text.find('\0') {
        Some(at) => Err(InputError::new(field, Problem::Nul { at })),
        None => Ok(()),
    }
}

/// Refuses a name that is empty, longer than `limit` bytes or has a control character in it.
///
/// # Errors
/// [`Problem::Empty`], [`Problem::TooLarge`], [`Problem::Nul`] or [`Problem::Control`].
pub fn check_name(field: &'static str, name: &str, limit: usize) -> Result<(), InputError> {
    if name.is_empty() {
        return Err(InputError::new(field, Problem::Empty));
    }
    check_text(field, name, limit)?;
    match name.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(InputError::new(field, Problem::Control { at })),
        None => Ok(()),
    }
}

/// Refuses a size over its limit.
///
/// # Errors
/// [`Problem::TooLarge`].
pub fn check_size(field: &'static str, actual: usize, limit: usize, unit: &'static str) -> Result<(), InputError> {
    if actual > limit {
        return Err(InputError::new(field, Problem::TooLarge { limit: limit as u64, actual: actual as u64, unit }));
    }
    Ok(())
}

/// The default of [`Limits::json_depth`](crate::Limits::json_depth): levels of arrays and objects within one another.
pub const JSON_DEPTH: usize = 64;

/// Refuses JSON that is nested more than `depth` levels deep, has U+0000 in a string or a key, or whose serialised form
/// is longer than `bytes`. However deep the value is, the call stack stays within what `depth` levels need.
///
/// # Errors
/// [`Problem::TooLarge`], or [`Problem::Nul`] (with offset 0: the place inside a JSON value has no byte offset).
pub fn check_json(
    field: &'static str,
    value: &serde_json::Value,
    bytes: usize,
    depth: usize,
) -> Result<(), InputError> {
    // The depth first: serialising is recursive.
    check_size(field, json_depth(value), depth, "levels")?;
    if has_nul(value) {
        return Err(InputError::new(field, Problem::Nul { at: 0 }));
    }
    check_size(field, value.to_string().len(), bytes, "bytes")
}

/// How many levels of arrays and objects there are within one another: 0 for a text, 1 for `[]`, 2 for `{"a": []}`.
/// However deep the value is, the call stack is not.
pub fn json_depth(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    let (mut deepest, mut left) = (0, vec![(value, 1)]);
    while let Some((value, level)) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items.iter().map(|item| (item, level + 1))),
            Value::Object(map) => left.extend(map.values().map(|item| (item, level + 1))),
            _ => continue,
        }
        deepest = deepest.max(level);
    }
    deepest
}

/// Whether a string or a key has U+0000 in it. Its depth was checked.
fn has_nul(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(items) => items.iter().any(has_nul),
        serde_json::Value::Object(map) => map.iter().any(|(key, item)| key.contains('\0') || has_nul(item)),
        _ => false,
    }
}

/// Bytes as text.
///
/// # Errors
/// [`Problem::NotUtf8`].
pub fn check_utf8<'a>(field: &'static str, bytes: &'a [u8]) -> Result<&'a str, InputError> {
    std::str::from_utf8(bytes).map_err(|e| InputError::new(field, Problem::NotUtf8 { valid_up_to: e.valid_up_to() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_with_field_and_limit() {
        let error = check_name("user", &"x".repeat(300), 256).unwrap_err();
        assert_eq!(error.to_string(), "user: 300 bytes exceed the limit of 256 bytes");
        assert_eq!(check_name("user", "", 256).unwrap_err().problem(), &Problem::Empty);
        assert_eq!(check_name("user", "a\0b", 256).unwrap_err().problem(), &Problem::Nul { at: 1 });
        assert_eq!(check_name("user", "ä\nb", 256).unwrap_err().problem(), &Problem::Control { at: 2 });
        assert!(check_name("user", "\u{200f}مرحبا ' OR 1=1 --", 256).is_ok());
    }

    #[test]
    fn json_is_searched_for_nul_to_its_leaves() {
        let value = serde_json::json!({"a": [{"b\0": 1}]});
        assert_eq!(check_json("value", &value, 100, 3).unwrap_err().problem(), &Problem::Nul { at: 0 });
        assert!(check_json("value", &serde_json::json!({"a": "b"}), 5, 1).is_err());
        assert!(check_json("value", &serde_json::json!({"a": "b"}), 9, 1).is_ok());
    }

    #[test]
    fn json_is_bounded_in_depth() {
        assert_eq!(json_depth(&serde_json::json!("text")), 0);
        assert_eq!(json_depth(&serde_json::json!([])), 1);
        assert_eq!(json_depth(&serde_json::json!([1, {"a": [[], 2]}, [3]])), 4);
        let nested =
            |levels| (0..levels).fold(serde_json::Value::Null, |inner, _| serde_json::Value::Array(vec![inner]));
        assert!(check_json("value", &nested(64), 1_000, 64).is_ok());
        let error = check_json("value", &nested(65), 1_000, 64).unwrap_err();
        assert_eq!(error.to_string(), "value: 65 levels exceed the limit of 64 levels");
        // A value as deep as this can't even be dropped in the usual way.
        let mut deep = nested(1_000_000);
        let error = check_json("value", &deep, usize::MAX, 64).unwrap_err();
        assert_eq!(error.to_string(), "value: 1000000 levels exceed the limit of 64 levels");
        while let Some(inner) = deep.as_array_mut().and_then(Vec::pop) {
            deep = inner;
        }
    }
}
