//! What is written to and read from `chunk_terms`: for each term of a part, a block with its postings.
//!
//! A block is a sequence of unsigned LEB128 numbers: the version, the first chunk's number, how many postings follow,
//! and for each its distance from the chunk before (0 for the first), how often the term occurs in the chunk, and the
//! chunk's length in terms. Blocks can be strung together, so that one row of SQL brings all blocks of a term: a row
//! for each posting takes several times as long.

use std::collections::{BTreeMap, BTreeSet};

use ironclaw_core::search::Terms;

/// The block of each term of a part, ordered by term: its chunks have these numbers and terms.
pub(crate) fn blocks<'a>(version_no: u64, chunk_nos: &[u64], chunks: &'a [Terms]) -> Vec<(&'a str, Vec<u8>)> {
    let mut terms: BTreeMap<&str, Vec<Posting>> = BTreeMap::new();
    for (&chunk_no, chunk) in chunk_nos.iter().zip(chunks) {
        for (term, &frequency) in &chunk.counts {
            terms.entry(term).or_default().push(Posting { chunk_no, frequency, length: chunk.length });
        }
    }
    terms.into_iter().map(|(term, postings)| (term, encode(version_no, &postings))).collect()
}

/// The terms of a part's chunks, each once, in order.
pub(crate) fn distinct(chunks: &[Terms]) -> BTreeSet<&str> {
    chunks.iter().flat_map(|chunk| chunk.counts.keys().map(String::as_str)).collect()
}

/// One posting of a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posting {
    pub(crate) chunk_no: u64,
    pub(crate) frequency: u32,
    pub(crate) length: u32,
}

/// The block of one term: `postings` in the order of chunk numbers.
fn encode(version_no: u64, postings: &[Posting]) -> Vec<u8> {
    let mut block = Vec::with_capacity(8 + 4 * postings.len());
    let mut last = postings.first().map_or(0, |posting| posting.chunk_no);
    for number in [version_no, last, postings.len() as u64] {
        put(&mut block, number);
    }
    for posting in postings {
        put(&mut block, posting.chunk_no.saturating_sub(last));
        put(&mut block, posting.frequency.into());
        put(&mut block, posting.length.into());
        last = posting.chunk_no;
    }
    block
}

/// Calls `take` with each posting in `blocks` whose version is one that `visible` accepts. `None` if the bytes are
/// not blocks.
pub(crate) fn decode(
    mut blocks: &[u8],
    visible: impl Fn(u64) -> bool,
    mut take: impl FnMut(u64, Posting),
) -> Option<()> {
    while !blocks.is_empty() {
        let version_no = next(&mut blocks)?;
        let mut chunk_no = next(&mut blocks)?;
        let count = next(&mut blocks)?;
        let seen = visible(version_no);
        for _ in 0..count {
            chunk_no = chunk_no.checked_add(next(&mut blocks)?)?;
            let frequency = u32::try_from(next(&mut blocks)?).ok()?;
            let length = u32::try_from(next(&mut blocks)?).ok()?;
            if seen {
                take(version_no, Posting { chunk_no, frequency, length });
            }
        }
    }
    Some(())
}

fn put(block: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        block.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    block.push(number.to_le_bytes()[0]);
}

#[inline]
fn next(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    if first < 0x80 {
        return Some(first.into());
    }
    let mut number = u64::from(first & 0x7f);
    for shift in (7..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        if shift == 63 && low > 1 {
            return None;
        }
        number |= low << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(blocks: &[u8]) -> Option<Vec<(u64, Posting)>> {
        let mut found = Vec::new();
        decode(blocks, |_| true, |version, posting| found.push((version, posting)))?;
        Some(found)
    }

    fn posting(chunk_no: u64, frequency: u32, length: u32) -> Posting {
        Posting { chunk_no, frequency, length }
    }

    #[test]
    fn the_format_is_frozen() {
        let block = encode(300, &[posting(1_000, 2, 130), posting(1_003, 1, 9)]);
        assert_eq!(block, [0xac, 0x02, 0xe8, 0x07, 2, 0, 2, 0x82, 0x01, 3, 1, 9]);
    }

    #[test]
    fn strung_blocks_come_back_and_hidden_versions_do_not() {
        let first = [posting(0, 1, 1), posting(u64::MAX, u32::MAX, u32::MAX)];
        let blocks = [encode(7, &first), encode(8, &[posting(5, 1, 2)])].concat();
        assert_eq!(all(&blocks).unwrap(), [(7, first[0]), (7, first[1]), (8, posting(5, 1, 2))]);
        let mut found = Vec::new();
        decode(&blocks, |version| version == 8, |_, posting| found.push(posting)).unwrap();
        assert_eq!(found, [posting(5, 1, 2)]);
    }

    #[test]
    fn torn_blocks_are_told_from_whole_ones() {
        let block = encode(300, &[posting(1_000, 2, 130)]);
        for cut in 1..block.len() {
            assert_eq!(all(&block[..cut]), None, "{cut}");
        }
        assert_eq!(all(&[0xff; 12]), None);
        assert_eq!(all(&[1, 1, 1, 0, 0x80, 0x80, 0x80, 0x80, 0x10, 1]), None, "a frequency over 32 bits");
    }
}
