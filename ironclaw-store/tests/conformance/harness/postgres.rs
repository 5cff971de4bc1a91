//! Stores in databases of a real server.

use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use ironclaw_core::conformance::store::{Opened, Tampering};
use ironclaw_core::conformance::{Capability, Failure, StoreHarness};
use ironclaw_core::id::OperatorName;
use ironclaw_core::{Clock, Scope};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use ironclaw_testing::PgBouncer;
use sqlx::{AssertSqlSafe, Executor};

use super::copies;
use crate::database::{Database, app_url, operator_url, pooled_app_url, pooler, superuser, unavailable};

/// Stores in databases that are made from a template and dropped at the end.
pub(crate) struct Postgres {
    databases: Mutex<Vec<Database>>,
    is_pooled: bool,
    pooler: OnceLock<PgBouncer>,
}

impl Postgres {
    /// Stores that connect to the server itself, in databases whose defaults are none that a store could take for granted.
    pub(crate) fn direct() -> Self {
        Self { databases: Mutex::default(), is_pooled: false, pooler: OnceLock::new() }
    }

    /// Stores that connect through a pooler in transaction mode. An operator connects to the server itself.
    pub(crate) fn pooled() -> Self {
        Self { is_pooled: true, ..Self::direct() }
    }
}

#[async_trait]
impl StoreHarness for Postgres {
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
        if let Some(missing) = unavailable(self.is_pooled) {
            return Err(Failure::unavailable(missing));
        }
        let database = Database::fresh().await;
        if !self.is_pooled {
            database.make_hostile().await;
        }
        let name = database.name().to_owned();
        self.databases.lock().unwrap().push(database);
        Ok(name)
    }

    async fn open(&self, place: &str, clock: Arc<dyn Clock>) -> Result<Opened, Failure> {
        let builder = PostgresStore::builder().clock(clock);
        let store = match self.is_pooled {
            true => {
                let pooler = self.pooler.get_or_init(|| pooler(4, &[], None));
                builder.clone().transaction_pooling().connect(&pooled_app_url(pooler, place)).await?
            }
            false => builder.clone().connect(&app_url(place)).await?,
        };
        let operator = OperatorName::parse("conformance")?;
        let maintenance = builder.max_connections(4).connect_maintenance(&operator_url(place), operator).await?;
        Ok(Opened::new(Arc::new(store), Arc::new(maintenance)))
    }

    async fn fault_points(&self, place: &str) -> Result<Vec<String>, Failure> {
        let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'ironclaw' AND tablename <> 'migrations' \
                   ORDER BY tablename";
        Ok(sqlx::query_scalar(sql).fetch_all(&mut superuser(place).await).await?)
    }

    async fn fail_at(&self, place: &str, point: Option<&str>) -> Result<(), Failure> {
        let mut connection = superuser(place).await;
        let mut sql = String::from(
            "CREATE OR REPLACE FUNCTION public.fault() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'fault' USING ERRCODE = 'disk_full'; END $$;",
        );
        for other in self.fault_points(place).await? {
            sql.push_str(&format!("DROP TRIGGER IF EXISTS fault ON ironclaw.{other};"));
        }
        if let Some(point) = point {
            sql.push_str(&format!(
                "CREATE TRIGGER fault BEFORE INSERT OR UPDATE OR DELETE ON ironclaw.{point} \
                 FOR EACH ROW EXECUTE FUNCTION public.fault();"
            ));
        }
        connection.execute(AssertSqlSafe(sql)).await?;
        Ok(())
    }

    async fn stored(&self, place: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut connection = superuser(place).await;
        let mut stored = Vec::new();
        for table in self.fault_points(place).await? {
            // Bytes as text, in which what is ASCII stands as it is.
            let columns: Vec<String> = sqlx::query_scalar(
                "SELECT CASE atttypid WHEN 'bytea'::regtype THEN format('encode(%I, ''escape'')', attname) \
                 ELSE format('%I::text', attname) END FROM pg_attribute \
                 WHERE attrelid = format('ironclaw.%I', $1)::regclass AND attnum > 0 AND NOT attisdropped",
            )
            .bind(&table)
            .fetch_all(&mut connection)
            .await?;
            let sql = format!("SELECT concat_ws('|', {}) FROM ironclaw.{table}", columns.join(", "));
            let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await?;
            stored.extend(rows.into_iter().map(|row| (format!("a row of {table}"), row.into_bytes())));
        }
        Ok(stored)
    }

    async fn index(&self, place: &str) -> Result<(), Failure> {
        let operator = OperatorName::parse("conformance")?;
        let maintenance = PostgresMaintenance::connect(&operator_url(place), operator).await?;
        maintenance.index_vectors().await?;
        maintenance.close().await;
        Ok(())
    }

    async fn copies(&self, place: &str, scope: &Scope) -> Result<(), Failure> {
        let operator = OperatorName::parse("conformance")?;
        let builder = PostgresStore::builder().max_connections(4);
        let maintenance = builder.connect_maintenance(&operator_url(place), operator).await?;
        copies(&maintenance, scope).await
    }

    async fn tamper(&self, place: &str, scope: &Scope, tampering: Tampering) -> Result<(), Failure> {
        let mut connection = superuser(place).await;
        let owner: i64 = sqlx::query_scalar("SELECT owner_no FROM ironclaw.users WHERE tenant = $1 AND owner = $2")
            .bind(scope.tenant().as_str())
            .bind(scope.owner().key().as_ref())
            .fetch_one(&mut connection)
            .await?;
        let (sequence, statements): (u64, &[&'static str]) = match tampering {
            Tampering::ChangeOutcome(sequence) => (
                sequence,
                &["UPDATE ironclaw.audit_events SET outcome = (outcome + 1) % 3 WHERE owner_no = $1 AND sequence = $2"],
            ),
            Tampering::ChangeTime(sequence) => (
                sequence,
                &[
                    "UPDATE ironclaw.audit_events SET time = time + interval '1 second' WHERE owner_no = $1 AND sequence = $2",
                ],
            ),
            Tampering::Delete(sequence) => {
                (sequence, &["DELETE FROM ironclaw.audit_events WHERE owner_no = $1 AND sequence = $2"])
            }
            Tampering::Swap(sequence) => (
                sequence,
                &[
                    "UPDATE ironclaw.audit_events SET sequence = -1 WHERE owner_no = $1 AND sequence = $2",
                    "UPDATE ironclaw.audit_events SET sequence = $2 WHERE owner_no = $1 AND sequence = $2 + 1",
                    "UPDATE ironclaw.audit_events SET sequence = $2 + 1 WHERE owner_no = $1 AND sequence = -1",
                ],
            ),
            Tampering::ChangePrivate(sequence) => (
                sequence,
                &[
                    "UPDATE ironclaw.audit_private SET private = private || ' '::bytea WHERE owner_no = $1 AND sequence = $2",
                ],
            ),
            _ => return Err(Failure::new("a tampering that this harness does not know")),
        };
        for sql in statements {
            sqlx::query(*sql).bind(owner).bind(sequence.cast_signed()).execute(&mut connection).await?;
        }
        Ok(())
    }
}
