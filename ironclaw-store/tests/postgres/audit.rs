//! The audit trail is appended through its function only, and the function tells the truth.

use std::collections::BTreeMap;

use ironclaw_core::audit::{commitment, private_bytes};
use ironclaw_core::change::{ConversationOp, SettingOp};
use ironclaw_core::id::{ConversationId, UserId};
use ironclaw_core::model::audit::{Action, AuditEntry, AuditFilter, AuditPrivate, PrincipalKind};
use ironclaw_core::scope::RequestContext;
use ironclaw_core::store::{Apply, Audit, VaultStore};
use ironclaw_core::{Change, PageRequest, Scope, SystemClock};
use ironclaw_store::PostgresStore;
use sqlx::PgConnection;
use sqlx::types::time::OffsetDateTime;

use crate::database::{Database, app_url};
use crate::raw::{DENIED, application, in_person, must, run};

/// A user acting through an agent.
const BY_AGENT: &str = r#"[[1,"ada"],[2,"writer"]]"#;

fn ada() -> Scope {
    Scope::user(UserId::parse("ada").unwrap())
}

/// A database, a store in it to which ada is known, and a connection of the application beside it.
async fn opened() -> (Database, PostgresStore, PgConnection) {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let put = SettingOp::Put { key: "theme".parse().unwrap(), value: "dark".into() };
    store.apply(&ada(), Change::new().with(put)).await.unwrap();
    let number = "SELECT FROM ironclaw.users WHERE owner_no = 1 AND owner = 'ada'";
    assert_eq!(must(&mut database.superuser().await, number).await, 1);
    let application = application(database.name()).await;
    (database, store, application)
}

async fn trail(store: &PostgresStore) -> Vec<AuditEntry> {
    store.events(&ada(), &AuditFilter::default(), &PageRequest::first(100).unwrap()).await.unwrap().items
}

/// How long ada's chain is, after every hash in it was computed again.
async fn verified(store: &PostgresStore) -> u64 {
    store.audit().verify(&ada()).await.unwrap().unwrap().sequence
}

/// Begins a transaction in ada's scope, to write.
async fn begin(application: &mut PgConnection, chain: &str) {
    must(application, "BEGIN").await;
    let enter = sqlx::query("SELECT * FROM ironclaw.enter_to_write('default', 'ada', $1, '1000')");
    assert_eq!(enter.bind(chain).execute(application).await.unwrap().rows_affected(), 1);
}

/// A call of the function, for events that say something in private.
fn append(actions: &[Action], said: &str) -> String {
    let details = BTreeMap::from([("said".to_owned(), said.to_owned())]);
    let private = private_bytes(&AuditPrivate { details, request: RequestContext::default() });
    let salt = [7; 32];
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let column = |value: String| vec![value; actions.len()].join(", ");
    let bytes = |bytes: &[u8]| column(format!("'\\x{}'::bytea", hex(bytes)));
    let codes: Vec<_> = actions.iter().map(|action| action.code().to_string()).collect();
    format!(
        "SELECT ironclaw.append_audit(ARRAY[{}], ARRAY[{}]::smallint[], ARRAY[{}], ARRAY[{}], ARRAY[{}], ARRAY[{}])",
        codes.join(", "),
        column("0".to_owned()),
        bytes(&[]),
        bytes(&commitment(&salt, &private)),
        bytes(&salt),
        bytes(&private)
    )
}

#[tokio::test]
async fn what_raw_sql_appends_is_part_of_the_chain() {
    let (_database, store, mut application) = opened().await;
    assert_eq!(verified(&store).await, 1);
    begin(&mut application, BY_AGENT).await;
    must(&mut application, &append(&[Action::SecretUse, Action::QuotaCharge], "by raw SQL")).await;
    must(&mut application, "COMMIT").await;
    begin(&mut application, &in_person("ada")).await;
    must(&mut application, &append(&[Action::SecretPut], "never said")).await;
    must(&mut application, "ROLLBACK").await;
    let put = SettingOp::Put { key: "theme".parse().unwrap(), value: "light".into() };
    store.apply(&ada(), Change::new().with(put)).await.unwrap();
    assert_eq!(verified(&store).await, 4);
    let trail = trail(&store).await;
    let actions: Vec<_> = trail.iter().map(|entry| entry.event.action).collect();
    assert_eq!(actions, [Action::SettingPut, Action::SecretUse, Action::QuotaCharge, Action::SettingPut]);
    // Who acted is the scope's chain, and the user the same whoever appended.
    let kinds = |entry: &AuditEntry| entry.event.principals.iter().map(|one| one.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&trail[0]), [PrincipalKind::User]);
    assert_eq!(kinds(&trail[1]), [PrincipalKind::User, PrincipalKind::Agent]);
    assert_eq!(trail[1].event.principals[0], trail[0].event.principals[0]);
    assert_eq!(trail[1].event.user, trail[0].event.user);
    assert_eq!(trail[1].private.as_ref().unwrap().details["said"], "by raw SQL");
}

