use futures::FutureExt;
use ironclaw_core::maintenance::Scrubbed;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::PostgresMaintenance;
use crate::postgres::row::params;
use crate::postgres::{change, workspace};

const OPERATION: &str = "scrub";

/// How many rows one transaction sweeps: a user's changes wait for one such transaction at most.
const SWEPT_AT_ONCE: u64 = 5_000;

/// Removes what is swept and rewrites the tables' files. What the write-ahead log, its archive, standbys and backups
/// hold is the server's.
pub(super) async fn scrub(maintenance: &PostgresMaintenance) -> Result<Scrubbed, StoreError> {
    while maintenance
        .write(OPERATION, (), |tx, ()| {
            async move {
                let receipts = change::sweep_receipts(tx, SWEPT_AT_ONCE).await?;
                Ok(receipts + workspace::sweep(tx, SWEPT_AT_ONCE).await?)
            }
            .boxed()
        })
        .await?
        > 0
    {}
    let tables = maintenance
        .read(OPERATION, (), |tx, ()| {
            async move {
                tx.query(
                    "SELECT quote_ident(c.relname) FROM pg_class c WHERE c.relnamespace = 'ironclaw'::regnamespace \
                     AND c.relkind = 'r' ORDER BY c.relname",
                    params![],
                    |row| row.text(0),
                )
                .await
            }
            .boxed()
        })
        .await?;
    let statements = tables.iter().map(|table| format!("VACUUM (FULL, ANALYZE) ironclaw.{table}")).collect();
    let mut pending = Vec::new();
    for (table, result) in tables.iter().zip(maintenance.engine().run_each(OPERATION, statements).await?) {
        match result {
            Ok(()) => {}
            Err(error) if *error.kind() == StoreErrorKind::Busy => {
                pending.push(format!("{table} is not rewritten: others are using it; scrub again"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Scrubbed::new(pending))
}
