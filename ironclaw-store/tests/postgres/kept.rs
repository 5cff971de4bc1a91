//! What the check says of what is kept beside the audit chains: who acted, and the private parts.

use ironclaw_core::change::{PrivacyOp, SettingOp};
use ironclaw_core::conformance::store::Sample;
use ironclaw_core::id::{ErasureId, OperatorName, SettingKey, TenantId, UserId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::UserStatus;
use ironclaw_core::model::privacy::RetainedCategory;
use ironclaw_core::scope::Principal;
use ironclaw_core::store::Apply;
use ironclaw_core::{Change, Clock, Maintenance, Scope, Store, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};

use crate::database::{Database, app_url, operator_url};
use crate::raw::must;

ironclaw_testing::tests![
    who_acted_is_compared_with_the_events,
    private_parts_that_nothing_deletes_are_missed,
    one_time_beyond_all_hides_no_other_row,
];

/// A store in which `ada` and an agent of hers acted, and `bob`, and operators on both; `ada` forgot, and `eve` was erased.
async fn furnished() -> (Database, PostgresMaintenance) {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let maintenance =
        PostgresMaintenance::connect(&operator_url(database.name()), OperatorName::parse("root").unwrap())
            .await
            .unwrap();
    for name in ["ada", "bob", "eve"] {
        let (tenant, owner) = (TenantId::default_tenant(), UserId::parse(name).unwrap());
        let scope = Scope::of(owner.clone());
        Sample::write(&store, &scope, SystemClock.now()).await.unwrap();
        let by_agent = scope.acting(Principal::agent("clerk").unwrap());
        let put = SettingOp::Put { key: SettingKey::parse("by").unwrap(), value: "an agent".into() };
        store.apply(&by_agent, Change::new().with(put)).await.unwrap();
        let put = SystemChange::PutUser { tenant, owner, status: UserStatus::Active, roles: Vec::new() };
        maintenance.apply_system(put).await.unwrap();
    }
    let (tenant, category) = (TenantId::default_tenant(), RetainedCategory::Jobs);
    maintenance.apply_system(SystemChange::PutRetention { tenant, category, days: 400 }).await.unwrap();
    let ada = Scope::user("ada").unwrap();
    store.apply(&ada, Change::new().with(PrivacyOp::Forget)).await.unwrap();
    let (tenant, owner) = (TenantId::default_tenant(), UserId::parse("eve").unwrap());
    let erase = SystemChange::EraseUser { tenant, owner: owner.into(), id: ErasureId::make(&SystemClock) };
    maintenance.apply_system(erase).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    (database, maintenance)
}

/// The number of a user.
const ADA: &str = "(SELECT owner_no FROM ironclaw.users WHERE owner = 'ada')";

/// Spoils a table in each of these ways and puts it back: the check says that and nothing else.
async fn spoil(table: &str, cases: &[(&str, &str)]) {
    let (database, maintenance) = furnished().await;
    let mut behind = database.superuser().await;
    must(&mut behind, "SET session_replication_role = replica").await;
    for (sql, told) in cases {
        let kept = format!("CREATE TEMP TABLE kept AS SELECT * FROM ironclaw.{table}");
        must(&mut behind, &kept).await;
        assert!(must(&mut behind, &sql.replace("{ada}", ADA)).await > 0, "{sql}");
        let found = maintenance.check_integrity().await.unwrap();
        assert!(found.iter().any(|line| line.starts_with(told)), "{sql}: {found:?}");
        assert_eq!(found.len(), 1, "{sql}: {found:?}");
        let columns = "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE attnum > 0 \
                       AND attrelid = ('ironclaw.' || $1)::regclass AND NOT attisdropped AND attgenerated = ''";
        let columns: String = sqlx::query_scalar(columns).bind(table).fetch_one(&mut behind).await.unwrap();
        let put_back = format!(
            "DELETE FROM ironclaw.{table}; INSERT INTO ironclaw.{table} ({columns}) OVERRIDING SYSTEM VALUE \
             SELECT {columns} FROM kept; DROP TABLE kept"
        );
        must(&mut behind, &put_back).await;
        assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new(), "{sql}");
    }
}

