//! One PostgreSQL server: its data folder, its configuration and its life.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::ClusterError;
use crate::address::Address;
use crate::install::Installation;
use crate::output::{output, output_of_input};
use crate::program::program;
use crate::run::RunFolder;

const SUPERUSER: &str = "postgres";
/// Every local connection comes through a socket in a folder that nobody else can enter.
const HBA_LOCAL: &str = "local all all trust\nlocal replication all trust\n";
pub(crate) const HBA_HOST: [&str; 2] =
    ["host all all 127.0.0.1/32 scram-sha-256", "host replication all 127.0.0.1/32 scram-sha-256"];
/// How often a first start looks for a port: another process may take one before the server does.
const PORT_TRIES: u32 = 5;
/// The ports that this process has chosen.
static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());

/// A server, running or not.
#[derive(Clone)]
pub(crate) struct Postmaster {
    pub(crate) installation: Installation,
    pub(crate) run: RunFolder,
    pub(crate) address: Address,
}

impl Postmaster {
    /// A data folder with a random password for its superuser.
    pub(crate) fn init(
        installation: &Installation,
        run: &RunFolder,
        options: &[(&str, &str)],
    ) -> Result<Self, ClusterError> {
        let password = random_password()?;
        let mut server = Self::unborn(installation, run, &password)?;
        let data = server.run.folder("data")?;
        let password_file = server.run.path().join("password");
        server.run.file(&password_file, password.as_bytes())?;
        let mut initdb = program(&server.installation.program("initdb"), server.run.account());
        initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(&password_file);
        initdb.args(["--username", SUPERUSER, "--encoding=UTF8", "--no-locale", "--no-sync"]);
        output(initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]))?;
        server.set(&[("listen_addresses", "127.0.0.1"), ("password_encryption", "scram-sha-256"), ("fsync", "on")])?;
        server.set(&[("wal_level", "replica"), ("max_prepared_transactions", "0")])?;
        server.set(options)?;
        server.set_hba(&HBA_HOST)?;
        server.address.port = free_port()?;
        Ok(server)
    }

    /// A server without data, which is still to come.
    pub(crate) fn unborn(installation: &Installation, run: &RunFolder, password: &str) -> Result<Self, ClusterError> {
        let installation = installation.reachable_by(run.account(), run.path())?;
        run.folder("socket")?;
        let address = Address::new(free_port()?, SUPERUSER, password);
        Ok(Self { installation, run: run.clone(), address })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.run.path().join("data")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.run.path().join("socket")
    }

    fn log(&self) -> PathBuf {
        self.run.path().join("log")
    }

    /// Appends settings to `postgresql.conf`, where the last of a name counts.
    pub(crate) fn set(&self, options: &[(&str, &str)]) -> Result<(), ClusterError> {
        let path = self.data().join("postgresql.conf");
        let mut text = fs::read_to_string(&path).map_err(|error| ClusterError::io("read", &path, error))?;
        for (name, value) in options {
            let value = value.replace('\\', r"\\").replace('\'', "''");
            text.push_str(&format!("{name} = '{value}'\n"));
        }
        self.run.file(&path, text.as_bytes())
    }

    /// Makes `lines` the rules for connections that are not local.
    pub(crate) fn set_hba(&self, lines: &[&str]) -> Result<(), ClusterError> {
        let text = format!("{HBA_LOCAL}{}\n", lines.join("\n"));
        self.run.file(&self.data().join("pg_hba.conf"), text.as_bytes())
    }

    /// Starts the server on the first port that works, and waits until it answers.
    pub(crate) fn start_anywhere(&mut self) -> Result<(), ClusterError> {
        let mut result = self.start();
        for _ in 1..PORT_TRIES {
            match &result {
                Err(ClusterError::NotStarted { detail, .. }) if detail.contains("could not bind") => {}
                _ => return result,
            }
            self.address.port = free_port()?;
            result = self.start();
        }
        result
    }

    /// Starts the server on its port, and waits until it answers.
    pub(crate) fn start(&self) -> Result<(), ClusterError> {
        // Here, and not in the configuration, which a standby copies.
        let place = format!("-p {} -k '{}'", self.address.port, self.socket().display());
        let log = self.log();
        let logged = fs::metadata(&log).map(|file| file.len()).unwrap_or(0);
        self.pg_ctl("start", |command| {
            command.args(["-w", "-t", "120", "-s", "-o", &place, "-l"]).arg(&log);
        })
        .map_err(|error| {
            let log = fs::read(&log).unwrap_or_default();
            let new = log.get(usize::try_from(logged).unwrap_or(0)..).unwrap_or_default();
            let detail = format!("{error}\n{}", String::from_utf8_lossy(new).trim());
            ClusterError::NotStarted { server: "PostgreSQL", detail }
        })
    }

    /// Runs `pg_ctl` on the data folder.
    pub(crate) fn pg_ctl(
        &self,
        action: &str,
        arguments: impl FnOnce(&mut std::process::Command),
    ) -> Result<(), ClusterError> {
        let mut command = program(&self.installation.program("pg_ctl"), self.run.account());
        arguments(command.arg(action).arg("-D").arg(self.data()));
        output(&mut command).map(drop)
    }

    /// Whether the server accepts connections.
    pub(crate) fn answers(&self) -> bool {
        let mut ready = program(&self.installation.program("pg_isready"), None);
        ready.arg("-h").arg(self.socket()).args(["-p", &self.address.port.to_string(), "-q"]);
        output(&mut ready).is_ok()
    }

    /// Runs SQL as the superuser.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Result<String, ClusterError> {
        psql(&self.installation.bin, &self.socket().to_string_lossy(), &self.address, database, sql)
    }
}

/// Runs SQL through `psql`, which stops at the first error, and gives the rows that it printed.
pub(crate) fn psql(
    bin: &Path,
    host: &str,
    address: &Address,
    database: &str,
    sql: &str,
) -> Result<String, ClusterError> {
    let mut command = program(&bin.join("psql"), None);
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
    command.args(["-h", host, "-p", &address.port.to_string(), "-U", &address.user, "-d", database]);
    command.env("PGPASSWORD", &address.password).env("PGCLIENTENCODING", "UTF8");
    // A server that hangs must not hang its test.
    command.env("PGCONNECT_TIMEOUT", "30");
    let printed = output_of_input(&mut command, sql)?;
    Ok(printed.trim_end_matches('\n').to_owned())
}

/// A port of this machine that nobody listens on right now, and that was not given before: a server that was killed
/// keeps its port, and must not be mistaken for another.
pub(crate) fn free_port() -> Result<u16, ClusterError> {
    for _ in 0..PORT_TRIES * 10 {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).map_err(|error| ClusterError::program("looking for a free port", error))?;
        // Systems give outgoing connections the ports above: one of those could be taken while its server is stopped.
        let port = 20_000 + u16::from_ne_bytes(bytes) % 12_000;
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.push(port);
            return Ok(port);
        }
    }
    Err(ClusterError::program("looking for a free port", "found none from 20000 to 31999"))
}

fn random_password() -> Result<String, ClusterError> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| ClusterError::program("making a random password", error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
