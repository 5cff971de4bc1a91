//! The server is killed, hangs, or has no space left: an error that says so, soon, and no change by halves.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ironclaw_core::change::ConversationOp;
use ironclaw_core::id::MessageId;
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::store::{Apply, StoreError, StoreErrorKind};
use ironclaw_core::{Change, SystemClock};
use ironclaw_store::PostgresStore;
use ironclaw_testing::{ClusterError, Server, need};
use sqlx::Executor;

use crate::own::{app_url, operator_url, run, start, superuser};
use crate::workload::{Outcome, Person, Random, assert_kept, assert_sound, bounded, until};

ironclaw_testing::tests![
    a_killed_server_is_reported_and_found_again,
    writers_go_on_when_the_server_that_was_killed_is_back,
    a_server_that_hangs_holds_no_call_for_ever,
    a_full_disk_is_told_from_other_failures_and_halves_nothing,
    a_cancelled_commit_is_not_told_as_undone,
];

/// Makes writing a message take for ever.
const SLOW: &str = "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$; \
    CREATE TRIGGER slow BEFORE INSERT ON ironclaw.messages FOR EACH ROW EXECUTE FUNCTION public.slow();";

/// A call that is under way at the server.
async fn begun(server: &Server, store: &PostgresStore, ada: &Person) -> tokio::task::JoinHandle<Said> {
    run(server, SLOW).await;
    let (store, ada) = (store.clone(), ada.clone());
    let call = tokio::spawn(async move { bounded(ada.speak(&store)).await });
    let mut watcher = superuser(server).await;
    until("the call is under way", async || {
        let sleeping = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        sqlx::query_scalar(sleeping).fetch_one(&mut watcher).await.unwrap()
    })
    .await;
    call
}

type Said = (MessageId, Result<(), StoreError>);

/// Asserts that a call failed this way.
fn assert_failed<T: std::fmt::Debug>(result: Result<T, StoreError>, kind: &StoreErrorKind) {
    assert!(matches!(&result, Err(error) if error.kind() == kind), "{result:?} is not {kind:?}");
}

/// How a writing ended while the server was at fault.
fn outcome(result: &Result<(), StoreError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Acknowledged,
        Err(error) if error.context().contains("at the commit") => Outcome::Unknown,
        Err(error) => {
            let kinds = [StoreErrorKind::Unavailable, StoreErrorKind::TimedOut, StoreErrorKind::Busy];
            assert!(kinds.contains(error.kind()) && !error.context().is_empty(), "{error:?}");
            Outcome::Refused
        }
    }
}

async fn a_killed_server_is_reported_and_found_again() {
    let server = start(&[]).await;
    let store = PostgresStore::connect(&app_url(&server)).await.unwrap();
    let ada = Person::ada(&store).await;
    let (before, result) = ada.speak(&store).await;
    result.unwrap();
    let call = begun(&server, &store, &ada).await;
    server.kill().unwrap();
    let (during, result) = call.await.unwrap();
    assert_failed(result, &StoreErrorKind::Unavailable);
    assert_failed(bounded(ada.read(&store)).await, &StoreErrorKind::Unavailable);
    let (down, result) = bounded(ada.speak(&store)).await;
    assert_failed(result, &StoreErrorKind::Unavailable);
    server.start_again().unwrap();
    run(&server, "DROP FUNCTION public.slow CASCADE").await;
    assert_eq!(ada.read(&store).await.unwrap(), 1);
    let (after, result) = ada.speak(&store).await;
    result.unwrap();
    let calls = [
        (before, Outcome::Acknowledged),
        (during, Outcome::Refused),
        (down, Outcome::Refused),
        (after, Outcome::Acknowledged),
    ];
    assert_kept(&mut superuser(&server).await, &calls).await;
    assert_sound(&operator_url(&server)).await;
}

async fn writers_go_on_when_the_server_that_was_killed_is_back() {
    let mut random = Random::new();
    let server = start(&[]).await;
    let store = PostgresStore::builder().max_connections(4).connect(&app_url(&server)).await.unwrap();
    let people = Person::several(&store, 6).await;
    let written = Arc::new(AtomicUsize::new(0));
    let goal = Arc::new(AtomicUsize::new(usize::MAX));
    let writers: Vec<_> = people
        .iter()
        .map(|person| {
            let (person, store, mut random) = (person.clone(), store.clone(), random.fork());
            let (written, goal) = (Arc::clone(&written), Arc::clone(&goal));
            tokio::spawn(async move {
                let mut calls = Vec::new();
                while written.load(Ordering::Relaxed) < goal.load(Ordering::Relaxed) {
                    let id = MessageId::make(&SystemClock);
                    let change = person.say(id, random.below(2) == 0);
                    let result = bounded(store.apply(&person.scope, change)).await.map(drop);
                    written.fetch_add(usize::from(result.is_ok()), Ordering::Relaxed);
                    calls.push((id, outcome(&result)));
                }
                calls
            })
        })
        .collect();
    for round in 1..=3 {
        let enough = written.load(Ordering::Relaxed) + 40;
        until("some is written", async || written.load(Ordering::Relaxed) >= enough).await;
        tokio::time::sleep(random.micros(30_000)).await;
        server.kill().unwrap();
        server.start_again().unwrap();
        if round == 3 {
            goal.store(written.load(Ordering::Relaxed) + 40, Ordering::Relaxed);
        }
    }
    let mut calls = Vec::new();
    for writer in writers {
        calls.extend(writer.await.unwrap());
    }
    assert_kept(&mut superuser(&server).await, &calls).await;
    assert_sound(&operator_url(&server)).await;
}

