//! Indexes over the vectors that one user has of one model.
//!
//! An index over those of all users gives what others' rows let it give: a crowd of them around a query, or where every
//! search begins, keeps a user's own from being found. In one of a user's own nobody else has a row.

mod choice;

/// Up to so many of a user's vectors are compared one by one: that takes two milliseconds longer than the index at most, and
/// misses none (measured; see docs/benchmarks.md).
pub(super) const COMPARED_ONE_BY_ONE: u64 = 4_000;

use std::collections::BTreeMap;

use ironclaw_core::store::StoreError;

use self::choice::{Candidate, choose, fewest};
use super::stored::model_key;
use crate::postgres::indexed::{DropReason, DroppedIndex};
use crate::postgres::row::params;
use crate::postgres::tx::Tx;

/// The most dimensions that an index over numbers of 16 bits takes.
const INDEXED_DIMENSIONS: u64 = 4_000;

/// The index over the vectors that a user has of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnIndex {
    name: String,
    /// What follows the name in its definition.
    rest: String,
}

impl OwnIndex {
    pub(super) fn new(pgvector: &str, owner_no: i64, key: i64, dimensions: usize) -> Self {
        let rest = format!(
            "ON ironclaw.chunk_vectors \
             USING hnsw ((embedding::{pgvector}.halfvec({dimensions})) {pgvector}.halfvec_cosine_ops) \
             WITH (m = 16, ef_construction = 128) WHERE owner_no = {owner_no}::bigint AND model_key = {key}"
        );
        Self { name: format!("chunk_vectors_{owner_no}_{:016x}", key.cast_unsigned()), rest }
    }

    /// Its name, without the schema's. It needs no quotes.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether an index that the server defines so (`pg_get_indexdef`) is this one, and not another of its name.
    pub(super) fn is(&self, definition: &str) -> bool {
        plain(definition) == plain(&format!("CREATE INDEX {} {}", self.name, self.rest))
    }

    /// The statement that makes it without keeping writers off. It can't be run within a transaction.
    fn create(&self) -> String {
        format!("CREATE INDEX CONCURRENTLY {} {}", self.name, self.rest)
    }
}

/// A definition without what the server writes otherwise than it was told: brackets, quotes, spaces and the types of
/// numbers.
fn plain(definition: &str) -> String {
    let kept = |character: &char| !matches!(character, '(' | ')' | '\'' | ' ');
    let plain: String = definition.chars().filter(kept).collect();
    plain.replace("::bigint", "").replace("::integer", "")
}

/// What has to be done about an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::postgres) enum Step {
    /// Nothing.
    Keep,
    /// Drop it.
    Drop(DroppedIndex),
    /// Make it, by this statement.
    Make(String),
}

impl Step {
    /// The statement that does it, in no transaction, without keeping writers off.
    pub(in crate::postgres) fn statement(&self) -> Option<String> {
        match self {
            Self::Keep => None,
            Self::Drop(DroppedIndex { name, .. }) => {
                Some(format!("DROP INDEX CONCURRENTLY IF EXISTS ironclaw.\"{}\"", name.replace('"', "\"\"")))
            }
            Self::Make(statement) => Some(statement.clone()),
        }
    }
}

/// What leaves the indexes of the `most` that have one by the rule of [`choose`], and no other index over vectors, in an
/// operator's transaction. Dropping comes first.
pub(in crate::postgres) async fn index_steps(tx: &Tx, most: u32) -> Result<Vec<Step>, StoreError> {
    // Whatever is made of a vector. What belongs to a constraint is no index to search by, and dropped with it alone.
    let known: BTreeMap<String, (bool, String)> = tx
        .query(
            "SELECT c.relname::text, i.indisvalid, pg_get_indexdef(i.indexrelid) FROM pg_catalog.pg_index i \
             JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
             WHERE i.indrelid = 'ironclaw.chunk_vectors'::regclass AND EXISTS (SELECT FROM pg_catalog.pg_depend d \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
             WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass \
             AND d.refobjid = i.indrelid AND a.attname = 'embedding') \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid)",
            params![],
            |row| Ok((row.text(0)?, (row.bool(1)?, row.text(2)?))),
        )
        .await?
        .into_iter()
        .collect();
    let candidates = tx
        .query(
            "SELECT owner_no, id, dimensions::bigint, chunks FROM ironclaw.embedding_models \
             WHERE dimensions <= $1 AND chunks > $2",
            params![INDEXED_DIMENSIONS, fewest()],
            |row| {
                let (owner_no, model, dimensions) = (row.i64(0)?, row.text(1)?, row.count(2)?);
                let dimensions = usize::try_from(dimensions).unwrap_or(usize::MAX);
                let index = OwnIndex::new(tx.pgvector(), owner_no, model_key(&model, dimensions), dimensions);
                let is_made = known.get(index.name()).is_some_and(|(valid, made)| *valid && index.is(made));
                Ok(Candidate { owner_no, chunks: row.count(3)?, index, is_made })
            },
        )
        .await?;
    Ok(steps(&known, candidates, most))
}

