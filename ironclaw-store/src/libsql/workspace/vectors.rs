//! Vector search: exact, through all of a user's vectors of one model, which are kept in memory.

use std::sync::{PoisonError, RwLockWriteGuard};

use ironclaw_core::id::ChunkId;
use ironclaw_core::model::workspace::{ChunkHit, check_vector};
use ironclaw_core::store::{SearchFilter, StoreError, StoreErrorKind, VectorQuery};

use super::cache::{Cached, VectorCache};
use super::matrix::Matrix;
use super::text::{numbers, within};
use crate::libsql::row::{Row, params};
use crate::libsql::tx::ReadTx;

/// The chunks whose vectors are nearest.
pub(super) fn search(
    tx: &ReadTx<'_>,
    cache: &VectorCache,
    query: &VectorQuery,
    filter: &SearchFilter,
    limit: usize,
) -> Result<Vec<ChunkHit>, StoreError> {
    let Some(model) = Model::find(tx, query)? else {
        return Ok(Vec::new());
    };
    check_vector(&query.vector, model.dimensions)
        .map_err(|error| StoreError::invalid_input(tx.db.operation(), error))?;
    if model.chunks == 0 || limit == 0 {
        return Ok(Vec::new());
    }
    let within = filter.prefix.as_ref().map(|prefix| within(tx, prefix)).transpose()?;
    let visible = |version_no: u64| within.as_ref().is_none_or(|within| within.contains(&version_no));
    let shared = cache.shared(tx.content_no, &query.model, model.dimensions);
    let mut cached = shared.read().unwrap_or_else(PoisonError::into_inner);
    if !model.is_known_to(&cached) {
        drop(cached);
        let mut writing = shared.write().unwrap_or_else(PoisonError::into_inner);
        // Another search may have done it in the meantime.
        if !model.is_known_to(&writing) {
            model.refresh(tx, &mut writing)?;
            cache.resized(&shared, writing.matrix.bytes());
        }
        cached = RwLockWriteGuard::downgrade(writing);
    }
    let hits = cached.matrix.nearest(&query.vector, limit, visible);
    Ok(hits.into_iter().map(|(score, chunk)| ChunkHit { chunk: ChunkId::from_bytes(chunk), score }).collect())
}

/// A user's vectors of one model, as a snapshot sees them.
struct Model<'a> {
    id: &'a str,
    dimensions: usize,
    chunks: usize,
    generation: i64,
}

impl<'a> Model<'a> {
    fn find(tx: &ReadTx<'_>, query: &'a VectorQuery) -> Result<Option<Self>, StoreError> {
        tx.db.query_row(
            "SELECT m.dimensions, m.chunks, coalesce((SELECT generation FROM workspace_statistics \
             WHERE owner_no = ?1), 0) FROM embedding_models m WHERE m.owner_no = ?1 AND m.id = ?2",
            params![tx.content_no, query.model.as_str()],
            |row| {
                Ok(Self {
                    id: query.model.as_str(),
                    dimensions: row.code(0, |number| usize::try_from(number).ok())?,
                    chunks: row.code(1, |number| usize::try_from(number).ok())?,
                    generation: row.i64(2)?,
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

    fn refresh(&self, tx: &ReadTx<'_>, cached: &mut Cached) -> Result<(), StoreError> {
        // Until it is whole again, nobody may take it for that, whatever goes wrong.
        let known = cached.generation.take();
        let updated = match known {
            Some(known) if cached.matrix.dimensions() == self.dimensions => {
                self.update(tx, &mut cached.matrix, known)?
            }
            _ => false,
        };
        if !updated {
            cached.matrix = Matrix::new(self.dimensions);
            cached.matrix.reserve(self.chunks);
            self.load_since(tx, &mut cached.matrix, 0)?;
        }
        if cached.matrix.len() != self.chunks {
            let context = "embedding_models.chunks is not the number of chunks; restore a backup";
            return Err(tx.db.error(StoreErrorKind::Corrupt, context));
        }
        cached.generation = Some(self.generation);
        Ok(())
    }

    /// Applies what has changed since the generation `known`. Whether the matrix is whole.
    fn update(&self, tx: &ReadTx<'_>, matrix: &mut Matrix, known: i64) -> Result<bool, StoreError> {
        self.load_since(tx, matrix, known)?;
        if matrix.len() != self.chunks {
            // Versions that were replaced or deleted may have been swept: only those that are left are known.
            let current = numbers(
                tx,
                "SELECT group_concat(version_no) FROM entry_versions WHERE owner_no = ?1 AND model = ?2 AND state = 1",
                params![tx.content_no, self.id],
            )?;
            matrix.retain(|version_no| current.contains(&version_no));
        }
        Ok(matrix.len() == self.chunks)
    }

    /// Adds the vectors of the versions that became current after the generation `known` and still are.
    fn load_since(&self, tx: &ReadTx<'_>, matrix: &mut Matrix, known: i64) -> Result<(), StoreError> {
        tx.db.for_each(
            "SELECT c.chunk_no, c.id, c.version_no, c.embedding FROM entry_versions v \
             JOIN memory_chunks c ON c.owner_no = v.owner_no AND c.version_no = v.version_no \
             WHERE v.owner_no = ?1 AND v.model = ?2 AND v.generation > ?3 AND v.state = 1",
            params![tx.content_no, self.id, known],
            |row: &Row<'_>| {
                let embedding = row.blob(3)?;
                matrix.push(row.bytes(1)?, row.u64(2)?, &embedding).ok_or_else(|| row.corrupt(3))
            },
        )
    }
}
