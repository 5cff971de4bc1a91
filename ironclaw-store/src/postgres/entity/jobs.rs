use sea_orm::entity::prelude::*;

use super::time::Time;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(schema_name = "ironclaw", table_name = "jobs")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) owner_no: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) conversation: Option<Uuid>,
    pub(crate) kind: String,
    pub(crate) agent: Option<String>,
    pub(crate) state: i16,
    pub(crate) worker: Option<String>,
    pub(crate) claimed_until: Option<Time>,
    pub(crate) error: Option<String>,
    pub(crate) version: i64,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
    pub(crate) content_format: i16,
    pub(crate) content_key: Option<Uuid>,
    // Read as text: the driver's own decoding stops at 127 levels.
    #[sea_orm(column_type = "Json", select_as = "text")]
    pub(crate) input: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
