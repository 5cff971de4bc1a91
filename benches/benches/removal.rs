//! How long others wait while much is removed from the embedded store: one user writes all the time, another has 1.65
//! million rows that are forgotten, erased, deleted by retention. Prints the longest wait of each.
#![allow(clippy::unwrap_used, reason = "a bench")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ironclaw_core::change::{ConversationOp, PrivacyOp};
use ironclaw_core::id::{ConversationId, ErasureId, MessageId, OperatorName, TenantId, UserId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::model::privacy::RetainedCategory;
use ironclaw_core::store::Apply;
use ironclaw_core::{Change, Clock, Maintenance, ManualClock, Scope, Store, SystemClock};
use ironclaw_store::LibsqlStore;

/// Each is one row and 32 of its terms.
const MESSAGES: u64 = 50_000;
const TERMS: u64 = 32;

#[derive(Debug, Clone, Copy)]
enum What {
    Forget,
    Erase,
    Retention,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for what in [What::Forget, What::Erase, What::Retention] {
        runtime.block_on(measure(what, MESSAGES));
    }
}

async fn measure(what: What, messages: u64) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let store = LibsqlStore::builder().clock(clock.clone()).open(folder.path().join("agent.db")).await.unwrap();
    let (ada, bob) = (user("ada"), user("bob"));
    seed(&store, &ada, messages).await;
    let maintenance = store.maintenance(OperatorName::parse("root").unwrap());
    let (tenant, owner) = (TenantId::default_tenant(), UserId::parse("ada").unwrap());
    let category = RetainedCategory::Conversations;
    let policy = SystemChange::PutRetention { tenant: tenant.clone(), category, days: 10 };
    maintenance.apply_system(policy).await.unwrap();
    clock.advance(Duration::from_secs(20 * 86_400));
    // The same without any removal, which is what it is compared with.
    let ends = Arc::new(AtomicBool::new(false));
    let other = tokio::spawn(write(store.clone(), bob.clone(), Arc::clone(&ends)));
    tokio::time::sleep(Duration::from_secs(20)).await;
    ends.store(true, Ordering::Relaxed);
    report("before", other.await.unwrap());
    let ends = Arc::new(AtomicBool::new(false));
    let other = tokio::spawn(write(store.clone(), bob, Arc::clone(&ends)));
    let begun = Instant::now();
    match what {
        What::Forget => drop(store.apply(&ada, Change::new().with(PrivacyOp::Forget)).await.unwrap()),
        What::Erase => {
            let id = ErasureId::make(&SystemClock);
            maintenance.apply_system(SystemChange::EraseUser { tenant, owner: owner.into(), id }).await.unwrap();
        }
        What::Retention => drop(maintenance.apply_retention().await.unwrap()),
    }
    let took = begun.elapsed();
    ends.store(true, Ordering::Relaxed);
    println!("{what:?} of {} rows took {took:.1?}", messages * (TERMS + 1));
    report("meanwhile", other.await.unwrap());
    store.close().await.unwrap();
}

fn report(when: &str, mut waits: Vec<Duration>) {
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() - 1) * share / 1_000];
    println!(
        "  {when}: {} writes of another user waited {:.1?} in the median, {:.1?} at 99 %, {:.1?} at 99.9 %, {:.1?} at most",
        waits.len(),
        at(500),
        at(990),
        at(999),
        at(1_000)
    );
}

/// Writes without a pause: how long each write waited.
async fn write(store: LibsqlStore, scope: Scope, ends: Arc<AtomicBool>) -> Vec<Duration> {
    let conversation = ConversationId::make(&SystemClock);
    let create = ConversationOp::Create { id: conversation, title: "Other".into() };
    store.apply(&scope, Change::new().with(create)).await.unwrap();
    let mut waits = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        let message =
            NewMessage::text(MessageId::make(&SystemClock), Role::User, "what did we decide about the launch");
        let begun = Instant::now();
        let append = ConversationOp::AppendMessage { conversation, message };
        store.apply(&scope, Change::new().with(append)).await.unwrap();
        waits.push(begun.elapsed());
    }
    waits
}

async fn seed(store: &LibsqlStore, scope: &Scope, messages: u64) {
    let conversation = ConversationId::make(&SystemClock);
    let create = ConversationOp::Create { id: conversation, title: "Large".into() };
    store.apply(scope, Change::new().with(create)).await.unwrap();
    for block in 0..messages.div_ceil(1_000) {
        let mut change = Change::new();
        for number in block * 1_000..((block + 1) * 1_000).min(messages) {
            // The words of a text: some everywhere, most rarely.
            let word = |at: u64| (number * TERMS + at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (40 + at % 12);
            let text: String = (0..TERMS).map(|at| format!("w{at}x{:x} ", word(at))).collect();
            let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, &text);
            change = change.with(ConversationOp::AppendMessage { conversation, message });
        }
        store.apply(scope, change).await.unwrap();
    }
}

fn user(name: &str) -> Scope {
    Scope::user(name).unwrap()
}