async fn a_server_that_hangs_holds_no_call_for_ever() {
    let server = start(&[]).await;
    let builder = PostgresStore::builder().statement_timeout(Duration::from_secs(3)).max_connections(2);
    let store = builder.connect(&app_url(&server)).await.unwrap();
    let ada = Person::ada(&store).await;
    let call = begun(&server, &store, &ada).await;
    server.freeze().unwrap();
    let (during, result) = call.await.unwrap();
    assert_failed(result, &StoreErrorKind::TimedOut);
    // More callers than connections: none of them is told that more connections would help.
    let reads = futures::future::join_all((0..6).map(|_| bounded(ada.read(&store)))).await;
    for read in reads {
        assert_failed(read, &StoreErrorKind::Unavailable);
    }
    server.thaw().unwrap();
    run(&server, "DROP FUNCTION public.slow CASCADE").await;
    assert_eq!(ada.read(&store).await.unwrap(), 0);
    let (after, result) = ada.speak(&store).await;
    result.unwrap();
    let calls = [(during, Outcome::Refused), (after, Outcome::Acknowledged)];
    assert_kept(&mut superuser(&server).await, &calls).await;
    assert_sound(&operator_url(&server)).await;
}

/// A file system of a few megabytes, which root may make: unmounted when it is dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Mounts it for whoever owns `server`'s data.
    fn mount(path: &'a Path, server: &Server) -> Self {
        let owner = std::fs::metadata(server.data_dir()).unwrap();
        std::fs::create_dir(path).unwrap();
        let disk = Self(path);
        need(disk.run(&format!("size=6m,mode=700,uid={},gid={}", owner.uid(), owner.gid())));
        disk
    }

    fn grow(&self) {
        self.run("remount,size=60m").unwrap();
    }

    fn run(&self, options: &str) -> Result<(), ClusterError> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.0).output();
        let tried = match mounted {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let advice = "run the tests as root, where a file system may be mounted";
        Err(ClusterError::Missing { what: "a small disk", advice, tried })
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // The server may still have files open on it.
        let _ = Command::new("umount").arg("--lazy").arg(self.0).output();
    }
}

async fn a_full_disk_is_told_from_other_failures_and_halves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // The server's account must be able to enter.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = folder.path().join("disk");
    let server = start(&[]).await;
    let disk = SmallDisk::mount(&path, &server);
    run(&server, &format!("CREATE TABLESPACE small LOCATION '{}'", path.display())).await;
    run(&server, "ALTER TABLE ironclaw.messages SET TABLESPACE small").await;
    let store = PostgresStore::connect(&app_url(&server)).await.unwrap();
    let ada = Person::ada(&store).await;
    let mut random = Random::new();
    let mut say = || {
        let id = MessageId::make(&SystemClock);
        // What can't be compressed, and is not searched for.
        let text: String = (0..25_000).map(|_| char::from(b'!' + random.below(90) as u8)).collect();
        let message = NewMessage::text(id, Role::System, text);
        (id, Change::new().with(ConversationOp::AppendMessage { conversation: ada.conversation, message }))
    };
    let mut calls = Vec::new();
    let error = loop {
        assert!(calls.len() < 1_000, "the disk is never full");
        let (id, change) = say();
        match bounded(store.apply(&ada.scope, change)).await {
            Ok(_) => calls.push((id, Outcome::Acknowledged)),
            Err(error) => {
                calls.push((id, Outcome::Refused));
                break error;
            }
        }
    };
    assert_eq!(*error.kind(), StoreErrorKind::Full, "{error:?}");
    assert!(error.context().contains("free space"), "{error:?}");
    assert!(calls.len() > 50, "{} messages", calls.len());
    // What is there can be read.
    assert_eq!(ada.count(&store).await.unwrap(), calls.len() - 1);
    disk.grow();
    let (id, change) = say();
    store.apply(&ada.scope, change).await.unwrap();
    calls.push((id, Outcome::Acknowledged));
    assert_kept(&mut superuser(&server).await, &calls).await;
    assert_sound(&operator_url(&server)).await;
    drop(server);
}

/// The server says that a statement was cancelled also if what it had to do was done.
async fn a_cancelled_commit_is_not_told_as_undone() {
    let primary = start(&[]).await;
    let standby = primary.standby().unwrap();
    let store = PostgresStore::connect_with_replica(&app_url(&primary), &app_url(&standby)).await.unwrap();
    let people = Person::several(&store, 4).await;
    let mut watcher = superuser(&primary).await;
    let cancelling = tokio::spawn(async move {
        let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
                      WHERE usename = 'app' AND state = 'active' AND query LIKE 'COMMIT%'";
        loop {
            watcher.execute(cancel).await.unwrap();
        }
    });
    let mut calls = Vec::new();
    for _ in 0..200 {
        let said = futures::future::join_all(people.iter().map(|person| person.speak(&store))).await;
        calls.extend(said.iter().map(|(id, result)| (*id, outcome(result))));
    }
    cancelling.abort();
    assert_kept(&mut superuser(&primary).await, &calls).await;
    assert!(calls.iter().any(|(_, outcome)| matches!(outcome, Outcome::Unknown)), "a commit was cancelled");
    assert_sound(&operator_url(&primary)).await;
}
