//! Which characters keep a text from being one line as it was written.

/// Whether a reader may take what follows for a new line: the mandatory breaks of Unicode (UAX 14), and the separators
/// of ASCII.
pub(crate) fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\u{B}' | '\u{C}' | '\r' | '\u{1C}'..='\u{1E}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether a character breaks a line, moves the cursor, or changes the order of what is shown.
pub(crate) fn is_unseen(c: char) -> bool {
    c.is_control()
        || ends_line(c)
        || matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The text with blanks in the place of such characters.
pub(crate) fn in_one_line(text: &str) -> String {
    text.replace(is_unseen, " ")
}
