#![allow(clippy::unwrap_used, clippy::future_not_send, reason = "tests on one connection")]

use std::collections::BTreeMap;
use std::time::Duration;

use ironclaw_core::change::{ConversationOp, JobOp, Operation, PrivacyOp, SettingOp, WorkspaceOp};
use ironclaw_core::id::{
    ChunkId, ConversationId, ErasureId, HoldId, IdempotencyKey, JobId, MessageId, SettingKey, TenantId, UserId,
    VersionId,
};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::audit::{Action, AuditEntry, AuditFilter};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::model::jobs::{JobStep, NewJob};
use ironclaw_core::model::privacy::Hold;
use ironclaw_core::model::workspace::{ContentHash, NewChunk, NewVersion, Part, WorkspacePath};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Change, Limits, PageRequest, Receipt, Scope, SystemClock, Timestamp};

use super::step;
use crate::audit::{SYSTEM_NO, Walk};
use crate::libsql::budget::AT_ONCE;
use crate::libsql::db::Db;
use crate::libsql::maintenance::check_here;
use crate::libsql::removal::unfinished;
use crate::libsql::row::params;
use crate::libsql::tx::{Tx, at_once};
use crate::libsql::{change, schema, users, workspace};
use crate::prepared::Prepared;
use crate::system;

/// What a step changes beside what it removes: the removal's own row, a number, statistics.
const BESIDES: i64 = 4;

/// One connection without a writer, whose steps are taken by hand.
struct Store {
    db: Db,
    limits: Limits,
    now: Timestamp,
    last: i64,
}

impl Store {
    fn new() -> Self {
        let db = Db::open(":memory:", libsql::OpenFlags::default(), Duration::from_secs(1)).unwrap();
        schema::configure(&db, false).unwrap();
        schema::migrate(&db).unwrap();
        Self { db, limits: Limits::default(), now: Timestamp::from_micros(1_700_000_000_000_000), last: 0 }
    }

    async fn apply(&self, scope: &Scope, change: Change) -> Result<Receipt, StoreError> {
        let prepared = Prepared::make(scope.clone(), change).await?;
        self.db.begin_operation("apply");
        self.db.write(|| change::apply(&prepared, &self.db, &self.limits, self.now))
    }

    async fn one(&self, scope: &Scope, operation: impl Into<Operation>) -> Result<Receipt, StoreError> {
        self.apply(scope, Change::new().with(operation.into())).await
    }

    fn system(&self, change: &SystemChange) -> Result<Receipt, StoreError> {
        self.db.begin_operation("apply_system");
        let tx = self.tx();
        self.db.write(|| at_once(&tx, system::apply(&tx, "root", change)))
    }

