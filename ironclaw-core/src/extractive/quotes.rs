use super::sentences::{Kind, Sentence, sentences};
use crate::memory::Passage;
use crate::search::{Bm25, Terms, analyze};

/// How the answer begins, so that nobody takes it for a model's.
const OPENING: &str = "I am not a language model, so I quote what fits your question best:";
const NEAREST: &str = "I am not a language model, and nothing that I was given shares a word with your question. What \
                       search thought nearest:";
const NOTHING: &str = "I am not a language model: I can only quote, and I found nothing to quote for your question.";

/// The most passages that are quoted.
const QUOTES: usize = 4;
/// A passage that fits less than this, compared to the best, is left out.
const LEAST: f64 = 0.7;
/// A quote goes on with the next sentence as long as it stays within this many bytes.
const QUOTE_BYTES: usize = 320;

/// How much of a passage's fit is what search thought of it, compared to the best; the rest is how much of the question its
/// words cover.
const FOUND: f64 = 0.75;
/// What words that stand only in tables and code count, compared to those in sentences.
const ASIDE: f64 = 0.5;
/// What a passage counts that is nothing but headings: it says what something is about, and not that.
const BARE: f64 = 0.5;

/// A passage cut into sentences.
struct Candidate {
    passage: usize,
    sentences: Vec<(Sentence, Terms)>,
    fit: f64,
}

/// The best passages for the question, each quoted where it fits best, with their sources.
pub(super) fn answer(question: &str, passages: &[Passage]) -> String {
    let asked = analyze(question);
    let mut candidates = candidates(&asked, passages);
    let rarity = Rarity::of(&asked, &candidates);
    let scores = candidates.iter().map(|candidate| score(&passages[candidate.passage]));
    let highest = scores.fold(f64::MIN_POSITIVE, f64::max);
    for candidate in &mut candidates {
        let prose = rarity.share(|term| candidate.holds(term, |kind| kind != Kind::Aside));
        let all = rarity.share(|term| candidate.holds(term, |_| true));
        let covered = prose + ASIDE * (all - prose);
        let found = score(&passages[candidate.passage]) / highest;
        candidate.fit = if covered > 0.0 { (1.0 - FOUND) * covered + FOUND * found } else { 0.0 };
        if candidate.sentences.iter().all(|(sentence, _)| sentence.kind == Kind::Heading) {
            candidate.fit *= BARE;
        }
    }
    candidates.sort_by(|a, b| b.fit.total_cmp(&a.fit).then(a.passage.cmp(&b.passage)));

    let best = candidates.first().map_or(0.0, |candidate| candidate.fit);
    let (opening, most) = match candidates.is_empty() {
        true => return NOTHING.to_owned(),
        false if best > 0.0 => (OPENING, QUOTES),
        false => (NEAREST, 1),
    };
    let mut quotes: Vec<(usize, String)> = Vec::new();
    for candidate in candidates.iter().filter(|candidate| candidate.fit >= best * LEAST) {
        let quote = quote(candidate, &rarity);
        if quotes.len() < most && quotes.iter().all(|(_, other)| *other != quote) {
            quotes.push((candidate.passage, quote));
        }
    }
    let lines: Vec<String> = quotes.iter().map(|(passage, quote)| format!("> {quote} [{}]", passage + 1)).collect();
    let sources: Vec<String> =
        quotes.iter().map(|(passage, _)| format!("[{}] {}", passage + 1, passages[*passage].path)).collect();
    format!("{opening}\n\n{}\n\n{}", lines.join("\n\n"), sources.join("\n"))
}

/// What search thought of a passage, 0 to 1.
fn score(passage: &Passage) -> f64 {
    let score = f64::from(passage.score);
    if score.is_finite() { score.clamp(0.0, 1.0) } else { 0.0 }
}

fn candidates(asked: &Terms, passages: &[Passage]) -> Vec<Candidate> {
    let is_message = |passage: usize| passages[passage].is_message;
    // What an earlier answer like this one quoted is quoted from where it stands.
    let quotable = passages
        .iter()
        .enumerate()
        .filter(|(passage, found)| !(is_message(*passage) && found.text.starts_with("I am not a language model")));
    quotable
        .map(|(passage, found)| {
            let sentences = sentences(found).into_iter().map(|sentence| {
                let terms = analyze(&sentence.text);
                (sentence, terms)
            });
            Candidate { passage, sentences: sentences.filter(|(_, terms)| terms.length > 0).collect(), fit: 0.0 }
        })
        .filter(|candidate| {
            let mut terms = candidate.sentences.iter().flat_map(|(_, terms)| terms.counts.keys());
            match is_message(candidate.passage) {
                // The question itself, found among earlier messages, is no answer to it.
                true => terms.any(|term| !asked.counts.contains_key(term)),
                false => terms.next().is_some(),
            }
        })
        .collect()
}

