//! Full-text search as every store does it: one analysis of text into terms, and BM25 with one user's statistics.
//!
//! The analysis is the same on every backend, so that a query finds and ranks the same wherever the data is. Terms:
//! words by UAX #29, in NFKC and lower case, without frequent English and German words, reduced to their stems by the
//! Snowball algorithms; Chinese, Japanese and Korean text, which has no spaces to go by, as overlapping pairs of
//! characters.

mod analysis;
mod bm25;

pub use analysis::{ANALYSIS_VERSION, Terms, analyze};
pub use bm25::{Bm25, ScoredTerm};

use std::collections::HashSet;

use crate::limits::Limits;
use crate::omission::Omission;

/// How far the scores that two stores give to the same texts for the same words may be apart, as a part of the score:
/// they compute the same, and may only round differently.
pub const TEXT_TOLERANCE: f64 = 1e-9;

/// How far the scores that two stores give to the same vectors for the same query may be apart: they compare numbers of 32
/// bits, and add them up in an order of their own. What is nearer to each other than this may change places.
pub const VECTOR_TOLERANCE: f64 = 1e-5;

/// The terms of a query: distinct, in the order of the query.
///
/// A query is never parsed for operators: quotes, `AND`, `*` and SQL are words or nothing.
///
/// ```
/// use ironclaw_core::search::TextQuery;
/// use ironclaw_core::Limits;
///
/// let query = TextQuery::new("When is the launch? The launches!", &Limits::default());
/// assert_eq!(query.terms(), ["launch"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextQuery {
    terms: Vec<String>,
    left_out: Vec<String>,
}

impl TextQuery {
    /// The terms of this text, at most [`Limits::query_terms`] of them.
    pub fn new(text: &str, limits: &Limits) -> Self {
        let (mut terms, mut left_out) = (Vec::<String>::new(), Vec::new());
        let (mut known, mut missed) = (HashSet::new(), HashSet::new());
        analysis::for_each_term(text, |term, word| {
            if known.contains(term) {
                return;
            }
            if terms.len() < limits.query_terms {
                known.insert(term.to_owned());
                terms.push(term.to_owned());
            } else if missed.insert(term.to_owned()) {
                left_out.push(word.to_owned());
            }
        });
        Self { terms, left_out }
    }

    /// What stands in `degraded` of a search for this: nothing if all of its words are searched for.
    pub fn omission(&self) -> Option<Omission> {
        let (searched, left_out) = (self.terms.len(), self.left_out.clone());
        (!left_out.is_empty()).then_some(Omission::QueryWords { searched, left_out })
    }

    /// The terms; empty for a text without any.
    pub fn terms(&self) -> &[String] {
        &self.terms
    }

    /// Whether there is nothing to search for.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}
