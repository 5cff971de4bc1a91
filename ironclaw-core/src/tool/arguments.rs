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

    /// A tool that takes nothing is called with an object all the same.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf seq tuple tuple_struct map struct
        identifier ignored_any
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
        let read = seed.deserialize(Key(key)).map(Some);
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

/// An argument's name where the type has keys that are no text: JSON has nothing else.
struct Key(String);

macro_rules! written_as_text {
    ($($method:ident: $type:ty => $visit:ident),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => visitor.visit_string(self.0),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Key {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    written_as_text! {
        deserialize_bool: bool => visit_bool,
        deserialize_i8: i8 => visit_i8,
        deserialize_i16: i16 => visit_i16,
        deserialize_i32: i32 => visit_i32,
        deserialize_i64: i64 => visit_i64,
        deserialize_i128: i128 => visit_i128,
        deserialize_u8: u8 => visit_u8,
        deserialize_u16: u16 => visit_u16,
        deserialize_u32: u32 => visit_u32,
        deserialize_u64: u64 => visit_u64,
        deserialize_u128: u128 => visit_u128,
        deserialize_f32: f32 => visit_f32,
        deserialize_f64: f64 => visit_f64
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
        self.0.into_deserializer().deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

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

    #[derive(Debug, Deserialize, PartialEq, Eq, Hash)]
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
    fn an_object_of_nothing_and_one_of_numbers_are_read() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Nothing;
        #[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
        struct Day(u8);
        read::<()>(json!({})).unwrap();
        read::<()>(json!({"a": 1})).unwrap();
        assert_eq!(read::<Nothing>(json!({})).unwrap(), Nothing);
        assert_eq!(read::<Option<Nothing>>(json!({})).unwrap(), Some(Nothing));
        let numbers: BTreeMap<u8, bool> = read(json!({"3": true, "255": false})).unwrap();
        assert_eq!(numbers, BTreeMap::from([(3, true), (255, false)]));
        assert_eq!(read::<BTreeMap<Day, u8>>(json!({"3": 1})).unwrap(), BTreeMap::from([(Day(3), 1)]));
        assert_eq!(read::<BTreeMap<i64, u8>>(json!({"-3": 1})).unwrap(), BTreeMap::from([(-3, 1)]));
        assert_eq!(read::<BTreeMap<bool, u8>>(json!({"true": 1})).unwrap(), BTreeMap::from([(true, 1)]));
        assert_eq!(read::<HashMap<Means, u8>>(json!({"ship": 1})).unwrap(), HashMap::from([(Means::Ship, 1)]));
        assert_eq!(read::<BTreeMap<String, u8>>(json!({"3": 1})).unwrap(), BTreeMap::from([("3".to_owned(), 1)]));
        let error = read::<BTreeMap<u8, bool>>(json!({"hush": true})).unwrap_err();
        assert_eq!(error.context(), "expected u8; see the tool's schema");
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