impl Candidate {
    /// Whether the term is in a sentence of a kind that counts.
    fn holds(&self, term: &str, counts: impl Fn(Kind) -> bool) -> bool {
        self.sentences.iter().any(|(sentence, terms)| counts(sentence.kind) && terms.counts.contains_key(term))
    }
}

/// The passage's sentence that covers most of the question, and what follows it in its section as far as there is room.
/// Rows of tables and lines of code are quoted only where nothing else fits, or right below a heading that does; `[…]`
/// stands for those between two sentences.
fn quote(candidate: &Candidate, rarity: &Rarity<'_>) -> String {
    let share = |terms: &Terms| rarity.share(|term| terms.counts.contains_key(term));
    let mut best = (0, (false, false, f64::MIN));
    for (place, (sentence, terms)) in candidate.sentences.iter().enumerate() {
        let (share, prose) = (share(terms), sentence.kind != Kind::Aside);
        let rank = (share > 0.0 && prose, share > 0.0 || (prose && best.1.2 <= 0.0), share);
        if rank > best.1 {
            best = (place, rank);
        }
    }
    let (first, _) = &candidate.sentences[best.0];
    let mut quote = first.text.clone();
    let (mut last, mut left_out) = (first.kind, false);
    for (Sentence { text, kind }, _) in candidate.sentences.iter().skip(best.0 + 1) {
        if *kind == Kind::Heading || quote.len() + text.len() > QUOTE_BYTES {
            break;
        }
        if *kind == Kind::Aside && last == Kind::Prose {
            left_out = true;
            continue;
        }
        quote.push_str(match last {
            _ if std::mem::take(&mut left_out) => " […] ",
            Kind::Heading => ": ",
            // Items of a list and rows of a table often end without a mark.
            _ if quote.ends_with(char::is_alphanumeric) || quote.ends_with(')') => "; ",
            _ => " ",
        });
        quote.push_str(text);
        last = *kind;
    }
    quote
}

/// How rare each term of the question is among the passages.
struct Rarity<'a> {
    terms: Vec<(&'a str, f64)>,
    total: f64,
}

impl<'a> Rarity<'a> {
    fn of(asked: &'a Terms, candidates: &[Candidate]) -> Self {
        let bm25 = Bm25::new(candidates.len() as u64, candidates.len() as u64);
        let terms: Vec<(&str, f64)> = asked
            .counts
            .keys()
            .map(|term| {
                let holds = |c: &&Candidate| c.sentences.iter().any(|(_, terms)| terms.counts.contains_key(term));
                let holders = candidates.iter().filter(holds).count();
                (term.as_str(), bm25.term(holders as u64).score(1, 1))
            })
            .collect();
        let total = terms.iter().map(|(_, rarity)| rarity).sum();
        Self { terms, total }
    }

    /// How much of the question the terms for which `holds` is true make up: 0 to 1, rare terms counting more.
    fn share(&self, holds: impl Fn(&str) -> bool) -> f64 {
        if self.total <= 0.0 {
            return 0.0;
        }
        self.terms.iter().filter(|(term, _)| holds(term)).map(|(_, rarity)| rarity).sum::<f64>() / self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::workspace::WorkspacePath;

    fn passage(path: &str, text: &str) -> Passage {
        let is_message = path.starts_with("conversations/");
        Passage::new(WorkspacePath::parse(path).unwrap(), 0, text.len() as u64, text, 0.5).is_message(is_message)
    }

    #[test]
    fn a_file_of_the_questions_words_is_quoted_and_the_question_itself_is_not() {
        let question = "Where does the crane nest?";
        let file = answer(question, &[passage("birds.md", "The crane nests")]);
        assert!(file.starts_with(OPENING) && file.contains("> The crane nests [1]"), "{file}");
        assert_eq!(answer(question, &[passage("conversations/2026-01-01/c/1-user", "the crane nests")]), NOTHING);
    }

    #[test]
    fn a_file_that_begins_like_an_answer_is_quoted_and_an_answer_is_not() {
        let text = "I am not a language model, says the crane.";
        let file = answer("What does the crane say?", &[passage("birds.md", text)]);
        assert!(file.contains(&format!("> {text} [1]")), "{file}");
        let path = "conversations/2026-01-01/c/2-assistant";
        assert_eq!(answer("What does the crane say?", &[passage(path, text)]), NOTHING);
    }

    #[test]
    fn rows_are_quoted_only_where_nothing_else_fits() {
        let table = "| bird | nest |\n|---|---|\n| crane | on the ground |";
        let both = passage("a.md", &format!("{table}\n\nThe crane is tall.\n\n{table}\n\nIt dances."));
        assert!(answer("crane?", &[both]).contains("> The crane is tall. […] It dances. [1]"));
        let only = answer("crane?", &[passage("a.md", &format!("Birds.\n\n{table}"))]);
        assert!(only.contains("> crane · on the ground [1]"), "{only}");
        let below = answer("Which birds?", &[passage("a.md", &format!("## Birds\n\n{table}"))]);
        assert!(below.contains("> Birds: bird · nest; crane · on the ground [1]"), "{below}");
    }
}
