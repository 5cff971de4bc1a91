//! Who may be the application, and who is told of that may not.

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::{OperatorName, UserId};
use ironclaw_core::store::{Apply, Store, StoreErrorKind, VaultStore};
use ironclaw_core::{Change, Maintenance, Scope};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use ironclaw_testing::{Server, need};
use sqlx::{Connection, PgConnection};

use crate::database::{Database, auditor_url, cluster, operator_url};
use crate::own;
use crate::raw::{Role, must};

ironclaw_testing::tests![
    a_role_with_the_wrong_rights_is_refused,
    a_role_without_the_rights_it_needs_is_refused,
    for_development_a_role_may_be_anything,
    a_role_that_was_put_on_hides_nothing,
    many_roles_make_few_lines,
    who_may_take_the_owners_rights_is_refused,
    groups_that_others_made_beforehand_are_refused,
];

fn ada() -> Scope {
    Scope::user(UserId::parse("ada").unwrap())
}

fn theme() -> Change {
    Change::new().with(SettingOp::Put { key: "theme".parse().unwrap(), value: "dark".into() })
}

/// What keeps a role from being the application: its name, how it is made, what else it gets, and what is said of it.
const UNFIT: &[(&str, &str, &str, &str)] = &[
    ("superuser", "SUPERUSER", "", "is superuser"),
    ("bypass", "BYPASSRLS IN ROLE ironclaw_app", "", "is BYPASSRLS"),
    ("replication", "REPLICATION IN ROLE ironclaw_app", "", "is REPLICATION"),
    ("createrole", "CREATEROLE IN ROLE ironclaw_app", "", "is CREATEROLE"),
    ("twofold", "IN ROLE ironclaw_app, ironclaw_owner", "", "the owner's role"),
    ("heir", "IN ROLE ironclaw_app", "GRANT ironclaw_owner TO heir WITH INHERIT FALSE", "the owner's role"),
    ("climber", "IN ROLE ironclaw_app, superuser", "", "can be superuser"),
    ("replicator", "IN ROLE ironclaw_app, replication", "", "can be replication"),
    (
        "granter",
        "IN ROLE ironclaw_app",
        "GRANT ironclaw_owner TO granter WITH ADMIN TRUE, SET FALSE, INHERIT FALSE",
        "granter may take the owner's rights",
    ),
    ("write_all", "IN ROLE ironclaw_app, pg_write_all_data", "", "pg_write_all_data"),
    ("read_all", "IN ROLE ironclaw_app, pg_read_all_data", "", "pg_read_all_data"),
    ("program", "IN ROLE ironclaw_app, pg_execute_server_program", "", "pg_execute_server_program"),
    ("write_files", "IN ROLE ironclaw_app, pg_write_server_files", "", "pg_write_server_files"),
    ("read_files", "IN ROLE ironclaw_app, pg_read_server_files", "", "pg_read_server_files"),
    ("signal", "IN ROLE ironclaw_app, pg_signal_backend", "", "pg_signal_backend"),
    ("checkpoint", "IN ROLE ironclaw_app, pg_checkpoint", "", "pg_checkpoint"),
    (
        "indirect",
        "IN ROLE ironclaw_app",
        "CREATE ROLE team IN ROLE pg_write_all_data; GRANT team TO indirect",
        "pg_write_all_data",
    ),
    (
        "database_owner",
        "IN ROLE ironclaw_app",
        "ALTER DATABASE agents OWNER TO database_owner; \
     ALTER SCHEMA public OWNER TO ironclaw_owner",
        "pg_database_owner",
    ),
    (
        "table_owner",
        "IN ROLE ironclaw_app",
        "CREATE TABLE ironclaw.its (); ALTER TABLE ironclaw.its OWNER TO table_owner",
        "the owner of ironclaw.its",
    ),
    (
        "function_owner",
        "IN ROLE ironclaw_app",
        "CREATE FUNCTION ironclaw.its() RETURNS integer LANGUAGE sql RETURN 1; \
     ALTER FUNCTION ironclaw.its OWNER TO function_owner",
        "the owner of ironclaw.its",
    ),
    ("auditing", "IN ROLE ironclaw_app, ironclaw_auditor", "", "the auditors' role"),
    ("all_tables", "IN ROLE ironclaw_app", "GRANT ALL ON ALL TABLES IN SCHEMA ironclaw TO all_tables", "to all_tables"),
    (
        "one_column",
        "IN ROLE ironclaw_app",
        "GRANT UPDATE (hash) ON ironclaw.audit_events TO one_column",
        "UPDATE on audit_events.hash",
    ),
    (
        "functions",
        "IN ROLE ironclaw_app",
        "GRANT EXECUTE ON FUNCTION ironclaw.append_to_chain TO functions",
        "EXECUTE on append_to_chain",
    ),
    (
        "sequence",
        "IN ROLE ironclaw_app",
        "GRANT USAGE ON SEQUENCE ironclaw.users_owner_no_seq TO sequence",
        "USAGE on users_owner_no_seq",
    ),
    (
        "of_a_group",
        "IN ROLE ironclaw_app",
        "CREATE ROLE readers; GRANT SELECT ON ironclaw.holds TO readers; GRANT readers TO of_a_group",
        "to readers",
    ),
    ("of_everybody", "IN ROLE ironclaw_app", "GRANT DELETE ON ironclaw.audit_events TO PUBLIC", "to PUBLIC"),
    (
        "of_the_application",
        "IN ROLE ironclaw_app",
        "GRANT DELETE ON ironclaw.audit_events TO ironclaw_app",
        "DELETE on audit_events to ironclaw_app",
    ),
    ("giving", "IN ROLE ironclaw_app", "GRANT SELECT ON ironclaw.settings TO giving WITH GRANT OPTION", "to giving"),
    (
        "setting",
        "IN ROLE ironclaw_app",
        "GRANT SET ON PARAMETER session_replication_role TO setting",
        "setting may SET the parameter session_replication_role",
    ),
    (
        "configuring",
        "IN ROLE ironclaw_app",
        "GRANT ALTER SYSTEM ON PARAMETER log_statement TO configuring",
        "configuring may ALTER SYSTEM the parameter log_statement",
    ),
    (
        "setting_as_team",
        "IN ROLE ironclaw_app",
        "CREATE ROLE team; GRANT SET ON PARAMETER session_replication_role TO team; GRANT team TO setting_as_team",
        "team may SET the parameter session_replication_role, and setting_as_team can be team",
    ),
    (
        "setting_as_all",
        "IN ROLE ironclaw_app",
        "GRANT SET ON PARAMETER lc_messages TO PUBLIC",
        "everybody may SET the parameter lc_messages",
    ),
    (
        "reading_files",
        "IN ROLE ironclaw_app",
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO reading_files",
        "reading_files has EXECUTE on function pg_read_file(text)",
    ),
    (
        "importing",
        "IN ROLE ironclaw_app",
        "CREATE ROLE team; GRANT EXECUTE ON FUNCTION lo_import(text) TO team; GRANT team TO importing",
        "team has EXECUTE on function lo_import(text)",
    ),
    (
        "reloading",
        "IN ROLE ironclaw_app",
        "GRANT EXECUTE ON FUNCTION pg_reload_conf() TO PUBLIC",
        "everybody has EXECUTE on function pg_reload_conf()",
    ),
    (
        "reading_passwords",
        "IN ROLE ironclaw_app",
        "GRANT SELECT (rolpassword) ON pg_authid TO reading_passwords",
        "has SELECT on column rolpassword of table pg_authid",
    ),
    (
        "reading_samples",
        "IN ROLE ironclaw_app, pg_monitor",
        "GRANT SELECT ON pg_statistic TO pg_monitor",
        "pg_monitor has SELECT on table pg_statistic",
    ),
    (
        "writing_the_catalogue",
        "IN ROLE ironclaw_app",
        "GRANT UPDATE ON pg_class TO writing_the_catalogue",
        "has UPDATE on table pg_class",
    ),
    (
        "connecting_elsewhere",
        "IN ROLE ironclaw_app",
        "CREATE EXTENSION dblink; GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO connecting_elsewhere",
        "has EXECUTE on function public.dblink_connect_u(text)",
    ),
    (
        "statistics_owner",
        "IN ROLE ironclaw_app",
        "CREATE STATISTICS public.its ON owner_no, key FROM ironclaw.settings; \
     ALTER STATISTICS public.its OWNER TO statistics_owner",
        "statistics_owner is the owner of statistics object public.its",
    ),
    (
        "publication_owner",
        "IN ROLE ironclaw_app",
        "CREATE PUBLICATION its; ALTER PUBLICATION its OWNER TO publication_owner",
        "publication_owner is the owner of publication its",
    ),
    (
        "subscription_owner",
        "IN ROLE ironclaw_app",
        "CREATE SUBSCRIPTION its CONNECTION 'dbname=none password=none' PUBLICATION its WITH (connect = false, slot_name = NONE); \
     ALTER SUBSCRIPTION its OWNER TO subscription_owner",
        "subscription_owner is the owner of subscription its",
    ),
    (
        "server_owner",
        "IN ROLE ironclaw_app",
        "CREATE FOREIGN DATA WRAPPER its; CREATE SERVER its FOREIGN DATA WRAPPER its; \
     ALTER SERVER its OWNER TO server_owner",
        "server_owner is the owner of server its",
    ),
    (
        "language_owner",
        "IN ROLE ironclaw_app",
        "ALTER LANGUAGE plpgsql OWNER TO language_owner",
        "language_owner is the owner of language plpgsql",
    ),
    (
        "deputy",
        "IN ROLE ironclaw_app",
        "GRANT ironclaw_app TO deputy WITH ADMIN OPTION",
        "deputy may give the rights of ironclaw_app to others",
    ),
    (
        "deputy_of_team",
        "IN ROLE ironclaw_app",
        "CREATE ROLE team IN ROLE ironclaw_app; GRANT team TO deputy_of_team WITH ADMIN OPTION",
        "deputy_of_team may give the rights of team to others",
    ),
];

