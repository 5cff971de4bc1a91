//! The estimate of tokens against the vocabularies of real models: never much too low, and not far too high.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write;

use ironclaw_core::agent::estimate_tokens;
use tiktoken_rs::CoreBPE;

/// What the estimate may be of the true count.
const RANGE: std::ops::RangeInclusive<f64> = 0.9..=1.6;

struct Samples(Vec<(String, String)>);

impl Samples {
    /// Collects what is out of range for all samples of a kind, so that a failure tells all.
    fn check(&self, vocabulary: &CoreBPE) {
        let mut wrong = Vec::new();
        for (kind, text) in &self.0 {
            let (estimate, tokens) = (estimate_tokens(text), vocabulary.encode_ordinary(text).len());
            let ratio = estimate as f64 / tokens as f64;
            // Below some dozen tokens rounding up is all that is seen.
            if !RANGE.contains(&ratio) && estimate.abs_diff(tokens) > 8 {
                let begins: String = text.chars().take(40).collect();
                wrong.push(format!("{kind}: {estimate} of {tokens} tokens, {ratio:.2}: {begins:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), self.0.len(), wrong.join("\n"));
    }
}

fn paragraphs(kind: &str, text: &str) -> Samples {
    let parts = text.split("\n\n").chain([text]);
    Samples(parts.map(|part| (kind.to_owned(), part.trim_end().to_owned())).collect())
}

fn prose() -> Vec<(&'static str, &'static str)> {
    vec![
        ("English", include_str!("tokens/english.txt")),
        ("German", include_str!("tokens/german.txt")),
        ("French", include_str!("tokens/french.txt")),
        ("Spanish", include_str!("tokens/spanish.txt")),
        ("Russian", include_str!("tokens/russian.txt")),
        ("Chinese", include_str!("tokens/chinese.txt")),
        ("Japanese", include_str!("tokens/japanese.txt")),
        ("Korean", include_str!("tokens/korean.txt")),
        ("Arabic", include_str!("tokens/arabic.txt")),
        ("Hindi", include_str!("tokens/hindi.txt")),
        ("Thai", include_str!("tokens/thai.txt")),
        ("Turkish", include_str!("tokens/turkish.txt")),
        ("Vietnamese", include_str!("tokens/vietnamese.txt")),
        ("Greek", include_str!("tokens/greek.txt")),
        ("Hebrew", include_str!("tokens/hebrew.txt")),
        ("Polish", include_str!("tokens/polish.txt")),
        ("Czech", include_str!("tokens/czech.txt")),
        ("Hungarian", include_str!("tokens/hungarian.txt")),
        ("Italian", include_str!("tokens/italian.txt")),
        ("Portuguese", include_str!("tokens/portuguese.txt")),
        ("Swedish", include_str!("tokens/swedish.txt")),
        ("Indonesian", include_str!("tokens/indonesian.txt")),
    ]
}

/// Numbers without a pattern, the same at each run (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }

    fn hex(&mut self, bytes: usize) -> String {
        (0..bytes).fold(String::new(), |text, _| format!("{text}{:02x}", self.below(256)))
    }
}

const WORDS: [&str; 12] = [
    "launch",
    "umbrella",
    "the",
    "meeting",
    "Graz",
    "invoice",
    "water",
    "on",
    "committee",
    "blue",
    "timetable",
    "Zoltan",
];

/// A text of lines.
fn lines(count: usize, mut line: impl FnMut(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        writeln!(text, "{}", line(n)).unwrap();
        text
    })
}

fn csv(random: &mut Random) -> Vec<String> {
    let r = random;
    vec![
        lines(40, |n| {
            format!(
                "{n},{} {},{}.{:02},2026-05-{:02}",
                r.of(&WORDS),
                r.of(&WORDS),
                r.below(999),
                r.below(100),
                1 + r.below(28)
            )
        }),
        lines(40, |n| {
            format!("2026-05-03T{:02}:{:02}:00Z;S{n:03};{}.{:04};ok", n % 24, r.below(60), r.below(40), r.below(10_000))
        }),
        lines(40, |_| (0..12).map(|_| r.below(100_000).to_string()).collect::<Vec<_>>().join(",")),
        lines(30, |_| (0..8).map(|_| format!("-0.{:06}", r.below(1_000_000))).collect::<Vec<_>>().join(", ")),
        lines(40, |_| format!("{}\t{}\t{}\tyes", r.of(&WORDS), r.below(10), r.below(1_000))),
        lines(40, |_| (0..6).map(|_| format!("\"{}\"", r.of(&WORDS))).collect::<Vec<_>>().join(",")),
        lines(40, |_| (0..20).map(|_| r.of(&["", "0", "1", "NA"])).collect::<Vec<_>>().join(",")),
        lines(40, |_| {
            format!(
                "AT{:018},{},EUR,\"{}, {}\"",
                r.next() % 1_000_000_000_000_000_000,
                r.below(9_999),
                r.of(&WORDS),
                r.of(&WORDS)
            )
        }),
    ]
}

fn hex(random: &mut Random) -> Vec<String> {
    let r = random;
    vec![
        r.hex(32),
        r.hex(500),
        r.hex(500).to_uppercase(),
        lines(30, |_| r.hex(20)),
        lines(20, |_| format!("{}-{}-{}-{}-{}", r.hex(4), r.hex(2), r.hex(2), r.hex(2), r.hex(6))),
        lines(20, |n| format!("{:08x}  {}", n * 16, (0..16).map(|_| r.hex(1)).collect::<Vec<_>>().join(" "))),
        (0..150).map(|_| format!("0x{}", r.hex(1).to_uppercase())).collect::<Vec<_>>().join(", "),
        (0..100).map(|_| r.hex(1)).collect::<Vec<_>>().join(":"),
        lines(20, |_| format!("sha256:{}", r.hex(32))),
    ]
}

fn json(random: &mut Random) -> Vec<String> {
    let r = random;
    let mut record = || {
        serde_json::json!({
            "id": r.below(1_000_000), "name": r.of(&WORDS), "tags": [r.of(&WORDS), r.of(&WORDS)], "active": r.below(2) == 0,
            "score": r.below(10_000) as f64 / 10_000.0, "address": {"city": "Graz", "zip": "8010"},
            "created_at": "2026-05-03T10:00:00Z", "parent": null,
        })
    };
    let records: Vec<serde_json::Value> = (0..15).map(|_| record()).collect();
    let numbers: Vec<Vec<f64>> = (0..30).map(|_| (0..6).map(|_| r.below(1_000) as f64 / 1_000.0).collect()).collect();
    let keys: serde_json::Map<String, serde_json::Value> = (0..80).map(|n| (format!("key_{n}"), n.into())).collect();
    let schema = serde_json::json!({"type": "object", "required": ["path"], "properties": {
        "path": {"type": "string", "description": "The path of the file, relative to the workspace"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100}, "recursive": {"type": "boolean", "default": false}}});
    let text = serde_json::json!({"title": "Minutes", "text": include_str!("tokens/english.txt")});
    vec![
        serde_json::to_string(&records).unwrap(),
        serde_json::to_string_pretty(&records).unwrap(),
        lines(15, |n| records[n].to_string()),
        serde_json::to_string(&numbers).unwrap(),
        serde_json::to_string(&keys).unwrap(),
        schema.to_string(),
        serde_json::to_string_pretty(&schema).unwrap(),
        text.to_string(),
        serde_json::json!(vec![serde_json::json!([null, true, false, {}, [], ""]); 30]).to_string(),
    ]
}

fn code() -> Vec<String> {
    let files = [
        include_str!("../src/agent/turn.rs"),
        include_str!("../src/llm.rs"),
        include_str!("../src/input.rs"),
        include_str!("tokens/code.sql.txt"),
        include_str!("tokens/code.py.txt"),
        include_str!("tokens/code.js.txt"),
        include_str!("tokens/code.c.txt"),
        include_str!("tokens/code.sh.txt"),
        include_str!("tokens/code.html.txt"),
        include_str!("../Cargo.toml"),
    ];
    files.iter().map(|file| file.chars().take(4_000).collect()).collect()
}

fn emoji() -> Vec<String> {
    let common = "😀 😂 🤣 ❤️ 😍 🙏 👍 🎉 🚀 🔥 ✨ 🥳 🤖 🐙 🍕 🌍 ⚡ ✅ ❌ ⭐ 🏆 🚢 ☀️ 🌧️ ";
    let joined = "👨‍👩‍👧‍👦 👩‍💻 🧑‍🚀 👩🏽‍🔬 👨🏿‍🦱 🏳️‍🌈 👩‍❤️‍💋‍👨 🧔🏻‍♂️ ";
    let skins = "👍🏻 👍🏼 👋🏽 👋🏾 🙏🏿 🙏🏻 💪🏼 💪🏽 🤝🏾 👏🏿 ";
    let flags = "🇦🇹 🇩🇪 🇫🇷 🇯🇵 🇧🇷 🇮🇳 🇺🇦 🇨🇭 ";
    let new = "🫠 🫡 🪿 🫎 🪼 🩷 🫨 🦫 🪴 🫶 🧌 🪩 ";
    let mut samples = Vec::new();
    for text in [common, joined, skins, flags, new] {
        samples.push(text.repeat(3));
        samples.push(text.repeat(3).replace(' ', ""));
    }
    samples.push("Great job team 🎉🎉 see you at the launch 🚀🔥 can’t wait!! 😂 ".repeat(4));
    samples.push("😀".repeat(100));
    samples.push("🔥".repeat(40));
    samples.push([common, joined, skins, flags, new].concat());
    samples
}

fn other(random: &mut Random) -> Vec<String> {
    let r = random;
    vec![
        lines(40, |n| {
            format!(
                "2026-05-03T10:{:02}:07.{:03}Z INFO [http-{}] GET /api/v1/users/{} 200 {}ms",
                n,
                r.below(1_000),
                r.below(9),
                r.below(9_999),
                r.below(300)
            )
        }),
        lines(20, |_| {
            format!(
                "https://www.example.com/{}/{}-{}?id={}&token={}#top",
                r.of(&WORDS),
                r.of(&WORDS),
                r.of(&WORDS),
                r.below(999),
                r.hex(8)
            )
        }),
        lines(60, |_| format!("{}{}", " ".repeat(r.below(40) as usize), r.of(&WORDS))),
        include_str!("../README.md").to_owned(),
        " ".repeat(500),
        "-".repeat(500),
        "0".repeat(500),
        "\n".repeat(300),
    ]
}

fn generated(kind: &str, texts: Vec<String>) -> Samples {
    Samples(texts.into_iter().map(|text| (kind.to_owned(), text)).collect())
}

/// What is no prose.
fn kinds() -> Vec<Samples> {
    let mut random = Random(7);
    vec![
        generated("CSV", csv(&mut random)),
        generated("hex", hex(&mut random)),
        generated("JSON", json(&mut random)),
        generated("code", code()),
        generated("emoji", emoji()),
        generated("other", other(&mut random)),
    ]
}

#[test]
fn prose_is_estimated_on_the_safe_side() {
    let vocabulary = tiktoken_rs::o200k_base().unwrap();
    let samples = prose().into_iter().flat_map(|(language, text)| paragraphs(language, text).0).collect();
    Samples(samples).check(&vocabulary);
}

#[test]
fn data_code_and_emoji_are_estimated_on_the_safe_side() {
    let vocabulary = tiktoken_rs::o200k_base().unwrap();
    Samples(kinds().into_iter().flat_map(|samples| samples.0).collect()).check(&vocabulary);
}

/// An older vocabulary, which knows fewer words of other languages than English: what it needs for those no estimate can
/// give that isn't far too high for the newer one.
#[test]
fn an_older_vocabulary_is_met_where_it_does_not_differ() {
    let vocabulary = tiktoken_rs::cl100k_base().unwrap();
    let [csv, hex, json, _, _, _] = kinds().try_into().unwrap_or_else(|_| panic!("six kinds"));
    let english = paragraphs("English", include_str!("tokens/english.txt"));
    Samples([csv.0, hex.0, json.0, english.0].concat()).check(&vocabulary);
}
