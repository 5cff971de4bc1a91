//! Servers of a test's own.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ExitCode, Stdio};

use ironclaw_testing::{Certificates, ClusterError, Mode, Server, need};

ironclaw_testing::tests![
    a_standby_takes_over_from_a_killed_primary,
    a_killed_server_recovers_what_was_committed,
    the_rules_for_connections_can_change,
    a_server_that_does_not_start_says_why,
    a_frozen_server_goes_on_where_it_was,
    a_server_with_tls_shows_its_certificate,
];

fn main() -> ExitCode {
    ironclaw_testing::run([tests()])
}

fn a_standby_takes_over_from_a_killed_primary() {
    let primary = need(Server::start(&[]));
    primary.psql("postgres", "CREATE TABLE t (n int); INSERT INTO t VALUES (1);").unwrap();
    let standby = primary.standby().unwrap();
    // A commit waits until the standby shows it.
    primary.set(&[("synchronous_standby_names", "*"), ("synchronous_commit", "remote_apply")]).unwrap();
    primary.stop(Mode::Fast).unwrap();
    primary.start_again().unwrap();
    primary.psql("postgres", "INSERT INTO t VALUES (2);").unwrap();
    assert_eq!(standby.psql("postgres", "SELECT sum(n), pg_is_in_recovery() FROM t").unwrap(), "3|t");
    let refused = standby.psql("postgres", "INSERT INTO t VALUES (3)").unwrap_err().to_string();
    assert!(refused.contains("read-only"), "{refused}");

    primary.kill().unwrap();
    assert!(primary.psql("postgres", "SELECT 1").is_err());
    standby.promote().unwrap();
    standby.psql("postgres", "INSERT INTO t VALUES (4);").unwrap();
    assert_eq!(standby.psql("postgres", "SELECT sum(n), pg_is_in_recovery() FROM t").unwrap(), "7|f");
}

fn a_killed_server_recovers_what_was_committed() {
    let server = need(Server::start(&[("max_connections", "17")]));
    assert_eq!(server.psql("postgres", "SHOW max_connections").unwrap(), "17");
    let port = server.port();
    for stop in [Server::kill, |server: &Server| server.stop(Mode::Immediate)] {
        server.psql("postgres", "CREATE TABLE IF NOT EXISTS t (n int); INSERT INTO t VALUES (1);").unwrap();
        stop(&server).unwrap();
        server.psql("postgres", "SELECT 1").unwrap_err();
        server.start_again().unwrap();
    }
    assert_eq!(server.psql("postgres", "SELECT count(*) FROM t").unwrap(), "2");
    assert_eq!(server.port(), port);
    let data = server.data_dir();
    drop(server);
    assert!(!data.exists());
}

fn the_rules_for_connections_can_change() {
    let server = need(Server::start(&[]));
    let connect =
        || server.program("psql").args([&server.superuser_url("postgres"), "-c", "SELECT 1"]).output().unwrap();
    assert!(connect().status.success());
    server.hba(&["host all all 127.0.0.1/32 reject"]).unwrap();
    let message = String::from_utf8_lossy(&connect().stderr).into_owned();
    assert!(message.contains("pg_hba.conf rejects connection"), "{message}");
}

fn a_server_that_does_not_start_says_why() {
    let error = match Server::start(&[("no_such_setting", "1")]) {
        Err(error @ ClusterError::NotStarted { .. }) => error,
        other => {
            need(other);
            panic!("it started");
        }
    };
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

fn a_frozen_server_goes_on_where_it_was() {
    let server = need(Server::start(&[]));
    let mut session = server.program("psql");
    session.args([&server.superuser_url("postgres"), "-Atq"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut session = session.spawn().unwrap();
    let (mut input, mut output) = (session.stdin.take().unwrap(), BufReader::new(session.stdout.take().unwrap()));
    let mut answer = |input: &mut ChildStdin| {
        writeln!(input, "SELECT n FROM t;").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };
    writeln!(input, "CREATE TEMPORARY TABLE t AS SELECT 7 AS n;").unwrap();
    assert_eq!(answer(&mut input), "7\n");

    server.freeze().unwrap();
    let mut connect = server.program("psql");
    connect.args([&server.superuser_url("postgres"), "-c", "SELECT 1"]).env("PGCONNECT_TIMEOUT", "2");
    let refused = connect.output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("timeout expired"), "{refused:?}");
    server.thaw().unwrap();
    assert_eq!(answer(&mut input), "7\n");
    assert!(connect.output().unwrap().status.success());
    drop(input);
    session.wait().unwrap();

    server.freeze().unwrap();
    server.kill().unwrap();
    server.start_again().unwrap();
    server.freeze().unwrap();
    let data = server.data_dir();
    drop(server);
    assert!(!data.exists());
}

fn a_server_with_tls_shows_its_certificate() {
    let certificates = Certificates::localhost().unwrap();
    let server = need(Server::start_with_tls(&certificates, &[]));
    let connect = |parameters: &str| {
        let url = format!("{}?{parameters}", server.superuser_url("postgres"));
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let output = server.program("psql").args([&url, "-Atc", sql]).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    };
    let verify = |mode: &str, certificates: &Certificates| {
        connect(&format!("sslmode={mode}&sslrootcert={}", certificates.ca_file().display()))
    };
    assert_eq!(verify("verify-full", &certificates).unwrap(), "t\n");
    let error = connect("sslmode=disable").unwrap_err();
    assert!(error.contains("no encryption"), "{error}");
    let error = verify("verify-full", &Certificates::localhost().unwrap()).unwrap_err();
    assert!(error.contains("certificate verify failed"), "{error}");

    // It may also be another server's.
    let other = Certificates::for_names(&["db.example.org"]).unwrap();
    let files = [("own.crt", other.certificate()), ("own.key", other.key())];
    let options = [("ssl", "on"), ("ssl_cert_file", "own.crt"), ("ssl_key_file", "own.key")];
    let hba = ["hostssl all all 127.0.0.1/32 scram-sha-256"];
    let impostor = Server::start_from(server.bin_dir(), &options, &hba, &files).unwrap();
    let verify = |mode: &str| {
        let parameters = format!("sslmode={mode}&sslrootcert={}", other.ca_file().display());
        let url = format!("{}?{parameters}", impostor.superuser_url("postgres"));
        server.program("psql").args([&url, "-c", "SELECT 1"]).output().unwrap()
    };
    assert!(verify("verify-ca").status.success());
    let message = String::from_utf8(verify("verify-full").stderr).unwrap();
    assert!(message.contains("does not match host name"), "{message}");
}
