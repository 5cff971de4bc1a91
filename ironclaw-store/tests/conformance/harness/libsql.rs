//! Embedded stores.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use ironclaw_core::conformance::store::{Opened, Tampering};
use ironclaw_core::conformance::{Capability, Failure, StoreHarness};
use ironclaw_core::id::OperatorName;
use ironclaw_core::{Clock, Scope, Store};
use ironclaw_store::LibsqlStore;

use super::copies;
use super::pointed::Pointed;

/// Stores in files of a folder that is removed at the end.
pub(crate) struct OnDisk {
    folder: tempfile::TempDir,
    places: AtomicU64,
}

impl OnDisk {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), places: AtomicU64::new(0) }
    }
}

#[async_trait]
impl StoreHarness for OnDisk {
    fn capabilities(&self) -> &'static [Capability] {
        &[
            Capability::Reopen,
            Capability::Processes,
            Capability::ManualClock,
            Capability::Faults,
            Capability::Tampering,
            Capability::Inspection,
            Capability::Audit,
        ]
    }

    async fn place(&self) -> Result<String, Failure> {
        let place = self.places.fetch_add(1, Ordering::Relaxed);
        Ok(self.folder.path().join(format!("{place}.db")).to_str().unwrap().to_owned())
    }

    async fn open(&self, place: &str, clock: Arc<dyn Clock>) -> Result<Opened, Failure> {
        let store = LibsqlStore::builder().clock(clock).readers(2).open(Path::new(place)).await?;
        opened(store)
    }

    async fn fault_points(&self, place: &str) -> Result<Vec<String>, Failure> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name";
        let mut rows = behind(place).await?.query(sql, ()).await?;
        let mut points = Vec::new();
        while let Some(row) = rows.next().await? {
            points.push(row.get(0)?);
        }
        Ok(points)
    }

    async fn fail_at(&self, place: &str, point: Option<&str>) -> Result<(), Failure> {
        let connection = behind(place).await?;
        for point in self.fault_points(place).await? {
            for write in ["INSERT", "UPDATE", "DELETE"] {
                connection.execute(&format!("DROP TRIGGER IF EXISTS fault_{point}_{write}"), ()).await?;
            }
        }
        let Some(point) = point else {
            return Ok(());
        };
        for write in ["INSERT", "UPDATE", "DELETE"] {
            let sql = format!(
                "CREATE TRIGGER fault_{point}_{write} BEFORE {write} ON {point} BEGIN SELECT RAISE(ABORT, 'fault'); END"
            );
            connection.execute(&sql, ()).await?;
        }
        Ok(())
    }

    async fn stored(&self, place: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        dump(place).await
    }

    async fn copies(&self, place: &str, scope: &Scope) -> Result<(), Failure> {
        let store = LibsqlStore::open(place).await?;
        copies(&store.maintenance(OperatorName::parse("conformance")?), scope).await?;
        Ok(store.close().await?)
    }

    async fn tamper(&self, place: &str, scope: &Scope, tampering: Tampering) -> Result<(), Failure> {
        let connection = behind(place).await?;
        let (tenant, owner) = (scope.tenant().as_str().to_owned(), scope.owner().key().into_owned());
        let mut rows =
            connection.query("SELECT owner_no FROM users WHERE tenant = ?1 AND owner = ?2", (tenant, owner)).await?;
        let owner: i64 = rows.next().await?.ok_or_else(|| Failure::new("the user has no row"))?.get(0)?;
        drop(rows);
        let statements: &[&str] = match tampering {
            Tampering::ChangeOutcome(_) => {
                &["UPDATE audit_events SET outcome = (outcome + 1) % 3 WHERE owner_no = ?1 AND sequence = ?2"]
            }
            Tampering::ChangeTime(_) => {
                &["UPDATE audit_events SET time = time + 1000000 WHERE owner_no = ?1 AND sequence = ?2"]
            }
            Tampering::Delete(_) => &["DELETE FROM audit_events WHERE owner_no = ?1 AND sequence = ?2"],
            Tampering::Swap(_) => &[
                "UPDATE audit_events SET sequence = -1 WHERE owner_no = ?1 AND sequence = ?2",
                "UPDATE audit_events SET sequence = ?2 WHERE owner_no = ?1 AND sequence = ?2 + 1",
                "UPDATE audit_events SET sequence = ?2 + 1 WHERE owner_no = ?1 AND sequence = -1",
            ],
            Tampering::ChangePrivate(_) => &[
                "UPDATE audit_private SET private = CAST(private || ' ' AS BLOB) WHERE owner_no = ?1 AND sequence = ?2",
            ],
            _ => return Err(Failure::new("a tampering that this harness does not know")),
        };
        let (Tampering::ChangeOutcome(sequence)
        | Tampering::ChangeTime(sequence)
        | Tampering::Delete(sequence)
        | Tampering::Swap(sequence)
        | Tampering::ChangePrivate(sequence)) = tampering
        else {
            return Err(Failure::new("a tampering that this harness does not know"));
        };
        for sql in statements {
            connection.execute(sql, (owner, sequence as i64)).await?;
        }
        Ok(())
    }
}

/// The rows of all tables, and the bytes of the files.
async fn dump(place: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut stored = Vec::new();
    {
        let connection = behind(place).await?;
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
        let mut tables = connection.query(sql, ()).await?;
        while let Some(table) = tables.next().await? {
            let table: String = table.get(0)?;
            let mut rows = connection.query(&format!("SELECT * FROM {table}"), ()).await?;
            while let Some(row) = rows.next().await? {
                let mut bytes = Vec::new();
                for column in 0..rows.column_count() {
                    match row.get_value(column)? {
                        libsql::Value::Text(text) => bytes.extend(text.into_bytes()),
                        libsql::Value::Blob(blob) => bytes.extend(blob),
                        libsql::Value::Null | libsql::Value::Integer(_) | libsql::Value::Real(_) => {}
                    }
                    bytes.push(0);
                }
                stored.push((format!("a row of {table}"), bytes));
            }
        }
    }
    for suffix in ["", "-wal", "-shm"] {
        // Another process reads them: this one would lose the locks that it holds on them.
        let read = std::process::Command::new("cat").arg(format!("{place}{suffix}")).output()?;
        stored.push((format!("the file {suffix}"), read.stdout));
    }
    Ok(stored)
}

/// Stores in memory, which have no place. They are read through pointers.
pub(crate) struct InMemory;

#[async_trait]
impl StoreHarness for InMemory {
    fn capabilities(&self) -> &'static [Capability] {
        &[Capability::ManualClock, Capability::Audit]
    }

    async fn place(&self) -> Result<String, Failure> {
        Ok(String::new())
    }

    async fn open(&self, _place: &str, clock: Arc<dyn Clock>) -> Result<Opened, Failure> {
        let store = LibsqlStore::builder().clock(clock).in_memory().await?;
        let Opened { maintenance, .. } = opened(store.clone())?;
        Ok(Opened::new(Arc::new(Pointed::at(store)), maintenance))
    }
}

fn opened(store: LibsqlStore) -> Result<Opened, Failure> {
    let maintenance = Arc::new(store.maintenance(OperatorName::parse("conformance")?));
    Ok(Opened::new(Arc::new(store), maintenance))
}

/// A connection of its own to a store's file.
async fn behind(place: &str) -> Result<libsql::Connection, Failure> {
    let connection = libsql::Builder::new_local(place).build().await?.connect()?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}
