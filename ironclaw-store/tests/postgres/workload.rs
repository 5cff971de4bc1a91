//! What keeps a store busy, and what must be left of it.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use ironclaw_core::change::ConversationOp;
use ironclaw_core::id::{ConversationId, MessageId, OperatorName, TenantId, UserId};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::store::{Apply, StoreError};
use ironclaw_core::{AgentStore, Change, Maintenance, PageRequest, Scope, StoreExt, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use sqlx::PgConnection;

/// Numbers that look random and can be had again: `IRONCLAW_TEST_SEED` is the seed of a run that failed.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// From a new seed, which a test that fails prints.
    pub(crate) fn new() -> Self {
        let given = std::env::var("IRONCLAW_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seed = given.unwrap_or(u64::from(now.subsec_nanos()));
        eprintln!("IRONCLAW_TEST_SEED={seed}");
        Self(seed)
    }

    /// Numbers of its own for a task.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// SplitMix64: <https://prng.di.unimi.it/splitmix64.c>.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A time of less than so many microseconds.
    pub(crate) fn micros(&mut self, limit: u64) -> Duration {
        Duration::from_micros(self.below(limit))
    }
}

/// A user and their conversation.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) scope: Scope,
    pub(crate) conversation: ConversationId,
}

impl Person {
    /// Users of two tenants, with the same names in both.
    pub(crate) async fn several(store: &PostgresStore, count: usize) -> Vec<Self> {
        let mut people = Vec::new();
        for number in 0..count {
            let tenant = TenantId::parse(["one", "two"][number % 2]).unwrap();
            let owner = UserId::parse(format!("user{}", number / 2)).unwrap();
            people.push(Self::new(store, Scope::of_tenant(tenant, owner)).await);
        }
        people
    }

    /// One user.
    pub(crate) async fn ada(store: &PostgresStore) -> Self {
        Self::new(store, Scope::user("ada").unwrap()).await
    }

    async fn new(store: &PostgresStore, scope: Scope) -> Self {
        let conversation = ConversationId::make(&SystemClock);
        store.create_conversation(&scope, conversation, "Launch").await.unwrap();
        Self { scope, conversation }
    }

    /// A change that appends a message, which says whose it is.
    pub(crate) fn say(&self, id: MessageId, is_keyed: bool) -> Change {
        let text = format!("{} {}", self.scope.tenant(), self.scope.person());
        let message = NewMessage::text(id, Role::User, text);
        let change = Change::new().with(ConversationOp::AppendMessage { conversation: self.conversation, message });
        let key = || id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>().parse().unwrap();
        if is_keyed { change.idempotent(key()) } else { change }
    }

    /// Says something once, under a new id.
    pub(crate) async fn speak(&self, store: &PostgresStore) -> (MessageId, Result<(), StoreError>) {
        let id = MessageId::make(&SystemClock);
        (id, store.apply(&self.scope, self.say(id, false)).await.map(drop))
    }

    /// Reads the last messages: this user's own and nobody else's.
    pub(crate) async fn read(&self, store: &PostgresStore) -> Result<usize, StoreError> {
        let messages = store.conversations().recent_messages(&self.scope, self.conversation, 5).await?;
        let own = format!("{} {}", self.scope.tenant(), self.scope.person());
        assert!(messages.iter().all(|message| message.message.content == own), "{messages:?} read as {own}");
        Ok(messages.len())
    }

    /// How many messages there are.
    pub(crate) async fn count(&self, store: &PostgresStore) -> Result<usize, StoreError> {
        let page = PageRequest::first(PageRequest::MAX).unwrap();
        Ok(store.conversations().messages(&self.scope, self.conversation, &page).await?.items.len())
    }
}

/// How a call ended, as its caller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was done.
    Acknowledged,
    /// It may have been done or not.
    Unknown,
    /// It was not done.
    Refused,
}

/// Which messages are there, each with how many rows and how many audit events it has.
pub(crate) async fn kept(connection: &mut PgConnection) -> HashMap<Vec<u8>, (u32, u32)> {
    let mut kept: HashMap<Vec<u8>, (u32, u32)> = HashMap::new();
    let rows: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT uuid_send(id) FROM ironclaw.messages").fetch_all(&mut *connection).await.unwrap();
    for id in rows {
        kept.entry(id).or_default().0 += 1;
    }
    // Each subject is the code of its kind and an id: first the conversation, then the message.
    let events: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT substring(subjects FROM 19) FROM ironclaw.audit_events WHERE length(subjects) = 34 AND outcome = 0",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    for id in events {
        kept.entry(id).or_default().1 += 1;
    }
    kept
}

/// Asserts that what was acknowledged is there once, what was refused is not, and everything is whole.
pub(crate) async fn assert_kept(connection: &mut PgConnection, calls: &[(MessageId, Outcome)]) {
    let mut kept = kept(connection).await;
    for (id, outcome) in calls {
        let found = kept.remove(id.as_bytes().as_slice()).unwrap_or_default();
        let is_right = match outcome {
            Outcome::Acknowledged => found == (1, 1),
            Outcome::Unknown => found == (1, 1) || found == (0, 0),
            Outcome::Refused => found == (0, 0),
        };
        assert!(is_right, "{outcome:?} but kept, with its audit events, {found:?} times");
    }
    assert!(kept.is_empty(), "kept what nobody wrote: {kept:?}");
}

/// Asserts that every audit chain verifies and the database is sound.
pub(crate) async fn assert_sound(operator_url: &str) {
    let operator = OperatorName::parse("test").unwrap();
    let maintenance = PostgresMaintenance::connect(operator_url, operator).await.unwrap();
    assert!(!maintenance.verify_audit().await.unwrap().is_empty());
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    maintenance.close().await;
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(Instant::now() < deadline, "it takes for ever until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fails if a call takes as long as no call may.
pub(crate) async fn bounded<T>(call: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(60), call).await;
    done.expect("a call must end within a bounded time")
}
