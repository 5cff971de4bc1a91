//! Migrations run once, whole or not at all, whoever else runs or is killed.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ironclaw_core::id::OperatorName;
use ironclaw_core::store::{SearchFilter, Store, StoreError, StoreErrorKind};
use ironclaw_core::{MemoryStore, Scope};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use ironclaw_testing::{Server, need};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use crate::database::{Database, app_url, cluster, operator_url};
use crate::library::{File, near, register, write};
use crate::raw::{Role, must};
use crate::vectors::{MODEL, opened};
use crate::workload::until;

ironclaw_testing::tests![
    many_at_once_migrate_once,
    many_processes_migrate_once,
    child_migrates ignored "what the other processes do",
    who_waits_too_long_for_another_is_told_so,
    a_migration_whose_connection_is_cut_leaves_nothing,
    a_process_that_is_killed_lets_the_next_one_in,
    a_caller_that_goes_away_leaves_a_whole_schema_or_none,
    a_statement_that_fails_leaves_nothing,
    a_database_that_was_not_migrated_is_refused,
    a_newer_schema_is_refused_and_left_alone,
    a_database_without_a_fitting_extension_is_refused,
    a_store_whose_extension_is_dropped_says_so,
    the_extension_may_stand_in_a_schema_of_its_own,
    schemas_in_which_others_make_functions_are_refused,
    functions_that_others_left_are_not_called,
    a_schema_of_somebody_elses_is_refused,
    a_schema_that_comes_meanwhile_is_looked_at,
    who_migrates_need_not_be_a_superuser,
    the_first_migrations_of_a_server_may_come_at_once,
];

/// The migrations. What has landed is never changed: a new one is added at the end.
const MIGRATIONS: [&str; 5] = ["m0001_initial", "m0002_rules", "m0003_hardening", "m0004_bands", "m0005_spaces"];

/// What whoever migrates a database locks.
const LOCK: i64 = 0x6972_6f6e_636c_6177;

/// What stands in the schema.
const MADE: &str = "SELECT FROM pg_class WHERE relnamespace = 'ironclaw'::regnamespace";

/// Names the database to the process that is to be killed.
const CHILD: &str = "IRONCLAW_MIGRATION_CHILD";

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

/// The URL of a database for whoever migrates it.
fn url(database: &Database) -> String {
    cluster().superuser_url(database.name())
}

async fn migrate(database: &Database) -> Result<(), StoreError> {
    PostgresStore::migrate(&url(database)).await
}

/// A database without the schema, on a server that has the roles.
async fn empty() -> Database {
    drop(Database::fresh().await);
    Database::empty().await
}

async fn migrations(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("SELECT version FROM ironclaw.migrations ORDER BY version").fetch_all(connection).await.unwrap()
}

/// Everything that the schema consists of, in an order of its own.
async fn schema(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT concat('relation ', relname, relkind, relrowsecurity, relforcerowsecurity, relacl) \
         FROM pg_class WHERE relnamespace = 'ironclaw'::regnamespace \
         UNION ALL SELECT concat('column ', attrelid::regclass, attname, attnotnull, format_type(atttypid, atttypmod), attacl) \
         FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped \
         AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'ironclaw'::regnamespace) \
         UNION ALL SELECT concat('function ', proname, proacl, pg_get_functiondef(oid)) \
         FROM pg_proc WHERE pronamespace = 'ironclaw'::regnamespace \
         UNION ALL SELECT concat('policy ', tablename, policyname, roles, cmd, qual, with_check) \
         FROM pg_policies WHERE schemaname = 'ironclaw' \
         UNION ALL SELECT concat('constraint ', conrelid::regclass, conname, pg_get_constraintdef(oid)) \
         FROM pg_constraint WHERE connamespace = 'ironclaw'::regnamespace ORDER BY 1",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

/// A store works in the database.
async fn assert_whole(database: &Database) {
    let mut superuser = database.superuser().await;
    assert_eq!(migrations(&mut superuser).await, MIGRATIONS);
    let reference = Database::fresh().await;
    assert_eq!(schema(&mut superuser).await, schema(&mut reference.superuser().await).await);
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    assert_eq!(store.settings().setting(&ada(), &"theme".parse().unwrap()).await.unwrap(), None);
}

