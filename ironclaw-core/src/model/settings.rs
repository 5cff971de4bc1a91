//! Settings and quotas.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::id::{QuotaName, SettingKey};
use crate::setters::setters;

/// A user's setting or feature flag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Setting {
    /// Its key.
    pub key: SettingKey,
    /// Its value.
    pub value: Value,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Its row version, from 1.
    pub version: u64,
}

impl Setting {
    /// A setting as it is when it was first put.
    pub fn new(key: SettingKey, value: Value, updated_at: Timestamp) -> Self {
        Self { key, value, updated_at, version: 1 }
    }
}

setters! {
    Setting:
    version: u64,
}

/// A limit that an operator set for a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Quota {
    /// What is limited.
    pub name: QuotaName,
    /// How much is allowed.
    pub limit: u64,
    /// How much is used.
    pub used: u64,
}

impl Quota {
    /// A limit of which nothing is used.
    pub fn new(name: QuotaName, limit: u64) -> Self {
        Self { name, limit, used: 0 }
    }
}

setters! {
    Quota:
    used: u64,
}
