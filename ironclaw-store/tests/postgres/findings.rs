//! What the check finds that is no part of the schema's definition, and how it tells it.

use ironclaw_core::conformance::store::Sample;
use ironclaw_core::id::OperatorName;
use ironclaw_core::{Clock, Maintenance, Scope, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};

use crate::database::{Database, app_url, operator_url};
use crate::definitions::OF_A_MODEL;
use crate::raw::{Role, must};

ironclaw_testing::tests![
    what_stands_elsewhere_is_named,
    an_index_that_was_left_unfinished_is_named,
    a_table_of_another_owner_is_told_as_that,
    a_number_in_use_is_not_given_again,
    no_number_that_leaves_no_room_is_advised,
    a_name_makes_no_lines_of_its_own,
];

/// What others may make over the store's tables: how, how it is taken back, and what is said of it.
const ELSEWHERE: [(&str, &str, &str); 25] = [
    (
        "CREATE VIEW public.report AS SELECT owner_no FROM ironclaw.messages",
        "DROP VIEW public.report",
        "view public.report: no migration made it (of messages)",
    ),
    (
        "CREATE MATERIALIZED VIEW public.report AS \
         SELECT u.owner FROM ironclaw.users u JOIN ironclaw.jobs USING (owner_no)",
        "DROP MATERIALIZED VIEW public.report",
        "materialized view public.report: no migration made it (of jobs, users)",
    ),
    (
        "CREATE TABLE public.its (); CREATE RULE its AS ON INSERT TO public.its DO ALSO DELETE FROM ironclaw.holds",
        "DROP TABLE public.its",
        "rule its on public.its: no migration made it (of holds)",
    ),
    (
        "CREATE TABLE public.its (user_no bigint REFERENCES ironclaw.users)",
        "DROP TABLE public.its",
        "table constraint its_user_no_fkey on public.its: no migration made it (of users)",
    ),
    (
        "CREATE TABLE public.its () INHERITS (ironclaw.settings)",
        "DROP TABLE public.its",
        "table public.its: no migration made it (of settings)",
    ),
    (
        "CREATE TABLE public.its (nr bigint DEFAULT nextval('ironclaw.users_owner_no_seq'))",
        "DROP TABLE public.its",
        "default value for public.its.nr: no migration made it (of users_owner_no_seq)",
    ),
    (
        "CREATE TABLE public.its (); CREATE POLICY its ON public.its USING (EXISTS (SELECT FROM ironclaw.users))",
        "DROP TABLE public.its",
        "policy its on public.its: no migration made it (of users)",
    ),
    (
        "CREATE STATISTICS public.its ON tenant, owner FROM ironclaw.users",
        "DROP STATISTICS public.its",
        "statistics object public.its: no migration made it (of users)",
    ),
    (
        "CREATE FUNCTION public.its() RETURNS bigint LANGUAGE sql SECURITY DEFINER \
         BEGIN ATOMIC SELECT count(*) FROM ironclaw.users; END",
        "DROP FUNCTION public.its",
        "function public.its(): no migration made it (of users)",
    ),
    (
        "CREATE FUNCTION public.its() RETURNS bigint LANGUAGE sql SECURITY DEFINER \
         AS 'SELECT count(*) FROM ironclaw.users'",
        "DROP FUNCTION public.its",
        "function public.its(): no migration made it (with the rights of its owner)",
    ),
    (
        "CREATE FUNCTION public.its(what text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER \
         AS 'BEGIN EXECUTE what; END'; ALTER FUNCTION public.its OWNER TO ironclaw_owner",
        "DROP FUNCTION public.its",
        "function public.its(pg_catalog.text): no migration made it (with the rights of its owner)",
    ),
    (
        "CREATE PUBLICATION its FOR TABLE ironclaw.messages",
        "DROP PUBLICATION its",
        "publication relation ironclaw.messages in publication its: no migration made it",
    ),
    (
        "CREATE PUBLICATION its FOR TABLES IN SCHEMA ironclaw",
        "DROP PUBLICATION its",
        "publication namespace ironclaw in publication its: no migration made it",
    ),
    (
        "CREATE PUBLICATION its FOR ALL TABLES",
        "DROP PUBLICATION its",
        "publication its: no migration made it (of all tables)",
    ),
    (
        "CREATE FUNCTION public.its() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; \
         CREATE EVENT TRIGGER its ON ddl_command_end EXECUTE FUNCTION public.its()",
        "DROP EVENT TRIGGER its; DROP FUNCTION public.its",
        "event trigger its: no migration made it",
    ),
    (
        "CREATE TABLE public.its (); \
         CREATE TRIGGER its BEFORE INSERT ON public.its EXECUTE FUNCTION ironclaw.note_age()",
        "DROP TABLE public.its",
        "trigger its on public.its: no migration made it (of note_age)",
    ),
    (
        "CREATE TABLE public.its (whole ironclaw.users)",
        "DROP TABLE public.its",
        "table public.its: no migration made it (of users)",
    ),
    (
        "CREATE VIEW public.report WITH (security_invoker) AS SELECT owner_no FROM ironclaw.messages; \
         CREATE MATERIALIZED VIEW public.its AS SELECT * FROM public.report",
        "DROP VIEW public.report CASCADE",
        "materialized view public.its: no migration made it (of messages)",
    ),
    (
        "CREATE VIEW public.report WITH (security_invoker) AS SELECT owner_no FROM ironclaw.messages; \
         CREATE VIEW public.over AS SELECT * FROM public.report; \
         CREATE FUNCTION public.its() RETURNS bigint LANGUAGE sql SECURITY DEFINER \
         BEGIN ATOMIC SELECT count(*) FROM public.over; END",
        "DROP VIEW public.report CASCADE",
        "function public.its(): no migration made it (of messages)",
    ),
    (
        "CREATE FUNCTION public.count() RETURNS bigint LANGUAGE sql \
         BEGIN ATOMIC SELECT count(*) FROM ironclaw.users; END; \
         CREATE MATERIALIZED VIEW public.its AS SELECT public.count() AS users",
        "DROP FUNCTION public.count CASCADE",
        "materialized view public.its: no migration made it (of users)",
    ),
    (
        "CREATE VIEW public.report WITH (security_invoker) AS SELECT owner_no FROM ironclaw.messages; \
         CREATE TABLE public.its (); CREATE POLICY its ON public.its USING (EXISTS (SELECT FROM public.report))",
        "DROP TABLE public.its; DROP VIEW public.report",
        "policy its on public.its: no migration made it (of messages)",
    ),
    (
        "CREATE VIEW public.report WITH (security_invoker) AS SELECT owner_no FROM ironclaw.messages; \
         CREATE TABLE public.its (); CREATE RULE its AS ON INSERT TO public.its DO ALSO SELECT * FROM public.report",
        "DROP TABLE public.its; DROP VIEW public.report",
        "rule its on public.its: no migration made it (of messages)",
    ),
    (
        "CREATE SUBSCRIPTION its CONNECTION 'dbname=none password=none' PUBLICATION its \
         WITH (connect = false, slot_name = NONE); \
         INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) \
         SELECT oid, 'ironclaw.messages'::regclass, 'r' FROM pg_subscription WHERE subname = 'its'",
        "DROP SUBSCRIPTION its",
        "subscription its: no migration made it (writes into messages)",
    ),
    (
        "CREATE FUNCTION public.its(what text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER \
         AS 'BEGIN EXECUTE what; END'; ALTER FUNCTION public.its OWNER TO ironclaw_app",
        "DROP FUNCTION public.its",
        "function public.its(pg_catalog.text): no migration made it (with the rights of its owner)",
    ),
    (
        "CREATE FUNCTION public.its(what text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER \
         AS 'BEGIN EXECUTE what; END'; ALTER FUNCTION public.its OWNER TO ironclaw_auditor",
        "DROP FUNCTION public.its",
        "function public.its(pg_catalog.text): no migration made it (with the rights of its owner)",
    ),
];

