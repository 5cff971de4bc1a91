//! A caller may go away at any moment, and a whole process too: what is left is whole, and nothing is left open.

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::{MessageId, SettingKey};
use ironclaw_core::store::{Apply, StoreError, StoreErrorKind};
use ironclaw_core::{Change, PageRequest, Store, SystemClock};
use ironclaw_store::PostgresStore;
use sqlx::PgConnection;

use crate::database::{Database, app_url, operator_url};
use crate::raw::{application, must, run};
use crate::workload::{Outcome, Person, Random, assert_kept, assert_sound, until};

ironclaw_testing::tests![
    callers_that_go_away_leave_nothing_half_done,
    callers_that_go_away_from_an_exhausted_pool_take_no_connection_with_them,
    a_runtime_that_ends_at_any_moment_leaves_nothing_half_done,
    a_store_whose_runtime_has_ended_says_so,
    a_users_changes_come_in_the_order_in_which_they_were_asked_for,
    who_goes_away_before_their_turn_has_nothing_done,
];

const TASKS: usize = 40;
const CALLS: usize = 100;
const CONNECTIONS: u32 = 3;

/// Makes entering a scope fail on a connection that is still in another one, or in another role.
const GUARD: &str = "
    CREATE FUNCTION public.check_left() RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        setting text;
    BEGIN
        FOREACH setting IN ARRAY '{tenant,owner,owner_no,chain,now,maintenance}'::text[] LOOP
            IF coalesce(current_setting('ironclaw.' || setting, true), '') <> '' THEN
                RAISE EXCEPTION 'a scope was left: %', setting;
            END IF;
        END LOOP;
        IF current_setting('role') <> 'none' OR current_setting('lock_timeout') <> '0' THEN
            RAISE EXCEPTION 'a role or a timeout was left';
        END IF;
    END $$;
    CREATE SCHEMA unguarded;
    GRANT USAGE ON SCHEMA unguarded TO ironclaw_app;
    ALTER FUNCTION ironclaw.enter SET SCHEMA unguarded;
    CREATE FUNCTION ironclaw.enter(tenant text, owner text, chain text)
    RETURNS TABLE (owner_no bigint, status smallint) LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM public.check_left();
        RETURN QUERY SELECT * FROM unguarded.enter(tenant, owner, chain);
    END $$;
    ALTER FUNCTION ironclaw.enter_to_write SET SCHEMA unguarded;
    CREATE FUNCTION ironclaw.enter_to_write(tenant text, owner text, chain text, patience text)
    RETURNS TABLE (owner_no bigint, status smallint, held boolean, now timestamptz) LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM public.check_left();
        RETURN QUERY SELECT * FROM unguarded.enter_to_write(tenant, owner, chain, patience);
    END $$;
    REVOKE ALL ON FUNCTION ironclaw.enter, ironclaw.enter_to_write FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION ironclaw.enter, ironclaw.enter_to_write TO ironclaw_app";

/// The schema as the migrations made it again.
const UNGUARD: &str = "DROP FUNCTION ironclaw.enter, ironclaw.enter_to_write;
    ALTER FUNCTION unguarded.enter SET SCHEMA ironclaw; ALTER FUNCTION unguarded.enter_to_write SET SCHEMA ironclaw";

/// A database in which a scope that was left behind is found out.
async fn guarded() -> Database {
    let database = Database::fresh().await;
    must(&mut database.superuser().await, GUARD).await;
    let mut application = application(database.name()).await;
    let enter = "SELECT * FROM ironclaw.enter('one', 'user0', '[[1,\"user0\"]]')";
    must(&mut application, enter).await;
    for left in ["SET ironclaw.owner_no = '1'", "SET ROLE ironclaw_app"] {
        must(&mut application, left).await;
        assert!(run(&mut application, enter).await.is_err(), "{left}");
        must(&mut application, "RESET ironclaw.owner_no; RESET ROLE").await;
    }
    database
}

