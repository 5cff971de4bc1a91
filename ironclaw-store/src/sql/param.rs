//! Typed values as parameters of a statement.

use ironclaw_core::Timestamp;

/// A parameter of a statement. Each has a type for the server, one that is absent too.
#[derive(Clone)]
pub(crate) enum Param {
    /// A truth value.
    Bool(Option<bool>),
    /// A whole number. One without a sign is kept in the same 64 bits.
    Number(Option<i64>),
    /// Text without a zero character.
    Text(Option<String>),
    /// Bytes.
    Blob(Option<Vec<u8>>),
    /// The 16 bytes of an id.
    Id(Option<[u8; 16]>),
    /// A time.
    Time(Option<Timestamp>),
    /// The text of a JSON value.
    Json(Option<String>),
}

/// The parameters of a statement, in order: the first is `?1`.
pub(crate) type Params = Vec<Param>;

/// What can be a parameter of a statement.
pub(crate) trait IntoParam: Sized {
    /// The value as a parameter; `None` is the absent one of this type.
    fn param(value: Option<Self>) -> Param;
}

impl<T: IntoParam> From<T> for Param {
    fn from(value: T) -> Self {
        T::param(Some(value))
    }
}

macro_rules! into_param {
    ($($type:ty => $variant:ident, $convert:expr;)*) => {$(
        impl IntoParam for $type {
            fn param(value: Option<Self>) -> Param {
                Param::$variant(value.map($convert))
            }
        }
    )*};
}

into_param! {
    bool => Bool, |value| value;
    i64 => Number, |value| value;
    u64 => Number, u64::cast_signed;
    u32 => Number, i64::from;
    &str => Text, str::to_owned;
    String => Text, |value| value;
    &[u8] => Blob, <[u8]>::to_vec;
    Vec<u8> => Blob, |value| value;
    Timestamp => Time, |value| value;
    Id<'_> => Id, |Id(bytes)| *bytes;
    Json => Json, |Json(text)| text;
}

impl<const N: usize> IntoParam for &[u8; N] {
    fn param(value: Option<Self>) -> Param {
        Param::Blob(value.map(|bytes| bytes.to_vec()))
    }
}

impl<T: IntoParam> IntoParam for Option<T> {
    fn param(value: Option<Self>) -> Param {
        T::param(value.flatten())
    }
}

/// The bytes of an id.
pub(crate) struct Id<'a>(pub(crate) &'a [u8; 16]);

/// The text of a JSON value.
pub(crate) struct Json(pub(crate) String);

impl Json {
    /// A value's text.
    pub(crate) fn of(value: &serde_json::Value) -> Self {
        Self(value.to_string())
    }
}

/// The parameters of a statement, in order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::sql::Param::from($value)),*]
    };
}

pub(crate) use params;
