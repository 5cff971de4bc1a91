//! The server that all tests of a run share.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use crate::address::Address;
use crate::install::Installation;
use crate::postmaster::{Postmaster, psql};
use crate::program::{Account, program};
use crate::run::{RunFolder, write_private};
use crate::{ClusterError, cache};

/// How long the server outlives the last process that used it: long enough for `cargo test` to come to the next binary.
const GRACE_SECONDS: u32 = 45;
/// How long a supervisor may take to reopen or remove a run folder that it closed.
const CLOSING_SECONDS: u32 = 20;

const OPTIONS: [(&str, &str); 2] = [("max_connections", "400"), ("shared_buffers", "256MB")];

/// A PostgreSQL server with pgvector that every test process of the same target folder shares.
///
/// Its databases are the caller's to make: under a name of its own, as other tests run beside it. Settings and roles
/// belong to all; a test that changes the server takes a [`Server`](crate::Server) of its own.
#[derive(Clone)]
pub struct Cluster {
    bin: PathBuf,
    address: Address,
    socket: Option<PathBuf>,
}

impl Cluster {
    /// The shared server, which is started if there is none. It is there for as long as this process lives.
    ///
    /// This blocks: for milliseconds if the server runs, a few seconds to start it, and longer when it has to be
    /// fetched. What it finds, or why it found nothing, holds for the rest of the process.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Unavailable`] says which servers were tried. Others say what failed on the way to one of them.
    pub fn shared() -> Result<Self, ClusterError> {
        static SHARED: OnceLock<Result<Cluster, ClusterError>> = OnceLock::new();
        SHARED.get_or_init(Self::find_or_start).clone()
    }

    fn find_or_start() -> Result<Self, ClusterError> {
        let cache = cache::folder();
        match std::env::var("IRONCLAW_TEST_POSTGRES_URL") {
            Ok(url) => {
                Ok(Self { bin: Installation::find_clients(&cache)?.bin, address: Address::parse(&url)?, socket: None })
            }
            Err(std::env::VarError::NotPresent) => Self::private(&cache),
            Err(std::env::VarError::NotUnicode(_)) => Err(ClusterError::Url("it is not UTF-8")),
        }
    }

    /// The one that a process of the same `cache` folder started, or a new one.
    fn private(cache: &Path) -> Result<Self, ClusterError> {
        let lock = cache.join("cluster.lock");
        let locked = fs::create_dir_all(cache).and_then(|()| File::create(&lock)).and_then(|file| {
            file.lock()?;
            Ok(file)
        });
        let _locked = locked.map_err(|error| ClusterError::io("lock", &lock, error))?;
        let account = Account::for_servers()?;
        let facts = cache.join("cluster");
        if let Some(server) = read(&facts, account) {
            if join(&server) {
                return Ok(Self::from(&server));
            }
            // Its machine was restarted, or somebody killed it. A server without its data folder ends by itself.
            server.run.remove();
        }
        let installation = Installation::find(cache)?;
        let run = RunFolder::create(account, GRACE_SECONDS)?;
        let mut server = Postmaster::init(&installation, &run, &OPTIONS)?;
        server.start_anywhere()?;
        write(&facts, &server)?;
        Ok(Self::from(&server))
    }

    /// The server's host: a name or an address (IPv6 in brackets).
    #[must_use]
    pub fn host(&self) -> &str {
        &self.address.host
    }

    /// The server's TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// The URL of `database` for the superuser, over TCP with a password.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        self.address.superuser_url(database)
    }

    /// The URL of `database` for a role that the caller made.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        self.address.url(user, password, database)
    }

    /// One of PostgreSQL's programs, such as `psql`, to be run with nothing of this process's own settings of PostgreSQL.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        program(&self.bin_dir().join(name), None)
    }

    /// The folder of PostgreSQL's programs: `psql`, `pg_dump`, `pg_basebackup` and the like.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.bin
    }

    /// The folder of the server's socket, through which anyone who can enter it is any role; `None` for a server that
    /// was not started here.
    #[must_use]
    pub fn socket_dir(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Whether the server was started for the tests: `false` for that of `IRONCLAW_TEST_POSTGRES_URL`.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.socket.is_some()
    }

    /// Runs SQL statements as the superuser, each in a transaction of its own, and gives the rows of all of them:
    /// columns separated by `|`, without headings.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Program`] with what the server said about the first statement that failed.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, ClusterError> {
        let socket = self.socket.as_ref().map(|socket| socket.to_string_lossy().into_owned());
        let host = socket.unwrap_or_else(|| self.address.host.trim_matches(['[', ']']).to_owned());
        psql(&self.bin, &host, &self.address, database, sql)
    }
}

impl From<&Postmaster> for Cluster {
    fn from(server: &Postmaster) -> Self {
        let (bin, address) = (server.installation.bin.clone(), server.address.clone());
        Self { bin, address, socket: Some(server.socket()) }
    }
}

/// Registers this process as a user of a server that another one started, unless that is gone or ends.
fn join(server: &Postmaster) -> bool {
    for _ in 0..CLOSING_SECONDS * 5 {
        if server.run.register().is_ok() {
            return server.answers();
        }
        if !server.run.path().exists() {
            return false;
        }
        // Its supervisor closed the folder, and is about to reopen it for somebody else or to remove it.
        sleep(Duration::from_millis(200));
    }
    false
}

/// What another process needs to know of the server, one `name=value` a line.
fn write(facts: &Path, server: &Postmaster) -> Result<(), ClusterError> {
    let Address { port, user, password, .. } = &server.address;
    let (run, bin) = (server.run.path().display(), server.installation.bin.display());
    let text = format!("run={run}\nbin={bin}\nport={port}\nuser={user}\npassword={password}\n");
    write_private(facts, text.as_bytes())
}

fn read(facts: &Path, account: Option<Account>) -> Option<Postmaster> {
    let text = fs::read_to_string(facts).ok()?;
    let values: HashMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let installation = Installation { bin: PathBuf::from(values.get("bin")?) };
    let run = RunFolder::existing(PathBuf::from(values.get("run")?), account);
    let address = Address::new(values.get("port")?.parse().ok()?, values.get("user")?, values.get("password")?);
    Some(Postmaster { installation, run, address })
}
