//! Conversations and their messages.

use async_trait::async_trait;
use ironclaw_core::change::ConversationOp;
use ironclaw_core::id::ConversationId;
use ironclaw_core::model::conversations::{Conversation, Message, MessageHit, NewMessage};
use ironclaw_core::search::{Terms, TextQuery};
use ironclaw_core::store::{Conversations, StoreError, StoreErrorKind};
use ironclaw_core::{Page, PageRequest, Scope};
use serde_json::Value;

use super::LibsqlStore;
use super::cursor;
use super::db::Db;
use super::removal::{self, Removal, jobs_of, sized, some};
use super::row::{Row, params};
use super::tx::Tx;
use crate::codes::{role, role_code};

mod search;

pub(super) use search::{check_terms, insert as index, terms_of_message};

/// Applies one operation with the terms of its text; the number is the operation's in the receipt.
pub(super) fn apply(tx: &Tx<'_>, op: &ConversationOp, terms: &[Terms]) -> Result<u64, StoreError> {
    match op {
        ConversationOp::Create { id, title } => {
            tx.db.execute(
                "INSERT INTO conversations (owner_no, id, title, messages, version, created_at, updated_at) \
                 VALUES (?1, ?2, ?3, 0, 1, ?4, ?4)",
                params![tx.content_no(), id.as_bytes(), title.as_str(), tx.now],
            )?;
            Ok(1)
        }
        ConversationOp::Rename { id, title } => {
            tx.check_not_held()?;
            let version = tx.db.query_row(
                "UPDATE conversations SET title = ?3, version = version + 1, updated_at = ?4 \
                 WHERE owner_no = ?1 AND id = (SELECT id FROM visible_conversations WHERE owner_no = ?1 AND id = ?2) \
                 RETURNING version",
                params![tx.content_no(), id.as_bytes(), title.as_str(), tx.now],
                |row| row.count(0),
            )?;
            version.ok_or_else(|| tx.not_found("the conversation"))
        }
        ConversationOp::AppendMessage { conversation, message } => append(tx, *conversation, message, terms),
        ConversationOp::Delete { id } => {
            tx.check_not_held()?;
            delete(tx, *id)
        }
        _ => Err(tx.error(StoreErrorKind::Internal, "an operation that this store does not know")),
    }
}

/// The version of a conversation's row; 0 if there is none.
pub(super) fn row_version(tx: &Tx<'_>, id: ConversationId) -> Result<u64, StoreError> {
    let version = tx.db.number(
        "SELECT version FROM visible_conversations WHERE owner_no = ?1 AND id = ?2",
        params![tx.content_no(), id.as_bytes()],
    )?;
    Ok(version.cast_unsigned())
}

/// Deletes a conversation with its messages and jobs: what is too much for one transaction is hidden by it, and removed
/// later. 1 if it was there, otherwise 0.
pub(super) fn delete(tx: &Tx<'_>, id: ConversationId) -> Result<u64, StoreError> {
    removal::delete(tx, removal::Kind::Conversation, *id.as_bytes())
}

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
    let mut rows = jobs_of(db, owner_no, id)?;
    rows += search::remove_messages(db, owner_no, id)?;
    if db.budget.is_left() {
        rows += db.execute("DELETE FROM conversations WHERE owner_no = ?1 AND id = ?2", params![owner_no, &id])?;
    }
    Ok(rows)
}

/// Deletes some of what a user has, whose jobs are gone already. How many rows.
pub(super) fn erase(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = some(
        db,
        "DELETE FROM message_terms WHERE owner_no = ?1 AND (term, message_no) IN \
         (SELECT term, message_no FROM message_terms WHERE owner_no = ?1 LIMIT ?2)",
        owner_no,
        1,
    )?;
    rows += sized(
        db,
        "SELECT message_no, octet_length(content) + coalesce(octet_length(tool_calls), 0) \
         + coalesce(octet_length(metadata), 0) FROM messages WHERE owner_no = ?1 LIMIT ?2",
        params![owner_no],
        "DELETE FROM messages WHERE message_no = ?1 AND owner_no = ?2",
        owner_no,
    )?;
    rows += some(
        db,
        "DELETE FROM conversations WHERE owner_no = ?1 AND id IN \
         (SELECT id FROM conversations WHERE owner_no = ?1 LIMIT ?2)",
        owner_no,
        1,
    )?;
    rows += some(db, "DELETE FROM message_statistics WHERE owner_no = ?1 AND ?2 > 0", owner_no, 1)?;
    Ok(rows)
}

#[async_trait]
impl Conversations for LibsqlStore {
    async fn conversation(&self, scope: &Scope, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
        self.read("conversation", scope, move |tx| {
            tx.db.query_row(
                "SELECT id, title, created_at, updated_at, messages, version FROM visible_conversations \
                 WHERE owner_no = ?1 AND id = ?2",
                params![tx.content_no(), id.as_bytes()],
                conversation,
            )
        })
        .await
    }

