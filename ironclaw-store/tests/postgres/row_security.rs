//! No statement of the application reaches a row of somebody in whose scope it does not run: for every table.

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::{IdempotencyKey, OperatorName};
use ironclaw_core::maintenance::Maintenance;
use ironclaw_core::store::Apply;
use ironclaw_core::{Change, PageRequest, Scope};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use sqlx::PgConnection;

use crate::database::{Database, app_url, operator_url};
use crate::raw::{DENIED, application, enter, must, run};

ironclaw_testing::tests![
    without_a_scope_nothing_is_in_reach,
    within_another_users_scope_only_their_rows_are_in_reach,
    a_scope_ends_with_its_transaction,
    the_systems_own_chain_is_in_no_scope,
    every_table_has_its_policies,
    names_that_nobody_can_have_do_not_become_known,
];

/// Tables without rows of a user or a tenant. The application has no right to change any of them.
const OF_NOBODY: [&str; 3] = ["audit_checkpoints", "erasures", "migrations"];

/// A column, the name of its type, and whether the application may update it.
type Column = (String, String, bool);

/// A table with rows of users or tenants.
struct Table {
    name: String,
    /// The columns that are not numbered by the server.
    columns: Vec<Column>,
    /// Whether its rows belong to a tenant and to no user of it.
    of_tenant: bool,
    may_select: bool,
    may_insert: bool,
    may_delete: bool,
}

/// A user of the store.
struct User {
    tenant: &'static str,
    owner: &'static str,
    number: i64,
}

/// A store in which three users have rows in every table.
struct Seeded {
    database: Database,
    tables: Vec<Table>,
    /// Whose rows others are after.
    ada: User,
    /// Of the same tenant.
    bob: User,
    /// Of the same name in another tenant.
    namesake: User,
}

impl Table {
    /// The condition for the rows of a user.
    fn rows_of(&self, user: &User) -> String {
        match self.of_tenant {
            true => format!("tenant = '{}'", user.tenant),
            false => format!("owner_no = {}", user.number),
        }
    }

    /// A statement that inserts a row for a user, which only a key that is taken may keep out.
    fn insert(&self, user: &User) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, ..)| format!(r#""{name}""#)).collect();
        let values: Vec<_> = self.columns.iter().map(|column| value(column, user)).collect();
        format!("INSERT INTO ironclaw.{} ({}) VALUES ({})", self.name, names.join(", "), values.join(", "))
    }

    /// A statement that gives all rows in reach to a user.
    fn give_away(&self, user: &User) -> String {
        let column = self.columns.iter().find(|(name, ..)| name == "tenant" || name == "owner_no").unwrap();
        format!("UPDATE ironclaw.{} SET {} = {}", self.name, column.0, value(column, user))
    }

    /// A statement that updates all rows in reach without reading any, if the application may run one.
    fn update(&self) -> (String, bool) {
        let allowed = self.columns.iter().find(|(name, _, may_update)| *may_update && name != "owner_no");
        let column = allowed.or(self.columns.last()).unwrap();
        let nobody = User { tenant: "", owner: "", number: 0 };
        (format!("UPDATE ironclaw.{} SET {} = {}", self.name, column.0, value(column, &nobody)), allowed.is_some())
    }
}

/// What may stand in a column of a user's row.
fn value((name, kind, _): &Column, user: &User) -> String {
    match (name.as_str(), kind.as_str()) {
        ("owner_no", _) => user.number.to_string(),
        ("tenant", _) => format!("'{}'", user.tenant),
        ("owner", _) => format!("'{}'", user.owner),
        ("stream" | "pseudonym" | "user", "bytea") => "uuid_send(gen_random_uuid())".to_owned(),
        ("principals" | "subjects", "bytea") => "''".to_owned(),
        (_, "bytea") => "sha256(uuid_send(gen_random_uuid()))".to_owned(),
        (_, "uuid") => "gen_random_uuid()".to_owned(),
        (_, "bigint" | "integer" | "smallint") => "1".to_owned(),
        (_, "boolean") => "true".to_owned(),
        (_, "json" | "bigint[]") => "'{}'".to_owned(),
        (_, "text") => "'x'".to_owned(),
        (_, "timestamp with time zone") => "now()".to_owned(),
        (_, "vector") => "'[1,2]'".to_owned(),
        _ => panic!("what may stand in a column {name} of type {kind}?"),
    }
}

