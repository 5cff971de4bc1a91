//! The admin plane.

use ironclaw_core::id::OperatorName;

use super::LibsqlStore;

/// The admin plane of a [`LibsqlStore`], by [`LibsqlStore::maintenance`].
#[derive(Debug, Clone)]
pub struct LibsqlMaintenance {
    store: LibsqlStore,
    operator: OperatorName,
}

impl LibsqlMaintenance {
    pub(super) fn new(store: LibsqlStore, operator: OperatorName) -> Self {
        Self { store, operator }
    }
}
