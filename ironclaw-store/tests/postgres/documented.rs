//! What `docs/audit.md` has auditors and operators ask of a server is answered as it says.

use std::fs;
use std::process::Command;

use ironclaw_core::change::{ConversationOp, SecretOp};
use ironclaw_core::id::{ConversationId, DataKeyId, ErasureId, OperatorName, TenantId, UserId};
use ironclaw_core::maintenance::{Maintenance, SystemChange};
use ironclaw_core::model::access::UserStatus;
use ironclaw_core::model::audit::{Action, AuditCheckpoint, AuditRecord, Outcome};
use ironclaw_core::model::secrets::{Algorithm, PutSecret, Sealed, WrappedKey};
use ironclaw_core::store::Apply;
use ironclaw_core::{Change, Clock, Principal, Scope, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::database::{Database, app_url, auditor_url, cluster, operator_url};
use crate::raw::must;

ironclaw_testing::tests![
    an_auditor_gets_answers,
    an_auditor_sees_what_was_changed_cut_off_or_made_up,
    an_auditor_compares_heads_that_were_kept,
    an_operator_tells_names,
    the_codes_are_those_of_the_trail,
];

const PAGE: &str = include_str!("../../../docs/audit.md");

/// The blocks of the page that begin with this line.
fn blocks(first: &str) -> Vec<&'static str> {
    let blocks = PAGE.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.split_once('\n')?.1.strip_prefix(first)).collect()
}

/// The one query of the page for auditors that has this in it.
fn query(part: &str) -> &'static str {
    let found: Vec<_> = blocks("-- as an auditor\n").into_iter().filter(|block| block.contains(part)).collect();
    let [query] = found[..] else { panic!("{} queries have {part}", found.len()) };
    query
}

async fn ask(connection: &mut PgConnection, sql: &str) -> Vec<PgRow> {
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.unwrap_or_else(|error| panic!("{error}: {sql}"))
}

/// A column of text.
fn column(rows: &[PgRow], name: &str) -> Vec<String> {
    rows.iter().map(|row| row.get::<Option<String>, _>(name).unwrap_or_default()).collect()
}

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

/// A database in which there is something of everything: a secret that ada's agent used and was refused, a user who was
/// erased, what an operator did, and a checkpoint.
async fn filled() -> (Database, PgConnection) {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let (id, name) = (DataKeyId::make(&SystemClock), "api".parse().unwrap());
    let (algorithm, nonce) = (Algorithm::Aes256Gcm, vec![0; 12]);
    let wrapped = WrappedKey::new(1, algorithm, nonce.clone(), vec![0; 48]);
    let sealed = Sealed::new(1, algorithm, id, nonce, vec![0; 40]).salt(vec![0; 32]);
    let secret = PutSecret::new(name, 1, sealed);
    let name = secret.name.clone();
    let put = Change::new()
        .with(SecretOp::PutDataKey { id, number: 1, root_key: 1, wrapped })
        .with(SecretOp::Put { secret: Box::new(secret) });
    store.apply(&ada(), put).await.unwrap();
    let by_agent = ada().acting(Principal::agent("assistant").unwrap());
    store.apply(&by_agent, Change::new().with(SecretOp::Use { name, number: 1 })).await.unwrap();
    let denied = AuditRecord::new(Action::SecretUse).with_outcome(Outcome::Denied).detail("secret", "api");
    store.apply(&by_agent, Change::new().event(denied)).await.unwrap();
    let bob = UserId::parse("bob").unwrap();
    let begin = ConversationOp::Create { id: ConversationId::make(&SystemClock), title: "Launch".to_owned() };
    store.apply(&Scope::of(bob.clone()), Change::new().with(begin)).await.unwrap();
    let operator = OperatorName::parse("olga").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    let (tenant, owner, status) = (TenantId::default_tenant(), UserId::parse("ada").unwrap(), UserStatus::Active);
    let checkpoint = AuditCheckpoint::new(5, [7; 32], "n", SystemClock.now());
    for change in [
        SystemChange::PutUser { tenant: tenant.clone(), owner, status, roles: vec![] },
        SystemChange::EraseUser { tenant, owner: bob.into(), id: ErasureId::make(&SystemClock) },
        SystemChange::PutCheckpoint { checkpoint },
    ] {
        maintenance.apply_system(change).await.unwrap();
    }
    let auditor = PgConnection::connect(&auditor_url(database.name())).await.unwrap();
    (database, auditor)
}

async fn an_auditor_gets_answers() {
    let (_database, mut auditor) = filled().await;
    for block in blocks("-- as an auditor\n") {
        ask(&mut auditor, block).await;
    }
    let done = ask(&mut auditor, query("AS principals")).await;
    let outcomes = column(&done, "outcome");
    assert_eq!(outcomes.len(), 8, "two of ada's, two of her agent's, one of bob's, three of the operator's");
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "denied").count(), 1);
    let principals = column(&done, "principals");
    assert_eq!(principals.iter().filter(|who| who.starts_with("user ") && who.contains(" > agent ")).count(), 2);
    assert_eq!(principals.iter().filter(|who| who.starts_with("operator ")).count(), 3);

    let operators = ask(&mut auditor, query("AS operator")).await;
    let chains = column(&operators, "chains");
    assert_eq!(chains.iter().map(|chain| chain.len()).collect::<Vec<_>>(), [0, 32, 32], "{chains:?}");
    let denied = ask(&mut auditor, query("AS denied")).await;
    assert_eq!(column(&denied, "chain"), [chains[2].as_str()], "ada's");
    let used = ask(&mut auditor, query("AS uses")).await;
    assert_eq!(column(&used, "chain"), [chains[2].as_str()]);
    let proofs = ask(&mut auditor, query("ironclaw.erasures")).await;
    assert_eq!(column(&proofs[..1], "chain"), [chains[1].as_str()], "bob's");
    assert_eq!(column(&proofs[1..], "root"), ["07".repeat(32)]);
}

