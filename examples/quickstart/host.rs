//! Everything the agent needs, opened in one folder.

use std::path::Path;

use ironclaw_core::id::ConversationId;
use ironclaw_core::vault::VaultErrorKind;
use ironclaw_core::{Agent, AgentStore, Maintenance, PageRequest, Scope, Store, Vault};
use ironclaw_memory::HybridMemory;
use ironclaw_sandbox::{Grants, WasmSandbox, components};
use ironclaw_store::LibsqlStore;
use ironclaw_vault::{EnvelopeVault, KeyFile};

use crate::failure::Failure;
use crate::models::{self, Models};
use crate::output::Output;
use crate::worker::Worker;

const DATABASE: &str = "agent.db";

/// The database of a folder, and whose data it is.
pub(crate) struct Folder {
    pub(crate) scope: Scope,
    pub(crate) store: LibsqlStore,
}

impl Folder {
    /// Opens the folder, or makes it, for its owner alone.
    pub(crate) async fn make(data: &Path, user: Option<&str>) -> Result<Self, Failure> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(data).map_err(|error| Failure::new(format!("{} can't be made: {error}", data.display())))?;
        Self::open_file(&data.join(DATABASE), user).await
    }

    /// Opens a folder that was made before; nothing is made.
    pub(crate) async fn open(data: &Path, user: Option<&str>) -> Result<Self, Failure> {
        let file = data.join(DATABASE);
        if !file.is_file() {
            return Err(Failure::new(format!("{}: no such file, so nothing is kept there", file.display())));
        }
        Self::open_file(&file, user).await
    }

    async fn open_file(file: &Path, user: Option<&str>) -> Result<Self, Failure> {
        let user = match user {
            Some(user) => user.to_owned(),
            None => std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "me".to_owned()),
        };
        let scope = Scope::user(user)?;
        Ok(Self { scope, store: LibsqlStore::open(file).await? })
    }

    /// What only an operator may do. For a file that is whoever may open it.
    pub(crate) fn maintenance(&self) -> Result<impl Maintenance + use<>, Failure> {
        Ok(self.store.maintenance_by("quickstart")?)
    }

    pub(crate) async fn close(self) -> Result<(), Failure> {
        Ok(self.store.close().await?)
    }
}

pub(crate) struct Host {
    pub(crate) scope: Scope,
    pub(crate) store: LibsqlStore,
    pub(crate) memory: HybridMemory,
    pub(crate) agent: Agent,
    vault: EnvelopeVault,
    sandbox: WasmSandbox,
    /// Whether answers come from the extractive stand-in and not from a language model.
    extractive: bool,
    /// Holds the name under which this process works.
    _worker: Option<Worker>,
}

impl Host {
    /// Starts the agent of a folder. `reset` takes the models from the environment again.
    pub(crate) async fn start(folder: &Folder, data: &Path, reset: bool, output: &Output) -> Result<Self, Failure> {
        let (scope, store) = (folder.scope.clone(), folder.store.clone());
        let vault = open_vault(folder, data, output).await?;
        let Models { llm, embedder, extractive } = models::configure(&store, &vault, &scope, reset, output).await?;
        let memory = HybridMemory::new(store.clone(), embedder);
        let sandbox = WasmSandbox::builder().tool_bytes(components::CALCULATOR, Grants::none()).build().await?;
        let builder = Agent::builder().store(store.clone()).memory(memory.clone()).tools(sandbox.clone()).llm(llm);
        let worker = Worker::take(data)?;
        let agent = match &worker {
            Some(worker) => builder.worker(worker.name.clone()).build()?,
            None => builder.build()?,
        };
        let interrupted = agent.recover(&scope).await?;
        if !interrupted.is_empty() {
            output.note(&format!("{} answers of earlier runs were interrupted.", interrupted.len()));
        }
        Ok(Self { scope, store, memory, agent, vault, sandbox, extractive, _worker: worker })
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

    /// Ends what runs. The database is the folder's to close.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        use ironclaw_core::Sandbox;
        self.agent.close().await;
        let closed = self.sandbox.close().await;
        self.vault.close().await;
        Ok(closed?)
    }
}

/// Opens the vault with the key beside the database, or makes both on the first run.
async fn open_vault(folder: &Folder, data: &Path, output: &Output) -> Result<EnvelopeVault, Failure> {
    let path = data.join("agent.key");
    let key = KeyFile::at(&path);
    let store = &folder.store;
    if !EnvelopeVault::is_initialised(store).await? {
        match EnvelopeVault::init(store, &folder.maintenance()?, &key).await {
            Ok(()) => output.note(&format!(
                "Made a vault. Its key is in {}, readable by you alone: whoever has it and the database can read your \
                 secrets, and without it nobody can. Keep a copy somewhere else.",
                path.display()
            )),
            // Another first run was faster.
            Err(error) if error.kind() == &VaultErrorKind::AlreadyInitialised => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(EnvelopeVault::open(store.clone(), key).await?)
}
