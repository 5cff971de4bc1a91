//! A streaming standby: what it answers, and what holds when it takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ironclaw_core::change::AccessOp;
use ironclaw_core::id::{AgentName, MessageId, OperatorName, SecretName, TokenId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::{Token, UserStatus};
use ironclaw_core::model::spaces::SpaceRole;
use ironclaw_core::store::{AgentStore, Apply, Backwards, SpaceExt, Store, StoreError, StoreErrorKind, VaultStore};
use ironclaw_core::{Change, Clock, Maintenance, PageRequest, Scope, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use ironclaw_testing::{Mode, Server};
use sqlx::{Connection, PgConnection};

use crate::own::{app_url, operator_url, start, superuser};
use crate::raw::must;
use crate::workload::{Outcome, Person, Random, assert_kept, assert_sound, bounded, until};

ironclaw_testing::tests![
    the_standby_answers_what_only_reads,
    a_store_reads_what_it_wrote_though_the_standby_is_behind,
    whether_a_lost_commit_was_made_is_not_asked_of_a_standby_that_is_behind,
    a_standby_that_fails_is_left_alone_until_it_is_well,
    a_promoted_standby_has_all_that_was_acknowledged_and_takes_over,
    a_primary_that_was_replaced_while_it_hung_is_not_written_to,
    two_servers_that_are_no_copies_of_each_other_are_refused,
    a_role_that_is_not_bound_is_refused_on_the_standby_too,
    what_decides_who_may_do_what_is_asked_of_the_primary,
    a_standby_that_is_too_far_behind_is_not_asked,
    a_primary_that_can_do_no_more_is_no_reason_to_read_what_is_old,
    a_standby_alone_decides_nothing,
    messages_that_decide_are_read_from_the_primary,
];

/// A primary, its standby, a store that knows both and a user.
async fn replicated() -> (Server, Server, PostgresStore, Person) {
    let primary = start(&[]).await;
    let standby = primary.standby().unwrap();
    let builder = PostgresStore::builder().max_connections(4).statement_timeout(Duration::from_secs(3));
    let store = builder.connect_with_replica(&app_url(&primary), &app_url(&standby)).await.unwrap();
    let ada = Person::ada(&store).await;
    (primary, standby, store, ada)
}

/// From now on a commit waits until the standby shows it.
fn make_synchronous(primary: &Server) {
    primary.set(&[("synchronous_standby_names", "*"), ("synchronous_commit", "remote_apply")]).unwrap();
}

async fn messages(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM ironclaw.messages").fetch_one(connection).await.unwrap()
}

/// Waits until the standby has so many messages.
async fn until_replayed(standby: &Server, expected: i64) {
    let mut connection = superuser(standby).await;
    until("the standby has all", async || messages(&mut connection).await == expected).await;
}

/// Waits until the standby is asked again, after a rest: the primary, which hangs, can't have answered.
async fn assert_standby_answers(primary: &Server, store: &PostgresStore, ada: &Person, expected: usize) {
    primary.freeze().unwrap();
    let read = bounded(ada.count(store)).await;
    primary.thaw().unwrap();
    assert_eq!(read.unwrap(), expected);
}

async fn the_standby_answers_what_only_reads() {
    let (primary, standby, store, ada) = replicated().await;
    make_synchronous(&primary);
    ada.speak(&store).await.1.unwrap();
    assert_eq!(ada.count(&store).await.unwrap(), 1);
    assert_standby_answers(&primary, &store, &ada, 1).await;
    primary.kill().unwrap();
    assert_eq!(bounded(ada.count(&store)).await.unwrap(), 1);
    // Nobody takes writes: that is said, and nothing is lost by it.
    let error = bounded(ada.speak(&store)).await.1.unwrap_err();
    assert!(matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::ReadOnly), "{error:?}");
    assert_eq!(bounded(ada.count(&store)).await.unwrap(), 1);
    // A store that is opened now finds the standby alone, and reads.
    let late = PostgresStore::connect_with_replica(&app_url(&primary), &app_url(&standby)).await.unwrap();
    assert_eq!(bounded(ada.count(&late)).await.unwrap(), 1);
    primary.start_again().unwrap();
    for store in [&store, &late] {
        bounded(ada.speak(store)).await.1.unwrap();
    }
    assert_eq!(ada.count(&store).await.unwrap(), 3);
}

async fn a_store_reads_what_it_wrote_though_the_standby_is_behind() {
    let (primary, standby, store, ada) = replicated().await;
    let mut behind = superuser(&standby).await;
    until_replayed(&standby, 0).await;
    standby.psql("agents", "SELECT pg_wal_replay_pause()").unwrap();
    for written in 1..=20 {
        ada.speak(&store).await.1.unwrap();
        assert_eq!(ada.count(&store).await.unwrap(), written);
    }
    assert_eq!(messages(&mut behind).await, 0);
    standby.psql("agents", "SELECT pg_wal_replay_resume()").unwrap();
    until_replayed(&standby, 20).await;
    assert_standby_answers(&primary, &store, &ada, 20).await;
}

/// The answer to a commit is lost, so the store does not know how far the log reached: a standby that lags must not
/// make its caller believe that the change was not made.
async fn whether_a_lost_commit_was_made_is_not_asked_of_a_standby_that_is_behind() {
    let (primary, standby, store, ada) = replicated().await;
    make_synchronous(&primary);
    ada.speak(&store).await.1.unwrap();
    standby.psql("agents", "SELECT pg_wal_replay_pause()").unwrap();
    let (writer, person) = (store.clone(), ada.clone());
    let call = tokio::spawn(async move { bounded(person.speak(&writer)).await });
    let mut watcher = superuser(&primary).await;
    until("the commit waits for the standby and is ended", async || {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        sqlx::query_scalar::<_, i64>(end).fetch_one(&mut watcher).await.unwrap() > 0
    })
    .await;
    let error = call.await.unwrap().1.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Unavailable);
    assert!(error.context().contains("at the commit"), "{error:?}");
    assert_eq!(messages(&mut superuser(&standby).await).await, 1);
    assert_eq!(ada.count(&store).await.unwrap(), 2);
    standby.psql("agents", "SELECT pg_wal_replay_resume()").unwrap();
    until_replayed(&standby, 2).await;
    assert_standby_answers(&primary, &store, &ada, 2).await;
}