/// What has to be done about the indexes that there are, by name with whether they are whole and their definitions.
fn steps(known: &BTreeMap<String, (bool, String)>, candidates: Vec<Candidate>, most: u32) -> Vec<Step> {
    let (wanted, others) = choose(candidates, most);
    let mut steps = Vec::new();
    for (name, (is_whole, definition)) in known {
        let is = |candidate: &&Candidate| candidate.index.name() == name;
        let reason = match (wanted.iter().find(is), others.iter().find(is)) {
            _ if !is_whole => DropReason::Unfinished,
            (Some(wanted), _) if wanted.is_made => {
                steps.push(Step::Keep);
                continue;
            }
            (None, Some(other)) if other.is_made => DropReason::BeyondLimit { limit: most },
            (None, None) if is_own(name, definition) => DropReason::TooFew,
            _ => DropReason::Foreign,
        };
        steps.push(Step::Drop(DroppedIndex { name: name.clone(), reason }));
    }
    steps.sort_by_key(|step| *step == Step::Keep);
    steps.extend(wanted.iter().filter(|wanted| !wanted.is_made).map(|wanted| Step::Make(wanted.index.create())));
    steps
}

/// Whether it is such as [`OwnIndex`] makes, of whomever.
fn is_own(name: &str, definition: &str) -> bool {
    let numbers = name.strip_prefix("chunk_vectors_").and_then(|numbers| numbers.split_once('_'));
    let Some((owner_no, key)) =
        numbers.and_then(|(owner_no, key)| Some((owner_no, u64::from_str_radix(key, 16).ok()?)))
    else {
        return false;
    };
    let condition = format!("WHEREowner_no={owner_no}ANDmodel_key={}", key.cast_signed());
    definition.contains(" USING hnsw ") && plain(definition).ends_with(&condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(owner_no: i64, key: i64) -> OwnIndex {
        OwnIndex::new("public", owner_no, key, 8)
    }

    /// As the server defines it.
    fn definition(index: &OwnIndex, owner_no: i64, key: i64) -> String {
        format!(
            "CREATE INDEX {} ON ironclaw.chunk_vectors USING hnsw (((embedding)::public.halfvec(8)) \
             public.halfvec_cosine_ops) WITH (m='16', ef_construction='128') \
             WHERE ((owner_no = '{owner_no}'::bigint) AND (model_key = '{key}'::bigint))",
            index.name()
        )
    }

    #[test]
    fn an_index_is_known_by_its_definition() {
        let own = index(3, -7);
        let made = definition(&own, 3, -7);
        assert!(own.is(&made) && is_own(own.name(), &made));
        for (from, to) in [
            ("hnsw", "ivfflat"),
            ("halfvec(8)", "halfvec(9)"),
            ("cosine", "l2"),
            ("'16'", "'8'"),
            ("owner_no = '3'", "owner_no = '4'"),
            (" WHERE ((owner_no = '3'::bigint) AND (model_key = '-7'::bigint))", ""),
            ("public", "other"),
        ] {
            assert!(!own.is(&made.replace(from, to)), "{from} is {to}");
        }
        assert!(!index(4, -7).is(&made));
    }

    #[test]
    fn what_is_dropped_is_told_why() {
        let (wanted, beyond, few) = (index(1, 1), index(2, 1), index(3, 1));
        let whole = |index: &OwnIndex, owner_no| (index.name().to_owned(), (true, definition(index, owner_no, 1)));
        let mut known = BTreeMap::from([whole(&wanted, 1), whole(&beyond, 2), whole(&few, 3)]);
        known.insert("chunk_vectors_9_broken".to_owned(), (false, definition(&wanted, 1, 1)));
        known.insert("by_hand".to_owned(), (true, definition(&wanted, 1, 1)));
        let candidate =
            |owner_no, chunks, index: &OwnIndex| Candidate { owner_no, chunks, index: index.clone(), is_made: true };
        let steps = steps(&known, vec![candidate(1, 9_000, &wanted), candidate(2, 8_000, &beyond)], 1);
        let dropped = |name: &str, reason| Step::Drop(DroppedIndex { name: name.to_owned(), reason });
        assert_eq!(
            steps,
            [
                dropped("by_hand", DropReason::Foreign),
                dropped(beyond.name(), DropReason::BeyondLimit { limit: 1 }),
                dropped(few.name(), DropReason::TooFew),
                dropped("chunk_vectors_9_broken", DropReason::Unfinished),
                Step::Keep,
            ]
        );
    }
}
