//! Conversations and their messages.

use ironclaw_core::change::ConversationOp;
use ironclaw_core::id::ConversationId;
use ironclaw_core::search::Terms;
use ironclaw_core::store::StoreError;

use crate::sql::{Id, Owned, Transaction, owned, params};

mod codec;
mod read;

pub(crate) use codec::{Beside, Written, head, head_columns};

/// What goes with a user, whose jobs are gone already.
pub(crate) const OWNED: [Owned; 4] = [
    owned!("message_terms", "term, message_no"),
    owned!("messages", "message_no", bytes of "content", "tool_calls", "metadata"),
    owned!("conversations", "id"),
    owned!("message_statistics", "owner_no"),
];

/// Applies one operation with the terms of its text; the number is the operation's in the receipt.
pub(crate) async fn apply(tx: &dyn Transaction, op: &ConversationOp, terms: &[Terms]) -> Result<u64, StoreError> {
    match op {
        ConversationOp::Create { id, title } => {
            tx.execute(
                "INSERT INTO ironclaw.conversations (owner_no, id, title, messages, version, created_at, updated_at) \
                 VALUES (?1, ?2, ?3, 0, 1, ?4, ?4)",
                params![tx.content_no(), Id(id.as_bytes()), title.as_str(), tx.now()],
            )
            .await?;
            Ok(1)
        }
        ConversationOp::Rename { id, title } => {
            tx.check_not_held().await?;
            let version = tx
                .query_row(
                    "UPDATE ironclaw.conversations SET title = ?3, version = version + 1, updated_at = ?4 \
                     WHERE owner_no = ?1 AND id = (SELECT id FROM ironclaw.visible_conversations \
                     WHERE owner_no = ?1 AND id = ?2) RETURNING version",
                    params![tx.content_no(), Id(id.as_bytes()), title.as_str(), tx.now()],
                    |row| row.count(0),
                )
                .await?;
            version.ok_or_else(|| tx.not_found("the conversation"))
        }
        ConversationOp::AppendMessage { conversation, message } => {
            let sequence = tx.append_message(*conversation, message, terms.first()).await?;
            sequence.ok_or_else(|| tx.not_found("the conversation"))
        }
        ConversationOp::Delete { id } => {
            tx.check_not_held().await?;
            tx.delete_conversation(*id).await
        }
    }
}

/// The version of a conversation's row; 0 if there is none.
pub(crate) async fn row_version(tx: &dyn Transaction, id: ConversationId) -> Result<u64, StoreError> {
    let sql = "SELECT version FROM ironclaw.visible_conversations WHERE owner_no = ?1 AND id = ?2";
    Ok(tx.number(sql, params![tx.content_no(), Id(id.as_bytes())]).await?.cast_unsigned())
}
