//! What BM25 needs to know of all texts of a user together.

use ironclaw_core::search::Bm25;
use ironclaw_core::store::StoreError;

use super::db::Db;
use super::row::params;

/// Which texts are counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Messages = 1,
    Chunks = 2,
}

/// Counts texts of `length` terms together in; negative numbers count them out.
pub(super) fn count(db: &Db, owner_no: i64, kind: Kind, documents: i64, length: i64) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO text_statistics (owner_no, kind, documents, total_length) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (owner_no, kind) DO UPDATE \
         SET documents = documents + excluded.documents, total_length = total_length + excluded.total_length",
        params![owner_no, kind as i64, documents, length],
    )?;
    Ok(())
}

/// The user's own statistics.
pub(super) fn bm25(db: &Db, owner_no: i64, kind: Kind) -> Result<Bm25, StoreError> {
    let counted = db.query_row(
        "SELECT kind, documents, total_length FROM text_statistics WHERE owner_no = ?1 AND kind = ?2",
        params![owner_no, kind as i64],
        |row| Ok((row.u64(1)?, row.u64(2)?)),
    )?;
    let (documents, length) = counted.unwrap_or_default();
    Ok(Bm25::new(documents, length))
}

/// Forgets the user's statistics: none of the texts are left.
pub(super) fn clear(db: &Db, owner_no: i64, kind: Kind) -> Result<(), StoreError> {
    db.execute("DELETE FROM text_statistics WHERE owner_no = ?1 AND kind = ?2", params![owner_no, kind as i64])?;
    Ok(())
}
