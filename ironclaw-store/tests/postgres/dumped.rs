//! What `pg_dump` wrote, `pg_restore` brings to another server, as `docs/postgres-operations.md` has it.

use std::path::Path;

use ironclaw_core::change::{ConversationOp, SettingOp};
use ironclaw_core::id::{ConversationId, OperatorName};
use ironclaw_core::store::{AgentStore, Apply, Store, StoreErrorKind};
use ironclaw_core::{Change, Maintenance, PageRequest, Scope, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use ironclaw_testing::{Server, need};

use crate::library::{File, register, write};
use crate::own;
use crate::vectors::{MODEL, search};

ironclaw_testing::tests![a_dump_is_restored_with_its_owners_and_rights, a_dump_without_owners_is_refused_and_says_why];

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

async fn maintenance(server: &Server) -> PostgresMaintenance {
    let operator = OperatorName::parse("olga").unwrap();
    PostgresMaintenance::connect(&own::operator_url(server), operator).await.unwrap()
}

/// Runs a program of the server's as its superuser, with its socket and port.
fn run(server: &Server, program: &str, arguments: &[&str]) {
    let mut command = server.program(program);
    command.args(["--host", server.socket_dir().to_str().unwrap(), "--port", &server.port().to_string()]);
    let output = command.args(["--username", "postgres"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A server with a conversation, a setting, a file with a vector and a trail, and a dump of it with its roles in a folder
/// that its account writes to.
async fn dumped() -> (Server, String, String) {
    let server = own::start(&[]).await;
    let store = PostgresStore::connect(&own::app_url(&server)).await.unwrap();
    let id = ConversationId::make(&SystemClock);
    let change = Change::new()
        .with(ConversationOp::Create { id, title: "Launch".to_owned() })
        .with(SettingOp::Put { key: "theme".parse().unwrap(), value: "dark".into() });
    store.apply(&ada(), change).await.unwrap();
    register(&store, &ada(), MODEL, 2).await;
    write(&store, &ada(), &File::of_vectors("notes.md", MODEL, [vec![1.0, 0.0]])).await;
    store.close().await.unwrap();
    let file = |name: &str| Path::new(&server.data_dir()).join(name).to_str().unwrap().to_owned();
    let (globals, dump) = (file("globals.sql"), file("agents.dump"));
    run(&server, "pg_dumpall", &["--globals-only", "--file", &globals]);
    run(&server, "pg_dump", &["--format=custom", "--file", &dump, "agents"]);
    (server, globals, dump)
}

/// A new server with the roles of another.
fn with_roles(globals: &str) -> Server {
    let server = need(Server::start(&[]));
    run(&server, "psql", &["--quiet", "--file", globals, "--dbname", "postgres"]);
    server
}

async fn a_dump_is_restored_with_its_owners_and_rights() {
    let (old, globals, dump) = dumped().await;
    let heads = maintenance(&old).await.verify_audit().await.unwrap();
    let new = with_roles(&globals);
    run(&new, "pg_restore", &["--create", "--exit-on-error", "--dbname=postgres", &dump]);

    let maintenance = maintenance(&new).await;
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    assert_eq!(maintenance.verify_audit().await.unwrap(), heads);
    let store = PostgresStore::connect(&own::app_url(&new)).await.unwrap();
    let conversations = store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap();
    assert_eq!(conversations.items[0].title, "Launch");
    assert_eq!(search(&store, &ada(), MODEL, &[1.0, 0.0], 10).await.len(), 1);
    let put = SettingOp::Put { key: "theme".parse().unwrap(), value: "light".into() };
    store.apply(&ada(), Change::new().with(put)).await.unwrap();
    PostgresStore::migrate(&own::operator_url(&new)).await.unwrap();
}

async fn a_dump_without_owners_is_refused_and_says_why() {
    let (_old, globals, dump) = dumped().await;
    let new = with_roles(&globals);
    for options in [["--no-owner"].as_slice(), &["--no-owner", "--no-privileges"]] {
        let arguments = [&["--create", "--exit-on-error", "--dbname=postgres", dump.as_str()], options].concat();
        run(&new, "pg_restore", &arguments);
        let operator = OperatorName::parse("olga").unwrap();
        for error in [
            PostgresStore::connect(&own::app_url(&new)).await.unwrap_err(),
            PostgresMaintenance::connect(&own::operator_url(&new), operator).await.unwrap_err(),
            PostgresStore::migrate(&own::operator_url(&new)).await.unwrap_err(),
        ] {
            assert_eq!(*error.kind(), StoreErrorKind::Privileges, "{error}");
            assert!(error.to_string().contains("restored with --no-owner"), "{error}");
        }
        new.psql("postgres", "DROP DATABASE agents WITH (FORCE)").unwrap();
    }
}
