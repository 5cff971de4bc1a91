//! What of raw HTML a reader sees.

use std::ops::Range;

use pulldown_cmark::{Event, Parser};

/// Elements whose content is not shown.
const UNSEEN: [&str; 3] = ["script", "style", "template"];

/// A piece of raw HTML.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: Range<usize>,
    /// What is seen of it; nothing of a piece that is hidden.
    pub(super) text: String,
    pub(super) hidden: bool,
}

/// The pieces of some HTML, in order and without gaps; and whether a comment is still open at its end.
pub(super) fn pieces(html: &str) -> (Vec<Piece>, bool) {
    let (mut pieces, mut shown, mut at) = (Vec::new(), 0, 0);
    let mut push = |range: Range<usize>, hidden: bool| {
        if !range.is_empty() {
            let text = if hidden { String::new() } else { visible(&html[range.clone()]) };
            pieces.push(Piece { range, text, hidden });
        }
    };
    let mut open = false;
    while let Some(found) = html[at..].find('<') {
        let start = at + found;
        let Some(end) = unseen(&html[start..]) else {
            at = start + 1;
            continue;
        };
        push(shown..start, false);
        let end = end.map_or(html.len(), |end| start + end);
        open = html[start..].starts_with("<!--") && !html[start..end].ends_with("-->");
        push(start..end, true);
        (shown, at) = (end, end);
    }
    push(shown..html.len(), false);
    (pieces, open)
}

/// Whether the text begins with what is not shown, and where that ends; it may have no end.
fn unseen(html: &str) -> Option<Option<usize>> {
    if let Some(rest) = html.strip_prefix("<!--") {
        // `<!-->` and `<!--->` are whole comments.
        let inner = ["->", ">"].iter().find(|end| rest.starts_with(**end)).map(|end| 4 + end.len());
        return Some(inner.or_else(|| rest.find("-->").map(|end| 4 + end + 3)));
    }
    let name = html[1..].split(|c: char| !c.is_ascii_alphanumeric()).next()?;
    let element = UNSEEN.into_iter().find(|element| name.eq_ignore_ascii_case(element))?;
    let closing = html.match_indices("</").find(|(at, _)| {
        let name = &html.as_bytes()[at + 2..];
        name.get(..element.len()).is_some_and(|name| name.eq_ignore_ascii_case(element.as_bytes()))
    });
    Some(closing.map(|(at, _)| html[at..].find('>').map_or(html.len(), |end| at + end + 1)))
}

/// Elements that stand within a word or a line: their tags part nothing.
const INLINE: [&str; 31] = [
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "label", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var",
];

/// Text without its tags, in one line.
fn visible(html: &str) -> String {
    let (mut text, mut rest) = (String::new(), html);
    while let Some((before, tag)) = rest.split_once('<') {
        push_text(before, &mut text);
        let opens = tag.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        match tag.find('>').filter(|_| opens) {
            Some(end) => {
                let name = tag.trim_start_matches('/').split(|c: char| !c.is_ascii_alphanumeric()).next();
                if !name.is_some_and(|name| INLINE.iter().any(|inline| inline.eq_ignore_ascii_case(name))) {
                    text.push(' ');
                }
                rest = &tag[end + 1..];
            }
            // What never ends is no text either; a sign between two numbers is.
            None if opens => rest = "",
            None => {
                text.push('<');
                rest = tag;
            }
        }
    }
    push_text(rest, &mut text);
    let words: Vec<&str> = text.split_whitespace().filter(|word| !word.chars().all(|c| c == '>')).collect();
    words.join(" ")
}

/// Text between tags: `&amp;` and its like are read as the Markdown parser reads them.
fn push_text(html: &str, text: &mut String) {
    let mut rest = html;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = match rest[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '#') {
            Some(end) if rest[1 + end..].starts_with(';') => &rest[..end + 2],
            _ => &rest[..1],
        };
        for event in Parser::new(entity) {
            if let Event::Text(read) = event {
                text.push_str(&read);
            }
        }
        rest = &rest[entity.len()..];
    }
    text.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_scripts_and_tags_are_not_seen() {
        for (html, expected, open) in [
            ("<div>\n<b>two</b> words <!-- a\n> b --></div>", "two words", false),
            ("<!-- a --> shown", "shown", false),
            ("<!--> shown <!---> too", "shown too", false),
            ("<p>a<!-- b", "a", true),
            ("<SCRIPT>let a;</script >b<style>c</style>", "b", false),
            ("<script>never ends", "", false),
            ("<p>1 < 2</p>", "1 < 2", false),
            ("<p>Ham &amp; <b>egg</b>s, <td>&#8364; &lt;b&gt; &nix; & &a</p>", "Ham & eggs, € <b> &nix; & &a", false),
            ("<img alt='a' src=", "", false),
            ("", "", false),
        ] {
            let (pieces, is_open) = pieces(html);
            let texts: Vec<&str> = pieces.iter().map(|p| p.text.as_str()).filter(|text| !text.is_empty()).collect();
            assert_eq!((texts.join(" ").as_str(), is_open), (expected, open), "{html}");
            assert_eq!(pieces.iter().map(|piece| &html[piece.range.clone()]).collect::<String>(), html);
        }
    }
}
