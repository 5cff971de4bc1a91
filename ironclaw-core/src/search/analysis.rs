use std::collections::BTreeMap;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// The version of the analysis: stored with what was indexed by it.
pub const ANALYSIS_VERSION: u32 = 1;

/// The longest term, in bytes; what is longer is known by its beginning.
const TERM_BYTES: usize = 64;

/// The terms of a text and how often each occurs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// Each distinct term with its count, ordered by the bytes of the term.
    pub counts: BTreeMap<String, u32>,
    /// All counts together: the text's length for BM25.
    pub length: u32,
}

/// The terms of a text.
///
/// ```
/// let terms = ironclaw_core::search::analyze("Häuser und das Haus: 東京都");
/// let found: Vec<&str> = terms.counts.keys().map(String::as_str).collect();
/// assert_eq!(found, ["haus", "京都", "東京"]);
/// assert_eq!(terms.length, 4);
/// ```
pub fn analyze(text: &str) -> Terms {
    let mut terms = Terms::default();
    for_each_term(text, |term, _| {
        terms.length = terms.length.saturating_add(1);
        match terms.counts.get_mut(term) {
            Some(count) => *count = count.saturating_add(1),
            None => {
                terms.counts.insert(term.to_owned(), 1);
            }
        }
    });
    terms
}

/// Calls `take` with each term of a text, in order, and with the word that it stands for.
pub(super) fn for_each_term(text: &str, mut take: impl FnMut(&str, &str)) {
    let english = Stemmer::create(Algorithm::English);
    let german = Stemmer::create(Algorithm::German);
    let mut run = String::new();
    // Normalising a text that is ASCII throughout, the common case, changes nothing but case.
    let normal: String =
        if text.is_ascii() { text.to_ascii_lowercase() } else { text.nfkc().collect::<String>().to_lowercase() };
    for word in normal.unicode_words() {
        if word.chars().all(is_unspaced) {
            // UAX #29 gives runs of such scripts character by character, or in pieces: join what is adjacent.
            let adjacent = run.is_empty() || ends_at(&normal, &run, word);
            if !adjacent {
                take_pairs(&run, &mut take);
                run.clear();
            }
            run.push_str(word);
            continue;
        }
        if !run.is_empty() {
            take_pairs(&run, &mut take);
            run.clear();
        }
        for part in word.split(['_', '.', ':']).filter(|part| !part.is_empty()) {
            take_word(part, &english, &german, &mut take);
        }
    }
    take_pairs(&run, &mut take);
}

/// Whether `word`, a slice of `text`, directly follows other unspaced text.
fn ends_at(text: &str, run: &str, word: &str) -> bool {
    let start = word.as_ptr() as usize - text.as_ptr() as usize;
    text[..start].ends_with(run)
}

fn take_word(word: &str, english: &Stemmer, german: &Stemmer, take: &mut impl FnMut(&str, &str)) {
    // A mixed word like `第3章` keeps its unspaced characters as pairs of its own.
    if word.chars().any(is_unspaced) {
        return take_pairs(word, take);
    }
    let word = word.trim_matches('\'');
    if word.is_empty() || STOP_WORDS.binary_search(&word).is_ok() {
        return;
    }
    if word.is_ascii() {
        take(cut(&english.stem(word)), word);
    } else if word.contains(['ä', 'ö', 'ü', 'ß']) {
        take(cut(&german.stem(word)), word);
    } else {
        // Accents are often left out when typing: compare without them. Marks of other scripts are letters there.
        let bare: String = word.nfd().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).collect();
        take(cut(if bare.is_empty() { word } else { &bare }), word);
    }
}

fn take_pairs(run: &str, take: &mut impl FnMut(&str, &str)) {
    let bounds: Vec<usize> = run.char_indices().map(|(at, _)| at).chain([run.len()]).collect();
    match bounds.len() {
        0 | 1 => {}
        2 => take(run, run),
        _ => bounds.windows(3).map(|pair| &run[pair[0]..pair[2]]).for_each(|pair| take(pair, pair)),
    }
}

fn cut(term: &str) -> &str {
    &term[..term.floor_char_boundary(TERM_BYTES)]
}

/// Whether the character is of a script that is written without spaces between words, or is Hangul, whose words take
/// endings that pairs of characters see through.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF // Thai, Lao
        | 0x1000..=0x109F // Myanmar
        | 0x1100..=0x11FF // Hangul Jamo
        | 0x1780..=0x17FF // Khmer
        | 0x3005..=0x3007
        | 0x3040..=0x30FF // Hiragana, Katakana
        | 0x3130..=0x318F
        | 0x31F0..=0x31FF
        | 0x3400..=0x4DBF // Han
        | 0x4E00..=0x9FFF
        | 0xAC00..=0xD7AF // Hangul
        | 0xF900..=0xFAFF
        | 0x20000..=0x323AF)
}

/// Words that are in nearly every English or German text and tell texts apart by nothing. Sorted.
const STOP_WORDS: &[&str] = &[
    "a", "aber", "about", "als", "also", "am", "an", "and", "are", "as", "at", "auch", "auf", "aus", "be", "been",
    "bei", "bin", "bist", "but", "by", "can", "could", "da", "das", "dass", "dem", "den", "der", "des", "did", "die",
    "do", "does", "du", "durch", "ein", "eine", "einem", "einen", "einer", "eines", "er", "es", "for", "from", "für",
    "had", "has", "hast", "hat", "have", "he", "her", "him", "his", "how", "i", "ich", "if", "ihr", "im", "in", "is",
    "ist", "it", "its", "kann", "me", "mein", "mit", "my", "nach", "nicht", "noch", "not", "nur", "oder", "of", "on",
    "or", "our", "she", "sich", "sie", "sind", "so", "than", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "those", "to", "um", "und", "uns", "us", "von", "vor", "war", "waren", "was", "we", "were", "what",
    "when", "where", "which", "who", "why", "wie", "will", "wir", "wird", "with", "wo", "would", "you", "your", "zu",
    "zum", "zur", "über",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn terms(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for_each_term(text, |term, _| found.push(term.to_owned()));
        found
    }

    #[test]
    fn stop_words_are_sorted() {
        let mut sorted = STOP_WORDS.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted, STOP_WORDS);
    }

    #[test]
    fn words_meet_their_other_forms() {
        assert_eq!(terms("Running runs"), ["run", "run"]);
        assert_eq!(terms("Die Häuser, das Haus"), ["haus", "haus"]);
        assert_eq!(terms("café CAFE"), ["cafe", "cafe"]);
        assert_eq!(terms("snake_case x.y"), ["snake", "case", "x", "y"]);
    }

    #[test]
    fn unspaced_scripts_become_pairs() {
        assert_eq!(terms("東京都に行く"), ["東京", "京都", "都に", "に行", "行く"]);
        assert_eq!(terms("猫"), ["猫"]);
        assert_eq!(terms("ＡＢＣ カタカナ"), ["abc", "カタ", "タカ", "カナ"]);
        assert_eq!(terms("도쿄, 서울"), ["도쿄", "서울"]);
    }

    #[test]
    fn operators_are_words_or_nothing() {
        assert_eq!(terms("\"x\" NEAR(y) ' OR 1=1; --"), ["x", "near", "y", "1", "1"]);
        assert_eq!(terms("*\u{200f}\0"), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn any_text_gives_bounded_terms(text in "\\PC{0,200}") {
            let found = analyze(&text);
            prop_assert!(found.counts.keys().all(|t| !t.is_empty() && t.len() <= TERM_BYTES));
            prop_assert_eq!(found.length, found.counts.values().sum::<u32>());
        }
    }
}
