//! Everything the agent needs, opened in one folder.

use std::path::Path;

use ironclaw_core::id::{ConversationId, OperatorName, UserId};
use ironclaw_core::{Agent, Maintenance, PageRequest, Scope, Store, Vault};
use ironclaw_memory::HybridMemory;
use ironclaw_sandbox::{Grants, WasmSandbox, components};
use ironclaw_store::LibsqlStore;
use ironclaw_vault::{EnvelopeVault, KeyFile};

use crate::failure::Failure;
use crate::models::{self, Models};
use crate::output::Output;

pub(crate) struct Host {
    pub(crate) scope: Scope,
    pub(crate) store: LibsqlStore,
    pub(crate) memory: HybridMemory,
    pub(crate) agent: Agent,
    vault: EnvelopeVault,
    sandbox: WasmSandbox,
    /// Whether answers come from the extractive stand-in and not from a language model.
    extractive: bool,
}

impl Host {
    /// Opens the folder, or makes it.
    pub(crate) async fn open(data: &Path, user: Option<&str>, output: &Output) -> Result<Self, Failure> {
        std::fs::create_dir_all(data)
            .map_err(|error| Failure::new(format!("{} can't be made: {error}", data.display())))?;
        let user = match user {
            Some(user) => user.to_owned(),
            None => std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "me".to_owned()),
        };
        let scope = Scope::user(UserId::parse(user)?);
        let store = LibsqlStore::open(data.join("agent.db")).await?;
        let vault = open_vault(&store, data, output).await?;
        let Models { llm, embedder, extractive } = models::configure(&store, &vault, &scope, output).await?;
        let memory = HybridMemory::new(store.clone(), embedder);
        let sandbox = WasmSandbox::builder().tool_bytes(components::CALCULATOR, Grants::none()).build().await?;
        let agent =
            Agent::builder().store(store.clone()).memory(memory.clone()).tools(sandbox.clone()).llm(llm).build()?;
        Ok(Self { scope, store, memory, agent, vault, sandbox, extractive })
    }

    /// The conversation to go on with: the newest, or a new one.
    pub(crate) async fn conversation(&self) -> Result<ConversationId, Failure> {
        let newest = self.store.conversations().conversations(&self.scope, &PageRequest::first(1)?).await?;
        match newest.items.first() {
            Some(conversation) => Ok(conversation.id),
            None => Ok(self.agent.start_conversation(&self.scope).await?),
        }
    }

    /// A question that makes the model call the calculator.
    pub(crate) fn tool_question(&self) -> String {
        match self.extractive {
            true => r#"/calculator {"expression": "1299.90 * (1 + 0.19)"}"#.to_owned(),
            false => "What is 1299.90 plus 19 percent? Use the calculator.".to_owned(),
        }
    }

    /// What only an operator may do. For a file that is whoever may open it.
    pub(crate) fn maintenance(&self) -> Result<impl Maintenance + use<>, Failure> {
        Ok(self.store.maintenance(OperatorName::parse("quickstart")?))
    }

    pub(crate) async fn close(self) -> Result<(), Failure> {
        use ironclaw_core::Sandbox;
        self.agent.close().await;
        self.sandbox.close().await?;
        self.vault.close().await;
        self.store.close().await?;
        Ok(())
    }
}

/// Opens the vault with the key beside the database, or makes both on the first run.
async fn open_vault(store: &LibsqlStore, data: &Path, output: &Output) -> Result<EnvelopeVault, Failure> {
    let path = data.join("agent.key");
    let key = KeyFile::at(&path);
    if !EnvelopeVault::is_initialised(store).await? {
        let maintenance = store.maintenance(OperatorName::parse("quickstart")?);
        EnvelopeVault::init(store, &maintenance, &key).await?;
        output.note(&format!(
            "Made a vault. Its key is in {}, readable by you alone: whoever has it and the database can read your \
             secrets, and without it nobody can. Keep a copy somewhere else.",
            path.display()
        ));
    }
    Ok(EnvelopeVault::open(store.clone(), key).await?)
}
