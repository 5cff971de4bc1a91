//! The schema is what the migrations made, and whatever was changed in it since is named.

use std::collections::BTreeSet;
use std::path::Path;

use ironclaw_core::conformance::store::Sample;
use ironclaw_core::id::{OperatorName, UserId};
use ironclaw_core::{Clock, Maintenance, Scope, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};

use crate::database::{Database, app_url, operator_url};
use crate::raw::{Role, must};

ironclaw_testing::tests![
    the_program_expects_what_the_migrations_make,
    whatever_was_changed_is_named,
    what_stands_elsewhere_is_named,
    an_index_that_was_left_unfinished_is_named,
    a_table_of_another_owner_is_told_as_that,
    a_number_in_use_is_not_given_again,
];

/// Set to anything, the list of what the program expects is made anew.
const WRITE: &str = "IRONCLAW_WRITE_DEFINITIONS";

/// What the program asks of the server.
const QUERY: [&str; 3] = [
    include_str!("../../src/postgres/catalogue/definitions.sql"),
    include_str!("../../src/postgres/catalogue/elsewhere.sql"),
    include_str!("../../src/postgres/catalogue/grants.sql"),
];

/// An index over a user's vectors of a model.
const OF_A_MODEL: &str = "CREATE INDEX chunk_vectors_7_00000000000000aa ON ironclaw.chunk_vectors USING hnsw \
                          ((embedding::halfvec(3)) halfvec_cosine_ops) WITH (m = 16, ef_construction = 128) \
                          WHERE owner_no = 7::bigint AND model_key = -5";

async fn the_program_expects_what_the_migrations_make() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, "SET search_path = pg_catalog, pg_temp").await;
    let query = format!(
        "{} UNION ALL SELECT e.object, e.definition FROM ({}) e UNION ALL SELECT g.object, g.definition FROM ({}) g",
        QUERY[0], QUERY[1], QUERY[2]
    );
    let found: Vec<(String, String)> =
        sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(&mut superuser).await.unwrap();
    let lines: BTreeSet<String> =
        found.into_iter().map(|(object, definition)| format!("{object} = {definition}")).collect();
    assert!(lines.iter().all(|line| !line.contains('\n') && line.matches(" = ").count() >= 1));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postgres/catalogue/expected.txt");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap();
    let expected: BTreeSet<&str> = expected.lines().collect();
    let found: BTreeSet<&str> = text.lines().collect();
    let differ: Vec<_> = expected.symmetric_difference(&found).collect();
    assert!(differ.is_empty(), "run this test with {WRITE}=1, and look at what it changes: {differ:#?}");
}

