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
        assert!(!text[range.clone()].trim().is_empty(), "blank: {range:?}");
        last = range.end;
    }
    for seen in seen(text, format) {
        // Nobody sees a byte order mark.
        let is_seen = |at: usize, c: char| !(c.is_whitespace() || c == '\u{feff}' && seen.start + at == 0);
        let mut covered = text[seen.clone()].char_indices().filter(|(at, c)| is_seen(*at, *c));
        let covered = covered.all(|(at, _)| ranges.iter().any(|range| range.contains(&(seen.start + at))));
        assert!(covered, "left out: {:?} of {text:?}", &text[seen]);
    }
    assert_eq!(ranges, Chunker::new(bytes).unwrap().ranges(text, format));
}

/// What a reader sees of the text, as far as that is beyond doubt.
fn seen(text: &str, format: Format) -> Vec<Range<usize>> {
    use pulldown_cmark::{Event, Options, Parser};
    if format == Format::Text {
        return std::iter::once(0..text.len()).collect();
    }
    let front_matter = text.trim_start_matches('\u{feff}').starts_with(['-', '+']);
    if front_matter || text.contains("<!--") {
        return Vec::new();
    }
    let events = Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES).into_offset_iter();
    events.filter(|(event, _)| matches!(event, Event::Text(_) | Event::Code(_))).map(|(_, range)| range).collect()
}

#[test]
fn a_byte_order_mark_alone_on_its_line_is_nothing() {
    check("\u{feff}\rThe launch is on 3 May.", Format::Markdown, 64);
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

fn chunks(text: &str, bytes: usize) -> Vec<&str> {
    let ranges = Chunker::new(bytes).unwrap().ranges(text, Format::Markdown);
    ranges.into_iter().map(|range| &text[range]).collect()
}

#[test]
fn what_is_hidden_is_in_no_chunk() {
    let text = "---\ntitle: no\n---\n\n# Vault\n\nOpen.\n\n<!-- no\n\nno -->\n\nShut.\n\n[no]: http://no\n";
    assert_eq!(chunks(text, 1_000), ["# Vault\n\nOpen.", "Shut."]);
    assert!(chunks("---\nonly: matter\n---\n<!-- no -->\n\n***\n", 1_000).is_empty());
}

#[test]
fn a_quotation_or_a_fence_is_whole_if_it_fits() {
    let quotation = "> One line\n> and another\n>\n> and a third one.";
    let fence = "````\n```\n# none\n\n```\n\nmore\n````";
    let text = format!(
        "Words before it, and many of them indeed.\n\n{quotation}\n\n{fence}\n\nWords after it, and many of them indeed."
    );
    let found = chunks(&text, 64);
    assert!(found.contains(&quotation) && found.contains(&fence), "{found:?}");
}

#[test]
fn a_heading_stays_with_what_follows() {
    let items: String = (0..40).map(|n| format!("- item number {n} of the list\n")).collect();
    let code: String = (0..40).map(|n| format!("let line = {n};\n")).collect();
    let prose = "A sentence of a long paragraph. ".repeat(20);
    for text in [format!("# Head\n\n{items}"), format!("# Head\n\n```\n{code}```\n"), format!("# Head\n\n{prose}")] {
        let found = chunks(&text, 200);
        assert!(found.len() > 2 && found[0].len() > 100 && found[0].starts_with("# Head"), "{found:?}");
    }
}

#[test]
fn pieces_of_code_and_tables_begin_with_a_line_break() {
    let code: String = (0..40).map(|n| format!("# line {n}\n")).collect();
    let rows: String = (0..40).map(|n| format!("| row | {n} |\n")).collect();
    for text in [format!("~~~\n{code}~~~\n\nEnd."), format!("| a | b |\n|---|---|\n{rows}\nEnd.")] {
        let found = chunks(&text, 100);
        let (first, rest) = found.split_first().unwrap();
        let (last, middle) = rest.split_last().unwrap();
        assert!(!first.starts_with('\n') && middle.iter().all(|piece| piece.starts_with('\n')), "{found:?}");
        assert_eq!(*last, "End.");
        check(&text, Format::Markdown, 100);
    }
    // Code by its indentation, alone in its chunk.
    let text = format!("{}\n\n    # code\n\n{}", "Before. ".repeat(6), "After. ".repeat(6));
    assert_eq!(chunks(&text, 50)[1], "\n    # code");
}

#[test]
fn parts_go_on_in_what_was_cut() {
    let code = "# code\n".repeat(2_000);
    let text = format!("Before.\n\n````\n{code}````\n\n<!--\n{}-->\n\nAfter.\n", "hidden\n\n".repeat(2_000));
    let (chunker, mut at, mut opening) = (Chunker::new(200).unwrap(), 0, String::new());
    let mut found = Vec::new();
    while at < text.len() {
        let part = chunker.part(&text[at..], 4_096, Format::Markdown, &opening);
        assert!(0 < part.end && part.end <= 4_096);
        found.extend(part.ranges.into_iter().map(|range| &text[at + range.start..at + range.end]));
        (at, opening) = (at + part.end, part.opening);
    }
    assert!(found.iter().all(|chunk| !chunk.contains("hidden")), "{found:?}");
    assert_eq!(found.iter().map(|chunk| chunk.matches("# code").count()).sum::<usize>(), 2_000);
    assert_eq!((found[0], *found.last().unwrap()), ("Before.", "After."));
    let middle = &found[2..found.len() - 1];
    assert!(middle.iter().all(|piece| piece.starts_with("\n#") || *piece == "\n````"), "{middle:?}");
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
    fn any_text_is_covered_in_order(text in "[ \\na-zäß。、漢字かな👩\u{200d}\u{301}#*`~>|.-]{0,2000}", bytes in 32usize..400) {
        check(&text, Format::Text, bytes);
        check(&text, Format::Markdown, bytes);
    }

    #[test]
    fn any_markdown_is_covered(
        text in "((> |- |    |# |\\n|\\n\\n|```\\n|~~~~\\n|\\| a \\|\\n\\|---\\|\\n|\\| ä \\|\\n|<b>|\\[a\\]: b\\n)|[a-c漢]{1,9} ){0,200}",
        bytes in 32usize..200,
    ) {
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