/// What takes back whatever [`UNFIT`] gives to others than the role itself.
const TAKE_BACK: &str = "ALTER DATABASE agents OWNER TO CURRENT_USER; ALTER SCHEMA public OWNER TO pg_database_owner; \
    DROP TABLE IF EXISTS ironclaw.its; DROP FUNCTION IF EXISTS ironclaw.its; \
    REVOKE DELETE ON ironclaw.audit_events FROM PUBLIC, ironclaw_app; \
    REVOKE SET ON PARAMETER lc_messages FROM PUBLIC; REVOKE EXECUTE ON FUNCTION pg_reload_conf() FROM PUBLIC; \
    REVOKE SELECT ON pg_statistic FROM pg_monitor; ALTER LANGUAGE plpgsql OWNER TO CURRENT_USER; \
    DROP EXTENSION IF EXISTS dblink; DROP SUBSCRIPTION IF EXISTS its; DROP FOREIGN DATA WRAPPER IF EXISTS its CASCADE; \
    DO $$ DECLARE name text; BEGIN FOR name IN SELECT rolname FROM pg_roles WHERE rolname IN ('readers', 'team') LOOP \
    EXECUTE 'DROP OWNED BY ' || name; END LOOP; END $$; \
    DROP ROLE IF EXISTS readers, team";

