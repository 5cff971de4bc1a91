//! What the migrations made, and what protects it: the server's own description of each thing, compared with what the
//! program expects. Whoever owns the schema could change a list that is kept in it.

use std::collections::{BTreeMap, BTreeSet};

/// What was granted: what it is, how, and the number of the role that has it.
pub(super) const GRANTS: &str = include_str!("catalogue/grants.sql");

/// Everything else: what it is, and how it is defined.
const DEFINITIONS: &str = include_str!("catalogue/definitions.sql");

/// What [`query`] gives of a whole schema. A test makes it: see `CONTRIBUTING.md`.
const EXPECTED: &str = include_str!("catalogue/expected.txt");

/// Everything that the schema consists of, with its definition.
pub(super) fn expected() -> impl Iterator<Item = (&'static str, &'static str)> {
    EXPECTED.lines().filter_map(|line| line.split_once(" = "))
}

/// The query that gives everything that a schema consists of.
pub(super) fn query() -> String {
    format!("{DEFINITIONS} UNION ALL SELECT g.object, g.definition FROM ({GRANTS}) g ORDER BY 1, 2")
}

/// How a schema differs from what the migrations made, in words.
pub(super) fn differences(found: &[(String, String)]) -> Vec<String> {
    let expected: BTreeMap<_, _> = expected().collect();
    let there: BTreeSet<&str> = found.iter().map(|(object, _)| object.as_str()).collect();
    let wrong = found.iter().filter_map(|(object, definition)| match expected.get(object.as_str()) {
        Some(made) if made == definition => None,
        Some(_) => Some(format!("{object}: it was changed since the migrations made it")),
        None => Some(format!("{object}: no migration made it")),
    });
    let missing = expected.keys().filter(|object| !there.contains(*object));
    wrong.chain(missing.map(|object| format!("{object}: it is missing"))).collect()
}

/// Whether somebody else may decide what is done when this table is read: it is none that the migrations made, or it, its
/// policies or its rules are not as they were.
pub(super) fn is_anothers(table: &str, differences: &[String]) -> bool {
    let own = format!("table {table}:");
    let parts = ["policy", "rule"].map(|part| format!("{part} {table}."));
    differences.iter().any(|line| line.starts_with(&own) || parts.iter().any(|part| line.starts_with(part)))
}
