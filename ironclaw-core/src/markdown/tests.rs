use proptest::prelude::*;

use super::*;

fn seen(text: &str) -> Vec<(BlockKind, String)> {
    blocks(text).into_iter().map(|block| (block.kind, block.text)).collect()
}

fn shown(text: &str) -> Vec<String> {
    seen(text).into_iter().filter(|(kind, _)| *kind != BlockKind::Hidden).map(|(_, text)| text).collect()
}

#[test]
fn the_extension_says_what_is_markdown() {
    let is = |path: &str| is_markdown(&WorkspacePath::parse(path).unwrap());
    assert!(is("a/b.md") && is("B.Markdown"));
    for path in ["a.txt", "md", "a.md/b", "a.mdx", "日本.md.txt"] {
        assert!(!is(path), "{path}");
    }
}

#[test]
fn fences_of_any_length_and_kind_hold_what_is_in_them() {
    let text =
        "A\n\n````md\n```sh\n# no heading\n```\n````\n\nB\n\n~~~yaml\n---\n# none\n```\n~~~\n\n# C\n\n    # code\n";
    assert_eq!(
        seen(text),
        [
            (BlockKind::Paragraph, "A".to_owned()),
            (BlockKind::Fenced, "```sh\n# no heading\n```".to_owned()),
            (BlockKind::Paragraph, "B".to_owned()),
            (BlockKind::Fenced, "---\n# none\n```".to_owned()),
            (BlockKind::Heading(1), "C".to_owned()),
            (BlockKind::Indented, "# code".to_owned()),
        ]
    );
}

#[test]
fn front_matter_is_hidden_and_only_at_the_head() {
    for head in ["---\na: b\n---\n", "\u{feff}---\na: b\n...\n", "+++\na = 1\n+++\n", "---\r\na: b\r\n---\r\n"] {
        let text = format!("{head}\nText\n\n---\nno: matter\n---\n");
        assert_eq!(seen(&text)[0], (BlockKind::Hidden, String::new()), "{head:?}");
        assert_eq!(shown(&text), ["Text", "no: matter"], "{head:?}");
    }
    assert_eq!(shown("---\n\nText\n\n---\n"), ["Text"]);
    assert_eq!(shown("---\nnever: closed\n"), ["never: closed"]);
}

#[test]
fn what_a_reader_never_sees_is_hidden() {
    for text in [
        "A\n\n<!-- no\n\nnone -->\n\nB",
        "A <!-- no --> \nB",
        "A\n\n<div>\n<!-- no -->\nB\n</div>",
        "A\n\n<div>\n<!-- no\n\nno -->\n</div>\n\nB",
        "A\n\n- <!-- no -->\n\n> <!-- no\n> no -->\n\nB",
        "A\n\n<script>\nno\n\nno\n</script>\n\nB",
        "A\n\n[//]: # (no)\n[//]: # (no)\n[no]: http://no\n\nB",
        "A[^1]\n\n[^1]: B",
    ] {
        assert_eq!(shown(text).join(" ").split_whitespace().collect::<String>(), "AB", "{text}");
    }
    assert_eq!(shown("`<!-- a -->` and\n\n```\n<!-- b -->\n```"), ["<!-- a --> and", "<!-- b -->"]);
}

#[test]
fn a_quotation_is_no_list_and_its_lines_are_joined() {
    let text = "> ##### Over\n>\n> In release,\n> it does - not\nlazy.\n>\n> - item\n\n> [!NOTE]\n> Noted.";
    assert_eq!(shown(text), ["Over", "In release, it does - not lazy.", "item", "Noted."]);
    assert_eq!(&text[blocks(text)[1].range.clone()], "> In release,\n> it does - not\nlazy.");
}

#[test]
fn marks_go_and_what_looks_like_them_stays() {
    for (text, expected) in [
        ("**Bold.** Then *slanted* and __both__ and _this_.", "Bold. Then slanted and both and this."),
        ("a `*.rs` and ``x ` y``", "a *.rs and x ` y"),
        ("2 * 3 ** 4, snake_case, 2 * 3 * 4, *.rs", "2 * 3 ** 4, snake_case, 2 * 3 * 4, *.rs"),
        ("see [the *book*](book.md#a), ![a](b.png) and [one][1]", "see the book, a and one"),
        ("cited [1] and [open", "cited [1] and [open"),
        (r"a \*b\* c:\dir", r"a *b* c:\dir"),
        ("**打ち上げ**は五\n月", "打ち上げは五月"),
        ("a<br>b &amp; ~~c~~<b>d</b>", "a b & cd"),
        ("` and [x](", "` and [x]("),
    ] {
        assert_eq!(shown(text), [expected], "{text}");
    }
}