async fn whatever_was_changed_is_named() {
    let database = Database::fresh().await;
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    let mut superuser = database.superuser().await;
    let somebody = Role::new("grantee", "NOLOGIN").await;
    let (to_somebody, somebody) = (format!("to {}", somebody.0), &somebody.0);
    let function = |name: &str| {
        format!(
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'ironclaw'::regnamespace AND proname = '{name}'"
        )
    };
    let mut made = Vec::new();
    for name in ["is_maintenance", "append_audit"] {
        let definition: String =
            sqlx::query_scalar(sqlx::AssertSqlSafe(function(name))).fetch_one(&mut superuser).await.unwrap();
        made.push(definition);
    }
    let text = |text: &str| text.to_owned();
    for (loosen, mend, named) in [
        (
            text("ALTER TABLE ironclaw.retention_policies NO FORCE ROW LEVEL SECURITY"),
            text("ALTER TABLE ironclaw.retention_policies FORCE ROW LEVEL SECURITY"),
            "table retention_policies",
        ),
        (
            text("ALTER TABLE ironclaw.audit_checkpoints DISABLE ROW LEVEL SECURITY"),
            text("ALTER TABLE ironclaw.audit_checkpoints ENABLE ROW LEVEL SECURITY"),
            "table audit_checkpoints: it was changed since the migrations made it: it does not say \"row security\" any more",
        ),
        (
            text("CREATE POLICY everybody ON ironclaw.settings USING (true)"),
            text("DROP POLICY everybody ON ironclaw.settings"),
            "policy settings.everybody",
        ),
        (
            text("ALTER POLICY scope_select ON ironclaw.settings USING (true)"),
            text("ALTER POLICY scope_select ON ironclaw.settings USING (owner_no = ironclaw.scope_no())"),
            "policy settings.scope_select: it was changed since the migrations made it: it says \"true\" instead of \"(owner_no",
        ),
        (
            text("ALTER POLICY auditor_select ON ironclaw.audit_events TO ironclaw_auditor, ironclaw_app"),
            text("ALTER POLICY auditor_select ON ironclaw.audit_events TO ironclaw_auditor"),
            "policy audit_events.auditor_select",
        ),
        (
            text("DROP POLICY owner_all ON ironclaw.erasures"),
            text(
                "CREATE POLICY owner_all ON ironclaw.erasures TO ironclaw_owner USING (ironclaw.is_maintenance()) \
                  WITH CHECK (ironclaw.is_maintenance())",
            ),
            "policy erasures.owner_all",
        ),
        (
            text("GRANT DELETE ON ironclaw.audit_private TO ironclaw_app"),
            text("REVOKE DELETE ON ironclaw.audit_private FROM ironclaw_app"),
            "grant DELETE on audit_private to ironclaw_app",
        ),
        (
            text("GRANT UPDATE (hash) ON ironclaw.audit_streams TO PUBLIC"),
            text("REVOKE UPDATE (hash) ON ironclaw.audit_streams FROM PUBLIC"),
            "grant UPDATE on audit_streams.hash to PUBLIC",
        ),
        (
            format!("GRANT SELECT ON ironclaw.users TO {somebody}"),
            format!("REVOKE SELECT ON ironclaw.users FROM {somebody}"),
            to_somebody.as_str(),
        ),
        (
            format!("GRANT CREATE ON SCHEMA ironclaw TO {somebody}"),
            format!("REVOKE CREATE ON SCHEMA ironclaw FROM {somebody}"),
            to_somebody.as_str(),
        ),
        (
            text("GRANT SELECT ON ironclaw.settings TO ironclaw_app WITH GRANT OPTION"),
            text("REVOKE GRANT OPTION FOR SELECT ON ironclaw.settings FROM ironclaw_app"),
            "grant SELECT on settings to ironclaw_app",
        ),
        (
            text("GRANT USAGE ON SEQUENCE ironclaw.users_owner_no_seq TO ironclaw_app"),
            text("REVOKE USAGE ON SEQUENCE ironclaw.users_owner_no_seq FROM ironclaw_app"),
            "grant USAGE on users_owner_no_seq to ironclaw_app",
        ),
        (
            text("GRANT EXECUTE ON FUNCTION ironclaw.append_to_chain TO ironclaw_app"),
            text("REVOKE EXECUTE ON FUNCTION ironclaw.append_to_chain FROM ironclaw_app"),
            "grant EXECUTE on append_to_chain",
        ),
        (
            text("ALTER DEFAULT PRIVILEGES FOR ROLE ironclaw_owner GRANT ALL ON TABLES TO PUBLIC"),
            text("ALTER DEFAULT PRIVILEGES FOR ROLE ironclaw_owner REVOKE ALL ON TABLES FROM PUBLIC"),
            "of ironclaw_owner to PUBLIC",
        ),
        (
            text(
                "CREATE OR REPLACE FUNCTION ironclaw.is_maintenance() RETURNS boolean LANGUAGE sql STABLE \
                  PARALLEL SAFE RETURN true",
            ),
            made[0].clone(),
            "function is_maintenance()",
        ),
        (
            made[1].replace("the transaction has no scope", "the transaction has none"),
            made[1].clone(),
            "it was changed since the migrations made it: its body is another",
        ),
        (
            text("ALTER FUNCTION ironclaw.enter SET search_path = public"),
            text("ALTER FUNCTION ironclaw.enter SET search_path = pg_catalog, pg_temp"),
            "function enter(",
        ),
        (
            format!("ALTER FUNCTION ironclaw.forget_audit OWNER TO {somebody}"),
            text("ALTER FUNCTION ironclaw.forget_audit OWNER TO ironclaw_owner"),
            "function forget_audit(",
        ),
        (
            text("CREATE FUNCTION ironclaw.another() RETURNS integer LANGUAGE sql RETURN 1"),
            text("DROP FUNCTION ironclaw.another"),
            "function another()",
        ),
        (
            format!("ALTER TABLE ironclaw.holds OWNER TO {somebody}"),
            text("ALTER TABLE ironclaw.holds OWNER TO ironclaw_owner"),
            "table holds",
        ),
        (
            text(
                "CREATE TRIGGER spy BEFORE INSERT ON ironclaw.messages FOR EACH ROW \
                  EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            ),
            text("DROP TRIGGER spy ON ironclaw.messages"),
            "trigger messages.spy",
        ),
        (
            text("ALTER TABLE ironclaw.messages DISABLE TRIGGER ALL"),
            text("ALTER TABLE ironclaw.messages ENABLE TRIGGER ALL"),
            "trigger messages.RI_",
        ),
        (
            text("ALTER TABLE ironclaw.jobs DISABLE TRIGGER note_age"),
            text("ALTER TABLE ironclaw.jobs ENABLE TRIGGER note_age"),
            "trigger jobs.note_age: it was changed since the migrations made it: it says \"switched off\" besides",
        ),
        (
            text("ALTER SEQUENCE ironclaw.holds_hold_no_seq MAXVALUE 9 CYCLE"),
            text("ALTER SEQUENCE ironclaw.holds_hold_no_seq NO MAXVALUE NO CYCLE"),
            "again and again",
        ),
        (
            text(
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ironclaw.users_tenant_owner_key'::regclass",
            ),
            text(
                "UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'ironclaw.users_tenant_owner_key'::regclass",
            ),
            "index users_tenant_owner_key: it was changed since the migrations made it: it says \"not valid\" besides",
        ),
        (
            text("CREATE RULE nothing AS ON DELETE TO ironclaw.secrets DO INSTEAD NOTHING"),
            text("DROP RULE nothing ON ironclaw.secrets"),
            "rule secrets.nothing",
        ),
        (
            text("ALTER TABLE ironclaw.audit_events DROP CONSTRAINT audit_events_outcome_check"),
            text(
                "ALTER TABLE ironclaw.audit_events ADD CONSTRAINT audit_events_outcome_check CHECK (outcome BETWEEN 0 AND 2)",
            ),
            "constraint audit_events.audit_events_outcome_check",
        ),
        (
            text("DROP INDEX ironclaw.receipts_by_age"),
            text("CREATE INDEX receipts_by_age ON ironclaw.receipts (owner_no, at)"),
            "index receipts_by_age",
        ),
        (text("CREATE INDEX spy ON ironclaw.settings ((key || 'x'))"), text("DROP INDEX ironclaw.spy"), "index spy"),
        (
            text("CREATE INDEX chunk_vectors_0000000000000000 ON ironclaw.chunk_vectors ((id::text || 'x'))"),
            text("DROP INDEX ironclaw.chunk_vectors_0000000000000000"),
            "index chunk_vectors_0000000000000000",
        ),
        (
            text("ALTER TABLE ironclaw.jobs ALTER COLUMN error SET DEFAULT 'none'"),
            text("ALTER TABLE ironclaw.jobs ALTER COLUMN error DROP DEFAULT"),
            "column jobs.error",
        ),
        (
            text("ALTER TABLE ironclaw.users ALTER COLUMN pseudonym DROP NOT NULL"),
            text("ALTER TABLE ironclaw.users ALTER COLUMN pseudonym SET NOT NULL"),
            "column users.pseudonym",
        ),
        (
            text("CREATE VIEW ironclaw.everything AS SELECT * FROM ironclaw.messages"),
            text("DROP VIEW ironclaw.everything"),
            "relation everything",
        ),
        (
            text("CREATE OPERATOR ironclaw.=== (FUNCTION = int8eq, LEFTARG = bigint, RIGHTARG = bigint)"),
            text("DROP OPERATOR ironclaw.=== (bigint, bigint)"),
            "operator ironclaw.===",
        ),
        (text("CREATE DOMAIN ironclaw.number AS bigint"), text("DROP DOMAIN ironclaw.number"), "type ironclaw.number"),
        // A type of pgvector's schema with the name of the server's own.
        (
            text(
                "CREATE DOMAIN public.bytea AS pg_catalog.bytea; \
                 ALTER TABLE ironclaw.audit_private ALTER private TYPE public.bytea",
            ),
            text("ALTER TABLE ironclaw.audit_private ALTER private TYPE pg_catalog.bytea; DROP DOMAIN public.bytea"),
            "column audit_private.private",
        ),
        (
            format!("ALTER SCHEMA public OWNER TO {somebody}"),
            text("ALTER SCHEMA public OWNER TO pg_database_owner"),
            "owns the schema public",
        ),
    ] {
        must(&mut superuser, &loosen).await;
        let wrong = maintenance.check_integrity().await.unwrap();
        assert!(wrong.iter().any(|line| line.contains(named)), "{loosen}: {wrong:?}");
        must(&mut superuser, &mend).await;
        assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new(), "{mend}");
    }
    // An index over a user's vectors of a model is no change.
    must(&mut superuser, OF_A_MODEL).await;
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    PostgresStore::connect(&app_url(database.name())).await.unwrap();
}

