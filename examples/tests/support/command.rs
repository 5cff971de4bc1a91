//! How the tests start the quickstart.

use std::process::{Command, Stdio};

/// The quickstart, with nothing of the environment that could configure it.
pub(crate) fn quickstart() -> Command {
    let deps = std::env::current_exe().unwrap();
    let program = deps.parent().unwrap().parent().unwrap().join("examples/quickstart");
    assert!(program.is_file(), "build the example first: cargo build -p ironclaw-examples --example quickstart");
    let mut command = Command::new(program);
    clear(&mut command);
    command.stdin(Stdio::null());
    command
}

/// Leaves a command only what every program may need.
pub(crate) fn clear(command: &mut Command) {
    command.env_clear();
    for variable in ["PATH", "HOME", "USER"] {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
}
