use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::tool::{ToolError, ToolErrorKind};
use serde_json::{Map, Value};

/// The arguments of a call, taken one by one. Messages name the argument and what it must be, never its value.
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    pub(super) fn new(arguments: Value) -> Result<Self, ToolError> {
        match arguments {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(invalid("the arguments must be an object")),
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Result<String, ToolError> {
        self.optional_text(name)?.ok_or_else(|| invalid(format!("`{name}` is missing")))
    }

    /// An argument that may be left out or null.
    pub(super) fn optional_text(&mut self, name: &str) -> Result<Option<String>, ToolError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(format!("`{name}` must be a string"))),
        }
    }

    pub(super) fn number(&mut self, name: &str, least: u64, most: u64) -> Result<Option<u64>, ToolError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().filter(|n| (least..=most).contains(n)) {
                Some(n) => Ok(Some(n)),
                None if most == u64::MAX => Err(invalid(format!("`{name}` must be a whole number from {least} on"))),
                None => Err(invalid(format!("`{name}` must be a whole number from {least} to {most}"))),
            },
        }
    }

    pub(super) fn path(&mut self, name: &str) -> Result<Option<WorkspacePath>, ToolError> {
        // Models write the top as "" or "/" where they mean no prefix at all: say so rather than guess.
        let text = self.optional_text(name)?;
        text.map(WorkspacePath::parse).transpose().map_err(|refused| {
            invalid(format!("`{name}` is no path: {}; paths look like notes/plan.md", refused.problem()))
        })
    }

    pub(super) fn required_path(&mut self, name: &str) -> Result<WorkspacePath, ToolError> {
        self.path(name)?.ok_or_else(|| invalid(format!("`{name}` is missing")))
    }

    /// Refuses what was not taken.
    pub(super) fn done(self) -> Result<(), ToolError> {
        match self.0.len() {
            0 => Ok(()),
            n => Err(invalid(format!("{n} of the arguments are not known to this tool; see its schema"))),
        }
    }
}

pub(super) fn invalid(why: impl Into<String>) -> ToolError {
    ToolError::new(ToolErrorKind::InvalidArguments, "memory", why)
}