async fn a_standby_that_fails_is_left_alone_until_it_is_well() {
    let (primary, standby, store, ada) = replicated().await;
    ada.speak(&store).await.1.unwrap();
    until_replayed(&standby, 1).await;
    standby.freeze().unwrap();
    // Each of these would wait for it, one after the other, if it were asked each time.
    let reads = async {
        for _ in 0..100 {
            assert_eq!(ada.count(&store).await.unwrap(), 1);
        }
    };
    tokio::time::timeout(Duration::from_secs(25), reads).await.expect("the standby holds the readings up");
    standby.thaw().unwrap();
    assert_standby_answers(&primary, &store, &ada, 1).await;
    standby.kill().unwrap();
    for _ in 0..20 {
        assert_eq!(bounded(ada.count(&store)).await.unwrap(), 1);
    }
    standby.start_again().unwrap();
    assert_standby_answers(&primary, &store, &ada, 1).await;
}

/// Who writes while the servers change their roles.
struct Writers {
    tasks: Vec<tokio::task::JoinHandle<Vec<(MessageId, Outcome)>>>,
    written: Arc<AtomicUsize>,
    goal: Arc<AtomicUsize>,
}

impl Writers {
    fn start(store: &PostgresStore, people: &[Person], random: &mut Random) -> Self {
        let (written, goal) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(usize::MAX)));
        let tasks = people.iter().map(|person| {
            let writing = write(store.clone(), person.clone(), random.fork(), Arc::clone(&written), Arc::clone(&goal));
            tokio::spawn(writing)
        });
        Self { tasks: tasks.collect(), written: Arc::clone(&written), goal: Arc::clone(&goal) }
    }

    /// Waits until more was written.
    async fn go_on(&self) {
        let enough = self.written.load(Ordering::Relaxed) + 30;
        until("more is written", async || self.written.load(Ordering::Relaxed) >= enough).await;
    }

    async fn finish(self) -> Vec<(MessageId, Outcome)> {
        self.goal.store(0, Ordering::Relaxed);
        let mut calls = Vec::new();
        for task in self.tasks {
            calls.extend(task.await.unwrap());
        }
        calls
    }
}

async fn write(
    store: PostgresStore,
    person: Person,
    mut random: Random,
    written: Arc<AtomicUsize>,
    goal: Arc<AtomicUsize>,
) -> Vec<(MessageId, Outcome)> {
    let mut calls = Vec::new();
    let mut acknowledged = 0;
    while written.load(Ordering::Relaxed) < goal.load(Ordering::Relaxed) {
        let id = MessageId::make(&SystemClock);
        let result = bounded(store.apply(&person.scope, person.say(id, random.below(2) == 0))).await;
        let outcome = outcome(&result.map(drop));
        acknowledged += usize::from(outcome == Outcome::Acknowledged);
        written.fetch_add(usize::from(outcome == Outcome::Acknowledged), Ordering::Relaxed);
        calls.push((id, outcome));
        // Whichever server answers, it has what was acknowledged.
        match bounded(person.count(&store)).await {
            Ok(count) => assert!(count >= acknowledged, "{count} of {acknowledged}"),
            Err(error) => drop(self::outcome(&Err(error))),
        }
    }
    calls
}

