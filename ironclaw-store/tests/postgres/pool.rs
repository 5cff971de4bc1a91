//! What the pool promises: so many connections and no more, limits on every wait, and calls that are tried again.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ironclaw_core::id::MessageId;
use ironclaw_core::store::{Apply, StoreError, StoreErrorKind};
use ironclaw_core::{Store, SystemClock};
use ironclaw_store::{PostgresStore, PostgresStoreBuilder};
use sqlx::PgConnection;

use crate::database::{Database, app_url, operator_url};
use crate::raw::must;
use crate::workload::{Outcome, Person, Random, assert_kept, assert_sound, bounded, until};

ironclaw_testing::tests![
    there_are_never_more_connections_than_allowed,
    waiting_for_a_connection_has_an_end,
    a_statement_that_takes_too_long_leaves_nothing,
    waiting_for_another_change_of_the_user_has_an_end,
    a_process_that_stops_in_a_transaction_does_not_hold_up_the_others,
    what_others_got_in_the_way_of_is_tried_again,
    a_commit_that_the_server_refuses_is_tried_again,
    what_is_always_in_the_way_is_given_up,
    connections_that_were_lost_while_idle_cost_no_call,
    connections_that_are_ended_all_the_time_double_and_lose_nothing,
];

/// Runs for each message that is written.
async fn on_message(superuser: &mut PgConnection, body: &str) {
    let sql = format!(
        "CREATE FUNCTION public.on_message() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
         $$ BEGIN {body} RETURN NEW; END $$; \
         CREATE TRIGGER on_message BEFORE INSERT ON ironclaw.messages FOR EACH ROW EXECUTE FUNCTION public.on_message();"
    );
    must(superuser, &sql).await;
}

async fn no_more(superuser: &mut PgConnection) {
    must(superuser, "DROP FUNCTION public.on_message CASCADE").await;
}

/// A database, a store in it with these settings, a user, and a connection behind the store's back.
async fn opened(builder: PostgresStoreBuilder) -> (Database, PostgresStore, Person, PgConnection) {
    let database = Database::fresh().await;
    let store = builder.connect(&app_url(database.name())).await.unwrap();
    let ada = Person::ada(&store).await;
    let superuser = database.superuser().await;
    (database, store, ada, superuser)
}

/// How many connections of the application fulfil a condition.
async fn connections(superuser: &mut PgConnection, condition: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ironclaw' \
         AND {condition}"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(superuser).await.unwrap()
}

/// Waits until so many connections of the application wait for something of this kind.
async fn until_waiting(superuser: &mut PgConnection, event: &str) {
    let waiting = format!("wait_event = '{event}'");
    until(&format!("a call is at {event}"), async || connections(superuser, &waiting).await > 0).await;
}

fn kind<T: std::fmt::Debug>(result: Result<T, StoreError>) -> StoreErrorKind {
    let error = result.unwrap_err();
    assert!(!error.context().is_empty(), "{error:?} says what to do");
    error.kind().clone()
}

async fn there_are_never_more_connections_than_allowed() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    let store = PostgresStore::builder().max_connections(3).connect(&app_url(database.name())).await.unwrap();
    let people = Person::several(&store, 12).await;
    on_message(&mut superuser, "PERFORM pg_sleep(0.02);").await;
    until("the connection that checked is gone", async || connections(&mut superuser, "true").await <= 1).await;
    let calls = people.into_iter().map(|person| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..8 {
                person.speak(&store).await.1.unwrap();
                person.read(&store).await.unwrap();
            }
        })
    });
    let mut calls = futures::future::join_all(calls.collect::<Vec<_>>());
    let mut most = 0;
    loop {
        most = most.max(connections(&mut superuser, "true").await);
        if let Ok(done) = tokio::time::timeout(Duration::from_millis(2), &mut calls).await {
            done.into_iter().for_each(Result::unwrap);
            break;
        }
    }
    assert_eq!(most, 3);
}

async fn waiting_for_a_connection_has_an_end() {
    let builder = PostgresStore::builder().max_connections(1).acquire_timeout(Duration::from_millis(200));
    let (_database, store, ada, mut superuser) = opened(builder).await;
    must(&mut superuser, "CREATE TABLE public.gate AS SELECT 1 AS closed").await;
    on_message(&mut superuser, "WHILE EXISTS (SELECT FROM public.gate) LOOP PERFORM pg_sleep(0.02); END LOOP;").await;
    let (holder, held) = (store.clone(), ada.clone());
    let holder = tokio::spawn(async move { held.speak(&holder).await });
    until_waiting(&mut superuser, "PgSleep").await;
    assert_eq!(kind(bounded(ada.read(&store)).await), StoreErrorKind::Busy);
    let (refused, result) = bounded(ada.speak(&store)).await;
    assert_eq!(kind(result), StoreErrorKind::Busy);
    must(&mut superuser, "DELETE FROM public.gate").await;
    let (id, result) = holder.await.unwrap();
    result.unwrap();
    assert_eq!(ada.read(&store).await.unwrap(), 1);
    assert_kept(&mut superuser, &[(id, Outcome::Acknowledged), (refused, Outcome::Refused)]).await;
}

