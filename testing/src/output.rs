//! Running programs to their end.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::ClusterError;

/// Runs `command` to its end and gives what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, ClusterError> {
    let name = name(command);
    let output = command.output().map_err(|error| ClusterError::program(&name, error))?;
    successful(&name, &output)
}

/// Like [`output`], with `input` as its standard input.
pub(crate) fn output_of_input(command: &mut Command, input: &str) -> Result<String, ClusterError> {
    let name = name(command);
    let failed = |error: std::io::Error| ClusterError::program(&name, error);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // On a thread of its own, as the program may fill its output before it has read all of its input. It may also
        // end without reading it, and then says why itself.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        child.wait_with_output()
    });
    successful(&name, &output.map_err(failed)?)
}

fn name(command: &Command) -> String {
    let path = Path::new(command.get_program());
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn successful(name: &str, output: &Output) -> Result<String, ClusterError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let detail = format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    Err(ClusterError::program(name, detail.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_says_why() {
        let error = output(Command::new("sh").args(["-c", "echo wrong >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.starts_with("sh failed: ") && error.contains("wrong") && error.contains('3'), "{error}");
    }
}
