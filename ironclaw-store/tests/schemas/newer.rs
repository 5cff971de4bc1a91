//! A store that is open while a newer version migrates its database is told so by every call, and writes nothing.

use std::sync::Arc;

use ironclaw_core::change::{Change, SettingOp};
use ironclaw_core::id::OperatorName;
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::UserStatus;
use ironclaw_core::model::audit::{Action, AuditFilter, AuditRecord};
use ironclaw_core::model::jobs::JobFilter;

use ironclaw_core::search::TextQuery;
use ironclaw_core::store::{Backwards, SearchFilter, Store, StoreErrorKind, VectorQuery};
use ironclaw_core::{Clock, Limits, Maintenance, ManualClock, PageRequest};
use ironclaw_store::{LibsqlStore, Movable, PostgresStore, Selection, copy_store, discard_unfinished_copies};

use crate::check::check;
use crate::database::{Database, app_url, operator_url};
use crate::known::*;

const DEPTH: usize = 64;

/// Expects the error of each call.
macro_rules! newer {
    ($($call:expr;)*) => {$(
        match $call.await {
            Err(error) => assert_eq!(*error.kind(), StoreErrorKind::NewerSchema, "{}: {error}", stringify!($call)),
            Ok(done) => panic!("{} gave {done:?}", stringify!($call)),
        }
    )*};
}

async fn every_call(store: &dyn Store, maintenance: &dyn Maintenance, movable: &dyn Movable) {
    let (page, everywhere) = (&PageRequest::default(), &SearchFilter::default());
    let (words, ada, bob) = (&TextQuery::new("launch", &Limits::default()), &ada(), &user("nobody"));
    let vector = &VectorQuery::new(name("embedder"), VECTORS[0].to_vec());
    let put = || Change::new().with(SettingOp::Put { key: name("theme"), value: 1.into() });
    let report = Change::new().event(AuditRecord::new(Action::HostEvent));
    let refused = Change::new().with(SettingOp::Put { key: name("theme"), value: nested(1_000) });
    let (tenant, owner, status) = (ada.tenant().clone(), ada.owner().clone(), UserStatus::Suspended);
    let what = Selection::User { tenant: tenant.clone(), owner: owner.clone() };
    let system = SystemChange::PutUser { tenant, owner: ada.person().clone(), status, roles: Vec::new() };
    let target = LibsqlStore::in_memory().await.unwrap().maintenance(OperatorName::parse("operator").unwrap());
    newer! {
        store.apply(ada, put());
        store.apply(bob, put());
        store.apply(ada, put().idempotent(name("k")));
        store.apply(ada, keyed());
        store.apply(ada, report);
        store.conversations().conversation(ada, conversation());
        store.conversations().conversations(ada, page);
        store.conversations().messages(ada, conversation(), page);
        store.conversations().messages_backwards(ada, conversation(), &Backwards::new(1));
        store.conversations().recent_messages(ada, conversation(), 1);
        store.conversations().search_messages(ada, words, 1);
        store.workspace().entry(ada, &path("notes/plan.md"));
        store.workspace().entries(ada, None, page);
        store.workspace().content(ada, &path("notes/plan.md"), 0, 1);
        store.workspace().embedding_models(ada);
        store.workspace().search_text(ada, words, everywhere, 1);
        store.workspace().search_vectors(ada, vector, everywhere, 1);
        store.workspace().chunks(ada, &[first_chunk()]);
        store.jobs().job(ada, job());
        store.jobs().jobs(ada, &JobFilter::default(), page);
        store.jobs().job_events(ada, job(), page);
        store.jobs().llm_calls(ada, job(), page);
        store.jobs().sandbox_jobs(ada, job(), page);
        store.secrets().vault(ada.tenant());
        store.secrets().root_key_wraps(ada.tenant());
        store.secrets().data_key(ada, data_key());
        store.secrets().newest_data_key(ada);
        store.secrets().secret(ada, &name("api"));
        store.secrets().secrets(ada, page);
        store.secrets().next_secret_version(ada, &name("api"));
        store.secrets().secret_version(ada, &name("api"), None);
        store.secrets().secret_versions(ada, &name("api"), page);
        store.access().user(ada);
        store.access().roles(ada);
        store.access().spaces(ada, page);
        store.access().members(&team(), None, page);
        store.access().agent(ada, &name("assistant"));
        store.access().agents(ada, page);
        store.access().policies(ada, None, None, page);
        store.access().token(ada, token().id);
        store.access().api_key(ada, api_key().id);
        store.access().api_keys(ada, page);
        store.access().lease(ada, lease().id);
        store.access().approval(ada, approval());
        store.access().approvals(ada, page);
        store.access().tool_grants(ada, &name("calendar"), page);
        store.settings().setting(ada, &name("theme"));
        store.settings().setting(bob, &name("theme"));
        store.settings().settings(ada, page);
        store.settings().quota(ada, &name("tokens"));
        store.audit().events(ada, &AuditFilter::default(), page);
        store.audit().head(ada);
        store.audit().verify(ada);
        maintenance.apply_system(system);
        maintenance.users(page);
        maintenance.spaces(page);
        maintenance.members(ada.tenant(), &name("team"), None, page);
        maintenance.holds(page);
        maintenance.retention_policies();
        maintenance.erasures(page);
        maintenance.system_events(page);
        maintenance.checkpoints(page);
        maintenance.verify_audit();
        maintenance.apply_retention();
        maintenance.scrub();
        maintenance.check_integrity();
        copy_store(movable, &target, &what, |_| {});
        copy_store(&target, movable, &Selection::Everything, |_| {});
        discard_unfinished_copies(movable);
        // The refusal of the change can't be recorded.
        store.apply(ada, refused);
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(now()))
}

