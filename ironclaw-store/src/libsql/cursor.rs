//! Cursors, as the embedded store compares ids: as blobs.

pub(super) use crate::cursor::{after, page, rows};

/// What the ids of a page come before, in a listing from the highest: at first something higher than every id.
pub(super) fn before(last: Option<[u8; 16]>) -> Vec<u8> {
    last.map_or_else(|| vec![0xff; 17], |id| id.to_vec())
}
