use sea_orm::entity::prelude::*;

use super::time::Time;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(schema_name = "ironclaw", table_name = "erasures")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) erasure_no: i64,
    pub(crate) id: Uuid,
    pub(crate) stream: Vec<u8>,
    pub(crate) deleted_rows: i64,
    pub(crate) created_at: Time,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
