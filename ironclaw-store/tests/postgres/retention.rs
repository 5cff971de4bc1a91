//! Retention and sweeping cost what they delete, and not what stays.

use ironclaw_core::id::{OperatorName, TenantId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::privacy::RetainedCategory;
use ironclaw_core::store::{AgentStore, MemoryStore, StoreErrorKind};
use ironclaw_core::{Maintenance, PageRequest, Scope};
use ironclaw_store::{PostgresMaintenance, PostgresStore, Selection, copy_store};
use sqlx::PgConnection;

use crate::database::{Database, app_url, operator_url};
use crate::library::user;
use crate::raw::must;
use crate::watched::{Statement, Watched};

ironclaw_testing::tests![
    what_stays_is_not_looked_at,
    what_was_there_before_the_migration_is_found,
    what_a_copy_brought_is_found,
    a_time_that_makes_no_sense_keeps_nobody_elses,
    who_is_locked_keeps_nobody_elses,
];

/// Users who have something of everything, all of it new.
const USERS: u64 = 3_000;

/// Rows of users, as old as this; conversations, jobs, files, versions that were begun, and receipts.
fn rows(users: &str, age: &str) -> String {
    format!(
        "SELECT set_config('ironclaw.maintenance', 'on', false); \
         CREATE TEMP TABLE chosen AS SELECT owner_no, now() - interval '{age}' AS at, gen_random_uuid() AS id \
            FROM ironclaw.users WHERE {users}; \
         INSERT INTO ironclaw.conversations (owner_no, id, title, messages, version, created_at, updated_at) \
            SELECT owner_no, id, '', 0, 1, at, at FROM chosen; \
         INSERT INTO ironclaw.jobs (owner_no, id, kind, state, version, created_at, updated_at, input) \
            SELECT owner_no, id, 'x', 1, 1, at, at, '{{}}' FROM chosen; \
         INSERT INTO ironclaw.entry_versions (owner_no, id, path, state, size, content_hash, metadata, chunks, terms, \
            created_at, updated_at) SELECT owner_no, id, id::text, 1, 0, sha256(''), '{{}}', 0, 0, at, at FROM chosen; \
         INSERT INTO ironclaw.workspace_statistics (owner_no, documents, total_length) \
            SELECT owner_no, 0, 0 FROM chosen ON CONFLICT DO NOTHING; \
         INSERT INTO ironclaw.workspace_entries (owner_no, path, version_no, created_at) SELECT v.owner_no, v.path, \
            v.version_no, v.created_at FROM ironclaw.entry_versions v JOIN chosen USING (id); \
         INSERT INTO ironclaw.entry_versions (owner_no, id, path, state, size, metadata, chunks, terms, created_at, \
            updated_at) SELECT owner_no, gen_random_uuid(), 'begun', 0, 0, '{{}}', 0, 0, at, at FROM chosen; \
         INSERT INTO ironclaw.receipts (owner_no, key, digest, at, numbers) \
            SELECT owner_no, id::text, sha256(''), at, '{{}}' FROM chosen; \
         DROP TABLE chosen; SELECT set_config('ironclaw.maintenance', '', false)"
    )
}

/// Users named by numbers.
fn users(tenant: &str, count: u64) -> String {
    format!(
        "WITH made AS (INSERT INTO ironclaw.users (tenant, owner, status, pseudonym, created_at, updated_at) \
            SELECT '{tenant}', 'user ' || n, 0, uuid_send(gen_random_uuid()), now(), now() \
            FROM generate_series(1, {count}) n RETURNING owner_no) \
         INSERT INTO ironclaw.audit_streams (owner_no, stream, sequence, hash) \
         SELECT owner_no, uuid_send(gen_random_uuid()), 0, decode(repeat('00', 32), 'hex') FROM made"
    )
}

/// Tables that grow with the number of users.
const LARGE: [&str; 6] = ["users", "conversations", "jobs", "entry_versions", "workspace_entries", "receipts"];

async fn keep_ten_days(maintenance: &PostgresMaintenance) {
    for category in [RetainedCategory::Conversations, RetainedCategory::Jobs, RetainedCategory::Workspace] {
        let put = SystemChange::PutRetention { tenant: TenantId::default_tenant(), category, days: 10 };
        maintenance.apply_system(put).await.unwrap();
    }
}

/// How many rows statements read together. None reads a large table as a whole.
fn read(statements: &[Statement]) -> u64 {
    let ours = statements.iter().filter(|statement| !statement.text.starts_with("VACUUM"));
    let mut rows = 0;
    for statement in ours {
        let whole = statement.read_whole();
        assert!(!whole.iter().any(|table| LARGE.contains(&table.as_str())), "{whole:?}: {}", statement.text);
        rows += statement.read();
    }
    rows
}

async fn what_stays_is_not_looked_at() {
    let mut watched = Watched::start().await;
    let default = TenantId::default_tenant();
    for (tenant, age) in [(default.as_str(), "1 hour"), ("keeps for ever", "100 days")] {
        watched.execute(&users(tenant, USERS)).await;
        watched.execute(&rows(&format!("tenant = '{tenant}'"), age)).await;
    }
    // What was begun long ago is abandoned, whoever's it is.
    watched
        .execute("DELETE FROM ironclaw.entry_versions WHERE state = 0 AND updated_at < now() - interval '1 day'")
        .await;
    watched.execute("DELETE FROM ironclaw.receipts WHERE at < now() - interval '1 day'").await;
    let maintenance = watched.maintenance().await;
    keep_ten_days(&maintenance).await;
    for analyze in [false, true] {
        if analyze {
            watched.execute("ANALYZE").await;
        }
        let events = system_events(&maintenance).await;
        let (deleted, statements) = watched.during(maintenance.apply_retention()).await;
        assert_eq!(deleted.unwrap(), 0);
        assert!(read(&statements) < 100, "an idle round read {} rows", read(&statements));
        assert_eq!(system_events(&maintenance).await, events, "an idle round leaves no event");

        watched.execute(&rows(&format!("tenant = '{default}' AND owner IN ('user 7', 'user 70')"), "20 days")).await;
        let (deleted, statements) = watched.during(maintenance.apply_retention()).await;
        assert_eq!(deleted.unwrap(), 6);
        assert!(read(&statements) < 500, "deleting six things read {} rows", read(&statements));
        assert_eq!(system_events(&maintenance).await, events + 6);

        let (scrubbed, statements) = watched.during(maintenance.scrub()).await;
        scrubbed.unwrap();
        assert!(read(&statements) < 500, "sweeping two users read {} rows", read(&statements));
    }
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM ironclaw.conversations")
        .fetch_one(&mut watched.superuser().await)
        .await
        .unwrap();
    assert_eq!(kept as u64, 2 * USERS);
}

async fn system_events(maintenance: &PostgresMaintenance) -> usize {
    let mut page = PageRequest::first(PageRequest::MAX).unwrap();
    let mut events = 0;
    loop {
        let found = maintenance.system_events(&page).await.unwrap();
        events += found.items.len();
        match found.next {
            Some(next) => page = page.after(next),
            None => return events,
        }
    }
}

async fn assert_deleted(database: &Database, scope: &Scope) {
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    keep_ten_days(&maintenance).await;
    assert_eq!(maintenance.apply_retention().await.unwrap(), 3);
    let page = PageRequest::default();
    assert!(store.conversations().conversations(scope, &page).await.unwrap().items.is_empty());
    assert!(store.jobs().jobs(scope, &Default::default(), &page).await.unwrap().items.is_empty());
    assert!(store.workspace().entries(scope, None, &page).await.unwrap().items.is_empty());
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
}

/// What the migration says of the rows that it finds.
fn of_the_migration() -> &'static str {
    let text = include_str!("../../src/postgres/schema/0003/retention.sql");
    let (_, update) = text.split_once("UPDATE ironclaw.users u SET").unwrap();
    update.split_once(';').unwrap().0
}

