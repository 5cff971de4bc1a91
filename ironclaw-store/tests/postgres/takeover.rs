//! Nothing that others made is called with our rights, wherever they may make it.

use ironclaw_core::conformance::store::Sample;
use ironclaw_core::id::{ErasureId, OperatorName};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::UserStatus;
use ironclaw_core::model::privacy::RetainedCategory;
use ironclaw_core::store::{MemoryStore, StoreErrorKind};
use ironclaw_core::{Clock, Maintenance, Scope, Store, SystemClock};
use ironclaw_store::{LibsqlStore, PostgresMaintenance, PostgresStore, Selection, copy_store};
use sqlx::{Connection, PgConnection};

use crate::database::{Database, app_url, cluster, operator_url};
use crate::library::{self, File, Random};
use crate::raw::{Role, application, enter, must};

ironclaw_testing::tests![
    nothing_is_looked_up_where_others_write,
    who_may_write_to_public_takes_nothing_over,
    what_a_schema_held_before_it_was_the_stores_is_refused,
    who_owns_what_is_pgvectors_is_trusted,
    who_may_write_to_the_servers_own_schema_is_trusted,
    the_check_reads_no_table_of_somebody_elses,
    a_database_that_is_not_utf8_is_refused,
];

fn operator() -> OperatorName {
    OperatorName::parse("olga").unwrap()
}

fn user(name: &str) -> Scope {
    Scope::user(name).unwrap()
}

