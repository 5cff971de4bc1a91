//! What a killed test leaves behind.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ironclaw_testing::{Cluster, PgBouncer, Server, need};

ironclaw_testing::tests![a_killed_test_leaves_no_server,];

fn main() -> ExitCode {
    ironclaw_testing::run([tests()])
}

/// Set for the process that is killed.
const VICTIM: &str = "VICTIM";
const PREFIX: &str = "started: ";

fn a_killed_test_leaves_no_server() {
    if std::env::var_os(VICTIM).is_some() {
        return start_and_wait();
    }
    need(PgBouncer::find());
    need(Cluster::shared());
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "a_killed_test_leaves_no_server", "--nocapture"]).env(VICTIM, "");
    let mut victim = victim.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let started: Vec<_> = lines.filter_map(|line| Some(line.strip_prefix(PREFIX)?.to_owned())).take(3).collect();
    victim.kill().unwrap();
    victim.wait().unwrap();

    assert_eq!(started.len(), 3);
    let deadline = Instant::now() + Duration::from_secs(60);
    for line in started {
        let (port, folder) = line.split_once(' ').unwrap();
        let port: u16 = port.parse().unwrap();
        while TcpListener::bind(("127.0.0.1", port)).is_err() || (!folder.is_empty() && Path::new(folder).exists()) {
            assert!(Instant::now() < deadline, "{line} is still there");
            sleep(Duration::from_millis(100));
        }
    }
}

fn start_and_wait() {
    let (server, frozen) = (need(Server::start(&[])), need(Server::start(&[])));
    let bouncer = need(PgBouncer::start(&server.superuser_url("postgres"), &[], &[], None));
    frozen.freeze().unwrap();
    // The harness may have begun a line of its own.
    println!("\n{PREFIX}{} {}", server.port(), server.data_dir().display());
    println!("{PREFIX}{} {}", frozen.port(), frozen.data_dir().display());
    println!("{PREFIX}{} ", bouncer.port());
    // Should the parent be killed, this ends.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
