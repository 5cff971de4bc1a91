//! Operators' work that takes long: one does it at a time, and a second is told who.

use std::pin::Pin;
use std::time::Duration;

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::{ErasureId, OperatorName};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::audit::Outcome;
use ironclaw_core::store::{Apply, Store, StoreError, StoreErrorKind};
use ironclaw_core::{Change, Maintenance, PageRequest, Scope, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use sqlx::{Connection, PgConnection};

use crate::database::{Database, app_url, operator_url};
use crate::library::register;
use crate::network::{assert_refused, refusal_by};
use crate::raw::{Role, must};
use crate::vectors::{DIMENSIONS, MODEL, indexes};
use crate::workload::until;

ironclaw_testing::tests![
    a_second_operator_is_told_who_works,
    what_is_dropped_goes_on_alone,
    a_stranger_who_holds_the_lock_is_named,
    who_waits_keeps_no_index_from_its_end,
    an_operator_whose_lock_is_lost_builds_no_more,
    what_is_dropped_before_its_turn_is_not_done,
];

type Work = fn(PostgresMaintenance) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// What one operator does at a time.
const WORK: [(&str, Work); 4] = [
    ("index_vectors", |operator| Box::pin(async move { operator.index_vectors().await.map(drop) })),
    ("scrub", |operator| Box::pin(async move { operator.scrub().await.map(drop) })),
    ("apply_retention", |operator| Box::pin(async move { operator.apply_retention().await.map(drop) })),
    ("apply_system", |operator| Box::pin(async move { operator.apply_system(erasure()).await.map(drop) })),
];

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

fn erasure() -> SystemChange {
    let (tenant, owner) = (ada().tenant().clone(), ada().owner().clone());
    SystemChange::EraseUser { tenant, owner, id: ErasureId::make(&SystemClock) }
}

async fn operator(database: &Database, name: &str, patience: Duration) -> PostgresMaintenance {
    let builder = PostgresStore::builder().lock_timeout(patience);
    builder.connect_maintenance(&operator_url(database.name()), OperatorName::parse(name).unwrap()).await.unwrap()
}

/// A database with a user whom an operator can erase.
async fn with_ada() -> Database {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let put = SettingOp::Put { key: "theme".parse().unwrap(), value: 1.into() };
    store.apply(&ada(), Change::new().with(put)).await.unwrap();
    store.close().await.unwrap();
    database
}

/// Lets no transaction of the store go on until it is dropped or ends its own.
async fn standstill(database: &Database) -> PgConnection {
    let mut holder = database.superuser().await;
    must(&mut holder, "BEGIN; LOCK TABLE ironclaw.migrations IN ACCESS EXCLUSIVE MODE").await;
    holder
}

/// The processes that work alone.
async fn workers(superuser: &mut PgConnection) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    sqlx::query_scalar(sql).fetch_all(superuser).await.unwrap()
}

async fn a_second_operator_is_told_who_works() {
    for (name, work) in WORK {
        let database = with_ada().await;
        let olga = operator(&database, "olga", Duration::from_secs(600)).await;
        let oscar = operator(&database, "oscar", Duration::from_millis(100)).await;
        let mut superuser = database.superuser().await;
        let holder = standstill(&database).await;
        let first = tokio::spawn(work(olga));
        until("the first works", async || !workers(&mut superuser).await.is_empty()).await;
        let [pid] = workers(&mut superuser).await[..] else { panic!("one works") };
        let error = refusal_by(work(oscar.clone())).await;
        let said = [format!("process {pid} "), format!("{name} since 20"), "by olga".to_owned()];
        assert_refused(&error, &StoreErrorKind::Busy, &said.each_ref().map(String::as_str));
        assert!(error.is_retryable());
        drop(holder);
        first.await.unwrap().unwrap();
        // The lock is gone with the work.
        until("nobody works", async || workers(&mut superuser).await.is_empty()).await;
        match work(oscar).await {
            Err(error) if name == "apply_system" => assert_refused(&error, &StoreErrorKind::NotFound, &[]),
            done => done.unwrap(),
        }
    }
}

/// A caller who goes away leaves the work to its end, and nobody else begins it before.
async fn what_is_dropped_goes_on_alone() {
    let database = with_ada().await;
    let olga = operator(&database, "olga", Duration::from_secs(600)).await;
    let mut superuser = database.superuser().await;
    let holder = standstill(&database).await;
    let call = tokio::spawn({
        let olga = olga.clone();
        async move { olga.apply_system(erasure()).await }
    });
    until("it works", async || !workers(&mut superuser).await.is_empty()).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(workers(&mut superuser).await.len(), 1);
    drop(holder);
    until("it is done", async || workers(&mut superuser).await.is_empty()).await;
    assert_eq!(must(&mut superuser, "SELECT FROM ironclaw.users").await, 0);
    olga.close().await;
}

/// Anybody who may connect may take a lock of this kind, and call themselves what they like.
async fn a_stranger_who_holds_the_lock_is_named() {
    let database = with_ada().await;
    let role = Role::new("mallory", "LOGIN").await;
    let mut stranger = PgConnection::connect(&role.url(&database)).await.unwrap();
    for (lock, unlock) in [("lock", "unlock"), ("lock_shared", "unlock_shared")] {
        let key = "('x' || left(encode(sha256('ironclaw index_vectors'), 'hex'), 16))::bit(64)::bigint";
        let claim = "SET application_name = 'index_vectors since 2026 by olga'";
        must(&mut stranger, &format!("{claim}; SELECT pg_advisory_{lock}({key})")).await;
        let [pid] = workers(&mut database.superuser().await).await[..] else { panic!("one holds it") };
        let oscar = operator(&database, "oscar", Duration::from_millis(100)).await;
        let error = refusal_by(oscar.index_vectors()).await;
        let said = [role.0.clone(), "is no operator".to_owned(), format!("pg_terminate_backend({pid})")];
        assert_refused(&error, &StoreErrorKind::Busy, &said.each_ref().map(String::as_str));
        must(&mut stranger, &format!("SELECT pg_advisory_{unlock}({key})")).await;
        oscar.index_vectors().await.unwrap();
    }
}

