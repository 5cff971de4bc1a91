use proptest::prelude::*;

use super::*;

/// Gives its bytes in pieces of a few, as a slow disk or pipe does.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.len().min(self.1).min(buffer.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

fn parts(content: &[u8], piece: usize, part_bytes: usize, batch: usize, text: bool) -> io::Result<Vec<Draft>> {
    let chunks = text.then(|| (Chunker::new(64).unwrap(), Format::Text));
    let mut parts = Parts::new(Trickle(content, piece), part_bytes, chunks);
    let mut all = Vec::new();
    loop {
        let Batch { parts: drafts, end } = parts.next_batch(batch)?;
        all.extend(drafts);
        if let Some((size, hash)) = end {
            assert_eq!((size, hash), (content.len() as u64, ContentHash::of(content)));
            return Ok(all);
        }
    }
}

#[test]
fn a_survey_tells_text_from_bytes() {
    let survey = |content: &[u8], piece| Survey::of(Trickle(content, piece), 1 << 30).unwrap();
    let long = "é漢👩 ".repeat(30_000);
    for piece in [1, 2, 3, 7, 1 << 20] {
        assert!(survey("aé漢👩".as_bytes(), piece).searchable);
        assert!(survey(long.as_bytes(), piece).searchable, "{piece}");
        assert!(!survey(&long.as_bytes()[..long.len() - 2], piece).searchable, "{piece}");
        assert!(!survey(b"abc\xff", piece).searchable);
        assert!(!survey(b" \n\t", piece).searchable);
        assert!(!survey(b"", piece).searchable);
        assert_eq!(survey(long.as_bytes(), piece).hash, ContentHash::of(long.as_bytes()));
    }
}

#[test]
fn a_survey_stops_at_the_limit() {
    let error = Survey::of(std::io::repeat(b'x'), 1_000_000).unwrap_err();
    let input = error.get_ref().and_then(|e| e.downcast_ref::<InputError>()).unwrap();
    assert!(matches!(input.problem(), Problem::TooLarge { limit: 1_000_000, .. }), "{input}");
}

#[test]
fn text_that_turns_into_bytes_is_refused() {
    let content = [b"text ".repeat(1_000).as_slice(), b"\xff\xfe"].concat();
    assert_eq!(parts(&content, 10, 1_024, 4_096, true).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn empty_content_ends_at_once() {
    assert!(parts(b"", 1, 1_024, 4_096, false).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parts_hold_everything_in_order(
        text in "[ \\na-z漢é👩\u{301}\u{200d}]{0,3000}",
        piece in 1usize..3_000,
        part_bytes in 1_024usize..2_000,
        batch in 1usize..8_000,
    ) {
        let mut offset = 0;
        for draft in parts(text.as_bytes(), piece, part_bytes, batch, true).unwrap() {
            prop_assert_eq!(draft.offset, offset);
            prop_assert!(!draft.bytes.is_empty() && draft.bytes.len() <= part_bytes);
            let start = usize::try_from(offset).unwrap();
            prop_assert_eq!(&draft.bytes, &text.as_bytes()[start..start + draft.bytes.len()]);
            let part = std::str::from_utf8(&draft.bytes).unwrap();
            prop_assert!(draft.ranges.iter().all(|range| !part[range.clone()].trim().is_empty()));
            offset += draft.bytes.len() as u64;
        }
        prop_assert_eq!(offset, text.len() as u64);
    }

    #[test]
    fn bytes_are_kept_as_they_are(content in proptest::collection::vec(any::<u8>(), 0..5_000), piece in 1usize..3_000) {
        let drafts = parts(&content, piece, 1_024, 2_048, false).unwrap();
        prop_assert!(drafts.iter().all(|draft| draft.ranges.is_empty() && draft.bytes.len() <= 1_024));
        prop_assert_eq!(drafts.into_iter().flat_map(|draft| draft.bytes).collect::<Vec<_>>(), content);
    }
}