/// Makes an empty schema, in which a transaction makes a table of this name and does not end: a migration that comes
/// to that table waits for it.
async fn block(database: &Database, table: &str) -> PgConnection {
    let mut superuser = database.superuser().await;
    must(&mut superuser, "CREATE SCHEMA ironclaw AUTHORIZATION ironclaw_owner").await;
    must(&mut superuser, &format!("BEGIN; CREATE TABLE ironclaw.{table} ()")).await;
    superuser
}

/// Waits until a session that migrates the database waits for another's transaction, and gives its process.
async fn blocked(superuser: &mut PgConnection, database: &Database) -> i32 {
    eventually("no migration came to the table", async || {
        sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'migrate since %' \
             AND wait_event_type = 'Lock' AND wait_event <> 'advisory'",
        )
        .bind(database.name())
        .fetch_optional(&mut *superuser)
        .await
        .unwrap()
    })
    .await
}

/// Asks again and again until there is an answer, and gives up after half a minute.
async fn eventually<T>(otherwise: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{otherwise}");
}

async fn many_at_once_migrate_once() {
    let database = empty().await;
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let url = url(&database);
        tasks.spawn(async move { PostgresStore::migrate(&url).await });
    }
    for result in tasks.join_all().await {
        result.unwrap();
    }
    assert_whole(&database).await;
    // Once more there is nothing to do.
    let mut superuser = database.superuser().await;
    let state = "SELECT version || applied_at || xmin FROM ironclaw.migrations";
    let before: Vec<String> = sqlx::query_scalar(state).fetch_all(&mut superuser).await.unwrap();
    let made = schema(&mut superuser).await;
    migrate(&database).await.unwrap();
    let after: Vec<String> = sqlx::query_scalar(state).fetch_all(&mut superuser).await.unwrap();
    assert_eq!(before, after);
    assert_eq!(schema(&mut superuser).await, made);
}

async fn many_processes_migrate_once() {
    let database = empty().await;
    let children: Vec<_> = (0..4).map(|_| start_child(&database)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_whole(&database).await;
}

/// A process that migrates the database.
fn start_child(database: &Database) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "migrations::child_migrates", "--include-ignored"])
        .env(CHILD, url(database))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test of its own: what the other processes do.
async fn child_migrates() {
    PostgresStore::migrate(&std::env::var(CHILD).unwrap()).await.unwrap();
}

async fn who_waits_too_long_for_another_is_told_so() {
    let database = empty().await;
    let mut other = database.superuser().await;
    must(&mut other, &format!("SELECT pg_advisory_lock({LOCK})")).await;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut other).await.unwrap();
    let builder = PostgresStore::builder().migration_timeout(Duration::from_millis(200));
    let error = builder.clone().migrate(&url(&database)).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Busy, "{error}");
    assert!(error.to_string().contains(&format!("process {pid} of the server does it")), "{error}");
    // Nor does it hold up for longer than itself lives.
    let mut superuser = database.superuser().await;
    assert_eq!(must(&mut superuser, "SELECT FROM pg_namespace WHERE nspname = 'ironclaw'").await, 0);
    must(&mut superuser, &format!("SELECT pg_terminate_backend({pid}, 10000)")).await;
    builder.migrate(&url(&database)).await.unwrap();
    assert_whole(&database).await;
}

async fn a_migration_whose_connection_is_cut_leaves_nothing() {
    for table in ["migrations", "users", "jobs", "audit_checkpoints"] {
        let database = empty().await;
        let mut blocker = block(&database, table).await;
        let mut superuser = database.superuser().await;
        let url = url(&database);
        let migrating = tokio::spawn(async move { PostgresStore::migrate(&url).await });
        let pid = blocked(&mut superuser, &database).await;
        must(&mut superuser, &format!("SELECT pg_terminate_backend({pid}, 10000)")).await;
        let error = migrating.await.unwrap().unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::Unavailable, "{table}: {error}");
        must(&mut blocker, "ROLLBACK").await;
        assert_eq!(must(&mut superuser, MADE).await, 0, "{table}");
        migrate(&database).await.unwrap();
        assert_whole(&database).await;
    }
}

