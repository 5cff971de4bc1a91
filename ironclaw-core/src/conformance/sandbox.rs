//! The suite of [`Sandbox`] and of its tools.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::case::{Capability, Case, Subject, cases};
use super::check::{Failure, Present};
use super::store::user;
use crate::sandbox::Sandbox;
use crate::scope::{Principal, Scope};
use crate::tool::{Tool, ToolErrorKind, ToolOutput};

mod calls;
mod hostile;
mod lifecycle;

/// What an implementor of [`Sandbox`] writes to run its suite.
#[async_trait]
pub trait SandboxHarness: Send + Sync {
    /// What this harness can do beyond opening sandboxes.
    fn capabilities(&self) -> &'static [Capability];

    /// A fresh sandbox with at least the tool of [`Self::example`], and with [`Capability::HostileTool`] a tool named
    /// `hostile`, neither with any grant. The hostile tool takes an object whose `do` says what to try: `loop`,
    /// `memory`, `recursion`, `output` (with `bytes`), `log` (with `lines` and `characters`), `panic`, `exit`, `fail`
    /// (with `bytes`), `count` (answers how often this instance was called), `sleep` (with `seconds`), `files` (with
    /// `path`; an object with what reading, listing, writing, creating and removing gave: each an object with `got` or
    /// `error`), `network` (with `address`; the same for connecting, listening, sending and resolving) or
    /// `environment` (an object with the arrays `variables` and `arguments`).
    async fn open(&self, scarce: Scarce) -> Result<Arc<dyn Sandbox>, Failure>;

    /// A call that a good tool answers.
    fn example(&self) -> Example;
}

/// What calls have so little of that a tool which never ends runs out of it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scarce {
    /// Nothing: a call has enough of everything.
    Nothing,
    /// Time: about a second; there is fuel for far more.
    Time,
    /// Fuel: it ends long before the time does.
    Fuel,
}

/// A call and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The tool's name.
    pub tool: &'static str,
    /// The arguments.
    pub arguments: Value,
    /// The answer to them, every time.
    pub answer: Value,
    /// An object that the tool refuses.
    pub refused: Value,
}

pub(crate) fn cases() -> Vec<Case<dyn SandboxHarness>> {
    cases![dyn SandboxHarness;
        calls {
            tools_are_described, an_example_is_answered, refused_arguments, what_is_no_object_is_refused,
            usage_is_told, many_at_once, any_text_in_arguments,
        }
        hostile {
            every_call_meets_a_fresh_instance [HostileTool], time_ends [HostileTool], fuel_ends [HostileTool],
            what_it_takes_ends [HostileTool], its_own_end_is_told [HostileTool], no_files [HostileTool],
            no_network [HostileTool], no_environment [HostileTool], others_go_on [HostileTool],
        }
        lifecycle {
            closed_refuses, closing_waits [HostileTool], dropped_call_stops [HostileTool],
        }
    ]
}

pub(crate) type SandboxSubject = Subject<dyn SandboxHarness>;

/// The tool of this name.
pub(crate) fn tool(sandbox: &dyn Sandbox, name: &str) -> Result<Arc<dyn Tool>, Failure> {
    sandbox.tools().into_iter().find(|tool| tool.spec().name.as_str() == name).present()
}

/// The scope of a tool that `ada`'s agent calls.
pub(crate) fn scope(tool: &str) -> Result<Scope, Failure> {
    let agent = super::store::with_agent(&user("ada")?, "assistant")?;
    Ok(agent.acting(Principal::tool(tool)?))
}

/// Calls the hostile tool.
pub(crate) async fn attempt(sandbox: &dyn Sandbox, what: Value) -> Result<Result<ToolOutput, ToolErrorKind>, Failure> {
    let answer = tool(sandbox, "hostile")?.call(&scope("hostile")?, what).await;
    Ok(answer.map_err(|error| error.kind().clone()))
}

/// Asserts that the good tool answers.
pub(crate) async fn assert_works(subject: &SandboxSubject, sandbox: &dyn Sandbox) -> Result<(), Failure> {
    let example = subject.harness.example();
    let output = tool(sandbox, example.tool)?.call(&scope(example.tool)?, example.arguments).await?;
    assert_eq!(output.value, example.answer);
    Ok(())
}
