//! The adapter over `genai` against local servers that speak the services' wire formats.
#![cfg(feature = "genai")]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "genai/anthropic.rs"]
mod anthropic;
#[path = "genai/environment.rs"]
mod environment;
#[path = "genai/faults.rs"]
mod faults;
#[path = "genai/gemini.rs"]
mod gemini;
#[path = "genai/ollama.rs"]
mod ollama;
#[path = "genai/openai.rs"]
mod openai;
#[path = "genai/support.rs"]
mod support;
