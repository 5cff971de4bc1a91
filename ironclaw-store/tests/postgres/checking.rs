//! The check of everything reads what there is a few times, however much of it is one user's.

use ironclaw_core::Maintenance;
use ironclaw_store::PostgresStore;

use crate::library::{File, user, write};
use crate::watched::{Statement, Watched};

ironclaw_testing::tests![the_check_reads_what_there_is_a_few_times];

/// Files of the one user, of one byte each.
fn files(count: u32) -> String {
    format!(
        "SELECT set_config('ironclaw.maintenance', 'on', false); \
         CREATE TEMP TABLE made AS SELECT u.owner_no, gen_random_uuid() AS id \
            FROM ironclaw.users u, generate_series(1, {count}); \
         INSERT INTO ironclaw.entry_versions (owner_no, id, path, state, size, content_hash, metadata, chunks, terms, \
            created_at, updated_at) SELECT owner_no, id, id::text, 1, 1, sha256('a'), '{{}}', 0, 0, now(), now() FROM made; \
         INSERT INTO ironclaw.workspace_entries (owner_no, path, version_no, created_at) SELECT v.owner_no, v.path, \
            v.version_no, v.created_at FROM ironclaw.entry_versions v JOIN made USING (id); \
         INSERT INTO ironclaw.entry_parts (owner_no, version_no, start_byte, end_byte, bytes) \
            SELECT v.owner_no, v.version_no, 0, 1, 'a' FROM ironclaw.entry_versions v JOIN made USING (id); \
         DROP TABLE made; SELECT set_config('ironclaw.maintenance', '', false); ANALYZE"
    )
}

async fn the_check_reads_what_there_is_a_few_times() {
    let mut watched = Watched::start().await;
    let store = watched.store(PostgresStore::builder()).await;
    let maintenance = watched.maintenance().await;
    write(&store, &user("ada"), &File::of_texts("plan.md", ["a few words"])).await;
    let mut read = Vec::new();
    for _ in 0..2 {
        watched.execute(&files(1_000)).await;
        let (found, statements) = watched.during(maintenance.check_integrity()).await;
        assert_eq!(found.unwrap(), Vec::<String>::new());
        read.push(statements.iter().map(Statement::read).sum::<u64>());
    }
    assert!(read[1] < 3 * read[0], "with twice the files the check reads {} rows after {}", read[1], read[0]);
}
