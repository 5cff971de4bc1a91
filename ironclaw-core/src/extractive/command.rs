use serde_json::{Map, Value};

use crate::llm::ToolCall;
use crate::tool::ToolSpec;

/// What a message that begins with a slash asks for.
pub(super) enum Command {
    /// A tool to call.
    Call(ToolCall),
    /// Why no tool is called, and how to call one.
    Explain(String),
}

impl Command {
    /// The command, or `None` if the message is a question: `/tool-name` must come first, and nothing but JSON after it.
    pub(super) fn read(message: &str, tools: &[ToolSpec]) -> Option<Self> {
        let rest = message.trim().strip_prefix('/')?;
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
        let (name, arguments) = rest.split_at(end);
        // A path like /etc/hosts is no command.
        if name.is_empty() || arguments.starts_with(|c: char| !c.is_whitespace() && c != '{') {
            return None;
        }
        let Some(tool) = tools.iter().find(|tool| tool.name.as_str() == name) else {
            let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
            return Some(Self::Explain(match names.is_empty() {
                true => format!("There is no tool `{name}`: I was given no tools."),
                false => format!("There is no tool `{name}`. I can call: {}.", names.join(", ")),
            }));
        };
        let arguments = match arguments.trim() {
            "" => Ok(Value::Object(Map::new())),
            text => serde_json::from_str::<Value>(text).map_err(|error| error.to_string()),
        };
        Some(match arguments {
            Ok(arguments) if arguments.is_object() => {
                Self::Call(ToolCall { id: format!("call-{name}"), name: name.to_owned(), arguments })
            }
            Ok(_) => Self::Explain(usage(tool, "the arguments are no JSON object")),
            Err(error) => Self::Explain(usage(tool, &format!("the arguments are no JSON ({error})"))),
        })
    }
}

fn usage(tool: &ToolSpec, problem: &str) -> String {
    format!(
        "I can't call `{0}`: {problem}. Write `/{0}` and a JSON object, for example `/{0} {{}}`. Its arguments, as JSON \
         Schema: {1}",
        tool.name, tool.parameters
    )
}
