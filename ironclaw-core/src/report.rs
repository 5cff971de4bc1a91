//! What a program says when it ends with an error.

use std::error::Error;
use std::fmt;

use crate::error::one_line;

/// An error with all its causes in one line, for a program that ends with it.
///
/// What `main` returns is printed by its `Debug`, which of an error shows fields and quotes. That of a report is its
/// message. So it takes the place of `Box<dyn Error>`:
///
/// ```
/// use ironclaw_core::Report;
/// use ironclaw_core::id::UserId;
///
/// fn main() -> Result<(), Report> {
///     let ada = UserId::parse("ada")?;
///     match ada.as_str() {
///         "" => Err(Report::new("nobody is there")), // prints `Error: nobody is there`, and ends with the status 1
///         _ => Ok(()),
///     }
/// }
/// ```
///
/// It is no `Error` itself, so that every error turns into one by `?`.
pub struct Report {
    message: String,
}

impl Report {
    /// One that says this.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl<E: Error> From<E> for Report {
    fn from(error: E) -> Self {
        Self { message: one_line(&error) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::Report;
    use crate::store::{StoreError, StoreErrorKind};

    #[test]
    fn a_program_that_ends_with_an_error_prints_it_and_its_causes_once() {
        let refused = StoreError::new(StoreErrorKind::Privileges, "connect", "log in as somebody else")
            .with_source("permission denied (SQLSTATE 42501)");
        let failed = StoreError::new(StoreErrorKind::Unavailable, "write", "").with_source(refused);
        let report = Report::from(failed);
        let printed = "write: unavailable: connect: wrong privileges: log in as somebody else: permission denied \
                       (SQLSTATE 42501)";
        assert_eq!(report.to_string(), printed);
        // As the standard library prints what `main` returns.
        assert_eq!(format!("{report:?}"), printed);
        assert_eq!(format!("{:?}", Report::new("no \"quotes\" are added")), "no \"quotes\" are added");
    }
}