async fn what_stands_elsewhere_is_named() {
    let database = Database::fresh().await;
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    let mut superuser = database.superuser().await;
    for (make, drop, named) in ELSEWHERE {
        must(&mut superuser, make).await;
        let wrong = maintenance.check_integrity().await.unwrap();
        assert!(wrong.iter().any(|line| line.starts_with(named)), "{make}: {wrong:?}");
        must(&mut superuser, drop).await;
    }
    // What does nothing but with the rights of whoever uses it is nobody's concern.
    must(
        &mut superuser,
        "CREATE VIEW public.report WITH (security_invoker = on) AS SELECT owner_no FROM ironclaw.messages; \
         CREATE VIEW public.over AS SELECT * FROM public.report; \
         CREATE FUNCTION public.its() RETURNS bigint LANGUAGE sql \
         BEGIN ATOMIC SELECT count(*) FROM ironclaw.users; END; \
         CREATE FUNCTION public.other() RETURNS bigint LANGUAGE sql SECURITY DEFINER RETURN 1; CREATE PUBLICATION its",
    )
    .await;
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
}

async fn an_index_that_was_left_unfinished_is_named() {
    let database = Database::fresh().await;
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    let mut superuser = database.superuser().await;
    must(&mut superuser, OF_A_MODEL).await;
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    must(
        &mut superuser,
        "UPDATE pg_index SET indisvalid = false \
         WHERE indexrelid = 'ironclaw.chunk_vectors_7_00000000000000aa'::regclass",
    )
    .await;
    let wrong = maintenance.check_integrity().await.unwrap();
    assert!(wrong.iter().any(|line| line.starts_with("index chunk_vectors_7_00000000000000aa:")), "{wrong:?}");
    // One that is being made is not valid yet.
    let mut maker = database.superuser().await;
    must(&mut maker, "BEGIN; LOCK TABLE ironclaw.chunk_vectors IN SHARE UPDATE EXCLUSIVE MODE").await;
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
}

