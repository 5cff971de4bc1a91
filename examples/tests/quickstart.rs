//! The quickstart as a user runs it.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/command.rs"]
mod command;
#[path = "support/setup.rs"]
mod setup;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::setup::{Setup, answers, stderr};

#[test]
fn citations_are_exactly_the_bytes_they_name() {
    let setup = Setup::new();
    setup.write("launch.md", "# Launch\n\nThe launch of the ärgerlich röcket is on 3 May, in Graz.\n");
    setup.write("sub/verpflegung.md", "# Verpflegung\n\nZum Frühstück gibt es Semmeln mit Marillenmarmelade.\n");
    setup.write("sub/旅行.md", "# 旅行\n\n来週の京都への旅行では、清水寺と金閣寺を訪れる予定です。\n");
    setup.write("other.md", "# Other\n\nNothing of interest stands here, only filler about gardens and trees.\n");
    let asked = [
        ("When is the launch of the rocket?", "launch.md"),
        ("Was gibt es zum Frühstück?", "sub/verpflegung.md"),
        ("京都の旅行ではどこを訪れますか", "sub/旅行.md"),
    ];
    let questions: Vec<&str> = asked.iter().map(|(question, _)| *question).collect();
    let answers = setup.ask(&questions);
    assert_eq!(answers.len(), 3);
    for (answer, (question, expected)) in answers.iter().zip(asked) {
        let keys: BTreeSet<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
        let expected_keys =
            ["answer", "citations", "conversation", "degraded", "finish", "model", "timings_ms", "tool_calls"];
        assert_eq!(keys, expected_keys.into());
        let first = &answer["citations"][0];
        assert_eq!(first["path"], expected, "{question}: {answer}");
        for citation in answer["citations"].as_array().unwrap() {
            let file = fs::read(setup.docs().join(citation["path"].as_str().unwrap())).unwrap();
            let range = citation["start"].as_u64().unwrap() as usize..citation["end"].as_u64().unwrap() as usize;
            assert_eq!(citation["text"].as_str().unwrap().as_bytes(), &file[range], "{citation}");
            assert!((0.0..=1.0).contains(&citation["score"].as_f64().unwrap()));
        }
    }
    assert_eq!(answers[0]["conversation"], answers[2]["conversation"]);
}

#[test]
fn a_second_run_embeds_only_what_changed_and_goes_on() {
    let setup = Setup::new();
    setup.write("a.md", "The heron stands in the pond.");
    setup.write("b.md", "The kestrel hovers over the field.");
    setup.write("c.md", "The wagtail runs along the shore.");
    let first = setup.ask(&["Where is the heron?"]);
    setup.write("b.md", "The kestrel sits on the church tower now.");
    fs::remove_file(setup.docs().join("c.md")).unwrap();
    let output = setup.run(&["--json", "--ask", "Where is the kestrel?", "--ask", "Where does the wagtail run?"]);
    assert!(stderr(&output).contains("1 files read into 1 chunks, 1 unchanged, 1 gone"), "{}", stderr(&output));
    let second = answers(&output);
    assert!(second[0]["answer"].as_str().unwrap().contains("church tower"), "{}", second[0]);
    assert!(second[1]["citations"].as_array().unwrap().iter().all(|c| c["path"] != "c.md"), "{}", second[1]);
    assert_eq!(first[0]["conversation"], second[0]["conversation"]);
    let history = String::from_utf8(setup.run(&["--history"]).stdout).unwrap();
    assert!(history.contains("Where is the heron?") && history.contains("Where is the kestrel?"), "{history}");
}