async fn what_was_there_before_the_migration_is_found() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, &users(TenantId::default_tenant().as_str(), 3)).await;
    must(&mut superuser, &rows("owner = 'user 2'", "20 days")).await;
    must(&mut superuser, &rows("owner <> 'user 2'", "1 day")).await;
    let noted = async |superuser: &mut PgConnection| -> Vec<String> {
        sqlx::query_scalar("SELECT u::text FROM ironclaw.users u ORDER BY owner_no").fetch_all(superuser).await.unwrap()
    };
    let before = noted(&mut superuser).await;
    let nothing = "UPDATE ironclaw.users SET conversations_since = NULL, jobs_since = NULL, files_since = NULL";
    must(&mut superuser, nothing).await;
    assert_ne!(noted(&mut superuser).await, before);
    must(&mut superuser, &format!("UPDATE ironclaw.users u SET {}", of_the_migration())).await;
    assert_eq!(noted(&mut superuser).await, before);
    assert_deleted(&database, &user("user 2")).await;
}

async fn what_a_copy_brought_is_found() {
    let (from, to) = (Database::fresh().await, Database::fresh().await);
    let mut superuser = from.superuser().await;
    must(&mut superuser, &users(TenantId::default_tenant().as_str(), 1)).await;
    must(&mut superuser, &rows("true", "20 days")).await;
    let connect = async |database: &Database| {
        PostgresMaintenance::connect(&operator_url(database.name()), OperatorName::parse("root").unwrap())
            .await
            .unwrap()
    };
    copy_store(&connect(&from).await, &connect(&to).await, &Selection::Everything, |_| {}).await.unwrap();
    assert_deleted(&to, &user("user 1")).await;
}

