//! Servers of a test's own.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

use ironclaw_testing::{Certificates, ClusterError, Mode, Server};

#[test]
fn a_standby_takes_over_from_a_killed_primary() {
    let primary = Server::start(&[]).unwrap();
    primary.psql("postgres", "CREATE TABLE t (n int); INSERT INTO t VALUES (1);").unwrap();
    let standby = primary.standby().unwrap();
    // The commit waits until the standby shows it.
    let name = "SELECT application_name FROM pg_stat_replication";
    let name = primary.psql("postgres", name).unwrap();
    primary
        .set(&[("synchronous_standby_names", &format!("\"{name}\"")), ("synchronous_commit", "remote_apply")])
        .unwrap();
    primary.stop(Mode::Fast).unwrap();
    primary.start_again().unwrap();
    primary.psql("postgres", "INSERT INTO t VALUES (2);").unwrap();
    assert_eq!(standby.psql("postgres", "SELECT sum(n), pg_is_in_recovery() FROM t").unwrap(), "3|t");
    let refused = standby.psql("postgres", "INSERT INTO t VALUES (3)").unwrap_err().to_string();
    assert!(refused.contains("read-only"), "{refused}");

    primary.kill().unwrap();
    assert!(primary.psql("postgres", "SELECT 1").is_err());
    standby.set(&[("synchronous_standby_names", "")]).unwrap();
    standby.promote().unwrap();
    standby.psql("postgres", "INSERT INTO t VALUES (4);").unwrap();
    assert_eq!(standby.psql("postgres", "SELECT sum(n), pg_is_in_recovery() FROM t").unwrap(), "7|f");
}

#[test]
fn a_killed_server_recovers_what_was_committed() {
    let server = Server::start(&[("max_connections", "17")]).unwrap();
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

#[test]
fn the_rules_for_connections_can_change() {
    let server = Server::start(&[]).unwrap();
    let psql = server.bin_dir().join("psql");
    let connect = || Command::new(&psql).args([&server.superuser_url("postgres"), "-c", "SELECT 1"]).output().unwrap();
    assert!(connect().status.success());
    server.hba(&["host all all 127.0.0.1/32 reject"]).unwrap();
    // The reload is a signal, which the server may take a moment to act on.
    while connect().status.success() {}
    let message = String::from_utf8_lossy(&connect().stderr).into_owned();
    assert!(message.contains("pg_hba.conf rejects connection"), "{message}");
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let Err(error) = Server::start(&[("no_such_setting", "1")]) else { panic!("it started") };
    assert!(matches!(error, ClusterError::NotStarted { .. }));
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[test]
fn a_server_with_tls_shows_its_certificate() {
    // PostgreSQL from the package index has no TLS, but that of every distribution has.
    let installed = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    let bin = installed.map(|entry| entry.path().join("bin")).find(|bin| bin.join("initdb").is_file());
    let bin = bin.expect("this test needs PostgreSQL's server programs in /usr/lib/postgresql/*/bin");
    let (certificates, other) = (Certificates::localhost().unwrap(), Certificates::localhost().unwrap());
    let options = [("ssl", "on"), ("ssl_cert_file", "own.crt"), ("ssl_key_file", "own.key")];
    let files = [("own.crt", certificates.certificate()), ("own.key", certificates.key())];
    let server = Server::start_from(&bin, &options, &["hostssl all all 127.0.0.1/32 scram-sha-256"], &files).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let connect = |parameters: &str| {
        let url = format!("{}?{parameters}", server.superuser_url("postgres"));
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        Command::new(bin.join("psql")).args([&url, "-Atc", sql]).output().unwrap()
    };
    let verify = |certificates: &Certificates| {
        let root = certificates.write_ca(folder.path()).unwrap();
        connect(&format!("sslmode=verify-full&sslrootcert={}", root.display()))
    };
    let output = verify(&certificates);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "t\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!verify(&other).status.success());
    assert!(!connect("sslmode=disable").status.success());
}
