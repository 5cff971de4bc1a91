//! What the server refuses of a change for what is in it is the change's own failure: typed, and in the trail.

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::{OperatorName, QuotaName};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::audit::{Action, AuditFilter, Outcome};
use ironclaw_core::store::{Apply, StoreErrorKind, VaultStore};
use ironclaw_core::{Change, Maintenance, PageRequest, Scope};
use ironclaw_store::{PostgresMaintenance, PostgresStore};

use crate::database::{Database, app_url, operator_url};
use crate::network::{assert_invalid, assert_silent, refusal_by};
use crate::raw::must;

ironclaw_testing::tests![
    whatever_the_server_refuses_of_a_change_is_its_failure,
    whatever_the_server_refuses_of_an_operators_change_is_its_failure,
    what_is_not_the_changes_fault_is_not_recorded_as_that,
];

/// What a value, a row or a limit of the server's may refuse.
const CODES: [&str; 21] = [
    "21000", "22000", "22001", "22007", "22008", "22012", "22021", "22023", "22026", "22032", "22P02", "22P05",
    "23000", "23001", "23502", "23514", "23P01", "54000", "54001", "54011", "54023",
];

/// What a row says that must not get into an error.
const SECRET: &str = "hunter2";

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

/// Makes each insert into a table fail with this code.
async fn refuse(database: &Database, table: &str, code: &str) {
    must(
        &mut database.superuser().await,
        &format!(
            "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}', DETAIL = '{SECRET}'; END $$; \
             CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON ironclaw.{table} \
             FOR EACH ROW EXECUTE FUNCTION public.refuse()"
        ),
    )
    .await;
}

fn put() -> Change {
    Change::new().with(SettingOp::Put { key: "theme".parse().unwrap(), value: SECRET.into() })
}

async fn failures(store: &PostgresStore) -> usize {
    let filter = AuditFilter { outcome: Some(Outcome::Failed), ..AuditFilter::default() };
    store.audit().events(&ada(), &filter, &PageRequest::first(1_000).unwrap()).await.unwrap().items.len()
}

async fn whatever_the_server_refuses_of_a_change_is_its_failure() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    for (nr, code) in CODES.into_iter().enumerate() {
        refuse(&database, "settings", code).await;
        let error = refusal_by(store.apply(&ada(), put())).await;
        assert_invalid(&error, "change", "malformed");
        assert_silent(&error, SECRET);
        assert!(!error.is_retryable(), "{code}");
        assert_eq!(failures(&store).await, nr + 1, "{code} is in the trail");
    }
    store.audit().verify(&ada()).await.unwrap();
}

async fn whatever_the_server_refuses_of_an_operators_change_is_its_failure() {
    let database = Database::fresh().await;
    let operator = OperatorName::parse("olga").unwrap();
    let operator = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    for (nr, code) in CODES.into_iter().enumerate() {
        refuse(&database, "quotas", code).await;
        let (tenant, owner) = (ada().tenant().clone(), ada().owner().clone());
        let put = SystemChange::PutQuota { tenant, owner, name: QuotaName::parse("quota").unwrap(), limit: 1 };
        let error = refusal_by(operator.apply_system(put)).await;
        assert_invalid(&error, "change", "malformed");
        let events = operator.system_events(&PageRequest::first(1_000).unwrap()).await.unwrap().items;
        assert_eq!(events.len(), nr + 1, "{code} is in the trail");
        let last = &events.last().unwrap().event;
        assert_eq!((last.action, last.outcome), (Action::QuotaPut, Outcome::Failed));
    }
    operator.verify_audit().await.unwrap();
}

async fn what_is_not_the_changes_fault_is_not_recorded_as_that() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    for (code, kind) in [
        ("53100", StoreErrorKind::Full),
        ("57014", StoreErrorKind::TimedOut),
        ("22003", StoreErrorKind::Corrupt),
        ("XX000", StoreErrorKind::Internal),
    ] {
        refuse(&database, "settings", code).await;
        let error = refusal_by(store.apply(&ada(), put())).await;
        assert_eq!(*error.kind(), kind, "{code}: {error}");
        assert_eq!(failures(&store).await, 0, "{code}");
    }
}