#[test]
fn whatever_cannot_be_read_is_reported_and_the_rest_is_taken() {
    use std::os::unix::ffi::OsStringExt;
    let setup = Setup::new();
    setup.write("good.md", "The archive is in the cellar.");
    setup.write("binary.bin", b"\x00\x01\x02");
    setup.write("latin1.txt", b"Gr\xfc\xdfe aus Wien");
    setup.write("empty.txt", "");
    std::os::unix::fs::symlink("nowhere", setup.docs().join("broken")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", setup.docs().join("outside")).unwrap();
    std::os::unix::fs::symlink(".", setup.docs().join("loop")).unwrap();
    let name = std::ffi::OsString::from_vec(b"bad\xff.md".to_vec());
    fs::write(setup.docs().join(name), "unseen").unwrap();
    let fifo = Command::new("mkfifo").arg(setup.docs().join("fifo")).status().unwrap();
    assert!(fifo.success());
    let docs = setup.docs();
    let output = setup.run(&["--json", "--ingest", docs.to_str().unwrap(), "--ask", "Where is the archive?"]);
    let report = stderr(&output);
    for reason in [
        "binary.bin: binary",
        "latin1.txt: not UTF-8 text",
        "broken: a broken symbolic link",
        "outside: a symbolic link that leads out",
        "loop: a symbolic link to a folder above it",
        "its name is not UTF-8",
        "fifo: not a regular file",
        "7 skipped",
    ] {
        assert!(report.contains(reason), "{reason}: {report}");
    }
    assert!(answers(&output)[0]["answer"].as_str().unwrap().contains("cellar"));
}

#[test]
fn hidden_and_ignored_files_are_left_out_unless_asked_for() {
    let setup = Setup::new();
    setup.write("launch.md", "The launch of the harbour project is on 3 May.");
    setup.write("node_modules/read.md", "The launch is read about here.");
    setup.write(".trash/launch.md", "The launch of the harbour project is on 1 April.");
    setup.write(".env", "LAUNCH_TOKEN=harbour");
    setup.write(".gitignore", "build/\n*.log\n");
    setup.write(".ignore", "drafts/\n");
    setup.write("build/launch.md", "The launch of the harbour project was built.");
    setup.write("sub/launch.log", "The launch of the harbour project was logged.");
    setup.write("drafts/launch.md", "The launch of the harbour project was drafted.");
    let docs = setup.docs();
    let question = "When is the launch of the harbour project?";
    let run = |path: &std::path::Path, more: &[&str]| {
        let arguments = ["--json", "--ingest", path.to_str().unwrap(), "--ask", question];
        let output = setup.run(&[&arguments[..], more].concat());
        let cited = answers(&output)[0]["citations"].as_array().unwrap().clone();
        let cited: BTreeSet<String> = cited.iter().map(|c| c["text"].as_str().unwrap().to_owned()).collect();
        (stderr(&output), cited.into_iter().collect::<Vec<_>>().join(" "))
    };
    let (report, cited) = run(&docs, &["--hidden", "--no-ignore"]);
    assert!(report.contains(": 9 files read") && !report.contains("left out"), "{report}");
    for word in ["3 May", "1 April", "built", "logged", "drafted"] {
        assert!(setup.data_contains(word), "{word}: {cited}");
    }
    // What was asked for once is asked for in later runs.
    let again = stderr(&setup.run(&["--json", "--ask", question]));
    assert!(again.contains(" 9 unchanged") && !again.contains("left out"), "{again}");

    let (report, cited) = run(&docs, &[]);
    assert!(report.contains(" 2 unchanged, 7 read before and left out now, 7 left out: "), "{report}");
    let reasons = "4 hidden (--hidden reads them), 3 ignored (--no-ignore reads them)";
    assert!(report.contains(reasons), "{report}");
    assert!(cited.contains("3 May") && !cited.contains("April") && !cited.contains("drafted"), "{cited}");

    let (report, cited) = run(&docs.join(".trash"), &[]);
    assert!(report.contains(".trash: 1 files read") && cited.contains("1 April"), "{report}: {cited}");
}

#[test]
fn what_git_ignores_is_left_out_below_it_as_well() {
    let setup = Setup::new();
    fs::create_dir(setup.docs().join(".git")).unwrap();
    setup.write(".gitignore", "*.tmp.md\n/out\n");
    setup.write("notes/a.md", "The heron stands in the pond.");
    setup.write("notes/b.tmp.md", "The heron stands in the draft.");
    setup.write("out/c.tmp.md", "The heron stands in the output.");
    let read = |name: &str| {
        let path = setup.docs().join(name);
        stderr(&setup.run(&["--json", "--ingest", path.to_str().unwrap(), "--ask", "Where is the heron?"]))
    };
    let notes = read("notes");
    assert!(notes.contains("notes: 1 files read into 1 chunks, 0 unchanged, 1 left out: 1 ignored"), "{notes}");
    let out = read("out");
    assert!(out.contains("out: 1 files read into 1 chunks, 0 unchanged\n"), "a folder that is named is taken: {out}");
}

#[test]
fn nothing_is_asked_about_somebody_elses_files() {
    let setup = Setup::new();
    setup.write("a.md", "The heron stands in the pond.");
    let docs = setup.docs();
    for arguments in [&["--ingest", docs.to_str().unwrap()][..], &[]] {
        let output = setup.run(arguments);
        assert!(output.stdout.is_empty(), "{output:?}");
        assert!(stderr(&output).contains("Nothing was asked: --ask"), "{}", stderr(&output));
    }
}

#[test]
fn forgetting_leaves_no_byte() {
    let setup = Setup::new();
    setup.write("diary-quagga.md", "The zebrafinch whispered about thylacines.");
    setup.ask(&["What about the thylacines, my axolotl?", "/calculator {\"expression\": \"867530900 + 9\"}"]);
    let words = ["zebrafinch", "thylacine", "axolotl", "quagga", "8675309"];
    for word in words {
        assert!(setup.data_contains(word), "{word} was never there");
    }
    let output = setup.run(&["--forget"]);
    assert!(stderr(&output).contains("no byte of them is left"), "{}", stderr(&output));
    for word in words {
        assert!(!setup.data_contains(word), "{word} is still there");
    }
    let history = setup.run(&["--history"]);
    assert!(history.stdout.is_empty(), "{history:?}");
}

#[test]
fn a_tool_call_is_reported() {
    let setup = Setup::new();
    let answers = setup.ask(&["/calculator {\"expression\": \"0.1 + 0.2\"}"]);
    let call = &answers[0]["tool_calls"][0];
    assert_eq!(call["name"], "calculator");
    assert!(call["outcome"]["success"].to_string().contains("0.3"), "{call}");
    assert!(answers[0]["answer"].as_str().unwrap().contains("0.3"), "{answers:?}");
}

#[test]
fn bad_arguments_are_refused_in_words() {
    let setup = Setup::new();
    let output = setup.command(&["--ingest", "/no/such/folder", "--ask", "x"]).output().unwrap();
    assert!(!output.status.success());
    assert!(stderr(&output).contains("/no/such/folder: no such file or folder"), "{}", stderr(&output));
    let output = setup.command(&["--user", "", "--ask", "x"]).output().unwrap();
    assert!(!output.status.success());
}

#[test]
fn the_data_folder_keeps_itself_to_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let setup = Setup::new();
    setup.write("a.md", "The heron stands in the pond.");
    setup.ask(&["Where is the heron?"]);
    let mode = |metadata: fs::Metadata| metadata.permissions().mode() & 0o777;
    assert_eq!(mode(fs::metadata(setup.data()).unwrap()), 0o700);
    for file in fs::read_dir(setup.data()).unwrap() {
        let file = file.unwrap();
        assert_eq!(mode(file.metadata().unwrap()), 0o600, "{}", file.path().display());
    }
}

