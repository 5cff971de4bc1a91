//! Vector search: exact, through all of a user's vectors of one model, which are kept in memory.

use std::sync::{PoisonError, RwLockWriteGuard};

use ironclaw_core::id::ChunkId;
use ironclaw_core::model::workspace::{ChunkHit, check_vector};
use ironclaw_core::store::{SearchFilter, StoreError, VectorQuery};

use super::cache::{Cached, Shared, VectorCache};
use super::matrix::Matrix;
use super::text::{numbers, within};
use crate::damage;
use crate::libsql::row::{Row, params};
use crate::libsql::tx::Tx;
use crate::search::vector::{dimensions, from_stored};
use crate::sql::Absent;

/// How many vectors are read in one step at most, apart from those of a single change.
const LOADED_AT_ONCE: u64 = 10_000;

/// How far a search came.
pub(super) enum Searched {
    /// The chunks whose vectors are nearest.
    Hits(Vec<ChunkHit>),
    /// Some of the user's vectors were read into memory: search again with them.
    Part((i64, Shared)),
}

impl Absent for Searched {
    fn absent() -> Self {
        Self::Hits(Vec::new())
    }
}

/// The chunks whose vectors are nearest. Vectors that are not in memory are read in steps, so that no reading takes long.
pub(super) fn search(
    tx: &Tx<'_>,
    cache: &VectorCache,
    query: &VectorQuery,
    filter: &SearchFilter,
    limit: usize,
    part: Option<(i64, Shared)>,
) -> Result<Searched, StoreError> {
    let Some(model) = Model::find(tx, query)? else {
        return Ok(Searched::absent());
    };
    check_vector(&query.vector, model.dimensions)
        .map_err(|error| StoreError::invalid_input(tx.db.operation(), error))?;
    if model.chunks == 0 || limit == 0 {
        return Ok(Searched::absent());
    }
    let within = filter.prefix.as_ref().map(|prefix| within(tx, prefix)).transpose()?;
    let visible = |version_no: u64| within.as_ref().is_none_or(|within| within.contains(&version_no));
    // Whoever was forgotten since the last step has other content now.
    let part = part.filter(|(content_no, _)| *content_no == tx.content_no()).map(|(_, shared)| shared);
    let shared = part.unwrap_or_else(|| cache.shared(tx.content_no(), &query.model, model.dimensions));
    let mut cached = shared.read().unwrap_or_else(PoisonError::into_inner);
    if !model.is_known_to(&cached) {
        drop(cached);
        let mut writing = shared.write().unwrap_or_else(PoisonError::into_inner);
        // Another search may have done it in the meantime.
        if !model.is_known_to(&writing) {
            let whole = model.refresh(tx, &mut writing)?;
            cache.resized(&shared, writing.matrix.bytes());
            if !whole {
                drop(writing);
                return Ok(Searched::Part((tx.content_no(), shared)));
            }
        }
        cached = RwLockWriteGuard::downgrade(writing);
    }
    let hits = cached.matrix.nearest(&query.vector, limit, visible);
    let hits = hits.into_iter().map(|(score, chunk)| ChunkHit::new(ChunkId::from_bytes(chunk), score));
    Ok(Searched::Hits(hits.collect()))
}

/// A user's vectors of one model, as a snapshot sees them.
struct Model<'a> {
    id: &'a str,
    dimensions: usize,
    chunks: usize,
    generation: i64,
}

impl<'a> Model<'a> {
    fn find(tx: &Tx<'_>, query: &'a VectorQuery) -> Result<Option<Self>, StoreError> {
        tx.db.query_row(
            "SELECT m.id, m.dimensions, m.chunks, coalesce((SELECT generation FROM workspace_statistics \
             WHERE owner_no = ?1), 0) AS \"workspace_statistics.generation\" FROM embedding_models m \
             WHERE m.owner_no = ?1 AND m.id = ?2",
            params![tx.content_no(), query.model.as_str()],
            |row| {
                Ok(Self {
                    id: query.model.as_str(),
                    dimensions: row.code(1, dimensions)?,
                    chunks: row.size(2)?,
                    generation: row.i64(3)?,
                })
            },
        )
    }

    /// Whether what is cached is as this snapshot sees it, or newer: a snapshot that began earlier than another
    /// search's may use what that one has read.
    fn is_known_to(&self, cached: &Cached) -> bool {
        cached.matrix.dimensions() == self.dimensions
            && cached.generation.is_some_and(|generation| generation >= self.generation)
    }

