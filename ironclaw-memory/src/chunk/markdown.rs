//! Where Markdown is cut: between sections, then blocks, then items and rows, then lines and sentences.

use std::ops::Range;

use ironclaw_core::markdown::{Block, BlockKind, blocks_after};

/// How well a text is cut before a block: headings by their level, 1 to 6, then from here on by what it shares with the
/// block before it. Smaller is better.
const BLOCKS: usize = 7;
/// Deeper nesting is all the same.
const DEEPEST: usize = 16;
/// What follows a heading stays with it if anything else can be cut.
const AFTER_HEADING: usize = BLOCKS + DEEPEST + 1;

/// Cuts the blocks of `text`, which goes on after `opening`, into chunks of at most `bytes` bytes. `split` cuts what no
/// block boundary cuts, into ranges from its start on.
///
/// What is hidden is in no chunk, unless it stands in the middle of a line that is not. A chunk that was cut out of the
/// middle of code or of a table begins with the line break before it, by which a reader of it alone knows.
pub(super) fn ranges(
    text: &str,
    opening: &str,
    bytes: usize,
    split: &impl Fn(&str, usize) -> Vec<Range<usize>>,
) -> Vec<Range<usize>> {
    let blocks = blocks_after(opening, text);
    let mut cutter = Cutter { text, bytes, split, chunks: Vec::new() };
    for shown in blocks.split(|block| block.kind == BlockKind::Hidden) {
        let units: Vec<Unit<'_>> =
            shown.iter().enumerate().map(|(at, block)| Unit::new(text, shown, at, block)).collect();
        cutter.pack(&units);
    }
    cutter.chunks
}

/// A block as it is cut.
struct Unit<'a> {
    block: &'a Block,
    /// Where a chunk starts that begins with it.
    start: usize,
    /// How well the text is cut before it.
    rank: usize,
}

impl<'a> Unit<'a> {
    fn new(text: &str, blocks: &'a [Block], at: usize, block: &'a Block) -> Self {
        let before = at.checked_sub(1).map(|before| &blocks[before]);
        let kind = before.map(|before| before.kind);
        let rank = match (kind, block.kind) {
            (Some(BlockKind::Heading(_)), _) => AFTER_HEADING,
            (_, BlockKind::Heading(level)) if block.shared == 0 => usize::from(level),
            _ => BLOCKS + block.shared.min(DEEPEST),
        };
        let goes_on = match (before, block.kind) {
            (Some(before), BlockKind::Row) => {
                let between = &text[before.range.end..block.range.start];
                let mut lines: Vec<&str> = between.split('\n').skip(1).collect();
                lines.pop();
                let is_blank = |line: &&str| line.trim_matches(['>', ' ', '\t', '\r']).is_empty();
                // Another table stands after a blank line.
                before.kind == BlockKind::Row && !lines.iter().any(is_blank)
            }
            (_, kind) => kind == BlockKind::Indented,
        };
        let line_break = goes_on && text[..block.range.start].ends_with('\n');
        Self { block, start: block.range.start - usize::from(line_break), rank }
    }
}

struct Cutter<'t, S> {
    text: &'t str,
    bytes: usize,
    split: &'t S,
    chunks: Vec<Range<usize>>,
}

impl<S: Fn(&str, usize) -> Vec<Range<usize>>> Cutter<'_, S> {
    /// Cuts at the best boundaries there are, and puts together what still fits.
    fn pack(&mut self, units: &[Unit<'_>]) {
        let (Some(first), Some(last)) = (units.first(), units.last()) else { return };
        let end = last.block.range.end;
        // What stands with other blocks is told from paragraphs by what is around it.
        let all = |kind| units.iter().all(|unit| unit.block.kind == kind);
        let alone = all(BlockKind::Indented) || all(BlockKind::Row);
        let start = if alone { first.start } else { first.block.range.start };
        let indented = units.iter().take_while(|unit| unit.block.kind == BlockKind::Indented).count();
        if indented > 0 && indented < units.len() {
            // A passage that begins with it would be taken for a part of an item.
            self.pack(&units[..indented]);
            self.pack(&units[indented..]);
            return;
        }
        if end - start <= self.bytes {
            if units.iter().any(|unit| !unit.block.text.is_empty()) {
                self.chunks.push(start..end);
            }
            return;
        }
        let rank = units[1..].iter().map(|unit| unit.rank).min();
        match rank {
            None => self.cut(first.start, first.block),
            Some(AFTER_HEADING) => self.headed(units),
            Some(rank) => {
                let mut from = 0;
                let mut groups = vec![0];
                groups.extend((1..units.len()).filter(|&at| units[at].rank == rank));
                groups.push(units.len());
                for ends in groups.windows(2) {
                    // Would what was gathered so far still fit with this group?
                    if from < ends[0] && units[ends[1] - 1].block.range.end - units[from].start > self.bytes {
                        self.pack(&units[from..ends[0]]);
                        from = ends[0];
                    }
                }
                self.pack(&units[from..]);
            }
        }
    }

    /// Headings and one block that is too long with them: its first piece takes them along, if it can.
    fn headed(&mut self, units: &[Unit<'_>]) {
        let Some((last, headings)) = units.split_last() else { return };
        let (start, all, before) = (units[0].block.range.start, self.bytes, self.chunks.len());
        let lead = last.block.range.start - start;
        if lead * 2 <= all {
            self.bytes -= lead;
        }
        self.cut(last.block.range.start, last.block);
        self.bytes = all;
        match self.chunks.get_mut(before) {
            Some(first) if first.end - start <= all => first.start = start,
            _ => {
                let pieces = self.chunks.split_off(before);
                headings.iter().for_each(|heading| self.pack(std::slice::from_ref(heading)));
                self.chunks.extend(pieces);
            }
        }
    }

    /// Cuts a block that is too long.
    fn cut(&mut self, start: usize, block: &Block) {
        if block.text.is_empty() {
            return;
        }
        let range = start..block.range.end;
        match block.kind.is_code() {
            true => self.lines(range),
            false => self.anywhere(range),
        }
    }

    /// Cuts code at its lines; each piece but the first begins with the line break before it.
    fn lines(&mut self, range: Range<usize>) {
        let mut from = range.start;
        while range.end - from > self.bytes {
            let most = self.text.floor_char_boundary(from + self.bytes);
            let next = self.text.ceil_char_boundary(from + 1);
            // A line that does not fit is cut anywhere.
            let line = || self.text[next..range.end].find('\n').map_or(range.end, |at| next + at);
            match self.text[next..most].rfind('\n').map(|at| next + at) {
                Some(at) => {
                    self.keep(from..at);
                    from = at;
                }
                None => {
                    let end = line();
                    self.anywhere(from..end);
                    from = end;
                }
            }
        }
        self.keep(from..range.end);
    }

    fn anywhere(&mut self, range: Range<usize>) {
        for piece in (self.split)(&self.text[range.clone()], self.bytes) {
            self.keep(range.start + piece.start..range.start + piece.end);
        }
    }

    fn keep(&mut self, range: Range<usize>) {
        if !self.text[range.clone()].trim().is_empty() {
            self.chunks.push(range);
        }
    }
}
