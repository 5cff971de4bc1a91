/// How much of what stands beside a number says where it comes from, in characters.
const BESIDE: usize = 8;

/// The numbers that a text cites (`[1]`, `[2, 3]`, `【1】`), each once, in the order of first citation, if they are 1 to
/// the number of passages. A number that the text took over with the words beside it from a passage is none of its own,
/// unless the passage that it names says those words, too: an earlier answer may be among the passages.
pub(super) fn cited_numbers(text: &str, passages: &[&str]) -> Vec<usize> {
    let mut numbers: Vec<usize> = Vec::new();
    for (at, _) in text.match_indices(['[', '【']) {
        let inside = text[at..].trim_start_matches(['[', '【']);
        let Some(end) = inside.find([']', '】']) else { continue };
        // All or nothing: `[3 May]` and `[x]` cite nothing.
        let Some(cited) = inside[..end].split([',', ';', '、']).map(|part| part.trim().parse().ok()).collect() else {
            continue;
        };
        let cited: Vec<usize> = cited;
        if !cited.iter().any(|number| (1..=passages.len()).contains(number))
            || is_quoted(text, at, inside, end, passages) && !is_said(&text[..at], &cited, passages)
        {
            continue;
        }
        for number in cited {
            if (1..=passages.len()).contains(&number) && !numbers.contains(&number) {
                numbers.push(number);
            }
        }
    }
    numbers
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
