//! Every example of the documents is compiled by a test.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

/// A fenced block of Rust.
struct Block {
    line: usize,
    /// What stands behind the fence: `rust,no_run`, or what rustdoc takes for Rust.
    info: String,
    /// The line above the fence, if there is one.
    above: String,
    lines: Vec<String>,
}

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The repository's own files with this ending: not what is built or unpacked there.
fn files(ending: &str) -> Vec<PathBuf> {
    let walk = WalkBuilder::new(root()).require_git(false).build();
    let is_one = |path: &Path| path.extension().is_some_and(|found| found == ending);
    let mut files: Vec<_> = walk.map(|entry| entry.unwrap().into_path()).filter(|path| is_one(path)).collect();
    files.sort_unstable();
    files
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut above, mut open) = (Vec::new(), String::new(), None::<(bool, Block)>);
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.trim().strip_prefix("```")) {
            (None, Some(info)) => {
                let first = info.split(',').next().unwrap_or_default();
                let is_rust = ["rust", "no_run", "ignore", "should_panic", "compile_fail"].contains(&first);
                let block = Block { line: number + 1, info: info.to_owned(), above: above.clone(), lines: Vec::new() };
                open = Some((is_rust, block));
            }
            (Some(_), Some("")) => blocks.extend(open.take().filter(|(is_rust, _)| *is_rust).map(|(_, block)| block)),
            (Some((_, block)), _) => block.lines.push(line.to_owned()),
            (None, None) if !line.trim().is_empty() => line.trim().clone_into(&mut above),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block that is not closed");
    blocks
}

/// The Markdown files that some Rust file includes as documentation, and so `cargo test` compiles.
fn compiled() -> BTreeSet<PathBuf> {
    let mut compiled = BTreeSet::new();
    for file in files("rs") {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines() {
            let Some(rest) = line.trim().strip_prefix("#").map(|rest| rest.trim_start_matches('!')) else { continue };
            let Some(rest) = rest.strip_prefix("[doc = include_str!(\"") else { continue };
            let path = file.parent().unwrap().join(rest.split('"').next().unwrap());
            compiled.insert(path.canonicalize().unwrap());
        }
    }
    compiled
}

#[test]
fn no_example_escapes_the_compiler() {
    let compiled = compiled();
    let (mut escaped, mut seen) = (Vec::new(), 0);
    for file in files("md") {
        for block in blocks(&fs::read_to_string(&file).unwrap()) {
            seen += 1;
            let place = format!("{}:{}", file.strip_prefix(root()).unwrap().display(), block.line);
            let is_ignored = block.info.split(',').any(|word| word == "ignore");
            if is_ignored && !block.above.starts_with("<!-- not compiled: ") {
                escaped.push(format!("{place}: say why above it, as <!-- not compiled: … -->"));
            }
            if !is_ignored && !compiled.contains(&file.canonicalize().unwrap()) {
                escaped.push(format!("{place}: include the file in examples/tests/lib.rs"));
            }
        }
    }
    assert!(escaped.is_empty(), "{escaped:#?}");
    assert!(seen > 30, "only {seen} blocks were found");
}

#[test]
fn the_first_program_is_short() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let first = blocks(&readme).into_iter().next().unwrap();
    assert_eq!(first.info, "rust", "it is compiled and run");
    assert!(first.lines.len() <= 15, "{} lines", first.lines.len());
    assert!(!first.lines.iter().any(|line| line.starts_with("# ")), "nothing is hidden from whoever copies it");
    // Each crate that it uses has its line in the manifest beside it.
    for line in &first.lines {
        let Some(name) = line.strip_prefix("use ").and_then(|rest| rest.split("::").next()) else { continue };
        assert!(readme.contains(&format!("\n{} = {{", name.replace('_', "-"))), "{name}");
    }
}
