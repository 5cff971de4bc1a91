//! What the server, the database or the role has as its defaults changes nothing that the store does.

use std::time::Duration;

use ironclaw_core::change::{AccessOp, ConversationOp, Precondition, SettingOp};
use ironclaw_core::id::{AgentName, ConversationId, MessageId, OperatorName};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::UserStatus;
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::store::{AgentStore, Apply, Store, StoreError, StoreErrorKind, VaultStore};
use ironclaw_core::{Change, Maintenance, PageRequest, Scope, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use sqlx::PgConnection;

use crate::database::{Database, app_url, cluster, operator_url};
use crate::network::{assert_refused, refusal_by};
use crate::raw::must;
use crate::workload::{assert_sound, until};

ironclaw_testing::tests![
    a_database_with_hostile_defaults_is_migrated_by_several_at_once,
    an_operator_works_in_a_database_with_hostile_defaults,
    what_was_committed_while_a_change_waited_is_seen,
    what_is_acknowledged_is_durable,
    a_database_that_heeds_no_references_is_refused,
    limits_of_the_database_end_nothing_that_waits,
    a_migration_waits_whatever_the_database_limits,
    an_operators_reading_may_compute_for_as_long_as_it_likes,
    a_large_conversation_is_deleted_in_portions,
];

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

fn put(key: &str) -> Change {
    Change::new().with(SettingOp::Put { key: key.parse().unwrap(), value: 1.into() })
}

async fn operator(database: &Database) -> PostgresMaintenance {
    PostgresMaintenance::connect(&operator_url(database.name()), OperatorName::parse("olga").unwrap()).await.unwrap()
}

async fn a_database_with_hostile_defaults_is_migrated_by_several_at_once() {
    // The server has the roles from here on.
    drop(Database::fresh().await);
    for _ in 0..3 {
        let database = Database::empty().await;
        database.make_hostile().await;
        let url = cluster().superuser_url(database.name());
        let migrations = (0..4).map(|_| {
            tokio::spawn({
                let url = url.clone();
                async move { PostgresStore::migrate(&url).await }
            })
        });
        for migrated in migrations.collect::<Vec<_>>() {
            migrated.await.unwrap().unwrap();
        }
        let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
        store.apply(&ada(), put("theme")).await.unwrap();
        store.close().await.unwrap();
        assert_sound(&operator_url(database.name())).await;
    }
}

async fn an_operator_works_in_a_database_with_hostile_defaults() {
    let database = Database::fresh().await;
    database.make_hostile().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    store.apply(&ada(), put("theme")).await.unwrap();
    let operator = operator(&database).await;
    assert_eq!(operator.index_vectors().await.unwrap().made, 0);
    operator.apply_retention().await.unwrap();
    assert_eq!(operator.scrub().await.unwrap().pending, Vec::<String>::new());
    assert_eq!(operator.check_integrity().await.unwrap(), Vec::<String>::new());
    assert_eq!(operator.users(&PageRequest::default()).await.unwrap().items.len(), 1);
}

/// Waits until somebody waits for a lock.
async fn until_one_waits(superuser: &mut PgConnection) {
    let sql = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("a change waits for a lock", async || must(&mut *superuser, sql).await > 0).await;
}

/// Makes `call` wait for the user's row while `meanwhile` is committed: what the call gives.
async fn waiting<T: Send + 'static>(
    database: &Database,
    meanwhile: &str,
    call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let (mut holder, mut watcher) = (database.superuser().await, database.superuser().await);
    let lock = "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT FROM ironclaw.users FOR NO KEY UPDATE";
    must(&mut holder, lock).await;
    let call = tokio::spawn(call);
    until_one_waits(&mut watcher).await;
    must(&mut holder, &format!("{meanwhile}; COMMIT")).await;
    call.await.unwrap()
}

