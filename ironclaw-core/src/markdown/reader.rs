//! From the parser's events to blocks.

use std::ops::Range;

use pulldown_cmark::{BrokenLink, CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::html::pieces;
use super::{Block, BlockKind};

/// What of a text is Markdown.
const OPTIONS: Options = Options::ENABLE_TABLES
    .union(Options::ENABLE_FOOTNOTES)
    .union(Options::ENABLE_STRIKETHROUGH)
    .union(Options::ENABLE_TASKLISTS)
    .union(Options::ENABLE_GFM);
/// What stands between the cells of a row.
const CELLS: &str = " · ";

pub(super) fn read(text: &str) -> Vec<Block> {
    let start = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut reader = Reader { text, blocks: Vec::new(), open: None, depth: 0, shared: 0, hidden_until: 0 };
    let body = start + front_matter(&text[start..]);
    if body > start {
        reader.push(start..body, BlockKind::Hidden, String::new());
    }
    // A passage may name a link whose definition stands elsewhere in its file: `[text][name]`. A lone `[1]` stays.
    let mut elsewhere = |link: BrokenLink<'_>| match link.link_type {
        LinkType::Shortcut => None,
        _ => Some((CowStr::Borrowed(""), CowStr::Borrowed(""))),
    };
    let parser = Parser::new_with_broken_link_callback(&text[body..], OPTIONS, Some(&mut elsewhere));
    for (event, range) in parser.into_offset_iter() {
        reader.take(event, body + range.start..body + range.end);
    }
    reader.close();
    reader.gap(text.len());
    reader.blocks
}

/// How long the front matter at the beginning is; 0 if there is none. Further on in a text there is none.
fn front_matter(text: &str) -> usize {
    if !text.starts_with("---") && !text.starts_with("+++") {
        return 0;
    }
    let options = Options::ENABLE_YAML_STYLE_METADATA_BLOCKS | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    match Parser::new_ext(text, options).into_offset_iter().next() {
        Some((Event::Start(Tag::MetadataBlock(_)), range)) => range.end,
        _ => 0,
    }
}

struct Reader<'t> {
    text: &'t str,
    blocks: Vec<Block>,
    open: Option<Open>,
    /// How many containers are open, and how many of them were at every moment since the last block.
    depth: usize,
    shared: usize,
    /// Where a comment ends that was opened in a block of HTML and not closed in it.
    hidden_until: usize,
}

/// A block on the way.
struct Open {
    range: Range<usize>,
    kind: Kind,
    text: String,
    /// What comes between the text so far and the next of it.
    gap: Gap,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Block(BlockKind),
    Html,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    None,
    Line,
    Cell,
}

