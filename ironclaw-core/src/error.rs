//! The shape that the error type of every trait shares.

/// A boxed source of an error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Defines one trait's error type over its kind: what failed, in which operation, with which context, because of what.
///
/// The message never repeats the source's: a reporter that walks the chain prints each part once. A trait that has more
/// to say adds fields, which are empty at first.
macro_rules! error_type {
    ($(#[$meta:meta])* $name:ident, $kind:ident $(, { $($field:ident: $type:ty),* })?) => {
        $(#[$meta])*
        #[derive(Debug)]
        #[non_exhaustive]
        pub struct $name {
            kind: $kind,
            operation: &'static str,
            context: String,
            source: Option<$crate::BoxError>,
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
                    source: None,
                    $($($field: Default::default(),)*)?
                }
            }

            /// Adds the error that caused this one.
            #[must_use]
            pub fn with_source(mut self, source: impl Into<$crate::BoxError>) -> Self {
                self.source = Some(source.into());
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
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}: {}", self.operation, self.kind)?;
                if !self.context.is_empty() {
                    write!(f, ": {}", self.context)?;
                }
                Ok(())
            }
        }

        impl std::error::Error for $name {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                self.source.as_deref().map(|s| s as &(dyn std::error::Error + 'static))
            }
        }
    };
}

pub(crate) use error_type;
