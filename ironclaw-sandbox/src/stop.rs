//! Why a call was stopped, from what the engine reports to the error of the tool's caller.

use std::time::Duration;

use ironclaw_core::tool::{ToolError, ToolErrorKind};
use thiserror::Error;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::limits::SandboxLimits;

/// A limit that this crate enforces itself. It travels through the engine as the cause of a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Stop {
    #[error("the time limit passed")]
    Timeout,
    #[error("the log is full")]
    LogTooLarge,
}

/// What else is known about a call when it is stopped.
pub(crate) struct Circumstances<'a> {
    pub(crate) limits: &'a SandboxLimits,
    /// Whether the tool was refused memory.
    pub(crate) memory_refused: bool,
    /// The last that it printed to its standard error, such as a panic's message.
    pub(crate) last_words: Option<String>,
}

/// The error for a call that ran longer than its time limit.
pub(crate) fn timeout(limit: Duration) -> ToolError {
    error(ToolErrorKind::Timeout, format!("the limit is {limit:?}"))
}

/// The error for an answer of more bytes than the limit.
pub(crate) fn output_too_large(limit: usize) -> ToolError {
    error(ToolErrorKind::OutputTooLarge, format!("the limit is {limit} bytes"))
}

/// The error for whatever the engine reports.
pub(crate) fn from_engine(cause: &wasmtime::Error, call: &Circumstances<'_>) -> ToolError {
    let limits = call.limits;
    if let Some(stop) = cause.downcast_ref::<Stop>() {
        return match stop {
            Stop::Timeout => timeout(limits.time),
            Stop::LogTooLarge => log_too_large(limits),
        };
    }
    if cause.is::<PoolConcurrencyLimitError>() {
        return error(ToolErrorKind::Busy, "the pool of instances is used up; try again later");
    }
    match cause.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => error(ToolErrorKind::OutOfFuel, format!("the limit is {}", limits.fuel)),
        Some(Trap::StackOverflow) => {
            error(ToolErrorKind::StackOverflow, format!("the limit is {} bytes", limits.stack_bytes))
        }
        _ if call.memory_refused => {
            error(ToolErrorKind::OutOfMemory, format!("the limit is {} bytes", limits.memory_bytes))
        }
        Some(trap) => crashed(trap.to_string(), call),
        None => match cause.downcast_ref::<I32Exit>() {
            Some(exit) => crashed(format!("it exited with code {}", exit.0), call),
            None => from_the_interface(cause, call),
        },
    }
}

/// What went wrong between the tool and the host, neither in the one nor in the other. Data that the host refuses to
/// copy has no type of its own; whether it was copied in a call of the host or as the answer tells the backtrace,
/// which only the former has.
fn from_the_interface(cause: &wasmtime::Error, call: &Circumstances<'_>) -> ToolError {
    let text = format!("{cause:#}");
    let too_much = text.contains("fuel allocated for hostcalls");
    match (cause.downcast_ref::<WasmBacktrace>().is_some(), too_much) {
        (true, true) => log_too_large(call.limits),
        (true, false) => crashed(text, call),
        (false, true) => output_too_large(call.limits.output_bytes),
        (false, false) => error(ToolErrorKind::MalformedOutput, "the answer is no text").with_source(text),
    }
}

fn log_too_large(limits: &SandboxLimits) -> ToolError {
    error(
        ToolErrorKind::LogTooLarge,
        format!("the limits are {} lines and {} bytes", limits.log_lines, limits.log_bytes),
    )
}

/// What the tool printed is its own text and may hold anything: it is the error's source, not part of its message.
fn crashed(how: String, call: &Circumstances<'_>) -> ToolError {
    let error = error(ToolErrorKind::Trapped, how);
    match &call.last_words {
        Some(words) => error.with_source(words.clone()),
        None => error,
    }
}

fn error(kind: ToolErrorKind, context: impl Into<String>) -> ToolError {
    ToolError::new(kind, "call", context)
}