impl Reader<'_> {
    fn take(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(&tag, range),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.inline(range).push(&text);
            }
            Event::SoftBreak | Event::HardBreak => self.inline(range).gap = Gap::Line,
            Event::InlineHtml(html) => {
                let is_break = html.get(..3).is_some_and(|tag| tag.eq_ignore_ascii_case("<br"));
                let open = self.inline(range);
                if is_break {
                    open.gap = Gap::Line;
                }
            }
            Event::FootnoteReference(_) | Event::TaskListMarker(_) => {
                self.inline(range);
            }
            // Of a block of HTML its source is read, when it ends.
            Event::Html(_) => {}
            Event::Rule => self.close(),
        }
    }

    fn start(&mut self, tag: &Tag<'_>, range: Range<usize>) {
        let kind = match tag {
            Tag::Paragraph => Kind::Block(BlockKind::Paragraph),
            Tag::Heading { level, .. } => Kind::Block(BlockKind::Heading(*level as u8)),
            Tag::CodeBlock(CodeBlockKind::Fenced(_)) => Kind::Block(BlockKind::Fenced),
            Tag::CodeBlock(CodeBlockKind::Indented) => Kind::Block(BlockKind::Indented),
            Tag::TableHead | Tag::TableRow => Kind::Block(BlockKind::Row),
            Tag::HtmlBlock => Kind::Html,
            Tag::TableCell => {
                if let Some(open) = &mut self.open {
                    open.gap = Gap::Cell;
                }
                return;
            }
            Tag::Emphasis | Tag::Strong | Tag::Strikethrough | Tag::Superscript | Tag::Subscript => {
                self.inline(range);
                return;
            }
            Tag::Link { .. } | Tag::Image { .. } => {
                self.inline(range);
                return;
            }
            _ => {
                self.close();
                self.depth += 1;
                return;
            }
        };
        self.close();
        self.open = Some(Open { range, kind, text: String::new(), gap: Gap::None });
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Superscript | TagEnd::Subscript => {}
            TagEnd::Link | TagEnd::Image | TagEnd::TableCell => {}
            TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::CodeBlock | TagEnd::HtmlBlock => self.close(),
            TagEnd::TableHead | TagEnd::TableRow => self.close(),
            _ => {
                self.close();
                self.depth = self.depth.saturating_sub(1);
                self.shared = self.shared.min(self.depth);
            }
        }
    }

    /// The block that holds this part of a line: an item of a list may hold text without a paragraph.
    fn inline(&mut self, range: Range<usize>) -> &mut Open {
        let open = self.open.get_or_insert_with(|| Open {
            range: range.clone(),
            kind: Kind::Block(BlockKind::Paragraph),
            text: String::new(),
            gap: Gap::None,
        });
        open.range.end = open.range.end.max(range.end);
        open
    }

    fn close(&mut self) {
        let Some(Open { range, kind, text, .. }) = self.open.take() else { return };
        let end = range.start + self.text[range.clone()].trim_end().len();
        let before = self.last();
        let start = range.start.max(before);
        let line = self.text[before..start].rfind(['\n', '\r']).map_or(before, |at| before + at + 1);
        self.gap(line);
        let end = end.max(start);
        let range = line..end;
        // A paragraph of spaces that Markdown takes for text.
        if range.is_empty() {
            return;
        }
        match kind {
            Kind::Block(_) if range.start < self.hidden_until => self.push(range, BlockKind::Hidden, String::new()),
            Kind::Block(kind) if kind.is_code() => self.push(range, kind, text.trim_end().to_owned()),
            Kind::Block(kind) => self.push(range, kind, text.trim().to_owned()),
            Kind::Html => self.html(start..end),
        }
    }

    fn html(&mut self, range: Range<usize>) {
        let (pieces, open) = pieces(&self.text[range.clone()]);
        for piece in pieces {
            let piece_range = range.start + piece.range.start..range.start + piece.range.end;
            if self.text[piece_range.clone()].trim().is_empty() {
                continue;
            }
            let hidden = piece.hidden || piece_range.start < self.hidden_until;
            let (kind, text) = match hidden {
                true => (BlockKind::Hidden, String::new()),
                false => (BlockKind::Paragraph, piece.text),
            };
            self.push(piece_range, kind, text);
        }
        // A browser goes on to the end of the comment, whatever Markdown makes of what is in it.
        if open && let Some(end) = self.text[range.end..].find("-->") {
            self.hidden_until = range.end + end;
        }
    }

    /// Notes what the parser said nothing of, from the last block to `end`, if it is more than marks: definitions of links.
    fn gap(&mut self, end: usize) {
        let start = self.last();
        let gap = &self.text[start..end.max(start)];
        let defines = |line: &str| {
            let line = line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '>' | '-' | '*' | '+'));
            line.starts_with('[') && line.contains("]:")
        };
        if gap.split(['\n', '\r']).any(defines) {
            let from = start + gap.len() - gap.trim_start().len();
            let (to, shared) = (start + gap.trim_end().len(), self.shared);
            self.push(from..to, BlockKind::Hidden, String::new());
            self.shared = shared;
        }
    }

    fn push(&mut self, range: Range<usize>, kind: BlockKind, text: String) {
        self.blocks.push(Block { range, kind, text, shared: self.shared });
        self.shared = self.depth;
    }

    /// Where the last block ends.
    fn last(&self) -> usize {
        self.blocks.last().map_or(0, |block| block.range.end)
    }
}

impl Open {
    fn push(&mut self, text: &str) {
        match std::mem::replace(&mut self.gap, Gap::None) {
            Gap::Cell if !self.text.is_empty() => self.text.push_str(CELLS),
            Gap::Line if is_spaced(&self.text, text) => self.text.push(' '),
            _ => {}
        }
        self.text.push_str(text);
    }
}

/// Whether a line break between these two is a space: scripts without spaces are joined without one.
pub(crate) fn is_spaced(before: &str, after: &str) -> bool {
    let unspaced = |c: Option<char>| {
        c.is_some_and(|c| {
            matches!(u32::from(c),
                0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF // Thai, Lao, Myanmar, Khmer
                | 0x3000..=0x30FF | 0x31F0..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF
                | 0xFF00..=0xFFEF | 0x20000..=0x323AF)
        })
    };
    !(unspaced(before.chars().next_back()) && unspaced(after.chars().next()))
}