#[tokio::test]
async fn without_a_scope_nothing_is_appended() {
    let (_database, store, mut application) = opened().await;
    let append = append(&[Action::SecretUse], "");
    for setting in [
        "",
        "SELECT FROM ironclaw.enter('default', 'nobody', '[[1,\"nobody\"]]');",
        "SELECT FROM ironclaw.enter('elsewhere', 'ada', '[[1,\"ada\"]]');",
        "SET LOCAL ironclaw.owner_no = '0';",
        "SET LOCAL ironclaw.owner_no = '0'; SET LOCAL ironclaw.maintenance = 'on';",
        "SET LOCAL ironclaw.owner_no = '1';",
        "SELECT FROM ironclaw.enter('default', 'nobody', '[[1,\"nobody\"]]'); SET LOCAL ironclaw.owner_no = '1';",
    ] {
        for call in [append.as_str(), "SELECT ironclaw.forget_audit('{100}')"] {
            must(&mut application, "BEGIN").await;
            let outcome = run(&mut application, &format!("{setting}{call}")).await;
            assert_eq!(outcome, Err(DENIED.to_owned()), "{setting} {call}");
            must(&mut application, "ROLLBACK").await;
        }
    }
    // The scope of the transaction before this one is gone.
    begin(&mut application, &in_person("ada")).await;
    must(&mut application, "COMMIT").await;
    assert_eq!(run(&mut application, &append).await, Err(DENIED.to_owned()));
    assert_eq!(verified(&store).await, 1);
}

#[tokio::test]
async fn nobody_poses_as_somebody_else() {
    let (_database, store, mut application) = opened().await;
    for chain in [
        "",
        "[]",
        "{}",
        "null",
        r#"[[4,"root"]]"#,
        r#"[[2,"writer"]]"#,
        r#"[[2,"ada"]]"#,
        r#"[[1,"bob"]]"#,
        r#"[[1,"ada"],[4,"root"]]"#,
        r#"[[1,"ada"],[9,"what"]]"#,
        r#"[[1,"ada"],[2,null]]"#,
        r#"[[1,"ada"],[null,"writer"]]"#,
        r#"[[1,"ada"],2]"#,
    ] {
        begin(&mut application, chain).await;
        assert!(run(&mut application, &append(&[Action::SecretUse], "")).await.is_err(), "{chain}");
        must(&mut application, "ROLLBACK").await;
    }
    assert_eq!(verified(&store).await, 1);
}

#[tokio::test]
async fn an_event_cannot_be_given_another_time() {
    let (database, store, mut application) = opened().await;
    let mut began: Vec<OffsetDateTime> = Vec::new();
    for time in ["'2000-01-01'", "'2999-12-31'", "'infinity'", "'-infinity'", "(now() - interval '1 s')::text", "''"] {
        begin(&mut application, &in_person("ada")).await;
        began.push(sqlx::query_scalar("SELECT now()").fetch_one(&mut application).await.unwrap());
        must(&mut application, &format!("SELECT set_config('ironclaw.now', {time}, true)")).await;
        must(&mut application, &append(&[Action::SecretUse], "")).await;
        must(&mut application, "COMMIT").await;
    }
    begin(&mut application, &in_person("ada")).await;
    must(&mut application, "SET LOCAL ironclaw.now = 'noon or so'").await;
    assert_eq!(run(&mut application, &append(&[Action::SecretUse], "")).await, Err("22007".to_owned()));
    must(&mut application, "ROLLBACK").await;
    assert_eq!(verified(&store).await, 1 + began.len() as u64);
    let sql = "SELECT time FROM ironclaw.audit_events WHERE owner_no > 0 AND sequence > 1 ORDER BY sequence";
    let mut superuser = database.superuser().await;
    let times: Vec<OffsetDateTime> = sqlx::query_scalar(sql).fetch_all(&mut superuser).await.unwrap();
    let end = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut superuser).await.unwrap();
    assert_eq!(times.len(), began.len());
    assert!(times.iter().zip(&began).all(|(time, began)| (*began..=end).contains(time)), "{times:?} {began:?}");
}

