//! A call's arguments as a type of the host's.

use std::cell::RefCell;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

use super::{ToolError, ToolErrorKind};

/// The longest name of an argument that is repeated to the model, in bytes.
const NAME_BYTES: usize = 64;

/// The arguments as an `A`.
///
/// # Errors
/// [`ToolErrorKind::InvalidArguments`], which names the argument and what it must be, never its value: errors are logged.
pub(super) fn read<A: DeserializeOwned>(arguments: Value) -> Result<A, ToolError> {
    let invalid = |why: String| ToolError::new(ToolErrorKind::InvalidArguments, "call", why);
    let Value::Object(map) = arguments else {
        return Err(invalid("the arguments must be a JSON object".to_owned()));
    };
    let at = RefCell::default();
    A::deserialize(Arguments { map, at: &at }).map_err(|error| {
        let what = expected(&error.to_string());
        invalid(match at.into_inner() {
            Some(name) => format!("`{}`: {what}; see the tool's schema", &name[..name.floor_char_boundary(NAME_BYTES)]),
            None => format!("{what}; see the tool's schema"),
        })
    })
}

/// What serde's message says of the type, without what it says of the value: `invalid type: string "…", expected u32`.
fn expected(message: &str) -> String {
    match message.rfind(", expected ") {
        _ if message.starts_with("missing field `") => message.to_owned(),
        Some(at) if message.starts_with("unknown field `") => format!("unknown argument{}", &message[at..]),
        Some(at) => message[at + 2..].to_owned(),
        None => "not what the tool takes".to_owned(),
    }
}

/// The map, which notes the argument that is being read, so that an error can name it.
struct Arguments<'a> {
    map: Map<String, Value>,
    at: &'a RefCell<Option<String>>,
}

impl<'de> Deserializer<'de> for Arguments<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Entries { entries: self.map.into_iter(), value: None, at: self.at })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        Value::Object(self.map).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Entries<'a> {
    entries: serde_json::map::IntoIter,
    value: Option<Value>,
    at: &'a RefCell<Option<String>>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        self.at.replace(Some(key.clone()));
        // A key that is refused is no argument's name: the message says which there are.
        let read = seed.deserialize(key.into_deserializer()).map(Some);
        if read.is_err() {
            self.at.replace(None);
        }
        read
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let value = seed.deserialize(self.value.take().unwrap_or_default())?;
        self.at.replace(None);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Trip {
        to: Place,
        days: u8,
        by: Option<Means>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Place {
        city: String,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Means {
        Train,
        Ship,
    }

    #[test]
    fn what_fits_is_read() {
        let trip: Trip = read(json!({"to": {"city": "Graz"}, "days": 2, "by": "train"})).unwrap();
        assert_eq!(trip, Trip { to: Place { city: "Graz".to_owned() }, days: 2, by: Some(Means::Train) });
        assert_eq!(read::<Value>(json!({"a": [1]})).unwrap(), json!({"a": [1]}));
        assert_eq!(read::<Option<Place>>(json!({"city": "a"})).unwrap().unwrap().city, "a");
    }

    #[test]
    fn what_does_not_fit_is_named_without_its_value() {
        let to = json!({"city": "Graz"});
        for (arguments, said) in [
            (json!([1]), "the arguments must be a JSON object"),
            (json!({"to": to, "by": null}), "missing field `days`; see the tool's schema"),
            (json!({"to": {}, "days": 1}), "`to`: missing field `city`; see the tool's schema"),
            (json!({"to": to, "days": "hush, expected nothing"}), "`days`: expected u8; see the tool's schema"),
            (json!({"to": to, "days": 300}), "`days`: expected u8; see the tool's schema"),
            (json!({"to": to, "days": 1, "by": "hush"}), "`by`: expected `train` or `ship`; see the tool's schema"),
            (json!({"hush": 1}), "unknown argument, expected one of `to`, `days`, `by`; see the tool's schema"),
        ] {
            let error = read::<Trip>(arguments).unwrap_err();
            assert_eq!(error.kind(), &ToolErrorKind::InvalidArguments);
            assert_eq!(error.context(), said);
        }
    }
}