async fn who_acted_is_compared_with_the_events() {
    spoil(
        "audit_pseudonyms",
        &[
            (
                "DELETE FROM ironclaw.audit_pseudonyms WHERE owner_no = {ada}",
                "audit_pseudonyms: 1 of events are not kept",
            ),
            ("DELETE FROM ironclaw.audit_pseudonyms WHERE owner_no = 0", "audit_pseudonyms: 1 of events are not kept"),
            (
                "INSERT INTO ironclaw.audit_pseudonyms VALUES ({ada}, 2, 'other', substr(sha256('other'), 1, 16))",
                "audit_pseudonyms: 1 that no event has: row ",
            ),
        ],
    )
    .await;
    let (database, maintenance) = furnished().await;
    let mut behind = database.superuser().await;
    must(&mut behind, "UPDATE ironclaw.audit_pseudonyms SET pseudonym = substr(sha256(pseudonym), 1, 16)").await;
    let users = "UPDATE ironclaw.users SET pseudonym = substr(sha256(pseudonym), 1, 16) WHERE owner = 'bob'";
    must(&mut behind, users).await;
    let found = maintenance.check_integrity().await.unwrap();
    for (told, times) in [
        // The operator, and the agents of both.
        ("audit_pseudonyms: 1 that no event has: row ", 3),
        ("audit_pseudonyms: 1 of events are not kept", 2),
        ("audit_pseudonyms: 2 of events are not kept", 1),
        ("audit_pseudonyms: events have another pseudonym of the user than users.pseudonym: row ", 1),
    ] {
        assert_eq!(found.iter().filter(|line| line.starts_with(told)).count(), times, "{told}: {found:?}");
    }
}

async fn private_parts_that_nothing_deletes_are_missed() {
    spoil(
        "audit_private",
        &[
            (
                "DELETE FROM ironclaw.audit_private p USING ironclaw.audit_events e WHERE e.owner_no = p.owner_no \
                 AND e.sequence = p.sequence AND e.owner_no = {ada} AND e.action = 600",
                "audit_private: ",
            ),
            // What operators did to a user who is there, and what names no user.
            ("DELETE FROM ironclaw.audit_private WHERE about = {ada}", "audit_private: 1 that nobody may delete"),
            (
                "DELETE FROM ironclaw.audit_private p USING ironclaw.audit_events e WHERE e.owner_no = p.owner_no \
                 AND e.sequence = p.sequence AND e.owner_no = 0 AND e.action = 809",
                "audit_private: ",
            ),
        ],
    )
    .await;
    let (database, maintenance) = furnished().await;
    let mut behind = database.superuser().await;
    must(&mut behind, "DELETE FROM ironclaw.audit_private").await;
    let found = maintenance.check_integrity().await.unwrap();
    assert_eq!(found.iter().filter(|line| line.starts_with("audit_private: ")).count(), 3, "{found:?}");
}

async fn one_time_beyond_all_hides_no_other_row() {
    let (database, maintenance) = furnished().await;
    let mut behind = database.superuser().await;
    must(&mut behind, "SET session_replication_role = replica").await;
    must(&mut behind, "UPDATE ironclaw.users SET updated_at = '294270-01-01' WHERE owner = 'ada'").await;
    must(&mut behind, "UPDATE ironclaw.users SET created_at = 'infinity' WHERE owner = 'bob'").await;
    let found = maintenance.check_integrity().await.unwrap();
    for told in ["users.updated_at makes no sense: row ", "users.created_at makes no sense: row "] {
        assert!(found.iter().any(|line| line.starts_with(told)), "{told}: {found:?}");
    }
    assert!(!found.iter().any(|line| line.contains("any further")), "{found:?}");
}
