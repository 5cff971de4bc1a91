//! Language models over the network (feature `genai`).
//!
//! One client for OpenAI and everything that speaks its protocol (NEAR AI, vLLM, llama.cpp, LM Studio), Anthropic,
//! Gemini, Ollama and the further services of [`Provider`].
//!
//! A [`GenaiLlm`] connects to its one endpoint and to nothing else: it reads no environment variable by itself, uses
//! no proxy of the system and follows no redirect. Whatever shape a service gives its answer, all of it is read, or the
//! call fails and says why. Its errors carry the service's own reason, in at most about a thousand characters and without
//! anything that looks like a key.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};

use crate::clock::Clock;
use crate::llm::{LlmError, LlmErrorKind, LlmProvider, LlmRequest, LlmStream};
use crate::scope::Scope;
use crate::secret::SecretValue;

mod answer;
mod builder;
mod call;
mod calls;
mod env;
mod failure;
mod frames;
mod protocol;
mod provider;
mod retry_after;
mod scrub;

pub use builder::GenaiLlmBuilder;
pub use env::ollama_url;
pub use provider::Provider;

use call::Call;
use failure::Failure;

/// A language model behind one endpoint.
///
/// Cloning it is cheap and shares its connections. Calls that fail before the first piece of the answer, in a way that
/// may pass (rate limits, unreachable services, server errors), are tried again a few times.
///
/// ```
/// use ironclaw_core::genai::{GenaiLlm, Provider};
/// use ironclaw_core::SecretValue;
///
/// let llm = GenaiLlm::builder(Provider::OpenAi, "gpt-oss-120b")
///     .endpoint("https://cloud-api.near.ai/v1")
///     .key("key")
///     .build()?;
/// # Ok::<(), ironclaw_core::llm::LlmError>(())
/// ```
#[derive(Clone)]
pub struct GenaiLlm {
    http: reqwest::Client,
    provider: Provider,
    model: String,
    endpoint: String,
    key: Option<Arc<SecretValue>>,
    text_only: bool,
    timeout: Duration,
    retries: u32,
    backoff: Duration,
    clock: Arc<dyn Clock>,
}

/// The longest wait that a service may ask for before a retry; with a longer one the call fails at once.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

impl GenaiLlm {
    /// A model of this provider; see [`GenaiLlmBuilder`] for the defaults.
    pub fn builder(provider: Provider, model: impl Into<String>) -> GenaiLlmBuilder {
        GenaiLlmBuilder::new(provider, model.into())
    }

    /// The model that environment variables name, or `None` if they name none. `var` looks a variable up:
    /// `GenaiLlm::from_env(|name| std::env::var(name).ok())`. A variable that is empty counts as not set. What it gives
    /// is wiped after use.
    ///
    /// The first of these that applies:
    ///
    /// 1. `OPENAI_BASE_URL` or `OPENAI_API_KEY`: an OpenAI-compatible service at the base URL, by default
    ///    `https://api.openai.com/v1/`. With a base URL the key may be absent: then none is sent.
    /// 2. `ANTHROPIC_API_KEY`: Anthropic.
    /// 3. `OLLAMA_HOST`: Ollama there, read as Ollama reads it (`127.0.0.1`, `host:port`, a URL; port 11434 by default).
    ///
    /// `IRONCLAW_MODEL` names the model. As `openai::model`, `anthropic::model` or `ollama::model` it also chooses
    /// among the three; any other name goes out as it is, whatever is in it. `ollama::model` needs no `OLLAMA_HOST` (`http://127.0.0.1:11434/` by default). Without it the
    /// model is `gpt-5-mini` at OpenAI itself and `claude-sonnet-4-5` at Anthropic; elsewhere there is no sensible
    /// default, and its absence is an error.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::llm::LlmErrorKind::InvalidRequest) for variables that contradict each other or make no
    /// sense; the message names the variable, never its value.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, LlmError> {
        env::from_env(&var)
    }

    /// One attempt, up to the first piece of the answer.
    async fn attempt(&self, request: &LlmRequest) -> Result<LlmStream, Failure> {
        let mut call = Call::begin(self, request).await?;
        let first = call.next().await?;
        let rest = stream::try_unfold((call, self.key.clone()), |(mut call, key)| async move {
            if call.is_ended() {
                return Ok(None);
            }
            let event = call.next().await.map_err(|failure| failure.into_error(key.as_deref()))?;
            Ok(Some((event, (call, key))))
        });
        Ok(Box::pin(stream::iter([Ok(first)]).chain(rest)))
    }
}

impl std::fmt::Debug for GenaiLlm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GenaiLlm")
            .field("provider", &self.provider)
            .field("model", &self.model)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl LlmProvider for GenaiLlm {
    fn model(&self) -> &str {
        &self.model
    }

    /// Options that the protocol can't say, and parts that it has no place for or that the model was
    /// [said](GenaiLlmBuilder::text_only) not to read.
    fn check(&self, request: &LlmRequest) -> Result<(), LlmError> {
        request.check_options()?;
        let protocol = self.provider.protocol();
        if let Some(option) = protocol.unsayable(&request.options) {
            let context = format!("{:?} has no {option}; leave it out, or choose another provider", self.provider);
            return Err(LlmError::new(LlmErrorKind::OptionUnsupported, "check", context));
        }
        request.check_content(|part| !self.text_only && protocol.takes(part))
    }

    async fn stream(&self, _scope: &Scope, request: LlmRequest) -> Result<LlmStream, LlmError> {
        self.check(&request)?;
        let mut failures = 0;
        loop {
            let failure = match self.attempt(&request).await {
                Ok(stream) => return Ok(stream),
                Err(failure) => failure,
            };
            let wait = failure.retry_after().unwrap_or_default().max(self.backoff.saturating_mul(1 << failures.min(8)));
            if failures >= self.retries || !failure.is_retryable() || wait > LONGEST_WAIT {
                return Err(failure.into_error(self.key.as_deref()));
            }
            failures += 1;
            tokio::time::sleep(wait).await;
        }
    }
}