/// How many connections the application has, and how many of them are doing something or in a transaction.
async fn activity(connection: &mut PgConnection) -> (i64, i64) {
    sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE state <> 'idle' OR xact_start IS NOT NULL) FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name = 'ironclaw'",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

/// Polls a call a number of times, and drops it then.
async fn polled<T>(call: impl Future<Output = T>, mut polls: u64) -> Option<T> {
    let mut call = pin!(call);
    std::future::poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if polls == 0 => Poll::Ready(None),
        Poll::Pending => {
            polls -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

/// Makes a call, and perhaps goes away before it is done: `None`.
async fn perhaps<T: Send + 'static>(random: &mut Random, call: impl Future<Output = T> + Send + 'static) -> Option<T> {
    match random.below(5) {
        0 => Some(call.await),
        1 | 2 => tokio::time::timeout(random.micros(12_000), call).await.ok(),
        3 => polled(call, random.below(20)).await,
        _ => {
            let task = tokio::spawn(call);
            tokio::time::sleep(random.micros(12_000)).await;
            task.abort();
            task.await.ok()
        }
    }
}

/// How a writing ended. A caller who waited in vain for a connection is told so.
fn outcome(done: Option<Result<(), StoreError>>) -> Outcome {
    match done {
        Some(Ok(())) => Outcome::Acknowledged,
        Some(Err(error)) if *error.kind() == StoreErrorKind::Busy => Outcome::Refused,
        Some(Err(error)) => panic!("{error:?}"),
        None => Outcome::Unknown,
    }
}

async fn call_and_go_away(store: PostgresStore, people: Vec<Person>, mut random: Random) -> Vec<(MessageId, Outcome)> {
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        let person = people[random.below(people.len() as u64) as usize].clone();
        let store = store.clone();
        let kind = random.below(10);
        if kind < 3 {
            let read = perhaps(&mut random, async move { person.read(&store).await }).await;
            assert!(!matches!(&read, Some(Err(error)) if *error.kind() != StoreErrorKind::Busy), "{read:?}");
            continue;
        }
        let (id, is_keyed) = (MessageId::make(&SystemClock), kind < 7);
        let apply = || {
            let (store, person) = (store.clone(), person.clone());
            async move { store.apply(&person.scope, person.say(id, is_keyed)).await.map(drop) }
        };
        let mut done = outcome(perhaps(&mut random, apply()).await);
        // Whoever has a key can ask again.
        if is_keyed && done != Outcome::Acknowledged && random.below(2) == 0 {
            done = match outcome(Some(apply().await)) {
                // The first call may still be going on, or have been done.
                Outcome::Refused => Outcome::Unknown,
                done => done,
            };
        }
        calls.push((id, done));
    }
    calls
}

async fn callers_that_go_away_leave_nothing_half_done() {
    let mut random = Random::new();
    let database = guarded().await;
    let builder = PostgresStore::builder().max_connections(CONNECTIONS);
    let store = builder.connect(&app_url(database.name())).await.unwrap();
    let people = Person::several(&store, 6).await;
    let tasks: Vec<_> =
        (0..TASKS).map(|_| tokio::spawn(call_and_go_away(store.clone(), people.clone(), random.fork()))).collect();
    let mut calls = Vec::new();
    for task in tasks {
        calls.extend(task.await.unwrap());
    }
    // The pool gives each connection out again, in no scope and no transaction.
    let mut superuser = database.superuser().await;
    until("every connection is idle", async || activity(&mut superuser).await.1 == 0).await;
    let (connections, _) = activity(&mut superuser).await;
    assert!((1..=i64::from(CONNECTIONS)).contains(&connections), "{connections}");
    let again = (0..CONNECTIONS * 4).map(|_| people[0].read(&store));
    for read in futures::future::join_all(again).await {
        read.unwrap();
    }
    store.close().await.unwrap();
    until("every connection is closed", async || activity(&mut superuser).await == (0, 0)).await;
    for expected in [Outcome::Acknowledged, Outcome::Unknown] {
        let number = calls.iter().filter(|(_, outcome)| *outcome == expected).count();
        assert!(number > 100, "{number} of {} {expected:?}", calls.len());
    }
    assert_kept(&mut superuser, &calls).await;
    must(&mut database.superuser().await, UNGUARD).await;
    assert_sound(&operator_url(database.name())).await;
}