/// Raw SQL writes times that no clock has.
async fn a_time_that_makes_no_sense_keeps_nobody_elses() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, &users(TenantId::default_tenant().as_str(), 3)).await;
    must(&mut superuser, &rows("true", "20 days")).await;
    for (owner, time) in [("user 1", "-infinity"), ("user 2", "infinity")] {
        for table in ["conversations", "jobs"] {
            let set = format!(
                "SELECT set_config('ironclaw.maintenance', 'on', false); \
                 UPDATE ironclaw.{table} SET updated_at = '{time}' WHERE owner_no = (SELECT u.owner_no \
                 FROM ironclaw.users u WHERE u.owner = '{owner}')"
            );
            must(&mut superuser, &set).await;
        }
    }
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    keep_ten_days(&maintenance).await;
    let wrong = maintenance.check_integrity().await.unwrap();
    assert!(wrong.iter().any(|line| line.starts_with("conversations.updated_at")), "{wrong:?}");
    // What never was is old, and what will never be is not; all else goes as ever.
    assert_eq!(maintenance.apply_retention().await.unwrap(), 7);
    assert_eq!(maintenance.apply_retention().await.unwrap(), 0);
}

/// A user may have a transaction open for as long as they like.
async fn who_is_locked_keeps_nobody_elses() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, &users(TenantId::default_tenant().as_str(), 3)).await;
    must(&mut superuser, &rows("true", "20 days")).await;
    let mut locking = database.superuser().await;
    must(&mut locking, "BEGIN; SELECT FROM ironclaw.users WHERE owner = 'user 1' FOR NO KEY UPDATE").await;
    let operator = OperatorName::parse("root").unwrap();
    let builder = PostgresStore::builder().lock_timeout(std::time::Duration::from_millis(100));
    let maintenance = builder.connect_maintenance(&operator_url(database.name()), operator).await.unwrap();
    keep_ten_days(&maintenance).await;
    let error = maintenance.apply_retention().await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Busy, "{error}");
    for table in ["conversations", "jobs", "workspace_entries"] {
        let left =
            format!("SELECT FROM ironclaw.{table} t JOIN ironclaw.users u USING (owner_no) WHERE u.owner <> 'user 1'");
        assert_eq!(must(&mut superuser, &left).await, 0, "{table}");
    }
    must(&mut locking, "ROLLBACK").await;
    assert_eq!(maintenance.apply_retention().await.unwrap(), 3);
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
}
