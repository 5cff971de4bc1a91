//! The rows of an append as a program without the store would write them: prepared statements, one transaction.

use std::collections::HashMap;
use std::path::Path;

use futures::FutureExt;
use ironclaw_core::audit::{commitment, event_hash, private_bytes};
use ironclaw_core::change::{ConversationOp, Operation};
use ironclaw_core::id::ConversationId;
use ironclaw_core::model::audit::{AuditEvent, AuditPrincipal, AuditPrivate, PrincipalKind, Pseudonym, StreamId};
use ironclaw_core::model::conversations::NewMessage;
use ironclaw_core::scope::RequestContext;
use ironclaw_core::search::{Terms, analyze};
use ironclaw_core::{Clock, SystemClock};
use libsql::params::Params;
use libsql::{Connection, Statement, Value};

const STATEMENTS: [&str; 7] = [
    "UPDATE conversations SET messages = messages + 1, version = version + 1, updated_at = ?2 WHERE owner_no = 1 AND id = ?1",
    "INSERT INTO messages (message_no, owner_no, conversation, sequence, id, role, created_at, content) \
     VALUES (?1, 1, ?2, ?3, ?4, 0, ?5, ?6)",
    "INSERT INTO message_terms (owner_no, term, message_no, frequency, length) VALUES (1, ?1, ?2, ?3, ?4)",
    "INSERT INTO message_statistics (owner_no, documents, total_length) VALUES (1, 1, ?1) \
     ON CONFLICT (owner_no) DO UPDATE SET documents = documents + 1, total_length = total_length + ?1",
    "INSERT INTO audit_events \
     (owner_no, sequence, previous, time, user, principals, action, outcome, subjects, commitment, hash) \
     VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    "INSERT INTO audit_private (owner_no, sequence, salt, private) VALUES (1, ?1, ?2, ?3)",
    "UPDATE audit_streams SET sequence = ?1, hash = ?2 WHERE owner_no = 1",
];

/// One connection with its statements, and what it knows of the rows before.
pub(crate) struct ByHand {
    connection: Connection,
    statements: HashMap<&'static str, Statement>,
    conversation: ConversationId,
    sequence: u64,
    events: u64,
    hash: [u8; 32],
}

/// A message whose terms and audit event are made before the clock runs.
pub(crate) struct Prepared {
    message: NewMessage,
    terms: Terms,
    salt: [u8; 32],
    private: Vec<u8>,
    event: AuditEvent,
}

impl ByHand {
    /// Opens a store's file, which has one user with one conversation and one event.
    pub(crate) fn open(path: &Path, conversation: ConversationId) -> Self {
        let database = now(libsql::Builder::new_local(path).build());
        let connection = database.connect().expect("a connection");
        now(connection.execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -16384;",
        ));
        let statements = ["BEGIN IMMEDIATE", "COMMIT"]
            .into_iter()
            .chain(STATEMENTS)
            .map(|sql| (sql, now(connection.prepare(sql))))
            .collect();
        Self { connection, statements, conversation, sequence: 0, events: 1, hash: [0; 32] }
    }

    pub(crate) fn prepare(&self, message: NewMessage) -> Prepared {
        let terms = analyze(&message.content);
        let op = ConversationOp::AppendMessage { conversation: self.conversation, message: message.clone() };
        let record = Operation::from(op).event();
        let private = private_bytes(&AuditPrivate::new(record.details, RequestContext::default()));
        let salt = *blob::<32>(message.id.as_bytes());
        let user = Pseudonym([7; 16]);
        let event = AuditEvent::new(StreamId([7; 16]), 0, [0; 32], SystemClock.now(), record.action, record.outcome)
            .user(user)
            .principals(vec![AuditPrincipal::new(PrincipalKind::User, user)])
            .subjects(record.subjects)
            .commitment(commitment(&salt, &private));
        Prepared { message, terms, salt, private, event }
    }

    /// Writes messages in one durable transaction.
    pub(crate) fn append(&mut self, messages: &[Prepared]) {
        self.execute("BEGIN IMMEDIATE", vec![]);
        for prepared in messages {
            self.write(prepared);
        }
        self.execute("COMMIT", vec![]);
    }

    fn write(&mut self, prepared: &Prepared) {
        let now = Value::Integer(SystemClock.now().as_micros());
        let id = || Value::Blob(self.conversation.as_bytes().to_vec());
        self.sequence += 1;
        self.events += 1;
        let number = |n: u64| Value::Integer(n.cast_signed());
        let message_no = number(self.sequence);
        self.execute(STATEMENTS[0], vec![id(), now.clone()]);
        self.execute(
            STATEMENTS[1],
            vec![
                message_no.clone(),
                id(),
                number(self.sequence),
                Value::Blob(prepared.message.id.as_bytes().to_vec()),
                now.clone(),
                Value::Text(prepared.message.content.clone()),
            ],
        );
        for (term, frequency) in &prepared.terms.counts {
            let (frequency, length) = (number((*frequency).into()), number(prepared.terms.length.into()));
            self.execute(STATEMENTS[2], vec![Value::Text(term.clone()), message_no.clone(), frequency, length]);
        }
        self.execute(STATEMENTS[3], vec![number(prepared.terms.length.into())]);
        let mut event = prepared.event.clone();
        (event.sequence, event.previous) = (self.events, self.hash);
        self.hash = event_hash(&event);
        let blob = |bytes: &[u8]| Value::Blob(bytes.to_vec());
        let principals = event.principals.iter().flat_map(|p| std::iter::once(p.kind.code()).chain(p.pseudonym.0));
        let subjects = event.subjects.iter().flat_map(|s| std::iter::once(s.kind.code()).chain(s.id));
        self.execute(
            STATEMENTS[4],
            vec![
                number(event.sequence),
                blob(&event.previous),
                now,
                blob(&event.user.0),
                Value::Blob(principals.collect()),
                number(event.action.code().into()),
                number(event.outcome.code().into()),
                Value::Blob(subjects.collect()),
                blob(&event.commitment),
                blob(&self.hash),
            ],
        );
        self.execute(STATEMENTS[5], vec![number(self.events), blob(&prepared.salt), blob(&prepared.private)]);
        self.execute(STATEMENTS[6], vec![number(self.events), blob(&self.hash)]);
    }

    fn execute(&self, sql: &'static str, params: Vec<Value>) {
        let statement = &self.statements[sql];
        now(statement.execute(Params::Positional(params)));
        statement.reset();
        debug_assert!(!self.connection.is_autocommit() || sql == "COMMIT");
    }
}

/// As many bytes as asked, the given ones over and over.
fn blob<const N: usize>(bytes: &[u8]) -> Box<[u8; N]> {
    let mut out = Box::new([0; N]);
    out.iter_mut().zip(bytes.iter().cycle()).for_each(|(out, byte)| *out = *byte);
    out
}

/// The calls of a local connection are ready at once.
fn now<T>(future: impl Future<Output = libsql::Result<T>>) -> T {
    future.now_or_never().expect("ready at once").expect("done")
}