async fn callers_that_go_away_from_an_exhausted_pool_take_no_connection_with_them() {
    let mut random = Random::new();
    let database = guarded().await;
    let builder = PostgresStore::builder().max_connections(1).acquire_timeout(Duration::from_secs(60));
    let store = builder.connect(&app_url(database.name())).await.unwrap();
    let people = Person::several(&store, 2).await;
    let mut superuser = database.superuser().await;
    // Holds the only connection.
    must(&mut superuser, "BEGIN; SELECT FROM ironclaw.users WHERE owner = 'user0' FOR UPDATE").await;
    let (held, holder) = (people[0].clone(), store.clone());
    let holder = tokio::spawn(async move { held.speak(&holder).await });
    let mut calls = Vec::new();
    for _ in 0..200 {
        let id = MessageId::make(&SystemClock);
        let (store, person) = (store.clone(), people[1].clone());
        let call = async move { store.apply(&person.scope, person.say(id, false)).await.map(drop) };
        let wait = random.micros(2_000);
        calls.push((id, outcome(tokio::time::timeout(wait, call).await.ok())));
    }
    assert!(calls.iter().all(|(_, outcome)| *outcome == Outcome::Unknown));
    must(&mut superuser, "ROLLBACK").await;
    let (id, held) = holder.await.unwrap();
    calls.push((id, outcome(Some(held))));
    let (id, said) = people[1].speak(&store).await;
    calls.push((id, outcome(Some(said))));
    store.close().await.unwrap();
    assert_kept(&mut superuser, &calls).await;
    must(&mut database.superuser().await, UNGUARD).await;
    assert_sound(&operator_url(database.name())).await;
}

/// The store's own tasks end where they are when their runtime is shut down, as in a process that exits.
fn a_runtime_that_ends_at_any_moment_leaves_nothing_half_done() {
    let mut random = Random::new();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outer = runtime();
    let database = outer.block_on(guarded());
    let url = app_url(database.name());
    let people = outer.block_on(async {
        let store = PostgresStore::connect(&url).await.unwrap();
        let people = Person::several(&store, 6).await;
        store.close().await.unwrap();
        people
    });
    let mut calls = Vec::new();
    for _ in 0..40 {
        let inner = runtime();
        let store = inner.block_on(PostgresStore::builder().max_connections(4).connect(&url)).unwrap();
        let (sender, done) = mpsc::channel();
        let mut begun = Vec::new();
        for number in 0..24 {
            let (id, person, store, sender) =
                (MessageId::make(&SystemClock), people[number % people.len()].clone(), store.clone(), sender.clone());
            begun.push(id);
            inner.spawn(async move {
                let applied = store.apply(&person.scope, person.say(id, number % 3 == 0)).await;
                if applied.is_ok() {
                    let _ = sender.send(id);
                }
            });
        }
        std::thread::sleep(random.micros(120_000));
        inner.shutdown_background();
        drop((store, sender));
        let acknowledged: Vec<_> = done.iter().collect();
        calls.extend(begun.into_iter().map(|id| match acknowledged.contains(&id) {
            true => (id, Outcome::Acknowledged),
            false => (id, Outcome::Unknown),
        }));
    }
    outer.block_on(async {
        let mut superuser = database.superuser().await;
        until("the server has noticed", async || activity(&mut superuser).await == (0, 0)).await;
        for expected in [Outcome::Acknowledged, Outcome::Unknown] {
            assert!(calls.iter().any(|(_, outcome)| *outcome == expected), "no call was {expected:?}");
        }
        assert_kept(&mut superuser, &calls).await;
        must(&mut database.superuser().await, UNGUARD).await;
        assert_sound(&operator_url(database.name())).await;
    });
}