async fn a_process_that_is_killed_lets_the_next_one_in() {
    let database = empty().await;
    let mut blocker = block(&database, "audit_checkpoints").await;
    let mut superuser = database.superuser().await;
    let mut child = start_child(&database);
    blocked(&mut superuser, &database).await;
    child.kill().unwrap();
    child.wait().unwrap();
    // What it waited for is still in the way: the server finds out by itself that nobody waits any more.
    let mut next = database.superuser().await;
    eventually("the killed migration is still in the way", async || {
        let locked: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut next).await.unwrap();
        locked.then_some(())
    })
    .await;
    next.close().await.unwrap();
    must(&mut blocker, "ROLLBACK").await;
    assert_eq!(must(&mut superuser, MADE).await, 0);
    migrate(&database).await.unwrap();
    assert_whole(&database).await;
}

async fn a_caller_that_goes_away_leaves_a_whole_schema_or_none() {
    let database = empty().await;
    let mut blocker = block(&database, "jobs").await;
    let mut superuser = database.superuser().await;
    let url = url(&database);
    let migrating = tokio::spawn(async move { PostgresStore::migrate(&url).await });
    blocked(&mut superuser, &database).await;
    migrating.abort();
    assert!(migrating.await.unwrap_err().is_cancelled());
    must(&mut blocker, "ROLLBACK").await;
    migrate(&database).await.unwrap();
    assert_whole(&database).await;
}

async fn a_statement_that_fails_leaves_nothing() {
    let database = empty().await;
    let mut superuser = database.superuser().await;
    // In the way of the last but two of the schema's files.
    must(&mut superuser, "CREATE SCHEMA ironclaw AUTHORIZATION ironclaw_owner").await;
    must(&mut superuser, "CREATE TABLE ironclaw.audit_checkpoints ()").await;
    let error = migrate(&database).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Internal, "{error}");
    assert_eq!(must(&mut superuser, MADE).await, 1);
    must(&mut superuser, "DROP TABLE ironclaw.audit_checkpoints").await;
    migrate(&database).await.unwrap();
    assert_whole(&database).await;
}

async fn a_database_that_was_not_migrated_is_refused() {
    let database = empty().await;
    let refused = async || {
        for url in [app_url(database.name()), operator_url(database.name()), url(&database)] {
            let error = PostgresStore::connect(&url).await.unwrap_err();
            assert_eq!(*error.kind(), StoreErrorKind::NotMigrated, "{error}");
            assert!(error.to_string().contains("PostgresStore::migrate"), "{error}");
        }
        let operator = OperatorName::parse("root").unwrap();
        let error = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::NotMigrated, "{error}");
    };
    refused().await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, "CREATE EXTENSION vector").await;
    must(&mut superuser, "CREATE SCHEMA ironclaw AUTHORIZATION ironclaw_owner").await;
    refused().await;
    migrate(&database).await.unwrap();
    assert_whole(&database).await;
    must(&mut superuser, "DELETE FROM ironclaw.migrations").await;
    refused().await;
}

async fn a_newer_schema_is_refused_and_left_alone() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, "INSERT INTO ironclaw.migrations VALUES ('m9999_later', 0)").await;
    let made = schema(&mut superuser).await;
    let operator = OperatorName::parse("root").unwrap();
    for error in [
        PostgresStore::connect(&app_url(database.name())).await.unwrap_err(),
        PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap_err(),
        migrate(&database).await.unwrap_err(),
    ] {
        assert_eq!(*error.kind(), StoreErrorKind::NewerSchema, "{error}");
    }
    assert_eq!(schema(&mut superuser).await, made);
    assert_eq!(migrations(&mut superuser).await, [MIGRATIONS.as_slice(), &["m9999_later"]].concat());
}