async fn a_statement_that_takes_too_long_leaves_nothing() {
    let builder = PostgresStore::builder().statement_timeout(Duration::from_millis(300));
    let (database, store, ada, mut superuser) = opened(builder).await;
    on_message(&mut superuser, "PERFORM pg_sleep(600);").await;
    let (id, result) = bounded(ada.speak(&store)).await;
    assert_eq!(kind(result), StoreErrorKind::TimedOut);
    no_more(&mut superuser).await;
    let (after, result) = ada.speak(&store).await;
    result.unwrap();
    assert_kept(&mut superuser, &[(id, Outcome::Refused), (after, Outcome::Acknowledged)]).await;
    assert_sound(&operator_url(database.name())).await;
}

async fn waiting_for_another_change_of_the_user_has_an_end() {
    let builder = PostgresStore::builder().lock_timeout(Duration::from_millis(300));
    let (_database, store, ada, mut superuser) = opened(builder).await;
    must(&mut superuser, "BEGIN; SELECT FROM ironclaw.users FOR UPDATE").await;
    let (id, result) = bounded(ada.speak(&store)).await;
    assert_eq!(kind(result), StoreErrorKind::Busy);
    // Who only reads waits for nobody.
    assert_eq!(ada.read(&store).await.unwrap(), 0);
    must(&mut superuser, "ROLLBACK").await;
    let (after, result) = ada.speak(&store).await;
    result.unwrap();
    assert_kept(&mut superuser, &[(id, Outcome::Refused), (after, Outcome::Acknowledged)]).await;
}

/// The process is stopped in the middle of a transaction: its runtime has one thread, which is made to block.
async fn a_process_that_stops_in_a_transaction_does_not_hold_up_the_others() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    let url = app_url(database.name());
    let store = PostgresStore::connect(&url).await.unwrap();
    let ada = Person::ada(&store).await;
    on_message(&mut superuser, "PERFORM pg_sleep(0.5);").await;
    let (stop, stopped) = mpsc::channel::<()>();
    let (person, id) = (ada.clone(), MessageId::make(&SystemClock));
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let builder = PostgresStore::builder().idle_in_transaction_timeout(Duration::from_millis(300));
            let store = builder.connect(&url).await.unwrap();
            let (caller, change) = (store.clone(), person.say(id, false));
            let call = tokio::spawn(async move { caller.apply(&person.scope, change).await });
            // Looks for the signal while the call goes on, and is deaf to everything until the next one.
            while stopped.try_recv().is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stopped.recv().unwrap();
            call.await.unwrap()
        })
    });
    until_waiting(&mut superuser, "PgSleep").await;
    stop.send(()).unwrap();
    no_more(&mut database.superuser().await).await;
    let (after, result) = bounded(ada.speak(&store)).await;
    result.unwrap();
    assert_eq!(connections(&mut superuser, "state = 'idle in transaction'").await, 0);
    stop.send(()).unwrap();
    // The server's word may be lost together with the connection: then the call is made again.
    let outcome = match process.join().unwrap() {
        Ok(_) => Outcome::Acknowledged,
        Err(error) => {
            assert_eq!(*error.kind(), StoreErrorKind::TimedOut, "{error:?}");
            Outcome::Refused
        }
    };
    assert_kept(&mut superuser, &[(after, Outcome::Acknowledged), (id, outcome)]).await;
    assert_sound(&operator_url(database.name())).await;
}

/// A sequence counts across roll-backs.
const COUNT: &str = "CREATE SEQUENCE public.attempts";

async fn attempts(superuser: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT last_value FROM public.attempts").fetch_one(superuser).await.unwrap()
}

async fn what_others_got_in_the_way_of_is_tried_again() {
    for code in ["serialization_failure", "deadlock_detected"] {
        let (database, store, ada, mut superuser) = opened(PostgresStore::builder()).await;
        must(&mut superuser, COUNT).await;
        let body = format!("IF nextval('public.attempts') <= 3 THEN RAISE {code}; END IF;");
        on_message(&mut superuser, &body).await;
        let (id, result) = bounded(ada.speak(&store)).await;
        result.unwrap();
        assert_eq!(attempts(&mut superuser).await, 4);
        assert_kept(&mut superuser, &[(id, Outcome::Acknowledged)]).await;
        no_more(&mut superuser).await;
        assert_sound(&operator_url(database.name())).await;
    }
}

