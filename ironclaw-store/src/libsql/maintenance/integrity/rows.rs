//! Every row of a table: what its columns hold, the rules for it, and what is derived from it.

use std::collections::HashSet;

use ironclaw_core::store::StoreError;
use libsql::Value as Sqlite;

use super::{Budget, Memory, Stage};
use crate::copy::table::Value;
use crate::damage;
use crate::integrity::{Found, columns, rules};
use crate::libsql::db::{Db, Next};
use crate::libsql::looked::{Column, Looked};
use crate::libsql::row::{Row, identity, params};
use crate::libsql::{conversations, workspace};

/// How many rows a step reads at most.
const AT_ONCE: i64 = 1_000;

pub(super) struct Rows {
    table: String,
    /// Whether only what is suspected is looked at, for the second time.
    again: bool,
    plan: Option<Plan>,
    /// The key of the row that was looked at last.
    last: Vec<Sqlite>,
}

/// How a table is read.
struct Plan {
    columns: Vec<Column>,
    /// Which of the columns are the key, in its order.
    key: Vec<usize>,
    rules: Vec<&'static rules::Rule>,
    from_start: String,
    further: String,
}

impl Rows {
    pub(super) fn new(table: String) -> Self {
        Self { table, again: false, plan: None, last: Vec::new() }
    }

    pub(super) fn again(table: &str) -> Self {
        Self { table: table.to_owned(), again: true, plan: None, last: Vec::new() }
    }

    fn look(
        &self,
        plan: &Plan,
        row: &Row<'_>,
        removing: &HashSet<i64>,
        db: &Db,
        memory: &mut Memory,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let table = self.table.as_str();
        let id = id(plan, row);
        let keys = plan.key.len();
        let mut values = Vec::with_capacity(plan.columns.len());
        for (column, at) in plan.columns.iter().zip(keys..) {
            let value = value(row, at);
            let name = &column.name;
            if !self.again {
                match &value {
                    None => found.note(format!("{table}.{name} can't be decoded"), Some(&id)),
                    Some(Value::Null) if column.is_needed => {
                        found.note(format!("{table}.{name} is missing"), Some(&id))
                    }
                    Some(Value::Null) => {}
                    Some(value) => {
                        if columns::test(table, name).is_some_and(|test| !test(value)) {
                            found.note(format!("{table}.{name} makes no sense"), Some(&id));
                        }
                    }
                }
            }
            values.push(value);
        }
        let looked = Looked::new(&plan.columns, values);
        // What is being removed agrees with nothing until it is gone.
        if looked.number("owner_no").is_some_and(|owner_no| removing.contains(&owner_no)) {
            return Ok(());
        }
        if self.again {
            return again(table, &looked, &id, db, memory, found);
        }
        for (rule, at) in plan.rules.iter().zip(keys + plan.columns.len()..) {
            // What can't be compared is damaged, which was told by its column.
            if value(row, at).is_some_and(|broken| broken != Value::Number(0) && broken != Value::Null) {
                found.note(format!("{table}: {}", rule.says), Some(&id));
            }
        }
        derived(table, &looked, &id, db, memory, found)
    }
}

impl Stage for Rows {
    fn step(&mut self, db: &Db, memory: &mut Memory, found: &mut Found) -> Result<bool, StoreError> {
        if self.again && memory.suspected_messages.is_empty() && memory.suspected_parts.is_empty() {
            return Ok(true);
        }
        let plan = match self.plan.take() {
            Some(plan) => plan,
            None => plan(db, &self.table)?,
        };
        let budget = Budget::new();
        let removing = removing(db)?;
        let (mut read, mut last) = (0, None);
        let (sql, mut parameters) = match self.last.is_empty() {
            true => (&plan.from_start, params![]),
            false => (&plan.further, self.last.clone()),
        };
        parameters.insert(0, Sqlite::Integer(AT_ONCE));
        db.for_some(sql, parameters, |row| {
            read += 1;
            last = Some(key(&plan, row));
            self.look(&plan, row, &removing, db, memory, found)?;
            Ok(if budget.is_spent() { Next::Stop } else { Next::GoOn })
        })?;
        let is_whole = read == AT_ONCE || budget.is_spent() && read > 0;
        let is_done = match last {
            Some(Some(last)) if is_whole && last != self.last => {
                self.last = last;
                false
            }
            Some(None) if is_whole => {
                found.note(format!("{}: rows after one without a key can't be looked at", self.table), None);
                true
            }
            _ => true,
        };
        self.plan = Some(plan);
        Ok(is_done)
    }

    fn about(&self) -> String {
        format!("the table {}", self.table)
    }
}

/// The numbers under which something is being removed.
pub(super) fn removing(db: &Db) -> Result<HashSet<i64>, StoreError> {
    let mut numbers = HashSet::new();
    db.for_each("SELECT removal_no, content_no, owner_no FROM removals", params![], |row| {
        // What can't be decoded is told by its column.
        numbers.extend((1..3).filter_map(|column| row.i64(column).ok()));
        Ok(())
    })?;
    Ok(numbers)
}

