//! Who may be the application, and who is told of that may not.

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::{OperatorName, UserId};
use ironclaw_core::store::{Apply, Store, StoreErrorKind, VaultStore};
use ironclaw_core::{Change, Maintenance, Scope};
use ironclaw_store::{PostgresMaintenance, PostgresStore};

use crate::database::{Database, auditor_url, cluster, operator_url};
use crate::own;
use crate::raw::{Role, must};

ironclaw_testing::tests![
    a_role_with_the_wrong_rights_is_refused,
    a_role_without_the_rights_it_needs_is_refused,
    for_development_a_role_may_be_anything,
    a_role_that_was_put_on_hides_nothing,
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
        "the owner's role",
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
];

/// What takes back whatever [`UNFIT`] gives to others than the role itself.
const TAKE_BACK: &str = "ALTER DATABASE agents OWNER TO CURRENT_USER; ALTER SCHEMA public OWNER TO pg_database_owner; \
    DROP TABLE IF EXISTS ironclaw.its; DROP FUNCTION IF EXISTS ironclaw.its; \
    REVOKE DELETE ON ironclaw.audit_events FROM PUBLIC, ironclaw_app; \
    DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'readers') THEN DROP OWNED BY readers; END IF; END $$; \
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
