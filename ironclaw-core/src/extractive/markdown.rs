//! Text without Markdown's marks, for quoting.

/// Whether a line opens or closes a block of code.
pub(super) fn is_fence(line: &str) -> bool {
    line.starts_with("```") || line.starts_with("~~~")
}

/// Whether a line is a rule between sections, or the line under a heading.
pub(super) fn is_rule(line: &str) -> bool {
    let mut marks = line.chars().filter(|c| !c.is_whitespace());
    match marks.next() {
        Some(first @ ('-' | '*' | '_' | '=')) => line.len() >= 3 && marks.all(|mark| mark == first),
        _ => false,
    }
}

/// The cells of a table's row; nothing for the row under its head.
pub(super) fn row(line: &str) -> String {
    if line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' ')) {
        return String::new();
    }
    let cells: Vec<String> = line.split('|').map(|cell| plain(cell.trim())).filter(|cell| !cell.is_empty()).collect();
    cells.join(" · ")
}

/// A paragraph without the marks of emphasis and code, and with links' texts in place of links.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // The marks of one character that are open: `*` or `_`.
    let mut open: Vec<char> = Vec::new();
    while let Some(c) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(c).len();
        let after = &rest[run..];
        match c {
            '`' => {
                // What is in it stands for itself, marks included.
                let closing = after.find(&rest[..run]);
                let (code, beyond) = closing.map_or(("", after), |end| (&after[..end], &after[end + run..]));
                out.push_str(code.trim());
                rest = beyond;
            }
            '*' | '_' => {
                if !is_mark(&out, &rest[..run], after, &mut open) {
                    out.push_str(&rest[..run]);
                }
                rest = after;
            }
            '!' if rest.starts_with("![") => rest = &rest[1..],
            '[' => match link(rest) {
                Some((label, beyond)) => {
                    out.push_str(&plain(label));
                    rest = beyond;
                }
                None => {
                    out.push('[');
                    rest = &rest[1..];
                }
            },
            '\\' if rest[1..].starts_with(['*', '_', '`', '[', ']', '#', '|', '\\']) => {
                let escaped = rest[1..].chars().next().map_or(1, |c| 1 + c.len_utf8());
                out.push_str(&rest[1..escaped]);
                rest = &rest[escaped..];
            }
            c => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// Whether `*` and `_` are emphasis here: beside a word, and a single one only as one of a pair.
fn is_mark(before: &str, run: &str, after: &str, open: &mut Vec<char>) -> bool {
    let (last, next) = (before.chars().next_back(), after.chars().next());
    let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let filled = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace());
    let Some(mark) = run.chars().next() else { return false };
    // Scripts without spaces have emphasis within what looks like a word.
    if word(last)
        && word(next)
        && (run.len() == 1 || (last.is_some_and(|c| c.is_ascii()) && next.is_some_and(|c| c.is_ascii())))
    {
        return false;
    }
    if run.len() > 1 {
        return filled(last) || filled(next);
    }
    if let Some(at) = open.iter().position(|other| *other == mark)
        && filled(last)
    {
        open.truncate(at);
        return true;
    }
    let closes = after.match_indices(mark).any(|(at, _)| {
        let (inside, beyond) = (after[..at].chars().next_back(), after[at + 1..].chars().next());
        filled(inside) && !word(beyond)
    });
    let opens = filled(next) && !word(last) && closes;
    if opens {
        open.push(mark);
    }
    opens
}

/// The text of the link at the beginning, and what comes after it: `[text](url)`, `[text][name]`.
fn link(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })?;
    let (label, after) = (&text[1..end], &text[end + 1..]);
    let closing = match after.chars().next()? {
        '(' => ')',
        '[' => ']',
        _ => return None,
    };
    Some((label, &after[after.find(closing)? + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_and_what_looks_like_them_stays() {
        for (text, expected) in [
            ("**Bold.** Then *slanted* and __both__ and _this_.", "Bold. Then slanted and both and this."),
            ("a `*.rs` and ``x ` y``", "a *.rs and x ` y"),
            ("2 * 3 ** 4, snake_case, 2*3*4, *.rs", "2 * 3 ** 4, snake_case, 2*3*4, *.rs"),
            ("cut off** here", "cut off here"),
            ("see [the *book*](book.md#a), ![a](b.png) and [one][1]", "see the book, a and one"),
            ("cited [1] and [open", "cited [1] and [open"),
            (r"a \*b\* c:\dir", "a *b* c:\\dir"),
            ("**打ち上げ**は五月", "打ち上げは五月"),
            ("` and [x](", " and [x]("),
            ("", ""),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }
}
