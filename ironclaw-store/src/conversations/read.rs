//! What is read of conversations.

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::id::ConversationId;
use ironclaw_core::model::conversations::{Conversation, Message, MessageHit};
use ironclaw_core::search::TextQuery;
use ironclaw_core::store::{Backwards, Conversations, StoreError};
use ironclaw_core::{Page, PageRequest, Scope};

use super::codec::{self, conversation_columns, head_columns, message_columns};
use crate::cursor;
use crate::sql::{Categories, Engine, Id, Query, params};

#[async_trait]
impl<E: Engine> Conversations for Categories<E> {
    async fn conversation(&self, scope: &Scope, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
        let sql = concat!(
            "SELECT ",
            conversation_columns!(),
            " FROM ironclaw.visible_conversations WHERE owner_no = ?1 AND id = ?2"
        );
        let query = Query::of_content(scope, sql, params![Id(id.as_bytes())], codec::conversation);
        self.find("conversation", query).await
    }

    async fn conversations(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Conversation>, StoreError> {
        let before: Option<[u8; 16]> = cursor::after("conversations", page)?;
        let sql = concat!(
            "SELECT ",
            conversation_columns!(),
            " FROM ironclaw.visible_conversations WHERE owner_no = ?1 AND id <= ?2 ORDER BY id DESC LIMIT ?3"
        );
        let query = Query::of_content(scope, sql, params![Id(&cursor::until(before))], codec::conversation);
        self.page("conversations", page, query, |conversation| *conversation.id.as_bytes()).await
    }

    async fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        page: &PageRequest,
    ) -> Result<Page<Message>, StoreError> {
        let after: Option<u64> = cursor::after("messages", page)?;
        let sql = concat!(
            "SELECT ",
            message_columns!(),
            " FROM ironclaw.visible_messages WHERE owner_no = ?1 AND conversation = ?2 AND sequence > ?3 \
             ORDER BY sequence LIMIT ?4"
        );
        let params = params![Id(conversation.as_bytes()), after.unwrap_or(0)];
        let query = Query::of_content(scope, sql, params, codec::message);
        self.page("messages", page, query, |message| message.sequence).await
    }

    async fn messages_backwards(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        backwards: &Backwards,
    ) -> Result<Vec<Message>, StoreError> {
        macro_rules! backwards {
            ($columns:ident) => {
                concat!(
                    "SELECT ",
                    $columns!(),
                    " FROM ironclaw.visible_messages WHERE owner_no = ?1 AND conversation = ?2 AND sequence < ?3 \
                     ORDER BY sequence DESC LIMIT ?4"
                )
            };
        }
        let before = backwards.before.map_or(i64::MAX, |before| before.try_into().unwrap_or(i64::MAX));
        let params = params![Id(conversation.as_bytes()), before, backwards.limit];
        let query = match backwards.without_parts {
            true => Query::of_content(scope, backwards!(head_columns), params, codec::head),
            false => Query::of_content(scope, backwards!(message_columns), params, codec::message),
        };
        let query = if backwards.newest { query.deciding() } else { query };
        let mut messages = self.list("messages_backwards", query).await?;
        messages.reverse();
        Ok(messages)
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
