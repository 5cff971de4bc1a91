//! What a run of retention takes with many users of whom few or none have something old, on both stores; and what the audit
//! trail says of it.
#![allow(clippy::unwrap_used, reason = "a bench")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use ironclaw_benches::{Postgres, runtime};
use ironclaw_core::change::ConversationOp;
use ironclaw_core::id::{ConversationId, OperatorName, TenantId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::privacy::RetainedCategory;
use ironclaw_core::store::Apply;
use ironclaw_core::{Change, Clock, Maintenance, ManualClock, PageRequest, Scope, SystemClock};
use ironclaw_store::{LibsqlStore, PostgresStore, PostgresStoreBuilder};

const USERS: usize = 50_000;
/// Of these something is old.
const OLD: usize = 10;
const DAY: Duration = Duration::from_secs(86_400);

fn main() {
    runtime().block_on(async {
        println!("| store | users | with something old | a run | deleted | events |");
        println!("|---|---|---|---|---|---|");
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let folder = tempfile::tempdir().unwrap();
        let store = LibsqlStore::builder().clock(clock.clone()).open(folder.path().join("agent.db")).await.unwrap();
        let maintenance = store.maintenance(OperatorName::parse("root").unwrap());
        measure("`LibsqlStore`", &store, &maintenance, &clock).await;
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let postgres = Postgres::start().await;
        let builder = || -> PostgresStoreBuilder { PostgresStore::builder().clock(clock.clone()) };
        let (store, maintenance) = (postgres.store(builder()).await, postgres.maintenance_by(builder()).await);
        measure("`PostgresStore`", &store, &maintenance, &clock).await;
    });
}

async fn measure(name: &str, store: &impl Apply, maintenance: &dyn Maintenance, clock: &ManualClock) {
    let category = RetainedCategory::Conversations;
    let policy = SystemChange::PutRetention { tenant: TenantId::default_tenant(), category, days: 10 };
    maintenance.apply_system(policy).await.unwrap();
    converse(store, 0..OLD).await;
    clock.advance(20 * DAY);
    converse(store, OLD..USERS).await;
    for old in [OLD, 0, 0, 0] {
        let before = events(maintenance).await;
        let begun = Instant::now();
        let deleted = maintenance.apply_retention().await.unwrap();
        let took = begun.elapsed();
        let events = events(maintenance).await - before;
        println!("| {name} | {USERS} | {old} | {took:.1?} | {deleted} | {events} |");
    }
}

/// Each of these users begins a conversation.
async fn converse(store: &impl Apply, users: std::ops::Range<usize>) {
    let begin = |number| async move {
        let scope = Scope::user(format!("user {number}")).unwrap();
        let create = ConversationOp::Create { id: ConversationId::make(&SystemClock), title: "Launch".into() };
        store.apply(&scope, Change::new().with(create)).await.unwrap();
    };
    futures::stream::iter(users).map(begin).buffer_unordered(64).for_each(|()| async {}).await;
}

async fn events(maintenance: &dyn Maintenance) -> usize {
    maintenance.system_events(&PageRequest::first(PageRequest::MAX).unwrap()).await.unwrap().items.len()
}
