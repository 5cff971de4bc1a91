//! Language models over the network, through the `genai` crate (feature `genai`).
//!
//! One adapter for OpenAI and everything that speaks its protocol (NEAR AI, vLLM, llama.cpp, LM Studio), Anthropic,
//! Gemini, Ollama and the further services of [`Provider`].
//!
//! A [`GenaiLlm`] connects to its one endpoint and to nothing else: it reads no environment variable by itself, uses
//! no proxy of the system and follows no redirect. Its errors carry a status and the service's error code, never a
//! header, a body, a prompt or a key.

use std::sync::Arc;
use std::time::Duration;

use ::genai::adapter::AdapterKind;
use ::genai::resolver::{AuthData, Endpoint};
use ::genai::{Client, Headers, ModelIden, ServiceTarget};
use async_trait::async_trait;
use futures::{StreamExt, stream};

use crate::llm::{LlmError, LlmProvider, LlmRequest, LlmStream};
use crate::secret::SecretValue;

mod answer;
mod builder;
mod env;
mod failure;
mod provider;
mod request;

pub use builder::GenaiLlmBuilder;
pub use provider::Provider;

use answer::Answer;
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
///     .key(SecretValue::from("key".to_owned()))
///     .build()?;
/// # Ok::<(), ironclaw_core::llm::LlmError>(())
/// ```
#[derive(Clone)]
pub struct GenaiLlm {
    client: Client,
    provider: Provider,
    model: String,
    endpoint: String,
    key: Option<Arc<SecretValue>>,
    timeout: Duration,
    retries: u32,
    backoff: Duration,
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
    /// among the three; `ollama::model` needs no `OLLAMA_HOST` (`http://127.0.0.1:11434/` by default). Without it the
    /// model is `gpt-5-mini` at OpenAI itself and `claude-sonnet-4-5` at Anthropic; elsewhere there is no sensible
    /// default, and its absence is an error.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::llm::LlmErrorKind::InvalidRequest) for variables that contradict each other or make no
    /// sense; the message names the variable, never its value.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, LlmError> {
        env::from_env(&var)
    }

    fn target(&self) -> ServiceTarget {
        let kind: AdapterKind = self.provider.kind();
        let auth = match self.key.as_deref().and_then(SecretValue::expose_str) {
            Some(key) => AuthData::from_single(key),
            // genai insists on a key for this protocol; an exact request needs none.
            None if self.provider == Provider::OpenAi => AuthData::RequestOverride {
                url: format!("{}chat/completions", self.endpoint),
                headers: Headers::default(),
            },
            None => AuthData::None,
        };
        ServiceTarget {
            endpoint: Endpoint::from_owned(self.endpoint.as_str()),
            auth,
            model: ModelIden::new(kind, self.model.as_str()),
        }
    }

    /// One attempt, up to the first piece of the answer.
    async fn attempt(&self, request: &LlmRequest) -> Result<LlmStream, Failure> {
        let mut answer = Answer::begin(self, request).await?;
        let first = answer.next().await?;
        let rest = stream::try_unfold(answer, |mut answer| async move {
            if answer.is_ended() {
                return Ok(None);
            }
            let event = answer.next().await.map_err(Failure::into_error)?;
            Ok(Some((event, answer)))
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

    async fn stream(&self, request: LlmRequest) -> Result<LlmStream, LlmError> {
        let mut failures = 0;
        loop {
            let failure = match self.attempt(&request).await {
                Ok(stream) => return Ok(stream),
                Err(failure) => failure,
            };
            let wait = failure.retry_after().unwrap_or(self.backoff.saturating_mul(1 << failures.min(8)));
            if failures >= self.retries || !failure.is_retryable() || wait > LONGEST_WAIT {
                return Err(failure.into_error());
            }
            failures += 1;
            tokio::time::sleep(wait).await;
        }
    }
}
