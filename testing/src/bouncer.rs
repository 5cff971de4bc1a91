//! A connection pooler in front of a server.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::postmaster::free_port;
use crate::program::{Account, program, reachable};
use crate::run::RunFolder;
use crate::{Certificates, ClusterError, apt, cache};

const STARTING: Duration = Duration::from_secs(30);

/// PgBouncer in transaction pooling: a connection has a server connection only for as long as its transaction lasts.
///
/// Dropping it ends it.
pub struct PgBouncer {
    run: RunFolder,
    address: Address,
    process: Child,
}

impl PgBouncer {
    /// Whether there is a PgBouncer to start, which is fetched if none is installed.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Missing`] when there is none.
    pub fn find() -> Result<(), ClusterError> {
        find_program().map(drop)
    }

    /// Starts a pooler in front of the server of `upstream`, a URL with a password.
    ///
    /// It lets in that URL's user and all of `users` (names and passwords) by SCRAM-SHA-256, and connects with the same.
    /// `options` are settings of its `[pgbouncer]` section, such as `default_pool_size`. With an `auth_user`, one of those
    /// names, it lets in the server's other roles, too, and asks the server for their passwords. With `tls` it shows that
    /// server certificate, and takes no connection without TLS.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Missing`] when there is no PgBouncer and none can be fetched, [`ClusterError::NotStarted`] with its log when it does
    /// not start.
    pub fn start(
        upstream: &str,
        users: &[(&str, &str)],
        options: &[(&str, &str)],
        tls: Option<&Certificates>,
    ) -> Result<Self, ClusterError> {
        let found = find_program()?;
        let upstream = Address::parse(upstream)?;
        let run = RunFolder::create(Account::for_servers()?, 0)?;
        let address = Address::new(free_port()?, &upstream.user, &upstream.password);
        // Only a folder in the run folder is where the supervisor looks for its process id.
        let started = configure(&run, &upstream, address.port, users, options, tls).and_then(|configuration| {
            let root = apt::libraries(&found).map_or(found.as_path(), |(root, _)| root);
            let executable = reachable(&found, root, run.account(), run.path())?;
            let mut command = program(&executable, run.account());
            command.arg("-q").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().map_err(|error| ClusterError::program("pgbouncer", error))
        });
        let process = started.inspect_err(|_| run.remove())?;
        let mut bouncer = Self { run, address, process };
        bouncer.wait_until_up()?;
        Ok(bouncer)
    }

    fn wait_until_up(&mut self) -> Result<(), ClusterError> {
        let log = self.run.path().join("pgbouncer/log");
        let deadline = Instant::now() + STARTING;
        loop {
            let text = fs::read_to_string(&log).unwrap_or_default();
            // It goes on without a listener that it could not open, and says so.
            let listens = text.contains(&format!("listening on 127.0.0.1:{}", self.address.port));
            if listens && text.contains("process up") {
                return Ok(());
            }
            let ended = self.process.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() > deadline {
                return Err(ClusterError::NotStarted { server: "PgBouncer", detail: text });
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// The pooler's host, an address of this machine.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.address.host
    }

    /// The pooler's TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// The URL of `database` through the pooler for one of its users.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        self.address.url(user, password, database)
    }

    /// The URL of `database` through the pooler for the user of the URL that it was started with.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        self.address.superuser_url(database)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // It fails only if the process has ended, which is what we want.
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.run.remove();
    }
}

/// Writes the pooler's files and gives the path of its configuration.
fn configure(
    run: &RunFolder,
    upstream: &Address,
    port: u16,
    users: &[(&str, &str)],
    options: &[(&str, &str)],
    tls: Option<&Certificates>,
) -> Result<PathBuf, ClusterError> {
    let folder = run.folder("pgbouncer")?;
    let path = |name: &str| folder.join(name).display().to_string();
    let mut list = String::new();
    for (user, password) in users.iter().copied().chain([(upstream.user.as_str(), upstream.password.as_str())]) {
        // Writing to a string can't fail.
        let _ = writeln!(list, "\"{}\" \"{}\"", user.replace('"', "\"\""), password.replace('"', "\"\""));
    }
    run.file(&folder.join("users"), list.as_bytes())?;
    let (host, port, users) = (upstream.host.trim_matches(['[', ']']), port.to_string(), path("users"));
    let (log, pid) = (path("log"), path("pgbouncer.pid"));
    let (certificate, key) = (path("server.crt"), path("server.key"));
    let mut settings = vec![
        ("listen_addr", "127.0.0.1"),
        ("listen_port", &port),
        ("unix_socket_dir", ""),
        ("auth_type", "scram-sha-256"),
        ("auth_file", &users),
        ("pool_mode", "transaction"),
        ("ignore_startup_parameters", "extra_float_digits"),
        ("logfile", &log),
        ("pidfile", &pid),
    ];
    if let Some(tls) = tls {
        run.file(Path::new(&certificate), tls.certificate().as_bytes())?;
        run.file(Path::new(&key), tls.key().as_bytes())?;
        settings.push(("client_tls_sslmode", "require"));
        settings.push(("client_tls_cert_file", &certificate));
        settings.push(("client_tls_key_file", &key));
    }
    settings.extend(options);
    let mut text = format!("[databases]\n* = host={host} port={}\n[pgbouncer]\n", upstream.port);
    for (name, value) in settings {
        let _ = writeln!(text, "{name} = {value}");
    }
    let configuration = folder.join("pgbouncer.ini");
    run.file(&configuration, text.as_bytes())?;
    Ok(configuration)
}

/// The installed program, or else that of the system's package, unpacked in the cache. What it finds, or why it found
/// nothing, holds for the rest of the process.
fn find_program() -> Result<PathBuf, ClusterError> {
    static FOUND: OnceLock<Result<PathBuf, ClusterError>> = OnceLock::new();
    FOUND.get_or_init(|| installed_program().map_or_else(fetch_program, Ok)).clone()
}

fn installed_program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian has it where only root's PATH leads.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join("pgbouncer")).find(|path| path.is_file())
}

fn fetch_program() -> Result<PathBuf, ClusterError> {
    let fetched = apt::tree(&cache::folder(), "pgbouncer").map(|tree| tree.join("usr/sbin/pgbouncer"));
    fetched.map_err(|error| ClusterError::Missing {
        what: "PgBouncer",
        advice: "`apt-get install pgbouncer`, or put the program `pgbouncer` into the PATH",
        tried: error.to_string(),
    })
}
