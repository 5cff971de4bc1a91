//! Texts and values that break what is careless.

use serde_json::{Value, json};

use super::random::Random;

/// Texts that every text field must keep as they are.
pub(crate) const HOSTILE: &[&str] = &[
    "\u{202e}\u{200f}مرحبا بالعالم\u{202c} right to left",
    "👩‍👩‍👧‍👦🏳️‍🌈 e\u{301}\u{327}\u{489} Å Å 한글 ﬃ ＡＢＣ",
    "'; DROP TABLE messages; -- \" ` $1 ?1 :name @x %s {} \\ \\u0000 \\0",
    "\"lighthouse\" AND NEAR(x, y) OR lighthouse* ^a:b -NOT (",
    "\r\n\t\u{1}\u{7f}\u{85}\u{2028}\u{feff}\u{fffd}\u{10ffff}",
    "  leading and trailing  ",
];

/// All hostile texts in one, with a tag that tells it from others.
pub(crate) fn hostile(tag: &str) -> String {
    format!("{tag}: {}", HOSTILE.join(" | "))
}

/// A hostile name: no control characters, short enough for any name.
pub(crate) fn hostile_name(tag: &str) -> String {
    format!("{tag} \u{200f}مر '; DROP-- \" 👩‍👩‍👧 e\u{301} %_*\\ $1")
}

/// A JSON object with hostile keys and texts, and numbers at their ends.
pub(crate) fn hostile_json(tag: &str) -> Value {
    json!({
        "tag": tag,
        "": [null, true, {"a": {"": []}}],
        HOSTILE[0]: HOSTILE[1],
        HOSTILE[2]: [HOSTILE[3], HOSTILE[4]],
        "numbers": [0, -1, u64::MAX, i64::MIN, 0.5, -2.25],
    })
}

/// A text of exactly `bytes` bytes with characters of one to four bytes, none of them at a regular place, that nothing
/// compresses.
pub(crate) fn long_text(bytes: usize) -> String {
    let mut random = Random::new(bytes as u64);
    let mut text = String::with_capacity(bytes);
    loop {
        let letters = 1 + random.below(100);
        let word = random.letters(letters) + [" ", "ß", "€", "🦀", " ", "\n"][random.below(6)];
        if text.len() + word.len() > bytes {
            break;
        }
        text.push_str(&word);
    }
    let rest = bytes - text.len();
    text + &random.letters(rest)
}
