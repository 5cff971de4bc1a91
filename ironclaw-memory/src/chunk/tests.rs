use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation;

use super::*;

fn check(text: &str, format: Format, bytes: usize) {
    let ranges = Chunker::new(bytes).unwrap().ranges(text, format);
    let mut last = 0;
    for range in &ranges {
        assert!(last <= range.start && range.start < range.end && range.end <= text.len(), "{range:?} after {last}");
        assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end), "{range:?}");
        assert!(range.len() <= bytes, "{range:?} is longer than {bytes}");
        assert!(text[last..range.start].trim().is_empty(), "left out: {:?}", &text[last..range.start]);
        assert!(!text[range.clone()].trim().is_empty(), "blank: {range:?}");
        last = range.end;
    }
    assert!(text[last..].trim().is_empty(), "left out at the end: {:?}", &text[last..]);
    assert_eq!(ranges, Chunker::new(bytes).unwrap().ranges(text, format));
}

#[test]
fn the_extension_says_what_is_markdown() {
    let of = |path: &str| Format::of(&WorkspacePath::parse(path).unwrap());
    assert_eq!(of("a/b.md"), Format::Markdown);
    assert_eq!(of("B.Markdown"), Format::Markdown);
    for path in ["a.txt", "md", "a.md/b", "a.mdx", "日本.md.txt"] {
        assert_eq!(of(path), Format::Text, "{path}");
    }
}

#[test]
fn markdown_is_cut_at_headings() {
    let text = "# Launch\n\nWe launch in March, from the harbour.\n\n# Budget\n\nTwelve thousand, all in.\n";
    let ranges = Chunker::new(64).unwrap().ranges(text, Format::Markdown);
    assert_eq!(ranges.len(), 2, "{ranges:?}");
    assert!(text[ranges[1].clone()].starts_with("# Budget"));
}

#[test]
fn japanese_without_spaces_is_cut_at_sentences() {
    let text = "会議は火曜日に開かれます。予算は来週決まります。".repeat(40);
    let ranges = Chunker::new(300).unwrap().ranges(&text, Format::Text);
    assert!(ranges.len() > 5);
    assert!(ranges.iter().all(|range| text[range.clone()].ends_with('。')), "{ranges:?}");
    check(&text, Format::Text, 300);
}

#[test]
fn a_family_is_not_torn_apart() {
    let family = "👨‍👩‍👧‍👦";
    let text = family.repeat(3_000);
    let clusters: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).collect();
    for range in Chunker::default().ranges(&text, Format::Text) {
        assert!(clusters.binary_search(&range.start).is_ok(), "{range:?}");
    }
    check(&text, Format::Text, 1_000);
}

#[test]
fn endless_lines_and_hostile_markdown_are_cut() {
    let zalgo = format!("a{}", "\u{301}".repeat(40_000));
    let texts = ["a".repeat(200_000), "é".repeat(100_000), zalgo, "> ".repeat(60_000), "* ".repeat(60_000)];
    for text in texts.iter().chain(&["[".repeat(70_000), "#".repeat(70_000), "`".repeat(70_000), "|".repeat(70_000)]) {
        check(text, Format::Text, 1_000);
        check(text, Format::Markdown, 1_000);
    }
}

#[test]
fn blank_text_has_no_chunks() {
    for text in ["", " ", "\n\n\t\u{3000}\r\n", &"\n".repeat(100_000)] {
        for format in [Format::Text, Format::Markdown] {
            assert!(Chunker::default().ranges(text, format).is_empty(), "{} bytes", text.len());
        }
    }
}

#[test]
fn sizes_out_of_range_are_refused() {
    assert!(Chunker::new(31).is_err());
    assert!(Chunker::new(16_385).is_err());
    assert!(Chunker::new(16_384).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_is_covered_in_order(text in "[ \\na-zäß。、漢字かな👩\u{200d}\u{301}#*`>|.-]{0,2000}", bytes in 32usize..400) {
        check(&text, Format::Text, bytes);
        check(&text, Format::Markdown, bytes);
    }

    #[test]
    fn any_characters_are_covered(text in "(?s).{0,600}", bytes in 32usize..200) {
        check(&text, Format::Text, bytes);
        check(&text, Format::Markdown, bytes);
    }

    #[test]
    fn a_cut_makes_progress_at_a_character_boundary(text in "(?s)[ab\\n 漢é👩]{40,200}", limit in 4usize..40) {
        let at = cut(&text, limit);
        prop_assert!(0 < at && at <= limit && text.is_char_boundary(at));
    }
}
