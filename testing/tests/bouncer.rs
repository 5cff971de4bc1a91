//! PgBouncer in front of the shared server.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, ExitCode, Output};

use ironclaw_testing::{Certificates, Cluster, ClusterError, PgBouncer, Server, need};

ironclaw_testing::tests![
    it_pools_for_the_users_it_knows,
    it_pools_by_transaction,
    it_asks_the_server_for_passwords_it_does_not_know,
    it_answers_through_tls_alone,
    a_pooler_that_does_not_start_says_why,
];

fn main() -> ExitCode {
    ironclaw_testing::run([tests()])
}

fn select(mut psql: Command, url: &str) -> Output {
    psql.args([url, "-Atc", "SELECT current_user"]).output().unwrap()
}

fn superuser(cluster: &Cluster) -> String {
    cluster.psql("postgres", "SELECT current_user").unwrap()
}

fn it_pools_for_the_users_it_knows() {
    let cluster = need(Cluster::shared());
    let role = format!("pooled_{}", std::process::id());
    cluster.psql("postgres", &format!("CREATE ROLE {role} LOGIN PASSWORD 'a\"b'")).unwrap();
    let users = [(role.as_str(), "a\"b")];
    let bouncer = need(PgBouncer::start(&cluster.superuser_url("postgres"), &users, &[], None));
    for (url, expected) in [
        (bouncer.superuser_url("postgres"), format!("{}\n", superuser(&cluster))),
        (bouncer.url(&role, "a\"b", "postgres"), format!("{role}\n")),
        (bouncer.url(&role, "wrong", "postgres"), String::new()),
    ] {
        assert_eq!(String::from_utf8_lossy(&select(cluster.program("psql"), &url).stdout), expected);
    }
    drop(bouncer);
    cluster.psql("postgres", &format!("DROP ROLE {role}")).unwrap();
}

fn it_pools_by_transaction() {
    let cluster = need(Cluster::shared());
    let options = [("default_pool_size", "1")];
    let bouncer = need(PgBouncer::start(&cluster.superuser_url("postgres"), &[], &options, None));
    let output = cluster
        .program("psql")
        .args([&bouncer.superuser_url("postgres"), "-Atq", "-c", "SET application_name = 'left behind'"])
        .args(["-c", "SELECT pg_backend_pid()", "-c", "SELECT pg_backend_pid()"])
        .output()
        .unwrap();
    let first: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let output = cluster
        .program("psql")
        .args([&bouncer.superuser_url("postgres"), "-Atq", "-c", "SELECT pg_backend_pid()"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), first[0], "one server connection serves all");
}

fn it_asks_the_server_for_passwords_it_does_not_know() {
    let cluster = need(Cluster::shared());
    let role = format!("unknown_{}", std::process::id());
    let set_password = |verb: &str, password: &str| {
        cluster.psql("postgres", &format!("{verb} ROLE {role} LOGIN PASSWORD '{password}'")).unwrap();
    };
    set_password("CREATE", "first");
    let superuser = superuser(&cluster);
    let options = [("auth_user", superuser.as_str())];
    let bouncer = need(PgBouncer::start(&cluster.superuser_url("postgres"), &[], &options, None));
    let works = |password| select(cluster.program("psql"), &bouncer.url(&role, password, "postgres")).status.success();
    assert!(works("first") && !works("wrong"));
    set_password("ALTER", "second");
    assert!(works("second") && !works("first"), "a rotated password is picked up");
    drop(bouncer);
    cluster.psql("postgres", &format!("DROP ROLE {role}")).unwrap();
}

fn it_answers_through_tls_alone() {
    let (certificates, other) = (Certificates::localhost().unwrap(), Certificates::localhost().unwrap());
    // PostgreSQL from the package index has no TLS, and neither has its psql.
    let server = need(Server::start_with_tls(&other, &[]));
    let upstream = server.superuser_url("postgres");
    let options = [("server_tls_sslmode", "require")];
    let bouncer = need(PgBouncer::start(&upstream, &[], &options, Some(&certificates)));
    let connect = |parameters: &str| {
        let output = select(server.program("psql"), &format!("{}?{parameters}", bouncer.superuser_url("postgres")));
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    };
    let verify = |certificates: &Certificates| {
        connect(&format!("sslmode=verify-full&sslrootcert={}", certificates.ca_file().display()))
    };
    assert_eq!(verify(&certificates).unwrap(), "postgres\n");
    let error = verify(&other).unwrap_err();
    assert!(error.contains("certificate verify failed"), "{error}");
    let error = connect("sslmode=disable").unwrap_err();
    assert!(error.contains("SSL required"), "{error}");
}

fn a_pooler_that_does_not_start_says_why() {
    let cluster = need(Cluster::shared());
    need(PgBouncer::find());
    let options = [("pool_mode", "no such mode")];
    let Err(error) = PgBouncer::start(&cluster.superuser_url("postgres"), &[], &options, None) else {
        panic!("it started")
    };
    assert!(matches!(error, ClusterError::NotStarted { server: "PgBouncer", .. }), "{error}");
    assert!(error.to_string().contains("no such mode"), "{error}");
}
