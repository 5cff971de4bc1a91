//! Runnable hosts of the IronClaw crates.

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So are the book's.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../docs/agent.md")]
    struct Agent;
    #[doc = include_str!("../../docs/audit.md")]
    struct Audit;
    #[doc = include_str!("../../docs/embedding.md")]
    struct Embedding;
    #[doc = include_str!("../../docs/models.md")]
    struct Models;
    #[doc = include_str!("../../docs/privacy.md")]
    struct Privacy;
}