/// What others may make over the store's tables: how, how it is taken back, and what is said of it.
const ELSEWHERE: [(&str, &str, &str); 17] = [
    (
        "CREATE VIEW public.report AS SELECT owner_no FROM ironclaw.messages",
        "DROP VIEW public.report",
        "view public.report: no migration made it (of messages)",
    ),
    (
        "CREATE MATERIALIZED VIEW public.report AS SELECT u.owner FROM ironclaw.users u JOIN ironclaw.jobs USING (owner_no)",
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
        "CREATE TABLE public.its (); CREATE TRIGGER its BEFORE INSERT ON public.its EXECUTE FUNCTION ironclaw.note_age()",
        "DROP TABLE public.its",
        "trigger its on public.its: no migration made it (of note_age)",
    ),
    (
        "CREATE TABLE public.its (whole ironclaw.users)",
        "DROP TABLE public.its",
        "table public.its: no migration made it (of users)",
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
         CREATE FUNCTION public.its() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM ironclaw.users; END; \
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
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ironclaw.chunk_vectors_7_00000000000000aa'::regclass",
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
    Sample::write(&store, &Scope::user(UserId::parse("ada").unwrap()), SystemClock.now()).await.unwrap();
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
        assert!(wrong.iter().any(|line| *line == named), "{table}: {wrong:#?}");
        assert!(!wrong.iter().any(|line| line.contains("GRANT")), "{table}: {wrong:#?}");
        assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new(), "{table}");
    }
}

async fn a_number_in_use_is_not_given_again() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    Sample::write(&store, &Scope::user(UserId::parse("ada").unwrap()), SystemClock.now()).await.unwrap();
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    let mut superuser = database.superuser().await;
    // The number of a user who is gone stands in the trail.
    let of_the_gone = "INSERT INTO ironclaw.audit_streams SELECT 500, substr(sha256(stream), 1, length(stream)), \
                       sequence, hash FROM ironclaw.audit_streams LIMIT 1";
    for (sequence, spoil, mend) in [
        ("users_owner_no_seq", "SELECT setval('ironclaw.users_owner_no_seq', 1, false)", ""),
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
    Sample::write(&store, &Scope::user(UserId::parse("bob").unwrap()), SystemClock.now()).await.unwrap();
}
