//! What the migrations made, and what protects it: the server's own description of each thing, compared with what the
//! program expects. Whoever owns the schema could change a list that is kept in it.

use std::collections::{BTreeMap, BTreeSet};

/// What was granted: what it is, how, and the number of the role that has it.
pub(super) const GRANTS: &str = include_str!("catalogue/grants.sql");

/// Everything else that the schema consists of: what it is, and how it is defined.
const DEFINITIONS: &str = include_str!("catalogue/definitions.sql");

/// What has to do with the schema and stands outside of it, of which the migrations make nothing.
const ELSEWHERE: &str = include_str!("catalogue/elsewhere.sql");

/// What [`query`] gives of a whole schema. A test makes it: see `CONTRIBUTING.md`.
const EXPECTED: &str = include_str!("catalogue/expected.txt");

/// How much is told of a definition.
const TOLD: usize = 160;

/// A thing that is not as the migrations made it.
#[derive(Debug)]
pub(super) struct Difference {
    /// What is said of all that differ in the same way.
    pub(super) kind: String,
    /// What is said of this one.
    pub(super) line: String,
}

impl Difference {
    fn new(object: &str, verdict: &str, how: &str) -> Self {
        let sort = object.split(' ').next().unwrap_or_default();
        Self { kind: format!("{sort} …: {verdict}"), line: format!("{object}: {verdict}{how}") }
    }
}

/// Everything that the schema consists of, with its definition.
pub(super) fn expected() -> impl Iterator<Item = (&'static str, &'static str)> {
    EXPECTED.lines().filter_map(|line| line.split_once(" = "))
}

/// The query that gives everything that a schema consists of, and what has to do with it.
pub(super) fn query() -> String {
    format!(
        "{DEFINITIONS} UNION ALL SELECT e.object, e.definition FROM ({ELSEWHERE}) e \
         UNION ALL SELECT g.object, g.definition FROM ({GRANTS}) g ORDER BY 1, 2"
    )
}

/// How a schema differs from what the migrations made, in words.
pub(super) fn differences(found: &[(String, String)]) -> Vec<Difference> {
    let expected: BTreeMap<_, _> = expected().collect();
    let there: BTreeSet<&str> = found.iter().map(|(object, _)| object.as_str()).collect();
    let wrong = found.iter().filter_map(|(object, definition)| match expected.get(object.as_str()) {
        Some(made) if made == definition => None,
        Some(made) => {
            let how = format!(": {}", change(definition, made));
            Some(Difference::new(object, "it was changed since the migrations made it", &how))
        }
        None if definition.is_empty() => Some(Difference::new(object, "no migration made it", "")),
        None => Some(Difference::new(object, "no migration made it", &format!(" ({})", shortened(definition)))),
    });
    let missing = expected.keys().filter(|object| !there.contains(*object));
    wrong.chain(missing.map(|object| Difference::new(object, "it is missing", ""))).collect()
}

/// Whether somebody else may decide what is done when this table is read: it is none that the migrations made, or it, its
/// policies or its rules are not as they were.
pub(super) fn is_anothers(table: &str, differences: &[Difference]) -> bool {
    let own = format!("table {table}:");
    let parts = ["policy", "rule"].map(|part| format!("{part} {table}."));
    differences
        .iter()
        .any(|Difference { line, .. }| line.starts_with(&own) || parts.iter().any(|part| line.starts_with(part)))
}

/// What a definition says otherwise than it did.
fn change(found: &str, made: &str) -> String {
    let ((found, found_body), (made, made_body)) = (apart(found), apart(made));
    let (found, made) = (words(found), words(made));
    let alike = |(one, other): &(&&str, &&str)| one == other;
    let before = found.iter().zip(&made).take_while(alike).count();
    let (found, made) = (&found[before..], &made[before..]);
    let after = found.iter().rev().zip(made.iter().rev()).take_while(alike).count();
    let text = |words: &[&str]| shortened(words.join(" ").replace(" , ", ", ").trim_matches([',', ' ']));
    let (found, made) = (text(&found[..found.len() - after]), text(&made[..made.len() - after]));
    let said = match (found.is_empty(), made.is_empty()) {
        (true, true) => None,
        (true, false) => Some(format!("it does not say \"{made}\" any more")),
        (false, true) => Some(format!("it says \"{found}\" besides")),
        (false, false) => Some(format!("it says \"{found}\" instead of \"{made}\"")),
    };
    let body = (found_body != made_body).then(|| "its body is another".to_owned());
    said.into_iter().chain(body).collect::<Vec<_>>().join(", and ")
}

/// A definition without the hash of a function's body, which tells nobody anything, and that.
fn apart(definition: &str) -> (&str, Option<&str>) {
    match definition.rsplit_once(", body ") {
        Some((rest, body)) => (rest, Some(body)),
        None => (definition, None),
    }
}

/// The words of a text, and the commas between them.
fn words(text: &str) -> Vec<&str> {
    text.split(' ')
        .flat_map(|word| match word.strip_suffix(',') {
            Some(word) => [word, ","],
            None => [word, ""],
        })
        .filter(|word| !word.is_empty())
        .collect()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TOLD) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_and_nothing_else() {
        let body = |hash: &str| format!("owner o, kind f, arguments a integer, b text, body {hash}");
        for (found, made, said) in [
            (
                "owner o, kind r, forced",
                "owner o, kind r, row security, forced",
                "it does not say \"row security\" any more",
            ),
            ("owner o, kind r", "owner o, kind r, forced", "it does not say \"forced\" any more"),
            ("with grant option", "", "it says \"with grant option\" besides"),
            ("owner eve, kind r", "owner o, kind r", "it says \"eve\" instead of \"o\""),
            (&body("1"), &body("2"), "its body is another"),
            (
                "owner o, kind f, RETURN 1",
                &body("2"),
                "it says \"RETURN 1\" instead of \"arguments a integer, b text\", and its body is another",
            ),
            (&"x".repeat(300), "y", &format!("it says \"{}…\" instead of \"y\"", "x".repeat(TOLD))),
        ] {
            assert_eq!(change(found, made), said);
        }
    }
}