impl Seeded {
    async fn new() -> Self {
        let database = Database::fresh().await;
        let mut superuser = database.superuser().await;
        let tables = tables(&mut superuser).await;
        // What refers to what is no matter here, and must not be what keeps a row from being changed.
        let references: Vec<String> = sqlx::query_scalar(
            "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint \
             WHERE contype = 'f' AND connamespace = 'ironclaw'::regnamespace",
        )
        .fetch_all(&mut superuser)
        .await
        .unwrap();
        must(&mut superuser, &references.join(";")).await;
        let ada = known(&database, &mut superuser, "acme", "ada").await;
        let bob = known(&database, &mut superuser, "acme", "bob").await;
        let namesake = known(&database, &mut superuser, "globex", "ada").await;
        for table in &tables {
            for user in [&ada, &bob, &namesake] {
                if rows(&mut superuser, table, user).await == 0 {
                    must(&mut superuser, &table.insert(user)).await;
                }
                assert!(rows(&mut superuser, table, user).await > 0, "{} is empty", table.name);
            }
        }
        Self { database, tables, ada, bob, namesake }
    }
}

/// All tables with rows of users or tenants, whatever the schema has.
async fn tables(superuser: &mut PgConnection) -> Vec<Table> {
    let names: Vec<(String, bool, bool, bool)> = sqlx::query_as(
        "SELECT relname::text, has_any_column_privilege('ironclaw_app', oid, 'SELECT'), \
         has_table_privilege('ironclaw_app', oid, 'INSERT'), has_table_privilege('ironclaw_app', oid, 'DELETE') \
         FROM pg_class WHERE relnamespace = 'ironclaw'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f') \
         AND relname <> ALL ($1) ORDER BY relname",
    )
    .bind(OF_NOBODY)
    .fetch_all(&mut *superuser)
    .await
    .unwrap();
    assert!(names.len() > 30, "{names:?}");
    let mut tables = Vec::new();
    for (name, may_select, may_insert, may_delete) in names {
        let columns: Vec<Column> = sqlx::query_as(
            "SELECT attname::text, format_type(atttypid, NULL), \
             has_column_privilege('ironclaw_app', attrelid, attnum, 'UPDATE') FROM pg_attribute \
             WHERE attrelid = ('ironclaw.' || $1)::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' \
             AND attgenerated = '' ORDER BY attnum",
        )
        .bind(&name)
        .fetch_all(&mut *superuser)
        .await
        .unwrap();
        let has = |column: &str| columns.iter().any(|(name, ..)| name == column);
        let of_tenant = has("tenant") && !has("owner");
        assert!(has("owner_no") || has("tenant"), "whose are the rows of {name}?");
        tables.push(Table { name, columns, of_tenant, may_select, may_insert, may_delete });
    }
    tables
}

/// Makes a user known to the store, through it.
async fn known(database: &Database, superuser: &mut PgConnection, tenant: &'static str, owner: &'static str) -> User {
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let scope = Scope::tenant_user(tenant, owner).unwrap();
    let change = Change::new()
        .with(SettingOp::Put { key: "theme".parse().unwrap(), value: "dark".into() })
        .idempotent(IdempotencyKey::parse("once").unwrap());
    store.apply(&scope, change).await.unwrap();
    let number = sqlx::query_scalar("SELECT owner_no FROM ironclaw.users WHERE tenant = $1 AND owner = $2");
    let number = number.bind(tenant).bind(owner).fetch_one(superuser).await.unwrap();
    User { tenant, owner, number }
}

async fn rows(superuser: &mut PgConnection, table: &Table, user: &User) -> u64 {
    must(superuser, &format!("SELECT FROM ironclaw.{} WHERE {}", table.name, table.rows_of(user))).await
}

/// Runs a statement in the scope of a user, or in none, and rolls it back.
async fn attempt(application: &mut PgConnection, scope: Option<&User>, sql: &str) -> Result<u64, String> {
    must(application, "BEGIN").await;
    if let Some(user) = scope {
        assert!(enter(application, user.tenant, user.owner).await);
    }
    let outcome = run(application, sql).await;
    must(application, "ROLLBACK").await;
    outcome
}

