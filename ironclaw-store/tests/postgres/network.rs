//! What listens where a server should, and what a caller hears of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_store::PostgresStore;

/// Longer than any call may take that is refused.
const BOUND: Duration = Duration::from_secs(30);

/// Something that listens on a port of this machine and is no PostgreSQL. It ends with the test.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Listener {
    /// One that answers `answer` to whatever comes first, and goes on listening or, if it `closes`, does not.
    pub(crate) fn start(answer: &'static [u8], closes: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, received) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
        let log = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || serve(stream, answer, closes, &log));
            }
        });
        Self { address, received }
    }

    /// All that it was sent, by all who connected.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: &[u8], closes: bool, log: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    let mut is_first = true;
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        log.lock().unwrap().extend_from_slice(&buffer[..read]);
        if std::mem::take(&mut is_first) && stream.write_all(answer).is_ok() && closes {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A port of this machine on which nothing listens.
pub(crate) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Why the application is not let in, within a bounded time.
pub(crate) async fn refusal(url: &str) -> StoreError {
    refusal_by(PostgresStore::builder().connect(url)).await
}

/// Why a call failed, within a bounded time.
pub(crate) async fn refusal_by<T: std::fmt::Debug>(call: impl Future<Output = Result<T, StoreError>>) -> StoreError {
    tokio::time::timeout(BOUND, call).await.expect("the call hangs").unwrap_err()
}

/// A call failed with this kind, and says all of this.
pub(crate) fn assert_refused(error: &StoreError, kind: &StoreErrorKind, said: &[&str]) {
    assert_eq!(error.kind(), kind, "{}", chain(error));
    for said in said {
        assert!(error.to_string().contains(said), "no {said:?} in {}", chain(error));
    }
}

/// A call failed because of this argument, and says this.
pub(crate) fn assert_invalid(error: &StoreError, field: &str, said: &str) {
    let StoreErrorKind::InvalidInput(input) = error.kind() else {
        panic!("{}", chain(error));
    };
    assert_eq!(input.field(), field, "{error}");
    assert!(error.to_string().contains(said), "no {said:?} in {error}");
}

/// Nothing that a log may show of an error has this in it.
pub(crate) fn assert_silent(error: &StoreError, secret: &str) {
    let shown = format!("{} {error:?}", chain(error));
    assert!(!shown.contains(secret), "{shown}");
}

/// An error and what caused it.
pub(crate) fn chain(error: &StoreError) -> String {
    error.to_string()
}
