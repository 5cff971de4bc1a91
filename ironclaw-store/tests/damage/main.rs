//! What a damaged file may do: fail calls with typed errors, and be told by the check; never end a thread.
#![allow(clippy::unwrap_used, reason = "tests")]

mod flips;
mod furnish;
mod nonsense;
mod numbers;

use std::collections::BTreeMap;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use ironclaw_core::conformance::store::Sample;
use ironclaw_core::id::{OperatorName, TenantId};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Maintenance, PageRequest, Scope};
use ironclaw_store::{LibsqlMaintenance, LibsqlStore};

/// What every read method says, by user and method: the answer, or the kind and the context of the error.
type Said = BTreeMap<String, Result<String, String>>;

/// Panics of the store's threads so far, which nothing may make.
fn panics() -> u64 {
    static PANICS: AtomicU64 = AtomicU64::new(0);
    static COUNTED: Once = Once::new();
    COUNTED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name().is_some_and(|name| name.starts_with("ironclaw-store")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
    PANICS.load(Ordering::SeqCst)
}

fn maintenance(store: &LibsqlStore) -> LibsqlMaintenance {
    store.maintenance(OperatorName::parse("root").unwrap())
}

/// Asks everything that can be asked.
async fn ask(store: &LibsqlStore, samples: &[(Scope, Sample)]) -> Said {
    let mut said = Said::new();
    for (scope, sample) in samples {
        for (method, answer) in sample.ask(store, scope).await.unwrap() {
            said.insert(format!("{} {method}", scope.owner().key()), answer.map_err(|error| told(&error)));
        }
    }
    let (m, page) = (maintenance(store), PageRequest::first(PageRequest::MAX).unwrap());
    let mut of_all = |name: &str, answer: Result<String, StoreError>| {
        said.insert(format!("all {name}"), answer.map_err(|error| told(&error)));
    };
    of_all("users", m.users(&page).await.map(|said| format!("{said:?}")));
    of_all("spaces", m.spaces(&page).await.map(|said| format!("{said:?}")));
    let team = "team".parse().unwrap();
    of_all("members", m.members(&TenantId::default_tenant(), &team, None, &page).await.map(|said| format!("{said:?}")));
    of_all("holds", m.holds(&page).await.map(|said| format!("{said:?}")));
    of_all("erasures", m.erasures(&page).await.map(|said| format!("{said:?}")));
    of_all("checkpoints", m.checkpoints(&page).await.map(|said| format!("{said:?}")));
    of_all("retention_policies", m.retention_policies().await.map(|said| format!("{said:?}")));
    of_all("system_events", m.system_events(&page).await.map(|said| format!("{said:?}")));
    of_all("verify_audit", m.verify_audit().await.map(|said| format!("{said:?}")));
    said
}

/// An error as far as it matters. It must say that it is damage, and what to do.
fn told(error: &StoreError) -> String {
    assert!(is_typed(error), "{error}");
    format!("{:?}: {}", error.kind(), error.context())
}

/// Whether an error is one that damage may make.
fn is_typed(error: &StoreError) -> bool {
    match error.kind() {
        StoreErrorKind::Corrupt => error.context().contains("backup") || error.context().contains("audit trail"),
        StoreErrorKind::Internal => false,
        _ => true,
    }
}
