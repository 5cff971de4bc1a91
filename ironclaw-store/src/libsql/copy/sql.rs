//! The statements of a copy, made from what each table consists of.

use std::sync::LazyLock;

use libsql::Value as Sqlite;

use crate::copy::end::Unit;
use crate::copy::table::{Column, OF_USER, SHARED, Table};
use crate::libsql::row::params;

/// The statements of one table.
pub(super) struct Sql {
    /// How many rows there are.
    pub(super) count: String,
    /// All rows; none for those of parts.
    pub(super) read: String,
    /// Writes one row.
    pub(super) insert: String,
}

/// The number that the content of the user `?1` is kept under; that of the operators' chain has none.
pub(super) const CONTENT_NO: &str = "(SELECT coalesce(u.content_no, u.owner_no) FROM users u WHERE u.owner_no = ?1)";

/// The tables of which there is a view of what is visible.
const HIDDEN: [&str; 7] =
    ["conversations", "messages", "jobs", "job_events", "llm_calls", "sandbox_jobs", "audit_private"];

static OF_USER_SQL: LazyLock<Vec<Sql>> = LazyLock::new(|| OF_USER.iter().map(|table| sql(table, true)).collect());
pub(super) static SHARED_SQL: LazyLock<Vec<Sql>> =
    LazyLock::new(|| SHARED.iter().map(|table| sql(table, false)).collect());

pub(super) fn statements(unit: Unit) -> &'static [Sql] {
    match unit {
        Unit::Owner(_) => &OF_USER_SQL,
        Unit::Shared => &SHARED_SQL,
    }
}

fn sql(table: &Table, owned: bool) -> Sql {
    let filled =
        |text: &str, value: &str| text.replace("{schema}", "").replace("{owner}", "?1").replace("{value}", value);
    let read = |column: &Column| match column.instead {
        Some((read, _)) => filled(read, ""),
        None => format!("t.\"{}\"", column.name),
    };
    let first = if owned { 2 } else { 1 };
    let write = |(place, column): (usize, &Column)| match column.instead {
        Some((_, write)) => filled(write, &format!("?{}", place + first)),
        None => format!("?{}", place + first),
    };
    let list = |items: Vec<String>| items.join(", ");
    let mut names: Vec<String> = table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    let mut values: Vec<String> = table.columns.iter().enumerate().map(write).collect();
    for (column, value, _) in table.also {
        names.push((*column).to_owned());
        values.push((*value).to_owned());
    }
    if owned {
        names.insert(0, "owner_no".to_owned());
        values.insert(0, "?1".to_owned());
    }
    let mut conditions = Vec::new();
    if owned {
        let number = if table.is_content { CONTENT_NO } else { "?1" };
        conditions.push(format!("t.owner_no = {number}"));
    }
    if !table.filter.is_empty() {
        conditions.push(filled(table.filter, ""));
    }
    let conditions = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let columns = list(table.columns.iter().map(read).collect());
    // What is being removed does not come along.
    let source =
        if HIDDEN.contains(&table.source) { format!("visible_{}", table.source) } else { table.source.to_owned() };
    Sql {
        count: format!("SELECT count(*) FROM {source} t{conditions}"),
        read: format!("SELECT {columns} FROM {source} t{conditions} ORDER BY {}", table.order),
        insert: format!("INSERT INTO {} ({}) VALUES ({})", table.source, list(names), list(values)),
    }
}

/// The parameter that says whose rows, for what has an owner.
pub(super) fn whose(unit: Unit) -> Vec<Sqlite> {
    match unit {
        Unit::Owner(owner_no) => params![owner_no],
        Unit::Shared => params![],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;
    use crate::libsql::db::Db;
    use crate::libsql::schema;

    /// What is not moved column by column: numbers of a store's own, what is derived, and what parts bring.
    const OTHERWISE: [&str; 18] = [
        "store_meta",
        "removals",
        "users",
        "audit_streams",
        "message_terms",
        "message_statistics",
        "workspace_statistics",
        "chunk_terms",
        "memory_chunks",
        "entry_parts",
        "messages.message_no",
        "jobs.job_no",
        "job_events.event_no",
        "llm_calls.call_no",
        "sandbox_jobs.run_no",
        "holds.hold_no",
        "erasures.erasure_no",
        "embedding_models.chunks",
    ];

    /// Of versions: the number, what parts add up to, and the workspace's generation.
    const OF_VERSIONS: [&str; 3] = ["version_no", "terms", "generation"];

    #[test]
    fn every_column_is_moved_or_derived() {
        let db = Db::open(":memory:", libsql::OpenFlags::default(), Duration::from_secs(1)).unwrap();
        schema::configure(&db, false).unwrap();
        schema::migrate(&db).unwrap();
        let moved: HashSet<String> = OF_USER
            .iter()
            .chain(SHARED)
            .flat_map(|table| table.columns.iter().map(|column| format!("{}.{}", table.source, column.name)))
            .collect();
        let columns = db
            .query(
                "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c \
                 WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
                params![],
                |row| Ok((row.text(0)?, row.text(1)?)),
            )
            .unwrap();
        assert!(columns.len() > 200);
        for (table, column) in columns {
            let name = format!("{table}.{column}");
            let is_known = column == "owner_no"
                || moved.contains(&name)
                || OTHERWISE.contains(&table.as_str())
                || OTHERWISE.contains(&name.as_str())
                || table == "entry_versions" && OF_VERSIONS.contains(&column.as_str());
            assert!(is_known, "{name} is left behind by copies");
        }
    }
}
