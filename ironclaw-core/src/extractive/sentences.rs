use unicode_segmentation::UnicodeSegmentation;

/// The longest sentence that is quoted whole, in bytes.
const SENTENCE_BYTES: usize = 600;

/// The sentences of a text by UAX #29, which knows 。 as well as a full stop. Lines that were broken within a paragraph
/// are joined first; blank lines, headings, list items and table rows end a sentence.
pub(super) fn sentences(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for block in blocks(text) {
        for sentence in block.unicode_sentences() {
            let sentence = sentence.trim();
            if sentence.len() <= SENTENCE_BYTES {
                found.push(sentence.to_owned());
            } else {
                found.push(format!("{}…", &sentence[..sentence.floor_char_boundary(SENTENCE_BYTES)]));
            }
        }
    }
    found
}

fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines().map(str::trim) {
        let content = without_marker(line);
        let starts = content.len() < line.len() || line.starts_with('|');
        match blocks.last_mut() {
            Some(block) if open && !line.is_empty() && !starts => {
                // Scripts without spaces are joined without one.
                let spaced = block.chars().next_back().is_some_and(|c| c.is_ascii())
                    || line.chars().next().is_some_and(|c| c.is_ascii());
                if spaced {
                    block.push(' ');
                }
                block.push_str(line);
            }
            _ if !content.is_empty() => blocks.push(content.to_owned()),
            _ => {}
        }
        open = !line.is_empty() && !line.starts_with(['#', '|']);
    }
    blocks
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

    #[test]
    fn sentences_end_where_they_end() {
        let text =
            "# Launch\nWe met on\nMonday. The launch is on 3 May.\n\n- Ada: slides\n* Bob: a\n  cake\n1. One\n-2 °C";
        let found = sentences(text);
        let expected =
            ["Launch", "We met on Monday.", "The launch is on 3 May.", "Ada: slides", "Bob: a cake", "One -2 °C"];
        assert_eq!(found, expected);
    }

    #[test]
    fn japanese_is_split_and_joined_without_spaces() {
        assert_eq!(sentences("打ち上げは五月\n三日です。場所は東京！"), ["打ち上げは五月三日です。", "場所は東京！"]);
    }

    #[test]
    fn a_long_sentence_is_cut_between_characters() {
        let found = sentences(&"ä".repeat(1_000));
        assert_eq!(found, [format!("{}…", "ä".repeat(300))]);
    }
}
