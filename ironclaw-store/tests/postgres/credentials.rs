//! Passwords: refused, changed, and never shown.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ironclaw_core::change::ConversationOp;
use ironclaw_core::id::{ConversationId, IdempotencyKey, MessageId, OperatorName};
use ironclaw_core::model::conversations::{NewMessage, Role as Speaker};
use ironclaw_core::store::{AgentStore, Apply, Store, StoreErrorKind};
use ironclaw_core::{BoxError, Change, PageRequest, Scope, SystemClock};
use ironclaw_store::{PostgresStore, PostgresStoreBuilder};
use ironclaw_testing::{PgBouncer, need};
use tokio::task::JoinSet;

use crate::database::{Database, cluster, superuser};
use crate::network::{assert_refused, assert_silent, chain, refusal, refusal_by};
use crate::raw::{Role, must};

ironclaw_testing::tests![
    a_changed_password_is_picked_up_while_all_go_on,
    a_changed_password_is_picked_up_through_a_pooler,
    a_refused_password_is_said_to_be,
    a_password_that_is_changed_later_is_refused_without_a_source,
];

const WRITERS: usize = 3;

/// How often the password is changed.
const ROTATIONS: usize = 3;

fn user(number: usize) -> Scope {
    Scope::user(format!("user {number}")).unwrap()
}

