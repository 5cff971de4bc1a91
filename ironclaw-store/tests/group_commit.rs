//! Changes that wait together commit together.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;

use ironclaw_core::id::{ConversationId, MessageId};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::{Scope, Store, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const TASKS: u64 = 64;
const EACH: u64 = 10;

/// How many changes each commit had, as the store's own events tell.
static COMMITS: Mutex<Vec<u64>> = Mutex::new(Vec::new());

struct Commits;

impl Subscriber for Commits {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ironclaw_store")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Changes);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Changes;

impl Visit for Changes {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "changes" {
            COMMITS.lock().unwrap().push(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_changes_share_a_commit() {
    tracing::subscriber::set_global_default(Commits).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = LibsqlStore::open(folder.path().join("agent.db")).await.unwrap();
    let ada = Scope::user("ada").unwrap();
    let id = ConversationId::make(&SystemClock);
    store.create_conversation(&ada, id, "Launch").await.unwrap();
    COMMITS.lock().unwrap().clear();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (store, ada) = (store.clone(), ada.clone());
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, "lighthouse");
                    store.append_message(&ada, id, message).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    store.close().await.unwrap();
    let commits = COMMITS.lock().unwrap();
    assert_eq!(commits.iter().sum::<u64>(), TASKS * EACH);
    // Each commit is one fdatasync: at most one for 16 appends.
    assert!(commits.len() as u64 <= TASKS * EACH / 16, "{} commits: {commits:?}", commits.len());
}