async fn a_database_without_a_fitting_extension_is_refused() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'").await;
    let error = PostgresStore::connect(&app_url(database.name())).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::UnsupportedVersion, "{error}");
    assert!(error.to_string().contains("0.7.4") && error.to_string().contains("ALTER EXTENSION"), "{error}");
    must(&mut superuser, "DROP EXTENSION vector CASCADE").await;
    let error = PostgresStore::connect(&app_url(database.name())).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::MissingExtension, "{error}");
}

async fn a_store_whose_extension_is_dropped_says_so() {
    let (database, store, _) = opened().await;
    register(&store, &ada(), MODEL, 2).await;
    write(&store, &ada(), &File::of_vectors("notes.md", MODEL, [vec![1.0, 0.0]])).await;
    let query = near(MODEL, &[1.0, 0.0]);
    let mut superuser = database.superuser().await;
    must(&mut superuser, "DROP EXTENSION vector CASCADE").await;
    let searched = store.workspace().search_vectors(&ada(), &query, &SearchFilter::default(), 10).await;
    let error = searched.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::NotMigrated, "{error}");
    assert!(error.to_string().contains("or pgvector: open the store anew"), "{error}");
    let operator = OperatorName::parse("root").unwrap();
    for error in [
        PostgresStore::connect(&app_url(database.name())).await.unwrap_err(),
        PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap_err(),
        PostgresStore::migrate(&operator_url(database.name())).await.unwrap_err(),
    ] {
        assert_eq!(*error.kind(), StoreErrorKind::MissingExtension, "{error}");
        assert!(error.to_string().contains("CREATE EXTENSION vector"), "{error}");
    }
}

async fn the_extension_may_stand_in_a_schema_of_its_own() {
    let database = empty().await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, "CREATE SCHEMA \"My Extensions\"; GRANT USAGE ON SCHEMA \"My Extensions\" TO PUBLIC").await;
    must(&mut superuser, "CREATE EXTENSION vector SCHEMA \"My Extensions\"").await;
    migrate(&database).await.unwrap();
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    assert_eq!(store.settings().setting(&ada(), &"theme".parse().unwrap()).await.unwrap(), None);
}

