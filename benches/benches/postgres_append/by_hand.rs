//! The rows of an append as a program without the store would write them: the same statements with sqlx alone.

use ironclaw_core::audit::private_bytes;
use ironclaw_core::change::{ConversationOp, Operation};
use ironclaw_core::id::ConversationId;
use ironclaw_core::model::audit::AuditPrivate;
use ironclaw_core::model::conversations::NewMessage;
use ironclaw_core::scope::RequestContext;
use ironclaw_core::search::analyze;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use sqlx::types::Uuid;
use sqlx::types::time::OffsetDateTime;

const ENTER: &str = "SELECT owner_no, now, set_config('statement_timeout', '30000', true), \
    set_config('idle_in_transaction_session_timeout', '30000', true) \
    FROM ironclaw.enter_to_write('default', $1, $2, '10000')";

const APPEND: &str = "\
    WITH c AS (\
        UPDATE ironclaw.conversations SET messages = messages + 1, version = version + 1, updated_at = $4 \
        WHERE owner_no = $1 AND id = $2 RETURNING messages), \
    m AS (\
        INSERT INTO ironclaw.messages (owner_no, conversation, sequence, id, created_at, role, content) \
        SELECT $1, $2, c.messages, $3, $4, 1, $5 FROM c RETURNING message_no, sequence), \
    t AS (\
        INSERT INTO ironclaw.message_terms (owner_no, term, message_no, frequency, length) \
        SELECT $1, q.term, m.message_no, q.frequency, $8 \
        FROM m, unnest($6::text[], $7::integer[]) q (term, frequency)), \
    s AS (\
        INSERT INTO ironclaw.message_statistics AS s (owner_no, documents, total_length) \
        SELECT $1, 1, $8 FROM m ON CONFLICT (owner_no) DO UPDATE \
        SET documents = s.documents + excluded.documents, total_length = s.total_length + excluded.total_length) \
    SELECT sequence FROM m";

const AUDIT: &str = "SELECT ironclaw.append_audit($1, $2, $3, $4, $5)";

/// Connections, as many as the store has.
#[derive(Clone)]
pub(crate) struct ByHand {
    pool: PgPool,
}

/// A message whose terms and audit event are made before the clock runs.
pub(crate) struct Prepared {
    message: NewMessage,
    terms: Vec<String>,
    frequencies: Vec<i32>,
    length: i32,
    action: i32,
    outcome: i16,
    subjects: Vec<u8>,
    salt: [u8; 32],
    private: Vec<u8>,
}

impl ByHand {
    pub(crate) async fn connect(url: &str, connections: u32) -> Self {
        let pool = PgPoolOptions::new().max_connections(connections).test_before_acquire(false);
        Self { pool: pool.connect(url).await.expect("connections") }
    }

    pub(crate) fn prepare(conversation: ConversationId, message: NewMessage) -> Prepared {
        let terms = analyze(&message.content);
        let op = ConversationOp::AppendMessage { conversation, message: message.clone() };
        let record = Operation::from(op).event();
        let private = private_bytes(&AuditPrivate::new(record.details, RequestContext::default()));
        let mut salt = [0; 32];
        salt.iter_mut().zip(message.id.as_bytes().iter().cycle()).for_each(|(to, from)| *to = *from);
        let (words, frequencies) = terms.counts.iter().map(|(term, count)| (term.clone(), count.cast_signed())).unzip();
        Prepared {
            message,
            terms: words,
            frequencies,
            length: terms.length.cast_signed(),
            action: record.action.code().into(),
            outcome: record.outcome.code().into(),
            subjects: record.subjects.iter().flat_map(|s| std::iter::once(s.kind.code()).chain(s.id)).collect(),
            salt,
            private,
        }
    }

    /// Writes a message of a user in one durable transaction.
    pub(crate) async fn append(&self, owner: &str, conversation: ConversationId, prepared: &Prepared) {
        let mut tx = self.pool.begin().await.expect("a transaction");
        let (owner_no, now, _, _): (i64, OffsetDateTime, String, String) = sqlx::query_as(ENTER)
            .bind(owner)
            .bind(format!(r#"[[1,"{owner}"]]"#))
            .fetch_one(&mut *tx)
            .await
            .expect("a user");
        sqlx::query(APPEND)
            .bind(owner_no)
            .bind(Uuid::from_bytes(*conversation.as_bytes()))
            .bind(Uuid::from_bytes(*prepared.message.id.as_bytes()))
            .bind(now)
            .bind(&prepared.message.content)
            .bind(&prepared.terms)
            .bind(&prepared.frequencies)
            .bind(prepared.length)
            .fetch_one(&mut *tx)
            .await
            .expect("appended");
        sqlx::query(AUDIT)
            .bind([prepared.action])
            .bind([prepared.outcome])
            .bind([prepared.subjects.as_slice()])
            .bind([prepared.salt.as_slice()])
            .bind([prepared.private.as_slice()])
            .execute(&mut *tx)
            .await
            .expect("audited");
        tx.commit().await.expect("committed");
    }
}
