//! Vector search: through all of a user's vectors of one model while they are few, through an index over them when they are
//! many. The index has rows of that user alone, so that nobody else has a part in what it gives.

mod certainty;

use ironclaw_core::id::ChunkId;
use ironclaw_core::model::workspace::{ChunkHit, check_vector};
use ironclaw_core::store::{SearchFilter, StoreError, VectorQuery};

use self::certainty::Found;
use super::index::{COMPARED_ONE_BY_ONE, OwnIndex};
use super::stored::model_key;
use super::text::within;
use crate::postgres::row::{Row, params};
use crate::postgres::tx::Tx;
use crate::search::vector::normalise;

/// How many comparisons take as long as one row of an index (measured as well).
const INDEX_ROW: u128 = 35;

/// How many rows the index keeps at least while it searches, and how many at most: more find more of the nearest, and
/// take longer. More than the most the server does not take.
const LEAST_ROWS: u64 = 100;
const MOST_ROWS: u64 = 1_000;

/// The chunks whose vectors are nearest.
pub(super) async fn search(
    tx: &Tx,
    query: &VectorQuery,
    filter: &SearchFilter,
    limit: u32,
) -> Result<Vec<ChunkHit>, StoreError> {
    let Some(model) = Model::find(tx, query).await? else {
        return Ok(Vec::new());
    };
    check_vector(&query.vector, model.dimensions).map_err(|error| StoreError::invalid_input(tx.operation(), error))?;
    if model.chunks == 0 || limit == 0 {
        return Ok(Vec::new());
    }
    let within = match &filter.prefix {
        Some(prefix) => Some(within(tx, prefix).await?),
        None => None,
    };
    let mut vector = query.vector.clone();
    normalise(&mut vector);
    let search = Search { key: model_key(query.model.as_str(), model.dimensions), model, vector, within, limit };
    if let Some((own, breadth)) = search.index() {
        let found = search.through_index(tx, own, breadth).await?;
        // If the server took another index, which may have others' rows, it did not scan this one.
        if found.scans > own.scans && found.is_certain(search.model.dimensions, candidates(limit), limit) {
            return Ok(found.hits);
        }
    }
    search.one_by_one(tx).await
}

/// A user's vectors of one model, as a snapshot sees them.
struct Model {
    dimensions: usize,
    chunks: u64,
    /// Versions that are not visible.
    hidden: Vec<i64>,
    /// The index over them, if there is one.
    own: Option<Own>,
}

/// A user's own index.
struct Own {
    index: OwnIndex,
    /// About how many vectors are in it, hidden ones too.
    vectors: u64,
    /// How often this connection scanned it, as far as the server has not added it to its statistics, which it does between
    /// transactions.
    scans: i64,
}

impl Model {
    async fn find(tx: &Tx, query: &VectorQuery) -> Result<Option<Self>, StoreError> {
        let dimensions = query.vector.len();
        let key = model_key(query.model.as_str(), dimensions);
        let index = OwnIndex::new(tx.pgvector(), tx.owner_no(), key, dimensions);
        tx.query_row(
            "SELECT m.dimensions, m.chunks, \
             ARRAY(SELECT v.version_no FROM ironclaw.entry_versions v WHERE v.owner_no = $1 AND v.state <> 1), \
             pg_get_indexdef(c.oid), greatest(c.reltuples, m.chunks)::bigint, pg_stat_get_xact_numscans(c.oid) \
             FROM ironclaw.embedding_models m LEFT JOIN (pg_catalog.pg_class c JOIN pg_catalog.pg_index i \
             ON i.indexrelid = c.oid AND i.indisvalid) ON c.oid = to_regclass($3) \
             WHERE m.owner_no = $1 AND m.id = $2",
            params![tx.owner_no(), query.model.as_str(), format!("ironclaw.{}", index.name())],
            |row| {
                let definition = row.optional(3, Row::text)?;
                let own = match definition.is_some_and(|definition| index.is(&definition)) {
                    true => Some(Own { vectors: row.count(4)?, scans: row.i64(5)?, index }),
                    false => None,
                };
                Ok(Self {
                    dimensions: row.code(0, crate::search::vector::dimensions)?,
                    chunks: row.count(1)?,
                    hidden: row.array(2)?,
                    own,
                })
            },
        )
        .await
    }
}

/// How many the index is asked for. What it finds near by numbers of 16 bits is ordered by those of 32.
fn candidates(limit: u32) -> u64 {
    let limit = u64::from(limit);
    (2 * limit).max(limit + 20)
}

struct Search {
    key: i64,
    model: Model,
    vector: Vec<f32>,
    within: Option<Vec<i64>>,
    limit: u32,
}

impl Search {
    /// The index, and how broadly it has to search to find the nearest; `None` if comparing all finds them sooner, or alone
    /// finds them: what is below a path lies together, and around a query for something else there may be none of it.
    fn index(&self) -> Option<(&Own, u64)> {
        let has_direction = self.vector.iter().any(|number| *number != 0.0);
        let own = self.model.own.as_ref().filter(|_| has_direction && self.within.is_none())?;
        Some((own, breadth(self.model.chunks, own.vectors, self.limit)?))
    }

