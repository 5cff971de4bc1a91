#![allow(clippy::unwrap_used, reason = "tests")]

use ironclaw_core::change::{AccessOp, Change, Precondition};
use ironclaw_core::id::{AgentName, ApprovalId, OperatorName, PolicyId};
use ironclaw_core::model::access::{Approval, ApprovalState, Policy};
use ironclaw_core::store::{Apply, StoreErrorKind, VaultStore};
use ironclaw_core::{Maintenance, PageRequest, Scope, SystemClock, Timestamp};

use crate::libsql::LibsqlStore;
use crate::libsql::row::params;

async fn store_with_agent() -> (LibsqlStore, Scope, AgentName) {
    let store = LibsqlStore::in_memory().await.unwrap();
    let (ada, agent) = (Scope::user("ada").unwrap(), AgentName::parse("helper").unwrap());
    store.apply(&ada, Change::new().with(AccessOp::PutAgent { name: agent.clone(), active: true })).await.unwrap();
    (store, ada, agent)
}

fn policy(agent: &AgentName, valid_until: Option<Timestamp>) -> Policy {
    Policy {
        id: PolicyId::make(&SystemClock),
        agent: agent.clone(),
        resource: "mail/*".into(),
        actions: vec!["use".into(), "re\"veal".into()],
        conditions: serde_json::json!({"hours": [9, 17]}),
        valid_from: Timestamp::from_micros(1),
        valid_until,
    }
}

#[tokio::test]
async fn a_policy_that_ended_keeps_its_end() {
    let (store, ada, agent) = store_with_agent().await;
    let ended = policy(&agent, Some(Timestamp::from_micros(5)));
    let revoke = AccessOp::RevokePolicy { id: ended.id };
    store.apply(&ada, Change::new().with(AccessOp::PutPolicy { policy: ended.clone() })).await.unwrap();
    let before = store.access().agent(&ada, &agent).await.unwrap().unwrap().policy_epoch;
    store.apply(&ada, Change::new().with(revoke)).await.unwrap();
    assert_eq!(store.access().policies(&ada, None, None, &PageRequest::default()).await.unwrap().items, [ended]);
    assert_eq!(store.access().agent(&ada, &agent).await.unwrap().unwrap().policy_epoch, before, "nothing changed");
}

#[tokio::test]
async fn a_decision_can_not_be_smuggled_in_with_the_question() {
    let (store, ada, agent) = store_with_agent().await;
    let pending = Approval {
        id: ApprovalId::make(&SystemClock),
        agent,
        action: "send mail".into(),
        details: serde_json::Value::Null,
        state: ApprovalState::Pending,
        created_at: Timestamp::from_micros(1),
        expires_at: Timestamp::from_micros(i64::MAX),
        decided_at: None,
    };
    let approved = Approval { state: ApprovalState::Approved, ..pending.clone() };
    let dated = Approval { decided_at: Some(Timestamp::from_micros(1)), ..pending.clone() };
    for approval in [approved, dated] {
        let refused = store.apply(&ada, Change::new().with(AccessOp::RequestApproval { approval })).await.unwrap_err();
        assert!(matches!(refused.kind(), StoreErrorKind::InvalidInput(_)), "{refused}");
    }
    store.apply(&ada, Change::new().with(AccessOp::RequestApproval { approval: pending.clone() })).await.unwrap();
    assert_eq!(store.access().approval(&ada, pending.id).await.unwrap(), Some(pending));
}

#[tokio::test]
async fn an_epoch_holds_only_for_an_active_agent_that_did_not_change() {
    let (store, ada, agent) = store_with_agent().await;
    let require = |epoch| {
        let put = AccessOp::PutPolicy { policy: policy(&agent, None) };
        Change::new().with(put).require(Precondition::PolicyEpoch { agent: agent.clone(), epoch })
    };
    store.apply(&ada, require(1)).await.unwrap();
    let stale = store.apply(&ada, require(1)).await.unwrap_err();
    assert_eq!(stale.kind(), &StoreErrorKind::PreconditionFailed);
    store.apply(&ada, Change::new().with(AccessOp::PutAgent { name: agent.clone(), active: false })).await.unwrap();
    let inactive = store.apply(&ada, require(3)).await.unwrap_err();
    assert_eq!(inactive.kind(), &StoreErrorKind::PreconditionFailed);
    let other = Scope::user("bob").unwrap();
    assert_eq!(store.apply(&other, require(2)).await.unwrap_err().kind(), &StoreErrorKind::PreconditionFailed);
}

#[tokio::test]
async fn the_check_finds_policies_without_their_agent() {
    let (store, ada, agent) = store_with_agent().await;
    store.apply(&ada, Change::new().with(AccessOp::PutPolicy { policy: policy(&agent, None) })).await.unwrap();
    let operator = store.maintenance(OperatorName::parse("ops").unwrap());
    assert_eq!(operator.check_integrity().await.unwrap(), Vec::<String>::new());
    store.engine().write("test", |db| db.execute("DELETE FROM agents", params![])).await.unwrap();
    let found = operator.check_integrity().await.unwrap();
    assert!(found.len() == 1 && found[0].starts_with("policies: its agent is not there: row 1/"), "{found:?}");
}