    /// Brings what is cached nearer to what this snapshot sees. Whether it is whole.
    fn refresh(&self, tx: &Tx<'_>, cached: &mut Cached) -> Result<bool, StoreError> {
        // Until it is whole again, nobody may take it for that, whatever goes wrong.
        let known = cached.generation.take().or(cached.part.take());
        let known = known.filter(|_| cached.matrix.dimensions() == self.dimensions);
        if known.is_none() {
            cached.matrix = Matrix::new(self.dimensions);
        }
        let known = known.unwrap_or(0);
        if let Some(until) = self.step(tx, known)? {
            self.load(tx, &mut cached.matrix, known, until)?;
            cached.part = Some(until);
            return Ok(false);
        }
        if !self.update(tx, &mut cached.matrix, known)? {
            cached.matrix = Matrix::new(self.dimensions);
            self.load(tx, &mut cached.matrix, 0, i64::MAX)?;
        }
        if cached.matrix.len() != self.chunks {
            let id = damage::name(self.id.as_bytes());
            let what = format!("embedding_models.chunks of row {id} is not the number of chunks");
            return Err(damage::corrupt(tx.db.operation(), what));
        }
        cached.generation = Some(self.generation);
        Ok(true)
    }

    /// Up to which generation one step reads what became current after `known`; `None` if it reads all.
    fn step(&self, tx: &Tx<'_>, known: i64) -> Result<Option<i64>, StoreError> {
        let mut vectors = 0_u64;
        let versions = tx.db.query(
            "SELECT version_no, generation, chunks FROM entry_versions \
             WHERE owner_no = ?1 AND model = ?2 AND generation > ?3 AND state = 1 ORDER BY generation LIMIT ?4",
            params![tx.content_no(), self.id, known, LOADED_AT_ONCE],
            |row| Ok((row.i64(1)?, row.u64(2)?)),
        )?;
        let until = versions.into_iter().find(|(_, chunks)| {
            vectors = vectors.saturating_add((*chunks).max(1));
            vectors >= LOADED_AT_ONCE
        });
        Ok(until.map(|(generation, _)| generation))
    }

    /// How many vectors there are, by counting them.
    fn vectors(&self, tx: &Tx<'_>) -> Result<usize, StoreError> {
        let vectors = tx.db.number(
            "SELECT count(*) FROM entry_versions v \
             JOIN memory_chunks c ON c.owner_no = v.owner_no AND c.version_no = v.version_no \
             WHERE v.owner_no = ?1 AND v.model = ?2 AND v.state = 1",
            params![tx.content_no(), self.id],
        )?;
        Ok(usize::try_from(vectors).unwrap_or_default())
    }

    /// Applies what has changed since the generation `known`. Whether the matrix is whole.
    fn update(&self, tx: &Tx<'_>, matrix: &mut Matrix, known: i64) -> Result<bool, StoreError> {
        self.load(tx, matrix, known, i64::MAX)?;
        if matrix.len() != self.chunks {
            // Versions that were replaced or deleted may have been swept: only those that are left are known.
            let current = numbers(
                tx,
                "SELECT group_concat(version_no) FROM entry_versions WHERE owner_no = ?1 AND model = ?2 AND state = 1",
                params![tx.content_no(), self.id],
            )?;
            matrix.retain(|version_no| current.contains(&version_no));
        }
        Ok(matrix.len() == self.chunks)
    }

    /// Adds the vectors of the versions that became current after the generation `known`, up to `until`, and still are.
    fn load(&self, tx: &Tx<'_>, matrix: &mut Matrix, known: i64, until: i64) -> Result<(), StoreError> {
        tx.db.for_each(
            "SELECT c.chunk_no, c.id, c.version_no, c.embedding FROM entry_versions v \
             JOIN memory_chunks c ON c.owner_no = v.owner_no AND c.version_no = v.version_no \
             WHERE v.owner_no = ?1 AND v.model = ?2 AND v.generation > ?3 \
             AND v.generation <= ?4 AND v.state = 1",
            params![tx.content_no(), self.id, known, until],
            |row: &Row<'_>| {
                let embedding = row.blob(3)?;
                if from_stored(&embedding).is_none() {
                    return Err(row.corrupt(3));
                }
                matrix.push(row.bytes(1)?, row.count(2)?, &embedding).ok_or_else(|| row.corrupt(3))?;
                // Only now is it known how long vectors really are.
                if matrix.len() == 1 {
                    matrix.reserve(self.vectors(tx)?);
                }
                Ok(())
            },
        )
    }
}
