//! Each role may do what it needs to and nothing else.

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::OperatorName;
use ironclaw_core::store::{Apply, StoreErrorKind};
use ironclaw_core::{Change, Scope};
use ironclaw_store::PostgresStore;
use sqlx::{Connection, PgConnection};

use crate::database::{Database, app_url, auditor_url, cluster, operator_url};
use crate::raw::{DENIED, application, enter, must, run};

ironclaw_testing::tests![
    the_application_has_the_rights_it_needs_and_no_other,
    the_application_cannot_rise_above_its_rights,
    the_auditor_reads_the_public_log_and_nothing_else,
    a_right_that_is_granted_by_mistake_opens_nothing_of_the_trail,
    functions_of_later_migrations_are_not_everybodys,
    only_a_member_of_the_owner_is_an_operator,
    functions_with_the_owners_rights_look_names_up_where_nobody_else_writes,
    temporary_objects_do_not_hijack_the_functions,
];

/// What nobody but the audit's functions writes.
const AUDIT: [&str; 5] = ["audit_checkpoints", "audit_events", "audit_private", "audit_pseudonyms", "audit_streams"];

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

fn theme() -> Change {
    Change::new().with(SettingOp::Put { key: "theme".parse().unwrap(), value: "dark".into() })
}

/// What was granted to a role on the schema's tables, columns of them included: `VERB table`, in order.
async fn grants(connection: &mut PgConnection, role: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT DISTINCT format('%s %s%s', acl.privilege_type, c.relname, CASE WHEN acl.is_grantable THEN '!' END) \
         FROM pg_class c CROSS JOIN LATERAL ( \
             SELECT * FROM aclexplode(c.relacl) UNION ALL \
             SELECT g.* FROM pg_attribute a CROSS JOIN LATERAL aclexplode(a.attacl) g WHERE a.attrelid = c.oid \
         ) acl WHERE c.relnamespace = 'ironclaw'::regnamespace \
         AND acl.grantee = CASE $1 WHEN 'public' THEN 0 ELSE (SELECT oid FROM pg_roles WHERE rolname = $1) END ORDER BY 1",
    )
    .bind(role)
    .fetch_all(connection)
    .await
    .unwrap()
}

/// The tables on which a verb is among the grants.
fn of_verb<'a>(grants: &'a [String], verb: &str) -> Vec<&'a str> {
    grants.iter().filter_map(|grant| grant.strip_prefix(verb)?.strip_prefix(' ')).collect()
}

/// The functions that a role may call, `public` being everybody.
async fn functions(connection: &mut PgConnection, role: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'ironclaw'::regnamespace \
         AND has_function_privilege($1, oid, 'EXECUTE') ORDER BY proname",
    )
    .bind(role)
    .fetch_all(connection)
    .await
    .unwrap()
}

async fn the_application_has_the_rights_it_needs_and_no_other() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    let grants = grants(&mut superuser, "ironclaw_app").await;
    let verbs: std::collections::BTreeSet<_> = grants.iter().map(|grant| grant.split(' ').next().unwrap()).collect();
    assert_eq!(Vec::from_iter(verbs), ["DELETE", "INSERT", "SELECT", "UPDATE"]);
    assert!(grants.iter().all(|grant| !grant.ends_with('!')), "what it has it can't give on: {grants:?}");
    // What it only reads, or not even that.
    let never_written = AUDIT.into_iter().chain([
        "erasures",
        "holds",
        "migrations",
        "retention_policies",
        "roles",
        "root_key_wraps",
        "user_roles",
        "users",
        "vault_header",
    ]);
    for table in never_written {
        for verb in ["INSERT", "UPDATE", "DELETE"] {
            assert!(!of_verb(&grants, verb).contains(&table), "{verb} {table}");
        }
    }
    for table in ["audit_checkpoints", "erasures", "holds", "retention_policies"] {
        assert!(!of_verb(&grants, "SELECT").contains(&table), "{table}");
    }
    // What stays for the record is not deleted by it, only by an operator.
    assert_eq!(
        of_verb(&grants, "DELETE"),
        [
            "chunk_terms",
            "chunk_vectors",
            "conversations",
            "embedding_models",
            "entry_parts",
            "entry_versions",
            "job_events",
            "jobs",
            "llm_calls",
            "memory_chunks",
            "message_statistics",
            "message_terms",
            "messages",
            "receipts",
            "sandbox_jobs",
            "secret_versions",
            "secrets",
            "settings",
            "workspace_entries",
        ]
    );
    assert_eq!(
        functions(&mut superuser, "ironclaw_app").await,
        ["append_audit", "enter", "enter_space", "enter_space_to_write", "enter_to_write", "forget_audit", "scope_no"]
    );
    assert_eq!(functions(&mut superuser, "public").await, Vec::<String>::new());
    assert_eq!(self::grants(&mut superuser, "public").await, Vec::<String>::new());
    // It is no other role, owns nothing and is above nothing.
    let roles: Vec<(String, bool)> = sqlx::query_as(
        "SELECT rolname::text, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication \
         OR rolcanlogin FROM pg_roles WHERE rolname IN ('ironclaw_owner', 'ironclaw_app', 'ironclaw_auditor') ORDER BY 1",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(roles, ["app", "auditor", "owner"].map(|role| (format!("ironclaw_{role}"), false)));
    let not_the_owners = "SELECT FROM pg_class WHERE relnamespace = 'ironclaw'::regnamespace \
                          AND relowner <> 'ironclaw_owner'::regrole";
    assert_eq!(must(&mut superuser, not_the_owners).await, 0);
    let members = "SELECT FROM pg_auth_members WHERE member IN ('ironclaw_app'::regrole, 'ironclaw_auditor'::regrole)";
    assert_eq!(must(&mut superuser, members).await, 0);
}

