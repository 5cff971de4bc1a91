use unicode_segmentation::UnicodeSegmentation;

use crate::markdown::{BlockKind, is_markdown, is_spaced, passage};
use crate::model::workspace::Passage;

/// The longest sentence that is quoted whole, in bytes.
const SENTENCE_BYTES: usize = 600;

/// A sentence as it is quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// Where a sentence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Prose,
    Heading,
    /// In a table or in code: it says little without what is around it.
    Aside,
}

/// The sentences of a passage by UAX #29, which knows 。 as well as a full stop: those that a reader of its file sees,
/// without Markdown's marks if it is Markdown. Lines that were broken within a paragraph are joined first; headings, items
/// of lists, rows of tables and lines of code end a sentence.
pub(super) fn sentences(of: &Passage) -> Vec<Sentence> {
    let mut found = Vec::new();
    if !is_markdown(&of.path) {
        paragraphs(&of.text).iter().for_each(|paragraph| take(paragraph, Kind::Prose, &mut found));
        return found;
    }
    for (kind, text) in passage(&of.text) {
        match kind {
            BlockKind::Heading(_) => take(&text, Kind::Heading, &mut found),
            BlockKind::Row => take(&text, Kind::Aside, &mut found),
            kind if kind.is_code() => text.lines().for_each(|line| take(line, Kind::Aside, &mut found)),
            _ => take(&text, Kind::Prose, &mut found),
        }
    }
    found
}

fn take(text: &str, kind: Kind, found: &mut Vec<Sentence>) {
    for sentence in text.unicode_sentences() {
        let sentence = sentence.trim();
        let text = match sentence.len() <= SENTENCE_BYTES {
            true => sentence.to_owned(),
            false => format!("{}…", &sentence[..sentence.floor_char_boundary(SENTENCE_BYTES)]),
        };
        found.push(Sentence { text, kind });
    }
}

/// The paragraphs of a text that is no Markdown: between blank lines, each item of a list by itself.
fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.split(['\n', '\r']).map(str::trim) {
        let item = ["- ", "* ", "+ ", "• "].iter().find_map(|mark| line.strip_prefix(mark)).map(str::trim_start);
        match paragraphs.last_mut() {
            Some(paragraph) if open && item.is_none() && !line.is_empty() => {
                if is_spaced(paragraph, line) {
                    paragraph.push(' ');
                }
                paragraph.push_str(line);
            }
            _ if !line.is_empty() => paragraphs.push(item.unwrap_or(line).to_owned()),
            _ => {}
        }
        open = !line.is_empty();
    }
    paragraphs
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::model::workspace::WorkspacePath;

    fn of(path: &str, text: &str) -> Vec<Sentence> {
        let path = WorkspacePath::parse(path).unwrap();
        sentences(&Passage::new(path, 0, text.len() as u64, text, 0.5))
    }

    fn texts(path: &str, text: &str) -> Vec<String> {
        of(path, text).into_iter().map(|sentence| sentence.text).collect()
    }

    #[test]
    fn sentences_end_where_they_end() {
        let text =
            "# Launch\nWe met on\nMonday. The launch is on 3 May.\n\n- Ada: slides\n* Bob: a\n  cake\n1. One\n-2 °C";
        let expected =
            ["Launch", "We met on Monday.", "The launch is on 3 May.", "Ada: slides", "Bob: a cake", "One -2 °C"];
        assert_eq!(texts("a.md", text), expected);
        let kinds: Vec<Kind> = of("a.md", text).into_iter().map(|sentence| sentence.kind).collect();
        assert!(kinds[0] == Kind::Heading && kinds[1..].iter().all(|kind| *kind == Kind::Prose), "{kinds:?}");
    }

    #[test]
    fn marks_are_not_cut_in_the_middle() {
        let text = "**Durable.** When a write\nreturns, it is [on disk](disk.md).\n\n---\n> A *quoted* line.";
        assert_eq!(texts("a.md", text), ["Durable.", "When a write returns, it is on disk.", "A quoted line."]);
    }

    #[test]
    fn a_text_that_is_no_markdown_is_quoted_as_it_stands() {
        let text = "# Vec<T> and\n**not** <!-- this -->\n\n- one\n- two\n    lines. Three";
        let expected = ["# Vec<T> and **not** <!-- this -->", "one", "two lines.", "Three"];
        assert_eq!(texts("a.txt", text), expected);
        assert_eq!(texts("conversations/2026-01-01/c/1-user", "Vec<T>"), ["Vec<T>"]);
    }

    #[test]
    fn tables_and_code_are_asides_without_their_frames() {
        let text = "Sources:\n| kind | what |\n|---|:--|\n| `KeyFile` | a **file** |\n```rust\nlet a = *b;\n```\nEnd.";
        let found = of("a.md", text);
        let shown: Vec<_> = found.iter().map(|sentence| (sentence.text.as_str(), sentence.kind)).collect();
        let (prose, aside) = (Kind::Prose, Kind::Aside);
        let expected = [
            ("Sources:", prose),
            ("kind · what", aside),
            ("KeyFile · a file", aside),
            ("let a = *b;", aside),
            ("End.", prose),
        ];
        assert_eq!(shown, expected);
        // A passage that was cut in the middle of code.
        assert!(of("a.md", "\n# a = 1;\n```").iter().all(|sentence| sentence.kind == Kind::Aside));
    }

    #[test]
    fn japanese_is_split_and_joined_without_spaces() {
        let expected = ["打ち上げは五月三日です。", "場所は東京！"];
        for path in ["a.md", "a.txt"] {
            assert_eq!(texts(path, "打ち上げは五月\n三日です。場所は東京！"), expected);
        }
    }

    #[test]
    fn a_long_sentence_is_cut_between_characters() {
        assert_eq!(texts("a.md", &"ä".repeat(1_000)), [format!("{}…", "ä".repeat(300))]);
    }
}
