//! Keys that hold text: none is longer than an index takes, and paths, which may be, are found and listed as fast.

use std::collections::BTreeMap;

use ironclaw_core::id::NAME_BYTES;
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::store::Workspace;
use ironclaw_core::{Page, PageRequest};
use ironclaw_store::PostgresStore;

use crate::database::Database;
use crate::library::{File, apply, path, user};
use crate::watched::{Statement, Watched};

ironclaw_testing::tests![every_indexed_text_has_a_bound, files_are_found_and_listed_through_indexes];

/// The most that a row of a B-tree holds.
const INDEX_ROW: usize = 2_704;

/// The longest term, in bytes.
const TERM_BYTES: usize = 64;

/// The characters of a path by which it is listed, of four bytes at most.
const PATH_START: usize = 4 * 600;

/// The longest value of each text, and of bytes of any length, that is in a key.
fn bound(column: &str) -> Option<usize> {
    Some(match column {
        "users.tenant" | "users.owner" | "roles.tenant" | "roles.name" | "user_roles.role" => NAME_BYTES,
        "vault_header.tenant" | "root_key_wraps.tenant" | "retention_policies.tenant" => NAME_BYTES,
        "receipts.key" | "settings.key" | "quotas.name" => NAME_BYTES,
        "secrets.name" | "secret_versions.name" => NAME_BYTES,
        "members.tenant" | "members.member" => NAME_BYTES,
        "agents.name" | "policies.agent" | "tool_grants.tool" => NAME_BYTES,
        "audit_pseudonyms.name" => NAME_BYTES,
        "embedding_models.id" => NAME_BYTES,
        "message_terms.term" | "chunk_terms.term" => TERM_BYTES,
        "workspace_entries.path_start" => PATH_START,
        "workspace_entries.path_hash" | "secret_numbers.name_hash" => 32,
        "audit_streams.stream" => 16,
        // The names of migrations are ours.
        "migrations.version" => NAME_BYTES,
        _ => return None,
    })
}

async fn every_indexed_text_has_a_bound() {
    let database = Database::fresh().await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT i.indexrelid::regclass::text, t.relname || '.' || coalesce(a.attname, 'an expression') \
         FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class c ON c.oid = i.indexrelid \
         JOIN pg_am m ON m.oid = c.relam CROSS JOIN LATERAL unnest(i.indkey::smallint[]) k (attnum) \
         LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0 \
         WHERE t.relnamespace = 'ironclaw'::regnamespace AND m.amname = 'btree' \
         AND coalesce((SELECT y.typlen FROM pg_type y WHERE y.oid = a.atttypid), -1) < 0",
    )
    .fetch_all(&mut database.superuser().await)
    .await
    .unwrap();
    assert!(columns.len() > 20, "{columns:?}");
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for (index, column) in columns {
        let bytes = bound(&column).unwrap_or_else(|| panic!("how long may {column} be? It is in {index}"));
        *sizes.entry(index).or_default() += bytes;
    }
    for (index, bytes) in sizes {
        // Beside the texts: the row's head, numbers and ids, and each text's length.
        assert!(bytes + 64 <= INDEX_ROW, "{index} may have rows of {bytes} bytes");
    }
    const { assert!(WorkspacePath::BYTES > INDEX_ROW, "paths could be in an index as they are") };
}

/// The statement that read files.
fn reading(statements: &[Statement]) -> &Statement {
    statements.iter().find(|statement| statement.text.contains("ironclaw.workspace_entries")).unwrap()
}

async fn files_are_found_and_listed_through_indexes() {
    let mut watched = Watched::start().await;
    let store = watched.store(PostgresStore::builder()).await;
    let ada = user("ada");
    let mut operations = Vec::new();
    for n in 0..1_000 {
        operations.extend(File::of_texts(&format!("f/{n:04}"), ["a text"]).operations());
    }
    apply(&store, &ada, operations).await;
    let page = PageRequest::first(10).unwrap();
    for analyze in [false, true] {
        if analyze {
            watched.execute("ANALYZE").await;
        }
        for turn in 0..8 {
            let at = path(&format!("f/{:04}", 3 + 10 * turn));
            let (found, statements) = watched.during(store.entry(&ada, &at)).await;
            assert!(found.unwrap().is_some());
            assert!(reading(&statements).scan("workspace_entries_pkey").is_some(), "{turn} {analyze}");
            assert_eq!(reading(&statements).removed(), 0);
        }
        if !analyze {
            continue;
        }
        for prefix in [None, Some(path("f"))] {
            let next = store.entries(&ada, prefix.as_ref(), &page).await.unwrap().next.unwrap();
            let request = page.clone().after(next);
            let (found, statements) = watched.during(store.entries(&ada, prefix.as_ref(), &request)).await;
            let Page { items, .. } = found.unwrap();
            assert_eq!(items.len(), 10);
            let scan = reading(&statements).scan("workspace_entries_by_path").expect("a scan in the order of paths");
            assert!(scan["Actual Rows"].as_f64().unwrap() < 50.0, "it reads more than a page");
        }
    }
}