async fn what_was_committed_while_a_change_waited_is_seen() {
    for level in ["'read committed'", "'repeatable read'", "serializable"] {
        let database = Database::fresh().await;
        database.set(&[("default_transaction_isolation", level)]).await;
        let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
        let (ada, agent) = (ada(), AgentName::parse("agent").unwrap());
        let id = ConversationId::make(&SystemClock);
        let create = Change::new().with(ConversationOp::Create { id, title: "evidence".into() });
        store.apply(&ada, create.with(AccessOp::PutAgent { name: agent.clone(), active: true })).await.unwrap();
        let epoch = store.access().agent(&ada, &agent).await.unwrap().unwrap().policy_epoch;

        let change = put("spent").require(Precondition::PolicyEpoch { agent, epoch });
        let (writer, scope) = (store.clone(), ada.clone());
        let ended = "UPDATE ironclaw.agents SET active = false, policy_epoch = policy_epoch + 1";
        let spent = waiting(&database, ended, async move { writer.apply(&scope, change).await }).await;
        assert_refused(&spent.unwrap_err(), &StoreErrorKind::PreconditionFailed, &[]);

        let delete = Change::new().with(ConversationOp::Delete { id });
        let (writer, scope) = (store.clone(), ada.clone());
        let held = "INSERT INTO ironclaw.holds (id, owner_no, reason, created_at) \
                    SELECT gen_random_uuid(), owner_no, 'litigation', now() FROM ironclaw.users";
        let deleted = waiting(&database, held, async move { writer.apply(&scope, delete).await }).await;
        assert_refused(&deleted.unwrap_err(), &StoreErrorKind::LegalHold, &[]);
        assert!(store.conversations().conversation(&ada, id).await.unwrap().is_some());
    }
}

/// What notes how durable each transaction is that writes to a table.
fn noting(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS public.noted (level text); GRANT INSERT ON public.noted TO PUBLIC; \
         CREATE OR REPLACE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO public.noted VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$; \
         CREATE TRIGGER note AFTER INSERT ON ironclaw.{table} FOR EACH ROW EXECUTE FUNCTION public.note()"
    )
}

async fn what_is_acknowledged_is_durable() {
    for (default, expected) in [("off", "on"), ("local", "on"), ("on", "on"), ("remote_apply", "remote_apply")] {
        let database = Database::fresh().await;
        database.set(&[("synchronous_commit", default)]).await;
        let mut superuser = database.superuser().await;
        // Each transaction that writes at all writes there.
        must(&mut superuser, &noting("audit_events")).await;
        let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
        store.apply(&ada(), put("theme")).await.unwrap();
        let missing =
            Change::new().with(ConversationOp::Rename { id: ConversationId::make(&SystemClock), title: "none".into() });
        store.apply(&ada(), missing).await.unwrap_err();
        let (tenant, owner) = (ada().tenant().clone(), ada().person().clone());
        let suspend = SystemChange::PutUser { tenant, owner, status: UserStatus::Suspended, roles: Vec::new() };
        operator(&database).await.apply_system(suspend).await.unwrap();
        let levels: Vec<String> =
            sqlx::query_scalar("SELECT level FROM public.noted").fetch_all(&mut superuser).await.unwrap();
        assert_eq!(levels, [expected; 3], "{default}");
    }
}

async fn a_database_that_heeds_no_references_is_refused() {
    let database = Database::fresh().await;
    database.set(&[("session_replication_role", "replica")]).await;
    let store = PostgresStore::builder().acquire_timeout(Duration::from_secs(5));
    let store = store.connect(&app_url(database.name())).await.unwrap();
    let operator = operator(&database).await;
    for error in [
        refusal_by(store.apply(&ada(), put("theme"))).await,
        refusal_by(store.settings().setting(&ada(), &"theme".parse().unwrap())).await,
        refusal_by(operator.users(&PageRequest::default())).await,
    ] {
        assert_refused(&error, &StoreErrorKind::Privileges, &["session_replication_role"]);
    }
    assert_eq!(must(&mut database.superuser().await, "SELECT FROM ironclaw.users").await, 0);
}

/// What an administrator may limit, each to less than a test waits. PostgreSQL 16 has no limit on a transaction.
async fn limit(database: &Database) {
    let sql = "SELECT FROM pg_settings WHERE name = 'transaction_timeout'";
    let is_known = must(&mut database.superuser().await, sql).await == 1;
    let limits = ["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"];
    let limits = limits.map(|name| (name, "'200ms'"));
    database.set(if is_known { &limits } else { &limits[..3] }).await;
}

/// A superuser for whom there are no limits.
async fn unlimited(database: &Database) -> PgConnection {
    let mut superuser = database.superuser().await;
    must(&mut superuser, "SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0").await;
    if must(&mut superuser, "SELECT FROM pg_settings WHERE name = 'transaction_timeout'").await == 1 {
        must(&mut superuser, "SET transaction_timeout = 0; SET statement_timeout = 0").await;
    }
    superuser
}

/// Makes a call wait for a lock for longer than the database's limits allow.
async fn beyond<T: Send + 'static>(
    database: &Database,
    lock: &str,
    call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> T {
    let (mut holder, mut watcher) = (unlimited(database).await, unlimited(database).await);
    must(&mut holder, &format!("BEGIN ISOLATION LEVEL READ COMMITTED; {lock}")).await;
    let call = tokio::spawn(call);
    until_one_waits(&mut watcher).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    must(&mut holder, "COMMIT").await;
    call.await.unwrap().unwrap()
}

