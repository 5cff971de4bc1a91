//! Statements of both engines as the server takes them.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

/// The statement with parameters as the server numbers them, `$1` where it says `?1`, and without the views that hide what
/// the other engine removes little by little.
pub(super) fn numbered(sql: &'static str) -> &'static str {
    /// Texts in the program are known by their address. There are no more than the program has.
    static KNOWN: LazyLock<RwLock<HashMap<(usize, usize), &'static str>>> = LazyLock::new(RwLock::default);
    let key = (sql.as_ptr() as usize, sql.len());
    if let Some(known) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return known;
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    known.entry(key).or_insert_with(|| String::leak(own(sql)))
}

/// A question mark is nothing else in our statements.
fn own(sql: &str) -> String {
    sql.replace('?', "$").replace("ironclaw.visible_", "ironclaw.")
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn a_server_numbers_parameters_and_has_the_tables_themselves() {
        const BOTH: &str = "SELECT ?1, ?12 FROM ironclaw.visible_jobs WHERE owner_no = ?1 FOR KEY SHARE";
        let own = "SELECT $1, $12 FROM ironclaw.jobs WHERE owner_no = $1 FOR KEY SHARE";
        assert_eq!(numbered(BOTH), own);
        assert_eq!(numbered(BOTH).as_ptr(), numbered(BOTH).as_ptr(), "it is made once");
    }
}
