//! Runs the operators' program as `docs/postgres.md` and `docs/postgres-operations.md` do.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, ExitCode};

use ironclaw_testing::{Server, need};

ironclaw_testing::tests![what_the_pages_do_with_it_is_done, what_is_wrong_is_printed_and_told_by_the_status];

fn main() -> ExitCode {
    ironclaw_testing::run([tests()])
}

/// Roles as in `docs/postgres.md`, all of one password.
const ROLES: &str = "CREATE ROLE ironclaw_owner NOLOGIN; CREATE ROLE ironclaw_app NOLOGIN; \
    CREATE ROLE ironclaw_auditor NOLOGIN; \
    CREATE ROLE agents_migrator LOGIN PASSWORD 'pass' CONNECTION LIMIT 3 IN ROLE ironclaw_owner; \
    CREATE ROLE agents_app LOGIN PASSWORD 'pass' IN ROLE ironclaw_app; \
    CREATE ROLE agents_nightly LOGIN PASSWORD 'pass' CONNECTION LIMIT 5 IN ROLE ironclaw_owner;";

fn started() -> Server {
    let server = need(Server::start(&[]));
    server.psql("postgres", ROLES).unwrap();
    server.psql("postgres", "CREATE DATABASE agents OWNER agents_migrator").unwrap();
    server
}

/// Runs the program as a role. Its status, standard output and standard error.
fn run(server: &Server, role: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_agents-db"));
    program.args(arguments).env("DATABASE_URL", server.url(role, "pass", "agents"));
    let output = program.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn done(server: &Server, role: &str, arguments: &[&str]) -> String {
    let (status, said, failure) = run(server, role, arguments);
    assert_eq!((status, failure.as_str()), (Some(0), ""), "{arguments:?}");
    said
}

async fn what_the_pages_do_with_it_is_done() {
    let server = started();
    // An error is a message with what to do and what the server said, not what a programmer prints.
    let (status, said, failure) = run(&server, "agents_migrator", &["migrate"]);
    assert_eq!((status, said.as_str()), (Some(1), ""));
    assert!(
        failure.starts_with("Error: migrate: missing extension: the database has no extension vector: "),
        "{failure}"
    );
    assert!(failure.contains("CREATE EXTENSION vector") && failure.ends_with("(SQLSTATE 42501)\n"), "{failure}");
    server.psql("agents", "CREATE EXTENSION vector").unwrap();

    for _ in 0..2 {
        done(&server, "agents_migrator", &["migrate"]);
    }
    done(&server, "agents_app", &["write", "The first note"]);
    assert_eq!(done(&server, "agents_app", &["list"]), "The first note\n");
    let daily = done(&server, "agents_nightly", &["daily", "nightly"]);
    assert_eq!(daily, "0 conversations, jobs and files deleted\n0 indexes made, 0 kept\n");
    assert_eq!(done(&server, "agents_nightly", &["index", "olga"]), "0 indexes made, 0 kept\n");
    assert_eq!(done(&server, "agents_nightly", &["scrub", "olga"]), "");
    let heads = done(&server, "agents_nightly", &["heads", "olga"]);
    let stored = "SELECT concat_ws(',', encode(stream, 'hex'), sequence, encode(hash, 'hex')) FROM ironclaw.audit_streams \
                  WHERE sequence > 0";
    assert_eq!(heads.trim_end(), server.psql("agents", stored).unwrap());

    for (role, arguments) in
        [("agents_app", ["daily", "olga"].as_slice()), ("agents_nightly", &["list"]), ("olga", &[])]
    {
        assert_eq!(run(&server, role, arguments).0, Some(1), "{role} {arguments:?}");
    }
}

async fn what_is_wrong_is_printed_and_told_by_the_status() {
    let server = started();
    server.psql("agents", "CREATE EXTENSION vector").unwrap();
    done(&server, "agents_migrator", &["migrate"]);
    done(&server, "agents_app", &["write", "The first note"]);
    server.psql("agents", "UPDATE ironclaw.audit_events SET outcome = 1").unwrap();
    for command in ["check", "daily"] {
        let (status, said, failure) = run(&server, "agents_nightly", &[command, "nightly"]);
        assert_eq!((status, failure.as_str()), (Some(1), "Error: findings of the check: 1\n"));
        assert!(said.lines().last().unwrap().contains("audit"), "{said}");
    }
    let (status, said, failure) = run(&server, "agents_nightly", &["heads", "nightly"]);
    assert_eq!((status, said.as_str()), (Some(1), ""));
    assert!(failure.starts_with("Error: verify_audit: corrupt data: "), "{failure}");
}
