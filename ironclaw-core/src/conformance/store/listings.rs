//! Every paged listing of one owner, with rows in it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use super::Instance;
use super::fixtures::{File, apply, job_op, lease, secret_op, setting};
use super::world::World;
use crate::change::{AccessOp, Change, ConversationOp, JobOp, Operation, SecretOp, SettingOp, WorkspaceOp};
use crate::clock::{ManualClock, Timestamp};
use crate::conformance::check::{Failure, Present};
use crate::id::{
    AgentName, ApiKeyId, ApprovalId, ConversationId, JobId, LlmCallId, MessageId, PolicyId, SandboxJobId, SecretName,
    ToolGrantId,
};
use crate::model::access::{Agent, ApiKey, Approval, Policy, ToolGrant};
use crate::model::audit::AuditEntry;
use crate::model::conversations::{Conversation, Message, NewMessage, Role};
use crate::model::jobs::{Job, JobEvent, JobStep, LlmCall, SandboxJob};
use crate::model::secrets::{Secret, SecretVersion};
use crate::model::settings::Setting;
use crate::model::workspace::Entry;
use crate::scope::Scope;

/// How many rows of each kind are listed.
pub(crate) const ROWS: usize = 7;

/// Where lists hang.
pub(crate) struct Lists {
    pub(crate) world: World,
    pub(crate) conversation: ConversationId,
    pub(crate) job: JobId,
    pub(crate) secret: SecretName,
    versions: u32,
}

/// Makes the rows at the places 100, 200 and so on.
pub(crate) async fn fill(t: &Instance, scope: &Scope) -> Result<Lists, Failure> {
    let world = World::new(t.now())?;
    lease(&*t.store, scope, 1, world.now).await?;
    apply(&*t.store, scope, AccessOp::PutAgent { name: world.agent.clone(), active: true }).await?;
    let clock = clock_at(100);
    let (conversation, job) = (ConversationId::make(&clock), JobId::make(&clock));
    apply(&*t.store, scope, ConversationOp::Create { id: conversation, title: String::new() }).await?;
    apply(&*t.store, scope, job_op(job, "work", None)).await?;
    let mut lists = Lists { world, conversation, job, secret: SecretName::parse("versions")?, versions: 0 };
    for n in 1..=ROWS as u32 {
        lists.add(t, scope, n * 100).await?;
    }
    Ok(lists)
}

/// A time that sorts as `place` does, some years ago.
fn clock_at(place: u32) -> ManualClock {
    ManualClock::at(Timestamp::from_micros(1_700_000_000_000_000).after(Duration::from_secs(place.into())))
}

impl Lists {
    /// Adds a row to every listing. Where its id or name is of the caller's making, it sorts as `place` does.
    pub(crate) async fn add(&mut self, t: &Instance, scope: &Scope, place: u32) -> Result<(), Failure> {
        self.versions += 1;
        let (clock, world) = (&clock_at(place), &self.world);
        let key = t.store.secrets().newest_data_key(scope).await?.present()?.id;
        let mut call = world.new_llm_call();
        (call.id, call.job) = (LlmCallId::make(clock), self.job);
        let mut run = world.new_sandbox_job();
        (run.id, run.job) = (SandboxJobId::make(clock), self.job);
        let mut policy = world.new_policy();
        policy.id = PolicyId::make(clock);
        let mut api_key = world.new_api_key();
        api_key.id = ApiKeyId::make(clock);
        let mut grant = world.new_grant();
        grant.id = ToolGrantId::make(clock);
        let name = |kind: &str| format!("{kind} {place:04}");
        let message = NewMessage::text(MessageId::make(clock), Role::User, "text");
        let change = Change::new()
            .with(ConversationOp::Create { id: ConversationId::make(clock), title: name("title") })
            .with(ConversationOp::AppendMessage { conversation: self.conversation, message })
            .with(job_op(JobId::make(clock), "work", None))
            .with(JobOp::AppendEvent { job: self.job, step: JobStep::Note { text: name("note") } })
            .with(JobOp::RecordLlmCall { call })
            .with(JobOp::RecordSandboxJob { run })
            .with(secret_op(&self.secret, self.versions, key))
            .with(secret_op(&SecretName::parse(name("secret"))?, 1, key))
            .with(AccessOp::PutAgent { name: AgentName::parse(name("agent"))?, active: true })
            .with(AccessOp::PutPolicy { policy })
            .with(AccessOp::MakeApiKey { key: api_key })
            .with(AccessOp::RequestApproval { approval: world.new_approval(ApprovalId::make(clock)) })
            .with(AccessOp::GrantTool { grant })
            .with(setting(&name("setting"), place)?);
        let file = File::new(&format!("folder/{place:04}.md"), "text")?.change();
        let change = file.operations().iter().cloned().fold(change, Change::with);
        t.store.apply(scope, change).await?;
        Ok(())
    }
}

