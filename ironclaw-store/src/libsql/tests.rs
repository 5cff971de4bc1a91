//! Categories on this engine: what only its file can show.

mod access;
mod secrets;
