/// What a character is to an estimate. Costs are in hundredths of a token, measured against `o200k_base` and rounded
/// up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A letter of the Latin alphabet, with or without marks.
    Latin,
    /// A letter of another alphabet: what a word costs, and each letter of it.
    Word {
        /// What the word costs.
        base: usize,
        /// What each letter costs.
        letter: usize,
    },
    /// A digit.
    Digit,
    /// White space.
    Blank,
    /// A sign of ASCII.
    Sign,
    /// What each costs by itself: ideographs, syllables, emoji, and all that is seldom.
    Each(usize),
}

const CYRILLIC: Class = Class::Word { base: 60, letter: 21 };
const GREEK: Class = Class::Word { base: 70, letter: 34 };
const HEBREW: Class = Class::Word { base: 60, letter: 36 };
const ARABIC: Class = Class::Word { base: 70, letter: 28 };
const INDIC: Class = Class::Word { base: 50, letter: 30 };
/// Georgian, Armenian, Burmese, Khmer.
const OTHER: Class = Class::Word { base: 60, letter: 45 };

pub(super) fn class(c: char) -> Class {
    match u32::from(c) {
        0x00..=0x7F => match c {
            'a'..='z' | 'A'..='Z' => Class::Latin,
            '0'..='9' => Class::Digit,
            ' ' | '\t' | '\n' | '\r' | '\u{B}' | '\u{C}' => Class::Blank,
            _ => Class::Sign,
        },
        0xC0..=0x24F | 0x300..=0x36F | 0x1E00..=0x1EFF => Class::Latin,
        0x370..=0x3FF | 0x1F00..=0x1FFF => GREEK,
        0x400..=0x52F => CYRILLIC,
        0x530..=0x58F | 0x1000..=0x10FF | 0x1780..=0x17FF => OTHER,
        0x590..=0x5FF => HEBREW,
        0x600..=0x77F | 0xFB50..=0xFDFF | 0xFE70..=0xFEFE => ARABIC,
        0x900..=0xDFF => INDIC,
        // Thai.
        0xE00..=0xE7F => Class::Each(54),
        // Joiners, variation selectors, dashes and quotation marks.
        0x200D => Class::Each(115),
        0xFE00..=0xFE0F => Class::Each(8),
        0x2000..=0x206F => Class::Each(100),
        0x20E3 => Class::Each(215),
        0x2100..=0x2BFF => Class::Each(150),
        // Kana with the punctuation, ideographs, Hangul.
        0x3000..=0x30FF | 0xFF00..=0xFFEF => Class::Each(105),
        0x3400..=0x9FFF => Class::Each(108),
        0xAC00..=0xD7AF => Class::Each(95),
        // Emoji: flags, skins, the old ones that vocabularies know, and the others.
        0x1F1E6..=0x1F1FF => Class::Each(215),
        0x1F3FB..=0x1F3FF => Class::Each(200),
        0x1F300..=0x1F64F | 0x1F680..=0x1F6FF => Class::Each(158),
        0x1F000..=0x1FAFF => Class::Each(290),
        // What no vocabulary knows costs up to its bytes.
        0x80..=0x7FF => Class::Each(100),
        _ => Class::Each(100 * (c.len_utf8() - 1)),
    }
}
