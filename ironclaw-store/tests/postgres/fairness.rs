//! Nobody waits for connections that somebody else's calls hold.

use std::time::Duration;

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::{HoldId, OperatorName, QuotaName, TenantId, UserId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::privacy::Hold;
use ironclaw_core::store::{Apply, Store, StoreErrorKind};
use ironclaw_core::{Change, Clock, Maintenance, Scope, SystemClock};
use ironclaw_store::{PostgresStore, PostgresStoreBuilder};
use sqlx::PgConnection;
use tokio::task::JoinSet;

use crate::database::{Database, app_url, operator_url};
use crate::raw::must;
use crate::workload::{Person, assert_sound, bounded, until};

ironclaw_testing::tests![
    changes_of_one_user_hold_one_connection,
    readings_of_one_user_leave_room_for_others,
    rows_that_another_process_holds_do_not_hold_up_other_users,
    a_change_waits_for_another_process_as_long_as_it_may,
    however_many_rows_are_locked_each_is_tried_again_soon,
    an_operators_calls_about_one_user_leave_room_for_others,
    waiting_for_ones_own_calls_has_an_end,
];

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(600);

/// As many calls as would take all connections many times over.
const MANY: usize = 20;

fn user(name: &str) -> Scope {
    Scope::user(name).unwrap()
}

fn put(value: usize) -> Change {
    Change::new().with(SettingOp::Put { key: "a".parse().unwrap(), value: value.into() })
}

async fn opened(connections: u32) -> (Database, PostgresStore, PgConnection) {
    let database = Database::fresh().await;
    let builder = PostgresStore::builder().max_connections(connections).lock_timeout(FOR_EVER);
    let store = builder.acquire_timeout(FOR_EVER).connect(&app_url(database.name())).await.unwrap();
    for name in ["ada", "bob"] {
        store.apply(&user(name), put(0)).await.unwrap();
    }
    let superuser = database.superuser().await;
    (database, store, superuser)
}

/// Another store, whose calls give up soon.
async fn impatient(database: &Database, builder: PostgresStoreBuilder) -> PostgresStore {
    builder.acquire_timeout(Duration::from_millis(300)).connect(&app_url(database.name())).await.unwrap()
}

/// Locks users' rows, as another process's change does.
async fn lock(connection: &mut PgConnection, condition: &str) {
    must(connection, &format!("BEGIN; SELECT FROM ironclaw.users WHERE {condition} FOR NO KEY UPDATE")).await;
}

/// How many connections of the application are in a transaction.
async fn busy(watcher: &mut PgConnection) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'ironclaw' AND state <> 'idle'";
    sqlx::query_scalar(sql).fetch_one(watcher).await.unwrap()
}

/// Makes as many changes of a user at once.
fn writing(store: &PostgresStore, scope: &Scope, count: usize) -> JoinSet<()> {
    let mut writing = JoinSet::new();
    for value in 0..count {
        let (store, scope) = (store.clone(), scope.clone());
        writing.spawn(async move { drop(store.apply(&scope, put(value)).await.unwrap()) });
    }
    writing
}

/// A user reads and writes.
async fn goes_on(store: &PostgresStore, scope: &Scope) {
    for value in 0..MANY {
        bounded(store.apply(scope, put(value))).await.unwrap();
        let found = bounded(store.settings().setting(scope, &"a".parse().unwrap())).await.unwrap();
        assert_eq!(found.unwrap().value, serde_json::Value::from(value));
    }
}

async fn changes_of_one_user_hold_one_connection() {
    let (database, store, mut holder) = opened(2).await;
    let mut watcher = database.superuser().await;
    lock(&mut holder, "owner = 'ada'").await;
    let mut writing = writing(&store, &user("ada"), MANY);
    until("one of the changes waits", async || busy(&mut watcher).await > 0).await;
    goes_on(&store, &user("bob")).await;
    for _ in 0..50 {
        assert!(busy(&mut watcher).await <= 1, "changes of one user hold more than one connection");
    }
    must(&mut holder, "ROLLBACK").await;
    while let Some(written) = bounded(writing.join_next()).await {
        written.unwrap();
    }
    assert_eq!(
        store.settings().setting(&user("ada"), &"a".parse().unwrap()).await.unwrap().unwrap().version,
        1 + MANY as u64
    );
    store.close().await.unwrap();
    assert_sound(&operator_url(database.name())).await;
}

