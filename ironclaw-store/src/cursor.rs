//! Cursors: the key of the last row of a page.

use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::store::StoreError;
use ironclaw_core::{Cursor, Page, PageRequest};

/// A key by which a listing is ordered.
pub(crate) trait Key: Sized {
    fn write(&self) -> String;
    fn read(text: &str) -> Option<Self>;
}

impl Key for [u8; 16] {
    fn write(&self) -> String {
        hex(self)
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
    }
}

impl Key for u64 {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().filter(|&number| number <= i64::MAX.cast_unsigned())
    }
}

impl Key for String {
    fn write(&self) -> String {
        self.clone()
    }

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= 8_192 && !text.contains('\0')).then(|| text.to_owned())
    }
}

impl Key for (String, String) {
    fn write(&self) -> String {
        serde_json::json!([self.0, self.1]).to_string()
    }

    fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|(a, b): &Self| !a.contains('\0') && !b.contains('\0'))
    }
}

/// The key after which a page starts.
///
/// # Errors
/// An invalid input on the field `cursor`.
pub(crate) fn after<K: Key>(operation: &'static str, page: &PageRequest) -> Result<Option<K>, StoreError> {
    let Some(cursor) = page.cursor() else {
        return Ok(None);
    };
    K::read(cursor.as_str()).map(Some).ok_or_else(|| {
        let expected = "a cursor that the same listing of this store gave";
        StoreError::invalid_input(operation, InputError::new("cursor", Problem::Malformed { expected }))
    })
}

/// The lowest id of a page, in a listing from the lowest.
pub(crate) fn from(after: Option<[u8; 16]>) -> [u8; 16] {
    after.map_or(0, |id| u128::from_be_bytes(id).saturating_add(1)).to_be_bytes()
}

/// The highest id of a page, in a listing from the highest.
pub(crate) fn until(before: Option<[u8; 16]>) -> [u8; 16] {
    before.map_or(u128::MAX, |id| u128::from_be_bytes(id).saturating_sub(1)).to_be_bytes()
}

/// How many rows to read: one more than the page holds tells whether there are more.
pub(crate) fn rows(page: &PageRequest) -> i64 {
    i64::from(page.limit()) + 1
}

/// The page of the rows that [`rows`] read.
pub(crate) fn page<T, K: Key>(request: &PageRequest, mut items: Vec<T>, key: impl FnOnce(&T) -> K) -> Page<T> {
    let limit = request.limit() as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| Cursor::new(key(last).write()));
    Page::new(items, next)
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
