//! A tool that does nothing: what a call costs by itself.

use ironclaw_tool_sdk::{Failure, Tool, Value, export_tool, json};

struct Noop;

impl Tool for Noop {
    const NAME: &'static str = "noop";
    const DESCRIPTION: &'static str = "Does nothing and answers null.";
    type Arguments = Value;
    type Answer = ();

    fn parameters() -> Value {
        json!({"type": "object"})
    }

    fn call(_: Value) -> Result<(), Failure> {
        Ok(())
    }
}

export_tool!(Noop);