fn outcome(result: &Result<(), StoreError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Acknowledged,
        Err(error) if error.context().contains("at the commit") => Outcome::Unknown,
        Err(error) => {
            use StoreErrorKind::{Busy, ReadOnly, TimedOut, Unavailable};
            assert!(matches!(error.kind(), Busy | ReadOnly | TimedOut | Unavailable), "{error:?}");
            Outcome::Refused
        }
    }
}

async fn a_promoted_standby_has_all_that_was_acknowledged_and_takes_over() {
    let mut random = Random::new();
    let (primary, standby, store, _) = replicated().await;
    make_synchronous(&primary);
    let writers = Writers::start(&store, &Person::several(&store, 4).await, &mut random);
    writers.go_on().await;
    tokio::time::sleep(random.micros(30_000)).await;
    primary.kill().unwrap();
    standby.promote().unwrap();
    writers.go_on().await;
    // The old primary comes back as one: it waits for nobody now, and would take whatever it is given.
    primary.set(&[("synchronous_standby_names", "")]).unwrap();
    primary.start_again().unwrap();
    let mut old = superuser(&primary).await;
    let kept_by_old = messages(&mut old).await;
    writers.go_on().await;
    // Not even when the new one is gone for a while.
    standby.stop(Mode::Fast).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    standby.start_again().unwrap();
    writers.go_on().await;
    let calls = writers.finish().await;
    assert_eq!(messages(&mut old).await, kept_by_old);
    assert_kept(&mut superuser(&standby).await, &calls).await;
    assert_sound(&operator_url(&standby)).await;
    // Whoever comes now finds the right one, in whatever order they are named.
    let (old_url, new_url) = (app_url(&primary), app_url(&standby));
    for (url, replica) in [(&old_url, &new_url), (&new_url, &old_url)] {
        let late = PostgresStore::connect_with_replica(url, replica).await.unwrap();
        Person::ada(&late).await.speak(&late).await.1.unwrap();
    }
    assert_eq!(messages(&mut old).await, kept_by_old);
}

/// The primary hangs and its standby is promoted; then it goes on, with its old connections, as if nothing had happened.
async fn a_primary_that_was_replaced_while_it_hung_is_not_written_to() {
    let mut random = Random::new();
    let (primary, standby, store, _) = replicated().await;
    make_synchronous(&primary);
    let writers = Writers::start(&store, &Person::several(&store, 4).await, &mut random);
    writers.go_on().await;
    primary.freeze().unwrap();
    standby.promote().unwrap();
    writers.go_on().await;
    primary.thaw().unwrap();
    // What it was doing when it hung, it still does: commits that wait for the standby. Nobody must believe those.
    let mut old = superuser(&primary).await;
    until("its old transactions are over", async || {
        let end = "SELECT count(pg_terminate_backend(pid)) = 0 FROM pg_stat_activity \
                   WHERE application_name = 'ironclaw' AND state <> 'idle'";
        sqlx::query_scalar(end).fetch_one(&mut old).await.unwrap()
    })
    .await;
    primary.set(&[("synchronous_standby_names", "")]).unwrap();
    let kept_by_old = messages(&mut old).await;
    writers.go_on().await;
    standby.stop(Mode::Fast).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    standby.start_again().unwrap();
    writers.go_on().await;
    let calls = writers.finish().await;
    assert_eq!(messages(&mut old).await, kept_by_old);
    assert_kept(&mut superuser(&standby).await, &calls).await;
    assert_sound(&operator_url(&standby)).await;
}

async fn two_servers_that_are_no_copies_of_each_other_are_refused() {
    let (one, other) = (start(&[]).await, start(&[]).await);
    let refused = PostgresStore::connect_with_replica(&app_url(&one), &app_url(&other)).await.unwrap_err();
    let is_about_the_replica =
        matches!(refused.kind(), StoreErrorKind::InvalidInput(input) if input.field() == "replica");
    assert!(is_about_the_replica, "{refused:?}");
    // One that was away when the store was opened is looked at when it is there.
    other.stop(Mode::Fast).unwrap();
    let store = PostgresStore::connect_with_replica(&app_url(&one), &app_url(&other)).await.unwrap();
    let ada = Person::ada(&store).await;
    ada.speak(&store).await.1.unwrap();
    other.start_again().unwrap();
    one.stop(Mode::Fast).unwrap();
    bounded(ada.speak(&store)).await.1.unwrap_err();
    bounded(ada.count(&store)).await.unwrap_err();
    assert_eq!(messages(&mut superuser(&other).await).await, 0);
    one.start_again().unwrap();
    assert_eq!(bounded(ada.count(&store)).await.unwrap(), 1);
}

