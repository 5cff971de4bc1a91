//! Any Markdown: what its reader sees is in the chunks, and nothing else is quoted.

#![allow(clippy::unwrap_used, reason = "tests")]

use ironclaw_core::llm::{LlmMessage, LlmProviderExt, LlmRequest};
use ironclaw_core::model::workspace::{Passage, WorkspacePath};
use ironclaw_core::{ExtractiveLlm, Scope};
use ironclaw_memory::{Chunker, Format};
use proptest::prelude::*;

/// A block with words that are seen (`seenN`) and words that are not (`secretN`).
#[derive(Debug, Clone)]
enum Block {
    Paragraph,
    Heading,
    Setext,
    Fence(char, usize),
    Indented,
    Comment,
    InlineComment,
    Html,
    Table(usize),
    Definition,
    Quote(Vec<Block>),
    List(Vec<Block>),
}

fn block() -> impl Strategy<Value = Block> {
    let leaf = prop_oneof![
        Just(Block::Paragraph),
        Just(Block::Heading),
        Just(Block::Setext),
        (prop_oneof![Just('`'), Just('~')], 3usize..6).prop_map(|(mark, length)| Block::Fence(mark, length)),
        Just(Block::Indented),
        Just(Block::Comment),
        Just(Block::InlineComment),
        Just(Block::Html),
        (1usize..12).prop_map(Block::Table),
        Just(Block::Definition),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let several = proptest::collection::vec(inner, 1..4);
        prop_oneof![several.clone().prop_map(Block::Quote), several.prop_map(Block::List)]
    })
}

/// The lines of a block. `words` counts all words, so that each occurs once.
fn lines(block: &Block, words: &mut usize) -> Vec<String> {
    let mut word = |kind: &str| {
        *words += 1;
        format!("{kind}{words}")
    };
    match block {
        Block::Paragraph => {
            vec![format!("{} *{}*", word("seen"), word("seen")), format!("{} `{}`.", word("seen"), word("seen"))]
        }
        Block::Heading => vec![format!("## {}", word("seen"))],
        Block::Setext => vec![word("seen"), "---".to_owned()],
        Block::Fence(mark, length) => {
            let (fence, inner) = (mark.to_string().repeat(*length), mark.to_string().repeat(length - 1));
            let other = if *mark == '`' { "~~~~~~~" } else { "```````" };
            let comment = format!("<!-- {} -->", word("seen"));
            vec![
                format!("{fence}md"),
                inner,
                format!("# {}", word("seen")),
                String::new(),
                other.to_owned(),
                comment,
                fence,
            ]
        }
        Block::Indented => vec![format!("    # {}", word("seen")), format!("    - {}", word("seen"))],
        Block::Comment => {
            vec![
                format!("<!-- {}", word("secret")),
                String::new(),
                format!("> {} ```", word("secret")),
                "-->".to_owned(),
            ]
        }
        Block::InlineComment => vec![format!("{} <!-- {} --> {}", word("seen"), word("secret"), word("seen"))],
        Block::Html => vec![
            format!("<div class=\"{}\"><!-- {}", word("secret"), word("secret")),
            format!("{} -->{}", word("secret"), word("seen")),
            format!("</div><style>{}</style>", word("secret")),
        ],
        Block::Table(rows) => {
            let mut lines = vec![format!("| {} | b |", word("seen")), "|---|:-:|".to_owned()];
            lines.extend((0..*rows).map(|_| format!("| {} | {} |", word("seen"), word("seen"))));
            lines
        }
        Block::Definition => vec![format!("[{}]: http://{0} '{}'", word("secret"), word("secret"))],
        Block::Quote(inner) => {
            all(inner, words).into_iter().map(|line| format!("> {line}").trim_end().to_owned()).collect()
        }
        Block::List(inner) => {
            let lines = all(inner, words).into_iter().enumerate();
            lines
                .map(|(at, line)| format!("{}{line}", if at == 0 { "- " } else { "  " }).trim_end().to_owned())
                .collect()
        }
    }
}

fn all(blocks: &[Block], words: &mut usize) -> Vec<String> {
    let mut all = Vec::new();
    for block in blocks {
        if !all.is_empty() {
            all.push(String::new());
        }
        all.extend(lines(block, words));
    }
    all
}

fn words_of<'t>(text: &'t str, kind: &'static str) -> Vec<&'t str> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| word.strip_prefix(kind).is_some_and(|number| number.parse::<u64>().is_ok())).collect()
}

fn answer(question: &str, passages: Vec<Passage>) -> String {
    let ada = Scope::user("ada").unwrap();
    let messages = vec![LlmMessage::user(question)];
    let request = LlmRequest::new(messages).passages(passages);
    futures::executor::block_on(ExtractiveLlm::new().complete(&ada, request)).unwrap().text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_seen_is_searched_and_what_is_not_is_not_quoted(
        blocks in proptest::collection::vec(block(), 1..8),
        front_matter in any::<bool>(),
        bytes in 64usize..600,
    ) {
        let mut words = 0;
        let head = if front_matter { "---\nsecret0: secret00\n# secret000\n---\n" } else { "" };
        // A paragraph first, so that a block of code can be indented.
        let text = format!("{head}\nseen0\n\n{}\n", all(&blocks, &mut words).join("\n"));
        let ranges = Chunker::new(bytes).unwrap().ranges(&text, Format::Markdown);
        let chunks: Vec<&str> = ranges.iter().map(|range| &text[range.clone()]).collect();

        let together = chunks.join("\n");
        prop_assert_eq!(words_of(&together, "seen"), words_of(&text, "seen"), "{}", text);
        // What stands within a line or within tags goes with it, and is not quoted all the same.
        let inner: Vec<&str> = text.lines().filter(|line| line.contains("seen") || line.contains("<div")).collect();
        let inner = inner.join("\n");
        let hidden = words_of(&together, "secret");
        prop_assert!(hidden.iter().all(|word| inner.contains(word)), "{hidden:?} in {chunks:?} of {text}");

        let path = WorkspacePath::parse("a.md").unwrap();
        for (chunk, range) in chunks.iter().zip(&ranges) {
            let (start, end) = (range.start as u64, range.end as u64);
            let passage = Passage::new(path.clone(), start, end, *chunk, 0.5);
            for question in words_of(chunk, "seen").into_iter().take(3) {
                let answer = answer(question, vec![passage.clone()]);
                prop_assert!(words_of(&answer, "secret").is_empty(), "{answer} of {chunk:?}");
                prop_assert!(answer.contains(question), "{answer} of {chunk:?}");
            }
        }
    }
}
