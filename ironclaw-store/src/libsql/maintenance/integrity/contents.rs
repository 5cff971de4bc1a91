//! The content of each file, compared with its hash.

use ironclaw_core::id::VersionId;
use ironclaw_core::store::StoreError;
use sha2::{Digest, Sha256};

use super::{Budget, Memory, Stage};
use crate::integrity::Found;
use crate::libsql::db::Db;
use crate::libsql::row::params;

#[derive(Default)]
pub(super) struct Contents {
    /// The version that was looked at last.
    last: i64,
    hashing: Option<Hashing>,
}

/// A file that is being hashed, part by part.
struct Hashing {
    version_no: i64,
    owner_no: i64,
    id: [u8; 16],
    expected: [u8; 32],
    /// Where the next part starts at the earliest.
    next: i64,
    hash: Sha256,
}

impl Stage for Contents {
    fn step(&mut self, db: &Db, _: &mut Memory, found: &mut Found) -> Result<bool, StoreError> {
        let budget = Budget::new();
        while !budget.is_spent() {
            let hashing = match self.hashing.take() {
                Some(hashing) => hashing,
                None => match self.next(db)? {
                    Some(Some(hashing)) => hashing,
                    Some(None) => continue,
                    None => return Ok(true),
                },
            };
            self.hashing = hashing.go_on(db, &budget, found)?;
        }
        Ok(false)
    }

    fn about(&self) -> String {
        "the content of files".to_owned()
    }
}

impl Contents {
    /// The next file; `Some(None)` if its row is damaged, which was told by its columns.
    fn next(&mut self, db: &Db) -> Result<Option<Option<Hashing>>, StoreError> {
        let next = db.query_row(
            "SELECT version_no, owner_no, id, content_hash FROM entry_versions WHERE state = 1 AND version_no > ?1 \
             ORDER BY version_no LIMIT 1",
            params![self.last],
            |row| {
                let version_no = row.i64(0)?;
                let hashing = || {
                    let (owner_no, id, expected) = (row.i64(1)?, row.bytes(2)?, row.bytes(3)?);
                    Ok::<_, StoreError>(Hashing { version_no, owner_no, id, expected, next: 0, hash: Sha256::new() })
                };
                Ok((version_no, hashing().ok()))
            },
        )?;
        Ok(next.map(|(version_no, hashing)| {
            self.last = version_no;
            hashing
        }))
    }
}

impl Hashing {
    fn go_on(mut self, db: &Db, budget: &Budget, found: &mut Found) -> Result<Option<Self>, StoreError> {
        loop {
            let part = db.query_row(
                "SELECT start_byte, bytes FROM entry_parts WHERE owner_no = ?1 AND version_no = ?2 \
                 AND start_byte >= ?3 ORDER BY start_byte LIMIT 1",
                params![self.owner_no, self.version_no, self.next],
                |row| Ok((row.i64(0)?, row.blob(1).ok())),
            )?;
            match part {
                Some((start, Some(bytes))) if start < i64::MAX => {
                    self.hash.update(bytes);
                    self.next = start + 1;
                }
                // It was told by its columns.
                Some(_) => return Ok(None),
                None => break,
            }
            if budget.is_spent() {
                return Ok(Some(self));
            }
        }
        // Read in this very snapshot to its end: if it is still there, so were all parts before.
        let is_current = db.number(
            "SELECT count(*) FROM entry_versions WHERE version_no = ?1 AND state = 1",
            params![self.version_no],
        )? > 0;
        if is_current && <[u8; 32]>::from(self.hash.finalize()) != self.expected {
            let id = VersionId::from_bytes(self.id).to_string();
            found.note("entry_versions: the content is not that of its hash", Some(&id));
        }
        Ok(None)
    }
}
