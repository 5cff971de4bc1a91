use std::collections::{HashMap, HashSet};

use ironclaw_core::store::StoreError;

use crate::search::Mixed;

/// What one stage leaves for another.
#[derive(Default)]
pub(super) struct Memory {
    /// Of each message that is searched: how many of its terms were not yet met in the index.
    pub(super) messages: HashMap<i64, i64, Mixed>,
    /// The same of each part of a version, by version and start.
    pub(super) parts: HashMap<(i64, i64), i64>,
    /// Messages that have more terms in the index than in their text, unless they were written meanwhile.
    pub(super) suspected_messages: HashSet<i64>,
    /// Such parts.
    pub(super) suspected_parts: HashSet<(i64, i64)>,
    /// The terms of what was suspected last: a text is analysed once, not for each of its terms.
    pub(super) terms: HashMap<(i64, i64), HashSet<String>>,
    /// Of each user: how many messages are searched, and how many terms they have together.
    pub(super) texts: HashMap<i64, (i64, i64)>,
}

/// How many suspicions are looked at once more.
pub(super) const SUSPECTED: usize = 10_000;

/// Of how many texts terms are kept.
const KEPT: usize = 256;

impl Memory {
    /// Whether a text has a term; `analyse` is asked for the text's terms if they are not known yet.
    pub(super) fn has_term(
        &mut self,
        text: (i64, i64),
        term: &str,
        analyse: impl FnOnce() -> Result<HashSet<String>, StoreError>,
    ) -> Result<bool, StoreError> {
        if let Some(terms) = self.terms.get(&text) {
            return Ok(terms.contains(term));
        }
        let terms = analyse()?;
        let has = terms.contains(term);
        if self.terms.len() >= KEPT {
            self.terms.clear();
        }
        self.terms.insert(text, terms);
        Ok(has)
    }

    pub(super) fn met_message(&mut self, message_no: i64) {
        let left = self.messages.entry(message_no).or_default();
        *left = left.saturating_sub(1);
        if *left < 0 && self.suspected_messages.len() < SUSPECTED {
            self.suspected_messages.insert(message_no);
        }
    }

    pub(super) fn met_part(&mut self, part: (i64, i64)) {
        let left = self.parts.entry(part).or_default();
        *left = left.saturating_sub(1);
        if *left < 0 && self.suspected_parts.len() < SUSPECTED {
            self.suspected_parts.insert(part);
        }
    }
}