async fn without_a_scope_nothing_is_in_reach() {
    let Seeded { database, tables, ada, .. } = Seeded::new().await;
    let mut application = application(database.name()).await;
    let denied = Err(DENIED.to_owned());
    for table in &tables {
        let (update, may_update) = table.update();
        for (sql, is_granted) in [
            (format!("SELECT FROM ironclaw.{}", table.name), table.may_select),
            (update, may_update),
            (format!("DELETE FROM ironclaw.{}", table.name), table.may_delete),
        ] {
            let expected = if is_granted { Ok(0) } else { denied.clone() };
            assert_eq!(attempt(&mut application, None, &sql).await, expected, "{sql}");
        }
        for sql in [table.insert(&ada), format!("TRUNCATE ironclaw.{}", table.name)] {
            assert_eq!(attempt(&mut application, None, &sql).await, denied, "{sql}");
        }
    }
}

async fn within_another_users_scope_only_their_rows_are_in_reach() {
    let Seeded { database, tables, ada, bob, namesake } = Seeded::new().await;
    let mut superuser = database.superuser().await;
    let mut application = application(database.name()).await;
    for table in &tables {
        for own in [&bob, &namesake] {
            if table.of_tenant && own.tenant == ada.tenant {
                continue;
            }
            let (name, hers, granted) = (&table.name, table.rows_of(&ada), |is| move |rows| expected(is, rows));
            let (select, delete) = (granted(table.may_select), granted(table.may_delete));
            let (all, may_update) = table.update();
            let update = granted(may_update);
            let mine = rows(&mut superuser, table, own).await;
            for (sql, expected) in [
                // The statements do what they say to one's own rows, and so are no idle words about another's.
                (format!("SELECT FROM ironclaw.{name}"), select(mine)),
                (format!("SELECT FROM ironclaw.{name} WHERE {hers}"), select(0)),
                // Without a condition no row is read, and it is not the policy for reading that keeps others' safe.
                (all.clone(), update(mine)),
                (format!("{all} WHERE {hers}"), update(0)),
                (table.give_away(&ada), Err(DENIED.to_owned())),
                (format!("DELETE FROM ironclaw.{name}"), delete(mine)),
                (format!("DELETE FROM ironclaw.{name} WHERE {hers}"), delete(0)),
                (table.insert(&ada), Err(DENIED.to_owned())),
                (format!("TRUNCATE ironclaw.{name}"), Err(DENIED.to_owned())),
            ] {
                assert_eq!(attempt(&mut application, Some(own), &sql).await, expected, "{sql}");
            }
            // A key that is taken is found out only after row-level security let the row in.
            let own_row = attempt(&mut application, Some(own), &table.insert(own)).await;
            match table.may_insert {
                true => {
                    assert!(matches!(own_row.as_ref().map_err(String::as_str), Ok(1) | Err("23505")), "{own_row:?}")
                }
                false => assert_eq!(own_row, Err(DENIED.to_owned()), "{name}"),
            }
        }
    }
}

fn expected(is_granted: bool, rows: u64) -> Result<u64, String> {
    if is_granted { Ok(rows) } else { Err(DENIED.to_owned()) }
}

async fn a_scope_ends_with_its_transaction() {
    let Seeded { database, ada, bob, .. } = Seeded::new().await;
    let mut application = application(database.name()).await;
    for end in ["COMMIT", "ROLLBACK"] {
        must(&mut application, "BEGIN").await;
        assert!(enter(&mut application, ada.tenant, ada.owner).await);
        assert!(must(&mut application, "SELECT FROM ironclaw.settings").await > 0);
        must(&mut application, end).await;
        assert_eq!(must(&mut application, "SELECT FROM ironclaw.settings").await, 0, "{end}");
        assert_eq!(must(&mut application, "SELECT FROM ironclaw.users").await, 0, "{end}");
    }
    // Nor does anything of a scope stay when another one is entered.
    must(&mut application, "BEGIN").await;
    assert!(enter(&mut application, ada.tenant, ada.owner).await);
    assert!(enter(&mut application, bob.tenant, bob.owner).await);
    let his = format!("SELECT FROM ironclaw.settings WHERE owner_no <> {}", bob.number);
    assert_eq!(must(&mut application, &his).await, 0);
    assert!(!enter(&mut application, "acme", "nobody").await);
    assert_eq!(must(&mut application, "SELECT FROM ironclaw.settings").await, 0);
}

