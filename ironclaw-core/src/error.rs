//! The shape that the error type of every trait shares.

use std::error::Error;

use crate::line::in_one_line;

/// A boxed source of an error.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Defines one trait's error type over its kind: what failed, in which operation, with which context, because of what.
///
/// - `retryable`: the kinds after which the same call may succeed later;
/// - `input`: the kind that holds a refused [`InputError`](crate::InputError), if one does;
/// - `causes`: the errors of ours that may have caused it, whose word on both counts as well;
/// - fields of its own, which are empty at first.
///
/// The message is one line that names the causes, so that a log line of it says all there is; therefore they are not
/// chained as sources too, which a reporter would print once more (`docs/decisions/0025-errors-in-one-line.md`).
macro_rules! error_type {
    (
        $(#[$meta:meta])* $name:ident, $kind:ident,
        retryable: [$($retryable:ident),*]
        $(, input: $input:ident)?
        $(, causes: [$($cause:ty),*])?
        $(, { $($field:ident: $type:ty),* })?
    ) => {
        $(#[$meta])*
        ///
        /// Printed, it is one line that ends with what caused it. [`cause`](Self::cause) is that itself.
        #[derive(Debug)]
        #[non_exhaustive]
        pub struct $name {
            kind: $kind,
            operation: &'static str,
            context: String,
            cause: Option<$crate::BoxError>,
            $($($field: $type,)*)?
        }

        impl $name {
            /// An error of this kind in `operation`; `context` tells what it was about and what to do next.
            ///
            /// The context must hold no secret value and no content of a user.
            pub fn new(kind: $kind, operation: &'static str, context: impl Into<String>) -> Self {
                Self {
                    kind,
                    operation,
                    context: context.into(),
                    cause: None,
                    $($($field: Default::default(),)*)?
                }
            }

            /// Adds the error that caused this one, as [`cause`](Self::cause): it is printed after the context.
            #[must_use]
            pub fn with_source(mut self, source: impl Into<$crate::BoxError>) -> Self {
                self.cause = Some(source.into());
                self
            }

            /// Which failure this is.
            pub fn kind(&self) -> &$kind {
                &self.kind
            }

            /// The operation that failed, as the trait names it.
            pub fn operation(&self) -> &'static str {
                self.operation
            }

            /// What the failure was about and what to do next.
            pub fn context(&self) -> &str {
                &self.context
            }

            /// The error that caused this one, if one did. It is printed with this one, and so it is no
            /// [`source`](std::error::Error::source).
            pub fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
                self.cause.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static))
            }

            /// What it says without what caused it, and with the line breaks that the context has: for whoever is not to read
            /// the cause, such as a language model. What is logged is the error itself, which is one line.
            pub fn without_cause(&self) -> String {
                match self.context.as_str() {
                    "" => format!("{}: {}", self.operation, self.kind),
                    context => format!("{}: {}: {context}", self.operation, self.kind),
                }
            }

            /// Whether the same call may succeed later without a change: because of its kind, or of what caused it.
            pub fn is_retryable(&self) -> bool {
                $(if matches!(self.kind, $kind::$retryable) {
                    return true;
                })*
                $($(if self.cause().and_then(|cause| cause.downcast_ref::<$cause>()).is_some_and(<$cause>::is_retryable) {
                    return true;
                })*)?
                false
            }

            /// The argument that was refused, here or by what caused this, and why; `None` if it was something else.
            pub fn input(&self) -> Option<&$crate::InputError> {
                $(if let $kind::$input(input) = &self.kind {
                    return Some(input);
                })?
                let cause = self.cause()?;
                $($(if let Some(cause) = cause.downcast_ref::<$cause>() {
                    return cause.input();
                })*)?
                cause.downcast_ref()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let said = self.without_cause();
                f.write_str(&$crate::line::in_one_line(&match self.cause() {
                    Some(cause) => format!("{said}: {}", $crate::error::one_line(cause)),
                    None => said,
                }))
            }
        }

        impl std::error::Error for $name {}
    };
}

pub(crate) use error_type;

/// An error with its sources in one line. What an error prints of its source itself is not said again.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let said = error.to_string();
        if !line.ends_with(&said) {
            line = format!("{line}: {said}");
        }
        source = error.source();
    }
    in_one_line(&line)
}
