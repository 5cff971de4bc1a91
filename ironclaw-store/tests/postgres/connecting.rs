//! What is said of a server, a URL or a password that won't do, and within which time.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use ironclaw_core::store::StoreErrorKind;
use ironclaw_store::PostgresStore;

use crate::database::{Database, app_url, cluster};
use crate::network::{Listener, assert_invalid, assert_refused, assert_silent, chain, refusal, refusal_by};

ironclaw_testing::tests![
    connecting_to_servers_that_hang_has_one_end,
    of_several_servers_the_one_that_is_meant_is_named,
    a_parameter_that_means_nothing_is_named,
    child_that_connects ignored "a child process of a_file_of_passwords_that_others_may_read_is_named",
    a_file_of_passwords_that_others_may_read_is_named,
];

const CHILD: &str = "IRONCLAW_TEST_CONNECT";

/// Whoever connects is let in, and hears nothing more.
const LETS_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

async fn connecting_to_servers_that_hang_has_one_end() {
    let listeners = [Listener::start(LETS_IN, false), Listener::start(LETS_IN, false)];
    let [url, standby] =
        listeners.map(|listener| format!("postgres://ada@{}/agents?sslmode=disable", listener.address));
    let builder = || PostgresStore::builder().acquire_timeout(std::time::Duration::from_secs(1));
    for error in [
        refusal_by(builder().connect_with_replica(&url, &standby)).await,
        refusal_by(builder().connect(&url)).await,
        refusal_by(builder().migration_timeout(std::time::Duration::from_secs(1)).migrate(&url)).await,
    ] {
        assert_refused(&error, &StoreErrorKind::Unavailable, &["does not answer", "see whether"]);
    }
}

async fn of_several_servers_the_one_that_is_meant_is_named() {
    let (database, empty) = (Database::fresh().await, Database::empty().await);
    let (url, other) = (app_url(database.name()), app_url(empty.name()));
    let error = refusal_by(PostgresStore::builder().connect_with_replica(&url, &other)).await;
    let named = format!("{}:{}/{}: ", cluster().host(), cluster().port(), empty.name());
    assert_refused(&error, &StoreErrorKind::NotMigrated, &[&named, "PostgresStore::migrate"]);
}

async fn a_parameter_that_means_nothing_is_named() {
    for (name, instead) in [
        ("connect_timeout", "acquire_timeout"),
        ("target_session_attrs", "connect_with_replica"),
        ("pgbouncer", "transaction_pooling"),
        ("sslcrl", "sslrootcert"),
    ] {
        let error = refusal(&format!("postgres://ada@localhost/agents?application_name=a&{name}=1")).await;
        assert_invalid(&error, "url", &format!("no parameter {name}"));
        assert_invalid(&error, "url", instead);
    }
    // It is a password that was not encoded.
    let error = refusal("postgres://ada:good?hunter2&hunter3@localhost/agents").await;
    assert_invalid(&error, "url", "%3F");
    assert_silent(&error, "hunter");
}

/// Not a test: what the next one starts, with a file of passwords of its own.
async fn child_that_connects() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let connected = PostgresStore::connect(&url).await;
    println!("\nsaid {}", connected.map_or_else(|error| chain(&error), |_| "connected".to_owned()));
}

async fn a_file_of_passwords_that_others_may_read_is_named() {
    let database = Database::fresh().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords");
    std::fs::write(&file, format!("*:*:*:*:{}\n", crate::database::PASSWORD)).unwrap();
    let with_password = app_url(database.name());
    let (user, rest) = with_password.split_once("://").unwrap().1.split_once(':').unwrap();
    let url = format!("postgres://{user}@{}", rest.split_once('@').unwrap().1);
    let said = |url: &str, mode: u32| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "connecting::child_that_connects", "--ignored", "--nocapture"]);
        child.env(CHILD, url).env("PGPASSFILE", &file).env("HOME", folder.path()).env_remove("PGPASSWORD");
        let output = String::from_utf8(child.output().unwrap().stdout).unwrap();
        output.lines().find_map(|line| line.strip_prefix("said ")).expect("it says something").to_owned()
    };
    assert_eq!(said(&url, 0o600), "connected");
    let refused = said(&url, 0o644);
    assert!(refused.contains(&format!("chmod 600 {}", file.display())), "{refused}");
    assert!(!refused.contains(crate::database::PASSWORD), "{refused}");
    // With a password in the URL no file is looked at.
    let wrong = url.replacen(user, &format!("{user}:wrong"), 1);
    assert!(!said(&wrong, 0o644).contains("chmod"));
}