async fn the_systems_own_chain_is_in_no_scope() {
    let Seeded { database, .. } = Seeded::new().await;
    let mut superuser = database.superuser().await;
    assert_eq!(must(&mut superuser, "SELECT FROM ironclaw.audit_streams WHERE owner_no = 0").await, 1);
    let mut application = application(database.name()).await;
    for number in ["0", "-0", " 0", ""] {
        must(&mut application, &format!("SET ironclaw.owner_no = '{number}'; SET ironclaw.maintenance = 'on'")).await;
        for table in ["audit_streams", "audit_events", "audit_private"] {
            assert_eq!(must(&mut application, &format!("SELECT FROM ironclaw.{table}")).await, 0, "{table} {number:?}");
        }
    }
}

async fn every_table_has_its_policies() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'ironclaw'::regnamespace \
         AND relkind NOT IN ('i', 'S', 't') AND NOT (relrowsecurity AND relforcerowsecurity) ORDER BY relname",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(open, ["migrations"]);
    // A verb has a policy exactly if the application has a right to it: a right that is given by mistake opens nothing.
    let mut missing = Vec::new();
    for table in tables(&mut superuser).await {
        let of_app: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
            "SELECT cmd, qual, with_check FROM pg_policies WHERE schemaname = 'ironclaw' AND tablename = $1 \
             AND roles = '{ironclaw_app}' AND permissive = 'PERMISSIVE'",
        )
        .bind(&table.name)
        .fetch_all(&mut superuser)
        .await
        .unwrap();
        let may_update = table.update().1;
        let is_keyed_by_number = table.columns.iter().any(|(name, ..)| name == "owner_no");
        let scope = "(owner_no = ironclaw.scope_no())";
        for (verb, is_granted, reads, writes) in [
            ("SELECT", table.may_select, true, false),
            ("INSERT", table.may_insert, false, true),
            ("UPDATE", may_update, true, true),
            ("DELETE", table.may_delete, true, false),
        ] {
            let of_verb: Vec<_> = of_app.iter().filter(|(command, ..)| command == verb).collect();
            let is_right = match of_verb.as_slice() {
                [] => !is_granted,
                _ if !is_granted => false,
                [(_, using, check)] if is_keyed_by_number => {
                    using.as_deref() == reads.then_some(scope) && check.as_deref() == writes.then_some(scope)
                }
                [(_, using, _)] => {
                    using.as_ref().is_some_and(|using| using.contains("current_setting('ironclaw.tenant'"))
                }
                _ => false,
            };
            if !is_right {
                missing.push(format!("{verb} {}: {of_verb:?}", table.name));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    let others: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT format('%s: %s for %s', tablename, policyname, roles) FROM pg_policies \
         WHERE schemaname = 'ironclaw' AND NOT (roles = '{ironclaw_app}' AND policyname LIKE 'scope\\_%') \
         AND NOT (roles = '{ironclaw_owner}' AND policyname = 'owner_all') \
         AND NOT (roles = '{ironclaw_auditor}' AND policyname = 'auditor_select' AND cmd = 'SELECT') ORDER BY 1",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    // A user sees where they are a member, and the names of those spaces.
    let of_members =
        ["members", "users"].map(|table| format!("{table}: member_select for {{ironclaw_app,ironclaw_owner}}"));
    assert_eq!(others, of_members);
}

async fn names_that_nobody_can_have_do_not_become_known() {
    let database = Database::fresh().await;
    let mut application = application(database.name()).await;
    let longest = "x".repeat(256);
    let longer = "x".repeat(257);
    let wide = "\u{e9}".repeat(129);
    for name in ["", longer.as_str(), wide.as_str(), "\u{1}copy", "a\nb", "\u{1f}", "\u{7f}", "a\u{80}", "\u{9f}"] {
        for (tenant, owner) in [(name, "ada"), ("acme", name)] {
            let entered =
                sqlx::query("SELECT FROM ironclaw.enter_to_write($1, $2, '[]', '1000')").bind(tenant).bind(owner);
            let error = entered.execute(&mut application).await.unwrap_err();
            assert_eq!(error.as_database_error().unwrap().code().unwrap(), "22023", "{tenant:?} {owner:?}");
        }
    }
    for name in [longest.as_str(), " ", "a\\u0001-[b]", "\u{a0}\u{e9}\u{1f600}"] {
        let entered = sqlx::query("SELECT FROM ironclaw.enter_to_write($1, $1, '[]', '1000')").bind(name);
        assert_eq!(entered.execute(&mut application).await.unwrap().rows_affected(), 1, "{name:?}");
    }
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    assert_eq!(maintenance.users(&PageRequest::first(100).unwrap()).await.unwrap().items.len(), 4);
}
