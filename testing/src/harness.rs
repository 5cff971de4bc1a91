//! Test programs in which a test that needs what this machine lacks is reported as ignored.

use std::any::Any;
use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::ClusterError;

/// Set to anything, it makes everything that is missing a failure.
const REQUIRE_ALL: &str = "IRONCLAW_TEST_REQUIRE_ALL";

/// Lists the tests of a file: functions without arguments. Each that is `async` is run on a runtime of its own.
///
/// The list becomes the file's function `tests`, which the program's `main` hands to [`run`](crate::run). The compiler
/// warns of a function that is not listed, as nothing uses it. Attributes such as `#[cfg(unix)]` may precede a name;
/// `name ignored "why"` is a test that runs when it is asked for, such as another test's child process.
#[macro_export]
macro_rules! tests {
    ($($(#[$attribute:meta])* $name:ident $(ignored $why:literal)?),+ $(,)?) => {
        pub(crate) fn tests() -> Vec<$crate::Test> {
            let mut tests = Vec::new();
            $(
                $(#[$attribute])*
                tests.push($crate::Test {
                    module: module_path!(),
                    name: stringify!($name),
                    file: file!(),
                    ignored: [$($why)?].first().copied(),
                    body: || $crate::Body::run($name),
                });
            )+
            tests
        }
    };
}

/// A test of a program with [`run`] for its `main`; made by [`tests!`](crate::tests).
#[derive(Debug, Clone)]
pub struct Test {
    /// The path of its module, the program's name first.
    pub module: &'static str,
    /// The function's name.
    pub name: &'static str,
    /// The source file that lists it, as seen from the workspace's root.
    pub file: &'static str,
    /// Why it only runs when it is asked for, if so.
    pub ignored: Option<&'static str>,
    /// Runs it. It panics when the test fails.
    pub body: fn(),
}

/// Runs the tests that the program's arguments choose, as the built-in harness would, under the same names.
///
/// A test whose [`need`] can't be met is reported as ignored, with what it needs and how to get it. Under
/// `IRONCLAW_TEST_REQUIRE_ALL`, and under `cargo nextest`, which has no way to report that, it fails.
pub fn run(tests: impl IntoIterator<Item = Vec<Test>>) -> ExitCode {
    let tests: Vec<_> = tests.into_iter().flatten().collect();
    if let Some(lost) = tests.iter().map(|test| test.file).collect::<BTreeSet<_>>().into_iter().find_map(lost) {
        eprintln!("{lost}");
        return ExitCode::FAILURE;
    }
    let trials = tests.into_iter().map(|test| {
        let name = test.module.split_once("::").map_or_else(String::new, |(_, module)| format!("{module}::"));
        let is_ignored = test.ignored.is_some();
        Trial::ignorable_test(name + test.name, move || outcome(test.body)).with_ignored_flag(is_ignored)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// A function that is a test. `Kind` is for the compiler, which tells the two kinds apart by what they return.
pub trait Body<Kind> {
    /// Runs it to its end: if it is `async`, on a runtime of its own with two threads.
    fn run(self);
}

/// What [`Body`] says of functions that are not `async`.
#[derive(Debug)]
pub enum Plain {}

/// What [`Body`] says of functions that are `async`.
#[derive(Debug)]
pub enum Async {}

impl<F: FnOnce()> Body<Plain> for F {
    fn run(self) {
        self();
    }
}

impl<F: FnOnce() -> R, R: Future<Output = ()>> Body<Async> for F {
    fn run(self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap_or_else(|error| panic!("no runtime for the test: {error}")).block_on(self());
    }
}

/// What the test needs, or the end of the test: ignored where it can't be had, failed otherwise.
#[track_caller]
pub fn need<T>(found: Result<T, ClusterError>) -> T {
    if let Some(missing) = missing(&found) {
        // Without a panic's message, as nothing went wrong.
        resume_unwind(Box::new(Missing(missing)));
    }
    found.unwrap_or_else(|error| panic!("{error}"))
}

/// In one line, what is missing on this machine and how to get it, if a test is to be ignored for that.
///
/// It is for test programs with a harness of their own; others use [`need`]. What was tried to get it is printed.
pub fn missing<T>(found: &Result<T, ClusterError>) -> Option<String> {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let error = found.as_ref().err()?;
    let missing = error.missing()?;
    if std::env::var_os(REQUIRE_ALL).is_some() || std::env::var_os("NEXTEST").is_some() {
        return None;
    }
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(missing.clone()) {
        eprintln!("{error}");
    }
    Some(missing)
}

/// What unwinds from a test that is to be ignored.
struct Missing(String);

fn outcome(body: fn()) -> Result<Completion, Failed> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => Ok(Completion::Completed),
        Err(payload) => match payload.downcast::<Missing>() {
            Ok(missing) => Ok(Completion::ignored_with(missing.0)),
            Err(panic) => Err(message(&*panic).into()),
        },
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked").to_owned()
}

/// A test of `file` that the compiler left out: outside of the built-in harness, its attribute removes a function.
fn lost(file: &str) -> Option<String> {
    // A program that was moved away from its sources is run as it is.
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).ok()?;
    find_lost(&source).map(|line| format!("{file}:{line}: not run; remove the attribute and list the test in `tests!`"))
}

fn find_lost(source: &str) -> Option<usize> {
    let attributes = ["#[test]", "#[tokio::test"];
    let found = source.lines().position(|line| attributes.iter().any(|start| line.trim_start().starts_with(start)));
    found.map(|line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_ignored_and_what_is_wrong_fails() {
        let ignored = outcome(|| resume_unwind(Box::new(Missing("needs x: get x".into()))));
        assert!(matches!(ignored, Ok(Completion::Ignored { reason: Some(reason) }) if reason == "needs x: get x"));
        assert_eq!(outcome(|| panic!("{}", "wrong")).err().unwrap().message(), Some("wrong"));
        assert!(matches!(outcome(|| {}), Ok(Completion::Completed)));
    }

    #[test]
    fn a_test_with_an_attribute_is_found() {
        assert_eq!(find_lost("\nasync fn a() {}\n    #[tokio::test(flavor = \"x\")]\nasync fn b() {}\n"), Some(3));
        assert_eq!(find_lost("// Without `#[test]`.\nasync fn a() {}\n"), None);
    }
}
