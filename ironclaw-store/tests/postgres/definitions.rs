//! The schema is what the migrations made, and whatever was changed in it since is named.

use std::collections::BTreeSet;
use std::path::Path;

use ironclaw_core::Maintenance;
use ironclaw_core::id::OperatorName;
use ironclaw_store::{PostgresMaintenance, PostgresStore};

use crate::database::{Database, app_url, operator_url};
use crate::raw::{Role, must};

ironclaw_testing::tests![the_program_expects_what_the_migrations_make, whatever_was_changed_is_named,];

/// Set to anything, the list of what the program expects is made anew.
const WRITE: &str = "IRONCLAW_WRITE_DEFINITIONS";

/// What the program asks of the server.
const QUERY: [&str; 3] = [
    include_str!("../../src/postgres/catalogue/definitions.sql"),
    include_str!("../../src/postgres/catalogue/elsewhere.sql"),
    include_str!("../../src/postgres/catalogue/grants.sql"),
];

/// An index over a user's vectors of a model.
pub(crate) const OF_A_MODEL: &str = "CREATE INDEX chunk_vectors_7_00000000000000aa ON ironclaw.chunk_vectors \
    USING hnsw ((embedding::halfvec(3)) halfvec_cosine_ops) WITH (m = 16, ef_construction = 128) \
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
    // Where the server keeps what is long has a name of a number.
    let toast = "DO $$ BEGIN EXECUTE (SELECT format('{}', reltoastrelid::regclass) FROM pg_class \
                 WHERE oid = 'ironclaw.entry_parts'::regclass); END $$";
    for (loosen, mend, named) in [
        (
            text("ALTER TABLE ironclaw.retention_policies NO FORCE ROW LEVEL SECURITY"),
            text("ALTER TABLE ironclaw.retention_policies FORCE ROW LEVEL SECURITY"),
            "table retention_policies",
        ),
        (
            text("ALTER TABLE ironclaw.audit_checkpoints DISABLE ROW LEVEL SECURITY"),
            text("ALTER TABLE ironclaw.audit_checkpoints ENABLE ROW LEVEL SECURITY"),
            "table audit_checkpoints: it was changed since the migrations made it: it does not say \"row security\"",
        ),
        (
            text("CREATE POLICY everybody ON ironclaw.settings USING (true)"),
            text("DROP POLICY everybody ON ironclaw.settings"),
            "policy settings.everybody",
        ),
        (
            text("ALTER POLICY scope_select ON ironclaw.settings USING (true)"),
            text("ALTER POLICY scope_select ON ironclaw.settings USING (owner_no = ironclaw.scope_no())"),
            "policy settings.scope_select: it was changed since the migrations made it: it says \"true\" instead",
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
            toast.replace("{}", &format!("GRANT SELECT ON %s {to_somebody}")),
            toast.replace("{}", &format!("REVOKE SELECT ON %s FROM {somebody}")),
            "grant SELECT on the toast table of entry_parts to ",
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
    // How full pages are is for tuning.
    must(
        &mut superuser,
        "ALTER INDEX ironclaw.receipts_by_age SET (fillfactor = 70, deduplicate_items = off); \
         ALTER INDEX ironclaw.users_pkey SET (fillfactor = 70); ALTER TABLE ironclaw.users SET (fillfactor = 70)",
    )
    .await;
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    // An index over a user's vectors of a model is no change, unless it is made otherwise.
    must(&mut superuser, OF_A_MODEL).await;
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    must(&mut superuser, "ALTER INDEX ironclaw.chunk_vectors_7_00000000000000aa SET (ef_construction = 8)").await;
    let wrong = maintenance.check_integrity().await.unwrap();
    assert!(wrong.iter().any(|line| line.contains("index chunk_vectors_7_00000000000000aa")), "{wrong:?}");
    must(&mut superuser, "DROP INDEX ironclaw.chunk_vectors_7_00000000000000aa").await;
    PostgresStore::connect(&app_url(database.name())).await.unwrap();
}