fn plan(db: &Db, table: &str) -> Result<Plan, StoreError> {
    let mut columns = Vec::new();
    let mut key = Vec::new();
    let sql = "SELECT name, upper(type), \"notnull\", pk FROM pragma_table_xinfo(?1) ORDER BY cid";
    db.query(sql, params![table], |row| {
        let (place, at) = (row.i64(3)?, columns.len());
        if place > 0 {
            key.push((place, at));
        }
        let is_text = row.text(1)? == "TEXT";
        columns.push(Column { name: row.text(0)?, is_text, is_needed: row.i64(2)? != 0 || place > 0 });
        Ok(())
    })?;
    key.sort_unstable();
    let key: Vec<usize> = key.into_iter().map(|(_, at)| at).collect();
    let owned = columns.iter().any(|column| column.name == "owner_no");
    let rules: Vec<_> = rules::of(table, owned).into_iter().chain(rules::of_content_numbers(table)).collect();
    let name = |at: &usize| format!("t.\"{}\"", columns[*at].name);
    let list = |items: Vec<String>| items.join(", ");
    // A key is needed as it is, even if it is no text that can be read.
    let raw = |at: &usize| match columns[*at].is_text {
        true => format!("CAST({} AS BLOB)", name(at)),
        false => name(at),
    };
    let mut read: Vec<String> = key.iter().map(raw).collect();
    read.extend((0..columns.len()).map(|at| name(&at)));
    read.extend(
        rules.iter().map(|rule| format!("({})", rule.broken("", "visible_", "coalesce(t.content_no, t.owner_no)"))),
    );
    let order = list(key.iter().map(name).collect());
    let after = key.iter().enumerate().map(|(nr, at)| match columns[*at].is_text {
        true => format!("CAST(?{} AS TEXT)", nr + 2),
        false => format!("?{}", nr + 2),
    });
    let after = list(after.collect());
    let read = list(read);
    Ok(Plan {
        from_start: format!("SELECT {read} FROM \"{table}\" t ORDER BY {order} LIMIT ?1"),
        further: format!("SELECT {read} FROM \"{table}\" t WHERE ({order}) > ({after}) ORDER BY {order} LIMIT ?1"),
        columns,
        key,
        rules,
    })
}

/// The key of a row, to go on after it; `None` if it is damaged so that nothing comes after it.
fn key(plan: &Plan, row: &Row<'_>) -> Option<Vec<Sqlite>> {
    (0..plan.key.len()).map(|at| row.value(place(at)).ok().filter(|value| *value != Sqlite::Null)).collect()
}

/// What is told of a row's key: numbers and ids as they are, names as hashes.
fn id(plan: &Plan, row: &Row<'_>) -> String {
    let parts = plan.key.iter().enumerate().map(|(at, column)| match row.value(place(at)) {
        Ok(Sqlite::Blob(bytes)) if plan.columns[*column].is_text => damage::name(&bytes),
        Ok(value) => identity(&value).unwrap_or_else(|| "?".to_owned()),
        Err(_) => "?".to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

fn value(row: &Row<'_>, at: usize) -> Option<Value> {
    match row.value(place(at)).ok()? {
        Sqlite::Null => Some(Value::Null),
        Sqlite::Integer(number) => Some(Value::Number(number)),
        Sqlite::Text(text) => Some(Value::Text(text)),
        Sqlite::Blob(bytes) => Some(Value::Bytes(bytes)),
        Sqlite::Real(_) => None,
    }
}

fn place(at: usize) -> i32 {
    i32::try_from(at).unwrap_or(i32::MAX)
}

/// Compares what is derived from a row with it.
fn derived(
    table: &str,
    row: &Looked<'_>,
    id: &str,
    db: &Db,
    memory: &mut Memory,
    found: &mut Found,
) -> Result<(), StoreError> {
    match table {
        "messages" => {
            let Some(terms) = conversations::check_terms(db, row, |term| {
                found.note(
                    "message_terms: a term of a message is missing or wrong",
                    Some(&format!("{id} of messages, {term}")),
                );
            })?
            else {
                return Ok(());
            };
            if let (Some(message_no), Some(owner_no)) = (row.number("message_no"), row.number("owner_no")) {
                memory.messages.insert(message_no, terms.counts.len() as i64);
                let texts = memory.texts.entry(owner_no).or_default();
                *texts = (texts.0 + 1, texts.1 + i64::from(terms.length));
            }
        }
        "message_terms" => {
            if let Some(message_no) = row.number("message_no") {
                memory.met_message(message_no);
            }
        }
        "memory_chunks" => {
            if let Some(what) = workspace::check_vector_of(db, row)? {
                found.note(format!("memory_chunks: {what}"), Some(id));
            }
        }
        "entry_parts" => {
            let terms = workspace::check_part(db, row, |what| found.note(what, Some(&format!("{id} of entry_parts"))))?;
            if let (Some(version_no), Some(start)) = (row.number("version_no"), row.number("start_byte")) {
                memory.parts.insert((version_no, start), terms);
            }
        }
        "chunk_terms" => {
            if let (Some(version_no), Some(start)) = (row.number("version_no"), row.number("part_start")) {
                memory.met_part((version_no, start));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Looks once more at a row of an index whose message or part seemed to have too many.
fn again(
    table: &str,
    row: &Looked<'_>,
    id: &str,
    db: &Db,
    memory: &mut Memory,
    found: &mut Found,
) -> Result<(), StoreError> {
    let (Some(owner_no), Some(term)) = (row.number("owner_no"), row.text("term")) else {
        // What can't be decoded was told by its column.
        return Ok(());
    };
    // Messages have numbers of their own, parts a version and a start.
    let message = row.number("message_no").filter(|number| memory.suspected_messages.contains(number));
    if table == "message_terms"
        && let Some(message_no) = message
        && !memory.has_term((message_no, -1), term, || conversations::terms_of_message(db, message_no))?
    {
        found.note("message_terms: it is no term of its message", Some(id));
    }
    let part = row.number("version_no").zip(row.number("part_start"));
    if table == "chunk_terms"
        && let Some(part) = part.filter(|part| memory.suspected_parts.contains(part))
        && workspace::is_kept(db, part.0)?
        && !memory.has_term(part, term, || workspace::terms_of_part(db, owner_no, part))?
    {
        found.note("chunk_terms: its postings are not those of its part", Some(id));
    }
    Ok(())
}