async fn readings_of_one_user_leave_room_for_others() {
    let (database, store, mut holder) = opened(4).await;
    let (ada, mut watcher) = (Person::ada(&store).await, database.superuser().await);
    // Nobody reads settings for a while; others read something else.
    must(&mut holder, "BEGIN; LOCK TABLE ironclaw.settings IN ACCESS EXCLUSIVE MODE").await;
    let mut reading = JoinSet::new();
    for _ in 0..MANY {
        let store = store.clone();
        reading
            .spawn(async move { drop(store.settings().setting(&user("bob"), &"a".parse().unwrap()).await.unwrap()) });
    }
    until("half of the connections wait", async || busy(&mut watcher).await == 2).await;
    for _ in 0..MANY {
        bounded(ada.read(&store)).await.unwrap();
    }
    must(&mut holder, "ROLLBACK").await;
    while let Some(read) = bounded(reading.join_next()).await {
        read.unwrap();
    }
}

async fn rows_that_another_process_holds_do_not_hold_up_other_users() {
    let (database, store, mut holder) = opened(2).await;
    let users: Vec<_> = (0..8).map(|number| user(&format!("held {number}"))).collect();
    for scope in &users {
        store.apply(scope, put(0)).await.unwrap();
    }
    lock(&mut holder, "owner LIKE 'held %'").await;
    let mut waiting: Vec<_> = users.iter().map(|scope| writing(&store, scope, 2)).collect();
    let mut watcher = database.superuser().await;
    until("some of them wait", async || busy(&mut watcher).await > 0).await;
    // More users than connections wait for rows.
    goes_on(&store, &user("bob")).await;
    must(&mut holder, "ROLLBACK").await;
    for writing in &mut waiting {
        while let Some(written) = bounded(writing.join_next()).await {
            written.unwrap();
        }
    }
    store.close().await.unwrap();
    assert_sound(&operator_url(database.name())).await;
}

async fn a_change_waits_for_another_process_as_long_as_it_may() {
    let (database, store, mut holder) = opened(2).await;
    let mut watcher = database.superuser().await;
    lock(&mut holder, "owner = 'ada'").await;
    let mut written = writing(&store, &user("ada"), 1);
    // So often that it must have given its connection back in between.
    let mut begun = std::collections::BTreeSet::new();
    until("it began several times", async || {
        let sql = "SELECT xact_start::text FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'ironclaw' AND wait_event_type = 'Lock'";
        begun.extend(sqlx::query_scalar::<_, String>(sql).fetch_all(&mut watcher).await.unwrap());
        begun.len() >= 3
    })
    .await;
    must(&mut holder, "ROLLBACK").await;
    bounded(written.join_next()).await.unwrap().unwrap();
    lock(&mut holder, "owner = 'ada'").await;
    let builder = PostgresStore::builder().lock_timeout(Duration::from_millis(500));
    let store = builder.connect(&app_url(database.name())).await.unwrap();
    let error = bounded(store.apply(&user("ada"), put(1))).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Busy, "{error:?}");
    assert!(error.context().contains("holds a lock"), "{error:?}");
}

/// Notes the shortest time for which a change waited for its user's row, across roll-backs.
const NOTING: &str = "
    CREATE SEQUENCE public.shortest MINVALUE 1; SELECT setval('public.shortest', 1000000);
    GRANT ALL ON SEQUENCE public.shortest TO PUBLIC;
    CREATE SCHEMA noting;
    GRANT USAGE ON SCHEMA noting TO ironclaw_app;
    ALTER FUNCTION ironclaw.enter_to_write SET SCHEMA noting;
    CREATE FUNCTION ironclaw.enter_to_write(tenant text, owner text, chain text, patience text)
    RETURNS TABLE (owner_no bigint, status smallint, held boolean, now timestamptz) LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM setval('public.shortest', least(patience::bigint, (SELECT last_value FROM public.shortest)));
        RETURN QUERY SELECT * FROM noting.enter_to_write(tenant, owner, chain, patience);
    END $$;
    GRANT EXECUTE ON FUNCTION ironclaw.enter_to_write TO ironclaw_app";

