use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// How much of what stands beside a number says where it comes from, in characters.
const BESIDE: usize = 8;
/// How many places of one number are told: a model that repeats itself would fill the record with them.
const PLACES: usize = 1_000;

/// A number that a text cites, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cited {
    pub(super) number: usize,
    /// The bytes of the number, without brackets, the first [`PLACES`] times.
    pub(super) places: Vec<Range<usize>>,
}

/// What a text cites (`[1]`, `[2, 3]`, `【1】`), in the order of first citation, if the numbers are 1 to the number of
/// passages. A number that the text took over with the words beside it from a passage is none of its own, unless the
/// passage that it names says those words, too: an earlier answer may be among the passages.
///
/// It takes time in proportion to the text and the passages, whatever is in them: a model's text is anybody's.
pub(super) fn cited(text: &str, passages: &[&str]) -> Vec<Cited> {
    let mut found: Vec<Cited> = Vec::new();
    let mut at: HashMap<usize, usize> = HashMap::new();
    let quotes = Quotes::new(passages);
    for list in lists(text) {
        // All or nothing: `[3 May]` and `[x]` cite nothing.
        let Some(cited) = numbers(&text[list.inside.clone()]) else { continue };
        let known = |number: &usize| (1..=passages.len()).contains(number);
        let cited: Vec<(usize, Range<usize>)> = cited.into_iter().filter(|(number, _)| known(number)).collect();
        if quotes.has(&list, text) && !cited.iter().any(|(number, _)| quotes.says(*number, &text[..list.whole.start])) {
            continue;
        }
        for (number, place) in cited {
            let place = list.inside.start + place.start..list.inside.start + place.end;
            let at = *at.entry(number).or_insert(found.len());
            if at == found.len() {
                found.push(Cited { number, places: Vec::new() });
            }
            if found[at].places.len() < PLACES {
                found[at].places.push(place);
            }
        }
    }
    found
}

/// What stands in brackets within a text, without brackets inside.
struct List {
    /// With its brackets, however many open it.
    whole: Range<usize>,
    inside: Range<usize>,
}

/// All of them, in one pass.
fn lists(text: &str) -> impl Iterator<Item = List> {
    let mut open: Option<Range<usize>> = None;
    text.match_indices(['[', '【', ']', '】']).filter_map(move |(at, bracket)| {
        let after = at + bracket.len();
        if matches!(bracket, "[" | "【") {
            let start = open.take().filter(|open| open.end == at).map_or(at, |open| open.start);
            open = Some(start..after);
            return None;
        }
        open.take().map(|open| List { whole: open.start..after, inside: open.end..at })
    })
}

/// The numbers of a list and where they are in it, if it is one.
fn numbers(list: &str) -> Option<Vec<(usize, Range<usize>)>> {
    let mut at = 0;
    let parts = list.split_inclusive([',', ';', '、']).map(|part| {
        let number = part.trim_end_matches([',', ';', '、']).trim();
        let start = at + part.len() - part.trim_start().len();
        at += part.len();
        Some((number.parse().ok()?, start..start + number.len()))
    });
    parts.collect()
}

/// What passages say around numbers, to be looked up.
struct Quotes<'a> {
    passages: &'a [&'a str],
    /// Each number in brackets together with what stands before it, and with what stands after it.
    numbers: HashSet<&'a str>,
    /// All words of so many characters in each passage, once they are asked for.
    words: Vec<OnceCell<HashSet<&'a str>>>,
}

impl<'a> Quotes<'a> {
    fn new(passages: &'a [&'a str]) -> Self {
        let beside = |passage: &'a &'a str| lists(passage).flat_map(|list| beside(list.whole, passage));
        let words = passages.iter().map(|_| OnceCell::new()).collect();
        Self { passages, numbers: passages.iter().flat_map(beside).collect(), words }
    }

    /// Whether a passage has the number together with what stands before it, or with what stands after it.
    fn has(&self, list: &List, text: &str) -> bool {
        beside(list.whole.clone(), text).any(|words| self.numbers.contains(words))
    }

    /// Whether the passage of this number has the words that `before` ends with.
    fn says(&self, number: usize, before: &str) -> bool {
        let before = before.trim_end();
        let Some((start, _)) = before.char_indices().rev().nth(BESIDE - 1) else { return false };
        let Some(at) = number.checked_sub(1).filter(|at| *at < self.passages.len()) else { return false };
        let words = self.words[at].get_or_init(|| windows(self.passages[at]).collect());
        words.contains(&before[start..])
    }
}

