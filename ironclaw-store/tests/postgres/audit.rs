//! The audit trail is appended through its function only, and the function tells the truth.

use std::collections::BTreeMap;
use std::time::Duration;

use ironclaw_core::audit::{commitment, private_bytes};
use ironclaw_core::change::{ConversationOp, PrivacyOp, SettingOp};
use ironclaw_core::id::{ConversationId, ErasureId, HoldId, OperatorName, TenantId, UserId};
use ironclaw_core::maintenance::{Maintenance, SystemChange};
use ironclaw_core::model::audit::{
    Action, AuditEntry, AuditFilter, AuditPrivate, AuditRecord, PrincipalKind, SubjectKind,
};
use ironclaw_core::model::privacy::Hold;
use ironclaw_core::scope::RequestContext;
use ironclaw_core::store::{Apply, StoreErrorKind, VaultStore};
use ironclaw_core::{Change, Clock, PageRequest, Scope, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use sqlx::PgConnection;
use sqlx::types::time::OffsetDateTime;

use crate::database::{Database, app_url, operator_url};
use crate::raw::{DENIED, application, enter, in_person, must, run};

ironclaw_testing::tests![
    what_raw_sql_appends_is_part_of_the_chain,
    without_a_scope_nothing_is_appended,
    nobody_poses_as_somebody_else,
    an_event_cannot_be_given_another_time,
    time_does_not_run_backwards_in_a_chain,
    a_list_with_one_wrong_event_appends_none,
    the_server_knows_the_stores_actions_and_kinds_of_subjects,
    what_a_newer_program_did_is_read_and_forgotten_like_all_else,
    the_server_takes_every_private_part_that_the_store_makes,
    verification_names_every_chain_that_was_changed,
    the_server_commits_as_the_store_does,
    only_the_user_in_person_forgets_and_only_what_may_be_forgotten,
    what_makes_a_transaction_an_operators_is_nobody_elses_to_set,
    nothing_is_appended_while_a_user_is_erased,
    what_a_hold_protects_is_not_forgotten,
    what_an_operator_waited_for_came_before,
];

/// A user acting through an agent.
const BY_AGENT: &str = r#"[[1,"ada"],[2,"writer"]]"#;

fn ada() -> Scope {
    Scope::user("ada").unwrap()
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
    store.audit().events(&ada(), &AuditFilter::default(), &PageRequest::first(100).unwrap()).await.unwrap().items
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

/// What events say in private.
fn private(said: &str) -> Vec<u8> {
    let details = BTreeMap::from([("said".to_owned(), said.to_owned())]);
    private_bytes(&AuditPrivate::new(details, RequestContext::default()))
}

/// A literal of bytes.
fn literal(bytes: &[u8]) -> String {
    format!("'\\x{}'::bytea", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// A call of the function, for events that say something in private.
fn append(actions: &[Action], said: &str) -> String {
    let column = |value: String| vec![value; actions.len()].join(", ");
    let codes: Vec<_> = actions.iter().map(|action| action.code().to_string()).collect();
    format!(
        "SELECT ironclaw.append_audit(ARRAY[{}], ARRAY[{}]::smallint[], ARRAY[{}], ARRAY[{}], ARRAY[{}])",
        codes.join(", "),
        column("0".to_owned()),
        column(literal(&[])),
        column(literal(&[7; 32])),
        column(literal(&private(said)))
    )
}

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

async fn an_event_cannot_be_given_another_time() {
    let (database, store, mut application) = opened().await;
    let mut before: Vec<OffsetDateTime> = Vec::new();
    for time in ["'2000-01-01'", "'2999-12-31'", "'infinity'", "now()::text", "'noon or so'", "''"] {
        begin(&mut application, &in_person("ada")).await;
        // The time at which the transaction or its scope began would be a time of the caller's choice too.
        let now = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut application);
        before.push(now.await.unwrap());
        must(&mut application, &format!("SELECT set_config('ironclaw.now', {time}, true)")).await;
        must(&mut application, &append(&[Action::SecretUse], "")).await;
        must(&mut application, "COMMIT").await;
    }
    let mut superuser = database.superuser().await;
    let end = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut superuser).await.unwrap();
    let sql = "SELECT time FROM ironclaw.audit_events WHERE owner_no > 0 AND sequence > 1 ORDER BY sequence";
    let times: Vec<OffsetDateTime> = sqlx::query_scalar(sql).fetch_all(&mut superuser).await.unwrap();
    assert_eq!(times.len(), before.len());
    assert!(times.iter().zip(&before).all(|(time, before)| (*before..=end).contains(time)), "{times:?} {before:?}");
    assert_eq!(verified(&store).await, 1 + before.len() as u64);
}

async fn time_does_not_run_backwards_in_a_chain() {
    let (database, _store, mut application) = opened().await;
    let mut superuser = database.superuser().await;
    // As if the server's clock had been set back since.
    must(&mut superuser, "UPDATE ironclaw.audit_events SET time = '2999-12-31' WHERE owner_no = 1").await;
    begin(&mut application, &in_person("ada")).await;
    must(&mut application, &append(&[Action::SecretUse, Action::SecretUse], "")).await;
    must(&mut application, "COMMIT").await;
    let at_once = "SELECT FROM ironclaw.audit_events WHERE owner_no = 1 AND time = '2999-12-31'";
    assert_eq!(must(&mut superuser, at_once).await, 3);
}

async fn a_list_with_one_wrong_event_appends_none() {
    let (_database, store, mut application) = opened().await;
    let salt = literal(&[7; 32]);
    let plain = literal(&private("something"));
    let json = |text: &str| literal(text.as_bytes());
    let request = r#""request":{"id":null,"ip":null,"user_agent":null}"#;
    // The second event of two: its action, outcome, subjects, salt and private part, and what the server says of it.
    let mut cases = vec![
        ("600".to_owned(), "3", literal(&[]), salt.clone(), plain.clone(), "23514"),
        ("600".to_owned(), "NULL", literal(&[]), salt.clone(), plain.clone(), "23502"),
    ];
    for action in ["NULL", "-1", "0", "99", "800", "805", "817", "899", "1000", "65535", "66136"] {
        cases.push((action.to_owned(), "0", literal(&[]), salt.clone(), plain.clone(), "22023"));
    }
    for subjects in [vec![1], vec![0; 17], vec![128; 17], [[1; 17], [255; 17]].concat(), vec![1; 16], vec![1; 18]] {
        cases.push(("600".to_owned(), "0", literal(&subjects), salt.clone(), plain.clone(), "22023"));
    }
    for salt in ["NULL".to_owned(), literal(&[]), literal(&[7; 31]), literal(&[7; 33])] {
        cases.push(("600".to_owned(), "0", literal(&[]), salt, plain.clone(), "22023"));
    }
    for (private, code) in [
        ("NULL".to_owned(), "22023"),
        (literal(&[]), "22P02"),
        (literal(&[0xff]), "22021"),
        (literal(&[0]), "22021"),
        (json("{"), "22P02"),
        (json("{}"), "22023"),
        (json("[]"), "22023"),
        (json("null"), "22023"),
        (json(r#"{"details":{}}"#), "22023"),
        (json(&format!(r#"{{"details":[],{request}}}"#)), "22023"),
        (json(&format!(r#"{{"details":null,{request}}}"#)), "22023"),
        (json(&format!(r#"{{"details":{{"path":1}},{request}}}"#)), "22023"),
        (json(&format!(r#"{{"details":{{}},{request},{request}}}"#)), "22023"),
        (json(&format!(r#"{{"details":{{"path":"\ud800"}},{request}}}"#)), "22P02"),
        (json(r#"{"details":{},"request":null}"#), "22023"),
        (json(r#"{"details":{},"request":{"id":1,"ip":null,"user_agent":null}}"#), "22023"),
        (json(r#"{"details":{},"request":{"id":null,"ip":"10.0.0.0/8","user_agent":null}}"#), "22023"),
        (json(r#"{"details":{},"request":{"id":null,"ip":"010.0.0.1","user_agent":null}}"#), "22023"),
        (json(r#"{"details":{},"request":{"id":null,"ip":"1.2.3","user_agent":null}}"#), "22023"),
        (json(r#"{"details":{},"request":{"id":null,"ip":"ff::0.1.0","user_agent":null}}"#), "22023"),
    ] {
        cases.push(("600".to_owned(), "0", literal(&[]), salt.clone(), private, code));
    }
    for (action, outcome, subjects, wrong_salt, private, code) in cases {
        let call = format!(
            "SELECT ironclaw.append_audit(ARRAY[600, {action}], ARRAY[0, {outcome}]::smallint[], \
             ARRAY['', {subjects}], ARRAY[{salt}, {wrong_salt}], ARRAY[{plain}, {private}])"
        );
        begin(&mut application, &in_person("ada")).await;
        assert_eq!(run(&mut application, &call).await, Err(code.to_owned()), "{call}");
        must(&mut application, "COMMIT").await;
    }
    // Nor may one of the lists be longer or shorter than the others.
    let whole = ["ARRAY[600]", "ARRAY[0]::smallint[]", "ARRAY[''::bytea]"].map(str::to_owned);
    let whole = [whole.as_slice(), &[format!("ARRAY[{salt}]"), format!("ARRAY[{plain}]")]].concat();
    for list in 0..whole.len() {
        for other in ["NULL".to_owned(), "'{}'".to_owned(), format!("{0} || {0}", whole[list])] {
            let mut lists = whole.clone();
            lists[list] = other;
            let call = format!("SELECT ironclaw.append_audit({})", lists.join(", "));
            begin(&mut application, &in_person("ada")).await;
            assert_eq!(run(&mut application, &call).await, Err("22023".to_owned()), "{call}");
            must(&mut application, "COMMIT").await;
        }
    }
    assert_eq!(verified(&store).await, 1);
    assert_eq!(trail(&store).await.len(), 1);
}

async fn the_server_knows_the_stores_actions_and_kinds_of_subjects() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    for is_system in [false, true] {
        let sql = "SELECT code FROM generate_series(0, 65535) code WHERE ironclaw.is_action(code, $1) ORDER BY code";
        let known: Vec<i32> = sqlx::query_scalar(sql).bind(is_system).fetch_all(&mut superuser).await.unwrap();
        let actions = (0..=u16::MAX).filter_map(Action::from_code).filter(|action| action.is_operators() == is_system);
        assert_eq!(known, actions.map(|action| i32::from(action.code())).collect::<Vec<_>>());
        assert!(Action::ALL.iter().all(|action| action.is_operators() == action.name().starts_with("system.")));
    }
    let sql = "SELECT code FROM generate_series(0, 255) code \
               WHERE ironclaw.is_subjects(set_byte(decode(repeat('00', 17), 'hex'), 0, code)) ORDER BY code";
    let known: Vec<i32> = sqlx::query_scalar(sql).fetch_all(&mut superuser).await.unwrap();
    let kinds = (0..=255).filter(|code| SubjectKind::from_code(*code).is_some());
    assert_eq!(known, kinds.map(i32::from).collect::<Vec<_>>());
}

/// A newer program and this one may be at work at once.
async fn what_a_newer_program_did_is_read_and_forgotten_like_all_else() {
    let (database, store, mut application) = opened().await;
    let actions = [(150, 90), (650, 127)].map(|(action, kind)| (Action::Unknown(action), SubjectKind::Unknown(kind)));
    for (action, kind) in actions {
        let subject = [&[kind.code()], [7; 16].as_slice()].concat();
        begin(&mut application, &in_person("ada")).await;
        must(&mut application, &append(&[action], "new").replacen(&literal(&[]), &literal(&subject), 1)).await;
        must(&mut application, "COMMIT").await;
    }
    let of_these = async || -> Vec<AuditEntry> { trail(&store).await.into_iter().skip(1).take(2).collect() };
    for (entry, (action, kind)) in of_these().await.iter().zip(actions) {
        assert_eq!((entry.event.action, entry.event.subjects[0].kind), (action, kind));
        assert_eq!(entry.event.action.name(), "unknown");
        assert_eq!(entry.private.as_ref().unwrap().details["said"], "new");
    }
    assert_eq!(verified(&store).await, 3);
    // Nobody reports what this program has no name for.
    let report = store.apply(&ada(), Change::new().event(AuditRecord::new(Action::Unknown(650)))).await;
    assert!(matches!(report.unwrap_err().kind(), StoreErrorKind::InvalidInput(_)));
    store.apply(&ada(), Change::new().with(PrivacyOp::Forget)).await.unwrap();
    let kept: Vec<_> = of_these().await.iter().map(|entry| entry.private.is_some()).collect();
    assert_eq!(kept, [false, true], "conversations are forgotten, settings are not");
    assert_eq!(operator(&database).await.check_integrity().await.unwrap(), Vec::<String>::new());
}

async fn the_server_takes_every_private_part_that_the_store_makes() {
    let (_database, store, _) = opened().await;
    let details = [
        ("empty", String::new()),
        ("quoted", "\"\\ \u{7f}\t\u{1}".to_owned()),
        ("wide", "\u{e9}\u{1f600}\u{fffd}".to_owned()),
        ("long", "x".repeat(1_000)),
    ];
    for (number, ip) in
        [None, Some("10.0.0.1"), Some("::1"), Some("::ffff:10.0.0.1"), Some("2001:db8::a0:1")].into_iter().enumerate()
    {
        let ip = ip.map(|ip| ip.parse().unwrap());
        let request = RequestContext::new(ip.map(|_| "r\u{1}1".to_owned()), ip, Some("agent/1".to_owned())).unwrap();
        let mut record = AuditRecord::new(Action::HostEvent).on(SubjectKind::Stream, [number as u8; 16]);
        record.details.extend(details.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let scope = ada().in_request(request.clone());
        store.apply(&scope, Change::new().event(record.clone())).await.unwrap();
        let last = trail(&store).await.pop().unwrap();
        assert_eq!(last.private, Some(AuditPrivate::new(record.details, request)));
    }
    // Every hash and every commitment, which the server made, is as the store makes it.
    assert_eq!(verified(&store).await, 6);
}

async fn verification_names_every_chain_that_was_changed() {
    let (database, store, _) = opened().await;
    for owner in ["bob", "cid"] {
        let put = SettingOp::Put { key: "theme".parse().unwrap(), value: "dark".into() };
        store.apply(&Scope::user(owner).unwrap(), Change::new().with(put)).await.unwrap();
    }
    let mut superuser = database.superuser().await;
    let sql = "UPDATE ironclaw.audit_events SET outcome = 2 WHERE owner_no IN (1, 3)";
    assert_eq!(must(&mut superuser, sql).await, 2);
    let error = operator(&database).await.verify_audit().await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Corrupt, "{error}");
    let sql = "SELECT encode(stream, 'hex') FROM ironclaw.audit_streams ORDER BY owner_no";
    let streams: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut superuser).await.unwrap();
    let named: Vec<_> = streams.iter().map(|stream| error.to_string().contains(stream)).collect();
    assert_eq!(named, [false, true, false, true], "{error}");
}

async fn the_server_commits_as_the_store_does() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    for length in [0, 1, 55, 56, 63, 64, 65, 1_000] {
        let salt: [u8; 32] = std::array::from_fn(|at| (at * 37 + length) as u8);
        let private: Vec<u8> = (0..length).map(|at| (at * 11) as u8).collect();
        let sql = sqlx::query_scalar("SELECT ironclaw.commitment($1, $2)").bind(salt.as_slice()).bind(&private);
        let committed: Vec<u8> = sql.fetch_one(&mut superuser).await.unwrap();
        assert_eq!(committed, commitment(&salt, &private), "{length}");
    }
}

async fn only_the_user_in_person_forgets_and_only_what_may_be_forgotten() {
    let (database, store, mut application) = opened().await;
    let create = ConversationOp::Create { id: ConversationId::make(&SystemClock), title: "plans".into() };
    store.apply(&ada(), Change::new().with(create)).await.unwrap();
    let bob = Scope::user("bob").unwrap();
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

/// Makes a user known besides ada.
async fn bob_is_known(store: &PostgresStore) {
    let put = SettingOp::Put { key: "theme".parse().unwrap(), value: "dark".into() };
    store.apply(&Scope::user("bob").unwrap(), Change::new().with(put)).await.unwrap();
}

async fn operator(database: &Database) -> PostgresMaintenance {
    PostgresMaintenance::connect(&operator_url(database.name()), OperatorName::parse("root").unwrap()).await.unwrap()
}

async fn what_makes_a_transaction_an_operators_is_nobody_elses_to_set() {
    let (_database, store, mut application) = opened().await;
    bob_is_known(&store).await;
    // In ada's scope, with all that would be bob's had his been entered.
    for call in [append(&[Action::SecretUse], "by bob").as_str(), "SELECT ironclaw.forget_audit('{100}')"] {
        begin(&mut application, &in_person("bob")).await;
        must(&mut application, "SET LOCAL ironclaw.maintenance = 'on'; SET LOCAL ironclaw.owner_no = '2'").await;
        assert_eq!(run(&mut application, call).await, Err(DENIED.to_owned()), "{call}");
        must(&mut application, "ROLLBACK").await;
    }
}

async fn nothing_is_appended_while_a_user_is_erased() {
    let (database, _store, mut application) = opened().await;
    // Whoever only reads takes no lock by entering.
    must(&mut application, "BEGIN").await;
    assert!(enter(&mut application, "default", "ada").await);
    must(&mut application, &append(&[Action::SecretUse], "to be erased")).await;
    let maintenance = operator(&database).await;
    let erase = SystemChange::EraseUser {
        tenant: TenantId::default_tenant(),
        owner: UserId::parse("ada").unwrap().into(),
        id: ErasureId::make(&SystemClock),
    };
    let erasing = tokio::spawn(async move { maintenance.apply_system(erase).await });
    let mut superuser = database.superuser().await;
    let waiting =
        format!("SELECT FROM pg_stat_activity WHERE datname = '{}' AND wait_event_type = 'Lock'", database.name());
    while !erasing.is_finished() && must(&mut superuser, &waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    must(&mut application, "COMMIT").await;
    erasing.await.unwrap().unwrap();
    assert_eq!(must(&mut superuser, "SELECT FROM ironclaw.audit_private WHERE owner_no = 1").await, 0);
}

async fn what_a_hold_protects_is_not_forgotten() {
    let (database, store, mut application) = opened().await;
    let create = ConversationOp::Create { id: ConversationId::make(&SystemClock), title: "plans".into() };
    store.apply(&ada(), Change::new().with(create)).await.unwrap();
    // A transaction that sees what was there before the hold was placed.
    let mut older = crate::raw::application(database.name()).await;
    must(&mut older, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    assert!(enter(&mut older, "default", "ada").await);
    let id = HoldId::make(&SystemClock);
    let hold = Hold::new(id, TenantId::default_tenant(), UserId::parse("ada").unwrap(), "case 12", SystemClock.now());
    let maintenance = operator(&database).await;
    maintenance.apply_system(SystemChange::PlaceHold { hold }).await.unwrap();
    let forget = "SELECT ironclaw.forget_audit('{100}')";
    assert_eq!(run(&mut older, forget).await, Err("25001".to_owned()));
    begin(&mut application, &in_person("ada")).await;
    assert_eq!(run(&mut application, forget).await, Err(DENIED.to_owned()));
    must(&mut application, "ROLLBACK").await;
    let left = "SELECT FROM ironclaw.audit_private WHERE owner_no = 1";
    let mut superuser = database.superuser().await;
    assert_eq!(must(&mut superuser, left).await, 2);
    maintenance.apply_system(SystemChange::ReleaseHold { id }).await.unwrap();
    begin(&mut application, &in_person("ada")).await;
    must(&mut application, &format!("{forget}; COMMIT")).await;
    assert_eq!(must(&mut superuser, left).await, 1);
}

/// Whoever reads the times sees what came first.
async fn what_an_operator_waited_for_came_before() {
    let (database, _store, mut application) = opened().await;
    let operator = operator(&database).await;
    let change = |hold| SystemChange::PlaceHold { hold };
    let hold = Hold::new(
        HoldId::make(&SystemClock),
        ada().tenant().clone(),
        ada().owner().clone(),
        "a claim",
        SystemClock.now(),
    );
    must(&mut application, "BEGIN").await;
    let writes = r#"SELECT FROM ironclaw.enter_to_write('default', 'ada', '[[1,"ada"]]', '5000')"#;
    assert_eq!(must(&mut application, writes).await, 1);
    let placing = tokio::spawn(async move { operator.apply_system(change(hold)).await });
    let mut superuser = database.superuser().await;
    let waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while must(&mut superuser, waits).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before: OffsetDateTime =
        sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut superuser).await.unwrap();
    must(&mut application, "COMMIT").await;
    let placed = placing.await.unwrap().unwrap().at;
    assert!(i128::from(placed.as_micros()) * 1_000 >= before.unix_timestamp_nanos(), "{placed:?} is before {before}");
    let sql = "SELECT created_at FROM ironclaw.holds";
    let created: OffsetDateTime = sqlx::query_scalar(sql).fetch_one(&mut superuser).await.unwrap();
    assert!(created >= before, "{created} is before {before}");
}
