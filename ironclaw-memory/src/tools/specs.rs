//! What a language model is told of the tools.

use ironclaw_core::id::ToolName;
use ironclaw_core::tool::ToolSpec;
use serde_json::{Value, json};

use super::{FILES, PASSAGES, READ_BYTES, READ_BYTES_DEFAULT, WRITE_BYTES};

const PATH: &str = "Path of the file, relative, parts separated by single slashes, e.g. notes/plan.md";
const PREFIX: &str = "Only files at or below this path, e.g. notes. Leave out for all files.";

pub(super) fn search() -> ToolSpec {
    spec(
        "memory_search",
        "Searches the user's files and notes for passages that answer a question, by meaning and by words, in any \
         language. Use it before answering anything about what the user wrote, decided, planned or said earlier, and \
         before saying that you don't know. Ask a full question or give the distinctive words; if nothing fits, try \
         other words. Passages come best first with a score from 0 to 1; a low score means a poor fit. Cite the path \
         of what you use. memory_read shows what stands around a passage.",
        &json!({
            "query": {"type": "string", "minLength": 1, "description": "The question or the words to search for."},
            "limit": {"type": "integer", "minimum": 1, "maximum": PASSAGES, "description": "The most passages; 8 if left out."},
            "prefix": {"type": "string", "description": PREFIX},
        }),
        &["query"],
        json!({
            "type": "object",
            "properties": {
                "passages": {"type": "array", "items": {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string"},
                        "start": {"type": "integer", "description": "Byte offset of the text in the file."},
                        "end": {"type": "integer", "description": "Byte offset after the text."},
                        "score": {"type": "number", "minimum": 0, "maximum": 1},
                        "text": {"type": "string"},
                    },
                    "required": ["path", "start", "end", "score", "text"],
                }},
                "degraded": {"type": "array", "items": {"type": "string"},
                    "description": "What the search left out, and why, if anything."},
            },
            "required": ["passages"],
        }),
    )
}

pub(super) fn read() -> ToolSpec {
    spec(
        "memory_read",
        "Reads text of one of the user's files, from a byte offset on. Use it for a whole file, or for what stands \
         around a passage that memory_search found. If the answer has next_offset, there is more: call again with \
         that offset.",
        &json!({
            "path": {"type": "string", "description": PATH},
            "offset": {"type": "integer", "minimum": 0, "description": "Where to start, in bytes; 0 if left out."},
            "max_bytes": {"type": "integer", "minimum": 16, "maximum": READ_BYTES,
                "description": format!("The most bytes to read; {READ_BYTES_DEFAULT} if left out.")},
        }),
        &["path"],
        json!({
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "size": {"type": "integer", "description": "The size of the whole file in bytes."},
                "offset": {"type": "integer", "description": "Where the text starts, in bytes."},
                "text": {"type": "string"},
                "next_offset": {"type": "integer", "description": "Where to read on; absent at the end."},
                "binary": {"type": "boolean", "description": "True if the file is not text."},
                "note": {"type": "string"},
            },
            "required": ["path", "size"],
        }),
    )
}

pub(super) fn write() -> ToolSpec {
    spec(
        "memory_write",
        "Writes one of the user's files, so that it is remembered and can be searched from now on. Use it when the \
         user asks you to remember or note something, or tells you a lasting fact, decision or preference. It \
         replaces the whole file: to add to a file, read it first and write all of it. Keep one subject per file and \
         choose a telling path. Never write passwords, keys or other secrets.",
        &json!({
            "path": {"type": "string", "description": PATH},
            "content": {"type": "string", "maxLength": WRITE_BYTES,
                "description": "The whole text of the file, as Markdown for paths ending in .md."},
        }),
        &["path", "content"],
        json!({
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "size": {"type": "integer"},
                "changed": {"type": "boolean", "description": "False if the file already held just this."},
            },
            "required": ["path", "size", "changed"],
        }),
    )
}

pub(super) fn list() -> ToolSpec {
    spec(
        "memory_list",
        "Lists the user's files by path, with sizes in bytes and when they were last written. Use it to see what \
         there is or to find a path; to find content, use memory_search. If the answer has next_cursor, there are \
         more: call again with it and the same prefix.",
        &json!({
            "prefix": {"type": "string", "description": PREFIX},
            "limit": {"type": "integer", "minimum": 1, "maximum": FILES, "description": "The most files; 100 if left out."},
            "cursor": {"type": "string", "description": "The next_cursor of the page before."},
        }),
        &[],
        json!({
            "type": "object",
            "properties": {
                "files": {"type": "array", "items": {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string"},
                        "size": {"type": "integer"},
                        "updated_at": {"type": "string", "format": "date-time"},
                    },
                    "required": ["path", "size", "updated_at"],
                }},
                "next_cursor": {"type": "string"},
            },
            "required": ["files"],
        }),
    )
}

#[allow(clippy::expect_used, reason = "the names are constants of a few letters")]
fn spec(name: &str, description: &str, properties: &Value, required: &[&str], result: Value) -> ToolSpec {
    ToolSpec::new(
        ToolName::parse(name).expect("a valid name"),
        description,
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        }),
    )
    .result(result)
}