/// A number in brackets together with the characters before it, and with those after it, where there are so many.
fn beside(Range { start, end }: Range<usize>, text: &str) -> impl Iterator<Item = &str> {
    let before = text[..start].char_indices().rev().nth(BESIDE - 1).map(|(from, _)| &text[from..end]);
    let behind = text[end..].char_indices().nth(BESIDE - 1).map(|(i, c)| &text[start..end + i + c.len_utf8()]);
    before.into_iter().chain(behind)
}

/// Each [`BESIDE`] characters of a text that follow one another.
fn windows(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.char_indices().map(|(at, _)| at);
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8()).skip(BESIDE - 1);
    starts.zip(ends).map(|(start, end)| &text[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cited_numbers(text: &str, passages: &[&str]) -> Vec<usize> {
        cited(text, passages).into_iter().map(|cited| cited.number).collect()
    }

    #[test]
    fn the_places_are_those_of_the_numbers() {
        let text = "On 3 May [2], moved [ 1 ;2][9], [[1]] 【2、1】.";
        let found = cited(text, &[""; 2]);
        let shown = |cited: &Cited| cited.places.iter().map(|place| text[place.clone()].to_owned()).collect::<String>();
        assert_eq!(
            found.iter().map(|cited| (cited.number, shown(cited))).collect::<Vec<_>>(),
            [(2, "222".to_owned()), (1, "111".to_owned())]
        );
    }

    #[test]
    fn numbers_are_found_in_the_order_of_first_citation() {
        assert_eq!(cited_numbers("On 3 May [2], moved twice [1][2], see [3, 1].", &[""; 3]), [2, 1, 3]);
        assert_eq!(cited_numbers("五月三日【2】。", &[""; 2]), [2]);
    }

    #[test]
    fn what_is_no_citation_is_left_alone() {
        assert_eq!(cited_numbers("[0] [4] [x] [3 May] [] [1", &[""; 3]), Vec::<usize>::new());
        assert_eq!(cited_numbers("[99999999999999999999999]", &[""; 3]), Vec::<usize>::new());
    }

    #[test]
    fn a_number_of_a_passages_own_is_not_cited() {
        let passages = ["The war ended in 1945 [2]. [3] See also the index.", "", ""];
        assert_eq!(cited_numbers("> The war ended in 1945 [2]. [1]", &passages), [1]);
        assert_eq!(cited_numbers("[3] See also the index [1]", &passages), [1]);
        assert_eq!(cited_numbers("It ended [2] in 1945 [3].", &passages), [2, 3]);
    }

    #[test]
    fn a_long_text_is_read_in_one_pass() {
        const LONG: usize = 1 << 18;
        let quoted = "> The heron stands in the pond. [1] ".repeat(LONG / 36);
        for text in [
            "[1]".repeat(LONG / 3),
            "[".repeat(LONG),
            "[1".repeat(LONG / 2),
            "[【".repeat(LONG / 4) + "1",
            "]".repeat(LONG),
            format!("[{}]", "1,".repeat(LONG / 2)),
            format!("[{}", "1;".repeat(LONG / 2)),
            format!("[1{}]", " ".repeat(LONG)),
            (0..LONG / 16).map(|n| format!("{n:>8} [1], ")).collect(),
            quoted.clone(),
        ] {
            for passages in [vec![""; 100], vec![text.as_str(); 2], vec![quoted.as_str(), &text]] {
                let found = cited(&text, &passages);
                assert!(
                    found
                        .iter()
                        .all(|cited| cited.places.len() <= PLACES && cited.places.is_sorted_by_key(|p| p.start))
                );
            }
        }
        let found = cited(&"[1]".repeat(LONG / 3), &[""]);
        assert_eq!((found.len(), found[0].places.len(), found[0].places[999].clone()), (1, PLACES, 2_998..2_999));
    }

    #[test]
    fn brackets_within_brackets_are_one() {
        assert_eq!(cited_numbers("[[1] [see [2] [ [1]]", &[""; 2]), [1, 2]);
        assert_eq!(cited("[[1]]", &[""])[0].places, [Range { start: 2, end: 3 }]);
        let earlier = "See it in the pond [[1]] at dawn.";
        assert_eq!(cited_numbers("> See it in the pond [[1]] at dawn.", &["", earlier]), Vec::<usize>::new());
    }

    #[test]
    fn what_an_earlier_answer_cited_is_cited_again() {
        let earlier = "> The heron stands in the pond. [1]\n\n[1] a.md";
        let passages = ["The heron stands in the pond.", earlier];
        assert_eq!(cited_numbers(earlier, &passages), [1]);
        assert_eq!(cited_numbers(earlier, &["Something else.", earlier]), Vec::<usize>::new());
    }
}
