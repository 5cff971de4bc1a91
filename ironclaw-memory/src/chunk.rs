//! Cutting text into the passages that are searched.

use std::ops::Range;

use ironclaw_core::InputError;
use ironclaw_core::input::Problem;
use ironclaw_core::markdown::{self as md, is_markdown};
use ironclaw_core::model::workspace::WorkspacePath;
use text_splitter::{ChunkConfig, ChunkSizer, TextSplitter};

mod markdown;

/// How a text is structured, and so where it is best cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Paragraphs, sentences, words.
    Text,
    /// Sections, blocks, items and rows, then as text; what a reader of the page does not see is left out.
    Markdown,
}

impl Format {
    /// The format that a path's extension names: Markdown for `.md` and `.markdown`, in any case, otherwise text.
    pub fn of(path: &WorkspacePath) -> Self {
        if is_markdown(path) { Self::Markdown } else { Self::Text }
    }
}

/// Cuts text into chunks of about the same size at the best boundaries there are.
///
/// A chunk ends where a section, paragraph, sentence or word does, whichever comes near the wanted size. It is cut
/// inside a word only when the word alone is too long, and inside a grapheme cluster only when the cluster is. Chunks
/// don't overlap; what lies between them is white space, or marks and hidden text of Markdown: front matter, comments, the
/// definitions of links. The same text gives the same chunks.
///
/// ```
/// use ironclaw_memory::{Chunker, Format};
///
/// let text = "The launch is in March.\n\nThe venue is the old harbour.";
/// let chunks = Chunker::new(32)?.ranges(text, Format::Text);
/// let found: Vec<&str> = chunks.into_iter().map(|range| &text[range]).collect();
/// assert_eq!(found, ["The launch is in March.", "The venue is the old harbour."]);
/// # Ok::<(), ironclaw_core::InputError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunker {
    bytes: usize,
}

/// How many chunks' worth of text is cut at once. For each chunk the splitter looks through all of the text it was
/// given, so that its time grows with the square of what it is given: in sections it grows with the text.
const SECTION_CHUNKS: usize = 16;
/// The same for text with lines so long that they don't help in cutting, where the splitter segments words: slowest
/// for scripts without spaces.
const LINE_CHUNKS: usize = 4;

impl Chunker {
    /// The default size of a chunk, in bytes.
    pub const DEFAULT_BYTES: usize = 1_000;
    /// The least size of a chunk that can be asked for, in bytes.
    pub const MIN_BYTES: usize = 32;
    /// The largest size of a chunk that can be asked for, in bytes.
    pub const MAX_BYTES: usize = 16 << 10;

    /// A chunker that fills chunks up to `bytes`.
    ///
    /// # Errors
    /// [`Problem::OutOfRange`] unless `bytes` is [`Self::MIN_BYTES`] to [`Self::MAX_BYTES`].
    pub fn new(bytes: usize) -> Result<Self, InputError> {
        if !(Self::MIN_BYTES..=Self::MAX_BYTES).contains(&bytes) {
            return Err(InputError::new("chunk size", Problem::OutOfRange { expected: "32 to 16384 bytes" }));
        }
        Ok(Self { bytes })
    }

    /// The chunks of `text` as ranges of bytes: in order, apart, at character boundaries, none of them blank.
    ///
    /// Takes time proportional to the text; run it on a blocking thread for more than a few kilobytes.
    pub fn ranges(&self, text: &str, format: Format) -> Vec<Range<usize>> {
        match format {
            Format::Text => self.split(text, self.bytes),
            Format::Markdown => self.markdown(text, ""),
        }
    }

    /// The chunks of a first part of `text`, which goes on after `opening`, of at most `limit` bytes.
    pub(crate) fn part(&self, text: &str, limit: usize, format: Format, opening: &str) -> ChunkedPart {
        let end = if text.len() > limit { cut(text, limit) } else { text.len() };
        if format == Format::Text {
            return ChunkedPart { end, ranges: self.split(&text[..end], self.bytes), opening: String::new() };
        }
        if text.len() <= limit {
            return ChunkedPart { end, ranges: self.markdown(text, opening), opening: String::new() };
        }
        // The last block there may go on in what is not here: it is left to the next part, unless it is huge.
        let blocks = md::blocks_after(opening, text);
        let whole =
            blocks.iter().rev().find(|block| block.shared == 0 && (limit / 2..=limit).contains(&block.range.start));
        let (end, inside) = match whole {
            Some(block) => (block.range.start, None),
            None => (end, blocks.iter().find(|block| block.range.start < end && end < block.range.end)),
        };
        let (end, opening_after) = match inside.map(|block| (block, block.opening(text))) {
            // What goes on in the next part begins with the line break before it there.
            Some((block, after)) if !after.is_empty() => {
                let line = text[..end].rfind('\n').filter(|line| limit / 2 < *line).unwrap_or(end);
                // The beginning of a block that began in an earlier part is not here.
                let after = if block.range.start == 0 && !opening.is_empty() { opening } else { after };
                (line, after.to_owned())
            }
            _ => (end, String::new()),
        };
        ChunkedPart { end, ranges: self.markdown(&text[..end], opening), opening: opening_after }
    }