    fn tx(&self) -> Tx<'_> {
        Tx::of_all(&self.db, self.now, &self.limits)
    }

    /// A chain as its readers see it.
    fn events(&self, owner_no: i64) -> Vec<AuditEntry> {
        let (tx, page) = (self.tx(), PageRequest::first(1_000).unwrap());
        at_once(&tx, crate::audit::events(&tx, owner_no, &AuditFilter::default(), None, &page)).unwrap().items
    }

    /// Verifies every chain.
    fn verify(&self) {
        let tx = self.tx();
        for owner_no in self.db.query("SELECT owner_no FROM audit_streams", params![], |row| row.i64(0)).unwrap() {
            let mut walk = Walk::new(owner_no);
            while !at_once(&tx, walk.go_on(&tx)).unwrap() {}
        }
    }

    /// Takes a step as the writer does, and makes sure that it is small. Whether there was one.
    fn step(&mut self) -> bool {
        let before = self.rows();
        self.db.begin_operation("remove");
        let (db, last, now) = (&self.db, &mut self.last, self.now);
        let stepped = db.write(|| step(db, last, now)).unwrap();
        assert!(lost(&before, &self.rows()) <= i64::from(AT_ONCE) + BESIDES);
        stepped
    }

    /// Takes all steps. How many.
    fn steps(&mut self) -> usize {
        let mut steps = 0;
        while self.step() {
            steps += 1;
        }
        steps
    }

    /// How many rows each table has.
    fn rows(&self) -> BTreeMap<String, i64> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        let tables = self.db.query(sql, params![], |row| row.text(0)).unwrap();
        tables.into_iter().map(|table| (table.clone(), self.count(&format!("SELECT count(*) FROM {table}")))).collect()
    }

    fn count(&self, sql: &str) -> i64 {
        // The connection knows its statements by their address.
        let sql: &'static str = sql.to_owned().leak();
        self.db.number(sql, params![]).unwrap()
    }

    fn forget_events(&self) -> i64 {
        self.count(&format!("SELECT count(*) FROM audit_events WHERE action = {}", Action::Forget.code()))
    }

    /// A user with a long conversation, a job of it, a file and settings: about six thousand rows.
    async fn seed(&self, scope: &Scope) -> (ConversationId, JobId) {
        let (id, job) = (ConversationId::make(&SystemClock), JobId::make(&SystemClock));
        let mut change = Change::new().with(ConversationOp::Create { id, title: "Launch".into() });
        for number in 0..300 {
            let text = (0..12).map(|word| format!("word{} ", number * 7 + word)).collect::<String>();
            let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, &text);
            change = change.with(ConversationOp::AppendMessage { conversation: id, message });
        }
        let new = NewJob::new(job, "k").conversation(id).input("x".into());
        change = change.with(JobOp::Create { job: new });
        for number in 0..600 {
            let step = JobStep::Note { text: format!("note {number}") };
            change = change.with(JobOp::AppendEvent { job, step });
        }
        let (version, mut bytes, mut chunks) = (VersionId::make(&SystemClock), Vec::new(), Vec::new());
        for number in 0..100 {
            let start = bytes.len() as u64;
            bytes.extend_from_slice(format!("term{number} other{number} third{number} ").as_bytes());
            let (id, end) = (ChunkId::make(&SystemClock), bytes.len() as u64);
            chunks.push(NewChunk::new(id, start, end));
        }
        let (path, metadata) = (WorkspacePath::parse("plan.md").unwrap(), serde_json::Value::Null);
        let (size, content_hash) = (bytes.len() as u64, ContentHash::of(&bytes));
        let new = NewVersion::new(version, path).metadata(metadata);
        change = change
            .with(WorkspaceOp::BeginVersion { version: new })
            .with(WorkspaceOp::PutParts { version, parts: vec![Part::new(0, bytes).chunks(chunks)] })
            .with(WorkspaceOp::Publish { version, size, content_hash });
        for number in 0..600 {
            let key = SettingKey::parse(format!("key{number}")).unwrap();
            change = change.with(SettingOp::Put { key, value: "value".into() });
        }
        self.apply(scope, change).await.unwrap();
        (id, job)
    }

    fn place_hold(&self, owner: &str) -> HoldId {
        let (id, owner) = (HoldId::make(&SystemClock), UserId::parse(owner).unwrap());
        let (tenant, reason) = (TenantId::default_tenant(), "court".to_owned());
        let hold = Hold::new(id, tenant, owner, reason, self.now);
        self.system(&SystemChange::PlaceHold { hold }).unwrap();
        id
    }
}

