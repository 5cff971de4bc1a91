//! Prepared statements, and what is known of the columns of their rows.
//!
//! The crate panics on text that is not UTF-8, and cuts text at a zero byte. So a query never gives it text to read:
//! the query is wrapped into one that gives the bytes of what is text, and says whether they were text. SQLite merges
//! the two into the same plan.

use ironclaw_core::store::StoreError;
use libsql::{Connection, Statement};

use super::error::now;

/// A statement with its columns.
pub(super) struct Prepared {
    pub(super) statement: Statement,
    pub(super) columns: Vec<Column>,
}

/// A column of a result.
pub(super) struct Column {
    /// The table's and the column's name.
    pub(super) name: String,
    pub(super) reading: Reading,
}

/// How a column comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As it is: of a column that is declared to be no text.
    AsItIs,
    /// Of a column that is declared to be text: text as its bytes, and a number with a fraction in place of bytes.
    Text,
    /// Of an expression: text as its bytes.
    Expression,
    /// What SQLite says of itself, and numbers that a change gives back.
    Trusted,
}

impl Prepared {
    pub(super) fn new(connection: &Connection, operation: &'static str, sql: &str) -> Result<Self, StoreError> {
        let sql = &own(sql);
        let statement = now(operation, connection.prepare(sql))?;
        let is_query = ["SELECT", "WITH"].iter().any(|word| sql.starts_with(word));
        let columns: Vec<Column> = statement.columns().iter().map(|column| Column::new(column, is_query)).collect();
        let is_safe = |column: &Column| matches!(column.reading, Reading::AsItIs | Reading::Trusted);
        if columns.iter().all(is_safe) {
            return Ok(Self { statement, columns });
        }
        drop(statement);
        let wrapped = wrap(sql, &columns);
        Ok(Self { statement: now(operation, connection.prepare(&wrapped))?, columns })
    }
}

impl Column {
    fn new(column: &libsql::Column<'_>, is_query: bool) -> Self {
        let name = match column.table_name() {
            Some(table) => format!("{table}.{}", column.origin_name().unwrap_or(column.name())),
            None => column.name().to_owned(),
        };
        let reading = match column.decl_type() {
            _ if !is_query => Reading::Trusted,
            None => Reading::Expression,
            Some(declared) if declared.eq_ignore_ascii_case("TEXT") => Reading::Text,
            Some(_) => Reading::AsItIs,
        };
        Self { name, reading }
    }
}

/// The statement as this engine takes it: a file has one schema, which is not named, and whoever writes is alone, so that
/// nothing need be locked.
fn own(sql: &str) -> String {
    let mut sql = sql.replace("ironclaw.", "");
    let locks = [" FOR NO KEY UPDATE", " FOR KEY SHARE", " FOR SHARE"].iter().filter_map(|lock| sql.find(lock)).min();
    sql.truncate(locks.unwrap_or(sql.len()));
    sql
}

fn wrap(sql: &str, columns: &[Column]) -> String {
    let names: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    let values = columns.iter().zip(&names).map(|(column, name)| match column.reading {
        Reading::AsItIs | Reading::Trusted => name.clone(),
        Reading::Text => {
            format!("CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) WHEN 'null' THEN NULL ELSE 0.5 END")
        }
        Reading::Expression => format!("CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"),
    });
    let values: Vec<String> = values.collect();
    format!("WITH own_rows ({}) AS ({sql}) SELECT {} FROM own_rows", names.join(", "), values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn a_file_has_no_schema_and_no_locks() {
        let both =
            "SELECT u.owner FROM ironclaw.holds h JOIN ironclaw.users u ON u.owner_no = h.owner_no WHERE h.id = ?1";
        let file = "SELECT u.owner FROM holds h JOIN users u ON u.owner_no = h.owner_no WHERE h.id = ?1";
        assert_eq!(own(both), file);
        for lock in [" FOR NO KEY UPDATE", " FOR NO KEY UPDATE OF u", " FOR KEY SHARE", " FOR SHARE"] {
            assert_eq!(own(&format!("{both}{lock}")), file);
        }
        assert_eq!(own("SELECT 1 FROM ironclaw.visible_jobs"), "SELECT 1 FROM visible_jobs");
    }
}
