//! Other processes of a test: the test's own program, asked to run one of its functions.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const ASKED: &str = "IRONCLAW_TEST_CHILD";

/// A process that runs one function of the test's program, on one path.
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// The path, for the function whose name is this, if the process was started to run it.
    pub(crate) fn asked(name: &str) -> Option<OsString> {
        let asked = std::env::var_os(ASKED)?;
        let running = std::env::var("IRONCLAW_TEST_CHILD_NAME").ok()?;
        (running == name).then_some(asked)
    }

    /// Starts a process that runs the test function of this name.
    pub(crate) fn start(name: &str, path: &Path) -> Self {
        let mut child = Self::command(name, path).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What starts it.
    #[allow(dead_code, reason = "not every test changes it")]
    pub(crate) fn command(name: &str, path: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", name, "--nocapture"])
            .env(ASKED, path)
            .env("IRONCLAW_TEST_CHILD_NAME", name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }

    /// Waits for a line with this in it, and gives the line.
    pub(crate) fn line(&mut self, text: &str) -> String {
        self.lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains(text))
            .unwrap_or_else(|| panic!("the process ended without {text:?}"))
    }

    /// Waits for the line and for the end.
    #[allow(dead_code, reason = "not every test waits for the end at once")]
    pub(crate) fn expect(mut self, text: &str) {
        self.line(text);
        self.wait();
    }

    /// Writes a line to it.
    #[allow(dead_code, reason = "not every test talks to it")]
    pub(crate) fn tell(&mut self, text: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{text}").unwrap();
    }

    /// Stops it (`STOP`), lets it go on (`CONT`) or ends it (`KILL`).
    #[allow(dead_code, reason = "not every test stops it")]
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) {
        drop(self.child.stdin.take());
        assert!(self.lines.by_ref().all(|line| line.is_ok()));
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