async fn the_application_cannot_rise_above_its_rights() {
    let database = Database::fresh().await;
    PostgresStore::connect(&app_url(database.name())).await.unwrap().apply(&ada(), theme()).await.unwrap();
    let mut application = application(database.name()).await;
    let create_in_database = format!("GRANT CREATE ON DATABASE {} TO ironclaw_test_app", database.name());
    for sql in [
        "SET ROLE ironclaw_owner",
        "SET ROLE ironclaw_auditor",
        "SET SESSION AUTHORIZATION ironclaw_test_operator",
        "SET session_replication_role = replica",
        "CREATE SCHEMA mine",
        "CREATE TABLE ironclaw.mine (id integer)",
        "CREATE FUNCTION ironclaw.mine() RETURNS integer LANGUAGE sql RETURN 1",
        "CREATE OR REPLACE FUNCTION ironclaw.scope_no() RETURNS bigint LANGUAGE sql RETURN 1",
        "ALTER FUNCTION ironclaw.append_audit RESET ALL",
        "ALTER TABLE ironclaw.settings DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE ironclaw.settings NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY scope_select ON ironclaw.settings",
        "CREATE POLICY all_of_it ON ironclaw.settings USING (true)",
        "CREATE TRIGGER mine BEFORE INSERT ON ironclaw.settings EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE INDEX ON ironclaw.settings (key)",
        "DROP TABLE ironclaw.settings",
        "LOCK TABLE ironclaw.audit_events IN ACCESS EXCLUSIVE MODE",
        "SET row_security = off; SELECT FROM ironclaw.settings",
        "COPY ironclaw.holds TO STDOUT",
        "COPY ironclaw.settings TO PROGRAM 'cat'",
        "SELECT ironclaw.append_to_chain(0, '', '', NULL, '{}', '{}', '{}', '{}', '{}')",
        "SELECT ironclaw.append_system_audit('root', NULL, '{}', '{}', '{}', '{}', '{}')",
        "SELECT ironclaw.pseudonym(1, 1::smallint, 'ada')",
        "SELECT nextval('ironclaw.users_owner_no_seq')",
        "UPDATE ironclaw.users SET status = 0",
        "SELECT pseudonym FROM ironclaw.users",
        "UPDATE ironclaw.message_statistics SET owner_no = 1",
        "UPDATE ironclaw.quotas SET allowed = 1000000",
        "UPDATE ironclaw.messages SET content = 'x'",
        "UPDATE ironclaw.policies SET actions = '[]'",
        "UPDATE ironclaw.tokens SET expires_at = 'infinity'",
    ] {
        must(&mut application, "BEGIN").await;
        assert!(enter(&mut application, "default", "ada").await);
        assert_eq!(run(&mut application, sql).await, Err(DENIED.to_owned()), "{sql}");
        must(&mut application, "ROLLBACK").await;
    }
    // The server only warns of a right that is given on by somebody who has none, and gives none.
    let _ = run(&mut application, &create_in_database).await;
    assert_eq!(run(&mut application, "CREATE SCHEMA mine").await, Err(DENIED.to_owned()));
    assert_eq!(run(&mut application, "CREATE TABLE public.mine (id integer)").await, Err(DENIED.to_owned()));
}

