//! The client for language models against local servers that speak the services' wire formats.
#![cfg(feature = "genai")]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "genai/anthropic.rs"]
mod anthropic;
#[path = "genai/causes.rs"]
mod causes;
#[path = "genai/environment.rs"]
mod environment;
#[path = "genai/faults.rs"]
mod faults;
#[path = "genai/gemini.rs"]
mod gemini;
#[path = "genai/histories.rs"]
mod histories;
#[path = "genai/loopback.rs"]
mod loopback;
#[path = "genai/ollama.rs"]
mod ollama;
#[path = "genai/openai.rs"]
mod openai;
#[path = "genai/requests.rs"]
mod requests;
#[path = "genai/retries.rs"]
mod retries;
#[path = "genai/shapes.rs"]
mod shapes;
#[path = "genai/splits.rs"]
mod splits;
#[path = "genai/strict.rs"]
mod strict;
#[path = "genai/support.rs"]
mod support;
#[path = "genai/wholes.rs"]
mod wholes;
