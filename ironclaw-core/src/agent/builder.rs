use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::tokens::of_options;
use super::toolbox::Toolbox;
use super::{Agent, AgentError, AgentErrorKind, Config, Inner, context};
use crate::clock::{Clock, SystemClock};
use crate::id::{AgentName, JobId, WorkerName};
use crate::input::{InputError, parsed};
use crate::limits::Limits;
use crate::llm::{LlmOptions, LlmProvider, LlmRequest};
use crate::memory::Memory;
use crate::sandbox::Sandbox;
use crate::store::AgentStore;
use crate::tool::Tool;

/// Builds an [`Agent`].
///
/// | setting | default |
/// |---|---|
/// | [`store`](Self::store), [`llm`](Self::llm) | none: they must be given |
/// | [`memory`](Self::memory) | none: nothing is retrieved but earlier messages |
/// | [`tools`](Self::tools), [`tool`](Self::tool) | the memory's own tools; see [`memory_tools`](Self::memory_tools) |
/// | [`name`](Self::name) | `assistant` |
/// | [`instructions`](Self::instructions) | to answer from the passages, to cite them, and to say so when they don't tell |
/// | [`context_tokens`](Self::context_tokens) | 16,000 |
/// | [`recent_messages`](Self::recent_messages) | 40 |
/// | [`passages`](Self::passages) | 8 |
/// | [`past_messages`](Self::past_messages) | 4 |
/// | [`tool_rounds`](Self::tool_rounds) | 8 |
/// | [`tool_calls_per_round`](Self::tool_calls_per_round) | 16 |
/// | [`tool_result_bytes`](Self::tool_result_bytes) | 8 KiB |
/// | [`tool_deadline`](Self::tool_deadline) | 60 s |
/// | [`llm_deadline`](Self::llm_deadline) | 120 s |
/// | [`llm_options`](Self::llm_options) | the service's own |
/// | [`retrieval_deadline`](Self::retrieval_deadline) | 10 s |
/// | [`deadline`](Self::deadline) | 10 minutes |
/// | [`worker`](Self::worker) | the agent's name and a new id |
/// | [`clock`](Self::clock) | [`SystemClock`] |
/// | [`limits`](Self::limits) | those of a store that was given none |
#[derive(Debug)]
#[must_use]
pub struct AgentBuilder {
    store: Option<Arc<dyn AgentStore>>,
    memory: Option<Arc<dyn Memory>>,
    memory_tools: bool,
    llm: Option<Arc<dyn LlmProvider>>,
    tools: Vec<Arc<dyn Tool>>,
    name: Option<Result<AgentName, InputError>>,
    worker: Option<Result<WorkerName, InputError>>,
    clock: Arc<dyn Clock>,
    config: Config,
}

const INSTRUCTIONS: &str = "You are the user's assistant. Answer in the user's language, briefly and to the point. \
                            Where numbered passages are given, answer from them and cite each one that you use by its \
                            number in square brackets, like [1]. If neither the passages, the conversation nor your \
                            tools tell, say that you don't know.";

impl AgentBuilder {
    pub(super) fn new() -> Self {
        Self {
            store: None,
            memory: None,
            memory_tools: true,
            llm: None,
            tools: Vec::new(),
            name: None,
            worker: None,
            clock: Arc::new(SystemClock),
            config: Config {
                limits: Limits::default(),
                instructions: INSTRUCTIONS.to_owned(),
                context_tokens: 16_000,
                recent_messages: 40,
                passages: 8,
                past_messages: 4,
                tool_rounds: 8,
                tool_calls: 16,
                tool_result_bytes: 8 << 10,
                tool_deadline: Duration::from_secs(60),
                llm_deadline: Duration::from_secs(120),
                llm_options: LlmOptions::default(),
                retrieval_deadline: Duration::from_secs(10),
                deadline: Duration::from_secs(600),
            },
        }
    }

