//! One call: a fresh instance, run under every limit, and dropped.

use std::time::{Duration, Instant};

use ironclaw_core::tool::{LogLine, SandboxUsage, ToolError};
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower};
use wasmtime::{Store, UpdateDeadline};

use crate::grants::Grants;
use crate::limits::SandboxLimits;
use crate::state::CallState;
use crate::stop::{self, Circumstances, Stop};
use crate::wit::{Answered, Described};

/// The least that a host call may copy out of a tool, whatever the limit of its answer.
const COPIED_BYTES: usize = 1 << 20;

/// A component that is ready to run.
pub(crate) struct Program {
    pub(crate) instance: InstancePre<CallState>,
    pub(crate) describe: ComponentExportIndex,
    pub(crate) call: ComponentExportIndex,
    pub(crate) grants: Grants,
    pub(crate) limits: SandboxLimits,
    /// SHA-256 of the component, in hex.
    pub(crate) sha256: String,
}

/// What came out of a run that was not stopped.
pub(crate) struct Outcome<R> {
    pub(crate) result: R,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) usage: SandboxUsage,
}

impl Program {
    /// Runs one export in a fresh instance. Whatever happens, nothing of the instance is left.
    pub(crate) async fn run<P, R>(&self, export: &ComponentExportIndex, parameters: P) -> Result<Outcome<R>, ToolError>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let started = Instant::now();
        let mut store = self.store(started).map_err(|e| self.stopped(None, &e))?;
        let run = async {
            let instance = self.instance.instantiate_async(&mut store).await?;
            let function = instance.get_typed_func::<P, R>(&mut store, export)?;
            function.call_async(&mut store, parameters).await
        };
        // The epoch stops a tool that calculates; this stops one that waits in a call of the host.
        let result = match tokio::time::timeout(self.limits.time, run).await {
            Ok(result) => result.map_err(|e| self.stopped(Some(store.data()), &e))?,
            Err(_) => return Err(stop::timeout(self.limits.time)),
        };
        let logs = store.data().log.finish().map_err(|e| self.stopped(Some(store.data()), &e.into()))?;
        Ok(Outcome { result, logs, usage: self.usage(&store, started.elapsed()) })
    }

    /// Starts an instance without calling it, and looks whether its exports have the types of the interface.
    pub(crate) async fn probe(&self) -> Result<wasmtime::Result<()>, ToolError> {
        let mut store = self.store(Instant::now()).map_err(|e| self.stopped(None, &e))?;
        let instance = match tokio::time::timeout(self.limits.time, self.instance.instantiate_async(&mut store)).await {
            Ok(instance) => instance.map_err(|e| self.stopped(Some(store.data()), &e))?,
            Err(_) => return Err(stop::timeout(self.limits.time)),
        };
        let describe = instance.get_typed_func::<(), Described>(&mut store, &self.describe).map(drop);
        Ok(describe.and(instance.get_typed_func::<(&str,), Answered>(&mut store, &self.call).map(drop)))
    }

    fn store(&self, started: Instant) -> wasmtime::Result<Store<CallState>> {
        let state = CallState::new(&self.grants, &self.limits)?;
        let mut store = Store::new(self.instance.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_fuel(self.limits.fuel)?;
        store.set_hostcall_fuel(self.limits.output_bytes.max(COPIED_BYTES));
        store.set_epoch_deadline(1);
        let limit = self.limits.time;
        store.epoch_deadline_callback(move |_| match started.elapsed() < limit {
            // Yields at every tick: other calls get their share, and a call that nobody waits for ends here.
            true => Ok(UpdateDeadline::Yield(1)),
            false => Err(Stop::Timeout.into()),
        });
        Ok(store)
    }

    fn usage(&self, store: &Store<CallState>, elapsed: Duration) -> SandboxUsage {
        SandboxUsage::default()
            .component(self.sha256.clone())
            .fuel(self.limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0)))
            .memory_bytes(store.data().memory.peak() as u64)
            .duration_us(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
    }

    fn stopped(&self, state: Option<&CallState>, cause: &wasmtime::Error) -> ToolError {
        stop::from_engine(
            cause,
            &Circumstances {
                limits: &self.limits,
                memory_refused: state.is_some_and(|state| state.memory.refused()),
                last_words: state.and_then(|state| state.log.last_words()),
            },
        )
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("sha256", &self.sha256).field("grants", &self.grants).finish_non_exhaustive()
    }
}