    fn markdown(&self, text: &str, opening: &str) -> Vec<Range<usize>> {
        markdown::ranges(text, opening, self.bytes, &|text: &str, bytes: usize| self.split(text, bytes))
    }

    /// Cuts text at paragraphs, lines, sentences and words.
    fn split(&self, text: &str, bytes: usize) -> Vec<Range<usize>> {
        let mut ranges = Vec::with_capacity(text.len() / bytes + 1);
        let splitter = TextSplitter::new(ChunkConfig::new(bytes).with_sizer(Bytes));
        let mut start = 0;
        while start < text.len() {
            let section = first_section(&text[start..], bytes);
            let chunks = splitter.chunk_indices(section).filter(|(_, chunk)| !chunk.trim().is_empty());
            ranges.extend(chunks.map(|(at, chunk)| start + at..start + at + chunk.len()));
            start += section.len();
        }
        ranges
    }
}

/// A first part of a text with its chunks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ChunkedPart {
    pub(crate) end: usize,
    pub(crate) ranges: Vec<Range<usize>>,
    /// What the rest of the text goes on after: see [`md::blocks_after`].
    pub(crate) opening: String,
}

fn first_section(text: &str, bytes: usize) -> &str {
    let first = |chunks: usize| match chunks * bytes {
        limit if limit < text.len() => &text[..cut(text, limit)],
        _ => text,
    };
    let section = first(SECTION_CHUNKS);
    let long_line = section.lines().any(|line| line.len() > LINE_CHUNKS * bytes);
    if long_line { first(LINE_CHUNKS) } else { section }
}

impl Default for Chunker {
    fn default() -> Self {
        Self { bytes: Self::DEFAULT_BYTES }
    }
}

/// Where to cut `text`, which is longer than `limit` bytes: the last paragraph, line, sentence mark, word or grapheme
/// boundary (whichever is first found in this order in the last quarter) at or before `limit`; failing all, the last
/// character boundary. Never 0 for a `limit` of at least 4.
pub(crate) fn cut(text: &str, limit: usize) -> usize {
    let limit = text.floor_char_boundary(limit);
    let from = text.floor_char_boundary(limit - limit / 4);
    let window = &text[from..limit];
    let paragraph = window.rfind("\n\n").map(|at| at + 2);
    let line = || window.rfind('\n').map(|at| at + 1);
    let sentence = || {
        let mut ends = window.char_indices().rev();
        ends.find(|(_, c)| matches!(c, '。' | '！' | '？' | '．')).map(|(at, c)| at + c.len_utf8())
    };
    let word = || window.char_indices().rev().find(|(_, c)| c.is_whitespace()).map(|(at, c)| at + c.len_utf8());
    let found = paragraph.or_else(line).or_else(sentence).or_else(word).filter(|_| from < limit);
    found.map(|at| from + at).or_else(|| grapheme_boundary(text, limit)).unwrap_or(limit)
}

/// The last grapheme cluster boundary at or before `limit`, if there is one near.
fn grapheme_boundary(text: &str, limit: usize) -> Option<usize> {
    use unicode_segmentation::GraphemeCursor;

    // Clusters are short; one that fills this much is not looked at further.
    let from = text.floor_char_boundary(limit.saturating_sub(1_024));
    let to = text.ceil_char_boundary((limit + 64).min(text.len()));
    let near = &text[from..to];
    let mut cursor = GraphemeCursor::new(limit - from, near.len(), true);
    if cursor.is_boundary(near, 0).unwrap_or(false) {
        return Some(limit);
    }
    cursor.prev_boundary(near, 0).ok().flatten().filter(|&at| at > 0).map(|at| from + at)
}

/// Chunks are measured in bytes, as ranges, parts and limits are.
struct Bytes;

impl ChunkSizer for Bytes {
    fn size(&self, chunk: &str) -> usize {
        chunk.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
