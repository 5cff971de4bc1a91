//! What ends the program: a message with its causes, one after the other.

use std::error::Error;
use std::fmt;
use std::io;

use ironclaw_core::Report;

/// An error with all its causes in its message.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    output: Option<io::ErrorKind>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), output: None }
    }

    /// Standard output could not be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        Self { message: format!("standard output: {error}"), output: Some(error.kind()) }
    }

    /// Whether standard output is of no use any more.
    pub(crate) fn is_output(&self) -> bool {
        self.output.is_some()
    }

    /// Whether nobody reads on: whoever read the output has what they wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.output == Some(io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Report::from(error).to_string())
    }
}