/// How many rows are gone, of all tables together.
fn lost(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> i64 {
    before.iter().map(|(table, rows)| (rows - after[table]).max(0)).sum()
}

fn user(name: &str) -> Scope {
    Scope::user(name).unwrap()
}

const CONTENT: [&str; 9] = [
    "conversations",
    "messages",
    "message_terms",
    "jobs",
    "job_events",
    "entry_versions",
    "entry_parts",
    "memory_chunks",
    "chunk_terms",
];

#[tokio::test]
async fn what_is_forgotten_is_hidden_at_once_and_removed_in_small_steps() {
    let mut store = Store::new();
    let (ada, bob) = (user("ada"), user("bob"));
    store.seed(&ada).await;
    store.seed(&bob).await;
    let before = store.rows();
    let key = IdempotencyKey::parse("once").unwrap();
    let forget = || Change::new().with(PrivacyOp::Forget).idempotent(key.clone());
    store.apply(&ada, forget()).await.unwrap();
    assert!(lost(&before, &store.rows()) <= i64::from(AT_ONCE) + BESIDES);
    let numbers = users::find_numbers(&store.db, &ada).unwrap().unwrap();
    for table in CONTENT {
        let sql = format!("SELECT count(*) FROM {table} WHERE owner_no = {}", numbers.content_no);
        assert_eq!(store.count(&sql), 0, "{table}");
    }
    let events = store.events(numbers.owner_no);
    let hidden = events.iter().filter(|e| e.event.action.is_forgotten() && e.private.is_some()).count();
    assert_eq!(hidden, 0, "private parts are gone for readers");
    assert!(unfinished(&store.db).unwrap().is_some());
    assert_eq!(store.forget_events(), 0, "it is told of when it is complete");
    // The user goes on meanwhile.
    let (again, _) = store.seed(&ada).await;
    let steps = store.steps();
    assert!(steps >= 8, "{steps}");
    assert_eq!((store.forget_events(), unfinished(&store.db).unwrap()), (1, None));
    let last = "SELECT action FROM audit_events WHERE owner_no = 1 ORDER BY sequence DESC LIMIT 1";
    assert_eq!(store.count(last), i64::from(Action::Forget.code()), "the last event");
    store.verify();
    let after = store.rows();
    for table in CONTENT {
        assert_eq!(before[table], after[table], "{table}: what both users have now is what they had");
    }
    let sql = format!("SELECT count(*) FROM conversations WHERE owner_no = {}", numbers.content_no);
    assert_eq!(store.count(&sql), 1, "{again}");
    // Its number is told to whoever asks again.
    let receipt = store.apply(&ada, forget()).await.unwrap();
    let rows: i64 = CONTENT.iter().map(|table| before[*table] / 2).sum();
    assert!(receipt.replayed && receipt.numbers[0].cast_signed() >= rows, "{receipt:?} of {rows}");
    assert_eq!(check_here(&store.db), (Vec::new(), 0));
    assert_eq!(store.count("SELECT count(*) FROM users WHERE tenant = char(1) || 'content'"), 1);
}

#[tokio::test]
async fn a_hold_that_comes_meanwhile_stops_it_until_it_is_released() {
    let mut store = Store::new();
    let ada = user("ada");
    store.seed(&ada).await;
    store.one(&ada, PrivacyOp::Forget).await.unwrap();
    assert!(store.step());
    let hold = store.place_hold("ada");
    let before = store.rows();
    assert_eq!(store.steps(), 0);
    assert_eq!(store.rows(), before);
    let refused = store.one(&ada, PrivacyOp::Forget).await.unwrap_err();
    assert_eq!(*refused.kind(), StoreErrorKind::LegalHold);
    store.system(&SystemChange::ReleaseHold { id: hold }).unwrap();
    assert!(store.steps() > 3);
    assert_eq!((store.forget_events(), store.count("SELECT count(*) FROM messages")), (1, 0));
}

#[tokio::test]
async fn only_what_is_suspected_is_analysed_once_more() {
    let store = Store::new();
    store.seed(&user("ada")).await;
    assert_eq!(check_here(&store.db), (Vec::new(), 0));
    // One posting too many: its message is analysed again, and no other of the three hundred.
    let sql = "INSERT INTO message_terms (owner_no, term, message_no, frequency, length) \
               SELECT owner_no, 'nowhere', message_no, 1, 12 FROM messages ORDER BY message_no LIMIT 1";
    store.db.execute(sql, params![]).unwrap();
    let (found, analysed) = check_here(&store.db);
    assert!(found.len() == 1 && found[0].starts_with("message_terms:"), "{found:?}");
    assert_eq!(analysed, 1);
}

#[tokio::test]
async fn an_erased_user_is_nobody_at_once() {
    let mut store = Store::new();
    let ada = user("ada");
    store.seed(&ada).await;
    let tenant = TenantId::default_tenant();
    let owner = UserId::parse("ada").unwrap();
    let erase = |id| SystemChange::EraseUser { tenant: tenant.clone(), owner: owner.clone().into(), id };
    let id = ErasureId::make(&SystemClock);
    // What is being forgotten is finished first.
    store.one(&ada, PrivacyOp::Forget).await.unwrap();
    let hold = store.place_hold("ada");
    assert_eq!(*store.system(&erase(id)).unwrap_err().kind(), StoreErrorKind::LegalHold);
    store.system(&SystemChange::ReleaseHold { id: hold }).unwrap();
    let before = store.rows();
    assert_eq!(store.system(&erase(id)).unwrap().numbers, [0]);
    assert!(lost(&before, &store.rows()) <= i64::from(AT_ONCE) + BESIDES);
    assert!(users::find_numbers(&store.db, &ada).unwrap().is_none());
    assert_eq!(*store.system(&erase(id)).unwrap_err().kind(), StoreErrorKind::NotFound);
    let told = store.events(SYSTEM_NO);
    assert!(told.iter().all(|entry| !format!("{:?}", entry.private).contains("ada")), "{told:?}");
    assert_eq!(store.count("SELECT count(*) FROM users WHERE owner = 'ada'"), 0);
    // Whoever comes under the name meanwhile is another, and stays.
    let setting = || SettingOp::Put { key: SettingKey::parse("new").unwrap(), value: "value".into() };
    store.one(&ada, setting()).await.unwrap();
    assert_eq!(*store.system(&erase(id)).unwrap_err().kind(), StoreErrorKind::AlreadyExists);
    let mut steps = 0;
    while store.step() {
        steps += 1;
        // What is half gone is no damage, and the one who came stays as it was.
        let (found, _) = check_here(&store.db);
        assert!(found.iter().all(|line| line.starts_with("removals:")), "{found:?}");
    }
    assert!(steps > 8);
    assert_eq!(check_here(&store.db), (Vec::new(), 0));
    assert_eq!(store.count("SELECT count(*) FROM erasures WHERE deleted_rows > 1000"), 1);
    assert_eq!(store.count("SELECT count(*) FROM settings"), 1);
    assert_eq!(store.count("SELECT count(*) FROM users"), 1);
    let erased = format!("SELECT count(*) FROM audit_events WHERE action = {}", Action::UserErase.code());
    assert_eq!(store.count(&erased), 1);
    store.verify();
}

#[tokio::test]
async fn a_long_conversation_is_hidden_at_once() {
    let mut store = Store::new();
    let ada = user("ada");
    let (conversation, job) = store.seed(&ada).await;
    let before = store.rows();
    let delete = || ConversationOp::Delete { id: conversation };
    assert_eq!(store.one(&ada, delete()).await.unwrap().numbers, [1]);
    assert!(lost(&before, &store.rows()) <= i64::from(AT_ONCE) + BESIDES);
    assert_eq!(store.one(&ada, delete()).await.unwrap().numbers, [0]);
    let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, "late");
    let new = NewJob::new(JobId::make(&SystemClock), "k").conversation(conversation).input("x".into());
    for operation in [
        Operation::from(ConversationOp::AppendMessage { conversation, message }),
        ConversationOp::Rename { id: conversation, title: "Late".into() }.into(),
        JobOp::Create { job: new }.into(),
        JobOp::AppendEvent { job, step: JobStep::Note { text: "late".into() } }.into(),
    ] {
        assert_eq!(*store.one(&ada, operation).await.unwrap_err().kind(), StoreErrorKind::NotFound);
    }
    for view in ["conversations", "messages", "jobs", "job_events", "llm_calls", "sandbox_jobs"] {
        assert_eq!(store.count(&format!("SELECT count(*) FROM visible_{view}")), 0, "{view}");
    }
    assert!(store.steps() >= 8);
    let after = store.rows();
    for table in ["conversations", "messages", "message_terms", "jobs", "job_events", "removals"] {
        assert_eq!(after[table], 0, "{table}");
    }
    assert_eq!(store.count("SELECT documents + total_length FROM message_statistics"), 0);
    assert_eq!(after["chunk_terms"], before["chunk_terms"], "the file stays");
    // Its id is free again.
    store.one(&ada, ConversationOp::Create { id: conversation, title: "Again".into() }).await.unwrap();
    assert_eq!(store.count("SELECT count(*) FROM visible_conversations"), 1);
}