/// Where the application is told the password, and how often it asked.
#[derive(Clone, Default)]
struct Safe {
    password: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Safe {
    fn with(password: &str) -> Self {
        let safe = Self::default();
        safe.keep(password);
        safe
    }

    fn keep(&self, password: &str) {
        *self.password.lock().unwrap() = password.to_owned();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// What asks for the password that is kept here.
    fn builder(&self) -> PostgresStoreBuilder {
        let safe = self.clone();
        // No more connections than a call has attempts.
        PostgresStore::builder().max_connections(4).password_from(move || {
            safe.asked.fetch_add(1, Ordering::SeqCst);
            let password = safe.password.lock().unwrap().clone();
            Box::pin(async move { Ok(password) })
        })
    }
}

fn failing() -> PostgresStoreBuilder {
    PostgresStore::builder().password_from(|| Box::pin(async { Err(BoxError::from("the safe is locked")) }))
}

/// Changes a role's password, and ends its connections.
async fn rotate(role: &Role, password: &str) {
    let mut superuser = superuser("postgres").await;
    must(&mut superuser, &format!("ALTER ROLE {} PASSWORD '{password}'", role.0)).await;
    end_connections(role).await;
}

async fn end_connections(role: &Role) {
    let end = format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = '{}'", role.0);
    must(&mut superuser("postgres").await, &end).await;
}

fn say(conversation: ConversationId, number: usize) -> Change {
    let message = NewMessage::text(MessageId::make(&SystemClock), Speaker::User, number.to_string());
    // A commit whose answer is lost is done again, and counts once.
    let key = IdempotencyKey::parse(format!("{conversation} {number}")).unwrap();
    Change::new().with(ConversationOp::AppendMessage { conversation, message }).idempotent(key)
}

/// What goes on while passwords change: all that was written is counted.
struct Work {
    stop: Arc<AtomicBool>,
    done: Arc<Vec<AtomicUsize>>,
    workers: JoinSet<(usize, ConversationId)>,
}

impl Work {
    async fn start(store: &PostgresStore) -> Self {
        let (stop, mut workers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        let done = Arc::new((0..WRITERS).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
        for number in 0..WRITERS {
            let (store, scope, id) = (store.clone(), user(number), ConversationId::make(&SystemClock));
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            let create = ConversationOp::Create { id, title: "rotated".into() };
            store.apply(&scope, Change::new().with(create)).await.unwrap();
            workers.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let message = done[number].load(Ordering::SeqCst);
                    store.apply(&scope, say(id, message)).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
                    let read = store.conversations().recent_messages(&scope, id, 1).await;
                    let read = read.unwrap_or_else(|error| panic!("{}", chain(&error)));
                    assert_eq!(read[0].message.content, message.to_string());
                    done[number].store(message + 1, Ordering::SeqCst);
                }
                (number, id)
            });
        }
        Self { stop, done, workers }
    }

    /// Waits until every writer has written a few more messages.
    async fn goes_on(&mut self) {
        let goals: Vec<_> = self.done.iter().map(|done| done.load(Ordering::SeqCst) + 3).collect();
        for _ in 0..1_200 {
            if self.done.iter().zip(&goals).all(|(done, goal)| done.load(Ordering::SeqCst) >= *goal) {
                return;
            }
            if let Some(Err(error)) = self.workers.try_join_next() {
                std::panic::resume_unwind(error.into_panic());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the writers hang");
    }

    /// Ends, and checks that what was written is there, once and in order.
    async fn finish(self, store: &PostgresStore) {
        self.stop.store(true, Ordering::SeqCst);
        for (number, id) in self.workers.join_all().await {
            let mut written = Vec::new();
            let mut page = PageRequest::first(500).unwrap();
            loop {
                let read = store.conversations().messages(&user(number), id, &page).await.unwrap();
                written.extend(read.items.into_iter().map(|message| message.message.content));
                let Some(next) = read.next else { break };
                page = PageRequest::first(500).unwrap().after(next);
            }
            let done = self.done[number].load(Ordering::SeqCst);
            assert_eq!(written, (0..done).map(|message| message.to_string()).collect::<Vec<_>>());
        }
    }
}

async fn a_changed_password_is_picked_up_while_all_go_on() {
    let database = Database::fresh().await;
    let role = Role::new("rotated", "LOGIN IN ROLE ironclaw_app").await;
    let safe = Safe::with("is not asked for");
    let store = safe.builder().connect(&role.url(&database)).await.unwrap();
    let mut work = Work::start(&store).await;
    work.goes_on().await;
    // A lost connection is no reason to ask.
    end_connections(&role).await;
    work.goes_on().await;
    assert_eq!(safe.asked(), 0);
    for rotation in 0..ROTATIONS {
        let password = format!("hunter{rotation}");
        safe.keep(&password);
        rotate(&role, &password).await;
        work.goes_on().await;
        assert!(safe.asked() > rotation, "nobody asked for the password");
    }
    let asked = safe.asked();
    work.goes_on().await;
    end_connections(&role).await;
    work.goes_on().await;
    assert_eq!(safe.asked(), asked, "a password that is right is not asked for");
    work.finish(&store).await;
    assert_silent_debug(&format!("{store:?}"));
    assert_silent_debug(&format!("{:?}", safe.builder()));
    store.close().await.unwrap();
}

fn assert_silent_debug(shown: &str) {
    for secret in ["hunter", "only for"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

async fn a_changed_password_is_picked_up_through_a_pooler() {
    let database = Database::fresh().await;
    let role = Role::new("pooled", "LOGIN IN ROLE ironclaw_app").await;
    let superuser = cluster().psql("postgres", "SELECT current_user").unwrap();
    // It asks the server for the passwords of roles that it does not know.
    let options = [("auth_user", superuser.as_str()), ("server_login_retry", "1")];
    let pooler = need(PgBouncer::start(&cluster().superuser_url("postgres"), &[], &options, None));
    let safe = Safe::with("hunter1");
    rotate(&role, "hunter1").await;
    let url = pooler.url(&role.0, "hunter0", database.name());
    let error = refusal_by(PostgresStore::builder().transaction_pooling().connect(&url)).await;
    assert_refused(&error, &StoreErrorKind::Credentials, &["password"]);
    assert_silent(&error, "hunter");
    let store = safe.builder().transaction_pooling().connect(&url).await.unwrap();
    assert_eq!(safe.asked(), 1);
    let mut work = Work::start(&store).await;
    work.goes_on().await;
    assert_eq!(safe.asked(), 1);
    work.finish(&store).await;
    store.close().await.unwrap();
}

async fn a_refused_password_is_said_to_be() {
    let database = Database::fresh().await;
    let role = Role::new("refused", "LOGIN IN ROLE ironclaw_app").await;
    let url = cluster().url(&role.0, "hunter2", database.name());
    let mut errors = vec![refusal(&url).await];
    let operator = OperatorName::parse("root").unwrap();
    errors.push(refusal_by(PostgresStore::builder().connect_maintenance(&url, operator)).await);
    errors.push(refusal_by(PostgresStore::migrate(&url)).await);
    let unlucky = Safe::with("hunter3");
    errors.push(refusal_by(unlucky.builder().connect(&url)).await);
    assert_eq!(unlucky.asked(), 1, "it is asked for once");
    for error in &errors {
        assert_refused(error, &StoreErrorKind::Credentials, &["password", "pg_hba.conf"]);
        assert!(!error.is_retryable());
        assert_silent(error, "hunter");
    }
    let error = refusal_by(failing().connect(&url)).await;
    assert_refused(&error, &StoreErrorKind::Credentials, &["could not be had"]);
    assert!(chain(&error).contains("the safe is locked"), "{}", chain(&error));
    assert_silent(&error, "hunter");
}

async fn a_password_that_is_changed_later_is_refused_without_a_source() {
    let database = Database::fresh().await;
    let role = Role::new("changed", "LOGIN IN ROLE ironclaw_app").await;
    let (stale, locked) = (PostgresStore::builder(), failing());
    for (builder, said) in [(stale, "pg_hba.conf"), (locked, "could not be had")] {
        must(&mut superuser("postgres").await, &format!("ALTER ROLE {} PASSWORD 'hunter1'", role.0)).await;
        let url = cluster().url(&role.0, "hunter1", database.name());
        let store = builder.max_connections(2).connect(&url).await.unwrap();
        let page = PageRequest::default();
        store.conversations().conversations(&user(0), &page).await.unwrap();
        rotate(&role, "hunter2").await;
        let id = ConversationId::make(&SystemClock);
        for error in [
            refusal_by(store.conversations().conversations(&user(0), &page)).await,
            refusal_by(store.apply(&user(0), say(id, 0))).await,
        ] {
            assert_refused(&error, &StoreErrorKind::Credentials, &[said]);
            assert_silent(&error, "hunter");
        }
        // The store is not broken: when the password is what it was, it goes on.
        rotate(&role, "hunter1").await;
        store.conversations().conversations(&user(0), &page).await.unwrap();
        store.close().await.unwrap();
    }
}
