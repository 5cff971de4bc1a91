//! The quickstart where something is in its way.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/command.rs"]
mod command;
#[path = "support/setup.rs"]
mod setup;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use crate::setup::{Setup, answers, stderr};

const DOCUMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");

#[test]
fn the_vaults_key_is_never_read() {
    let setup = Setup::new();
    setup.write("a.md", "The heron stands in the pond.");
    setup.ask(&["Where is the heron?"]);
    let key = setup.data().join("agent.key");
    symlink(&key, setup.docs().join("link.md")).unwrap();
    symlink(setup.data(), setup.docs().join("data")).unwrap();
    fs::copy(&key, setup.docs().join("copy.md")).unwrap();
    fs::hard_link(&key, setup.docs().join("hard.md")).unwrap();
    let (all, key) = (setup.folder.path().to_str().unwrap(), key.to_str().unwrap());
    let output = setup.run(&["--json", "--ingest", all, "--ingest", key, "--ask", "ironclaw key 1"]);
    let report = stderr(&output);
    for reason in [
        "link.md: in the store's own folder",
        "docs/data: in the store's own folder",
        "agent.key: in the store's own folder",
        "copy.md: a vault's key",
        "hard.md: a vault's key",
    ] {
        assert!(report.contains(reason), "{reason}: {report}");
    }
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ironclaw-key-"), "{output:?}");
}

#[test]
fn the_documentation_can_be_named() {
    let setup = Setup::new();
    let first = stderr(&setup.run(&["--json", "--ask", "How are secrets encrypted?"]));
    assert!(first.contains(" 0 unchanged"), "{first}");
    let output = setup.run(&["--json", "--ingest", DOCUMENTS, "--ask", "How are secrets encrypted?"]);
    assert!(stderr(&output).contains(": 0 files read into 0 chunks"), "{}", stderr(&output));
    assert!(!answers(&output)[0]["citations"].as_array().unwrap().is_empty());
}

