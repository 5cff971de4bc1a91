//! The call's log: lines that the host keeps beside the answer, within its limits.

use crate::bindings::ironclaw::tool::log as host;

/// Logs the finest detail.
pub fn trace(message: &str) {
    host::log(host::Level::Trace, message);
}

/// Logs something for whoever debugs the tool.
pub fn debug(message: &str) {
    host::log(host::Level::Debug, message);
}

/// Logs something worth knowing.
pub fn info(message: &str) {
    host::log(host::Level::Info, message);
}

/// Logs that something is odd.
pub fn warn(message: &str) {
    host::log(host::Level::Warn, message);
}

/// Logs that something failed.
pub fn error(message: &str) {
    host::log(host::Level::Error, message);
}
