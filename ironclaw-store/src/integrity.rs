//! What a check of a store's integrity looks at, on both stores: what each column may hold ([`columns`]), what must be
//! true of each row ([`rules`]), and what is told of it ([`Found`]).
//!
//! A new table needs its columns in the one list and its rules in the other; tests say which columns are missing.

use std::collections::BTreeMap;

pub(crate) mod columns;
pub(crate) mod rules;

/// How many of one kind of damage are told.
const TOLD: u64 = 10;

/// What was found wrong, in words: a bounded number of lines whatever the damage.
#[derive(Debug, Default)]
pub(crate) struct Found {
    lines: Vec<String>,
    kinds: BTreeMap<String, u64>,
}

impl Found {
    /// Notes that something is wrong: `kind` is what is said of all rows alike, `row` which one it is.
    pub(crate) fn note(&mut self, kind: impl Into<String>, row: Option<&str>) {
        let kind = kind.into();
        let line = match row {
            Some(row) => format!("{kind}: row {row}"),
            None => kind.clone(),
        };
        self.note_one(kind, line);
    }

    /// Notes something that is one of a kind: `line` is what is said of it alone.
    pub(crate) fn note_one(&mut self, kind: impl Into<String>, line: String) {
        let count = self.kinds.entry(kind.into()).or_default();
        *count += 1;
        if *count <= TOLD && !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    /// A line for each, and for each kind that was too often how many more there are.
    pub(crate) fn into_lines(self) -> Vec<String> {
        let more = self.kinds.iter().filter(|(_, count)| **count > TOLD);
        let more: Vec<String> = more.map(|(kind, count)| format!("{kind}: and {} more", count - TOLD)).collect();
        self.lines.into_iter().chain(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_kind_are_told_and_the_others_counted() {
        let mut found = Found::default();
        for row in 0..25 {
            found.note("messages.role makes no sense", Some(&row.to_string()));
        }
        found.note("secrets: its newest version is not there", Some("3"));
        let lines = found.into_lines();
        assert_eq!(lines.len(), 12);
        assert_eq!(lines[0], "messages.role makes no sense: row 0");
        assert_eq!(lines[11], "messages.role makes no sense: and 15 more");
    }
}
