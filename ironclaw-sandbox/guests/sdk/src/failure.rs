//! How a tool says that it could not do what it was asked.

/// Why a call failed. The text reaches whoever called, so it says what was wrong and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The arguments are not what the schema asks for, or make no sense.
    InvalidArguments(String),
    /// Anything else.
    Failed(String),
}

impl Failure {
    /// The arguments make no sense, because of this.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidArguments(message.into())
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Failed(message.to_owned())
    }
}
