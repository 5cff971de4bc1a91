//! The generated bindings of `wit/tool.wit`, and the glue between them and [`Tool`](crate::Tool).
#![allow(missing_docs, clippy::allow_attributes_without_reason, reason = "generated from the documented WIT")]

use std::marker::PhantomData;

use self::exports::ironclaw::tool::tool::{Description, Failure as WitFailure, Guest};
use crate::{Failure, Tool};

wit_bindgen::generate!({
    world: "sandboxed-tool",
    path: "wit",
    pub_export_macro: true,
    runtime_path: "::ironclaw_tool_sdk::bindings::rt",
});

pub use wit_bindgen::rt;

/// The component's export, on behalf of a tool.
pub struct Exported<T>(PhantomData<T>);

impl<T: Tool> Guest for Exported<T> {
    fn describe() -> Description {
        Description {
            name: T::NAME.to_owned(),
            description: T::DESCRIPTION.to_owned(),
            parameters_schema: T::parameters().to_string(),
            result_schema: T::result().map(|schema| schema.to_string()),
        }
    }

    fn call(arguments: String) -> Result<String, WitFailure> {
        let arguments = serde_json::from_str(&arguments).map_err(|e| WitFailure::InvalidArguments(e.to_string()))?;
        let answer = T::call(arguments).map_err(|failure| match failure {
            Failure::InvalidArguments(message) => WitFailure::InvalidArguments(message),
            Failure::Failed(message) => WitFailure::Failed(message),
        })?;
        serde_json::to_string(&answer).map_err(|e| WitFailure::Failed(format!("the answer is no JSON: {e}")))
    }
}
