#![doc = include_str!("../README.md")]

// The generated export macro names this crate as the crates that call it do.
extern crate self as ironclaw_tool_sdk;

pub mod log;

mod failure;

#[doc(hidden)]
pub mod bindings;

pub use failure::Failure;
pub use serde_json::{Value, json};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A tool that an agent can call. A type that implements it becomes the component's tool with [`export_tool!`].
///
/// Every call meets a fresh instance of the component, so that a `static` is as new as a local variable: there is
/// nothing to keep between calls, and nothing of one user that another's call could see.
pub trait Tool {
    /// The name it is called by: 1 to 64 of `a-z A-Z 0-9 _ -`.
    const NAME: &'static str;
    /// What it does, for a language model.
    const DESCRIPTION: &'static str;

    /// What it takes. Arguments that do not deserialise into this are answered with [`Failure::InvalidArguments`]
    /// before [`Tool::call`] is reached. [`Value`] takes any object.
    type Arguments: DeserializeOwned;
    /// What it answers: anything that serialises to JSON.
    type Answer: Serialize;

    /// JSON Schema of the arguments: an object with `"type": "object"`.
    fn parameters() -> Value;

    /// JSON Schema of the answer. None by default.
    fn result() -> Option<Value> {
        None
    }

    /// Runs the tool.
    ///
    /// # Errors
    /// A [`Failure`] whose text the caller is told; a `String` or `&str` becomes [`Failure::Failed`].
    fn call(arguments: Self::Arguments) -> Result<Self::Answer, Failure>;
}

/// Makes a type that implements [`Tool`] the tool of this component. Used once, in a `cdylib`.
#[macro_export]
macro_rules! export_tool {
    ($tool:ty) => {
        type IronclawExportedTool = $crate::bindings::Exported<$tool>;
        $crate::bindings::export!(IronclawExportedTool with_types_in $crate::bindings);
    };
}