async fn a_role_with_the_wrong_rights_is_refused() {
    // Roles belong to the whole server: those of this test are nobody else's concern.
    let server = own::start(&[]).await;
    let url = |role: &str| server.url(role, "secret", "agents");
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&own::operator_url(&server), operator).await.unwrap();
    let mut superuser = own::superuser(&server).await;
    let mut later = Vec::new();
    for (role, options, also, said) in UNFIT {
        must(&mut superuser, &format!("CREATE ROLE {role} LOGIN PASSWORD 'secret' {options}; {also}")).await;
        let error = PostgresStore::connect(&url(role)).await.err().unwrap_or_else(|| panic!("{role} was let in"));
        assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{role}: {error}");
        assert!(error.to_string().contains(said), "{role}: {error}");
        // Nobody need connect for it to be told; a superuser is nobody whom rights bind.
        let told = maintenance.check_integrity().await.unwrap();
        assert!(told.iter().any(|line| line.contains(said)) || *role == "superuser", "{role}: {told:?}");
        must(&mut superuser, TAKE_BACK).await;
        // Others are members of these.
        match *role {
            "superuser" | "replication" => later.push(*role),
            _ => drop(must(&mut superuser, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await),
        }
    }
    for role in later {
        must(&mut superuser, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    }
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    // Who sees the server's state, makes databases of its own, or has rights elsewhere may be the application.
    must(&mut superuser, "CREATE ROLE member LOGIN CREATEDB PASSWORD 'secret' IN ROLE ironclaw_app, pg_monitor").await;
    must(&mut superuser, "CREATE TABLE public.its (); GRANT ALL ON public.its TO member").await;
    PostgresStore::connect(&url("member")).await.unwrap().apply(&ada(), theme()).await.unwrap();
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
}

async fn a_role_without_the_rights_it_needs_is_refused() {
    let database = Database::fresh().await;
    let stranger = Role::new("stranger", "LOGIN").await;
    let hesitant = Role::new("hesitant", "LOGIN NOINHERIT IN ROLE ironclaw_app").await;
    let cases = [
        ("an auditor", auditor_url(database.name())),
        ("a stranger", stranger.url(&database)),
        ("one who would have to ask for its rights", hesitant.url(&database)),
    ];
    for (who, url) in cases {
        let error = PostgresStore::connect(&url).await.err().unwrap_or_else(|| panic!("{who} was let in"));
        assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{who}: {error}");
    }
    // Without any right to the schema, development is no help.
    let error = PostgresStore::builder().allow_privileged_role().connect(&stranger.url(&database)).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
}

async fn for_development_a_role_may_be_anything() {
    let database = Database::fresh().await;
    for url in [cluster().superuser_url(database.name()), operator_url(database.name())] {
        let store = PostgresStore::builder().allow_privileged_role().connect(&url).await.unwrap();
        store.apply(&ada(), theme()).await.unwrap();
        assert!(store.settings().setting(&ada(), &"theme".parse().unwrap()).await.unwrap().is_some());
        assert!(store.audit().verify(&ada()).await.unwrap().is_some());
    }
}

async fn a_role_that_was_put_on_hides_nothing() {
    let server = own::start(&[]).await;
    own::run(&server, "CREATE ROLE twofold LOGIN PASSWORD 'secret' IN ROLE ironclaw_app, ironclaw_owner").await;
    let put_on = |url: String, role: &str| {
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}options[role]={role}")
    };
    let both = server.url("twofold", "secret", "agents");
    let operator = OperatorName::parse("root").unwrap();
    let as_operator = put_on(both.clone(), "ironclaw_app");
    let error = PostgresStore::builder().connect_maintenance(&as_operator, operator).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
    let refused = async |url: &str| {
        let error = PostgresStore::connect(url).await.unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
    };
    for url in [server.superuser_url("agents"), both.clone()] {
        refused(&put_on(url, "ironclaw_app")).await;
    }
    own::run(&server, "ALTER ROLE twofold SET role = ironclaw_app").await;
    refused(&both).await;
    // One that has nothing to hide may put on what it likes.
    PostgresStore::connect(&put_on(own::app_url(&server), "ironclaw_app")).await.unwrap();
}