async fn an_auditor_sees_what_was_changed_cut_off_or_made_up() {
    const GAPS: &str = "lag(a.sequence";
    for (change, sequence, wrong) in [
        ("UPDATE ironclaw.audit_events SET outcome = 0 WHERE outcome = 1", 4, "is not what its hash says"),
        (
            "UPDATE ironclaw.audit_events SET time = time - interval '1s' WHERE owner_no = 0 AND sequence = 2",
            2,
            "is not what",
        ),
        ("DELETE FROM ironclaw.audit_events WHERE owner_no = 1 AND sequence = 2", 3, "events before it are missing"),
        ("DELETE FROM ironclaw.audit_events WHERE owner_no = 1 AND sequence = 4", 4, "ends otherwise"),
        ("UPDATE ironclaw.audit_streams SET hash = sha256('') WHERE owner_no = 1", 4, "ends otherwise"),
        (
            "UPDATE ironclaw.audit_events SET previous = sha256('') WHERE owner_no = 1 AND sequence = 3",
            3,
            "does not follow",
        ),
    ] {
        let (database, mut auditor) = filled().await;
        assert_eq!(ask(&mut auditor, query(GAPS)).await.len(), 0, "the chains are whole");
        must(&mut database.superuser().await, change).await;
        let found = ask(&mut auditor, query(GAPS)).await;
        let [row] = &found[..] else { panic!("{} findings after {change}", found.len()) };
        assert_eq!(row.get::<i64, _>("sequence"), sequence, "{change}");
        assert!(row.get::<String, _>("wrong").contains(wrong), "{change}");
    }
}

async fn an_auditor_compares_heads_that_were_kept() {
    let (database, _auditor) = filled().await;
    let shell = blocks("# desk\n");
    let [keep, compare] = shell[..] else { panic!("{shell:?}") };
    let folder = tempfile::tempdir().unwrap();
    let path = format!("{}:{}", cluster().bin_dir().display(), std::env::var("PATH").unwrap());
    let run = |script: &str| {
        let script = format!("set -eu\n{script}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(folder.path());
        shell.env("PATH", &path).env("DATABASE_URL", auditor_url(database.name())).env("LC_ALL", "C");
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(keep);
    let kept = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let heads = fs::read_to_string(&kept).unwrap();
    assert_eq!(heads.lines().count(), 3, "{heads}");
    fs::rename(kept, folder.path().join("heads-2026-11-29.csv")).unwrap();

    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let begin = ConversationOp::Create { id: ConversationId::make(&SystemClock), title: "Landing".to_owned() };
    store.apply(&ada(), Change::new().with(begin)).await.unwrap();
    assert_eq!(run(compare), "", "the chains went on");
    // A chain that was cut off, and its head with it, is whole in itself.
    let cut = "DELETE FROM ironclaw.audit_events WHERE owner_no = 1 AND sequence > 3; UPDATE ironclaw.audit_streams s \
               SET sequence = 3, hash = e.hash FROM ironclaw.audit_events e \
               WHERE s.owner_no = 1 AND e.owner_no = 1 AND e.sequence = 3";
    must(&mut database.superuser().await, cut).await;
    let missing = run(compare);
    assert_eq!(missing.lines().count(), 1, "{missing}");
    assert!(heads.contains(missing.trim_end()) && missing.contains(",4,"), "{missing}");
}

async fn an_operator_tells_names() {
    let (database, mut auditor) = filled().await;
    let found = blocks("-- as an operator\n");
    let [block] = found[..] else { panic!("{found:?}") };
    let mut operator = PgConnection::connect(&operator_url(database.name())).await.unwrap();
    let rows = ask(&mut operator, block).await;
    let having = |name: &str| rows.iter().filter(|row| row.try_get_raw(name).is_ok()).collect::<Vec<_>>();
    let owners: Vec<String> = having("owner").iter().map(|row| row.get("owner")).collect();
    assert_eq!(owners, ["ada"], "bob was erased");
    let names: Vec<String> = having("name").iter().map(|row| row.get("name")).collect();
    assert_eq!(names, ["assistant", "olga"]);
    let used = having("secret");
    let said: Vec<[String; 3]> =
        used.iter().map(|row| ["secret", "outcome", "principals"].map(|name| row.get(name))).collect();
    let expected = ["success", "denied"].map(|outcome| ["api", outcome, "in person > assistant"].map(str::to_owned));
    assert_eq!(said, expected);
    // No auditor gets them.
    let refused = sqlx::raw_sql(AssertSqlSafe(block)).fetch_all(&mut auditor).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"));
}

async fn the_codes_are_those_of_the_trail() {
    let page = PAGE.split_whitespace().collect::<Vec<_>>().join(" ");
    for (action, said) in [(Action::SecretUse, "401 is the use"), (Action::UserErase, "811 the erasure")] {
        assert!(page.contains(said) && said.starts_with(&action.code().to_string()), "{said}");
    }
    for action in Action::ALL {
        let hundreds = match action.name().split('.').next().unwrap() {
            "privacy" => "forgetting",
            "system" => "operators",
            "host" => "the host",
            category => category,
        };
        let said = format!("{hundreds} ({})", action.code() / 100);
        assert!(page.contains(&said), "{said}");
    }
}
