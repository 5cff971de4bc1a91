//! Everything that every read method says, to compare before and after.

use std::collections::BTreeMap;

use super::world::World;
use crate::conformance::check::Failure;
use crate::limits::Limits;
use crate::model::audit::AuditFilter;
use crate::model::jobs::JobFilter;
use crate::page::PageRequest;
use crate::scope::Scope;
use crate::search::TextQuery;
use crate::store::{Backwards, SearchFilter, Store, StoreError, VectorQuery};

/// What each read method says, printed.
pub(crate) type Snapshot = BTreeMap<&'static str, String>;

/// What each read method says, printed, or how it fails.
pub(crate) type Answers = BTreeMap<&'static str, Result<String, StoreError>>;

/// Asks every read method for the rows of `world` within `scope`, leaving out the audit trail.
pub(crate) async fn snapshot(store: &dyn Store, scope: &Scope, world: &World) -> Result<Snapshot, Failure> {
    let answers = answers(store, scope, world).await?;
    answers.into_iter().map(|(method, said)| Ok((method, said?))).collect()
}

/// The same, whether they succeed or fail.
pub(crate) async fn answers(store: &dyn Store, scope: &Scope, world: &World) -> Result<Answers, Failure> {
    let mut seen = Answers::new();
    let page = &PageRequest::default();
    let words = &TextQuery::new("lighthouse ships", &Limits::default());
    let vector = &VectorQuery { model: world.model.clone(), vector: vec![1.0, 2.0, 3.0] };
    let everywhere = &SearchFilter::default();
    macro_rules! see {
        ($($category:ident: { $($method:ident($($argument:expr),*)),* $(,)? })*) => {
            $($(
                let said = store.$category().$method(scope $(, $argument)*).await;
                let said = said.map(|said| format!("{said:?}"));
                seen.insert(concat!(stringify!($category), "::", stringify!($method)), said);
            )*)*
        };
    }
    see! {
        conversations: {
            conversation(world.conversation), conversations(page), messages(world.conversation, page),
            messages_backwards(world.conversation, &Backwards::new(10)), recent_messages(world.conversation, 10),
            search_messages(words, 10),
        }
        workspace: {
            entry(&world.path), entries(None, page), content(&world.path, 0, u64::MAX), embedding_models(),
            search_text(words, everywhere, 10), search_vectors(vector, everywhere, 10), chunks(&world.chunks),
        }
        jobs: {
            job(world.job), jobs(&JobFilter::default(), page), job_events(world.job, page),
            llm_calls(world.job, page), sandbox_jobs(world.job, page),
        }
        secrets: {
            data_key(world.data_key), newest_data_key(), secret(&world.secret), secrets(page),
            secret_version(&world.secret, None), secret_versions(&world.secret, page),
        }
        access: {
            user(), roles(), agent(&world.agent), agents(page), policies(None, None, page), token(world.token),
            api_key(world.api_key), api_keys(page), lease(world.lease), approval(world.approval), approvals(page),
            tool_grants(&world.tool, page),
        }
        settings: { setting(&world.setting), settings(page), quota(&world.quota) }
    }
    Ok(seen)
}

/// Everything the owner's audit trail says.
pub(crate) async fn audit_snapshot(store: &dyn Store, scope: &Scope) -> Result<Snapshot, Failure> {
    let answers = audit_answers(store, scope).await?;
    answers.into_iter().map(|(method, said)| Ok((method, said?))).collect()
}

/// The same, whether it can be read or not.
pub(crate) async fn audit_answers(store: &dyn Store, scope: &Scope) -> Result<Answers, Failure> {
    let page = PageRequest::first(PageRequest::MAX)?;
    let events = store.audit().events(scope, &AuditFilter::default(), &page).await;
    Ok(Answers::from([
        ("audit::events", events.map(|events| format!("{events:?}"))),
        ("audit::head", store.audit().head(scope).await.map(|head| format!("{head:?}"))),
        ("audit::verify", store.audit().verify(scope).await.map(|head| format!("{head:?}"))),
    ]))
}

/// Asserts that a snapshot is that of a user who has nothing.
#[track_caller]
pub(crate) fn assert_nothing(seen: &Snapshot) {
    for (method, said) in seen {
        let nothing = ["None", "[]", "Page { items: [], next: None }"].contains(&said.as_str());
        assert!(nothing, "{method} is not empty: {said}");
    }
}

/// Asserts that two snapshots are the same, naming the first method that says something else.
#[track_caller]
pub(crate) fn assert_same(before: &Snapshot, after: &Snapshot) {
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (method, said) in before {
        assert_eq!(Some(said), after.get(method), "{method} says something else");
    }
}
