//! What strangers and operators meet at a space whose row is locked.

use std::time::Duration;

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::{ErasureId, HoldId, OperatorName};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::privacy::Hold;
use ironclaw_core::model::spaces::SpaceRole;
use ironclaw_core::store::StoreErrorKind;
use ironclaw_core::{Apply, Change, Clock, Maintenance, Owner, Scope, SpaceExt, Store, SystemClock, VaultStore};
use ironclaw_store::{LibsqlStore, PostgresMaintenance, PostgresStore, Selection, copy_store};
use sqlx::{AssertSqlSafe, Executor};

use crate::database::{Database, app_url, operator_url};

ironclaw_testing::tests![
    a_stranger_waits_for_nothing,
    an_erasure_waits_for_what_is_done_to_its_spaces,
    whoever_is_erased_before_a_space_arrives_is_not_in_it,
    a_space_does_not_arrive_while_one_of_it_is_erased,
];

/// Ada, who made a space, and Bob, who is a member of it.
async fn two(store: &PostgresStore) -> (Scope, Scope) {
    let [ada, bob] = ["ada", "bob"].map(|name| Scope::user(name).unwrap().in_space("team").unwrap());
    store.create_space(&ada).await.unwrap();
    store.put_member(&ada, "bob", SpaceRole::Writer).await.unwrap();
    store.apply(&bob, put()).await.unwrap_err();
    (ada, bob)
}

fn put() -> Change {
    Change::new().with(SettingOp::Put { key: "a".parse().unwrap(), value: 1.into() })
}

const LOCK: &str = "BEGIN; SELECT FROM ironclaw.users WHERE owner = U&'\\0001team' FOR NO KEY UPDATE";

/// Waits until somebody waits for a lock.
async fn waits(database: &Database, not_yet: impl Fn()) {
    let mut superuser = database.superuser().await;
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock')";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut superuser).await.unwrap() {
        not_yet();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_stranger_waits_for_nothing() {
    let database = Database::fresh().await;
    // Whoever waits for the row is told so after this time.
    let builder = PostgresStore::builder().lock_timeout(Duration::from_millis(300));
    let store = builder.connect(&app_url(database.name())).await.unwrap();
    let (ada, _) = two(&store).await;
    let mut other = database.superuser().await;
    other.execute(LOCK).await.unwrap();
    assert_eq!(*store.apply(&ada, put()).await.unwrap_err().kind(), StoreErrorKind::Busy);
    for name in ["team", "nowhere"] {
        let eve = Scope::user("eve").unwrap().in_space(name).unwrap();
        assert_eq!(*store.apply(&eve, put()).await.unwrap_err().kind(), StoreErrorKind::NotFound, "{name}");
    }
    other.execute("ROLLBACK").await.unwrap();
    store.close().await.unwrap();
}

async fn an_erasure_waits_for_what_is_done_to_its_spaces() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let (ada, bob) = two(&store).await;
    let operator = OperatorName::parse("olga").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    // Another operator has the space, and places a hold on it; the erasure of its member comes meanwhile.
    let mut other = database.superuser().await;
    other.execute(LOCK).await.unwrap();
    let (tenant, owner) = (bob.tenant().clone(), Owner::from(bob.person().clone()));
    let erase = SystemChange::EraseUser { tenant, owner, id: ErasureId::make(&SystemClock) };
    let erasing = {
        let maintenance = maintenance.clone();
        tokio::spawn(async move { maintenance.apply_system(erase).await })
    };
    waits(&database, || assert!(!erasing.is_finished(), "the erasure did not wait for the space")).await;
    other
        .execute(
            "INSERT INTO ironclaw.holds (id, owner_no, reason, created_at) SELECT gen_random_uuid(), owner_no, 'a case', \
             now() FROM ironclaw.users WHERE owner = U&'\\0001team'; COMMIT",
        )
        .await
        .unwrap();
    assert_eq!(*erasing.await.unwrap().unwrap_err().kind(), StoreErrorKind::LegalHold);
    let hold = Hold::new(HoldId::make(&SystemClock), ada.tenant().clone(), ada.owner().clone(), "b", SystemClock.now());
    maintenance.apply_system(SystemChange::PlaceHold { hold }).await.unwrap();
    maintenance.close().await;
    store.close().await.unwrap();
}