async fn schemas_in_which_others_make_functions_are_refused() {
    let somebody = Role::new("maker", "NOLOGIN").await;
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    let refused = async |said: &str| {
        let operator = OperatorName::parse("root").unwrap();
        for error in [
            PostgresStore::connect(&app_url(database.name())).await.unwrap_err(),
            PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap_err(),
            migrate(&database).await.unwrap_err(),
        ] {
            assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
    };
    for role in ["PUBLIC", "ironclaw_app", somebody.0.as_str()] {
        must(&mut superuser, &format!("GRANT CREATE ON SCHEMA ironclaw TO {role}")).await;
        refused(&format!("REVOKE CREATE ON SCHEMA ironclaw FROM {role}")).await;
        must(&mut superuser, &format!("REVOKE CREATE ON SCHEMA ironclaw FROM {role}")).await;
    }
    must(&mut superuser, &format!("ALTER SCHEMA ironclaw OWNER TO {}", somebody.0)).await;
    must(&mut superuser, "GRANT USAGE ON SCHEMA ironclaw TO ironclaw_owner").await;
    refused("ALTER SCHEMA ironclaw OWNER TO ironclaw_owner").await;
    must(&mut superuser, "ALTER SCHEMA ironclaw OWNER TO ironclaw_owner").await;
    // Whose schema pgvector is in can put another in its place.
    must(&mut superuser, &format!("ALTER SCHEMA public OWNER TO {}", somebody.0)).await;
    refused("ALTER SCHEMA public OWNER TO ironclaw_owner").await;
    must(&mut superuser, "ALTER SCHEMA public OWNER TO pg_database_owner").await;
    must(&mut superuser, &format!("ALTER DATABASE {} OWNER TO {}", database.name(), somebody.0)).await;
    refused(&format!("GRANT ironclaw_owner TO {}", somebody.0)).await;
    must(&mut superuser, "ALTER SCHEMA public OWNER TO ironclaw_owner").await;
    // What is made there is nobody's concern.
    must(&mut superuser, &format!("GRANT ALL ON SCHEMA public TO PUBLIC, {}", somebody.0)).await;
    migrate(&database).await.unwrap();
    assert_whole(&database).await;
    must(&mut superuser, &format!("ALTER DATABASE {} OWNER TO CURRENT_USER", database.name())).await;
    must(&mut superuser, &format!("DROP OWNED BY {}", somebody.0)).await;
    // But for the extension's own script, which a superuser runs.
    for role in ["PUBLIC", somebody.0.as_str()] {
        let database = empty().await;
        let mut superuser = database.superuser().await;
        must(&mut superuser, &format!("GRANT CREATE ON SCHEMA public TO {role}")).await;
        let error = migrate(&database).await.unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
        assert_eq!(must(&mut superuser, "SELECT FROM pg_extension WHERE extname = 'vector'").await, 0);
        must(&mut superuser, &format!("REVOKE CREATE ON SCHEMA public FROM {role}")).await;
        migrate(&database).await.unwrap();
    }
}

async fn functions_that_others_left_are_not_called() {
    let database = empty().await;
    let mut superuser = database.superuser().await;
    // They fit better than the server's own, which take text.
    let mut shadows = String::from("CREATE EXTENSION vector;");
    for function in ["quote_ident(name)", "format(text, name)", "current_setting(name)"] {
        shadows.push_str(&format!(
            "CREATE FUNCTION public.{function} RETURNS text LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'called as %', current_user; END $$;"
        ));
    }
    must(&mut superuser, &shadows).await;
    migrate(&database).await.unwrap();
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    assert_eq!(store.settings().setting(&ada(), &"theme".parse().unwrap()).await.unwrap(), None);
    let operator = OperatorName::parse("root").unwrap();
    PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
}

async fn a_schema_of_somebody_elses_is_refused() {
    let somebody = Role::new("somebody", "NOLOGIN").await;
    let database = empty().await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, &format!("CREATE SCHEMA ironclaw AUTHORIZATION {}", somebody.0)).await;
    let error = migrate(&database).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
    assert!(error.to_string().contains(&somebody.0), "{error}");
    assert_eq!(must(&mut superuser, MADE).await, 0);
    must(&mut superuser, "ALTER SCHEMA ironclaw OWNER TO ironclaw_owner").await;
    migrate(&database).await.unwrap();
    assert_whole(&database).await;
}

/// Whoever may make schemas in the database makes ours, between the look at it and its use.
async fn a_schema_that_comes_meanwhile_is_looked_at() {
    for (is_there, name) in [(false, "eve"), (true, "mallory")] {
        let eve = Role::new(name, "LOGIN").await;
        let database = empty().await;
        let mut superuser = database.superuser().await;
        must(&mut superuser, &format!("GRANT CREATE ON DATABASE {} TO {}", database.name(), eve.0)).await;
        if is_there {
            must(&mut superuser, "CREATE EXTENSION vector").await;
        }
        let mut planting = PgConnection::connect(&eve.url(&database)).await.unwrap();
        let trap = format!(
            "BEGIN; CREATE SCHEMA ironclaw; GRANT ALL ON SCHEMA ironclaw TO PUBLIC; \
             CREATE TABLE ironclaw.migrations (version varchar PRIMARY KEY, applied_at bigint NOT NULL); \
             GRANT ALL ON ironclaw.migrations TO PUBLIC; \
             CREATE FUNCTION ironclaw.rise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM set_config('role', session_user, true); ALTER ROLE {} SUPERUSER; RETURN NEW; END $$; \
             CREATE TRIGGER rise BEFORE INSERT ON ironclaw.migrations FOR EACH ROW EXECUTE FUNCTION ironclaw.rise()",
            eve.0
        );
        must(&mut planting, &trap).await;
        // Without the extension, its making waits here, after the first look; with it, the making of the schema waits.
        let mut waiting = database.superuser().await;
        must(&mut waiting, "BEGIN; LOCK TABLE pg_am IN EXCLUSIVE MODE").await;
        let migrating = tokio::spawn({
            let url = url(&database);
            async move { PostgresStore::migrate(&url).await }
        });
        let waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until("the migration waits", async || must(&mut superuser, waits).await > 0).await;
        must(&mut planting, "COMMIT").await;
        must(&mut waiting, "COMMIT").await;
        let error = migrating.await.unwrap().unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
        assert!(error.to_string().contains(&eve.0), "{error}");
        let risen = format!("SELECT FROM pg_roles WHERE rolname = '{}' AND rolsuper", eve.0);
        assert_eq!(must(&mut superuser, &risen).await, 0);
    }
}

