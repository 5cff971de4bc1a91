//! Conversations and their messages.

use ironclaw_core::id::ConversationId;
use ironclaw_core::model::conversations::NewMessage;
use ironclaw_core::search::Terms;
use ironclaw_core::store::StoreError;

use super::removal;
use super::row::{params, uuid};
use super::tx::Tx;
use crate::conversations::Written;

mod search;

pub(super) use search::{check, index, search};

/// Deletes a conversation with its messages and jobs. 1 if it was there, otherwise 0.
pub(super) async fn delete(tx: &Tx, owner_no: i64, id: ConversationId) -> Result<u64, StoreError> {
    search::remove_conversation(tx, owner_no, id).await?;
    removal::delete_jobs_of(tx, owner_no, id).await?;
    let id = uuid(id.as_bytes());
    let sql = "DELETE FROM ironclaw.messages WHERE owner_no = $1 AND conversation = $2";
    tx.execute(sql, params![owner_no, id]).await?;
    tx.execute("DELETE FROM ironclaw.conversations WHERE owner_no = $1 AND id = $2", params![owner_no, id]).await
}

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

/// Appends a message. Its place; `None` if the conversation is not there.
pub(super) async fn append(
    tx: &Tx,
    conversation: ConversationId,
    message: &NewMessage,
    terms: Option<&Terms>,
) -> Result<Option<u64>, StoreError> {
    let written = Written::of(message);
    let counts = terms.into_iter().flat_map(|terms| &terms.counts);
    let (words, frequencies): (Vec<String>, Vec<i32>) =
        counts.map(|(term, count)| (term.clone(), count.cast_signed())).unzip();
    tx.query_row(
        APPEND,
        params![
            tx.owner_no(),
            uuid(conversation.as_bytes()),
            uuid(message.id.as_bytes()),
            tx.now(),
            written.role,
            written.tool_calls,
            written.tool_result,
            written.metadata,
            message.content.as_str(),
            words,
            frequencies,
            terms.map(|terms| terms.length)
        ],
        |row| row.count(0),
    )
    .await
}
