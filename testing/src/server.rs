//! A server of one test alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::install::Installation;
use crate::output::output;
use crate::postmaster::Postmaster;
use crate::program::{Account, program};
use crate::run::RunFolder;
use crate::{Certificates, ClusterError, cache};

/// Small, as several may run beside each other, and without shared memory that a killed server leaves to the machine.
const OPTIONS: [(&str, &str); 4] = [
    ("max_connections", "100"),
    ("shared_buffers", "32MB"),
    ("dynamic_shared_memory_type", "mmap"),
    // A standby is soon back after its primary.
    ("wal_retrieve_retry_interval", "200ms"),
];
/// How long the processes of a server may take to obey a signal.
const SIGNALLED: Duration = Duration::from_secs(30);

/// How a server is shut down: `pg_ctl stop -m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Ends the connections, writes a checkpoint and stops.
    Fast,
    /// Stops without a checkpoint: the next start recovers from the write-ahead log.
    Immediate,
}

/// A PostgreSQL server that belongs to its test, which may stop, kill, reconfigure and replicate it.
///
/// It takes about a second to start; a test that only needs a database takes [`Cluster::shared`](crate::Cluster::shared).
/// Dropping it stops it and removes its data. It also ends when its process does, however that happens.
pub struct Server {
    /// Where the programs are, before they were perhaps copied into the run folder.
    origin: Installation,
    postmaster: Postmaster,
}

impl Server {
    /// Starts a new server with pgvector, with these settings in its `postgresql.conf`.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Unavailable`] when there is no installation to start it from, [`ClusterError::NotStarted`] with
    /// its log when it does not start.
    pub fn start(options: &[(&str, &str)]) -> Result<Self, ClusterError> {
        Self::create(Installation::find(&cache::folder())?, options, &[], &[])
    }

    /// Starts a new server from the programs in `bin_dir`, whatever their version and extensions.
    ///
    /// `hba` are the lines of `pg_hba.conf` for connections over TCP; if there are none, passwords are asked for.
    /// `files` are written into the data folder under their names, such as a certificate and its key.
    ///
    /// # Errors
    ///
    /// [`ClusterError::NotStarted`] with the server's log when it does not start.
    pub fn start_from(
        bin_dir: &Path,
        options: &[(&str, &str)],
        hba: &[&str],
        files: &[(&str, &str)],
    ) -> Result<Self, ClusterError> {
        Self::create(Installation { bin: bin_dir.to_owned() }, options, hba, files)
    }

    /// Starts a new server, without pgvector, that shows this certificate and takes no connection without TLS.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Missing`] when no installed PostgreSQL has TLS and none can be fetched, [`ClusterError::NotStarted`] with the
    /// server's log when it does not start.
    pub fn start_with_tls(certificates: &Certificates, options: &[(&str, &str)]) -> Result<Self, ClusterError> {
        let hba = ["all", "replication"].map(|database| format!("hostssl {database} all 127.0.0.1/32 scram-sha-256"));
        let files = [("server.crt", certificates.certificate()), ("server.key", certificates.key())];
        // These are the names that it looks for by itself.
        let options: Vec<_> = [("ssl", "on")].iter().chain(options).copied().collect();
        Self::create(
            Installation::find_with_tls(&cache::folder())?,
            &options,
            &hba.each_ref().map(String::as_str),
            &files,
        )
    }

    fn create(
        origin: Installation,
        options: &[(&str, &str)],
        hba: &[&str],
        files: &[(&str, &str)],
    ) -> Result<Self, ClusterError> {
        let run = RunFolder::create(Account::for_servers()?, 0)?;
        let postmaster = Postmaster::init(&origin, &run, &OPTIONS).inspect_err(|_| run.remove())?;
        let mut server = Self { origin, postmaster };
        server.postmaster.set(options)?;
        for (name, content) in files {
            server.postmaster.run.file(&server.data_dir().join(name), content.as_bytes())?;
        }
        if !hba.is_empty() {
            server.postmaster.set_hba(hba)?;
        }
        server.postmaster.start_anywhere()?;
        Ok(server)
    }

