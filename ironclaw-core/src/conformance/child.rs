//! The second process of a case: the test program itself, started again with its task in the environment.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use super::check::Failure;

const VARIABLE: &str = "IRONCLAW_CONFORMANCE_CHILD";

/// What a child process is to do.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Request {
    /// The suite whose harness opens the data.
    pub(crate) suite: String,
    /// The task, as the suite names it.
    pub(crate) task: String,
    /// Where the data is, as the harness names it.
    pub(crate) place: String,
    /// What else the task needs.
    pub(crate) argument: serde_json::Value,
}

impl Request {
    /// The request that this process was started with, if it was.
    pub(crate) fn from_environment() -> Option<Self> {
        serde_json::from_str(&std::env::var(VARIABLE).ok()?).ok()
    }

    /// Starts the child.
    pub(crate) fn spawn(&self) -> Result<Child, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .env(VARIABLE, serde_json::to_string(self)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        match (stdin, stdout) {
            (Some(stdin), Some(stdout)) => Ok(Child { process, stdin, stdout: BufReader::new(stdout) }),
            _ => Err(Failure::new("the child has no pipes")),
        }
    }
}

/// Says a line to the parent, at once.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A parent that has gone hears nothing.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Waits for the parent's next line.
pub(crate) fn wait() -> Result<(), Failure> {
    std::io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

/// A running child. Dropping it kills it.
pub(crate) struct Child {
    process: Process,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    /// The child's next line, or `None` when it has ended.
    pub(crate) fn line(&mut self) -> Result<Option<String>, Failure> {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line)?;
        // A line that a kill cut short was never said.
        Ok((read > 0 && line.ends_with('\n')).then(|| line.trim_end().to_owned()))
    }

    /// Waits until the child says this.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &str) -> Result<(), Failure> {
        let line = self.line()?;
        assert_eq!(line.as_deref(), Some(expected));
        Ok(())
    }

    /// Lets a waiting child go on.
    pub(crate) fn go(&mut self) -> Result<(), Failure> {
        Ok(self.stdin.write_all(b"\n").and_then(|()| self.stdin.flush())?)
    }

    /// Kills the child at once (on Unix with `SIGKILL`) and gives the lines it had still said.
    pub(crate) fn kill(mut self) -> Result<Vec<String>, Failure> {
        self.process.kill()?;
        self.process.wait()?;
        let mut lines = Vec::new();
        while let Some(line) = self.line()? {
            lines.push(line);
        }
        Ok(lines)
    }

    /// Waits until the child has ended by itself and gives the lines it still said.
    pub(crate) fn finish(mut self) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        while let Some(line) = self.line()? {
            lines.push(line);
        }
        let status: ExitStatus = self.process.wait()?;
        match status.success() {
            true => Ok(lines),
            false => Err(Failure::new(format!("the child ended with {status}: {}", lines.join("; ")))),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
