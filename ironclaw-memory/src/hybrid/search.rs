use std::cmp::Ordering;
use std::collections::HashMap;

use futures::future::join;
use ironclaw_core::embedder::Purpose;
use ironclaw_core::id::ChunkId;
use ironclaw_core::input::{Problem, check_size};
use ironclaw_core::memory::{MemoryError, Passage, SearchQuery, SearchResults};
use ironclaw_core::model::workspace::{ChunkHit, ChunkText};
use ironclaw_core::omission::Omission;
use ironclaw_core::search::{TextQuery, analyze};
use ironclaw_core::store::{SearchFilter, StoreError, VectorQuery};
use ironclaw_core::{InputError, Scope};

use super::Inner;
use crate::error;
use crate::fusion::{Arms, fuse};

/// The most passages of one search.
const PASSAGES: usize = 100;
/// The most chunks whose texts a store gives at once.
const TEXTS: usize = 1_000;
/// How often a search is made again because a file was replaced between finding its chunks and reading them.
const ATTEMPTS: usize = 5;

/// A query as both arms take it.
struct Prepared {
    text: TextQuery,
    vector: Option<VectorQuery>,
    filter: SearchFilter,
    depth: u32,
}

impl Inner {
    pub(super) async fn search(&self, scope: &Scope, query: &SearchQuery) -> Result<SearchResults, MemoryError> {
        self.check_query(query).map_err(error::invalid("search"))?;
        let (vector, meaning) = self.query_vector(scope, &query.text).await;
        let prepared = Prepared {
            text: TextQuery::new(&query.text, &self.options.limits),
            vector,
            filter: SearchFilter::default().prefix(query.prefix.clone()),
            depth: self.options.candidates.max(u32::try_from(query.limit).unwrap_or(u32::MAX)),
        };
        let mut attempt = 1;
        loop {
            let (passages, complete) =
                self.ranked(scope, &prepared, query.limit).await.map_err(error::store("search"))?;
            if complete || attempt == ATTEMPTS {
                let replaced = (!complete).then_some(Omission::Replaced);
                let omissions = meaning.into_iter().chain(prepared.text.omission()).chain(replaced);
                return Ok(
                    SearchResults::new(passages).degraded(omissions.map(|omission| omission.to_string()).collect())
                );
            }
            attempt += 1;
        }
    }

    fn check_query(&self, query: &SearchQuery) -> Result<(), InputError> {
        if query.text.trim().is_empty() {
            return Err(InputError::new("query", Problem::Empty));
        }
        check_size("query", query.text.len(), self.options.query_bytes, "bytes")?;
        if !(1..=PASSAGES).contains(&query.limit) {
            return Err(InputError::new("limit", Problem::OutOfRange { expected: "1 to 100 passages" }));
        }
        Ok(())
    }

    /// The query's vector, if it has one; or why there is none, if there should be.
    async fn query_vector(&self, scope: &Scope, text: &str) -> (Option<VectorQuery>, Option<Omission>) {
        match self.embed(scope, Purpose::Query, vec![text.to_owned()]).await {
            Ok(mut vectors) => {
                let vector = vectors.pop().filter(|vector| vector.iter().any(|x| *x != 0.0));
                let model = self.embedder.model().id.clone();
                (vector.map(|vector| VectorQuery::new(model, vector)), None)
            }
            Err(error) => {
                tracing::warn!(%error, "a query could not be embedded");
                (None, Some(Omission::Meaning { cause: error.without_cause() }))
            }
        }
    }

    /// The best passages, best first; and whether all that were found were still there to be read.
    async fn ranked(&self, scope: &Scope, query: &Prepared, limit: usize) -> Result<(Vec<Passage>, bool), StoreError> {
        let workspace = self.store.workspace();
        let vectors = async {
            match &query.vector {
                Some(vector) => workspace.search_vectors(scope, vector, &query.filter, query.depth).await,
                None => Ok(Vec::new()),
            }
        };
        let text = workspace.search_text(scope, &query.text, &query.filter, query.depth);
        let (text, vectors) = join(text, vectors).await;
        let (text, vectors) = (text?, vectors?);

        let (depth, lexical) = (query.depth as usize, self.embedder.model().lexical);
        let best = best(fuse(&Arms { text: &text, vectors: &vectors, depth, lexical }), limit);
        let ids: Vec<ChunkId> = best.iter().map(|(chunk, _)| *chunk).collect();
        let found = workspace.chunks(scope, &ids).await?;
        let complete = found.len() == ids.len();
        let scores: HashMap<ChunkId, f64> = best.into_iter().collect();
        Ok((passages(found, &scores, &query.text, &vectors, limit), complete))
    }
}

/// The best `limit` and those as good as the last of them, best first.
fn best(mut fused: Vec<(ChunkId, f64)>, limit: usize) -> Vec<(ChunkId, f64)> {
    fused.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if let Some(&(_, last)) = fused.get(limit - 1) {
        fused.retain(|(_, score)| *score >= last);
    }
    fused.truncate(TEXTS);
    fused
}

/// The passages with their scores: best first, equal ones by path and offset.
///
/// Fused scores are relative: the best of a bad lot has 1 as well. So all are multiplied by how well the best passage
/// fits in absolute terms, which leaves their order as it is: the share of the query's terms that occur in it, or the
/// best cosine similarity, whichever is greater.
fn passages(
    found: Vec<ChunkText>,
    scores: &HashMap<ChunkId, f64>,
    query: &TextQuery,
    vectors: &[ChunkHit],
    limit: usize,
) -> Vec<Passage> {
    let score = |chunk: &ChunkId| scores.get(chunk).copied().unwrap_or_default();
    let by_score = |a: &ChunkText, b: &ChunkText| score(&a.chunk).total_cmp(&score(&b.chunk));
    let covered = found.iter().max_by(|a, b| by_score(a, b)).map_or(0.0, |best| coverage(query, &best.text));
    let similarity = vectors.iter().map(|hit| hit.score).fold(0.0, f64::max);
    let fit = covered.max(similarity).clamp(0.0, 1.0);

    let passage = |ChunkText { chunk, path, start, end, text, .. }| {
        let score = (fit * score(&chunk)) as f32;
        Passage::new(path, start, end, text, score)
    };
    let mut passages: Vec<Passage> = found.into_iter().map(passage).collect();
    passages.sort_by(order);
    passages.truncate(limit);
    passages
}

fn order(a: &Passage, b: &Passage) -> Ordering {
    b.score.total_cmp(&a.score).then_with(|| a.path.cmp(&b.path)).then(a.start.cmp(&b.start))
}

fn coverage(query: &TextQuery, text: &str) -> f64 {
    if query.is_empty() {
        return 0.0;
    }
    let counts = analyze(text).counts;
    let present = query.terms().iter().filter(|term| counts.contains_key(*term)).count();
    present as f64 / query.terms().len() as f64
}