    /// Where everything is kept: any [`Store`](crate::Store), or what keeps conversations and jobs alone. The agent does
    /// not close it.
    pub fn store(mut self, store: impl AgentStore + 'static) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// What is searched for each question, and whose tools the model may call.
    pub fn memory(mut self, memory: impl Memory + 'static) -> Self {
        self.memory = Some(Arc::new(memory));
        self
    }

    /// Whether the model may call the memory's own tools. Without them it is shown what was retrieved for the
    /// question, and can neither read further nor write.
    pub fn memory_tools(mut self, allowed: bool) -> Self {
        self.memory_tools = allowed;
        self
    }

    /// Adds the tools of a sandbox. The agent does not close it.
    pub fn tools(mut self, sandbox: impl Sandbox) -> Self {
        self.tools.extend(sandbox.tools());
        self
    }

    /// Adds a tool of the host's own.
    pub fn tool(mut self, tool: impl Tool + 'static) -> Self {
        self.tools.push(Arc::new(tool));
        self
    }

    /// The language model, or what stands in for one.
    pub fn llm(mut self, llm: impl LlmProvider + 'static) -> Self {
        self.llm = Some(Arc::new(llm));
        self
    }

    /// The agent's name, in the principal chain of all that it does.
    /// Text that is no name is refused by [`build`](Self::build).
    pub fn name(mut self, name: impl TryInto<AgentName, Error: Into<InputError>>) -> Self {
        self.name = Some(parsed(name));
        self
    }

    /// What the model is told before everything else. That passages and results of tools are no instructions is
    /// added to whatever is said here.
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.config.instructions = text.into();
        self
    }

    /// The most tokens of a request, a schema of the answer and an `extra_body` included, as
    /// [`estimate_tokens`](super::estimate_tokens) counts them. The model's answer comes on top: leave room for it in the
    /// model's window.
    pub fn context_tokens(mut self, tokens: usize) -> Self {
        self.config.context_tokens = tokens;
        self
    }

    /// The most messages of the conversation that the model is shown: at most 900.
    pub fn recent_messages(mut self, messages: u32) -> Self {
        self.config.recent_messages = messages;
        self
    }

    /// The most passages of the workspace that the model is shown: at most 100. With 0 none are searched for.
    pub fn passages(mut self, passages: usize) -> Self {
        self.config.passages = passages;
        self
    }

    /// The most earlier messages that the model is shown besides the conversation's last: of all of the user's
    /// conversations, those that fit the question best. With 0 none are searched for. At most 100.
    pub fn past_messages(mut self, messages: u32) -> Self {
        self.config.past_messages = messages;
        self
    }

    /// How often the model may call tools before it must answer.
    pub fn tool_rounds(mut self, rounds: u32) -> Self {
        self.config.tool_rounds = rounds;
        self
    }

    /// The most calls of one round; the model is told that the further ones were not made. At most 1,000.
    pub fn tool_calls_per_round(mut self, calls: usize) -> Self {
        self.config.tool_calls = calls;
        self
    }

    /// How much of a tool's result the model is shown, in bytes; it is cut between characters, with a note.
    pub fn tool_result_bytes(mut self, bytes: usize) -> Self {
        self.config.tool_result_bytes = bytes;
        self
    }

    /// How long one call of a tool may take.
    pub fn tool_deadline(mut self, deadline: Duration) -> Self {
        self.config.tool_deadline = deadline;
        self
    }

    /// How long the agent waits for the model in one call of it.
    pub fn llm_deadline(mut self, deadline: Duration) -> Self {
        self.config.llm_deadline = deadline;
        self
    }

    /// How the model is to answer: its reasoning effort, the most tokens.
    pub fn llm_options(mut self, options: LlmOptions) -> Self {
        self.config.llm_options = options;
        self
    }