async fn a_role_that_is_not_bound_is_refused_on_the_standby_too() {
    let primary = start(&[]).await;
    let standby = primary.standby().unwrap();
    let unbound = standby.superuser_url("agents");
    let refused = PostgresStore::connect_with_replica(&app_url(&primary), &unbound).await.unwrap_err();
    assert_eq!(*refused.kind(), StoreErrorKind::Privileges);
}

/// A process of its own, which writes nothing: it knows of what others write only what the servers say.
async fn reader(primary: &Server, standby: &Server, lag: Duration) -> PostgresStore {
    let builder = PostgresStore::builder().replica_lag(lag);
    builder.connect_with_replica(&app_url(primary), &app_url(standby)).await.unwrap()
}

/// More than any test takes.
const FOR_EVER: Duration = Duration::from_secs(86_400);

/// The replay of what the primary writes stands still.
async fn pause(standby: &Server) {
    standby.psql("agents", "SELECT pg_wal_replay_pause()").unwrap();
    let mut superuser = superuser(standby).await;
    until("the replay stands still", async || {
        let state: String =
            sqlx::query_scalar("SELECT pg_get_wal_replay_pause_state()").fetch_one(&mut superuser).await.unwrap();
        state == "paused"
    })
    .await;
}

async fn what_decides_who_may_do_what_is_asked_of_the_primary() {
    let (primary, standby, store, ada) = replicated().await;
    let (agent, secret) = (AgentName::parse("agent").unwrap(), SecretName::parse("secret").unwrap());
    let (id, now) = (TokenId::make(&SystemClock), SystemClock.now());
    let expires_at = now.after(FOR_EVER);
    let token = Token::new(id, agent.clone(), 1, [7; 32], now, expires_at);
    let put_agent = |active| AccessOp::PutAgent { name: agent.clone(), active };
    let issue = Change::new().with(put_agent(true)).with(AccessOp::IssueToken { token });
    store.apply(&ada.scope, issue).await.unwrap();
    ada.speak(&store).await.1.unwrap();
    let (team, bob) = (ada.scope.in_space("team").unwrap(), Scope::user("bob").unwrap().in_space("team").unwrap());
    store.create_space(&team).await.unwrap();
    store.put_member(&team, "bob", SpaceRole::Reader).await.unwrap();
    let reader = reader(&primary, &standby, FOR_EVER).await;
    until_replayed(&standby, 1).await;
    assert!(reader.access().token(&ada.scope, id).await.unwrap().unwrap().revoked_at.is_none());
    until_the_standby_answers(&standby, &reader, &ada, 1).await;
    store.close().await.unwrap();
    pause(&standby).await;
    let store = PostgresStore::connect(&app_url(&primary)).await.unwrap();
    ada.speak(&store).await.1.unwrap();
    let revoke = Change::new().with(AccessOp::RevokeToken { id }).with(put_agent(false));
    store.apply(&ada.scope, revoke).await.unwrap();
    assert!(store.remove_member(&team, "bob").await.unwrap());
    let operator =
        PostgresMaintenance::connect(&operator_url(&primary), OperatorName::parse("olga").unwrap()).await.unwrap();
    let (tenant, owner, status) = (ada.scope.tenant().clone(), ada.scope.person().clone(), UserStatus::Suspended);
    operator.apply_system(SystemChange::PutUser { tenant, owner, status, roles: Vec::new() }).await.unwrap();
    // What the standby answers is as old as what it has.
    assert_eq!(ada.count(&reader).await.unwrap(), 1);
    let (access, scope) = (reader.access(), &ada.scope);
    assert!(access.token(scope, id).await.unwrap().unwrap().revoked_at.is_some());
    assert!(!access.agent(scope, &agent).await.unwrap().unwrap().active);
    // Nothing of a space is told by one who may not know yet who left it.
    assert_eq!(reader.audit().head(&bob).await.unwrap(), None);
    assert!(reader.audit().head(&team).await.unwrap().is_some());
    assert_eq!(access.user(scope).await.unwrap().unwrap().status, UserStatus::Suspended);
    // Without the primary nobody decides.
    primary.kill().unwrap();
    let page = PageRequest::default();
    bounded(access.token(scope, id)).await.unwrap_err();
    bounded(access.agents(scope, &page)).await.unwrap_err();
    bounded(reader.secrets().secret(scope, &secret)).await.unwrap_err();
    bounded(reader.secrets().vault(scope.tenant())).await.unwrap_err();
    assert_eq!(bounded(ada.count(&reader)).await.unwrap(), 1);
}

