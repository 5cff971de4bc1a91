//! Markdown as its reader sees it: one reading of it, by which files are cut into passages and passages are quoted.
//!
//! What is Markdown is what `pulldown-cmark` says: CommonMark with GitHub's tables, footnotes, task lists, alerts and
//! struck-out text. Front matter at the head of a file (YAML between `---`, TOML between `+++`) is metadata and no text.

use std::ops::Range;

use crate::model::workspace::WorkspacePath;

mod html;
mod passage;
mod reader;

pub(crate) use passage::passage;
pub(crate) use reader::is_spaced;

/// Whether a file holds Markdown: by its extension, `.md` or `.markdown`, in any case.
pub fn is_markdown(path: &WorkspacePath) -> bool {
    let name = path.as_str().rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case("md") || end.eq_ignore_ascii_case("markdown"))
}

/// A part of a Markdown text that holds no other: a heading, a paragraph (also that of a list's item or of a quotation), a
/// row of a table, a block of code, or something that is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Block {
    /// Its bytes in the text, from the start of its first line (with the marks of lists and quotations around it) to the
    /// end of its last one, without the line break.
    pub range: Range<usize>,
    /// What it is.
    pub kind: BlockKind,
    /// What its reader sees of it, without marks, tags and comments; lines that were broken within a paragraph are joined,
    /// and those of code are not. Empty where there is nothing to see, as in the tags of an image alone.
    pub text: String,
    /// How many lists, items, quotations and tables hold both this block and the one before it.
    pub shared: usize,
}

/// What a [`Block`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockKind {
    /// A heading of this level, 1 to 6.
    Heading(u8),
    /// A paragraph, or the text of an HTML block.
    Paragraph,
    /// A row of a table, its head included; the cells are set apart by ` · `.
    Row,
    /// A block of code between fences, the fences included.
    Fenced,
    /// A block of code that is indented.
    Indented,
    /// What no reader of the page sees: front matter, a comment, the definitions of links, a script or style sheet.
    Hidden,
}

impl BlockKind {
    /// Whether it is a block of code.
    pub fn is_code(self) -> bool {
        matches!(self, Self::Fenced | Self::Indented)
    }
}

impl Block {
    /// What must stand before the rest of `text`, the text that this is a block of, to read it as what it is if it is cut
    /// within this block; empty if it may be cut anywhere.
    pub fn opening<'t>(&self, text: &'t str) -> &'t str {
        /// No fence, tag or comment needs more to be known.
        const OPENING_BYTES: usize = 256;
        match self.kind {
            BlockKind::Fenced | BlockKind::Hidden => {
                let line = text[self.range.clone()].trim_start().split(['\n', '\r']).next().unwrap_or_default();
                &line[..line.floor_char_boundary(OPENING_BYTES)]
            }
            _ => "",
        }
    }
}

/// The blocks of a text in order: apart, at character boundaries, those that are hidden included. What lies between them
/// is white space and marks: rules, empty items.
///
/// ```
/// use ironclaw_core::markdown::{BlockKind, blocks};
///
/// let text = "# Vault\n\n<!-- not shown -->\n\n> Only two\n> *keepers* open it.\n";
/// let blocks = blocks(text);
/// let shown: Vec<(BlockKind, &str)> = blocks.iter().map(|block| (block.kind, block.text.as_str())).collect();
/// assert_eq!(shown[0], (BlockKind::Heading(1), "Vault"));
/// assert_eq!(shown[1], (BlockKind::Hidden, ""));
/// assert_eq!(shown[2], (BlockKind::Paragraph, "Only two keepers open it."));
/// assert_eq!(&text[blocks[2].range.clone()], "> Only two\n> *keepers* open it.");
/// ```
pub fn blocks(text: &str) -> Vec<Block> {
    reader::read(text)
}

/// The blocks of the rest of a text that was cut within a block: `opening` is that block's [`Block::opening`], or empty.
pub fn blocks_after(opening: &str, text: &str) -> Vec<Block> {
    if opening.is_empty() {
        return blocks(text);
    }
    let line_break = if text.starts_with(['\n', '\r']) { "" } else { "\n" };
    let shift = opening.len() + line_break.len();
    let moved = |mut block: Block| {
        let Range { start, end } = block.range;
        block.range = start.saturating_sub(shift)..end.saturating_sub(shift);
        (!block.range.is_empty()).then_some(block)
    };
    blocks(&[opening, line_break, text].concat()).into_iter().filter_map(moved).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
