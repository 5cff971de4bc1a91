//! Conversations and their messages.

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::change::ConversationOp;
use ironclaw_core::id::{ConversationId, MessageId};
use ironclaw_core::model::conversations::{Conversation, Message, MessageHit, NewMessage};
use ironclaw_core::search::{Terms, TextQuery};
use ironclaw_core::store::{Conversations, StoreError, StoreErrorKind};
use ironclaw_core::{Page, PageRequest, Scope};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;

use super::entity::conversations;
use super::row::{Row, params, uuid};
use super::tx::Tx;
use super::{PostgresStore, removal};
use crate::codes::{role, role_code};
use crate::cursor;

mod search;

pub(super) use search::index;

pub(super) use search::check;

/// Applies one operation with the terms of its text; the number is the operation's in the receipt.
pub(super) async fn apply(tx: &Tx, op: &ConversationOp, terms: &[Terms]) -> Result<u64, StoreError> {
    match op {
        ConversationOp::Create { id, title } => {
            tx.execute(
                "INSERT INTO ironclaw.conversations (owner_no, id, title, messages, version, created_at, updated_at) \
                 VALUES ($1, $2, $3, 0, 1, $4, $4)",
                params![tx.owner_no(), uuid(id.as_bytes()), title.as_str(), tx.now()],
            )
            .await?;
            Ok(1)
        }
        ConversationOp::Rename { id, title } => {
            tx.check_not_held()?;
            let version = tx
                .query_row(
                    "UPDATE ironclaw.conversations SET title = $3, version = version + 1, updated_at = $4 \
                     WHERE owner_no = $1 AND id = $2 RETURNING version",
                    params![tx.owner_no(), uuid(id.as_bytes()), title.as_str(), tx.now()],
                    |row| row.count(0),
                )
                .await?;
            version.ok_or_else(|| tx.not_found("the conversation"))
        }
        ConversationOp::AppendMessage { conversation, message } => append(tx, *conversation, message, terms).await,
        ConversationOp::Delete { id } => {
            tx.check_not_held()?;
            delete(tx, tx.owner_no(), *id).await
        }
        _ => Err(tx.error(StoreErrorKind::Internal, "an operation that this store does not know")),
    }
}

/// The version of a conversation's row; 0 if there is none.
pub(super) async fn row_version(tx: &Tx, id: ConversationId) -> Result<u64, StoreError> {
    let sql = "SELECT version FROM ironclaw.conversations WHERE owner_no = $1 AND id = $2";
    Ok(tx.number(sql, params![tx.owner_no(), uuid(id.as_bytes())]).await?.cast_unsigned())
}

/// Deletes a conversation with its messages and jobs. 1 if it was there, otherwise 0.
pub(super) async fn delete(tx: &Tx, owner_no: i64, id: ConversationId) -> Result<u64, StoreError> {
    search::remove_conversation(tx, owner_no, id).await?;
    removal::delete_jobs_of(tx, owner_no, id).await?;
    let id = uuid(id.as_bytes());
    let sql = "DELETE FROM ironclaw.messages WHERE owner_no = $1 AND conversation = $2";
    tx.execute(sql, params![owner_no, id]).await?;
    tx.execute("DELETE FROM ironclaw.conversations WHERE owner_no = $1 AND id = $2", params![owner_no, id]).await
}

/// Deletes everything of a user, whose jobs are gone already. How many rows.
pub(super) async fn erase(tx: &Tx, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = 0;
    for sql in [
        "DELETE FROM ironclaw.message_terms WHERE owner_no = $1",
        "DELETE FROM ironclaw.messages WHERE owner_no = $1",
        "DELETE FROM ironclaw.conversations WHERE owner_no = $1",
        "DELETE FROM ironclaw.message_statistics WHERE owner_no = $1",
    ] {
        rows += tx.execute(sql, params![owner_no]).await?;
    }
    Ok(rows)
}

#[async_trait]
impl Conversations for PostgresStore {
    async fn conversation(&self, scope: &Scope, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
        self.read("conversation", scope, id, |tx, id| {
            async move {
                let found = conversations::Entity::find_by_id((tx.owner_no(), uuid(id.as_bytes()))).one(tx).await;
                Ok(found.map_err(|error| tx.orm(error))?.map(conversation))
            }
            .boxed()
        })
        .await
    }

