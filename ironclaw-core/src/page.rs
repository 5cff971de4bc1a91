//! Keyset pagination: a row that is there when the first page is read appears exactly once.

use crate::input::{InputError, Problem};

mod stream;

pub use stream::{PageStream, pages};

/// How many rows, and after which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    limit: u32,
    after: Option<Cursor>,
}

impl PageRequest {
    /// The most rows of one page.
    pub const MAX: u32 = 1_000;

    /// The first page, of at most `limit` rows.
    ///
    /// # Errors
    /// [`Problem::OutOfRange`] unless `limit` is 1 to [`Self::MAX`].
    pub fn first(limit: u32) -> Result<Self, InputError> {
        if limit == 0 || limit > Self::MAX {
            return Err(InputError::new("page limit", Problem::OutOfRange { expected: "1 to 1000 rows" }));
        }
        Ok(Self { limit, after: None })
    }

    /// The page after the one that gave `cursor`, of the same size.
    #[must_use]
    pub fn after(&self, cursor: Cursor) -> Self {
        Self { limit: self.limit, after: Some(cursor) }
    }

    /// The most rows to return.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Where to go on.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.after.as_ref()
    }
}

impl Default for PageRequest {
    /// The first 100 rows.
    fn default() -> Self {
        Self { limit: 100, after: None }
    }
}

/// Where a page ended: an opaque text that only the store that made it reads.
///
/// A store refuses a cursor that it can't read with an [`InputError`] on the field `cursor`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor holding this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Some rows, and where to go on if there are more.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Page<T> {
    /// The rows, in the listing's order.
    pub items: Vec<T>,
    /// Present when there may be more rows.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// These rows, and where to go on.
    pub fn new(items: Vec<T>, next: Option<Cursor>) -> Self {
        Self { items, next }
    }
}

impl<T> Page<T> {
    /// The same page with each row mapped.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}