#[tokio::test]
async fn a_job_with_many_steps_is_hidden_at_once() {
    let mut store = Store::new();
    let ada = user("ada");
    let (conversation, job) = store.seed(&ada).await;
    assert_eq!(store.one(&ada, JobOp::Delete { job }).await.unwrap().numbers, [1]);
    assert_eq!(store.count("SELECT count(*) FROM visible_jobs"), 0);
    assert!(store.count("SELECT count(*) FROM job_events") > 0);
    assert!(store.steps() > 0);
    assert_eq!(store.count("SELECT count(*) FROM job_events"), 0);
    assert_eq!(store.count("SELECT count(*) FROM visible_messages"), 300, "{conversation}");
}

#[tokio::test]
async fn removals_take_turns() {
    let mut store = Store::new();
    let (ada, bob) = (user("ada"), user("bob"));
    store.seed(&ada).await;
    let (_, job) = store.seed(&bob).await;
    store.one(&ada, PrivacyOp::Forget).await.unwrap();
    store.one(&bob, JobOp::Delete { job }).await.unwrap();
    let mut steps = 0;
    while store.count("SELECT count(*) FROM removals WHERE kind = 4") > 0 {
        assert!(store.step());
        steps += 1;
    }
    assert!(steps <= 4, "{steps} steps until the small one was gone");
    assert_eq!(store.count("SELECT count(*) FROM removals"), 1);
}

