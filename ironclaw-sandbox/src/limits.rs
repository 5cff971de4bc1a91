//! What one call, one component and the whole sandbox may take.

use std::time::Duration;

use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::sandbox::{SandboxError, SandboxErrorKind};

/// What one component, one call and all calls together may take. Each limit of a call has an error of its own.
///
/// The defaults suit tools that calculate and transform. A host sets its own on a value of them:
///
/// ```
/// let mut limits = ironclaw_sandbox::SandboxLimits::default();
/// limits.memory_bytes = 16 << 20;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SandboxLimits {
    /// A component's size before it is compiled, in bytes. Default 32 MiB.
    pub component_bytes: usize,
    /// A call's arguments as JSON, in bytes. Default 1 MiB. Exceeded:
    /// [`InvalidArguments`](ironclaw_core::tool::ToolErrorKind::InvalidArguments).
    pub arguments_bytes: usize,
    /// A call's answer or failure text, in bytes. Default 1 MiB. Exceeded:
    /// [`OutputTooLarge`](ironclaw_core::tool::ToolErrorKind::OutputTooLarge).
    pub output_bytes: usize,
    /// All linear memories and tables of a call together, in bytes, at most 4 GiB. Default 64 MiB. Growth beyond it is
    /// refused; the tool that can't go on without is stopped with
    /// [`OutOfMemory`](ironclaw_core::tool::ToolErrorKind::OutOfMemory).
    pub memory_bytes: usize,
    /// The stack of a call's WebAssembly frames, in bytes, at most 16 MiB. Default 512 KiB. Exceeded:
    /// [`StackOverflow`](ironclaw_core::tool::ToolErrorKind::StackOverflow).
    pub stack_bytes: usize,
    /// How long a call may run, whatever it does: calculate, wait, or be in a call of the host. At most one day.
    /// Default 10 s. Exceeded: [`Timeout`](ironclaw_core::tool::ToolErrorKind::Timeout), some milliseconds late.
    pub time: Duration,
    /// The fuel of a call: about one for each WebAssembly instruction. Default 5,000,000,000, some seconds of work.
    /// Exceeded: [`OutOfFuel`](ironclaw_core::tool::ToolErrorKind::OutOfFuel), at the same place in every run.
    pub fuel: u64,
    /// The lines of a call's log. Default 1,000. Exceeded:
    /// [`LogTooLarge`](ironclaw_core::tool::ToolErrorKind::LogTooLarge).
    pub log_lines: usize,
    /// One line of a call's log, in bytes, at least 16. Default 4 KiB. A longer one is cut at a character boundary and
    /// ends with `…`.
    pub log_line_bytes: usize,
    /// All lines of a call's log together, in bytes. Default 1 MiB. Exceeded:
    /// [`LogTooLarge`](ironclaw_core::tool::ToolErrorKind::LogTooLarge).
    pub log_bytes: usize,
    /// The calls that run at the same time, at most 1,000. Default 64. Further ones wait.
    pub running_calls: usize,
    /// The calls that may wait for one that runs. Default 1,024. Further ones are
    /// [`Busy`](ironclaw_core::tool::ToolErrorKind::Busy) at once.
    pub waiting_calls: usize,
    /// How long a call may wait before it is [`Busy`](ironclaw_core::tool::ToolErrorKind::Busy), at most one day.
    /// Default 10 s.
    pub wait: Duration,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self {
            component_bytes: 32 << 20,
            arguments_bytes: 1 << 20,
            output_bytes: 1 << 20,
            memory_bytes: 64 << 20,
            stack_bytes: 512 << 10,
            time: Duration::from_secs(10),
            fuel: 5_000_000_000,
            log_lines: 1_000,
            log_line_bytes: 4 << 10,
            log_bytes: 1 << 20,
            running_calls: 64,
            waiting_calls: 1_024,
            wait: Duration::from_secs(10),
        }
    }
}

impl SandboxLimits {
    /// Refuses limits under which nothing could run, or which the engine can't keep.
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        const GIB_4: usize = 4 << 30;
        const DAY: u128 = 24 * 60 * 60 * 1_000;
        let checks: [(&'static str, bool, &'static str); 12] = [
            ("component_bytes", (1..=GIB_4).contains(&self.component_bytes), "1 byte to 4 GiB"),
            ("arguments_bytes", (2..=GIB_4).contains(&self.arguments_bytes), "2 bytes to 4 GiB"),
            ("output_bytes", (1..=GIB_4).contains(&self.output_bytes), "1 byte to 4 GiB"),
            ("memory_bytes", (64 << 10..=GIB_4).contains(&self.memory_bytes), "64 KiB to 4 GiB"),
            ("stack_bytes", (16 << 10..=16 << 20).contains(&self.stack_bytes), "16 KiB to 16 MiB"),
            ("time", (1..=DAY).contains(&self.time.as_millis()), "1 ms to one day"),
            ("fuel", self.fuel > 0, "at least 1"),
            ("log_line_bytes", self.log_line_bytes >= 16, "at least 16 bytes"),
            ("running_calls", (1..=1_000).contains(&self.running_calls), "1 to 1,000"),
            ("waiting_calls", self.waiting_calls <= 1_000_000, "at most 1,000,000"),
            ("wait", self.wait.as_millis() <= DAY, "at most one day"),
            ("log_bytes", self.log_bytes <= GIB_4, "at most 4 GiB"),
        ];
        match checks.into_iter().find(|(_, holds, _)| !holds) {
            None => Ok(()),
            Some((field, _, expected)) => {
                let error = InputError::new(field, Problem::OutOfRange { expected });
                Err(SandboxError::new(SandboxErrorKind::InvalidConfiguration, "build", format!("limits: {error}")))
            }
        }
    }
}
