use std::sync::Arc;
use std::time::Duration;

use ::genai::Client;
use reqwest::Url;

use super::{GenaiLlm, Provider};
use crate::llm::{LlmError, LlmErrorKind};
use crate::secret::SecretValue;

/// Builds a [`GenaiLlm`].
///
/// | setting | default |
/// |---|---|
/// | [`endpoint`](Self::endpoint) | [`Provider::default_endpoint`] |
/// | [`key`](Self::key) | none: accepted for Ollama, and for an OpenAI-compatible service at an endpoint of your own |
/// | [`timeout`](Self::timeout) | 60 s |
/// | [`retries`](Self::retries) | 2 |
/// | [`backoff`](Self::backoff) | 250 ms |
#[derive(Debug)]
pub struct GenaiLlmBuilder {
    provider: Provider,
    model: String,
    endpoint: Option<String>,
    key: Option<SecretValue>,
    timeout: Duration,
    retries: u32,
    backoff: Duration,
}

/// The longest model name, in bytes.
const MODEL_BYTES: usize = 256;

impl GenaiLlmBuilder {
    pub(super) fn new(provider: Provider, model: String) -> Self {
        Self {
            provider,
            model,
            endpoint: None,
            key: None,
            timeout: Duration::from_secs(60),
            retries: 2,
            backoff: Duration::from_millis(250),
        }
    }

    /// The base URL that the protocol's paths are appended to, such as `https://cloud-api.near.ai/v1`. Over plain
    /// `http` the key and all that is said can be read on the way: use it for this machine or a network you trust.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// The API key.
    #[must_use]
    pub fn key(mut self, key: SecretValue) -> Self {
        self.key = Some(key);
        self
    }

    /// How long the service may take to begin its answer, and between two pieces of it.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a call that failed before its first piece is tried again, if the failure may pass.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How long to wait before the first retry, if the service does not say; it doubles with each.
    #[must_use]
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// The model. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`LlmErrorKind::InvalidRequest`] for a model name, endpoint or key that can't be used, or a key that is missing.
    pub fn build(self) -> Result<GenaiLlm, LlmError> {
        check_model(&self.model)?;
        let endpoint = match &self.endpoint {
            Some(url) => check_endpoint(url)?,
            None => self.provider.default_endpoint().to_owned(),
        };
        match &self.key {
            Some(_) if self.provider == Provider::Ollama => {
                return Err(refused("key: Ollama takes none; for a service that does, use Provider::OpenAi"));
            }
            Some(key) => check_key(key)?,
            None if self.provider == Provider::Ollama => {}
            None if self.provider == Provider::OpenAi && self.endpoint.is_some() => {}
            None => return Err(refused("key: this provider needs one")),
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(self.timeout.min(Duration::from_secs(10)))
            .pool_max_idle_per_host(4)
            .user_agent(concat!("ironclaw-core/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| refused("the HTTP client could not be made: no TLS provider or root certificates"))?;
        let client =
            Client::builder().with_reqwest(http).build().map_err(|_| refused("the client could not be made"))?;
        Ok(GenaiLlm {
            client,
            provider: self.provider,
            model: self.model,
            endpoint,
            key: self.key.map(Arc::new),
            timeout: self.timeout,
            retries: self.retries,
            backoff: self.backoff,
        })
    }
}

pub(super) fn refused(context: impl Into<String>) -> LlmError {
    LlmError::new(LlmErrorKind::InvalidRequest, "configure", context)
}

fn check_model(model: &str) -> Result<(), LlmError> {
    if model.is_empty() || model.len() > MODEL_BYTES {
        return Err(refused("model: must have 1 to 256 bytes"));
    }
    // genai reads `namespace::model` as a choice of service, which is made here by the provider alone; and the name
    // is part of Gemini's URLs.
    if model.contains("::") || model.chars().any(|c| c.is_control() || c.is_whitespace() || "?#%\\".contains(c)) {
        return Err(refused("model: must not contain `::`, white space or any of ?#%\\"));
    }
    if model.split('/').any(|part| part == "..") {
        return Err(refused("model: must not contain `..` as a part"));
    }
    Ok(())
}

/// The URL with a slash at its end, as the protocols' paths are joined to it.
fn check_endpoint(url: &str) -> Result<String, LlmError> {
    let url = Url::parse(url.trim()).map_err(|_| refused("endpoint: not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(refused("endpoint: must be an http or https URL with a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("endpoint: must not hold credentials; give the key as `key`"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("endpoint: must have no query and no fragment"));
    }
    let mut text = url.to_string();
    if !text.ends_with('/') {
        text.push('/');
    }
    Ok(text)
}

fn check_key(key: &SecretValue) -> Result<(), LlmError> {
    let bytes = key.expose();
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(refused("key: must be printable ASCII without spaces"));
    }
    Ok(())
}