/// One whose row is free again does not have to wait until all others had their time at rows that are not.
async fn however_many_rows_are_locked_each_is_tried_again_soon() {
    const USERS: usize = 50;
    let (database, store, mut holder) = opened(4).await;
    let users: Vec<_> = (0..USERS).map(|number| user(&format!("held {number}"))).collect();
    for scope in &users {
        store.apply(scope, put(0)).await.unwrap();
    }
    let mut superuser = database.superuser().await;
    must(&mut superuser, NOTING).await;
    lock(&mut holder, "owner LIKE 'held %'").await;
    let waiting: Vec<_> = users.iter().map(|scope| writing(&store, scope, 1)).collect();
    // All of them have 200 ms together.
    until("each waits for its part of the time", async || {
        let shortest = "SELECT last_value FROM public.shortest";
        sqlx::query_scalar::<_, i64>(shortest).fetch_one(&mut superuser).await.unwrap() <= 200 / (USERS as i64 - 1)
    })
    .await;
    must(&mut holder, "ROLLBACK").await;
    for mut writing in waiting {
        bounded(writing.join_next()).await.unwrap().unwrap();
    }
    store.close().await.unwrap();
}

async fn an_operators_calls_about_one_user_leave_room_for_others() {
    let (database, _store, mut holder) = opened(2).await;
    let builder = PostgresStore::builder().max_connections(2).lock_timeout(FOR_EVER).acquire_timeout(FOR_EVER);
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = builder.connect_maintenance(&operator_url(database.name()), operator).await.unwrap();
    let mut watcher = database.superuser().await;
    lock(&mut holder, "owner = 'ada'").await;
    let mut placing = JoinSet::new();
    for _ in 0..MANY {
        let maintenance = maintenance.clone();
        let hold = Hold::new(
            HoldId::make(&SystemClock),
            TenantId::default_tenant(),
            UserId::parse("ada").unwrap(),
            "a test",
            SystemClock.now(),
        );
        placing.spawn(async move { drop(maintenance.apply_system(SystemChange::PlaceHold { hold }).await.unwrap()) });
    }
    until("one of them waits", async || busy(&mut watcher).await > 0).await;
    for limit in 0..MANY as u64 {
        let (tenant, owner) = (TenantId::default_tenant(), UserId::parse("bob").unwrap());
        let quota =
            SystemChange::PutQuota { tenant, owner: owner.into(), name: QuotaName::parse("tokens").unwrap(), limit };
        bounded(maintenance.apply_system(quota)).await.unwrap();
    }
    must(&mut holder, "ROLLBACK").await;
    while let Some(placed) = bounded(placing.join_next()).await {
        placed.unwrap();
    }
    maintenance.close().await;
    assert_sound(&operator_url(database.name())).await;
}

async fn waiting_for_ones_own_calls_has_an_end() {
    let (database, _store, mut holder) = opened(2).await;
    let store = impatient(&database, PostgresStore::builder().max_connections(2).lock_timeout(FOR_EVER)).await;
    let mut watcher = database.superuser().await;
    lock(&mut holder, "owner = 'ada'").await;
    let mut first = writing(&store, &user("ada"), 1);
    until("it waits for the row", async || busy(&mut watcher).await > 0).await;
    let error = bounded(store.apply(&user("ada"), put(1))).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Busy, "{error:?}");
    assert!(error.context().contains("other calls for the same user"), "{error:?}");
    must(&mut holder, "ROLLBACK").await;
    bounded(first.join_next()).await.unwrap().unwrap();
    store.close().await.unwrap();
}