#[test]
fn blocks_know_what_they_share() {
    let text = "# A\n\n- b\n- c\n\n  d\n  1. e\n\nf\n\n| g | h |\n|---|---|\n| i | |\n| `j` | **k** |\n";
    let found: Vec<(String, usize)> = blocks(text).into_iter().map(|block| (block.text, block.shared)).collect();
    let expected = [("A", 0), ("b", 0), ("c", 1), ("d", 2), ("e", 2), ("f", 0), ("g · h", 0), ("i", 1), ("j · k", 1)];
    assert_eq!(found, expected.map(|(text, shared)| (text.to_owned(), shared)));
}

#[test]
fn a_text_goes_on_where_it_was_cut() {
    for text in
        ["````md\n```\n# a\n````\n\nB", "<!-- a\n\nno -->\n\nB", "---\na: b\nc: d\n---\n\nB", "> ~~~\n> a\n> ~~~\n\nB"]
    {
        let first = &blocks(text)[0];
        for at in text[..first.range.end].match_indices('\n').map(|(at, _)| at) {
            let rest = &text[at..];
            let after = blocks_after(first.opening(text), rest);
            let last = after.last().unwrap();
            assert_eq!((last.kind, last.text.as_str(), &rest[last.range.clone()]), (BlockKind::Paragraph, "B", "B"));
            assert!(after[..after.len() - 1].iter().all(|block| block.kind == first.kind), "{rest}: {after:?}");
        }
    }
}

#[test]
fn a_passage_is_known_by_how_it_begins() {
    let code = passage("\n# install\nlet a = b | c;\n```");
    assert_eq!(code, [(BlockKind::Fenced, "# install".into()), (BlockKind::Fenced, "let a = b | c;".into())]);
    assert_eq!(passage("\n| a | b |\n> | c | |"), [(BlockKind::Row, "a · b".into()), (BlockKind::Row, "c".into())]);
    let items = passage("    - one\n\n      more\n    - two");
    assert_eq!(items.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["one", "more", "two"]);
    assert!(items.iter().all(|(kind, _)| *kind == BlockKind::Paragraph));
    for text in
        [">     >   in <!-- no --> both\n\n> more", "    in <!-- no --> both\n\nmore", "  ```\n  a\n  ```\n\nmore"]
    {
        let last = passage(text).pop();
        assert_eq!(last, Some((BlockKind::Paragraph, "more".into())), "{text}");
        assert!(passage(text)[0].1.starts_with("in ") || passage(text)[0].1 == "a", "{text}");
    }
}

#[test]
fn a_passage_may_leave_items_that_it_began_in() {
    let seen = passage("      ## a\n\n    b <!-- no --> c\n\n      d\n\n  e");
    let expected = [
        (BlockKind::Heading(2), "a"),
        (BlockKind::Paragraph, "b c"),
        (BlockKind::Paragraph, "d"),
        (BlockKind::Paragraph, "e"),
    ];
    let shown = seen.iter().map(|(kind, text)| (*kind, text.split_whitespace().collect::<Vec<_>>().join(" ")));
    assert_eq!(shown.collect::<Vec<_>>(), expected.map(|(kind, text)| (kind, text.to_owned())));
}

#[test]
fn what_shows_nothing_is_no_block() {
    for text in ["\u{a0}", "\u{a0}\n\n\u{2003}", "- \u{a0}"] {
        check(text);
        assert!(shown(text).iter().all(String::is_empty), "{text:?}");
    }
    assert_eq!(seen("\u{a0}"), []);
}

fn check(text: &str) {
    let mut last = 0;
    for block in blocks(text) {
        assert!(last <= block.range.start && block.range.start < block.range.end, "{block:?} after {last} in {text:?}");
        assert!(text.get(block.range.clone()).is_some(), "{block:?} in {text:?}");
        assert!(block.kind != BlockKind::Hidden || block.text.is_empty());
        last = block.range.end;
    }
    passage(text);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_marks_are_read(text in "([-+*#>|`~=_!<>\\[\\]():. \\n\\r\\t\\\\&]|<!--|-->|---\n|\u{feff}|[a-cä漢👩]|1\\.){0,120}") {
        check(&text);
        for block in blocks(&text) {
            blocks_after(block.opening(&text), &text[block.range.end..]);
        }
    }

    #[test]
    fn any_characters_are_read(text in "(?s).{0,300}") {
        check(&text);
    }
}
