//! A tool that tries everything a sandbox must stop. What it tries is its argument.

mod exhaust;
mod reach;

use ironclaw_tool_sdk::{Failure, Tool, Value, export_tool, json};
use serde::Deserialize;

struct Hostile;

/// What to try.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Try {
    /// Never ends.
    Loop,
    /// Waits in a call of the host.
    Sleep { seconds: u64 },
    /// Allocates until it dies.
    Memory,
    /// Allocates until it is refused, and answers how much it got.
    MemoryPolitely,
    /// Recurses without end.
    Recursion,
    /// Answers with so many bytes.
    Output { bytes: usize },
    /// Answers with a text that holds U+0000.
    NulOutput,
    /// Answers with arrays within arrays.
    DeepOutput,
    /// Logs so many lines of so many characters, each of three bytes.
    Log { lines: usize, characters: usize },
    /// Prints so many lines.
    Print { lines: usize },
    /// Panics.
    Panic,
    /// Ends the process.
    Exit,
    /// Fails with a text of so many bytes.
    Fail { bytes: usize },
    /// Answers how often this instance was called.
    Count,
    /// Reads, lists, writes and removes the path.
    Files { path: String },
    /// Connects, listens, sends and resolves.
    Network { address: String },
    /// Answers with its environment and arguments.
    Environment,
    /// Answers with the time before and after some work, and after a sleep.
    Clock,
    /// Answers with what should be random.
    Random,
    /// Reads standard input.
    Stdin,
}

impl Tool for Hostile {
    const NAME: &'static str = "hostile";
    const DESCRIPTION: &'static str = "Tries what a sandbox must stop. For tests.";
    type Arguments = Try;
    type Answer = Value;

    fn parameters() -> Value {
        json!({"type": "object", "properties": {"do": {"type": "string"}}, "required": ["do"]})
    }

    fn call(what: Try) -> Result<Value, Failure> {
        match what {
            Try::Loop => exhaust::spin(),
            Try::Sleep { seconds } => exhaust::sleep(seconds),
            Try::Memory => exhaust::memory(),
            Try::MemoryPolitely => Ok(exhaust::memory_politely()),
            Try::Recursion => Ok(json!(exhaust::recurse(1))),
            Try::Output { bytes } => Ok(json!("x".repeat(bytes))),
            Try::NulOutput => Ok(json!("a\0b")),
            Try::DeepOutput => Ok(exhaust::deep_output()),
            Try::Log { lines, characters } => Ok(exhaust::log(lines, characters)),
            Try::Print { lines } => Ok(exhaust::print(lines)),
            Try::Panic => panic!("a hostile panic"),
            Try::Exit => std::process::exit(1),
            Try::Fail { bytes } => Err("ä".repeat(bytes / 2).into()),
            Try::Count => Ok(exhaust::count()),
            Try::Files { path } => Ok(reach::files(&path)),
            Try::Network { address } => Ok(reach::network(&address)),
            Try::Environment => Ok(reach::environment()),
            Try::Clock => Ok(reach::clock()),
            Try::Random => Ok(reach::random()),
            Try::Stdin => Ok(reach::stdin()),
        }
    }
}

export_tool!(Hostile);
