//! The check of the file's integrity, in steps.
//!
//! A step is a short snapshot on one of the reading threads; between steps the check stands in their queue like any
//! other call, and only one check runs at a time. What a step compares it reads in one snapshot, so that writers who
//! go on are no false alarm; what can only be compared over many steps is looked at once more before it is reported.

use std::time::{Duration, Instant};

use ironclaw_core::store::{StoreError, StoreErrorKind};

use self::memory::Memory;
use crate::integrity::Found;
use crate::libsql::db::Db;
use crate::libsql::{LibsqlStore, schema};

mod chains;
mod contents;
mod memory;
mod rows;
mod statistics;
mod structure;
mod unfinished;

const OPERATION: &str = "check_integrity";

/// How long a step goes on with further rows.
const STEP: Duration = Duration::from_millis(25);

/// One thing after the other that is looked at.
trait Stage: Send {
    /// Looks at some more. Whether that was all.
    fn step(&mut self, db: &Db, memory: &mut Memory, found: &mut Found) -> Result<bool, StoreError>;

    /// What it is about.
    fn about(&self) -> String;
}

/// What is wrong with the file, in words, without a user's content.
pub(super) async fn check(store: &LibsqlStore) -> Result<Vec<String>, StoreError> {
    let _alone = store.engine().checking().lock().await;
    let mut check = Check { stages: None, memory: Memory::default(), found: Found::default() };
    loop {
        let (going_on, is_done) = store
            .engine()
            .read(OPERATION, move |db| {
                let mut step = None;
                let ended = db.snapshot(|| {
                    step = Some(check.step(db));
                    Ok(())
                });
                let is_done = match (step, ended) {
                    (Some(Ok(is_done)), Ok(())) => is_done,
                    (Some(Err(error)), _) => return Err(error),
                    (_, Err(error)) if is_damage(&error) => check.give_up(&error),
                    (_, Err(error)) => return Err(error),
                    (None, Ok(())) => false,
                };
                Ok((check, is_done))
            })
            .await?;
        check = going_on;
        if is_done {
            return Ok(check.found.into_lines());
        }
    }
}

/// The same at once, on a connection of a test. Also how many texts were analysed once more, because of suspicions.
#[cfg(test)]
pub(in crate::libsql) fn check_here(db: &Db) -> (Vec<String>, usize) {
    let mut check = Check { stages: None, memory: Memory::default(), found: Found::default() };
    while !check.step(db).unwrap() {}
    (check.found.into_lines(), check.memory.terms.len())
}

struct Check {
    /// Those that are left, the next at the end; absent until the tables are known.
    stages: Option<Vec<Box<dyn Stage>>>,
    memory: Memory,
    found: Found,
}

impl Check {
    fn step(&mut self, db: &Db) -> Result<bool, StoreError> {
        let stages = match &mut self.stages {
            Some(stages) => stages,
            None => self.stages.insert(stages(db)),
        };
        let Some(stage) = stages.last_mut() else {
            return Ok(true);
        };
        match stage.step(db, &mut self.memory, &mut self.found) {
            Ok(true) => {
                stages.pop();
            }
            Ok(false) => {}
            Err(error) if is_damage(&error) => return Ok(self.give_up(&error)),
            Err(error) => return Err(error),
        }
        Ok(self.is_done())
    }

    /// Goes on with the next stage, since the file is damaged where this one looks. Whether that was all.
    fn give_up(&mut self, error: &StoreError) -> bool {
        let stage = self.stages.as_mut().and_then(Vec::pop);
        let about = stage.map_or_else(|| "the file".to_owned(), |stage| stage.about());
        self.found.note(format!("{about} can't be looked at any further: {}", error.context()), None);
        self.is_done()
    }

    fn is_done(&self) -> bool {
        self.stages.as_ref().is_none_or(Vec::is_empty)
    }
}

/// All that is looked at, the first at the end.
fn stages(db: &Db) -> Vec<Box<dyn Stage>> {
    // A damaged list of tables is told by the first stage.
    let tables = structure::tables(db).unwrap_or_else(|_| schema::tables());
    let mut stages: Vec<Box<dyn Stage>> =
        vec![Box::new(unfinished::Unfinished), Box::new(structure::Structure::new(tables.clone()))];
    // An index after what it is of: else all of that would be suspected.
    let (indexes, others): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| table.ends_with("_terms"));
    for table in others.into_iter().chain(indexes) {
        stages.push(Box::new(rows::Rows::new(table)));
    }
    stages.push(Box::new(rows::Rows::again("message_terms")));
    stages.push(Box::new(rows::Rows::again("chunk_terms")));
    stages.push(Box::new(statistics::Statistics::default()));
    stages.push(Box::new(contents::Contents::default()));
    stages.push(Box::new(chains::Chains::default()));
    stages.reverse();
    stages
}

/// Whether an error says that the file is damaged, and not that it can't be looked at.
fn is_damage(error: &StoreError) -> bool {
    // What a damaged schema makes of a statement is no known error of SQLite.
    matches!(error.kind(), StoreErrorKind::Corrupt | StoreErrorKind::Internal | StoreErrorKind::NotAStore)
}

/// The time of one step.
struct Budget(Instant);

impl Budget {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn is_spent(&self) -> bool {
        self.0.elapsed() > STEP
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::integrity::columns;
    use crate::libsql::row::params;

    #[test]
    fn it_is_known_what_every_column_may_hold() {
        let db = Db::open(":memory:", libsql::OpenFlags::default(), Duration::from_secs(1)).unwrap();
        schema::configure(&db, false).unwrap();
        schema::migrate(&db).unwrap();
        assert_eq!(schema::differences(&db).unwrap(), Vec::<String>::new());
        assert_eq!(schema::tables().len(), structure::tables(&db).unwrap().len());
        for table in structure::tables(&db).unwrap() {
            let sql = "SELECT name FROM pragma_table_info(?1)";
            for column in db.query(sql, params![table.as_str()], |row| row.text(0)).unwrap() {
                assert!(columns::test(&table, &column).is_some(), "{table}.{column} may hold anything");
            }
        }
    }
}
