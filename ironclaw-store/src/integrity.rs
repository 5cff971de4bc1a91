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
        let (kind, line) = (on_one_line(&kind.into()), on_one_line(&line));
        let count = self.kinds.entry(kind).or_default();
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

/// A text as it is, but for what would begin a line, or have a terminal show another: names are whatever somebody chose.
fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                line.extend(letter.escape_unicode());
            }
            letter if letter.is_control() => line.extend(letter.escape_default()),
            letter => line.push(letter),
        }
    }
    line
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

    #[test]
    fn a_name_makes_no_lines_of_its_own() {
        let mut found = Found::default();
        found.note_one("a\n…: no migration made it", "view \"a\n0 findings\\\u{1b}[2J\u{202e}é\"".to_owned());
        assert_eq!(found.into_lines(), ["view \"a\\n0 findings\\\\u{1b}[2J\\u{202e}é\""]);
        let mut found = Found::default();
        (0..=TOLD).for_each(|row| found.note("a\nb", Some(&row.to_string())));
        assert!(found.into_lines().iter().all(|line| line.starts_with("a\\nb: ")));
    }
}