    /// Compares all vectors. No index can be asked for an order that begins with this distance, whatever it is made of.
    async fn one_by_one(&self, tx: &Tx) -> Result<Vec<ChunkHit>, StoreError> {
        // A vector of zeros has no direction: its distance is no number, and 1 by definition.
        let sql = format!(
            "SELECT v.id, 1 - v.distance FROM (\
                SELECT c.id, coalesce(nullif(c.embedding OPERATOR({pgvector}.<=>) (SELECT $2::real[]::{pgvector}.vector), \
                'NaN'), 1) AS distance \
                FROM ironclaw.chunk_vectors c WHERE c.owner_no = $1 AND c.model_key = {key} AND {condition}) v \
             ORDER BY v.distance, v.id LIMIT $3",
            pgvector = tx.pgvector(),
            key = self.key,
            condition = self.condition(),
        );
        tx.query(sql, self.params(tx), hit).await
    }

    /// Asks the index.
    async fn through_index(&self, tx: &Tx, own: &Own, breadth: u64) -> Result<Found, StoreError> {
        // Strict order: without it a search that a condition thins out gives fewer rows than asked. The planner knows
        // no other way without sorting all, and takes this user's index only for a plan that is made for this user. Servers
        // before the 18th add so much for a sort that is switched off that they would compile the statement.
        tx.query_row(
            "SELECT set_config('hnsw.iterative_scan', 'strict_order', true), \
             set_config('hnsw.ef_search', $1, true), set_config('enable_sort', 'off', true), \
             set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true)",
            params![breadth.to_string()],
            |_| Ok(()),
        )
        .await?;
        let sql = format!(
            "WITH near AS MATERIALIZED (SELECT c.id, c.embedding, c.embedding::{pgvector}.halfvec({dimensions}) AS half \
                FROM ironclaw.chunk_vectors c WHERE c.owner_no = $1 AND c.model_key = {key} AND {condition} \
                ORDER BY c.embedding::{pgvector}.halfvec({dimensions}) OPERATOR({pgvector}.<=>) \
                (SELECT $2::real[]::{pgvector}.vector::{pgvector}.halfvec({dimensions})) LIMIT {candidates}) \
             SELECT n.id, 1 - (n.embedding OPERATOR({pgvector}.<=>) (SELECT $2::real[]::{pgvector}.vector)) AS score, \
             count(*) OVER (), max(1 + ({pgvector}.l2_normalize(n.half) OPERATOR({pgvector}.<#>) \
             (SELECT {pgvector}.l2_normalize($2::real[]::{pgvector}.vector::{pgvector}.halfvec({dimensions}))))) OVER (), \
             pg_stat_get_xact_numscans(to_regclass('ironclaw.{index}')) \
             FROM near n ORDER BY score DESC, n.id LIMIT $3",
            pgvector = tx.pgvector(),
            key = self.key,
            condition = self.condition(),
            dimensions = self.model.dimensions,
            candidates = candidates(self.limit),
            index = own.index.name(),
        );
        let mut found = Found { hits: Vec::new(), candidates: 0, furthest: 0.0, scans: own.scans };
        found.hits = tx
            .query(sql, self.params(tx), |row| {
                (found.candidates, found.furthest) = (row.count(2)?, row.f64(3)?);
                found.scans = row.optional(4, Row::i64)?.unwrap_or(own.scans);
                hit(row)
            })
            .await?;
        Ok(found)
    }

    fn condition(&self) -> &'static str {
        match self.within {
            Some(_) => "c.version_no <> ALL ($4) AND c.version_no = ANY ($5)",
            None => "c.version_no <> ALL ($4)",
        }
    }

    fn params(&self, tx: &Tx) -> crate::postgres::row::Params {
        let (vector, hidden) = (self.vector.clone(), self.model.hidden.clone());
        let mut params = params![tx.owner_no(), vector, i64::from(self.limit), hidden];
        if let Some(within) = &self.within {
            params.add(within.clone());
        }
        params
    }
}

/// How broadly (`ef_search`) an index has to search to find the nearest of so many vectors among all that are in it, hidden
/// ones too: it comes upon them as often as they are of all. `None` if comparing these vectors one by one finds the nearest
/// sooner.
fn breadth(vectors: u64, indexed: u64, limit: u32) -> Option<u64> {
    let (own, all) = (u128::from(vectors), u128::from(indexed.max(vectors)));
    // Twice, as the nearest are not the first that it comes upon.
    let rows = 2 * u128::from(candidates(limit)) * all / own.max(1);
    let is_sooner = vectors > COMPARED_ONE_BY_ONE && rows.saturating_mul(INDEX_ROW) <= own;
    is_sooner.then(|| u64::try_from(rows).map_or(MOST_ROWS, |rows| rows.clamp(LEAST_ROWS, MOST_ROWS)))
}

fn hit(row: &Row<'_>) -> Result<ChunkHit, StoreError> {
    Ok(ChunkHit::new(ChunkId::from_bytes(row.id(0)?), row.f64(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_asked_for_a_large_part_of_it() {
        assert_eq!(breadth(4_000, 4_000, 10), None);
        assert_eq!(breadth(4_001, 4_001, 10), Some(100));
        assert_eq!(breadth(50_000, 100_000, 10), Some(120));
        assert_eq!(breadth(500_000, 1_000_000, 100), Some(800));
        assert_eq!(breadth(1_000_000, 100_000_000, 10), Some(1_000));
        assert_eq!(breadth(8_001, 100_000, 10), None, "of a hundred rows in the index eight are theirs");
        assert_eq!(breadth(4_001, 4_001, 100), None, "four hundred rows of the index take longer than comparing all");
        assert_eq!(breadth(4_001, u64::MAX, u32::MAX), None);
        assert_eq!(breadth(0, 0, 10), None);
    }
}