async fn who_migrates_need_not_be_a_superuser() {
    let member = Role::new("migrator", "LOGIN IN ROLE ironclaw_owner").await;
    let stranger = Role::new("outsider", "LOGIN").await;
    let database = empty().await;
    let mut superuser = database.superuser().await;
    for (role, kind) in [(&member, StoreErrorKind::MissingExtension), (&stranger, StoreErrorKind::Privileges)] {
        // Whoever owns the database may not make the extension, which is not a trusted one, nor join a role. Where
        // somebody else owns it, what they may do in the schema that it would go into is not the first thing to mend.
        for owner in [role, &stranger] {
            must(&mut superuser, &format!("ALTER DATABASE {} OWNER TO {}", database.name(), owner.0)).await;
            let error = PostgresStore::migrate(&role.url(&database)).await.unwrap_err();
            assert_eq!(*error.kind(), kind, "{error}");
            assert!(error.to_string().contains("CREATE EXTENSION vector"), "{error}");
            assert_eq!(must(&mut superuser, "SELECT FROM pg_namespace WHERE nspname = 'ironclaw'").await, 0);
        }
    }
    must(&mut superuser, "CREATE EXTENSION vector").await;
    must(&mut superuser, &format!("ALTER DATABASE {} OWNER TO {}", database.name(), member.0)).await;
    for _ in 0..2 {
        PostgresStore::migrate(&member.url(&database)).await.unwrap();
        assert_whole(&database).await;
        // Once the schema is there, it need not own the database any more.
        must(&mut superuser, &format!("ALTER DATABASE {} OWNER TO CURRENT_USER", database.name())).await;
    }
    // Nor does the application bring a schema up to date, even one that is.
    let database = Database::fresh().await;
    let error = PostgresStore::migrate(&app_url(database.name())).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
}

async fn the_first_migrations_of_a_server_may_come_at_once() {
    let server = need(Server::start(&[]));
    // Roles belong to all databases of a server: whoever is first makes them, and need not be a superuser to do so.
    server.psql("postgres", "CREATE ROLE maker LOGIN CREATEROLE PASSWORD 'maker'").unwrap();
    server.psql("postgres", "CREATE DATABASE first OWNER maker").unwrap();
    server.psql("first", "CREATE EXTENSION vector").unwrap();
    let maker = server.url("maker", "maker", "first");
    PostgresStore::migrate(&maker).await.unwrap();
    PostgresStore::migrate(&maker).await.unwrap();
    let error = PostgresStore::connect(&maker).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
    server.psql("postgres", "DROP DATABASE first").unwrap();
    server.psql("postgres", "DROP ROLE ironclaw_owner, ironclaw_app, ironclaw_auditor").unwrap();
    let mut tasks = JoinSet::new();
    for database in ["a", "b", "c", "d"] {
        server.psql("postgres", &format!("CREATE DATABASE {database}")).unwrap();
    }
    for database in ["a", "b", "c", "d"].repeat(2) {
        let url = server.superuser_url(database);
        tasks.spawn(async move { PostgresStore::migrate(&url).await });
    }
    for result in tasks.join_all().await {
        result.unwrap();
    }
    for database in ["a", "b", "c", "d"] {
        let url = server.superuser_url(database);
        let store = PostgresStore::builder().allow_privileged_role().connect(&url).await.unwrap();
        assert_eq!(store.settings().setting(&ada(), &"theme".parse().unwrap()).await.unwrap(), None);
    }
}
