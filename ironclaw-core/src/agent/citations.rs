use std::ops::Range;

/// How much of what stands beside a number says where it comes from, in characters.
const BESIDE: usize = 8;

/// A number that a text cites, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cited {
    pub(super) number: usize,
    /// The bytes of the number, without brackets, each time.
    pub(super) places: Vec<Range<usize>>,
}

/// What a text cites (`[1]`, `[2, 3]`, `【1】`), in the order of first citation, if the numbers are 1 to the number of
/// passages. A number that the text took over with the words beside it from a passage is none of its own, unless the
/// passage that it names says those words, too: an earlier answer may be among the passages.
pub(super) fn cited(text: &str, passages: &[&str]) -> Vec<Cited> {
    let mut found: Vec<Cited> = Vec::new();
    for (at, _) in text.match_indices(['[', '【']) {
        let inside = text[at..].trim_start_matches(['[', '【']);
        let Some(end) = inside.find([']', '】']) else { continue };
        let start = text.len() - inside.len();
        // All or nothing: `[3 May]` and `[x]` cite nothing.
        let Some(cited) = numbers(&inside[..end]) else { continue };
        let known = |number: &usize| (1..=passages.len()).contains(number);
        let cited: Vec<(usize, Range<usize>)> = cited.into_iter().filter(|(number, _)| known(number)).collect();
        let named: Vec<usize> = cited.iter().map(|(number, _)| *number).collect();
        if is_quoted(text, at, inside, end, passages) && !is_said(&text[..at], &named, passages) {
            continue;
        }
        for (number, place) in cited {
            let place = start + place.start..start + place.end;
            match found.iter_mut().find(|other| other.number == number) {
                Some(other) if other.places.contains(&place) => {}
                Some(other) => other.places.push(place),
                None => found.push(Cited { number, places: vec![place] }),
            }
        }
    }
    found
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

/// Whether a passage has the number together with what stands before it, or with what stands after it.
fn is_quoted(text: &str, at: usize, inside: &str, end: usize, passages: &[&str]) -> bool {
    let closing = inside[end..].chars().next().map_or(0, char::len_utf8);
    let after = text.len() - inside.len() + end + closing;
    let before = text[..at].char_indices().rev().nth(BESIDE - 1).map(|(start, _)| &text[start..after]);
    let behind = text[after..].char_indices().nth(BESIDE - 1).map(|(i, c)| &text[at..after + i + c.len_utf8()]);
    before.into_iter().chain(behind).any(|words| passages.iter().any(|passage| passage.contains(words)))
}

/// Whether one of the cited passages has the words before the number.
fn is_said(before: &str, cited: &[usize], passages: &[&str]) -> bool {
    let before = before.trim_end();
    let Some((start, _)) = before.char_indices().rev().nth(BESIDE - 1) else { return false };
    let passage = |number: &usize| number.checked_sub(1).and_then(|index| passages.get(index));
    cited.iter().filter_map(passage).any(|passage| passage.contains(&before[start..]))
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
    fn what_an_earlier_answer_cited_is_cited_again() {
        let earlier = "> The heron stands in the pond. [1]\n\n[1] a.md";
        let passages = ["The heron stands in the pond.", earlier];
        assert_eq!(cited_numbers(earlier, &passages), [1]);
        assert_eq!(cited_numbers(earlier, &["Something else.", earlier]), Vec::<usize>::new());
    }
}