#[test]
fn what_the_agent_wrote_stays() {
    let setup = Setup::new();
    setup.write("a.md", "The heron stands in the pond.");
    setup.ask(&[r#"/memory_write {"path": "docs/own.md", "content": "The bittern hides in the reed."}"#]);
    let answer = &setup.ask(&["Where does the bittern hide?"])[0];
    assert_eq!(answer["citations"][0]["path"], "own.md", "{answer}");
}

#[test]
fn first_runs_at_once_all_succeed() {
    let setup = Setup::new();
    setup.write("a.md", "The heron stands in the pond.");
    let docs = setup.docs();
    let arguments = ["--json", "--ingest", docs.to_str().unwrap(), "--ask", "Where is the heron?"];
    let spawn = |_| setup.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let runs: Vec<_> = (0..4).map(spawn).collect();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(answers(&output)[0]["citations"][0]["path"], "a.md");
    }
}

#[test]
fn looking_back_makes_nothing() {
    let setup = Setup::new();
    for option in ["--history", "--forget"] {
        let output = setup.command(&[option]).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        assert!(stderr(&output).contains("agent.db: no such file"), "{}", stderr(&output));
        assert!(!setup.data().exists());
    }
}

#[test]
fn output_that_nobody_takes_ends_the_run_in_order() {
    let setup = Setup::new();
    setup.write("a.md", "The heron stands in the pond.");
    setup.ask(&["Where is the heron?"]);
    for arguments in [&["--history"][..], &["--ask", "Where is the heron?"], &["--json", "--ask", "Where?"]] {
        if let Ok(full) = fs::File::options().write(true).open("/dev/full") {
            let output = setup.command(arguments).stdout(full).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(stderr(&output).contains("quickstart: standard output"), "{}", stderr(&output));
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = setup.command(arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
        assert!(!setup.data().join("agent.db-wal").exists(), "the store was not closed");
    }
}

#[test]
fn control_characters_reach_no_terminal() {
    let setup = Setup::new();
    setup.write("a.md", "The heron \u{1b}[31mstands in the pond.");
    setup.write("b\u{1b}[2J.bin", b"\0");
    let docs = setup.docs();
    let output = setup.run(&["--ingest", docs.to_str().unwrap(), "--ask", "Where is the heron?"]);
    let answer = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(answer.contains("\u{fffd}[31m") && !answer.contains('\u{1b}'), "{answer}");
    assert!(stderr(&output).contains("\u{fffd}[2J.bin: ") && !stderr(&output).contains('\u{1b}'));
    let answer = &setup.ask(&["Where is the heron?"])[0];
    assert!(answer["citations"][0]["text"].as_str().unwrap().contains("\u{1b}[31m"), "{answer}");
}

#[test]
fn an_unreadable_file_is_skipped_and_stays() {
    let setup = Setup::new();
    setup.write("a.md", "The heron stands in the pond.");
    setup.write("b.md", "The kestrel hovers over the field.");
    setup.ask(&["Where is the heron?"]);
    let secret = setup.docs().join("b.md");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    let arguments = ["--json", "--ask", "Where is the kestrel?"];
    let output = if fs::read(&secret).is_ok() {
        // Permissions don't stop root: run it as somebody whom they do.
        let command = setup.command(&arguments);
        let mut lesser = Command::new("setpriv");
        crate::command::clear(&mut lesser);
        lesser.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(command.get_program());
        lesser.args(command.get_args()).stdin(Stdio::null());
        let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(setup.folder.path()).status();
        let reachable = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(command.get_program())
            .arg("--help")
            .output();
        if !owned.is_ok_and(|status| status.success()) || !reachable.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: permissions don't stop root, and the quickstart can't be run as somebody else");
            return;
        }
        lesser.output().unwrap()
    } else {
        setup.command(&arguments).output().unwrap()
    };
    assert!(output.status.success(), "{output:?}");
    assert!(stderr(&output).contains("b.md: Permission denied"), "{}", stderr(&output));
    assert_eq!(answers(&output)[0]["citations"][0]["path"], "b.md", "what was read before stays");
}

#[tokio::test]
async fn forgetting_says_what_is_pending() {
    let setup = Setup::new();
    setup.write("diary.md", "The zebrafinch whispered about thylacines.");
    setup.ask(&["What about the thylacines?"]);
    let file = setup.data().join("agent.db");
    let reader = libsql::Builder::new_local(&file).build().await.unwrap().connect().unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;").await.unwrap();
    let mut rows = reader.query("SELECT count(*) FROM sqlite_schema", ()).await.unwrap();
    rows.next().await.unwrap();
    let output = setup.run(&["--forget"]);
    let report = stderr(&output);
    assert!(report.contains("not all overwritten yet") && report.contains("another process is reading"), "{report}");
    drop(rows);
    reader.execute_batch("COMMIT").await.unwrap();
    drop(reader);
    let output = setup.run(&["--forget"]);
    assert!(stderr(&output).contains("no byte of them is left"), "{}", stderr(&output));
    assert!(!setup.data_contains("zebrafinch"));
}

// Of the size that a build without optimisations reads in a few seconds; the parts are the same for any larger one.
#[test]
fn a_large_file_is_read_whole() {
    let setup = Setup::new();
    let mut text = String::new();
    for i in 0..80_000 {
        text.push_str(&format!(
            "Entry {i}: the parcel of line {i} went to shelf number {} in the north hall.\n\n",
            i * 3
        ));
    }
    text.push_str("The very last one is the porcupine.\n");
    setup.write("large.md", &text);
    let answer = &setup.ask(&["Who is the porcupine?"])[0];
    let citation = &answer["citations"][0];
    assert!(citation["text"].as_str().unwrap().contains("porcupine"), "{answer}");
    let range = citation["start"].as_u64().unwrap() as usize..citation["end"].as_u64().unwrap() as usize;
    assert_eq!(citation["text"], text[range]);
}
