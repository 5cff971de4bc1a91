use std::collections::BTreeSet;

use super::sentences::sentences;
use crate::memory::Passage;
use crate::search::{Bm25, Terms, analyze};

/// How the answer begins, so that nobody takes it for a model's.
const OPENING: &str = "I am not a language model, so I quote what fits your question best:";
const NEAREST: &str = "I am not a language model, and nothing that I was given shares a word with your question. What \
                       search thought nearest:";
const NOTHING: &str = "I am not a language model: I can only quote, and I found nothing to quote for your question.";

/// The most sentences that are quoted, and the most bytes of them.
const QUOTES: usize = 5;
const QUOTED_BYTES: usize = 1_500;
/// A sentence that fits less than this, compared to the best, is left out.
const LEAST: f64 = 0.35;

/// A sentence of a passage.
struct Candidate {
    passage: usize,
    place: usize,
    text: String,
    terms: Terms,
    score: f64,
}

/// The best sentences of the passages for the question, with their sources.
pub(super) fn answer(question: &str, passages: &[Passage]) -> String {
    let asked = analyze(question);
    let mut candidates = candidates(passages);
    // The question itself, found among earlier messages, is no answer to it.
    candidates.retain(|c| c.terms.length > 0 && !c.terms.counts.keys().all(|term| asked.counts.contains_key(term)));
    score(&asked, passages, &mut candidates);
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then((a.passage, a.place).cmp(&(b.passage, b.place))));

    let best = candidates.first().map_or(0.0, |c| c.score);
    let opening = match candidates.first() {
        None => return NOTHING.to_owned(),
        Some(_) if best > 0.0 => OPENING,
        Some(_) => NEAREST,
    };
    let mut quotes: Vec<&Candidate> = Vec::new();
    let mut bytes = 0;
    for candidate in &candidates {
        let fits = if best > 0.0 { candidate.score >= best * LEAST } else { quotes.is_empty() };
        if !fits || quotes.len() == QUOTES || bytes + candidate.text.len() > QUOTED_BYTES {
            break;
        }
        if quotes.iter().all(|quote| quote.text != candidate.text) {
            bytes += candidate.text.len();
            quotes.push(candidate);
        }
    }
    let lines: Vec<String> = quotes.iter().map(|quote| format!("> {} [{}]", quote.text, quote.passage + 1)).collect();
    let cited: BTreeSet<usize> = quotes.iter().map(|quote| quote.passage).collect();
    let sources: Vec<String> = cited.iter().map(|&at| format!("[{}] {}", at + 1, passages[at].path)).collect();
    format!("{opening}\n\n{}\n\n{}", lines.join("\n\n"), sources.join("\n"))
}

fn candidates(passages: &[Passage]) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (passage, found) in passages.iter().enumerate() {
        // What an earlier answer like this one quoted is quoted from where it stands.
        if found.text.starts_with("I am not a language model") {
            continue;
        }
        for (place, text) in sentences(&found.text).into_iter().enumerate() {
            let terms = analyze(&text);
            candidates.push(Candidate { passage, place, text, terms, score: 0.0 });
        }
    }
    candidates
}

/// BM25 over the sentences, weighted by how good search thought the passage.
fn score(asked: &Terms, passages: &[Passage], candidates: &mut [Candidate]) {
    let total = candidates.iter().map(|c| u64::from(c.terms.length)).sum();
    let bm25 = Bm25::new(candidates.len() as u64, total);
    for term in asked.counts.keys() {
        let holders = candidates.iter().filter(|c| c.terms.counts.contains_key(term)).count();
        let term_score = bm25.term(holders as u64);
        for candidate in candidates.iter_mut() {
            if let Some(&count) = candidate.terms.counts.get(term) {
                candidate.score += term_score.score(count, candidate.terms.length);
            }
        }
    }
    for candidate in candidates {
        let passage = f64::from(passages[candidate.passage].score);
        let weight = if passage.is_finite() { passage.clamp(0.0, 1.0) } else { 0.0 };
        candidate.score *= 0.5 + 0.5 * weight;
    }
}
