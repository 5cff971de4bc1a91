//! Who the server is, is proved before anything is told to it.

use std::fs;
use std::path::Path;

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::OperatorName;
use ironclaw_core::store::{Apply, Store, StoreErrorKind};
use ironclaw_core::{Change, Scope};
use ironclaw_store::PostgresStore;
use ironclaw_testing::{Certificates, Server, need};

use crate::database::{Database, app_url, cluster, pooled_app_url, pooler};
use crate::network::{
    Listener, assert_invalid, assert_refused, assert_silent, chain, closed_port, refusal, refusal_by,
};

ironclaw_testing::tests![
    a_server_that_proves_itself_is_used,
    a_server_with_tls_and_scram_is_reached_and_found_too_old,
    a_server_that_cannot_prove_itself_is_told_nothing,
    a_server_without_tls_is_told_nothing,
    another_host_must_prove_itself,
    this_host_need_not_prove_itself,
    an_authority_that_is_not_there_is_said_to_be,
];

/// What a client sends to ask for TLS: a length of 8 and the code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The end of a URL that asks for a server whom this authority vouches for.
fn verified(certificates: &Certificates) -> String {
    format!("?sslmode=verify-full&sslrootcert={}", certificates.ca_file().display())
}

async fn assert_works(store: PostgresStore) {
    let (ada, key) = (Scope::user("ada").unwrap(), "theme".parse().unwrap());
    let put = SettingOp::Put { key, value: "dark".into() };
    store.apply(&ada, Change::new().with(put)).await.unwrap();
    let setting = store.settings().setting(&ada, &"theme".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(setting.value, "dark");
}

async fn a_server_that_proves_itself_is_used() {
    let database = Database::fresh().await;
    let certificates = Certificates::localhost().unwrap();
    let pooler = pooler(3, &[], Some(&certificates));
    let plain = pooled_app_url(&pooler, database.name());
    for host in ["localhost", "127.0.0.1"] {
        let url = plain.replace("127.0.0.1", host) + &verified(&certificates);
        assert_works(PostgresStore::builder().transaction_pooling().connect(&url).await.unwrap()).await;
    }
    // The pooler itself takes no connection without TLS, so that those had it.
    let error = refusal(&format!("{plain}?sslmode=disable")).await;
    assert!(chain(&error).contains("SSL required"), "{}", chain(&error));
    // Through TLS a password is checked.
    let wrong = pooler.url("ironclaw_test_app", "hunter2", database.name()) + &verified(&certificates);
    let error = refusal(&wrong).await;
    assert_refused(&error, &StoreErrorKind::Credentials, &["password"]);
    assert_silent(&error, "hunter2");
}

/// What a server wrote into the log that [`with_log`] made.
fn log(server: &Server) -> String {
    fs::read_to_string(server.data_dir().join("log/server.log")).unwrap()
}

/// A server with TLS that logs who connects.
fn with_log(certificates: &Certificates) -> Server {
    let options = [("logging_collector", "on"), ("log_filename", "server.log"), ("log_connections", "on")];
    need(Server::start_with_tls(certificates, &options))
}

async fn a_server_with_tls_and_scram_is_reached_and_found_too_old() {
    let certificates = Certificates::localhost().unwrap();
    let server = with_log(&certificates);
    server.psql("postgres", "CREATE ROLE agent LOGIN PASSWORD 'hunter2'").unwrap();
    let url = server.url("agent", "hunter2", "postgres") + &verified(&certificates);
    let error = refusal(&url).await;
    assert_refused(&error, &StoreErrorKind::UnsupportedVersion, &["PostgreSQL 15", "16 or newer"]);
    let operator = OperatorName::parse("root").unwrap();
    let error = refusal_by(PostgresStore::builder().connect_maintenance(&url, operator)).await;
    assert_refused(&error, &StoreErrorKind::UnsupportedVersion, &["16 or newer"]);
    let log = log(&server);
    let connected = log.lines().find(|line| line.contains("authorized: user=agent"));
    let connected = connected.unwrap_or_else(|| panic!("nobody connected:\n{log}"));
    assert!(connected.contains("SSL enabled (protocol=TLSv1.3"), "{connected}");
    assert!(log.contains("method=scram-sha-256"), "{log}");

    // A migration does not even begin.
    let superuser = server.superuser_url("postgres") + &verified(&certificates);
    let error = refusal_by(PostgresStore::migrate(&superuser)).await;
    assert_refused(&error, &StoreErrorKind::UnsupportedVersion, &["16 or newer"]);
    let made = "SELECT (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'ironclaw%') \
                + (SELECT count(*) FROM pg_namespace WHERE nspname = 'ironclaw')";
    assert_eq!(server.psql("postgres", made).unwrap(), "0");

    let wrong = server.url("agent", "hunter3", "postgres") + &verified(&certificates);
    let error = refusal(&wrong).await;
    assert_refused(&error, &StoreErrorKind::Credentials, &["password"]);
    // To this server on this machine, too, nothing is sent in the clear if that was not asked for.
    let error = refusal(&(server.url("agent", "hunter2", "postgres") + "?sslmode=disable")).await;
    assert_refused(&error, &StoreErrorKind::Credentials, &["pg_hba.conf"]);
    assert!(chain(&error).contains("no encryption"), "{}", chain(&error));
}

async fn a_server_that_cannot_prove_itself_is_told_nothing() {
    let (own, other) = (Certificates::localhost().unwrap(), Certificates::localhost().unwrap());
    let server = with_log(&own);
    let url = server.url("agent", "hunter2", "postgres");
    let elsewhere = Certificates::for_names(&["db.example.org"]).unwrap();
    let files = [("server.crt", elsewhere.certificate()), ("server.key", elsewhere.key())];
    let options =
        [("ssl", "on"), ("logging_collector", "on"), ("log_filename", "server.log"), ("log_connections", "on")];
    let impostor = Server::start_from(server.bin_dir(), &options, &[], &files).unwrap();
    let impostor_url = impostor.url("agent", "hunter2", "postgres");
    for (what, url) in [
        ("an authority that did not sign", url.clone() + &verified(&other)),
        ("no authority but the public ones", url.clone() + "?sslmode=verify-full"),
        ("a certificate for another host", impostor_url.clone() + &verified(&elsewhere)),
        ("one for another address", impostor_url.replace("127.0.0.1", "localhost") + &verified(&elsewhere)),
    ] {
        for error in [refusal(&url).await, refusal_by(PostgresStore::migrate(&url)).await] {
            assert_eq!(*error.kind(), StoreErrorKind::UntrustedServer, "{what}: {}", chain(&error));
            assert!(error.to_string().contains("sslrootcert"), "{what}: {error}");
            assert!(!error.is_retryable(), "{what}");
            assert_silent(&error, "hunter2");
        }
    }
    for server in [&server, &impostor] {
        let log = log(server);
        assert!(log.contains("connection received"), "{log}");
        // Nobody said who they are.
        for said in ["agent", "authenticated", "authorized", "authentication failed"] {
            let mut lines = log.lines().filter(|line| line.contains(said) && !line.contains("host=[local]"));
            assert!(lines.all(|line| line.contains("user=postgres")), "{log}");
        }
    }
}

async fn a_server_without_tls_is_told_nothing() {
    let certificates = Certificates::localhost().unwrap();
    // One that has no TLS, one that does not know it, and ones that only say that they have.
    for answer in
        [b"N".as_slice(), b"E\0\0\0\x11SFATAL\0C0A000\0\0", b"S\x15\x03\x03\0\x02\x02\x28", b"Snothing of the kind"]
    {
        let listener = Listener::start(answer, false);
        let url = format!("postgres://agent:hunter2@{}/db{}", listener.address, verified(&certificates));
        let error = refusal(&url).await;
        let is_plain = !answer.starts_with(b"S");
        match answer[0] {
            b'E' => assert_refused(&error, &StoreErrorKind::Unavailable, &["PostgreSQL"]),
            _ => assert_refused(&error, &StoreErrorKind::UntrustedServer, &["TLS"]),
        }
        assert_silent(&error, "hunter2");
        let received = listener.received();
        assert!(received.starts_with(&SSL_REQUEST));
        // Without TLS nothing else, and with it a greeting.
        assert!(!is_plain || received.chunks(8).all(|request| request == SSL_REQUEST), "{received:?}");
        for secret in ["hunter2", "agent"] {
            assert!(!received.windows(secret.len()).any(|part| part == secret.as_bytes()));
        }
    }
    // So it is with the real one, unless that has TLS.
    if cluster().is_private() {
        let url = app_url("postgres") + &verified(&certificates);
        assert_refused(&refusal(&url).await, &StoreErrorKind::UntrustedServer, &["switched on"]);
    }
}

async fn another_host_must_prove_itself() {
    const WEAKER: [&str; 6] =
        ["", "sslmode=disable", "sslmode=allow", "sslmode=prefer", "sslmode=require", "sslmode=verify-ca"];
    // Names that resolve to nothing or to nobody, and are not even looked up.
    let others = [
        "db.example.invalid",
        "localhost.example.invalid",
        "127.0.0.1.example.invalid",
        "192.0.2.1",
        "127.1",
        "2130706433",
        "0.0.0.0",
        "[2001:db8::1]",
        "[::ffff:127.0.0.1]",
        "127.0.0.1,192.0.2.1",
    ];
    let mut urls: Vec<_> = others.iter().map(|host| format!("postgres://agent:hunter2@{host}/db?")).collect();
    for parameter in ["host=db.example.invalid", "hostaddr=192.0.2.1", "host=localhost&host=192.0.2.1"] {
        urls.push(format!("postgres://agent:hunter2@localhost/db?{parameter}&"));
    }
    for url in urls {
        for mode in WEAKER {
            let url = format!("{url}{mode}");
            let operator = OperatorName::parse("root").unwrap();
            for error in [
                refusal(&url).await,
                refusal_by(PostgresStore::builder().connect_maintenance(&url, operator)).await,
                refusal_by(PostgresStore::connect_with_replica(&app_url("postgres"), &url)).await,
                refusal_by(PostgresStore::migrate(&url)).await,
            ] {
                assert_invalid(&error, "url", "sslmode=verify-full");
                assert_silent(&error, "hunter2");
            }
        }
    }
}

async fn this_host_need_not_prove_itself() {
    let port = closed_port();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().to_str().unwrap();
    for place in [
        format!("localhost:{port}/db?"),
        format!("LocalHost:{port}/db?"),
        format!("127.0.0.1:{port}/db?"),
        format!("127.8.9.10:{port}/db?"),
        format!("[::1]:{port}/db?"),
        format!("192.0.2.1:{port}/db?hostaddr=127.0.0.1&"),
        format!("{}:{port}/db?", socket.replace('/', "%2F")),
        format!("192.0.2.1:{port}/db?host={socket}&"),
    ] {
        for mode in ["", "sslmode=disable", "sslmode=prefer"] {
            let error = refusal(&format!("postgres://agent:hunter2@{place}{mode}")).await;
            // It was tried, and nothing is there.
            assert_refused(&error, &StoreErrorKind::Unavailable, &["refused"]);
            assert!(!chain(&error).contains("lookup"), "{}", chain(&error));
        }
    }
    let database = Database::fresh().await;
    let url = app_url(database.name());
    if let (Some(socket), Some((start, rest))) = (cluster().socket_dir(), url.split_once("127.0.0.1")) {
        let url = format!("{start}{}{rest}", socket.to_str().unwrap().replace('/', "%2F"));
        assert_works(PostgresStore::connect(&url).await.unwrap()).await;
        // An address of this host that does not look like one, when whoever connects says that it will do.
        let url = format!("{start}0.0.0.0{rest}");
        assert_works(PostgresStore::builder().allow_unverified_server().connect(&url).await.unwrap()).await;
    }
}

async fn an_authority_that_is_not_there_is_said_to_be() {
    let certificates = Certificates::localhost().unwrap();
    let pooler = pooler(1, &[], Some(&certificates));
    let folder = tempfile::tempdir().unwrap();
    let url = |authority: &Path| {
        let url = pooled_app_url(&pooler, "postgres");
        format!("{url}?sslmode=verify-full&sslrootcert={}", authority.display())
    };
    for missing in [folder.path().join("no-such.crt"), folder.path().to_owned()] {
        let error = refusal(&url(&missing)).await;
        assert_invalid(&error, "url", "sslrootcert");
    }
    let garbled = folder.path().join("garbled.crt");
    fs::write(&garbled, "-----BEGIN CERTIFICATE-----\nno certificate\n-----END CERTIFICATE-----\n").unwrap();
    assert_refused(&refusal(&url(&garbled)).await, &StoreErrorKind::UntrustedServer, &["sslrootcert"]);
}