    /// Starts a hot standby that follows this server through a replication slot, with its settings and its roles.
    ///
    /// A commit waits until the standby shows it after `primary.set(&[("synchronous_standby_names", "*"),
    /// ("synchronous_commit", "remote_apply")])`.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Program`] when this server can't be copied, [`ClusterError::NotStarted`] when the copy does not
    /// start.
    pub fn standby(&self) -> Result<Self, ClusterError> {
        let primary = &self.postmaster;
        let run = RunFolder::create(primary.run.account(), 0)?;
        let unborn = Postmaster::unborn(&self.origin, &run, &primary.address.password);
        let mut standby = Self { origin: self.origin.clone(), postmaster: unborn.inspect_err(|_| run.remove())? };
        let copy = &standby.postmaster;
        let mut backup = program(&copy.installation.program("pg_basebackup"), run.account());
        backup.arg("--pgdata").arg(copy.data()).arg("--host").arg(primary.socket());
        backup.args(["--port", &primary.address.port.to_string(), "--username", &primary.address.user]);
        backup.args(["--create-slot", "--slot", &format!("standby_{}", copy.address.port)]);
        output(backup.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]))?;
        standby.postmaster.start_anywhere()?;
        Ok(standby)
    }

    /// Makes a standby a primary, and waits until it is one. What it has not received from its old primary is lost.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Program`] when the server is no standby or does not run.
    pub fn promote(&self) -> Result<(), ClusterError> {
        self.postmaster.pg_ctl("promote", |command| {
            command.args(["-w", "-s"]);
        })
    }

    /// Shuts the server down, and waits until it is.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Program`] when it does not run.
    pub fn stop(&self, mode: Mode) -> Result<(), ClusterError> {
        let mode = match mode {
            Mode::Fast => "fast",
            Mode::Immediate => "immediate",
        };
        self.postmaster.pg_ctl("stop", |command| {
            command.args(["-w", "-s", "-m", mode]);
        })
    }

    /// Kills the server and all of its processes with SIGKILL, as a crash or the out-of-memory killer would.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Io`] when it does not run, [`ClusterError::Program`] when its processes don't die.
    pub fn kill(&self) -> Result<(), ClusterError> {
        // While it is frozen, it starts no process that we would overlook.
        let pids = self.freeze_all()?;
        signal("KILL", &pids)?;
        wait_for(&pids, "die", Process::is_dead)?;
        // The next start removes these itself, unless a zombie, where nobody reaps orphans, still has that process id.
        let lock = self.socket_dir().join(format!(".s.PGSQL.{}.lock", self.port()));
        for path in [self.pid_file(), lock] {
            fs::remove_file(&path).map_err(|error| ClusterError::io("remove", &path, error))?;
        }
        Ok(())
    }

    /// Stops all of the server's processes with SIGSTOP: connections stay open, and new ones are taken, but nothing
    /// answers any more, as when the machine hangs or the network loses every packet. It has to be thawed before it is
    /// stopped or reconfigured.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Io`] when it does not run.
    pub fn freeze(&self) -> Result<(), ClusterError> {
        self.freeze_all().map(drop)
    }

    /// Lets a frozen server go on where it was.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Io`] when it does not run.
    pub fn thaw(&self) -> Result<(), ClusterError> {
        signal("CONT", &self.pids()?)
    }

    /// Freezes every process of the server, and gives their ids.
    fn freeze_all(&self) -> Result<Vec<u32>, ClusterError> {
        let postmaster = [self.pid()?];
        signal("STOP", &postmaster)?;
        wait_for(&postmaster, "stop", Process::is_stopped)?;
        // From here on there are no new ones.
        let pids = self.pids()?;
        signal("STOP", &pids)?;
        wait_for(&pids, "stop", Process::is_stopped)?;
        Ok(pids)
    }

    fn pid_file(&self) -> PathBuf {
        self.data_dir().join("postmaster.pid")
    }

    /// The process id of the postmaster, the parent of all others.
    fn pid(&self) -> Result<u32, ClusterError> {
        let path = self.pid_file();
        let text = fs::read_to_string(&path).map_err(|error| ClusterError::io("read", &path, error))?;
        let first = text.lines().next().and_then(|line| line.parse().ok());
        first.ok_or_else(|| ClusterError::io("find a process id in", &path, "it has none"))
    }

    fn pids(&self) -> Result<Vec<u32>, ClusterError> {
        let postmaster = self.pid()?;
        let own = |process: &Process| process.pid == postmaster || process.parent == postmaster;
        let own = processes()?.into_iter().filter(|process| own(process) && !process.is_dead());
        Ok(own.map(|process| process.pid).collect())
    }

    /// Starts the server after it was stopped or killed, on the same port, and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`ClusterError::NotStarted`] with its log when it does not start.
    pub fn start_again(&self) -> Result<(), ClusterError> {
        self.postmaster.start()
    }

    /// Makes `lines` the rules of `pg_hba.conf` for connections over TCP. If the server runs, all connections made after
    /// this are subject to them.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Io`] when the file can't be written, [`ClusterError::Program`] when the server does not take it.
    pub fn hba(&self, lines: &[&str]) -> Result<(), ClusterError> {
        self.postmaster.set_hba(lines)?;
        self.reload()
    }

    /// Adds settings to `postgresql.conf`. If the server runs, they hold for all connections made after this, and soon
    /// for the others, save those that need a new start.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Io`] when the file can't be written, [`ClusterError::Program`] when the server does not take it.
    pub fn set(&self, options: &[(&str, &str)]) -> Result<(), ClusterError> {
        self.postmaster.set(options)?;
        self.reload()
    }

    /// A server that does not run reads its configuration when it starts.
    fn reload(&self) -> Result<(), ClusterError> {
        if !self.pid_file().exists() {
            return Ok(());
        }
        let loaded = || self.psql("postgres", "SELECT pg_conf_load_time()");
        let before = loaded()?;
        self.postmaster.pg_ctl("reload", |command| {
            command.arg("-s");
        })?;
        // It is but a signal, which the server may take a moment to act on.
        let deadline = Instant::now() + SIGNALLED;
        while loaded()? == before {
            if Instant::now() > deadline {
                return Err(ClusterError::program("pg_ctl reload", "the server does not read its configuration"));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The server's host, an address of this machine.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.postmaster.address.host
    }

    /// The server's TCP port, which it keeps when it is started again.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.postmaster.address.port
    }

    /// The URL of `database` for the superuser, over TCP with a password.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        self.postmaster.address.superuser_url(database)
    }

    /// The URL of `database` for a role that the caller made.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        self.postmaster.address.url(user, password, database)
    }

    /// One of PostgreSQL's programs, such as `psql`, to be run with nothing of this process's own settings of PostgreSQL.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        program(&self.bin_dir().join(name), None)
    }

    /// The folder of the programs that the server was started from.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.postmaster.installation.bin
    }

    /// The server's data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.postmaster.data()
    }

    /// The folder of the server's socket, through which anyone who can enter it is any role.
    #[must_use]
    pub fn socket_dir(&self) -> PathBuf {
        self.postmaster.socket()
    }

    /// Runs SQL statements as [`Cluster::psql`](crate::Cluster::psql) does.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Program`] with what the server said about the first statement that failed.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, ClusterError> {
        self.postmaster.psql(database, sql)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be frozen, or have been stopped or killed already. Should it go on, it ends for want of its data folder.
        let _ = self.thaw();
        let _ = self.stop(Mode::Immediate);
        self.postmaster.run.remove();
    }
}

