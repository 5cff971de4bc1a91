//! A row of the file as an integrity check sees it.

use crate::copy::table::Value;

/// A column of a table that is looked at.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) is_text: bool,
    pub(super) is_needed: bool,
}

/// A row that was looked at: what can't be decoded is absent.
pub(super) struct Looked<'a> {
    columns: &'a [Column],
    values: Vec<Option<Value>>,
}

impl<'a> Looked<'a> {
    pub(super) fn new(columns: &'a [Column], values: Vec<Option<Value>>) -> Self {
        Self { columns, values }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let at = self.columns.iter().position(|column| column.name == name)?;
        self.values.get(at)?.as_ref()
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self.value(name)? {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}
