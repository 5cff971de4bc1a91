//! From cases to a test program.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures::future::BoxFuture;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::check::{Failure, Outcome};
use super::child::Request;
use super::{
    EmbedderHarness, KeySourceHarness, LlmHarness, MemoryHarness, SandboxHarness, StoreHarness, VaultHarness, child,
    embedder, key_source, llm, memory, sandbox, store, vault,
};

/// What a harness can do beyond making a fresh instance. Without it, the cases that need it are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// An instance can be closed and opened again with its data.
    Reopen,
    /// A second process can open the same data at the same time.
    Processes,
    /// The instance reads the time from the clock it is given.
    ManualClock,
    /// Writes can be made to fail at chosen points.
    Faults,
    /// Stored audit rows can be changed behind the instance's back.
    Tampering,
    /// Everything that is stored can be looked at behind the instance's back.
    Inspection,
    /// The audit events of the instance's calls can be read.
    Audit,
    /// There is a tool that tries what a sandbox must stop.
    HostileTool,
    /// What a model's service says can be chosen.
    Service,
}

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

/// What a case is run against.
pub(crate) struct Subject<H: ?Sized> {
    /// The name of the suite: `libsql`.
    pub(crate) suite: String,
    /// The implementor's part.
    pub(crate) harness: Box<H>,
}

/// One promise of a trait.
pub(crate) struct Case<H: ?Sized> {
    /// Category and promise: `jobs::claim_is_exclusive`.
    pub(crate) name: &'static str,
    /// What the harness must be able to do.
    pub(crate) needs: &'static [Capability],
    /// The case itself.
    pub(crate) run: fn(Arc<Subject<H>>) -> BoxFuture<'static, Outcome>,
}

/// How long a case may take. Far more than any takes: it is there to end what hangs.
const TIME_LIMIT: Duration = Duration::from_secs(180);

impl<H: ?Sized + Send + Sync + 'static> Case<H> {
    /// Runs the case on a thread and a runtime of its own, so that even a blocked executor is noticed.
    fn run_in_time(self, subject: Arc<Subject<H>>) -> Result<Completion, Failed> {
        let (done, result) = mpsc::channel();
        std::thread::spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| runtime()?.block_on((self.run)(subject))));
            // Nobody listens any more once the case has run out of time.
            let _ = done.send(outcome);
        });
        match result.recv_timeout(TIME_LIMIT) {
            Ok(Ok(Ok(()))) => Ok(Completion::Completed),
            Ok(Ok(Err(failure))) if failure.is_unavailable() => Ok(Completion::ignored_with(failure)),
            Ok(Ok(Err(failure))) => Err(failure.into()),
            Ok(Err(panic)) => Err(panic_message(&*panic).into()),
            Err(_) => Err(format!("not done after {} s", TIME_LIMIT.as_secs()).into()),
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked").to_owned()
}

/// The list of a suite's cases: modules, and in each the functions with what they need.
macro_rules! cases {
    ($harness:ty; $($module:ident { $($case:ident $([$($need:ident),*])?),* $(,)? })*) => {
        vec![$($($crate::conformance::run::Case::<$harness> {
            name: concat!(stringify!($module), "::", stringify!($case)),
            needs: &[$($($crate::conformance::Capability::$need),*)?],
            run: |subject| Box::pin(async move { $module::$case(&subject).await }),
        }),*),*]
    };
}
pub(crate) use cases;