async fn many_roles_make_few_lines() {
    let server = own::start(&[]).await;
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&own::operator_url(&server), operator).await.unwrap();
    own::run(
        &server,
        "CREATE ROLE team IN ROLE ironclaw_app, pg_write_all_data; \
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pg_catalog TO team; \
         DO $$ BEGIN FOR nr IN 1..140 LOOP EXECUTE format('CREATE ROLE a%s LOGIN IN ROLE team; \
         GRANT SELECT ON ironclaw.users TO a%s; GRANT SET ON PARAMETER work_mem TO a%s', nr, nr, nr); END LOOP; END $$",
    )
    .await;
    let told = maintenance.check_integrity().await.unwrap();
    let is_told = |said: &str| told.iter().any(|line| line.contains(said));
    assert!(told.len() < 50, "{}: {told:#?}", told.len());
    for said in [
        "pg_write_all_data is the server's own role, and a1, a10, a100 and 137 others can be pg_write_all_data",
        "team has EXECUTE on function ",
        "grant SELECT on users to a1: no migration made it",
        "grant …: no migration made it: and 130 more",
        "a1 may SET the parameter work_mem",
        "by parameters: and 130 more",
        "by rights that the server keeps from everybody: and ",
    ] {
        assert!(is_told(said), "{said}: {told:#?}");
    }
}

