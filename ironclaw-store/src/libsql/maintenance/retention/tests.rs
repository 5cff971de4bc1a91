#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use ironclaw_core::Limits;
use ironclaw_core::id::TenantId;
use ironclaw_core::model::privacy::RetentionPolicy;

use super::*;
use crate::codes::category_code;
use crate::libsql::db::Db;
use crate::libsql::{change, schema};

const DAY: Duration = Duration::from_secs(86_400);

/// What grows only with what is being removed, held or copied, and what a statement made itself.
const SMALL: [&str; 6] = ["CONSTANT ROW", "h", "o", "owners", "r", "removals"];

fn opened() -> Db {
    let db = Db::open(":memory:", libsql::OpenFlags::default(), Duration::from_secs(1)).unwrap();
    schema::configure(&db, false).unwrap();
    schema::migrate(&db).unwrap();
    for (owner_no, owner) in [(1_i64, "ada"), (2, "bob")] {
        let sql = "INSERT INTO users (owner_no, tenant, owner, status, pseudonym, created_at, updated_at) \
                   VALUES (?1, ?2, ?3, 0, zeroblob(16), 0, 0)";
        db.execute(sql, params![owner_no, TenantId::default_tenant().as_str(), owner]).unwrap();
        let sql =
            "INSERT INTO audit_streams (owner_no, stream, sequence, hash) VALUES (?1, randomblob(16), 0, zeroblob(32))";
        db.execute(sql, params![owner_no]).unwrap();
    }
    db
}

/// What each user has of everything, one of them old.
fn furnish(db: &Db, now: Timestamp) {
    for (owner_no, at) in [(1_i64, now), (2, now.before(20 * DAY))] {
        for sql in [
            "INSERT INTO conversations (owner_no, id, title, messages, version, created_at, updated_at) \
             VALUES (?1, randomblob(16), '', 0, 1, ?2, ?2)",
            "INSERT INTO jobs (owner_no, id, kind, state, version, created_at, updated_at, input) \
             VALUES (?1, randomblob(16), 'x', 1, 1, ?2, ?2, '{}')",
            "INSERT INTO receipts (owner_no, key, digest, at, numbers) VALUES (?1, 'x', zeroblob(32), ?2, '[]')",
            "INSERT INTO workspace_statistics (owner_no, documents, total_length, generation) VALUES (?1, 0, 0, ?2 > 0)",
        ] {
            db.execute(sql, params![owner_no, at]).unwrap();
        }
        for state in [0_i64, 1, 2] {
            db.execute(
                "INSERT INTO entry_versions (owner_no, id, path, state, size, content_format, metadata, chunks, terms, generation, \
                 created_at, updated_at) VALUES (?1, randomblob(16), 'x', ?3, 0, 0, '{}', 0, 0, 0, ?2, ?2)",
                params![owner_no, at, state],
            )
            .unwrap();
            if state == 1 {
                let sql =
                    "INSERT INTO workspace_entries (owner_no, path, version_no, created_at) VALUES (?1, 'x', ?2, ?3)";
                db.execute(sql, params![owner_no, db.last_insert_rowid(), at]).unwrap();
            }
        }
    }
}

/// The tables and indexes that statements go through as a whole.
fn gone_through(db: &Db) -> BTreeSet<String> {
    let mut whole = BTreeSet::new();
    for sql in db.texts.replace(Vec::new()) {
        // The connection knows its statements by their address.
        let plan: &'static str = format!("EXPLAIN QUERY PLAN {sql}").leak();
        for line in db.query(plan, Vec::new(), |row| row.text(3)).unwrap() {
            let scanned = line.strip_prefix("SCAN ").filter(|what| {
                let name = what.split_once(" USING").map_or(*what, |(name, _)| name);
                !SMALL.contains(&name)
            });
            whole.extend(scanned.map(|what| format!("{what}: {sql}")));
        }
    }
    whole
}

fn keep_ten_days(category: RetainedCategory) -> RetentionPolicy {
    RetentionPolicy::new(TenantId::default_tenant(), category, 10, Timestamp::from_micros(0))
}

#[test]
fn what_stays_is_not_looked_at() {
    let db = opened();
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    furnish(&db, now);
    for category in [RetainedCategory::Conversations, RetainedCategory::Jobs, RetainedCategory::Workspace] {
        let sql = "INSERT INTO retention_policies (tenant, category, days, updated_at) VALUES (?1, ?2, 10, 0)";
        let code = category_code(category);
        db.execute(sql, params![TenantId::default_tenant().as_str(), code]).unwrap();
        db.texts.replace(Vec::new());
        db.begin_operation("apply_retention");
        let (limits, policy) = (Limits::default(), keep_ten_days(category));
        let tx = Tx::of_all(&db, now, &limits);
        let go_on = |place| at_once(&tx, round(&tx, "root", &policy, place, Locked::WaitFor)).unwrap();
        let first = go_on(Place::default());
        assert_eq!(first.rows, 1, "{category:?}");
        let rest = go_on(first.next.unwrap());
        assert!(rest.rows == 0 && rest.next.is_none(), "{category:?}");
        assert_eq!(gone_through(&db), BTreeSet::new(), "{category:?}");
    }
    db.texts.replace(Vec::new());
    db.begin_operation("remove");
    let swept = change::sweep_receipts(&db, 7 * DAY, now, 100).unwrap();
    let abandoned = workspace::give_up_abandoned(&db, now).unwrap();
    // Of both, what was replaced; of one also what was published or begun and is too old.
    assert_eq!((swept, abandoned, workspace::sweep(&db).unwrap()), (1, 1, 4));
    assert_eq!(gone_through(&db), BTreeSet::new());
}

#[test]
fn what_was_there_before_the_migration_is_found() {
    let db = opened();
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    furnish(&db, now);
    let noted = || {
        let sql = "SELECT owner_no, conversations_since, jobs_since, files_since FROM users";
        db.query(sql, params![], |row| Ok([row.i64(1)?, row.i64(2)?, row.i64(3)?])).unwrap()
    };
    let before = noted();
    assert_eq!(before, [now, now.before(20 * DAY)].map(|at| [at.as_micros(); 3]));
    db.batch("UPDATE users SET conversations_since = 7, jobs_since = 7, files_since = 7").unwrap();
    let (_, update) = include_str!("../../schema/0003/retention.sql").split_once("UPDATE users SET").unwrap();
    db.batch(&format!("UPDATE users SET {}", update.split_once(';').unwrap().0)).unwrap();
    assert_eq!(noted(), before);
}
