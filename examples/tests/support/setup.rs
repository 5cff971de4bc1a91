//! A folder for the quickstart, and runs over it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::command::quickstart;

/// A data folder and a folder of documents, with the quickstart run over them.
pub(crate) struct Setup {
    pub(crate) folder: tempfile::TempDir,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("docs")).unwrap();
        Self { folder }
    }

    pub(crate) fn docs(&self) -> PathBuf {
        self.folder.path().join("docs")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.docs().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = quickstart();
        command.arg("--data").arg(self.data()).args(["--user", "ada"]).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output
    }

    /// Ingests the documents, asks, and reads the answers.
    pub(crate) fn ask(&self, questions: &[&str]) -> Vec<Value> {
        let docs = self.docs();
        let mut arguments = vec!["--json", "--ingest", docs.to_str().unwrap()];
        for question in questions {
            arguments.extend(["--ask", question]);
        }
        answers(&self.run(&arguments))
    }

    /// Whether any file of the data folder has these bytes in it.
    pub(crate) fn data_contains(&self, needle: &str) -> bool {
        fs::read_dir(self.data()).unwrap().any(|file| {
            let content = fs::read(file.unwrap().path()).unwrap();
            content.windows(needle.len()).any(|window| window == needle.as_bytes())
        })
    }
}

pub(crate) fn answers(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
