//! `wit/tool.wit` as the engine sees it, and the linker that answers what a tool imports.

use ironclaw_core::tool::LogLevel;
use wasmtime::component::{ComponentType, Lift, Linker, WasmStr};
use wasmtime::{Engine, StoreContextMut};

use crate::state::CallState;

/// The interface that a tool exports.
pub(crate) const TOOL: &str = "ironclaw:tool/tool@0.1.0";
/// The interface that a tool may import, beside those of WASI.
const LOG: &str = "ironclaw:tool/log@0.1.0";

/// The result of `describe`.
pub(crate) type Described = (Description,);
/// The result of `call`.
pub(crate) type Answered = (Result<String, Failure>,);

#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) description: String,
    #[component(name = "parameters-schema")]
    pub(crate) parameters_schema: String,
    #[component(name = "result-schema")]
    pub(crate) result_schema: Option<String>,
}

#[derive(Debug, Clone, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Failure {
    #[component(name = "invalid-arguments")]
    InvalidArguments(String),
    #[component(name = "failed")]
    Failed(String),
}

#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "the engine makes them of what a tool passes")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

/// Everything that a tool can import. What is linked here is denied or granted by the call's context.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    linker.instance(LOG)?.func_wrap(
        "log",
        |store: StoreContextMut<'_, CallState>, (level, message): (Level, WasmStr)| {
            // Read where it lies: a message is cut before it is copied.
            let log = store.data().log.clone();
            log.push(level.into(), &message.to_str(&store)?)?;
            Ok(())
        },
    )?;
    Ok(linker)
}