/// Waits until the standby gives this reader's answers, and does not only say how far it is.
async fn until_the_standby_answers(standby: &Server, reader: &PostgresStore, ada: &Person, expected: usize) {
    let mut superuser = superuser(standby).await;
    let sql = "SELECT coalesce(bool_and(query = 'COMMIT'), false) FROM pg_stat_activity WHERE usename = 'app'";
    until("the standby answers", async || {
        assert_eq!(ada.count(reader).await.unwrap(), expected);
        sqlx::query_scalar(sql).fetch_one(&mut superuser).await.unwrap()
    })
    .await;
}

async fn a_standby_that_is_too_far_behind_is_not_asked() {
    let (primary, standby, store, ada) = replicated().await;
    ada.speak(&store).await.1.unwrap();
    until_replayed(&standby, 1).await;
    // Its connections to the standby would be taken for the readers'.
    store.close().await.unwrap();
    let (strict, lax) = (reader(&primary, &standby, Duration::ZERO).await, reader(&primary, &standby, FOR_EVER).await);
    // While nobody writes, nothing is behind.
    until_the_standby_answers(&standby, &strict, &ada, 1).await;
    until_the_standby_answers(&standby, &lax, &ada, 1).await;
    pause(&standby).await;
    let writer = reader(&primary, &standby, FOR_EVER).await;
    for written in 2..=5 {
        ada.speak(&writer).await.1.unwrap();
        assert_eq!(ada.count(&strict).await.unwrap(), written, "what was acknowledged to somebody else is read");
        assert_eq!(ada.count(&lax).await.unwrap(), 1, "as old as it may be");
    }
    standby.psql("agents", "SELECT pg_wal_replay_resume()").unwrap();
    until_replayed(&standby, 5).await;
    assert_eq!(ada.count(&lax).await.unwrap(), 5);
}

async fn a_primary_that_can_do_no_more_is_no_reason_to_read_what_is_old() {
    let (primary, standby, store, ada) = replicated().await;
    ada.speak(&store).await.1.unwrap();
    until_replayed(&standby, 1).await;
    store.close().await.unwrap();
    let builder = PostgresStore::builder().replica_lag(Duration::ZERO).acquire_timeout(Duration::from_millis(200));
    let reader = builder.connect_with_replica(&app_url(&primary), &app_url(&standby)).await.unwrap();
    until_the_standby_answers(&standby, &reader, &ada, 1).await;
    // It says so itself: it is there, and somebody else has all its connections.
    let mut superuser = superuser(&primary).await;
    must(&mut superuser, "ALTER ROLE app CONNECTION LIMIT 1").await;
    must(&mut superuser, "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = 'app'").await;
    let _holding = PgConnection::connect(&app_url(&primary)).await.unwrap();
    let error = ada.count(&reader).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Busy, "{error}");
}

async fn a_standby_alone_decides_nothing() {
    let (_primary, standby, store, ada) = replicated().await;
    ada.speak(&store).await.1.unwrap();
    until_replayed(&standby, 1).await;
    let alone = PostgresStore::connect(&app_url(&standby)).await.unwrap();
    assert_eq!(ada.count(&alone).await.unwrap(), 1);
    let head = alone.audit().verify(&ada.scope).await.unwrap().unwrap();
    assert_eq!(Some(head), alone.audit().head(&ada.scope).await.unwrap());
    let error = bounded(alone.access().user(&ada.scope)).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::ReadOnly, "{error}");
    assert!(error.to_string().contains("the server is a standby"), "{error}");
}

async fn messages_that_decide_are_read_from_the_primary() {
    let (primary, standby, store, ada) = replicated().await;
    ada.speak(&store).await.1.unwrap();
    until_replayed(&standby, 1).await;
    let reader = reader(&primary, &standby, Duration::from_secs(600)).await;
    until_the_standby_answers(&standby, &reader, &ada, 1).await;
    pause(&standby).await;
    ada.speak(&store).await.1.unwrap();
    // Another store wrote it, so that this one may be behind.
    let (read, scope) = (reader.conversations(), &ada.scope);
    let read = async |newest| {
        let last = Backwards::new(9).newest(newest);
        read.messages_backwards(scope, ada.conversation, &last).await.unwrap().len()
    };
    assert_eq!((read(false).await, read(true).await), (1, 2));
    standby.psql("agents", "SELECT pg_wal_replay_resume()").unwrap();
}
