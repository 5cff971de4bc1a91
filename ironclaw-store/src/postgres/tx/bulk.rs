//! Results that take long to go through.

use ironclaw_core::store::StoreError;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::{Sql, Tx};
use crate::heavy::apart;
use crate::postgres::connection::bounded;
use crate::postgres::row::{Params, Row};

impl Tx {
    /// What `read` makes of all rows of a query together: if they are large, on a thread for blocking work.
    pub(in crate::postgres) async fn read_apart<T, F>(
        &self,
        sql: impl Into<Sql>,
        params: Params,
        read: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&[Row<'_>]) -> Result<T, StoreError> + Send + 'static,
    {
        let sql = sql.into();
        let text = sql.text();
        let rows = {
            let mut connection = self.connection.lock().await;
            let (patience, query) = (connection.patience, self.prepared(sql, params)?);
            let rows = bounded(patience, query.fetch_all(connection.as_mut(self.operation)?)).await;
            rows.map_err(|error| self.failed_at(&text, error))?
        };
        let operation = self.operation;
        apart(operation, rows.iter().map(bytes).sum(), move || {
            let rows: Vec<_> = rows.iter().map(|row| Row::new(row, operation, &text)).collect();
            read(&rows)
        })
        .await
    }
}

fn bytes(row: &PgRow) -> usize {
    let bytes = |column| row.try_get_raw(column).ok().and_then(|value| value.as_bytes().ok()).map_or(0, <[u8]>::len);
    (0..row.len()).map(bytes).sum()
}