async fn the_auditor_reads_the_public_log_and_nothing_else() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    store.apply(&ada(), theme()).await.unwrap();
    let mut superuser = database.superuser().await;
    assert_eq!(
        grants(&mut superuser, "ironclaw_auditor").await,
        ["SELECT audit_checkpoints", "SELECT audit_events", "SELECT audit_streams", "SELECT erasures",]
    );
    assert_eq!(functions(&mut superuser, "ironclaw_auditor").await, Vec::<String>::new());
    let mut auditor = PgConnection::connect(&auditor_url(database.name())).await.unwrap();
    assert!(must(&mut auditor, "SELECT * FROM ironclaw.audit_events").await > 0);
    assert_eq!(must(&mut auditor, "SELECT * FROM ironclaw.audit_streams").await, 2);
    for sql in [
        "SELECT FROM ironclaw.audit_private",
        "SELECT FROM ironclaw.audit_pseudonyms",
        "SELECT FROM ironclaw.users",
        "SELECT FROM ironclaw.settings",
        "SELECT FROM ironclaw.enter('default', 'ada', '[]')",
        "UPDATE ironclaw.audit_events SET outcome = 0",
        "DELETE FROM ironclaw.audit_events",
        "TRUNCATE ironclaw.audit_events",
        "CREATE TABLE ironclaw.mine (id integer)",
        "SET ROLE ironclaw_app",
        "SET ROLE ironclaw_owner",
    ] {
        assert_eq!(run(&mut auditor, sql).await, Err(DENIED.to_owned()), "{sql}");
    }
}

async fn a_right_that_is_granted_by_mistake_opens_nothing_of_the_trail() {
    let database = Database::fresh().await;
    PostgresStore::connect(&app_url(database.name())).await.unwrap().apply(&ada(), theme()).await.unwrap();
    let mut superuser = database.superuser().await;
    must(&mut superuser, "GRANT ALL ON ALL TABLES IN SCHEMA ironclaw TO ironclaw_app").await;
    must(&mut superuser, "INSERT INTO ironclaw.audit_checkpoints VALUES (1, sha256(''), 'a note', now())").await;
    let mut application = application(database.name()).await;
    for table in AUDIT.into_iter().chain(["erasures", "holds"]) {
        must(&mut application, "BEGIN").await;
        assert!(enter(&mut application, "default", "ada").await);
        let delete = run(&mut application, &format!("DELETE FROM ironclaw.{table}")).await;
        assert_eq!(delete, Ok(0), "{table}");
        let columns = "SELECT attname::text FROM pg_attribute WHERE attrelid = ('ironclaw.' || $1)::regclass \
                       AND attnum > 0 AND attidentity = '' LIMIT 1";
        let column: String = sqlx::query_scalar(columns).bind(table).fetch_one(&mut superuser).await.unwrap();
        let update = run(&mut application, &format!("UPDATE ironclaw.{table} SET {column} = {column}")).await;
        assert_eq!(update, Ok(0), "{table}");
        let insert = format!("INSERT INTO ironclaw.{table} OVERRIDING SYSTEM VALUE SELECT * FROM ironclaw.{table}");
        let rows = must(&mut application, &format!("SELECT FROM ironclaw.{table}")).await;
        let inserted = run(&mut application, &insert).await;
        assert_eq!(inserted, if rows > 0 { Err(DENIED.to_owned()) } else { Ok(0) }, "{table}");
        must(&mut application, "ROLLBACK").await;
    }
}

async fn functions_of_later_migrations_are_not_everybodys() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    let make = "SET ROLE ironclaw_owner; CREATE FUNCTION ironclaw.later() RETURNS integer LANGUAGE sql RETURN 1";
    must(&mut superuser, make).await;
    assert_eq!(functions(&mut superuser, "public").await, Vec::<String>::new());
}

