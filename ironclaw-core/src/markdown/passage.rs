//! A passage, which knows nothing of the file that it was cut from.

use super::{Block, BlockKind, blocks};

/// What is seen of a passage of Markdown, in order.
///
/// One that begins with a line break was cut within code or a table. Otherwise it may still be a part of a list's item or a
/// quotation, whose lines are indented or marked.
pub(crate) fn passage(text: &str) -> Vec<(BlockKind, String)> {
    if text.starts_with(['\n', '\r']) {
        return text.lines().filter_map(line).collect();
    }
    let seen = |block: Block| (block.kind != BlockKind::Hidden).then_some((block.kind, block.text));
    blocks(&unindented(text)).into_iter().filter_map(seen).collect()
}

/// A line from the middle of code or of a table.
fn line(line: &str) -> Option<(BlockKind, String)> {
    let content = line.trim_start_matches(['>', ' ', '\t']).trim_end();
    let cells: Vec<&str> = content.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
    let (kind, text) = match content.starts_with('|') {
        true => (BlockKind::Row, cells.join(" · ")),
        false => (BlockKind::Fenced, line.trim().to_owned()),
    };
    text.chars().any(char::is_alphanumeric).then_some((kind, text))
}

/// The text without the indentation of the items, and the marks of the quotations around them, that its first lines have: by themselves they would be code. Code that is indented stands in no passage with anything else.
fn unindented(text: &str) -> String {
    /// Nobody nests deeper; a text that does is read as it is.
    const DEEPEST: usize = 32;
    let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let mut lines: Vec<&str> = text.split('\n').collect();
    for _ in 0..DEEPEST {
        let first = lines.first().copied().unwrap_or_default();
        let marks = first.len() - first.trim_start_matches(['>', ' ']).len();
        let within = indentation(first);
        if within > 0 {
            // An item within an item may end before its passage does: what comes after it is less indented.
            let mut common = within;
            for line in lines.iter_mut().take_while(|line| line.trim().is_empty() || indentation(line) > 0) {
                if !line.trim().is_empty() {
                    common = common.min(indentation(line));
                }
                *line = line.get(common..).unwrap_or_default();
            }
        } else if first[..marks].contains("  ") {
            for line in lines.iter_mut().take_while(|line| line.starts_with('>')) {
                let content = &line[1..];
                *line = content.strip_prefix(' ').unwrap_or(content);
            }
        } else {
            break;
        }
    }
    lines.join("\n")
}
