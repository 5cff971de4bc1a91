//! The schema, migration by migration. What has landed is never edited: a change is a migration of its own.

use sea_orm::{DbBackend, Statement};
use sea_orm_migration::prelude::*;

/// All migrations, oldest first.
pub(super) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Initial), Box::new(Rules), Box::new(Hardening), Box::new(Bands), Box::new(Spaces)]
    }

    fn migration_table_name() -> DynIden {
        "migrations".into_iden()
    }
}

/// The name of the newest migration.
pub(super) const NEWEST: &str = "m0005_spaces";

/// All tables, who may do what with them, and the functions that the application may not do without.
struct Initial;

impl MigrationName for Initial {
    fn name(&self) -> &'static str {
        "m0001_initial"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Initial {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for sql in [
            include_str!("schema/0001/users.sql"),
            include_str!("schema/0001/conversations.sql"),
            include_str!("schema/0001/jobs.sql"),
            include_str!("schema/0001/secrets.sql"),
            include_str!("schema/0001/access.sql"),
            include_str!("schema/0001/settings.sql"),
            include_str!("schema/0001/privacy.sql"),
            include_str!("schema/0001/workspace.sql"),
            include_str!("schema/0001/audit.sql"),
            include_str!("schema/0001/functions.sql"),
            include_str!("schema/0001/security.sql"),
        ] {
            // What has landed names the type alone.
            run(manager, &sql.replace("embedding vector ", "embedding {pgvector}.vector ")).await?;
        }
        Ok(())
    }
}

/// What an event may be, and receipts that expire.
struct Rules;

impl MigrationName for Rules {
    fn name(&self) -> &'static str {
        "m0002_rules"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Rules {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for sql in [include_str!("schema/0002/receipts.sql"), include_str!("schema/0002/audit.sql")] {
            run(manager, sql).await?;
        }
        Ok(())
    }
}

/// Nothing of ours resolves through what others can write to, and nobody's rows change what others wait for or find.
struct Hardening;

impl MigrationName for Hardening {
    fn name(&self) -> &'static str {
        "m0003_hardening"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Hardening {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let parts = [
            include_str!("schema/0003/takeover.sql"),
            include_str!("schema/0003/retention.sql"),
            include_str!("schema/0003/paths.sql"),
            include_str!("schema/0003/vectors.sql"),
        ];
        for sql in parts {
            run(manager, sql).await?;
        }
        Ok(())
    }
}

/// Actions and subjects by their bands, and retention that bears clocks which go back.
struct Bands;

impl MigrationName for Bands {
    fn name(&self) -> &'static str {
        "m0004_bands"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Bands {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for sql in [include_str!("schema/0004/audit.sql"), include_str!("schema/0004/retention.sql")] {
            run(manager, sql).await?;
        }
        Ok(())
    }
}

/// Members of spaces, and how they enter one.
struct Spaces;

impl MigrationName for Spaces {
    fn name(&self) -> &'static str {
        NEWEST
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Spaces {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, include_str!("schema/0005/spaces.sql")).await
    }
}

/// Runs a file. `{pgvector}` in it stands for the schema of pgvector, which the path does not hold.
async fn run(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let schema = "SELECT quote_ident(n.nspname::text) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
                  WHERE e.extname = 'vector'";
    let schema = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, schema)).await?;
    let schema: String =
        schema.ok_or_else(|| DbErr::RecordNotFound("the extension vector".to_owned()))?.try_get_by_index(0)?;
    connection.execute_unprepared(&sql.replace("{pgvector}", &schema)).await?;
    Ok(())
}
