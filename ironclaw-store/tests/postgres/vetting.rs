//! Who may be the application, and who is told of that may not.

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::OperatorName;
use ironclaw_core::store::{Apply, Store, StoreErrorKind, VaultStore};
use ironclaw_core::{Change, Maintenance, Scope};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use ironclaw_testing::{Server, need};
use sqlx::{Connection, PgConnection};

use crate::database::{Database, auditor_url, cluster, operator_url};
use crate::own;
use crate::raw::{Role, must};

mod unfit;

ironclaw_testing::tests![
    a_role_with_the_wrong_rights_is_refused,
    a_role_without_the_rights_it_needs_is_refused,
    for_development_a_role_may_be_anything,
    a_role_that_was_put_on_hides_nothing,
    many_roles_make_few_lines,
    who_is_bound_by_nothing_is_told,
    who_may_take_the_owners_rights_is_refused,
    groups_that_others_made_beforehand_are_refused,
];

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

fn theme() -> Change {
    Change::new().with(SettingOp::Put { key: "theme".parse().unwrap(), value: "dark".into() })
}

async fn a_role_with_the_wrong_rights_is_refused() {
    // Roles belong to the whole server: those of this test are nobody else's concern.
    let server = own::start(&[]).await;
    let url = |role: &str| server.url(role, "secret", "agents");
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&own::operator_url(&server), operator).await.unwrap();
    let mut superuser = own::superuser(&server).await;
    let mut later = Vec::new();
    for (role, options, also, said) in unfit::UNFIT {
        must(&mut superuser, &format!("CREATE ROLE {role} LOGIN PASSWORD 'secret' {options}; {also}")).await;
        let error = PostgresStore::connect(&url(role)).await.err().unwrap_or_else(|| panic!("{role} was let in"));
        assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{role}: {error}");
        assert!(error.to_string().contains(said), "{role}: {error}");
        // Nobody need connect for it to be told; a superuser is nobody whom rights bind.
        let told = maintenance.check_integrity().await.unwrap();
        assert!(told.iter().any(|line| line.contains(said)) || *role == "superuser", "{role}: {told:?}");
        must(&mut superuser, unfit::TAKE_BACK).await;
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

/// A superuser is a member of every role, and is told of only where somebody made it one of these.
async fn who_is_bound_by_nothing_is_told() {
    let server = own::start(&[]).await;
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&own::operator_url(&server), operator).await.unwrap();
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    let made = "CREATE ROLE sue SUPERUSER LOGIN; CREATE ROLE team IN ROLE ironclaw_app; \
                CREATE ROLE ann SUPERUSER LOGIN IN ROLE team; CREATE ROLE aldo BYPASSRLS LOGIN IN ROLE ironclaw_auditor";
    own::run(&server, made).await;
    let told = maintenance.check_integrity().await.unwrap();
    assert!(told.iter().any(|line| line.contains("ann is superuser")), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("aldo is BYPASSRLS")), "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("sue")), "{told:#?}");
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
    assert!(error.context().contains("GRANT ironclaw_owner TO it WITH SET TRUE"), "{error}");
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