#[test]
fn ten_thousand_files_are_taken() {
    let setup = Setup::new();
    for i in 0..10_000 {
        fs::write(setup.docs().join(format!("{i}.md")), format!("Note {i}: item number {i} is in box {}.", i * 7))
            .unwrap();
    }
    let answers = setup.ask(&["Where is item number 4711?"]);
    assert_eq!(answers[0]["citations"][0]["path"], "4711.md", "{}", answers[0]);
    let output = setup.run(&["--json", "--ask", "Where is item number 42?"]);
    assert!(stderr(&output).contains("0 files read into 0 chunks, 10000 unchanged"), "{}", stderr(&output));
}

#[test]
fn two_folders_with_the_same_name_keep_apart() {
    let setup = Setup::new();
    setup.write("one/docs/readme.md", "The blue key opens the attic.");
    setup.write("two/docs/readme.md", "The red key opens the basement.");
    let path = |name: &str| setup.docs().join(name).to_str().unwrap().to_owned();
    let (one, two) = (path("one/docs"), path("two/docs"));
    let arguments = ["--json", "--ingest", &one, "--ingest", &two, "--ask", "Which key opens the basement?"];
    let answer = &answers(&setup.run(&arguments))[0];
    assert_eq!(answer["citations"][0]["path"], "readme.md");
    assert!(answer["citations"][0]["text"].as_str().unwrap().contains("red key"), "{answer}");
}

#[test]
fn a_single_file_is_known_by_its_name() {
    let setup = Setup::new();
    setup.write("keys/readme.md", "The blue key opens the attic.");
    setup.write("keys/other.md", "The red key opens the basement.");
    let file = setup.docs().join("keys/readme.md");
    let output = setup.run(&["--json", "--ingest", file.to_str().unwrap(), "--ask", "Which key opens the attic?"]);
    let answer = &answers(&output)[0];
    let citations = answer["citations"].as_array().unwrap();
    assert!(!citations.is_empty() && citations.iter().all(|citation| citation["path"] == "readme.md"), "{answer}");
}