/// Makes something else under the name of everything that the system's catalogue has, in the schema `public`: functions
/// and operators with the same arguments, those that take any type for many, types and tables. What it makes does
/// nothing; the server counts the calls.
const SHADOWS: &str = r#"
    CREATE FUNCTION pg_temp.shadow(name text, arguments text, result text, returns_set boolean) RETURNS void
    LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS ''BEGIN RETURN%s; END''', name,
            arguments, CASE WHEN returns_set THEN 'SETOF' END, result,
            CASE WHEN NOT returns_set AND result <> 'void' THEN ' NULL' END);
    -- What can't be made can't be called.
    EXCEPTION WHEN OTHERS THEN NULL;
    END $$;
    -- The name of a type, with `of` in place of any.
    CREATE FUNCTION pg_temp.with_type(type oid, of text) RETURNS text LANGUAGE sql AS $$
        SELECT CASE WHEN type::regtype::text ~ '^any.*array$' THEN of || '[]' WHEN type::regtype::text ~ '^any' THEN of
            ELSE format('pg_catalog.%I', (SELECT t.typname FROM pg_type t WHERE t.oid = type)) END $$;
    DO $$
    DECLARE
        f record;
        type text;
        types text[] := ARRAY['text', 'bigint', 'integer', 'smallint', 'bytea', 'uuid', 'json', 'real'];
    BEGIN
        FOR f IN SELECT p.proname, p.proargtypes, p.prorettype, p.proretset,
            EXISTS (SELECT FROM unnest(p.proargtypes) t WHERE t::regtype::text ~ '^any') AS is_any
            FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind <> 'p'
        LOOP
            FOREACH type IN ARRAY CASE WHEN f.is_any THEN types ELSE types[1:1] END LOOP
                PERFORM pg_temp.shadow(f.proname, (SELECT string_agg(pg_temp.with_type(t, type), ', ' ORDER BY nr)
                    FROM unnest(f.proargtypes) WITH ORDINALITY a (t, nr)), pg_temp.with_type(f.prorettype, type), f.proretset);
            END LOOP;
        END LOOP;
        FOR f IN SELECT o.oprname, o.oprleft, o.oprright, o.oprresult,
            o.oprleft::regtype::text ~ '^any' OR o.oprright::regtype::text ~ '^any' AS is_any, o.oid
            FROM pg_operator o WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprresult <> 0
        LOOP
            FOREACH type IN ARRAY CASE WHEN f.is_any THEN types ELSE types[1:1] END LOOP
                PERFORM pg_temp.shadow('operator_' || f.oid, concat_ws(', ', CASE WHEN f.oprleft <> 0
                    THEN pg_temp.with_type(f.oprleft, type) END, pg_temp.with_type(f.oprright, type)),
                    pg_temp.with_type(f.oprresult, type), false);
                BEGIN
                    EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.operator_%s, %s RIGHTARG = %s)', f.oprname,
                        f.oid, CASE WHEN f.oprleft <> 0 THEN format('LEFTARG = %s,', pg_temp.with_type(f.oprleft, type)) END,
                        pg_temp.with_type(f.oprright, type));
                EXCEPTION WHEN OTHERS THEN NULL;
                END;
            END LOOP;
        END LOOP;
        CREATE FUNCTION public.is_looked_at() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
        FOREACH type IN ARRAY ARRAY['text', 'bytea', 'uuid', 'json', 'jsonb', 'timestamptz', 'name', 'regclass',
            'regnamespace', 'regrole', 'oid', 'pg_lsn', 'inet'] LOOP
            EXECUTE format('CREATE DOMAIN public.%I AS pg_catalog.%I CHECK (public.is_looked_at())', type, type);
        END LOOP;
        FOR f IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace
            AND c.relkind IN ('r', 'v')
        LOOP
            BEGIN
                EXECUTE format('CREATE VIEW public.%I AS SELECT * FROM pg_catalog.%I WHERE public.is_looked_at()',
                    f.relname, f.relname);
            EXCEPTION WHEN OTHERS THEN NULL;
            END;
        END LOOP;
    END $$;
"#;

/// The functions that were called although they stand where others write. The extension's own are meant.
const CALLED: &str = "SELECT s.funcname::text FROM pg_catalog.pg_stat_user_functions s \
    WHERE s.schemaname = 'public' AND s.calls > 0 \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = s.funcid AND d.deptype = 'e') ORDER BY 1";

/// A database without the store's schema, on a server that has the roles, in which `public` comes before the system's
/// catalogue and holds something else under each name of that.
async fn shadowed() -> (Database, PgConnection) {
    drop(Database::fresh().await);
    let database = Database::empty().await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, "SET search_path = pg_catalog; CREATE EXTENSION vector SCHEMA public").await;
    must(&mut superuser, SHADOWS).await;
    let made: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_proc WHERE proname = 'unnest' AND pronamespace = 2200")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert!(made >= 8, "{made}");
    let name = database.name();
    must(
        &mut superuser,
        &format!(
            "GRANT ALL ON SCHEMA public TO PUBLIC; ALTER DATABASE {name} SET search_path = public, pg_catalog; \
             ALTER DATABASE {name} SET track_functions = 'all'"
        ),
    )
    .await;
    (database, superuser)
}

/// What was called once everybody else has left the database: then the server has counted.
async fn called(superuser: &mut PgConnection) -> Vec<String> {
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut *superuser).await.unwrap() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    must(superuser, "SELECT pg_stat_clear_snapshot()").await;
    sqlx::query_scalar(CALLED).fetch_all(superuser).await.unwrap()
}

async fn nothing_is_looked_up_where_others_write() {
    let (database, mut superuser) = shadowed().await;
    // They are there to be called.
    let mut anybody = database.superuser().await;
    must(&mut anybody, "SELECT unnest(ARRAY['a'::pg_catalog.text])").await;
    drop(anybody);
    assert_eq!(called(&mut superuser).await, ["unnest"]);
    must(&mut superuser, "SELECT pg_stat_reset()").await;

    for _ in 0..2 {
        PostgresStore::migrate(&cluster().superuser_url(database.name())).await.unwrap();
    }
    let url = app_url(database.name());
    let store = PostgresStore::connect(&url).await.unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator()).await.unwrap();
    let (ada, bob) = (user("ada"), user("bob"));
    let sample = Sample::write(&store, &ada, SystemClock.now()).await.unwrap();
    sample.read(&store, &ada).await.unwrap();
    // Enough for an index, which is made and asked.
    let mut random = Random(5);
    library::register(&store, &bob, "test/8", 8).await;
    library::write(&store, &bob, &File::of_vectors("all", "test/8", random.vectors(8, 4_200))).await;
    assert_eq!(maintenance.index_vectors().await.unwrap().made, 1);
    let near = library::near("test/8", &random.vectors(8, 1)[0]);
    assert_eq!(store.workspace().search_vectors(&bob, &near, &Default::default(), 5).await.unwrap().len(), 5);
    // What operators do.
    let (tenant, owner) = (ada.tenant().clone(), ada.owner().clone());
    for change in [
        SystemChange::PutUser {
            tenant: tenant.clone(),
            owner: ada.person().clone(),
            status: UserStatus::Active,
            roles: Vec::new(),
        },
        SystemChange::PutRetention { tenant: tenant.clone(), category: RetainedCategory::Jobs, days: 30 },
    ] {
        maintenance.apply_system(change).await.unwrap();
    }
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    maintenance.verify_audit().await.unwrap();
    maintenance.apply_retention().await.unwrap();
    let elsewhere = LibsqlStore::in_memory().await.unwrap().maintenance(operator());
    let what = Selection::User { tenant: tenant.clone(), owner: owner.clone() };
    copy_store(&maintenance, &elsewhere, &what, |_| {}).await.unwrap();
    let id = ErasureId::make(&SystemClock);
    maintenance.apply_system(SystemChange::EraseUser { tenant, owner, id }).await.unwrap();
    maintenance.scrub().await.unwrap();
    store.close().await.unwrap();
    // With two servers there is more to ask of them.
    let store = PostgresStore::connect_with_replica(&url, &url).await.unwrap();
    let sample = Sample::write(&store, &user("cid"), SystemClock.now()).await.unwrap();
    sample.read(&store, &user("cid")).await.unwrap();
    store.close().await.unwrap();
    maintenance.close().await;
    assert_eq!(called(&mut superuser).await, Vec::<String>::new());
}

async fn who_may_write_to_public_takes_nothing_over() {
    let database = Database::fresh().await;
    let stranger = Role::new("planter", "LOGIN").await;
    let mut superuser = database.superuser().await;
    // As is usual since public is not everybody's any more.
    must(&mut superuser, &format!("GRANT ALL ON SCHEMA public TO ironclaw_app, {}", stranger.0)).await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator()).await.unwrap();
    Sample::write(&store, &user("ada"), SystemClock.now()).await.unwrap();
    let events = must(&mut superuser, "SELECT FROM ironclaw.audit_events").await;
    for (name, argument, result) in [("unnest", "text[]", "SETOF text"), ("quote_ident", "name", "text")] {
        let call = match result {
            "text" => "RETURN pg_catalog.quote_ident($1::text)",
            _ => "RETURN QUERY SELECT pg_catalog.unnest($1)",
        };
        let plant = format!(
            "CREATE FUNCTION public.{name}({argument}) RETURNS {result} LANGUAGE plpgsql AS $f$ BEGIN \
             IF current_user = 'ironclaw_owner' THEN EXECUTE 'CREATE FUNCTION ironclaw.back_door_{name}() RETURNS void \
             LANGUAGE sql SECURITY DEFINER AS $$ SELECT $$'; END IF; {call}; END $f$"
        );
        let mut planter = PgConnection::connect(&stranger.url(&database)).await.unwrap();
        must(&mut planter, &plant).await;
    }
    // Something to sweep.
    let mut application = application(database.name()).await;
    must(&mut application, "BEGIN").await;
    assert!(enter(&mut application, "default", "ada").await);
    must(
        &mut application,
        "UPDATE ironclaw.entry_versions SET state = 2; DELETE FROM ironclaw.workspace_entries; COMMIT",
    )
    .await;
    maintenance.scrub().await.unwrap();
    let left = "SELECT FROM pg_proc WHERE proname LIKE 'back_door%'";
    assert_eq!(must(&mut superuser, left).await, 0, "what somebody planted ran as the owner");
    assert_eq!(must(&mut superuser, "SELECT FROM ironclaw.audit_events").await, events);
    PostgresStore::connect(&app_url(database.name())).await.unwrap();
    must(&mut superuser, &format!("DROP OWNED BY {}", stranger.0)).await;
}

/// Nobody gets in, the migration neither: `named` says why.
async fn assert_refused(database: &Database, named: &str) {
    let errors = [
        PostgresStore::connect(&app_url(database.name())).await.map(drop).unwrap_err(),
        PostgresMaintenance::connect(&operator_url(database.name()), operator()).await.map(drop).unwrap_err(),
        PostgresStore::migrate(&cluster().superuser_url(database.name())).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

async fn what_a_schema_held_before_it_was_the_stores_is_refused() {
    drop(Database::fresh().await);
    let database = Database::empty().await;
    let stranger = Role::new("founder", "LOGIN").await;
    let mut superuser = database.superuser().await;
    let found = format!("CREATE SCHEMA ironclaw AUTHORIZATION {}", stranger.0);
    must(&mut superuser, &found).await;
    let plants = [
        (
            "CREATE FUNCTION ironclaw.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS \
             $$ BEGIN EXECUTE 'RESET ROLE'; RETURN QUERY SELECT pg_catalog.unnest($1); END $$",
            "DROP FUNCTION ironclaw.unnest(text[])",
        ),
        ("CREATE TABLE ironclaw.migrations (version text, applied_at bigint)", "DROP TABLE ironclaw.migrations"),
        ("CREATE DOMAIN ironclaw.text AS pg_catalog.text", "DROP DOMAIN ironclaw.text"),
        (
            "CREATE OPERATOR ironclaw.= (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text)",
            "DROP OPERATOR ironclaw.= (text, text)",
        ),
    ];
    for (plant, drop) in plants {
        must(&mut superuser, &format!("ALTER SCHEMA ironclaw OWNER TO {}", stranger.0)).await;
        must(&mut PgConnection::connect(&stranger.url(&database)).await.unwrap(), plant).await;
        // As the message says that it is to be done.
        must(&mut superuser, "ALTER SCHEMA ironclaw OWNER TO ironclaw_owner").await;
        let error = PostgresStore::migrate(&cluster().superuser_url(database.name())).await.unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{plant}: {error}");
        assert!(error.to_string().contains(&stranger.0), "{plant}: {error}");
        must(&mut superuser, drop).await;
    }
    PostgresStore::migrate(&cluster().superuser_url(database.name())).await.unwrap();
    PostgresStore::connect(&app_url(database.name())).await.unwrap();
}

async fn who_owns_what_is_pgvectors_is_trusted() {
    let database = Database::fresh().await;
    let stranger = Role::new("maker", "LOGIN").await;
    let mut superuser = database.superuser().await;
    for (object, kind) in [
        ("FUNCTION public.vector_to_halfvec(public.vector, integer, boolean)", "function"),
        ("TYPE public.halfvec", "type"),
        ("OPERATOR CLASS public.halfvec_cosine_ops USING hnsw", "operator class"),
    ] {
        must(&mut superuser, &format!("ALTER {object} OWNER TO {}", stranger.0)).await;
        assert_refused(&database, kind).await;
        must(&mut superuser, &format!("ALTER {object} OWNER TO CURRENT_USER")).await;
    }
    PostgresStore::connect(&app_url(database.name())).await.unwrap();
}

async fn who_may_write_to_the_servers_own_schema_is_trusted() {
    let database = Database::fresh().await;
    let stranger = Role::new("cataloguer", "LOGIN").await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, &format!("GRANT CREATE ON SCHEMA pg_catalog TO {}", stranger.0)).await;
    assert_refused(&database, "the schema pg_catalog").await;
    let plant = "CREATE FUNCTION pg_catalog.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS $$ SELECT 'planted' $$";
    must(&mut PgConnection::connect(&stranger.url(&database)).await.unwrap(), plant).await;
    must(&mut superuser, &format!("REVOKE CREATE ON SCHEMA pg_catalog FROM {}", stranger.0)).await;
    assert_refused(&database, "the owner of pg_catalog.unnest").await;
    must(&mut superuser, "DROP FUNCTION pg_catalog.unnest(text[])").await;
    PostgresStore::connect(&app_url(database.name())).await.unwrap();
}

async fn the_check_reads_no_table_of_somebody_elses() {
    let database = Database::fresh().await;
    let stranger = Role::new("host", "LOGIN").await;
    let mut superuser = database.superuser().await;
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator()).await.unwrap();
    let plant = format!(
        "CREATE FUNCTION public.spy() RETURNS boolean LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'read as %', current_user; END $$; \
         CREATE TABLE ironclaw.planted (id bigint PRIMARY KEY); INSERT INTO ironclaw.planted VALUES (1); \
         ALTER TABLE ironclaw.planted ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY spy ON ironclaw.planted USING (public.spy()); \
         GRANT SELECT ON ironclaw.planted TO ironclaw_owner; ALTER TABLE ironclaw.planted OWNER TO {}",
        stranger.0
    );
    must(&mut superuser, &plant).await;
    let wrong = maintenance.check_integrity().await;
    must(&mut superuser, "DROP TABLE ironclaw.planted; DROP FUNCTION public.spy()").await;
    let wrong = wrong.unwrap();
    assert!(wrong.iter().any(|line| line.starts_with("table planted: no migration made it")), "{wrong:?}");
    assert!(wrong.iter().any(|line| line.contains("the owner of ironclaw.planted")), "{wrong:?}");
    assert!(!wrong.iter().any(|line| line.contains("looked at")), "it was read: {wrong:?}");
}

async fn a_database_that_is_not_utf8_is_refused() {
    drop(Database::fresh().await);
    for encoding in ["LATIN1", "SQL_ASCII", "EUC_JP"] {
        let database = Database::encoded(encoding).await;
        let mut superuser = database.superuser().await;
        let url = cluster().superuser_url(database.name());
        let error = PostgresStore::migrate(&url).await.unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::UnsupportedEncoding, "{error}");
        assert!(error.to_string().contains(encoding) && error.to_string().contains("UTF8"), "{error}");
        assert_eq!(must(&mut superuser, "SELECT FROM pg_namespace WHERE nspname = 'ironclaw'").await, 0);
        for url in [app_url(database.name()), url] {
            let error = PostgresStore::builder().allow_privileged_role().connect(&url).await.unwrap_err();
            assert_eq!(*error.kind(), StoreErrorKind::UnsupportedEncoding, "{error}");
        }
        let error = PostgresMaintenance::connect(&operator_url(database.name()), operator()).await.unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::UnsupportedEncoding, "{error}");
    }
}
