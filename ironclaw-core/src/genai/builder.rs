use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::{GenaiLlm, Provider};
use crate::clock::{Clock, SystemClock};
use crate::llm::{LlmError, LlmErrorKind};
use crate::secret::SecretValue;

/// Builds a [`GenaiLlm`].
///
/// | setting | default |
/// |---|---|
/// | [`endpoint`](Self::endpoint) | [`Provider::default_endpoint`] |
/// | [`key`](Self::key) | none: accepted for Ollama, and for an OpenAI-compatible service at an endpoint of your own |
/// | [`text_only`](Self::text_only) | no: images and PDF are sent where the protocol has a place for them |
/// | [`timeout`](Self::timeout) | 60 s |
/// | [`retries`](Self::retries) | 2 |
/// | [`backoff`](Self::backoff) | 250 ms |
/// | [`clock`](Self::clock) | [`SystemClock`] |
#[derive(Debug)]
pub struct GenaiLlmBuilder {
    provider: Provider,
    model: String,
    endpoint: Option<String>,
    key: Option<SecretValue>,
    text_only: bool,
    timeout: Duration,
    retries: u32,
    backoff: Duration,
    clock: Arc<dyn Clock>,
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
            text_only: false,
            timeout: Duration::from_secs(60),
            retries: 2,
            backoff: Duration::from_millis(250),
            clock: Arc::new(SystemClock),
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
    pub fn key(mut self, key: impl Into<SecretValue>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Says that the model reads text alone: images and documents that are no text are then refused with
    /// [`LlmErrorKind::ContentUnsupported`] before anything is sent, and not by the service.
    #[must_use]
    pub fn text_only(mut self) -> Self {
        self.text_only = true;
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

    /// How long to wait before the first retry; it doubles with each. A service that asks for more gets more, up to 20 s.
    #[must_use]
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// The clock that a service's date to come back at is compared with.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The model. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`LlmErrorKind::InvalidRequest`] for a model name, endpoint or key that can't be used, or a key that is missing.
    pub fn build(self) -> Result<GenaiLlm, LlmError> {
        check_model(self.provider, &self.model)?;
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
        Ok(GenaiLlm {
            http,
            provider: self.provider,
            model: self.model,
            endpoint,
            key: self.key.map(Arc::new),
            text_only: self.text_only,
            timeout: self.timeout,
            retries: self.retries,
            backoff: self.backoff,
            clock: self.clock,
        })
    }
}

pub(super) fn refused(context: impl Into<String>) -> LlmError {
    LlmError::new(LlmErrorKind::InvalidRequest, "configure", context)
}

/// A name goes out as it is; which ones there are is the service's to say.
fn check_model(provider: Provider, model: &str) -> Result<(), LlmError> {
    if model.trim().is_empty() || model.len() > MODEL_BYTES {
        return Err(refused("model: must have 1 to 256 bytes"));
    }
    if model.chars().any(char::is_control) {
        return Err(refused("model: must not contain control characters"));
    }
    // Gemini's model is a part of the URL, where these mean another place.
    if provider == Provider::Gemini && model.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(refused("model: must not contain an empty part, `.` or `..` between slashes"));
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
