//! A case of a suite, and how one is run.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures::future::BoxFuture;
use libtest_mimic::{Completion, Failed};

use super::check::{Failure, Outcome};

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
    pub(super) fn run_in_time(self, subject: Arc<Subject<H>>) -> Result<Completion, Failed> {
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

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked").to_owned()
}

/// The list of a suite's cases: modules, and in each the functions with what they need.
macro_rules! cases {
    ($harness:ty; $($module:ident { $($case:ident $([$($need:ident),*])?),* $(,)? })*) => {
        vec![$($($crate::conformance::case::Case::<$harness> {
            name: concat!(stringify!($module), "::", stringify!($case)),
            needs: &[$($($crate::conformance::Capability::$need),*)?],
            run: |subject| Box::pin(async move { $module::$case(&subject).await }),
        }),*),*]
    };
}
pub(crate) use cases;
