//! What is read of conversations.

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::id::ConversationId;
use ironclaw_core::model::conversations::{Conversation, Message, MessageHit};
use ironclaw_core::search::TextQuery;
use ironclaw_core::store::{Conversations, StoreError};
use ironclaw_core::{Page, PageRequest, Scope};

use super::codec::{self, conversation_columns, message_columns};
use crate::cursor;
use crate::sql::{Categories, Engine, Id, params};

#[async_trait]
impl<E: Engine> Conversations for Categories<E> {
    async fn conversation(&self, scope: &Scope, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
        self.read("conversation", scope, id, |tx, id| {
            async move {
                tx.query_row(
                    concat!(
                        "SELECT ",
                        conversation_columns!(),
                        " FROM ironclaw.visible_conversations WHERE owner_no = ?1 AND id = ?2"
                    ),
                    params![tx.content_no(), Id(id.as_bytes())],
                    codec::conversation,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn conversations(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Conversation>, StoreError> {
        let before: Option<[u8; 16]> = cursor::after("conversations", page)?;
        self.read("conversations", scope, (before, page.clone()), |tx, (before, page)| {
            async move {
                let items = tx
                    .query(
                        concat!(
                            "SELECT ",
                            conversation_columns!(),
                            " FROM ironclaw.visible_conversations WHERE owner_no = ?1 AND id <= ?2 ORDER BY id DESC \
                             LIMIT ?3"
                        ),
                        params![tx.content_no(), Id(&cursor::until(before)), cursor::rows(&page)],
                        codec::conversation,
                    )
                    .await?;
                Ok(cursor::page(&page, items, |conversation| *conversation.id.as_bytes()))
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
                let after = after.unwrap_or(0);
                let items = tx
                    .query(
                        concat!(
                            "SELECT ",
                            message_columns!(),
                            " FROM ironclaw.visible_messages WHERE owner_no = ?1 AND conversation = ?2 \
                             AND sequence > ?3 ORDER BY sequence LIMIT ?4"
                        ),
                        params![tx.content_no(), Id(conversation.as_bytes()), after, cursor::rows(&page)],
                        codec::message,
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
                            " FROM ironclaw.visible_messages WHERE owner_no = ?1 AND conversation = ?2 \
                             ORDER BY sequence DESC LIMIT ?3"
                        ),
                        params![tx.content_no(), Id(conversation.as_bytes()), limit],
                        codec::message,
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
            async move { tx.search_messages(&query, limit).await }.boxed()
        })
        .await
    }
}
