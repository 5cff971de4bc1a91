//! Conversations and their messages.

use ironclaw_core::id::ConversationId;
use ironclaw_core::model::conversations::NewMessage;
use ironclaw_core::search::Terms;
use ironclaw_core::store::StoreError;

use super::db::Db;
use super::jobs;
use super::removal::Removal;
use super::row::params;
use super::tx::Tx;
use crate::conversations::Written;

mod search;

pub(super) use search::{check_terms, insert as index, search, terms_of_message};

/// Whether a conversation is so large a part of what a user said that its words are found faster in order than one by one.
pub(super) fn is_much_of_all(tx: &Tx<'_>, id: [u8; 16]) -> Result<bool, StoreError> {
    let sql = "SELECT c.messages >= 200 AND c.messages * 8 >= s.documents FROM conversations c \
               JOIN message_statistics s ON s.owner_no = c.owner_no WHERE c.owner_no = ?1 AND c.id = ?2";
    Ok(tx.db.number(sql, params![tx.content_no(), &id])? != 0)
}

/// Removes some of a large conversation's terms, if that is to be done in their order. How many rows.
pub(super) fn remove_terms(db: &Db, removal: &mut Removal, id: [u8; 16]) -> Result<u64, StoreError> {
    search::remove_terms_in_order(db, removal, id)
}

/// Removes some of a conversation. How many rows.
pub(super) fn remove(db: &Db, owner_no: i64, id: [u8; 16]) -> Result<u64, StoreError> {
    let mut rows = jobs::remove_of(db, owner_no, id)?;
    rows += search::remove_messages(db, owner_no, id)?;
    if db.budget.is_left() {
        rows += db.execute("DELETE FROM conversations WHERE owner_no = ?1 AND id = ?2", params![owner_no, &id])?;
    }
    Ok(rows)
}

/// Appends a message. Its place; `None` if the conversation is not there.
pub(super) fn append(
    tx: &Tx<'_>,
    conversation: ConversationId,
    message: &NewMessage,
    terms: Option<&Terms>,
) -> Result<Option<u64>, StoreError> {
    let sequence = tx.db.query_row(
        "UPDATE conversations SET messages = messages + 1, version = version + 1, updated_at = ?3 \
         WHERE owner_no = ?1 AND id = (SELECT id FROM visible_conversations WHERE owner_no = ?1 AND id = ?2) \
         RETURNING messages",
        params![tx.content_no(), conversation.as_bytes(), tx.now],
        |row| row.count(0),
    )?;
    let Some(sequence) = sequence else {
        return Ok(None);
    };
    let written = Written::of(message);
    tx.db.execute(
        "INSERT INTO messages \
         (owner_no, conversation, sequence, id, role, tool_calls, tool_result, metadata, created_at, content) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            tx.content_no(),
            conversation.as_bytes(),
            sequence,
            message.id.as_bytes(),
            written.role,
            written.tool_calls,
            written.tool_result,
            written.metadata,
            tx.now,
            message.content.as_str()
        ],
    )?;
    if let Some(terms) = terms {
        search::insert(tx.db, tx.content_no(), tx.db.last_insert_rowid(), terms)?;
    }
    Ok(Some(sequence))
}