#[tokio::test]
async fn a_list_with_one_wrong_event_appends_none() {
    let (_database, store, mut application) = opened().await;
    for (wrong, code) in [
        // The second event lacks a commitment, has one that is too short, an outcome or an action that there is not.
        (
            "'{600,600}', '{0,0}', '{\"\",\"\"}', ARRAY[sha256('')], ARRAY[sha256(''), sha256('')], '{\"\",\"\"}'",
            "23502",
        ),
        (
            "'{600,600}', '{0,0}', '{\"\",\"\"}', ARRAY[sha256(''), ''], ARRAY[sha256(''), sha256('')], '{\"\",\"\"}'",
            "23514",
        ),
        (
            "'{600,600}', '{0,3}', '{\"\",\"\"}', ARRAY[sha256(''), sha256('')], ARRAY[sha256(''), sha256('')], '{\"\",\"\"}'",
            "23514",
        ),
        (
            "'{600,65536}', '{0,0}', '{\"\",\"\"}', ARRAY[sha256(''), sha256('')], ARRAY[sha256(''), sha256('')], '{\"\",\"\"}'",
            "23514",
        ),
        (
            "'{600,600}', '{0,0}', '{\"\",\"x\"}', ARRAY[sha256(''), sha256('')], ARRAY[sha256(''), sha256('')], '{\"\",\"\"}'",
            "23514",
        ),
    ] {
        begin(&mut application, &in_person("ada")).await;
        assert_eq!(
            run(&mut application, &format!("SELECT ironclaw.append_audit({wrong})")).await,
            Err(code.to_owned())
        );
        must(&mut application, "COMMIT").await;
    }
    assert_eq!(verified(&store).await, 1);
}

#[tokio::test]
async fn only_the_user_in_person_forgets_and_only_what_may_be_forgotten() {
    let (database, store, mut application) = opened().await;
    let create = ConversationOp::Create { id: ConversationId::make(&SystemClock), title: "plans".into() };
    store.apply(&ada(), Change::new().with(create)).await.unwrap();
    let bob = Scope::user(UserId::parse("bob").unwrap());
    let create = ConversationOp::Create { id: ConversationId::make(&SystemClock), title: "plans".into() };
    store.apply(&bob, Change::new().with(create)).await.unwrap();
    let forget = "SELECT ironclaw.forget_audit(ARRAY(SELECT generate_series(0, 65535)))";
    for chain in [BY_AGENT, "", "[]", "{}", "null", r#"[[2,"writer"]]"#, r#"[[2,"ada"]]"#, r#"[[1,"bob"]]"#, "[[1]]"] {
        begin(&mut application, chain).await;
        assert!(run(&mut application, forget).await.is_err(), "{chain}");
        must(&mut application, "ROLLBACK").await;
    }
    let mut superuser = database.superuser().await;
    assert_eq!(must(&mut superuser, "SELECT FROM ironclaw.audit_private").await, 3);
    begin(&mut application, &in_person("ada")).await;
    let forgotten: i64 = sqlx::query_scalar("SELECT ironclaw.forget_audit(ARRAY(SELECT generate_series(0, 65535)))")
        .fetch_one(&mut application)
        .await
        .unwrap();
    must(&mut application, "COMMIT").await;
    assert_eq!(forgotten, 1, "that of the conversation, not that of the setting");
    let trail = trail(&store).await;
    let left: Vec<_> = trail.iter().map(|entry| (entry.event.action, entry.private.is_some())).collect();
    assert_eq!(left, [(Action::SettingPut, true), (Action::ConversationCreate, false)]);
    assert_eq!(verified(&store).await, 2);
    assert_eq!(must(&mut superuser, "SELECT FROM ironclaw.audit_private").await, 2, "bob's is there");
}