    async fn conversations(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Conversation>, StoreError> {
        let before: Option<[u8; 16]> = cursor::after("conversations", page)?;
        let page = page.clone();
        self.read("conversations", scope, move |tx| {
            let items = tx.db.query(
                "SELECT id, title, created_at, updated_at, messages, version FROM visible_conversations \
                 WHERE owner_no = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
                params![tx.content_no(), cursor::before(before), cursor::rows(&page)],
                conversation,
            )?;
            Ok(cursor::page(&page, items, |conversation| *conversation.id.as_bytes()))
        })
        .await
    }

    async fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        page: &PageRequest,
    ) -> Result<Page<Message>, StoreError> {
        let after: Option<u64> = cursor::after("messages", page)?;
        let page = page.clone();
        self.read("messages", scope, move |tx| {
            let items = tx.db.query(
                "SELECT id, conversation, sequence, created_at, role, tool_calls, tool_result, metadata, content \
                 FROM visible_messages WHERE owner_no = ?1 AND conversation = ?2 AND sequence > ?3 ORDER BY sequence LIMIT ?4",
                params![tx.content_no(), conversation.as_bytes(), after.unwrap_or(0), cursor::rows(&page)],
                message,
            )?;
            Ok(cursor::page(&page, items, |message| message.sequence))
        })
        .await
    }

    async fn recent_messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        self.read("recent_messages", scope, move |tx| {
            let mut items = tx.db.query(
                "SELECT id, conversation, sequence, created_at, role, tool_calls, tool_result, metadata, content \
                 FROM visible_messages WHERE owner_no = ?1 AND conversation = ?2 ORDER BY sequence DESC LIMIT ?3",
                params![tx.content_no(), conversation.as_bytes(), limit],
                message,
            )?;
            items.reverse();
            Ok(items)
        })
        .await
    }

    async fn search_messages(
        &self,
        scope: &Scope,
        query: &TextQuery,
        limit: u32,
    ) -> Result<Vec<MessageHit>, StoreError> {
        let query = query.clone();
        self.read("search_messages", scope, move |tx| search::search(tx, &query, limit)).await
    }
}

fn append(tx: &Tx<'_>, conversation: ConversationId, message: &NewMessage, terms: &[Terms]) -> Result<u64, StoreError> {
    let sequence = tx.db.query_row(
        "UPDATE conversations SET messages = messages + 1, version = version + 1, updated_at = ?3 \
         WHERE owner_no = ?1 AND id = (SELECT id FROM visible_conversations WHERE owner_no = ?1 AND id = ?2) \
         RETURNING messages",
        params![tx.content_no(), conversation.as_bytes(), tx.now],
        |row| row.count(0),
    )?;
    let sequence = sequence.ok_or_else(|| tx.not_found("the conversation"))?;
    let json = |value: &Value| (!value.is_null()).then(|| value.to_string());
    let tool_calls = (!message.tool_calls.is_empty()).then(|| serde_json::json!(message.tool_calls).to_string());
    let tool_result = message.tool_result.as_ref().map(|result| serde_json::json!(result).to_string());
    tx.db.execute(
        "INSERT INTO messages \
         (owner_no, conversation, sequence, id, role, tool_calls, tool_result, metadata, created_at, content) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            tx.content_no(),
            conversation.as_bytes(),
            sequence,
            message.id.as_bytes(),
            role_code(message.role),
            tool_calls,
            tool_result,
            json(&message.metadata),
            tx.now,
            message.content.as_str()
        ],
    )?;
    if let Some(terms) = terms.first() {
        search::insert(tx.db, tx.content_no(), tx.db.last_insert_rowid(), terms)?;
    }
    Ok(sequence)
}

fn conversation(row: &Row<'_>) -> Result<Conversation, StoreError> {
    Ok(Conversation {
        id: ConversationId::from_bytes(row.bytes(0)?),
        title: row.text(1)?,
        created_at: row.time(2)?,
        updated_at: row.time(3)?,
        messages: row.count(4)?,
        version: row.count(5)?,
    })
}

fn message(row: &Row<'_>) -> Result<Message, StoreError> {
    Ok(Message {
        conversation: ConversationId::from_bytes(row.bytes(1)?),
        sequence: row.count(2)?,
        created_at: row.time(3)?,
        message: NewMessage {
            id: ironclaw_core::id::MessageId::from_bytes(row.bytes(0)?),
            role: row.code(4, role)?,
            content: row.text(8)?,
            tool_calls: row.optional(5, Row::json)?.unwrap_or_default(),
            tool_result: row.optional(6, Row::json)?,
            metadata: row.optional(7, Row::json)?.unwrap_or_default(),
        },
    })
}
