//! From cases to a test program.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Trial};

use super::case::{Capability, Case, Subject, runtime};
use super::child::Request;
use super::store::{InSpaces, runs_in_spaces};
use super::{
    EmbedderHarness, KeySourceHarness, LlmHarness, MemoryHarness, SandboxHarness, StoreHarness, VaultHarness, child,
    embedder, key_source, llm, memory, sandbox, store, vault,
};

/// Conformance suites with the implementations they are to be run against.
#[derive(Default)]
pub struct Suites {
    trials: Vec<Trial>,
    stores: Vec<Arc<Subject<dyn StoreHarness>>>,
}

impl Suites {
    /// No suite yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the suite of [`Store`](crate::Store), under this name.
    #[must_use]
    pub fn store(mut self, name: &str, harness: impl StoreHarness + 'static) -> Self {
        let subject: Arc<Subject<dyn StoreHarness>> =
            Arc::new(Subject { suite: name.to_owned(), harness: Box::new(harness) });
        self.stores.push(subject.clone());
        self.add(subject.clone(), subject.harness.capabilities(), store::cases())
    }

    /// Adds the suite of [`Store`](crate::Store) with all that users do done in spaces, under this name.
    #[must_use]
    pub fn store_in_spaces(mut self, name: &str, harness: impl StoreHarness + 'static) -> Self {
        let subject: Arc<Subject<dyn StoreHarness>> =
            Arc::new(Subject { suite: name.to_owned(), harness: Box::new(InSpaces(harness)) });
        self.stores.push(subject.clone());
        let cases = store::cases().into_iter().filter(|case| runs_in_spaces(case.name)).collect();
        self.add(subject.clone(), subject.harness.capabilities(), cases)
    }

    /// Adds the suite of [`Vault`](crate::Vault), under this name.
    #[must_use]
    pub fn vault(self, name: &str, harness: impl VaultHarness + 'static) -> Self {
        let subject: Arc<Subject<dyn VaultHarness>> =
            Arc::new(Subject { suite: name.to_owned(), harness: Box::new(harness) });
        self.add(subject.clone(), subject.harness.capabilities(), vault::cases())
    }

    /// Adds the suite of [`KeySource`](crate::KeySource), under this name.
    #[must_use]
    pub fn key_source(self, name: &str, harness: impl KeySourceHarness + 'static) -> Self {
        let subject: Arc<Subject<dyn KeySourceHarness>> =
            Arc::new(Subject { suite: name.to_owned(), harness: Box::new(harness) });
        self.add(subject, &[], key_source::cases())
    }

    /// Adds the suite of [`Sandbox`](crate::Sandbox) and its tools, under this name.
    #[must_use]
    pub fn sandbox(self, name: &str, harness: impl SandboxHarness + 'static) -> Self {
        let subject: Arc<Subject<dyn SandboxHarness>> =
            Arc::new(Subject { suite: name.to_owned(), harness: Box::new(harness) });
        self.add(subject.clone(), subject.harness.capabilities(), sandbox::cases())
    }

    /// Adds the suite of [`Memory`](crate::Memory), under this name.
    #[must_use]
    pub fn memory(self, name: &str, harness: impl MemoryHarness + 'static) -> Self {
        let subject: Arc<Subject<dyn MemoryHarness>> =
            Arc::new(Subject { suite: name.to_owned(), harness: Box::new(harness) });
        self.add(subject, &[], memory::cases())
    }

    /// Adds the suite of [`Embedder`](crate::Embedder), under this name.
    #[must_use]
    pub fn embedder(self, name: &str, harness: impl EmbedderHarness + 'static) -> Self {
        let subject: Arc<Subject<dyn EmbedderHarness>> =
            Arc::new(Subject { suite: name.to_owned(), harness: Box::new(harness) });
        self.add(subject, &[], embedder::cases())
    }

    /// Adds the suite of [`LlmProvider`](crate::LlmProvider), under this name.
    #[must_use]
    pub fn llm(self, name: &str, harness: impl LlmHarness + 'static) -> Self {
        let subject: Arc<Subject<dyn LlmHarness>> =
            Arc::new(Subject { suite: name.to_owned(), harness: Box::new(harness) });
        self.add(subject.clone(), subject.harness.capabilities(), llm::cases())
    }

    /// Runs the cases that the program's arguments choose; in a child process, the child's part of a case.
    pub fn run(self) -> ExitCode {
        match Request::from_environment() {
            Some(request) => self.run_child(&request),
            None => libtest_mimic::run(&Arguments::from_args(), self.trials).exit_code(),
        }
    }

    fn run_child(self, request: &Request) -> ExitCode {
        let Some(subject) = self.stores.iter().find(|subject| subject.suite == request.suite) else {
            child::say(&format!("there is no suite {}", request.suite));
            return ExitCode::FAILURE;
        };
        let outcome = runtime().and_then(|runtime| runtime.block_on(store::child(&*subject.harness, request)));
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                child::say(&format!("failed: {failure}"));
                ExitCode::FAILURE
            }
        }
    }

    fn add<H>(mut self, subject: Arc<Subject<H>>, capabilities: &[Capability], cases: Vec<Case<H>>) -> Self
    where
        H: ?Sized + Send + Sync + 'static,
    {
        for case in cases {
            let name = format!("{}::{}", subject.suite, case.name);
            let missing = case.needs.iter().copied().find(|need| !capabilities.contains(need));
            let subject = subject.clone();
            self.trials.push(Trial::ignorable_test(name, move || match missing {
                Some(missing) => Ok(Completion::ignored_with(format!("needs {missing:?}"))),
                None => case.run_in_time(subject),
            }));
        }
        self
    }
}

impl std::fmt::Debug for Suites {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suites").field("cases", &self.trials.len()).finish_non_exhaustive()
    }
}
