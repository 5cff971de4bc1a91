//! Counts and hashes of what was moved.

use sha2::{Digest as _, Sha256};

use super::table::{Row, Value};

/// The rows of one table, counted and hashed in their order. Equal digests mean equal rows, in whichever store.
#[derive(Debug, Clone)]
pub(crate) struct TableDigest {
    pub(crate) rows: u64,
    hash: Sha256,
}

impl TableDigest {
    pub(crate) fn new(table: &str) -> Self {
        let mut digest = Self { rows: 0, hash: Sha256::new() };
        digest.field(0, table.as_bytes());
        digest
    }

    pub(crate) fn add(&mut self, row: &Row) {
        self.rows += 1;
        self.hash.update((row.len() as u64).to_be_bytes());
        for value in row {
            match value {
                Value::Null => self.field(0, &[]),
                Value::Number(number) => self.field(1, &number.to_be_bytes()),
                Value::Text(text) => self.field(2, text.as_bytes()),
                Value::Bytes(bytes) => self.field(3, bytes),
            }
        }
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.hash.finalize().into()
    }

    /// A tag, the length, the bytes: no two rows have the same encoding.
    fn field(&mut self, tag: u8, bytes: &[u8]) {
        self.hash.update([tag]);
        self.hash.update((bytes.len() as u64).to_be_bytes());
        self.hash.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(rows: &[Row]) -> [u8; 32] {
        let mut digest = TableDigest::new("a table");
        rows.iter().for_each(|row| digest.add(row));
        digest.finish()
    }

    #[test]
    fn rows_that_differ_have_other_digests() {
        let text = |text: &str| Value::Text(text.to_owned());
        let different: [&[Row]; 9] = [
            &[],
            &[vec![]],
            &[vec![Value::Null]],
            &[vec![text("")]],
            &[vec![Value::Bytes(Vec::new())]],
            &[vec![Value::Number(0)]],
            &[vec![text("ab"), text("c")]],
            &[vec![text("a"), text("bc")]],
            &[vec![text("ab")], vec![text("c")]],
        ];
        let digests: std::collections::HashSet<[u8; 32]> = different.iter().map(|rows| digest(rows)).collect();
        assert_eq!(digests.len(), different.len());
        assert_ne!(TableDigest::new("a").finish(), TableDigest::new("b").finish());
    }
}
