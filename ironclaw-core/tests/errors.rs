//! What every error type promises: one line that names the cause, whether to try again, and which input was refused.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::error::Error;
use std::fmt;

use ironclaw_core::InputError;
use ironclaw_core::agent::{AgentError, AgentErrorKind};
use ironclaw_core::embedder::{EmbedError, EmbedErrorKind};
use ironclaw_core::input::Problem;
use ironclaw_core::llm::{LlmError, LlmErrorKind};
use ironclaw_core::memory::{MemoryError, MemoryErrorKind};
use ironclaw_core::sandbox::{SandboxError, SandboxErrorKind};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::tool::{ToolError, ToolErrorKind};
use ironclaw_core::vault::{KeyError, KeyErrorKind, VaultError, VaultErrorKind};

/// Somebody else's error, with a cause of its own and a text of two lines.
#[derive(Debug)]
struct Foreign(Option<std::io::Error>);

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it broke\noff")
    }
}

impl Error for Foreign {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_ref().map(|cause| cause as &(dyn Error + 'static))
    }
}

fn refused() -> InputError {
    InputError::new("title", Problem::Empty)
}

/// What all of them promise; `printed` is the kind as it is printed.
macro_rules! promises {
    ($error:ident, $kind:expr, $printed:literal) => {{
        let plain = $error::new($kind, "write", "do that");
        assert_eq!(plain.to_string(), concat!("write: ", $printed, ": do that"));
        assert_eq!((plain.kind(), plain.operation(), plain.context()), (&$kind, "write", "do that"));
        assert!(plain.cause().is_none() && plain.input().is_none() && !plain.is_retryable());

        let io = std::io::Error::other("no route to it");
        let caused = $error::new($kind, "write", "").with_source(Foreign(Some(io)));
        assert_eq!(caused.to_string(), concat!("write: ", $printed, ": it broke off: no route to it"));
        assert_eq!(caused.without_cause(), concat!("write: ", $printed));
        assert!(caused.cause().unwrap().is::<Foreign>());
        // A reporter that prints the chain of sources repeats nothing.
        assert!(caused.source().is_none());
        assert!(caused.input().is_none() && !caused.is_retryable());

        let input = $error::new($kind, "write", "").with_source(refused());
        assert_eq!(input.to_string(), concat!("write: ", $printed, ": title: must not be empty"));
        assert_eq!(input.input(), Some(&refused()));

        let forged = $error::new($kind, "write", "a\r\nERROR b\u{1b}[2J\u{2028}c\u{202e}d").with_source("e\nf");
        assert_eq!(forged.to_string(), concat!("write: ", $printed, ": a  ERROR b [2J c d: e f"));
        // For whoever reads it as a text.
        assert!(forged.without_cause().ends_with(forged.context()) && forged.context().starts_with("a\r\nERROR"));

        fn can_be_sent<T: Send + Sync + 'static>(_: &T) {}
        can_be_sent(&input);
    }};
}

#[test]
fn every_error_is_one_line_that_names_its_cause() {
    promises!(StoreError, StoreErrorKind::Io, "input or output failed");
    promises!(VaultError, VaultErrorKind::Store, "store failed");
    promises!(KeyError, KeyErrorKind::Io, "input or output failed");
    promises!(MemoryError, MemoryErrorKind::Store, "store failed");
    promises!(EmbedError, EmbedErrorKind::ModelUnavailable, "model unavailable");
    promises!(LlmError, LlmErrorKind::InvalidRequest, "invalid request");
    promises!(ToolError, ToolErrorKind::Failed, "the tool failed");
    promises!(SandboxError, SandboxErrorKind::Unreadable, "unreadable component");
    promises!(AgentError, AgentErrorKind::Store, "store failed");
}

#[test]
fn what_may_succeed_later_says_so() {
    macro_rules! retryable {
        ($error:ident: $($kind:expr),*) => {
            $(assert!($error::new($kind, "write", "").is_retryable(), "{:?}", $kind);)*
        };
    }
    retryable!(StoreError: StoreErrorKind::Busy, StoreErrorKind::Unavailable, StoreErrorKind::TimedOut);
    retryable!(VaultError: VaultErrorKind::Conflict);
    retryable!(KeyError: KeyErrorKind::Unavailable, KeyErrorKind::TimedOut);
    retryable!(EmbedError: EmbedErrorKind::RateLimited, EmbedErrorKind::Unreachable);
    retryable!(LlmError: LlmErrorKind::RateLimited, LlmErrorKind::Unreachable);
    retryable!(ToolError: ToolErrorKind::Busy, ToolErrorKind::Unavailable);
    retryable!(AgentError: AgentErrorKind::DeadlineExceeded);
}

#[test]
fn when_to_come_back_is_what_the_service_said() {
    let after = std::time::Duration::from_secs(7);
    let limited = LlmError::new(LlmErrorKind::RateLimited, "stream", "").with_retry_after(after);
    let agent = AgentError::new(AgentErrorKind::Llm, "send", "");
    assert_eq!(agent.retry_after(), None);
    assert_eq!(agent.with_source(limited).retry_after(), Some(after));
}

#[test]
fn what_is_asked_of_a_tool_is_one_line_in_a_log() {
    let error = ToolError::failed("a\nERROR forged");
    assert_eq!(error.to_string(), "call: the tool failed: a ERROR forged");
}

#[test]
fn the_word_of_what_caused_it_counts() {
    let busy = || StoreError::new(StoreErrorKind::Busy, "apply", "");
    let full = || StoreError::new(StoreErrorKind::Full, "apply", "");
    let memory = |cause: StoreError| MemoryError::new(MemoryErrorKind::Store, "search", "").with_source(cause);
    let agent = |cause: MemoryError| AgentError::new(AgentErrorKind::Store, "send", "").with_source(cause);
    assert!(agent(memory(busy())).is_retryable());
    assert!(!agent(memory(full())).is_retryable());
    assert_eq!(agent(memory(full())).to_string(), "send: store failed: search: store failed: apply: storage full");

    let vault = |cause: KeyError| VaultError::new(VaultErrorKind::KeySource, "open", "").with_source(cause);
    assert!(vault(KeyError::new(KeyErrorKind::TimedOut, "unwrap", "")).is_retryable());
    assert!(!vault(KeyError::new(KeyErrorKind::WrongKey, "unwrap", "")).is_retryable());
    assert!(VaultError::new(VaultErrorKind::Store, "put", "").with_source(busy()).is_retryable());

    let limited = EmbedError::new(EmbedErrorKind::RateLimited, "embed", "");
    assert!(MemoryError::new(MemoryErrorKind::Embedding, "write", "").with_source(limited).is_retryable());
    let limited = LlmError::new(LlmErrorKind::RateLimited, "stream", "");
    assert!(AgentError::new(AgentErrorKind::Llm, "send", "").with_source(limited).is_retryable());
}

#[test]
fn a_refused_input_is_found_wherever_it_was_refused() {
    let store = || StoreError::invalid_input("apply", refused());
    assert_eq!(store().to_string(), "apply: invalid input: title: must not be empty");
    assert_eq!(store().input(), Some(&refused()));

    let vault = VaultError::new(VaultErrorKind::InvalidInput, "put", "").with_source(store());
    assert_eq!(vault.input(), Some(&refused()));
    let memory = MemoryError::new(MemoryErrorKind::InvalidInput, "write", "").with_source(store());
    let agent = AgentError::new(AgentErrorKind::Store, "send", "").with_source(memory);
    assert_eq!(agent.input(), Some(&refused()));
    let agent = AgentError::new(AgentErrorKind::InvalidInput(refused()), "send", "");
    assert_eq!(agent.input(), Some(&refused()));
}
