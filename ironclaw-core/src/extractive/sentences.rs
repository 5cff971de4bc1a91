use unicode_segmentation::UnicodeSegmentation;

use super::markdown::{is_fence, is_rule, plain, row};

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

/// A paragraph, an item of a list, a heading, a row of a table or a line of code.
struct Block {
    text: String,
    kind: Kind,
}

/// The sentences of a text by UAX #29, which knows 。 as well as a full stop, without Markdown's marks. Lines that were
/// broken within a paragraph are joined first; blank lines, headings, list items and table rows end a sentence.
pub(super) fn sentences(text: &str) -> Vec<Sentence> {
    let mut found = Vec::new();
    for Block { text, kind } in blocks(text) {
        let text = match kind {
            Kind::Aside => text,
            _ => plain(&text),
        };
        for sentence in text.unicode_sentences() {
            let sentence = sentence.trim();
            let text = match sentence.len() <= SENTENCE_BYTES {
                true => sentence.to_owned(),
                false => format!("{}…", &sentence[..sentence.floor_char_boundary(SENTENCE_BYTES)]),
            };
            found.push(Sentence { text, kind });
        }
    }
    found
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    let mut code = begins_in_code(text);
    for line in text.lines().map(str::trim) {
        if is_fence(line) {
            // What names a language opens code, even if the fence that closed what was before is not there.
            code = !code || line.len() > 3;
            open = false;
            continue;
        }
        if code || line.starts_with('|') {
            let text = if code { line.to_owned() } else { row(line) };
            if text.chars().any(char::is_alphanumeric) {
                blocks.push(Block { text, kind: Kind::Aside });
            }
            open = false;
            continue;
        }
        let content = if is_rule(line) { "" } else { without_marker(line) };
        let heading = is_heading(line);
        let starts = content.len() < line.len();
        match blocks.last_mut() {
            Some(Block { text: block, .. }) if open && !content.is_empty() && !starts => {
                // Scripts without spaces are joined without one.
                let spaced = block.chars().next_back().is_some_and(|c| c.is_ascii())
                    || line.chars().next().is_some_and(|c| c.is_ascii());
                if spaced {
                    block.push(' ');
                }
                block.push_str(line);
            }
            _ if !content.is_empty() => {
                let kind = if heading { Kind::Heading } else { Kind::Prose };
                blocks.push(Block { text: content.to_owned(), kind });
            }
            _ => {}
        }
        open = !content.is_empty() && !heading;
    }
    blocks
}

fn is_heading(line: &str) -> bool {
    line.starts_with('#') && line.trim_start_matches('#').starts_with(' ')
}

/// Whether a passage was cut out of the middle of code: its first fence closes what nothing opened.
fn begins_in_code(text: &str) -> bool {
    let mut fences = text.lines().map(str::trim).filter(|line| is_fence(line));
    let bare = fences.next().is_some_and(|fence| fence.len() == 3);
    bare && fences.count() % 2 == 0 && !text.trim_start().starts_with(['`', '#'])
}

/// A line without what marks it as a heading, a quotation or an item of a list: `# x`, `> x`, `- x`, `1. x`.
fn without_marker(line: &str) -> &str {
    let after_number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let unmarked = match after_number.len() < line.len() {
        true => after_number.strip_prefix([')', '.']),
        false if line.starts_with(['#', '>']) => Some(line.trim_start_matches(['#', '>', ' '])),
        false => line.strip_prefix(['-', '*', '+']),
    };
    match unmarked {
        Some(rest) if rest.is_empty() || rest.starts_with(' ') || line.starts_with(['#', '>']) => rest.trim_start(),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        sentences(text).into_iter().map(|sentence| sentence.text).collect()
    }

    #[test]
    fn sentences_end_where_they_end() {
        let text =
            "# Launch\nWe met on\nMonday. The launch is on 3 May.\n\n- Ada: slides\n* Bob: a\n  cake\n1. One\n-2 °C";
        let expected =
            ["Launch", "We met on Monday.", "The launch is on 3 May.", "Ada: slides", "Bob: a cake", "One -2 °C"];
        assert_eq!(texts(text), expected);
        assert_eq!(sentences(text)[0].kind, Kind::Heading);
        assert!(sentences(text)[1..].iter().all(|sentence| sentence.kind == Kind::Prose));
    }

    #[test]
    fn marks_are_not_cut_in_the_middle() {
        let text = "**Durable.** When a write\nreturns, it is [on disk](disk.md).\n\n---\n> A *quoted* line.";
        assert_eq!(texts(text), ["Durable.", "When a write returns, it is on disk.", "A quoted line."]);
    }

    #[test]
    fn tables_and_code_are_asides_without_their_frames() {
        let text = "Sources:\n| kind | what |\n|---|:--|\n| `KeyFile` | a **file** |\n```rust\nlet a = *b;\n```\nEnd.";
        let found = sentences(text);
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
        // A passage that begins in the middle of code.
        assert_eq!(sentences("let a = 1;\n```\nEnd.")[0].kind, Kind::Aside);
        assert_eq!(sentences("let a = 1;\n```\nEnd.")[1].kind, Kind::Prose);
    }

    #[test]
    fn japanese_is_split_and_joined_without_spaces() {
        assert_eq!(texts("打ち上げは五月\n三日です。場所は東京！"), ["打ち上げは五月三日です。", "場所は東京！"]);
    }

    #[test]
    fn a_long_sentence_is_cut_between_characters() {
        assert_eq!(texts(&"ä".repeat(1_000)), [format!("{}…", "ä".repeat(300))]);
    }
}