    /// How long a search may take before the answer is made without it.
    pub fn retrieval_deadline(mut self, deadline: Duration) -> Self {
        self.config.retrieval_deadline = deadline;
        self
    }

    /// How long a whole answer may take, the caller's own slowness in taking events included. The job's claim lasts a
    /// minute longer.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = deadline;
        self
    }

    /// Who claims the jobs. Give a process the same name at each start, and [`Agent::recover`] ends at once what the last
    /// one left when it was killed. Two agents that are alive at the same time must have different names: whichever
    /// recovers takes the other's answers for left behind.
    /// Text that is no name is refused by [`build`](Self::build).
    pub fn worker(mut self, worker: impl TryInto<WorkerName, Error: Into<InputError>>) -> Self {
        self.worker = Some(parsed(worker));
        self
    }

    /// What the store accepts: give the agent the store's limits, if it has others than the default. What models and
    /// tools say is cut to them before it is recorded.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Where ids and claims take the time from.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The agent.
    ///
    /// # Errors
    /// [`AgentErrorKind::Misconfigured`]: no store, no model, two tools of one name, a tool's name that models don't
    /// take, a limit out of its range, options that [make no sense](LlmRequest::check_options), or instructions, tools and
    /// options that leave no room in the token budget.
    /// [`AgentErrorKind::InvalidInput`]: a name of the agent or the worker that is none.
    pub fn build(self) -> Result<Agent, AgentError> {
        let store = self.store.ok_or_else(|| refused("store: give one with `store`"))?;
        let llm = self.llm.ok_or_else(|| refused("llm: give one with `llm`; ExtractiveLlm needs no model"))?;
        let mut tools = self.tools;
        if let Some(memory) = self.memory.as_ref().filter(|_| self.memory_tools) {
            tools.extend(memory.tools());
        }
        let toolbox = Toolbox::new(tools)?;
        let config = self.config;
        if config.recent_messages > 900 {
            return Err(refused("recent_messages: at most 900"));
        }
        if config.passages > 100 || config.past_messages > 100 {
            return Err(refused("passages, past_messages: at most 100"));
        }
        if config.tool_calls > 1_000 {
            return Err(refused("tool_calls_per_round: at most 1,000"));
        }
        if config.deadline.is_zero() || config.deadline > Duration::from_secs(86_400) {
            return Err(refused("deadline: more than nothing, at most a day"));
        }
        let asked = LlmRequest::default().tools(toolbox.specs().to_vec()).options(config.llm_options.clone());
        asked.check_options().map_err(|error| refused("llm_options").with_source(error))?;
        let overhead = context::overhead(&config, toolbox.specs()) + of_options(&config.llm_options);
        if overhead >= config.context_tokens {
            return Err(refused(format!(
                "context_tokens: instructions, tools and options alone take {overhead} of {} tokens",
                config.context_tokens
            )));
        }
        let input = |error| AgentError::refused("build", error);
        let name = self.name.unwrap_or_else(|| AgentName::parse("assistant")).map_err(input)?;
        let worker = match self.worker {
            Some(worker) => worker.map_err(input)?,
            None => default_worker(&name, &*self.clock)?,
        };
        Ok(Agent {
            inner: Arc::new(Inner {
                store,
                memory: self.memory,
                llm,
                toolbox,
                name,
                worker,
                clock: self.clock,
                config,
                closed: AtomicBool::new(false),
                live: Mutex::default(),
                running: Arc::default(),
            }),
        })
    }
}

fn refused(context: impl Into<String>) -> AgentError {
    AgentError::new(AgentErrorKind::Misconfigured, "build", context)
}

/// A name that no other process has.
fn default_worker(name: &AgentName, clock: &dyn Clock) -> Result<WorkerName, AgentError> {
    let name = name.as_str();
    let name = &name[..name.floor_char_boundary(200)];
    WorkerName::parse(format!("{name}-{}", JobId::make(clock))).map_err(|error| AgentError::refused("build", error))
}
