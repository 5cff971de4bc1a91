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

/// What is wrong with them, in words.
pub(super) async fn check(tx: &Tx, loosened: &Loosened) -> Result<Vec<String>, StoreError> {
    let mut columns = tx.query(SEQUENCES, params![], |row| Ok((row.text(0)?, row.text(1)?, row.text(2)?))).await?;
    columns.retain(|(_, _, table)| !loosened.is_anothers(table));
    let mut wrong = Vec::new();
    for of_one in columns.chunk_by(|(one, ..), (other, ..)| one == other) {
        let sequence = &of_one[0].0;
        let greatest =
            of_one.iter().map(|(_, column, table)| format!("(SELECT max(\"{column}\") FROM ironclaw.\"{table}\")"));
        let greatest = greatest.collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT n.next::text, n.used::text FROM (SELECT s.last_value::numeric + s.is_called::integer AS next, \
             greatest({greatest}) AS used FROM ironclaw.\"{sequence}\" s) n WHERE n.next <= n.used"
        );
        let behind = tx.query_row(sql, params![], |row| Ok((row.text(0)?, row.text(1)?))).await?;
        wrong.extend(behind.map(|(next, used)| {
            format!(
                "sequence {sequence}: its next number is {next}, and {used} is in use: run SELECT \
                 setval('ironclaw.{sequence}', {used}) before anything else is written"
            )
        }));
    }
    Ok(wrong)
}