#[tokio::test]
async fn an_open_libsql_store_notices() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = LibsqlStore::builder().clock(clock()).open(&path).await.unwrap();
    let maintenance = store.maintenance(OperatorName::parse("operator").unwrap());
    write(&store, &maintenance, DEPTH).await;
    let newer = libsql::Builder::new_local(&path).build().await.unwrap().connect().unwrap();
    // Log and file are looked after meanwhile.
    newer.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    let version = newer.query("PRAGMA user_version", ()).await.unwrap().next().await.unwrap().unwrap();
    let version: i64 = version.get(0).unwrap();
    newer.execute(&format!("PRAGMA user_version = {}", version + 1), ()).await.unwrap();
    every_call(&store, &maintenance, &maintenance).await;
    let again = LibsqlStore::open(&path).await.unwrap();
    let refused = again.settings().setting(&ada(), &name("theme")).await.unwrap_err();
    assert_eq!(*refused.kind(), StoreErrorKind::NewerSchema);
    // Nothing was written: with its own schema everything is as it was.
    newer.execute(&format!("PRAGMA user_version = {version}"), ()).await.unwrap();
    check(&store, &maintenance, DEPTH).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_open_postgres_store_notices() {
    let database = Database::fresh().await;
    let builder = PostgresStore::builder().clock(clock());
    let store = builder.clone().connect(&app_url(database.name())).await.unwrap();
    let operator = OperatorName::parse("operator").unwrap();
    let maintenance = builder.connect_maintenance(&operator_url(database.name()), operator).await.unwrap();
    write(&store, &maintenance, DEPTH).await;
    let mut superuser = database.superuser().await;
    let newer = "INSERT INTO ironclaw.migrations (version, applied_at) VALUES ('m9999_newer', 0)";
    sqlx::raw_sql(newer).execute(&mut superuser).await.unwrap();
    every_call(&store, &maintenance, &maintenance).await;
    let again = PostgresStore::connect(&app_url(database.name())).await.unwrap_err();
    assert_eq!(*again.kind(), StoreErrorKind::NewerSchema);
    sqlx::raw_sql("DELETE FROM ironclaw.migrations WHERE version = 'm9999_newer'")
        .execute(&mut superuser)
        .await
        .unwrap();
    check(&store, &maintenance, DEPTH).await;
    maintenance.close().await;
    store.close().await.unwrap();
}
