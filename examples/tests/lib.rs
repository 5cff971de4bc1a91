//! Tests of the examples: each file beside this one is a test program. Here are the book's examples, which are compiled
//! and, where they can, run.

#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../docs/agent.md")]
    struct Agent;
    #[doc = include_str!("../../docs/audit.md")]
    struct Audit;
    #[doc = include_str!("../../docs/conformance.md")]
    struct Conformance;
    #[doc = include_str!("../../docs/embedding.md")]
    struct Embedding;
    #[doc = include_str!("../../docs/memory.md")]
    struct Memory;
    #[doc = include_str!("../../docs/models.md")]
    struct Models;
    #[doc = include_str!("../../docs/moving.md")]
    struct Moving;
    #[doc = include_str!("../../docs/postgres.md")]
    struct Postgres;
    #[doc = include_str!("../../docs/postgres-operations.md")]
    struct PostgresOperations;
    #[doc = include_str!("../../docs/privacy.md")]
    struct Privacy;
    #[doc = include_str!("../../docs/sandbox.md")]
    struct Sandbox;
    #[doc = include_str!("../../docs/secrets.md")]
    struct Secrets;
    #[doc = include_str!("../../docs/settings.md")]
    struct Settings;
    #[doc = include_str!("../../docs/spaces.md")]
    struct Spaces;
    #[doc = include_str!("../../docs/store.md")]
    struct Store;
}
