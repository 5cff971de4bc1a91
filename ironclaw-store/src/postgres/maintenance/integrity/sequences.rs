//! The sequences that numbers come from: none may give a number again that is in use.

use ironclaw_core::store::StoreError;

use super::protection::Loosened;
use crate::postgres::row::params;
use crate::postgres::tx::Tx;

/// The sequences, each with the tables that have a column of the name of the one that gets its numbers: these have the
/// number of something that may itself be gone.
const SEQUENCES: &str = "SELECT s.relname::text, a.attname::text, u.relname::text FROM pg_class s \
    JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.refclassid = 'pg_class'::regclass \
        AND d.deptype = 'i' \
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
    JOIN pg_class u ON u.relnamespace = s.relnamespace AND u.relkind = 'r' \
    JOIN pg_attribute b ON b.attrelid = u.oid AND b.attname = a.attname AND b.atttypid = a.atttypid \
        AND NOT b.attisdropped \
    WHERE s.relnamespace = 'ironclaw'::regnamespace AND s.relkind = 'S' ORDER BY 1, 3";

/// The last number that may be in use, or come next. No store comes to half of what a `bigint` holds: beyond stands what
/// somebody wrote, and going on from there would end soon.
const LAST: i64 = 1 << 62;

/// What is wrong with them, in words.
pub(super) async fn check(tx: &Tx, loosened: &Loosened) -> Result<Vec<String>, StoreError> {
    let mut columns = tx.query(SEQUENCES, params![], |row| Ok((row.text(0)?, row.text(1)?, row.text(2)?))).await?;
    columns.retain(|(_, _, table)| !loosened.is_anothers(table));
    let mut wrong = Vec::new();
    for of_one in columns.chunk_by(|(one, ..), (other, ..)| one == other) {
        let sequence = &of_one[0].0;
        let greatest = of_one.iter().map(|(_, column, table)| {
            format!("SELECT '{table}.{column}' AS place, max(\"{column}\") AS used FROM ironclaw.\"{table}\"")
        });
        let greatest = greatest.collect::<Vec<_>>().join(" UNION ALL ");
        // What a sequence is set to must be at least 1.
        let sql = format!(
            "SELECT n.next::text, greatest(n.used, 1)::text, CASE WHEN n.used > $1 THEN n.place ELSE '' END \
             FROM (SELECT s.last_value::numeric + s.is_called::integer AS next, g.place, g.used \
                FROM ironclaw.\"{sequence}\" s, ({greatest}) g ORDER BY g.used DESC NULLS LAST LIMIT 1) n \
             WHERE n.next <= n.used OR n.next > $1 OR n.used > $1"
        );
        let behind = tx.query_row(sql, params![LAST], |row| Ok((row.text(0)?, row.text(1)?, row.text(2)?))).await?;
        wrong.extend(behind.map(|(next, used, place)| told(sequence, &next, &used, &place)));
    }
    Ok(wrong)
}

/// What is said of one: its next number, the greatest in use, and where that stands if it can't be the store's.
fn told(sequence: &str, next: &str, used: &str, place: &str) -> String {
    if place.is_empty() {
        return format!(
            "sequence {sequence}: its next number is {next}, and none above {used} is in use: run SELECT \
             setval('ironclaw.{sequence}', {used}) before anything else is written"
        );
    }
    format!(
        "sequence {sequence}: {place} has the number {used}, which leaves too few for others: that row is damage: remove \
         it, or restore it from a backup, before anything else is written, and check again"
    )
}