/// Somebody who gives a call up and makes another must not have the first one done after it.
async fn a_users_changes_come_in_the_order_in_which_they_were_asked_for() {
    const CHANGES: u64 = 200;
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let ada = Person::ada(&store).await;
    for _ in 0..5 {
        let key = SettingKey::parse("order").unwrap();
        let changes = (1..=CHANGES).map(|number| {
            let put = SettingOp::Put { key: key.clone(), value: number.into() };
            store.apply(&ada.scope, Change::new().with(put))
        });
        let done = futures::future::join_all(changes).await;
        let versions: Vec<u64> = done.into_iter().map(|receipt| receipt.unwrap().numbers[0]).collect();
        assert_eq!(versions, (1..=CHANGES).collect::<Vec<_>>());
        let delete = SettingOp::Delete { key };
        store.apply(&ada.scope, Change::new().with(delete)).await.unwrap();
    }
}

/// Of calls that wait for their turn, those are done whose callers wait too.
async fn who_goes_away_before_their_turn_has_nothing_done() {
    let database = Database::fresh().await;
    let builder = PostgresStore::builder().max_connections(2).acquire_timeout(Duration::from_secs(600));
    let store = builder.lock_timeout(Duration::from_secs(600)).connect(&app_url(database.name())).await.unwrap();
    let (ada, mut holder) = (Person::ada(&store).await, database.superuser().await);
    let put = |key: &str| {
        let put = SettingOp::Put { key: SettingKey::parse(key).unwrap(), value: 1.into() };
        store.apply(&ada.scope, Change::new().with(put))
    };
    must(&mut holder, "BEGIN; SELECT FROM ironclaw.users FOR NO KEY UPDATE").await;
    let mut calls = vec![Box::pin(put("first"))];
    calls.extend((0..20).map(|number| Box::pin(put(&format!("dropped {number}")))));
    calls.push(Box::pin(put("last")));
    for call in &mut calls {
        assert!(futures::poll!(call).is_pending());
    }
    let last = calls.pop().unwrap();
    let first_of_all = calls.remove(0);
    drop(calls);
    must(&mut holder, "COMMIT").await;
    let (one, other) = futures::join!(first_of_all, last);
    for done in [one, other] {
        done.unwrap();
    }
    let page = PageRequest::default();
    let settings = store.settings().settings(&ada.scope, &page).await.unwrap().items;
    let keys: Vec<_> = settings.iter().map(|setting| setting.key.as_str()).collect();
    assert_eq!(keys, ["first", "last"]);
    store.close().await.unwrap();
    assert_sound(&operator_url(database.name())).await;
}

/// A store lives on the runtime that opened it, whoever calls.
fn a_store_whose_runtime_has_ended_says_so() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (outer, inner) = (runtime(), runtime());
    let database = outer.block_on(Database::fresh());
    let url = app_url(database.name());
    let (store, ada) = inner.block_on(async {
        let store = PostgresStore::connect(&url).await.unwrap();
        let ada = Person::ada(&store).await;
        (store, ada)
    });
    // One that is under way, and waits for another.
    let mut locking = outer.block_on(database.superuser());
    outer.block_on(must(&mut locking, "BEGIN; SELECT FROM ironclaw.users FOR NO KEY UPDATE"));
    let waiting = outer.spawn({
        let (store, ada) = (store.clone(), ada.clone());
        async move { ada.speak(&store).await.1 }
    });
    let one = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    outer.block_on(until("the change waits", async || must(&mut database.superuser().await, one).await > 0));
    inner.shutdown_timeout(Duration::from_secs(60));
    let told = outer.block_on(waiting).unwrap().unwrap_err();
    assert_eq!(*told.kind(), StoreErrorKind::Unavailable, "{told}");
    assert!(told.to_string().contains("read whether"), "{told}");
    for error in [
        outer.block_on(async { ada.speak(&store).await.1.unwrap_err() }),
        outer.block_on(async { ada.count(&store).await.unwrap_err() }),
    ] {
        assert_eq!(*error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("the runtime"), "{error}");
    }
}