async fn limits_of_the_database_end_nothing_that_waits() {
    const SETTINGS: &str = "LOCK TABLE ironclaw.settings IN ACCESS EXCLUSIVE MODE";
    let database = Database::fresh().await;
    limit(&database).await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    store.apply(&ada(), put("theme")).await.unwrap();
    let operator = operator(&database).await;
    let reader = store.clone();
    let read = async move { reader.settings().setting(&ada(), &"theme".parse().unwrap()).await };
    beyond(&database, SETTINGS, read).await.unwrap();
    let writer = store.clone();
    beyond(&database, SETTINGS, async move { writer.apply(&ada(), put("theme")).await }).await;
    let writer = store.clone();
    let row = "SELECT FROM ironclaw.users FOR NO KEY UPDATE";
    beyond(&database, row, async move { writer.apply(&ada(), put("theme")).await }).await;
    let checker = operator.clone();
    let found = beyond(&database, SETTINGS, async move { checker.check_integrity().await }).await;
    // The limits are the database's, not the schema's.
    assert_eq!(found, Vec::<String>::new());
    let scrubber = operator.clone();
    assert_eq!(beyond(&database, SETTINGS, async move { scrubber.scrub().await }).await.pending, Vec::<String>::new());
    let suspend = SystemChange::PutUser {
        tenant: ada().tenant().clone(),
        owner: ada().person().clone(),
        status: UserStatus::Suspended,
        roles: Vec::new(),
    };
    let users = "LOCK TABLE ironclaw.users IN ACCESS EXCLUSIVE MODE";
    beyond(&database, users, async move { operator.apply_system(suspend).await }).await;
}

async fn a_migration_waits_whatever_the_database_limits() {
    let database = Database::empty().await;
    limit(&database).await;
    let url = cluster().superuser_url(database.name());
    // What all who migrate lock.
    let lock = format!("SELECT pg_advisory_xact_lock({})", i64::from_be_bytes(*b"ironclaw"));
    beyond(&database, &lock, async move { PostgresStore::migrate(&url).await }).await;
}

/// A conversation with large messages. What the system says is not searched, and so not analysed.
async fn fill(store: &PostgresStore, messages: usize, role: Role) -> ConversationId {
    let id = ConversationId::make(&SystemClock);
    store.apply(&ada(), Change::new().with(ConversationOp::Create { id, title: "long".into() })).await.unwrap();
    for number in 0..messages {
        let text: String = (0..200_000).map(|word| format!("w{:02} ", (word + number) % 97)).collect();
        let message = NewMessage::text(MessageId::make(&SystemClock), role, text);
        store
            .apply(&ada(), Change::new().with(ConversationOp::AppendMessage { conversation: id, message }))
            .await
            .unwrap();
    }
    id
}

async fn an_operators_reading_may_compute_for_as_long_as_it_likes() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    fill(&store, 2, Role::User).await;
    let builder = PostgresStore::builder().idle_in_transaction_timeout(Duration::from_millis(10));
    let operator = OperatorName::parse("olga").unwrap();
    let operator = builder.connect_maintenance(&operator_url(database.name()), operator).await.unwrap();
    assert_eq!(operator.check_integrity().await.unwrap(), Vec::<String>::new());
    operator.verify_audit().await.unwrap();
}

/// Between two statements of a change no more is computed than a part of what a conversation may be.
async fn a_large_conversation_is_deleted_in_portions() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let id = fill(&store, 12, Role::System).await;
    let mut superuser = database.superuser().await;
    let counting = "CREATE SEQUENCE public.portions; GRANT ALL ON SEQUENCE public.portions TO PUBLIC; \
        CREATE FUNCTION public.count() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN PERFORM nextval('public.portions'); RETURN NULL; END $$; \
        CREATE TRIGGER count AFTER DELETE ON ironclaw.message_terms FOR EACH STATEMENT EXECUTE FUNCTION public.count()";
    must(&mut superuser, counting).await;
    store.apply(&ada(), Change::new().with(ConversationOp::Delete { id })).await.unwrap();
    let portions: i64 =
        sqlx::query_scalar("SELECT last_value FROM public.portions").fetch_one(&mut superuser).await.unwrap();
    assert!((2..=4).contains(&portions), "{portions} portions of some 10 MB");
    must(&mut superuser, "DROP FUNCTION public.count CASCADE").await;
    assert_sound(&operator_url(database.name())).await;
}
