//! What a pooler says in its own way: a refused password, a certificate that is not to be trusted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::UserId;
use ironclaw_core::store::{Apply, Store, StoreErrorKind};
use ironclaw_core::{Change, Scope};
use ironclaw_store::PostgresStore;
use ironclaw_testing::{Certificates, PgBouncer};

use crate::database::{Database, PASSWORD, app_url};

const APP: &str = "ironclaw_test_app";

fn pooler(database: &Database, tls: Option<&Certificates>) -> PgBouncer {
    PgBouncer::start(&app_url(database.name()), &[], &[], tls).unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn a_password_that_the_pooler_refuses_is_asked_for() {
    let database = Database::fresh().await;
    let pooler = pooler(&database, None);
    let outdated = pooler.url(APP, "of yesterday", database.name());
    let refused = PostgresStore::builder().transaction_pooling().connect(&outdated).await.unwrap_err();
    assert_eq!(*refused.kind(), StoreErrorKind::Credentials, "{refused:?}");

    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let store = PostgresStore::builder()
        .transaction_pooling()
        .password_from(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(PASSWORD.to_owned()) })
        })
        .connect(&outdated)
        .await
        .unwrap();
    let ada = Scope::user(UserId::parse("ada").unwrap());
    let change = Change::new().with(SettingOp::Put { key: "theme".parse().unwrap(), value: "dark".into() });
    store.apply(&ada, change).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_for_another_name_is_not_trusted() {
    let database = Database::fresh().await;
    let certificates = Certificates::localhost().unwrap();
    let others = Certificates::localhost().unwrap();
    let for_another_name = Certificates::for_names(&["db.example.org"]).unwrap();
    for (shown, trusted, is_right) in [
        (&certificates, &certificates, true),
        (&certificates, &others, false),
        (&for_another_name, &for_another_name, false),
    ] {
        let pooler = pooler(&database, Some(shown));
        let url = pooler.url(APP, PASSWORD, database.name());
        let mark = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{mark}sslmode=verify-full&sslrootcert={}", trusted.ca_file().display());
        match PostgresStore::builder().transaction_pooling().connect(&url).await {
            Ok(store) => {
                assert!(is_right, "{url}");
                store.close().await.unwrap();
            }
            Err(error) => {
                assert!(!is_right, "{error:?}");
                assert_eq!(*error.kind(), StoreErrorKind::UntrustedServer, "{error:?}");
            }
        }
    }
}
