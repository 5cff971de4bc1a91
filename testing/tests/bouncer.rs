//! PgBouncer in front of the shared server.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

use ironclaw_testing::{Certificates, Cluster, PgBouncer};

/// Connects with the distribution's own `psql`, as the one from the package index has no TLS.
fn select(url: &str) -> Output {
    let output = Command::new("psql").args([url, "-Atc", "SELECT current_user"]).output();
    output.expect("this test needs a psql with TLS in the PATH")
}

#[test]
fn it_pools_for_the_users_it_knows() {
    let cluster = Cluster::shared().unwrap();
    let role = format!("pooled_{}", std::process::id());
    cluster.psql("postgres", &format!("CREATE ROLE {role} LOGIN PASSWORD 'a\"b'")).unwrap();
    let users = [(role.as_str(), "a\"b")];
    let bouncer = PgBouncer::start(&cluster.superuser_url("postgres"), &users, &[], None).unwrap();
    for (url, expected) in [
        (bouncer.superuser_url("postgres"), "postgres\n"),
        (bouncer.url(&role, "a\"b", "postgres"), &format!("{role}\n")),
        (bouncer.url(&role, "wrong", "postgres"), ""),
    ] {
        assert_eq!(String::from_utf8_lossy(&select(&url).stdout), expected);
    }
    drop(bouncer);
    cluster.psql("postgres", &format!("DROP ROLE {role}")).unwrap();
}

#[test]
fn it_pools_by_transaction() {
    let cluster = Cluster::shared().unwrap();
    let options = [("default_pool_size", "1")];
    let bouncer = PgBouncer::start(&cluster.superuser_url("postgres"), &[], &options, None).unwrap();
    let output = Command::new(cluster.bin_dir().join("psql"))
        .args([&bouncer.superuser_url("postgres"), "-Atq", "-c", "SET application_name = 'left behind'"])
        .args(["-c", "SELECT pg_backend_pid()", "-c", "SELECT pg_backend_pid()"])
        .output()
        .unwrap();
    let first: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let output = Command::new(cluster.bin_dir().join("psql"))
        .args([&bouncer.superuser_url("postgres"), "-Atq", "-c", "SELECT pg_backend_pid()"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), first[0], "one server connection serves all");
}

#[test]
fn it_answers_through_tls_alone() {
    let cluster = Cluster::shared().unwrap();
    let certificates = Certificates::localhost().unwrap();
    let upstream = cluster.superuser_url("postgres");
    let bouncer = PgBouncer::start(&upstream, &[], &[], Some(&certificates)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = certificates.write_ca(folder.path()).unwrap();
    let url = bouncer.superuser_url("postgres");
    let output = select(&format!("{url}?sslmode=verify-full&sslrootcert={}", root.display()));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "postgres\n", "{}", String::from_utf8_lossy(&output.stderr));
    let output = select(&format!("{url}?sslmode=disable"));
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("SSL required"));
}
