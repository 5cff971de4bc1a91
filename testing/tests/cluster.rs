//! The shared server.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, ExitCode};
use std::thread;

use ironclaw_testing::{Cluster, need};

ironclaw_testing::tests![
    a_new_database_takes_vectors,
    the_server_is_as_strict_as_a_real_one,
    connections_over_tcp_need_the_password,
    a_failed_statement_stops_the_rest,
    threads_and_processes_share_one_server,
];

fn main() -> ExitCode {
    ironclaw_testing::run([tests()])
}

fn a_new_database_takes_vectors() {
    let cluster = need(Cluster::shared());
    let database = format!("vectors_{}", std::process::id());
    cluster.psql("postgres", &format!("CREATE DATABASE {database}")).unwrap();
    cluster.psql(&database, "CREATE EXTENSION vector; CREATE TABLE t (v vector(3));").unwrap();
    let rows = cluster.psql(&database, "INSERT INTO t VALUES ('[1,2,3]'); SELECT v <-> '[1,2,5]', v FROM t;").unwrap();
    assert_eq!(rows, "2|[1,2,3]");
    cluster.psql("postgres", &format!("DROP DATABASE {database}")).unwrap();
}

fn the_server_is_as_strict_as_a_real_one() {
    let cluster = need(Cluster::shared());
    if !cluster.is_private() {
        // One that the environment names is as it is.
        return;
    }
    let settings = "SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN
        ('fsync', 'max_prepared_transactions', 'password_encryption', 'server_encoding', 'wal_level');
        SELECT datcollate FROM pg_database WHERE datname = 'template1';";
    assert_eq!(cluster.psql("postgres", settings).unwrap(), "on 0 scram-sha-256 UTF8 replica\nC");
}

fn connections_over_tcp_need_the_password() {
    let cluster = need(Cluster::shared());
    let select = |url: String| cluster.program("psql").args([&url, "-Atc", "SELECT 1"]).output();
    let output = select(cluster.superuser_url("postgres")).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n");
    let output = select(cluster.url("nobody's", "wrong", "postgres")).unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("password authentication failed"), "{message}");
}

fn a_failed_statement_stops_the_rest() {
    let cluster = need(Cluster::shared());
    let error = cluster.psql("postgres", "SELECT 1; SELECT no_such_column; SELECT 2;").unwrap_err().to_string();
    assert!(error.contains("no_such_column") && !error.contains('2'), "{error}");
}

fn threads_and_processes_share_one_server() {
    need(Cluster::shared());
    let ports: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| Cluster::shared().unwrap().port())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ports[0], ports[1]);
    if let Ok(expected) = std::env::var("EXPECTED_PORT") {
        assert_eq!(expected, ports[0].to_string());
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "threads_and_processes_share_one_server"]).env("EXPECTED_PORT", ports[0].to_string());
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