/// A row of a listing.
pub(crate) trait Listed: Debug {
    /// What tells it from the others, whatever of it changes.
    fn key(&self) -> String;

    /// What deletes it, if it can be deleted by itself.
    fn deletion(&self) -> Option<Operation>;
}

macro_rules! listed {
    ($($row:ident: |$it:ident| $key:expr $(, $deletion:expr)?;)*) => {$(
        impl Listed for $row {
            fn key(&self) -> String {
                let $it = self;
                $key.to_string()
            }

            fn deletion(&self) -> Option<Operation> {
                let deletion: Option<Operation> = None;
                $(
                    let $it = self;
                    let deletion = deletion.or(Some($deletion.into()));
                )?
                deletion
            }
        }
    )*};
}

listed! {
    Conversation: |it| it.id, ConversationOp::Delete { id: it.id };
    Message: |it| it.sequence;
    Entry: |it| it.path, WorkspaceOp::DeleteEntry { path: it.path.clone() };
    Job: |it| it.job.id, JobOp::Delete { job: it.job.id };
    JobEvent: |it| it.sequence;
    LlmCall: |it| it.id;
    SandboxJob: |it| it.id;
    Secret: |it| it.name, SecretOp::Delete { name: it.name.clone() };
    SecretVersion: |it| it.number;
    Agent: |it| it.name;
    Policy: |it| it.id;
    ApiKey: |it| it.id;
    Approval: |it| it.id;
    ToolGrant: |it| it.id;
    Setting: |it| it.key, SettingOp::Delete { key: it.key.clone() };
    AuditEntry: |it| it.event.sequence;
}

/// The keys of rows, each of which must come once.
#[track_caller]
pub(crate) fn keys<T: Listed>(listing: &str, rows: &[T]) -> Vec<String> {
    let keys: Vec<String> = rows.iter().map(Listed::key).collect();
    let different: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(different.len(), keys.len(), "{listing} shows a row twice: {keys:?}");
    keys
}

/// Does the same with every paged listing of one owner: `$name` is its name, `$page` the request.
macro_rules! each_listing {
    ($t:expr, $scope:expr, $lists:expr, |$name:ident, $page:ident, $read:ident| $body:expr) => {{
        use $crate::conformance::store::listings::each_listing;
        let (store, scope) = (&*$t.store, &$scope);
        let (conversation, job) = ($lists.conversation, $lists.job);
        let (secret, tool) = (&$lists.secret.clone(), &$lists.world.tool.clone());
        let filter = &$crate::model::jobs::JobFilter::default();
        let all = &$crate::model::audit::AuditFilter::default();
        each_listing!(@ $name $page $read $body;
            conversations: store.conversations().conversations(scope, $page);
            messages: store.conversations().messages(scope, conversation, $page);
            entries: store.workspace().entries(scope, None, $page);
            jobs: store.jobs().jobs(scope, filter, $page);
            job_events: store.jobs().job_events(scope, job, $page);
            llm_calls: store.jobs().llm_calls(scope, job, $page);
            sandbox_jobs: store.jobs().sandbox_jobs(scope, job, $page);
            secrets: store.secrets().secrets(scope, $page);
            secret_versions: store.secrets().secret_versions(scope, secret, $page);
            agents: store.access().agents(scope, $page);
            policies: store.access().policies(scope, None, None, $page);
            api_keys: store.access().api_keys(scope, $page);
            approvals: store.access().approvals(scope, $page);
            tool_grants: store.access().tool_grants(scope, tool, $page);
            settings: store.settings().settings(scope, $page);
            events: store.audit().events(scope, all, $page);
        );
    }};
    (@ $name:ident $page:ident $read:ident $body:expr; $($listing:ident: $call:expr;)*) => {
        $({
            let $name = stringify!($listing);
            macro_rules! $read { ($p:expr) => {{ let $page = $p; $call.await }} }
            $body
        })*
    };
}
pub(crate) use each_listing;
