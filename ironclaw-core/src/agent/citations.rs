/// The numbers that a text cites (`[1]`, `[2, 3]`, `【1】`), each once, in the order of first citation, if they are 1 to
/// `count`.
pub(super) fn cited_numbers(text: &str, count: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = Vec::new();
    for (at, _) in text.match_indices(['[', '【']) {
        let inside = text[at..].trim_start_matches(['[', '【']);
        let Some(end) = inside.find([']', '】']) else { continue };
        // All or nothing: `[3 May]` and `[x]` cite nothing.
        let Some(cited) = inside[..end].split([',', ';', '、']).map(|part| part.trim().parse().ok()).collect() else {
            continue;
        };
        let cited: Vec<usize> = cited;
        for number in cited {
            if (1..=count).contains(&number) && !numbers.contains(&number) {
                numbers.push(number);
            }
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_the_order_of_first_citation() {
        assert_eq!(cited_numbers("On 3 May [2], moved twice [1][2], see [3, 1].", 3), [2, 1, 3]);
        assert_eq!(cited_numbers("五月三日【2】。", 2), [2]);
    }

    #[test]
    fn what_is_no_citation_is_left_alone() {
        assert_eq!(cited_numbers("[0] [4] [x] [3 May] [] [1", 3), Vec::<usize>::new());
        assert_eq!(cited_numbers("[99999999999999999999999]", 3), Vec::<usize>::new());
    }
}