async fn a_table_of_another_owner_is_told_as_that() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    Sample::write(&store, &Scope::user("ada").unwrap(), SystemClock.now()).await.unwrap();
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    let mut superuser = database.superuser().await;
    let other = Role::new("other", "NOLOGIN").await;
    for table in ["users", "messages", "message_terms", "audit_events", "audit_streams", "entry_versions"] {
        must(&mut superuser, &format!("ALTER TABLE ironclaw.{table} OWNER TO {}", other.0)).await;
        let wrong = maintenance.check_integrity().await;
        must(&mut superuser, &format!("ALTER TABLE ironclaw.{table} OWNER TO ironclaw_owner")).await;
        let wrong = wrong.unwrap_or_else(|error| panic!("{table}: {error}"));
        let named = format!(
            "table {table}: it was changed since the migrations made it: it says \"{}\" instead of \"ironclaw_owner\"",
            other.0
        );
        assert!(wrong.contains(&named), "{table}: {wrong:#?}");
        assert!(!wrong.iter().any(|line| line.contains("GRANT")), "{table}: {wrong:#?}");
        assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new(), "{table}");
    }
}

async fn a_number_in_use_is_not_given_again() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    Sample::write(&store, &Scope::user("ada").unwrap(), SystemClock.now()).await.unwrap();
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    let mut superuser = database.superuser().await;
    // The number of a user who is gone stands in the trail.
    let of_the_gone = "INSERT INTO ironclaw.audit_streams SELECT 500, substr(sha256(stream), 1, length(stream)), \
                       sequence, hash FROM ironclaw.audit_streams LIMIT 1";
    for (sequence, spoil, mend) in [
        ("users_owner_no_seq", "SELECT setval('ironclaw.users_owner_no_seq', 1, false)", ""),
        ("users_owner_no_seq", "SELECT setval('ironclaw.users_owner_no_seq', 9223372036854775807)", ""),
        ("holds_hold_no_seq", "SELECT setval('ironclaw.holds_hold_no_seq', 9223372036854775807)", ""),
        ("users_owner_no_seq", of_the_gone, "DELETE FROM ironclaw.audit_streams WHERE owner_no = 500"),
        ("messages_message_no_seq", "ALTER SEQUENCE ironclaw.messages_message_no_seq RESTART", ""),
        ("entry_versions_version_no_seq", "ALTER SEQUENCE ironclaw.entry_versions_version_no_seq RESTART", ""),
    ] {
        must(&mut superuser, spoil).await;
        let wrong = maintenance.check_integrity().await.unwrap();
        let said = wrong.iter().find(|line| line.starts_with(&format!("sequence {sequence}: its next number is ")));
        let said = said.unwrap_or_else(|| panic!("{spoil}: {wrong:?}"));
        // As it says.
        let (_, run) = said.split_once("run ").unwrap();
        must(&mut superuser, run.split_once(" before").unwrap().0).await;
        must(&mut superuser, mend).await;
        assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new(), "{spoil}");
    }
    Sample::write(&store, &Scope::user("bob").unwrap(), SystemClock.now()).await.unwrap();
}

async fn no_number_that_leaves_no_room_is_advised() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    Sample::write(&store, &Scope::user("ada").unwrap(), SystemClock.now()).await.unwrap();
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    let mut superuser = database.superuser().await;
    for number in [i64::MAX, i64::MAX - 1, i64::MAX / 2 + 2] {
        let spoil = format!(
            "INSERT INTO ironclaw.audit_streams SELECT {number}, substr(sha256(stream), 1, length(stream)), sequence, hash \
             FROM ironclaw.audit_streams LIMIT 1"
        );
        must(&mut superuser, &spoil).await;
        let wrong = maintenance.check_integrity().await.unwrap();
        let named =
            format!("sequence users_owner_no_seq: audit_streams.owner_no has the number {number}, which leaves");
        assert!(wrong.iter().any(|line| line.starts_with(&named)), "{wrong:?}");
        assert!(!wrong.iter().any(|line| line.contains("setval")), "{wrong:?}");
        // As it says.
        must(&mut superuser, &format!("DELETE FROM ironclaw.audit_streams WHERE owner_no = {number}")).await;
        assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    }
    Sample::write(&store, &Scope::user("bob").unwrap(), SystemClock.now()).await.unwrap();
}

async fn a_name_makes_no_lines_of_its_own() {
    let database = Database::fresh().await;
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    let mut superuser = database.superuser().await;
    must(&mut superuser, "CREATE VIEW public.\"zz\n findings 0\" AS SELECT owner_no FROM ironclaw.messages").await;
    let wrong = maintenance.check_integrity().await.unwrap();
    assert_eq!(wrong, ["view public.\"zz\\n findings 0\": no migration made it (of messages)"]);
}