#[tokio::test]
async fn many_deletions_in_one_change_stay_small() {
    let store = Store::new();
    let ada = user("ada");
    let mut change = Change::new();
    for _ in 0..5 {
        let id = store.seed_small(&ada).await;
        change = change.with(ConversationOp::Delete { id });
    }
    let before = store.rows();
    store.apply(&ada, change).await.unwrap();
    assert!(lost(&before, &store.rows()) <= i64::from(AT_ONCE) + BESIDES);
    assert_eq!(store.count("SELECT count(*) FROM visible_conversations"), 0);
}

impl Store {
    /// A conversation of about 300 rows.
    async fn seed_small(&self, scope: &Scope) -> ConversationId {
        let id = ConversationId::make(&SystemClock);
        let mut change = Change::new().with(ConversationOp::Create { id, title: "Small".into() });
        for number in 0..20 {
            let text = (0..14).map(|word| format!("w{} ", number * 3 + word)).collect::<String>();
            let message = NewMessage::text(MessageId::make(&SystemClock), Role::Assistant, &text);
            change = change.with(ConversationOp::AppendMessage { conversation: id, message });
        }
        self.apply(scope, change).await.unwrap();
        id
    }
}

#[tokio::test]
async fn the_largest_message_is_removed_in_small_steps() {
    let mut store = Store::new();
    let ada = user("ada");
    let id = ConversationId::make(&SystemClock);
    let text: String = (0..9_000).map(|word| format!("unlike{word} ")).collect();
    let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, &text);
    let change = Change::new()
        .with(ConversationOp::Create { id, title: "Long".into() })
        .with(ConversationOp::AppendMessage { conversation: id, message });
    store.apply(&ada, change).await.unwrap();
    store.one(&ada, ConversationOp::Delete { id }).await.unwrap();
    let steps = store.steps();
    assert!((17..=20).contains(&steps), "{steps}");
    assert_eq!(store.count("SELECT count(*) FROM message_terms") + store.count("SELECT count(*) FROM messages"), 0);
}

#[tokio::test]
async fn the_largest_part_is_swept_in_small_steps() {
    let store = Store::new();
    let ada = user("ada");
    store.seed(&ada).await;
    let path = WorkspacePath::parse("plan.md").unwrap();
    let (version, bytes) =
        (VersionId::make(&SystemClock), (0..9_000).map(|n| format!("unlike{n} ")).collect::<String>());
    let bytes = bytes.into_bytes();
    let chunk = NewChunk::new(ChunkId::make(&SystemClock), 0, bytes.len() as u64);
    let (size, content_hash) = (bytes.len() as u64, ContentHash::of(&bytes));
    let new = NewVersion::new(version, path.clone());
    let change = Change::new()
        .with(WorkspaceOp::BeginVersion { version: new })
        .with(WorkspaceOp::PutParts { version, parts: vec![Part::new(0, bytes).chunks(vec![chunk])] })
        .with(WorkspaceOp::Publish { version, size, content_hash })
        .with(WorkspaceOp::DeleteEntry { path });
    store.apply(&ada, change).await.unwrap();
    let mut steps = 0;
    loop {
        let before = store.rows();
        store.db.begin_operation("sweep");
        let rows = store.db.write(|| workspace::sweep(&store.db)).unwrap();
        assert_eq!(lost(&before, &store.rows()), rows.cast_signed());
        assert!(rows <= u64::from(AT_ONCE) + 1, "{rows}");
        if rows == 0 {
            break;
        }
        steps += 1;
    }
    assert!(steps >= 18, "{steps}");
    for table in ["entry_versions", "entry_parts", "memory_chunks", "chunk_terms"] {
        assert_eq!(store.rows()[table], 0, "{table}");
    }
}