/// The server says that it did not commit: that is not a commit whose answer was lost.
async fn a_commit_that_the_server_refuses_is_tried_again() {
    let (database, store, ada, mut superuser) = opened(PostgresStore::builder()).await;
    let sql = format!(
        "{COUNT}; CREATE FUNCTION public.at_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
         $$ BEGIN IF nextval('public.attempts') <= 2 THEN RAISE serialization_failure; END IF; RETURN NEW; END $$; \
         CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON ironclaw.messages DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION public.at_commit();"
    );
    must(&mut superuser, &sql).await;
    let (id, result) = bounded(ada.speak(&store)).await;
    result.unwrap();
    assert_eq!(attempts(&mut superuser).await, 3);
    assert_kept(&mut superuser, &[(id, Outcome::Acknowledged)]).await;
    must(&mut superuser, "DROP FUNCTION public.at_commit CASCADE").await;
    assert_sound(&operator_url(database.name())).await;
}

async fn what_is_always_in_the_way_is_given_up() {
    let (_database, store, ada, mut superuser) = opened(PostgresStore::builder()).await;
    must(&mut superuser, COUNT).await;
    on_message(&mut superuser, "PERFORM nextval('public.attempts'); RAISE serialization_failure;").await;
    let (id, result) = bounded(ada.speak(&store)).await;
    assert_eq!(kind(result), StoreErrorKind::Busy);
    assert_eq!(attempts(&mut superuser).await, 6);
    no_more(&mut superuser).await;
    ada.read(&store).await.unwrap();
    assert_kept(&mut superuser, &[(id, Outcome::Refused)]).await;
}

/// Ends these connections of the application. How many there were.
async fn terminate(superuser: &mut PgConnection, which: &str) -> i64 {
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name = 'ironclaw' {which}) AS chosen"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(superuser).await.unwrap()
}

/// As after a restart of the server: more connections are lost than a call is tried.
async fn connections_that_were_lost_while_idle_cost_no_call() {
    let (_database, store, ada, mut superuser) = opened(PostgresStore::builder().max_connections(12)).await;
    on_message(&mut superuser, "PERFORM pg_sleep(0.2);").await;
    for round in 0..3 {
        let people = Person::several(&store, 12).await;
        let said = futures::future::join_all(people.iter().map(|person| person.speak(&store))).await;
        assert!(said.iter().all(|(_, result)| result.is_ok()), "{said:?}");
        let ended = terminate(&mut superuser, "").await;
        assert!(ended > 8, "{ended} connections");
        match round {
            0 => drop(ada.read(&store).await.unwrap()),
            // Nothing was done on the lost connection: no key is needed to try again.
            _ => ada.speak(&store).await.1.unwrap(),
        }
    }
}

async fn connections_that_are_ended_all_the_time_double_and_lose_nothing() {
    let mut random = Random::new();
    let (database, store, ada, mut superuser) = opened(PostgresStore::builder().max_connections(4)).await;
    let people = Person::several(&store, 6).await;
    let (ended, made) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let mut ender = database.superuser().await;
    let (count, calls) = (Arc::clone(&ended), Arc::clone(&made));
    let ender = tokio::spawn(async move {
        loop {
            count.fetch_add(terminate(&mut ender, "ORDER BY random() LIMIT 1").await, Ordering::Relaxed);
            // One for every few calls, however long these take: a call is tried some times, not for ever.
            let before = calls.load(Ordering::Relaxed);
            while calls.load(Ordering::Relaxed) < before + 4 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let tasks: Vec<_> = people
        .into_iter()
        .map(|person| {
            let (store, mut random) = (store.clone(), random.fork());
            let (ended, made) = (Arc::clone(&ended), Arc::clone(&made));
            tokio::spawn(async move {
                let mut calls = Vec::new();
                while calls.len() < 80 || ended.load(Ordering::Relaxed) < 20 {
                    made.fetch_add(1, Ordering::Relaxed);
                    let (id, kind) = (MessageId::make(&SystemClock), random.below(3));
                    match kind {
                        0 => drop(person.read(&store).await.unwrap()),
                        1 => {
                            store.apply(&person.scope, person.say(id, true)).await.unwrap();
                            calls.push((id, Outcome::Acknowledged));
                        }
                        _ => match store.apply(&person.scope, person.say(id, false)).await {
                            Ok(_) => calls.push((id, Outcome::Acknowledged)),
                            Err(error) => {
                                assert_eq!(*error.kind(), StoreErrorKind::Unavailable, "{error:?}");
                                assert!(error.context().contains("at the commit"), "{error:?}");
                                calls.push((id, Outcome::Unknown));
                            }
                        },
                    }
                }
                calls
            })
        })
        .collect();
    let mut calls = Vec::new();
    for task in tasks {
        calls.extend(task.await.unwrap());
    }
    ender.abort();
    ada.read(&store).await.unwrap();
    store.close().await.unwrap();
    assert_kept(&mut superuser, &calls).await;
    assert_sound(&operator_url(database.name())).await;
}