    async fn conversations(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Conversation>, StoreError> {
        let before: Option<[u8; 16]> = cursor::after("conversations", page)?;
        self.read("conversations", scope, (before, page.clone()), |tx, (before, page)| {
            async move {
                let mut query = conversations::Entity::find().filter(conversations::Column::OwnerNo.eq(tx.owner_no()));
                if let Some(before) = before {
                    query = query.filter(conversations::Column::Id.lt(uuid(&before)));
                }
                let rows = query
                    .order_by_desc(conversations::Column::Id)
                    .limit(cursor::rows(&page).cast_unsigned())
                    .all(tx)
                    .await
                    .map_err(|error| tx.orm(error))?;
                let items = rows.into_iter().map(conversation).collect();
                Ok(cursor::page(&page, items, |conversation: &Conversation| *conversation.id.as_bytes()))
            }
            .boxed()
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
        self.read("messages", scope, (conversation, after, page.clone()), |tx, (conversation, after, page)| {
            async move {
                let items = tx
                    .query(
                        concat!(
                            "SELECT ",
                            message_columns!(),
                            " FROM ironclaw.messages WHERE owner_no = $1 AND conversation = $2 AND sequence > $3 \
                             ORDER BY sequence LIMIT $4"
                        ),
                        params![tx.owner_no(), uuid(conversation.as_bytes()), after.unwrap_or(0), cursor::rows(&page)],
                        message,
                    )
                    .await?;
                Ok(cursor::page(&page, items, |message| message.sequence))
            }
            .boxed()
        })
        .await
    }

    async fn recent_messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        self.read("recent_messages", scope, (conversation, limit), |tx, (conversation, limit)| {
            async move {
                let mut items = tx
                    .query(
                        concat!(
                            "SELECT ",
                            message_columns!(),
                            " FROM ironclaw.messages WHERE owner_no = $1 AND conversation = $2 \
                             ORDER BY sequence DESC LIMIT $3"
                        ),
                        params![tx.owner_no(), uuid(conversation.as_bytes()), limit],
                        message,
                    )
                    .await?;
                items.reverse();
                Ok(items)
            }
            .boxed()
        })
        .await
    }

    async fn search_messages(
        &self,
        scope: &Scope,
        query: &TextQuery,
        limit: u32,
    ) -> Result<Vec<MessageHit>, StoreError> {
        self.read("search_messages", scope, (query.clone(), limit), |tx, (query, limit)| {
            async move { search::search(tx, &query, limit).await }.boxed()
        })
        .await
    }
}

/// The columns that [`message`] reads.
macro_rules! message_columns {
    () => {
        "id, conversation, sequence, created_at, role, tool_calls, tool_result, metadata, content"
    };
}

use message_columns;

/// A message with its terms and what they count for, in one statement.
const APPEND: &str = "\
    WITH c AS (\
        UPDATE ironclaw.conversations SET messages = messages + 1, version = version + 1, updated_at = $4 \
        WHERE owner_no = $1 AND id = $2 RETURNING messages), \
    m AS (\
        INSERT INTO ironclaw.messages \
        (owner_no, conversation, sequence, id, created_at, role, tool_calls, tool_result, metadata, content) \
        SELECT $1, $2, c.messages, $3, $4, $5::bigint::smallint, $6::json, $7::json, $8::json, $9 FROM c \
        RETURNING message_no, sequence), \
    t AS (\
        INSERT INTO ironclaw.message_terms (owner_no, term, message_no, frequency, length) \
        SELECT $1, q.term, m.message_no, q.frequency, $12::bigint::integer \
        FROM m, unnest($10::text[], $11::integer[]) q (term, frequency)), \
    s AS (\
        INSERT INTO ironclaw.message_statistics AS s (owner_no, documents, total_length) \
        SELECT $1, 1, $12::bigint FROM m WHERE $12 IS NOT NULL ON CONFLICT (owner_no) DO UPDATE \
        SET documents = s.documents + excluded.documents, total_length = s.total_length + excluded.total_length) \
    SELECT sequence FROM m";

async fn append(
    tx: &Tx,
    conversation: ConversationId,
    message: &NewMessage,
    terms: &[Terms],
) -> Result<u64, StoreError> {
    let json = |value: &Value| (!value.is_null()).then(|| value.to_string());
    let tool_calls = (!message.tool_calls.is_empty()).then(|| serde_json::json!(message.tool_calls).to_string());
    let tool_result = message.tool_result.as_ref().map(|result| serde_json::json!(result).to_string());
    let searched = terms.first();
    let counts = searched.into_iter().flat_map(|terms| &terms.counts);
    let (words, frequencies): (Vec<String>, Vec<i32>) =
        counts.map(|(term, count)| (term.clone(), count.cast_signed())).unzip();
    let sequence = tx
        .query_row(
            APPEND,
            params![
                tx.owner_no(),
                uuid(conversation.as_bytes()),
                uuid(message.id.as_bytes()),
                tx.now(),
                role_code(message.role),
                tool_calls,
                tool_result,
                json(&message.metadata),
                message.content.as_str(),
                words,
                frequencies,
                searched.map(|terms| terms.length)
            ],
            |row| row.count(0),
        )
        .await?;
    sequence.ok_or_else(|| tx.not_found("the conversation"))
}

fn conversation(row: conversations::Model) -> Conversation {
    Conversation {
        id: ConversationId::from_bytes(row.id.into_bytes()),
        title: row.title,
        created_at: row.created_at.0,
        updated_at: row.updated_at.0,
        messages: row.messages.cast_unsigned(),
        version: row.version.cast_unsigned(),
    }
}

fn message(row: &Row<'_>) -> Result<Message, StoreError> {
    Ok(Message {
        conversation: ConversationId::from_bytes(row.id(1)?),
        sequence: row.count(2)?,
        created_at: row.time(3)?,
        message: NewMessage {
            id: MessageId::from_bytes(row.id(0)?),
            role: row.code(4, role)?,
            content: row.text(8)?,
            tool_calls: row.optional(5, Row::json)?.unwrap_or_default(),
            tool_result: row.optional(6, Row::json)?,
            metadata: row.optional(7, Row::json)?.unwrap_or_default(),
        },
    })
}