/// A database in which there is an index to make, and whom its making waits for.
async fn with_an_index_to_make() -> (Database, PgConnection) {
    let database = with_ada().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    register(&store, &ada(), MODEL, DIMENSIONS as u32).await;
    let mut writer = database.superuser().await;
    must(&mut writer, "UPDATE ironclaw.embedding_models SET chunks = 5000").await;
    must(&mut writer, "BEGIN; LOCK TABLE ironclaw.chunk_vectors IN ROW EXCLUSIVE MODE").await;
    (database, writer)
}

/// The processes that make or drop an index and wait for somebody.
async fn builders(superuser: &mut PgConnection) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
               AND state = 'active' AND query LIKE '%INDEX CONCURRENTLY%'";
    sqlx::query_scalar(sql).fetch_all(superuser).await.unwrap()
}

/// An index is whole when all snapshots that are older than it have ended: who waits for its maker must have none.
async fn who_waits_keeps_no_index_from_its_end() {
    let (database, mut writer) = with_an_index_to_make().await;
    let olga = operator(&database, "olga", Duration::from_secs(600)).await;
    let oscar = operator(&database, "oscar", Duration::from_secs(600)).await;
    let mut superuser = database.superuser().await;
    let first = tokio::spawn(async move { olga.index_vectors().await });
    until("the first waits for the writer", async || !builders(&mut superuser).await.is_empty()).await;
    let second = tokio::spawn(async move { oscar.index_vectors().await });
    let asking = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                  AND query LIKE '%advisory%'";
    until("the second asks for the lock", async || must(&mut superuser, asking).await > 0).await;
    must(&mut writer, "COMMIT").await;
    let both = async { (first.await.unwrap().unwrap().made, second.await.unwrap().unwrap().made) };
    let both = tokio::time::timeout(Duration::from_secs(60), both).await.expect("they wait for each other");
    assert_eq!(both, (1, 0));
}

/// Two that make indexes of one table at the same time wait for each other.
async fn an_operator_whose_lock_is_lost_builds_no_more() {
    let (database, mut writer) = with_an_index_to_make().await;
    let olga = operator(&database, "olga", Duration::from_secs(600)).await;
    let oscar = operator(&database, "oscar", Duration::from_secs(600)).await;
    let mut superuser = database.superuser().await;
    let first = tokio::spawn(async move { olga.index_vectors().await });
    until("the first waits for the writer", async || !builders(&mut superuser).await.is_empty()).await;
    let before = builders(&mut superuser).await;
    let [holder] = workers(&mut superuser).await[..] else { panic!("one holds the lock") };
    must(&mut superuser, &format!("SELECT pg_terminate_backend({holder}, 60000)")).await;
    let second = tokio::spawn(async move { oscar.index_vectors().await });
    let is_new = |builders: Vec<i32>| builders.iter().any(|pid| !before.contains(pid));
    until("the second waits", async || is_new(builders(&mut superuser).await)).await;
    assert_eq!(builders(&mut superuser).await.len(), 1, "both build");
    must(&mut writer, "COMMIT").await;
    assert_eq!(second.await.unwrap().unwrap().made, 1);
    assert_refused(&first.await.unwrap().unwrap_err(), &StoreErrorKind::Unavailable, &[]);
    assert_eq!(indexes(&mut superuser).await.len(), 1);
}

/// A second operator who goes away while the first works has done nothing, not even in vain.
async fn what_is_dropped_before_its_turn_is_not_done() {
    let database = with_ada().await;
    let olga = operator(&database, "olga", Duration::from_secs(600)).await;
    let oscar = operator(&database, "oscar", Duration::from_secs(600)).await;
    let mut superuser = database.superuser().await;
    let holder = standstill(&database).await;
    let erase = |operator: &PostgresMaintenance| {
        let operator = operator.clone();
        tokio::spawn(async move { operator.apply_system(erasure()).await })
    };
    let first = erase(&olga);
    until("the first works", async || !workers(&mut superuser).await.is_empty()).await;
    let second = erase(&oscar);
    let all = "SELECT FROM pg_locks WHERE locktype = 'advisory' \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let asking = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                  AND query LIKE '%pg_try_advisory_lock%'";
    until("the second asks for the lock", async || must(&mut superuser, asking).await > 0).await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    drop(holder);
    first.await.unwrap().unwrap();
    until("nobody works", async || must(&mut superuser, all).await == 0).await;
    until("nobody asks", async || must(&mut superuser, asking).await == 0).await;
    // Whoever erases again fails, and that is in the trail.
    let events = olga.system_events(&PageRequest::default()).await.unwrap().items;
    assert!(events.iter().all(|entry| entry.event.outcome == Outcome::Success), "{events:?}");
    erase(&oscar).await.unwrap().unwrap_err();
    let events = olga.system_events(&PageRequest::default()).await.unwrap().items;
    assert!(events.iter().any(|entry| entry.event.outcome == Outcome::Failed), "{events:?}");
}
