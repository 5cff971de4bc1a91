//! Tables with rows of a user, and how they go with the user.

/// A table whose rows of a user are deleted when the user is erased.
pub(crate) struct Owned {
    /// Deletes all rows of the owner `?1`.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "the other engine deletes so much at a time"))]
    pub(crate) all: &'static str,
    #[cfg_attr(not(feature = "libsql"), allow(dead_code, reason = "the other engine deletes all at once"))]
    pub(crate) portion: Portion,
}

/// How some rows of an owner are deleted, for an engine that deletes so much at a time.
#[cfg_attr(not(feature = "libsql"), allow(dead_code, reason = "the other engine deletes all at once"))]
pub(crate) enum Portion {
    /// `delete` deletes at most `?2` rows of the owner `?1`. Each counts for `weight` rows.
    Rows { delete: &'static str, weight: u32 },
    /// `find` gives the keys and the bytes of at most `?2` rows of the owner `?1`, and `delete` deletes the one with
    /// the
    /// key `?1` of the owner `?2`.
    Sized { find: &'static str, delete: &'static str },
}

/// A table, its key beside the owner's number, and what a row counts for: one, a number, or the bytes of columns,
/// of which all but the first may be absent.
macro_rules! owned {
    ($table:literal, $key:literal) => {
        $crate::sql::owned!($table, $key, 1)
    };
    ($table:literal, $key:literal, $weight:literal) => {
        $crate::sql::Owned {
            all: concat!("DELETE FROM ironclaw.", $table, " WHERE owner_no = ?1"),
            portion: $crate::sql::Portion::Rows {
                delete: concat!(
                    "DELETE FROM ",
                    $table,
                    " WHERE owner_no = ?1 AND (",
                    $key,
                    ") IN (SELECT ",
                    $key,
                    " FROM ",
                    $table,
                    " WHERE owner_no = ?1 LIMIT ?2)"
                ),
                weight: $weight,
            },
        }
    };
    ($table:literal, $key:literal, bytes of $first:literal $(, $other:literal)*) => {
        $crate::sql::Owned {
            all: concat!("DELETE FROM ironclaw.", $table, " WHERE owner_no = ?1"),
            portion: $crate::sql::Portion::Sized {
                find: concat!(
                    "SELECT ",
                    $key,
                    ", octet_length(",
                    $first,
                    ")",
                    $(" + coalesce(octet_length(", $other, "), 0)",)*
                    " FROM ",
                    $table,
                    " WHERE owner_no = ?1 LIMIT ?2"
                ),
                delete: concat!("DELETE FROM ", $table, " WHERE ", $key, " = ?1 AND owner_no = ?2"),
            },
        }
    };
}

pub(crate) use owned;