struct Process {
    pid: u32,
    parent: u32,
    state: char,
}

impl Process {
    /// Whether it ended, though perhaps nobody has asked how.
    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    fn is_stopped(&self) -> bool {
        self.state == 'T' || self.is_dead()
    }
}

/// Waits until each of the processes is gone or as `expected`.
fn wait_for(pids: &[u32], action: &str, expected: fn(&Process) -> bool) -> Result<(), ClusterError> {
    let deadline = Instant::now() + SIGNALLED;
    while processes()?.iter().any(|process| pids.contains(&process.pid) && !expected(process)) {
        if Instant::now() > deadline {
            return Err(ClusterError::program("kill", format!("some of the processes {pids:?} do not {action}")));
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// All processes of this machine.
fn processes() -> Result<Vec<Process>, ClusterError> {
    let Ok(entries) = fs::read_dir("/proc") else {
        let lines = output(Command::new("ps").args(["-A", "-o", "pid=,ppid=,stat="]))?;
        return Ok(lines.lines().filter_map(parse_ps).collect());
    };
    // A process may end while we look.
    let stats = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    Ok(stats.filter_map(|stat| parse_stat(&stat)).collect())
}

fn parse_ps(line: &str) -> Option<Process> {
    let mut fields = line.split_whitespace();
    let (pid, parent) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Process { pid, parent, state: fields.next()?.chars().next()? })
}

/// Reads `pid (name) state parent …`, where the name may hold anything.
fn parse_stat(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let mut fields = rest.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some(Process { pid: pid.parse().ok()?, parent: fields.next()?.parse().ok()?, state })
}

/// Sends a signal through the shell's own `kill`, as not every system has the program.
fn signal(name: &str, pids: &[u32]) -> Result<(), ClusterError> {
    let mut command = Command::new("sh");
    command.args(["-c", "kill \"$@\"", "kill", &format!("-{name}")]).args(pids.iter().map(u32::to_string));
    output(&mut command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_read_from_either_source() {
        let process = parse_stat("42 (a) Z 9 (x) S 7 1 1 0").unwrap();
        assert_eq!((process.pid, process.parent, process.state), (42, 7, 'S'));
        let process = parse_ps("  42     7 Z+").unwrap();
        assert_eq!((process.pid, process.parent, process.state), (42, 7, 'Z'));
        let own = std::process::id();
        assert!(processes().unwrap().iter().any(|process| process.pid == own && !process.is_dead()));
    }
}
