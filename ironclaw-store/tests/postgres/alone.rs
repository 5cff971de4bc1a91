//! Operators' work that takes long: one does it at a time, and a second is told who.

use std::pin::Pin;
use std::time::Duration;

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::{ErasureId, OperatorName, UserId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::audit::Outcome;
use ironclaw_core::store::{Apply, Store, StoreError, StoreErrorKind};
use ironclaw_core::{Change, Maintenance, PageRequest, Scope, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use sqlx::PgConnection;

use crate::database::{Database, app_url, operator_url};
use crate::network::{assert_refused, refusal_by};
use crate::raw::must;
use crate::workload::until;

ironclaw_testing::tests![
    a_second_operator_is_told_who_works,
    what_is_dropped_goes_on_alone,
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
    Scope::user(UserId::parse("ada").unwrap())
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
    until("the second waits", async || must(&mut superuser, all).await == 2).await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    drop(holder);
    first.await.unwrap().unwrap();
    until("nobody works", async || must(&mut superuser, all).await == 0).await;
    // Whoever erases again fails, and that is in the trail.
    let events = olga.system_events(&PageRequest::default()).await.unwrap().items;
    assert!(events.iter().all(|entry| entry.event.outcome == Outcome::Success), "{events:?}");
    erase(&oscar).await.unwrap().unwrap_err();
    let events = olga.system_events(&PageRequest::default()).await.unwrap().items;
    assert!(events.iter().any(|entry| entry.event.outcome == Outcome::Failed), "{events:?}");
}
