//! Settings and quotas.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::id::{QuotaName, SettingKey};

/// A user's setting or feature flag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A limit that an operator set for a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// What is limited.
    pub name: QuotaName,
    /// How much is allowed.
    pub limit: u64,
    /// How much is used.
    pub used: u64,
}
