//! How deep JSON may be, and that what is accepted is read back.

use serde_json::{Value, json};

use super::fixtures::{apply, conversation};
use super::input::Fields;
use super::snapshot::{assert_same, snapshot};
use super::world::World;
use super::{StoreSubject, user};
use crate::change::{AccessOp, JobOp, Operation, WorkspaceOp};
use crate::conformance::check::{Outcome, refused_field};
use crate::limits::Limits;
use crate::model::workspace::ContentHash;

/// How much deeper records of values may be than the values.
const WRAPPING: usize = 16;

/// Objects within one another.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }))
}

/// The deepest value that a field takes.
fn deepest(field: &str) -> usize {
    Limits::default().json_depth + if ["request", "response"].contains(&field) { WRAPPING } else { 0 }
}

pub(super) async fn deeper_is_refused(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let fields = Fields { world: World::new(t.now())? };
    fields.world.seed(&*t.store, &ada).await?;
    let before = snapshot(&*t.store, &ada, &fields.world).await?;
    let limit = Limits::default().json_depth;
    for levels in [limit + 1, limit + WRAPPING + 1, 126, 500] {
        for (field, operation) in fields.values(&nested(levels)) {
            if levels > deepest(field) {
                let name = operation.event().action.name();
                assert_eq!(refused_field(apply(&*t.store, &ada, operation).await), field, "{name} of {levels} levels");
            }
        }
    }
    assert_same(&before, &snapshot(&*t.store, &ada, &fields.world).await?);
    t.store.audit().verify(&ada).await?;
    Ok(())
}

pub(super) async fn the_deepest_is_read_back(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let shared = World::new(t.now())?;
    let conversation = conversation(&*t.store, &ada).await?;
    apply(&*t.store, &ada, AccessOp::PutAgent { name: shared.agent.clone(), active: true }).await?;
    let places = (Fields { world: shared }).values(&json!({})).len();
    for place in 0..places {
        // Ids of its own for each.
        let fields = Fields { world: World { conversation, ..World::new(t.now())? } };
        let world = &fields.world;
        let (field, _) = fields.values(&json!({}))[place];
        let value = nested(deepest(field));
        let (_, operation) = fields.values(&value).swap_remove(place);
        if field != "job input" {
            apply(&*t.store, &ada, JobOp::Create { job: world.new_job() }).await?;
        }
        apply(&*t.store, &ada, operation.clone()).await?;
        if let Operation::Workspace(WorkspaceOp::BeginVersion { version }) = operation {
            let (version, content_hash) = (version.id, ContentHash::of(b""));
            apply(&*t.store, &ada, WorkspaceOp::Publish { version, size: 0, content_hash }).await?;
        }
        let (seen, printed) = (snapshot(&*t.store, &ada, world).await?, format!("{value:?}"));
        assert!(seen.values().any(|said| said.contains(&printed)), "{field} came back another");
    }
    Ok(())
}
