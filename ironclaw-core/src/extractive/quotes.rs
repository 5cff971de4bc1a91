use std::collections::BTreeSet;

use super::sentences::sentences;
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
const LEAST: f64 = 0.6;
/// A quote goes on with the next sentence as long as it stays within this many bytes.
const QUOTE_BYTES: usize = 320;

/// A passage cut into sentences.
struct Candidate {
    passage: usize,
    sentences: Vec<(String, Terms)>,
    fit: f64,
}

/// The best passages for the question, each quoted where it fits best, with their sources.
pub(super) fn answer(question: &str, passages: &[Passage]) -> String {
    let asked = analyze(question);
    let mut candidates = candidates(&asked, passages);
    let rarity = Rarity::of(&asked, &candidates);
    for candidate in &mut candidates {
        let terms: BTreeSet<&str> =
            candidate.sentences.iter().flat_map(|(_, terms)| terms.counts.keys().map(String::as_str)).collect();
        let covered = rarity.share(|term| terms.contains(term));
        let found = f64::from(passages[candidate.passage].score);
        let found = if found.is_finite() { found.clamp(0.0, 1.0) } else { 0.0 };
        candidate.fit = if covered > 0.0 { 0.5 * covered + 0.5 * found } else { 0.0 };
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

fn candidates(asked: &Terms, passages: &[Passage]) -> Vec<Candidate> {
    // What an earlier answer like this one quoted is quoted from where it stands.
    let quotable =
        passages.iter().enumerate().filter(|(_, found)| !found.text.starts_with("I am not a language model"));
    quotable
        .map(|(passage, found)| {
            let sentences = sentences(&found.text).into_iter().map(|text| {
                let terms = analyze(&text);
                (text, terms)
            });
            Candidate { passage, sentences: sentences.filter(|(_, terms)| terms.length > 0).collect(), fit: 0.0 }
        })
        // The question itself, found among earlier messages, is no answer to it.
        .filter(|candidate| {
            let mut terms = candidate.sentences.iter().flat_map(|(_, terms)| terms.counts.keys());
            terms.any(|term| !asked.counts.contains_key(term))
        })
        .collect()
}

/// The passage's sentence that covers most of the question, and what follows it as far as there is room.
fn quote(candidate: &Candidate, rarity: &Rarity<'_>) -> String {
    let share = |terms: &Terms| rarity.share(|term| terms.counts.contains_key(term));
    let mut best = (0, f64::MIN);
    for (place, (_, terms)) in candidate.sentences.iter().enumerate() {
        let share = share(terms);
        if share > best.1 {
            best = (place, share);
        }
    }
    let mut quote = String::new();
    for (sentence, _) in candidate.sentences.iter().skip(best.0) {
        if !quote.is_empty() {
            if quote.len() + sentence.len() > QUOTE_BYTES {
                break;
            }
            quote.push(' ');
        }
        quote.push_str(sentence);
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
