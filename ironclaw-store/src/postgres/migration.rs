//! The schema, migration by migration. What has landed is never edited: a change is a migration of its own.

use sea_orm_migration::prelude::*;

/// All migrations, oldest first.
pub(super) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Initial)]
    }

    fn migration_table_name() -> DynIden {
        "migrations".into_iden()
    }
}

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
            include_str!("schema/users.sql"),
            include_str!("schema/conversations.sql"),
            include_str!("schema/jobs.sql"),
            include_str!("schema/secrets.sql"),
            include_str!("schema/access.sql"),
            include_str!("schema/settings.sql"),
            include_str!("schema/privacy.sql"),
            include_str!("schema/workspace.sql"),
            include_str!("schema/audit.sql"),
            include_str!("schema/functions.sql"),
            include_str!("schema/security.sql"),
        ] {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }
}