/// Nobody gets in, nor does anything migrate: for what `named` says. What is to be run against it.
async fn refused(server: &Server, named: &str) -> String {
    let operator = OperatorName::parse("root").unwrap();
    let errors = [
        PostgresStore::connect(&own::app_url(server)).await.map(drop).unwrap_err(),
        PostgresMaintenance::connect(&own::operator_url(server), operator).await.map(drop).unwrap_err(),
        PostgresStore::migrate(&server.superuser_url("agents")).await.unwrap_err(),
    ];
    for error in &errors {
        assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
        assert!(error.context().contains(named), "{error}");
    }
    let advice = errors[0].context().split_once(": ").unwrap().1;
    advice.split_once(", or, if").unwrap().0.to_owned()
}

async fn who_may_take_the_owners_rights_is_refused() {
    let server = own::start(&[]).await;
    let operator = || OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&own::operator_url(&server), operator()).await.unwrap();
    own::run(&server, "CREATE ROLE deployer LOGIN CREATEROLE PASSWORD 'secret'").await;
    let deployer = server.url("deployer", "secret", "agents");
    let mut connection = PgConnection::connect(&deployer).await.unwrap();
    must(&mut connection, "CREATE ROLE web LOGIN; CREATE ROLE olga LOGIN").await;
    own::run(&server, "GRANT ironclaw_app TO web; GRANT ironclaw_owner TO olga").await;
    let advice = refused(&server, "deployer may take the owner's rights, as it has the ADMIN OPTION on olga").await;
    let told = maintenance.check_integrity().await.unwrap();
    for said in
        ["deployer may take the owner's rights", "right of deployer to give web to others: no migration made it"]
    {
        assert!(told.iter().any(|line| line.contains(said)), "{said}: {told:?}");
    }
    // It is so.
    must(&mut connection, "GRANT olga TO deployer; SET ROLE olga; SET ROLE ironclaw_owner").await;
    drop(connection);
    // Who has only that is no operator.
    own::run(&server, "REVOKE olga FROM deployer CASCADE; GRANT ironclaw_owner TO deployer WITH SET FALSE").await;
    let error = PostgresMaintenance::connect(&deployer, operator()).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
    own::run(&server, "REVOKE ironclaw_owner FROM deployer").await;
    // As the messages say.
    own::run(&server, "GRANT olga TO deployer WITH ADMIN TRUE, SET FALSE, INHERIT FALSE").await;
    refused(&server, "deployer may take").await;
    own::run(&server, &advice).await;
    PostgresStore::connect(&own::app_url(&server)).await.unwrap();
    own::run(&server, "REVOKE web FROM deployer").await;
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
}

async fn groups_that_others_made_beforehand_are_refused() {
    let server = need(Server::start(&[]));
    server.psql("postgres", "CREATE ROLE deployer LOGIN CREATEROLE PASSWORD 'secret'; CREATE DATABASE agents").unwrap();
    let mut connection = PgConnection::connect(&server.url("deployer", "secret", "postgres")).await.unwrap();
    must(&mut connection, "CREATE ROLE ironclaw_owner; CREATE ROLE ironclaw_app; CREATE ROLE ironclaw_auditor").await;
    let migrate = async || PostgresStore::migrate(&server.superuser_url("agents")).await;
    let error = migrate().await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
    assert!(error.context().contains("deployer may take the owner's rights"), "{error}");
    // Who is trusted may have it.
    server.psql("postgres", "GRANT ironclaw_owner TO deployer WITH SET TRUE, INHERIT TRUE").unwrap();
    migrate().await.unwrap();
    let operator = OperatorName::parse("root").unwrap();
    let maintenance =
        PostgresMaintenance::connect(&server.url("deployer", "secret", "agents"), operator).await.unwrap();
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
}