async fn only_a_member_of_the_owner_is_an_operator() {
    let database = Database::fresh().await;
    let operator = || OperatorName::parse("root").unwrap();
    for url in [app_url(database.name()), auditor_url(database.name())] {
        for builder in [PostgresStore::builder(), PostgresStore::builder().allow_privileged_role()] {
            let error = builder.connect_maintenance(&url, operator()).await.unwrap_err();
            assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
        }
    }
    for url in [operator_url(database.name()), cluster().superuser_url(database.name())] {
        PostgresStore::builder().connect_maintenance(&url, operator()).await.unwrap();
    }
}

async fn functions_with_the_owners_rights_look_names_up_where_nobody_else_writes() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    let definers: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT proname::text, (SELECT string_agg(setting, ';') FROM unnest(proconfig) setting) FROM pg_proc \
         WHERE pronamespace = 'ironclaw'::regnamespace AND prosecdef ORDER BY proname",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(definers.len(), 8, "{definers:?}");
    // Temporary objects come last: where the path does not name them, they come first.
    for (name, path) in definers {
        assert_eq!(path.as_deref(), Some("search_path=pg_catalog, pg_temp"), "{name}");
    }
    // Functions elsewhere would be found by nobody who looks at this schema.
    let elsewhere = "SELECT FROM pg_proc WHERE prosecdef AND proowner = 'ironclaw_owner'::regrole \
                     AND pronamespace <> 'ironclaw'::regnamespace";
    assert_eq!(must(&mut superuser, elsewhere).await, 0);
}

async fn temporary_objects_do_not_hijack_the_functions() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    store.apply(&ada(), theme()).await.unwrap();
    let mut application = application(database.name()).await;
    must(
        &mut application,
        "CREATE TEMP TABLE users (owner_no bigint, tenant text, owner text, status smallint, pseudonym bytea); \
         CREATE TEMP TABLE audit_streams (owner_no bigint, stream bytea, sequence bigint, hash bytea); \
         CREATE TEMP TABLE audit_events (owner_no bigint, sequence bigint); \
         CREATE TEMP TABLE hijacked (who text); \
         CREATE FUNCTION pg_temp.hijack() RETURNS void LANGUAGE sql AS 'INSERT INTO hijacked SELECT current_user'; \
         CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_temp.hijack(); RETURN ''; END $$; \
         CREATE FUNCTION pg_temp.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_temp.hijack(); RETURN now(); END $$; \
         CREATE FUNCTION pg_temp.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_temp.hijack(); RETURN $2; END $$; \
         CREATE FUNCTION pg_temp.int8_equal(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_temp.hijack(); RETURN true; END $$; \
         CREATE OPERATOR pg_temp.= (FUNCTION = pg_temp.int8_equal, LEFTARG = bigint, RIGHTARG = bigint); \
         CREATE DOMAIN pg_temp.json AS text; CREATE DOMAIN pg_temp.bytea AS text; \
         GRANT ALL ON ALL TABLES IN SCHEMA pg_temp TO PUBLIC; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pg_temp TO PUBLIC",
    )
    .await;
    for path in ["pg_temp, pg_catalog", "pg_temp, ironclaw, pg_catalog, public", "pg_catalog, pg_temp"] {
        must(&mut application, &format!("SET search_path = {path}; BEGIN")).await;
        assert!(enter(&mut application, "default", "ada").await);
        must(
            &mut application,
            "SELECT FROM ironclaw.enter_to_write('default', 'ada', '[[1,\"ada\"],[2,\"writer\"]]', '1000')",
        )
        .await;
        must(
            &mut application,
            "SELECT ironclaw.append_audit('{600}', '{0}', '{\"\"}', \
             ARRAY[pg_catalog.decode(pg_catalog.repeat('00', 32), 'hex')], \
             ARRAY[pg_catalog.convert_to( \
             '{\"details\":{},\"request\":{\"id\":null,\"ip\":null,\"user_agent\":null}}', 'UTF8')])",
        )
        .await;
        assert!(enter(&mut application, "default", "ada").await);
        must(&mut application, "SELECT ironclaw.forget_audit('{100}'); COMMIT").await;
    }
    assert_eq!(must(&mut application, "SELECT FROM pg_temp.hijacked").await, 0, "somebody's rights were borrowed");
    for table in ["users", "audit_streams", "audit_events"] {
        assert_eq!(must(&mut application, &format!("SELECT FROM pg_temp.{table}")).await, 0, "{table}");
    }
    let head = must(&mut database.superuser().await, "SELECT FROM ironclaw.audit_events").await;
    assert_eq!(head, 4, "one of the store and three of raw SQL");
}