/// A file in which Ada and Bob share a space, and a server to which both came.
async fn on_the_way(database: &Database) -> (LibsqlStore, PostgresMaintenance, Scope, Scope) {
    let from = LibsqlStore::in_memory().await.unwrap();
    let [ada, bob] = ["ada", "bob"].map(|name| Scope::user(name).unwrap());
    let team = ada.in_space("team").unwrap();
    from.create_space(&team).await.unwrap();
    from.put_member(&team, "bob", SpaceRole::Manager).await.unwrap();
    for scope in [&ada, &bob] {
        from.apply(scope, put()).await.unwrap();
    }
    let operator = || OperatorName::parse("olga").unwrap();
    let target = PostgresMaintenance::connect(&operator_url(database.name()), operator()).await.unwrap();
    for scope in [&ada, &bob] {
        copy_store(&from.maintenance(operator()), &target, &only(scope), |_| {}).await.unwrap();
    }
    (from, target, team, bob)
}

fn only(scope: &Scope) -> Selection {
    Selection::User { tenant: scope.tenant().clone(), owner: scope.owner().clone() }
}

async fn whoever_is_erased_before_a_space_arrives_is_not_in_it() {
    let database = Database::fresh().await;
    let (from, target, team, bob) = on_the_way(&database).await;
    let source = from.maintenance(OperatorName::parse("olga").unwrap());
    // The copy of the space was broken off before it brought anything, and its next one waits for the row.
    let stream = from.audit().head(&team).await.unwrap().unwrap().stream.0;
    let staged: String = stream.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut other = database.superuser().await;
    let sql = format!(
        "BEGIN; WITH staged AS (INSERT INTO ironclaw.users (tenant, owner, status, pseudonym, created_at, updated_at) \
         VALUES (U&'\\0001copy', '{staged}', 1, decode(repeat('00', 16), 'hex'), now(), now()) RETURNING owner_no) \
         INSERT INTO ironclaw.audit_streams (owner_no, stream, sequence, hash) \
         SELECT owner_no, decode('{staged}', 'hex'), 0, decode(repeat('00', 32), 'hex') FROM staged; COMMIT; \
         BEGIN; SELECT FROM ironclaw.users WHERE owner = '{staged}' FOR UPDATE"
    );
    other.execute(AssertSqlSafe(sql)).await.unwrap();
    let copying = {
        let (target, space) = (target.clone(), only(&team));
        tokio::spawn(async move { copy_store(&source, &target, &space, |_| {}).await })
    };
    waits(&database, || assert!(!copying.is_finished(), "the copy did not wait")).await;
    let (tenant, owner) = (bob.tenant().clone(), bob.owner().clone());
    let erase = SystemChange::EraseUser { tenant, owner, id: ErasureId::make(&SystemClock) };
    target.apply_system(erase).await.unwrap();
    other.execute("COMMIT").await.unwrap();
    assert_eq!(*copying.await.unwrap().unwrap_err().kind(), StoreErrorKind::Conflict);
    let named = "SELECT count(*) FROM ironclaw.members WHERE member = 'bob'";
    assert_eq!(sqlx::query_scalar::<_, i64>(named).fetch_one(&mut other).await.unwrap(), 0);
    assert_eq!(target.check_integrity().await.unwrap(), Vec::<String>::new());
}

async fn a_space_does_not_arrive_while_one_of_it_is_erased() {
    let database = Database::fresh().await;
    let (from, target, team, _) = on_the_way(&database).await;
    // As an erasure has the row from its beginning to its end.
    let mut other = database.superuser().await;
    other.execute("BEGIN; SELECT FROM ironclaw.users WHERE owner = 'bob' FOR NO KEY UPDATE").await.unwrap();
    let source = from.maintenance(OperatorName::parse("olga").unwrap());
    let copying = tokio::spawn(async move { copy_store(&source, &target, &only(&team), |_| {}).await });
    waits(&database, || assert!(!copying.is_finished(), "the copy did not wait")).await;
    other.execute("ROLLBACK").await.unwrap();
    copying.await.unwrap().unwrap();
}
