//! A passage, which knows nothing of the file that it was cut from.

use super::{Block, BlockKind, blocks};

/// What is seen of a passage of Markdown, in order.
///
/// One that begins with a line break was cut within code or a table. Otherwise it may still be a part of a list's item or a
/// quotation, all lines of which are indented or marked.
pub(crate) fn passage(text: &str) -> Vec<(BlockKind, String)> {
    if text.starts_with(['\n', '\r']) {
        return text.lines().filter_map(line).collect();
    }
    let seen = |block: Block| (block.kind != BlockKind::Hidden).then_some((block.kind, block.text));
    let unindented = unindented(text);
    blocks(unindented.as_deref().unwrap_or(text)).into_iter().filter_map(seen).collect()
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

/// The text without what all its lines begin with: the marks of quotations and the indentation of items around it.
fn unindented(text: &str) -> Option<String> {
    /// Nobody nests deeper; a text that does is read as it is.
    const DEEPEST: usize = 32;
    let blank = |line: &&str| line.trim().is_empty();
    let mut lines: Vec<&str> = text.split('\n').collect();
    for _ in 0..DEEPEST {
        let indented = |line: &&str| line.len() - line.trim_start_matches(' ').len();
        let least = lines.iter().filter(|line| !blank(line)).map(indented).min()?;
        if least > 0 {
            lines.iter_mut().for_each(|line| *line = line.get(least..).unwrap_or_default());
        } else if lines.iter().all(|line| line.starts_with('>') || blank(&line)) {
            let unmarked =
                |line: &str| line.len() - line.strip_prefix("> ").or(line.strip_prefix('>')).unwrap_or(line).len();
            lines.iter_mut().for_each(|line| *line = &line[unmarked(line)..]);
        } else {
            break;
        }
    }
    Some(lines.join("\n"))
}
