use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use ironclaw_core::embedder::{EmbedError, EmbedErrorKind, Embedder, EmbeddingModel, Purpose};
use ironclaw_core::id::EmbeddingModelId;
use ironclaw_core::input::{InputError, Problem, parsed};
use ironclaw_core::model::workspace::check_vector;
use ironclaw_core::{Scope, SecretValue};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::normalize;
use crate::error::malformed;

mod wire;

use wire::Api;

/// Embeddings from a service: any that speaks OpenAI's `/v1/embeddings`, or Ollama's `/api/embed`.
///
/// Only the given address is ever connected to: redirects are refused, and no proxy is taken from the environment.
/// Texts go out in batches. Rate limits (429), server errors (5xx) and failed connections are tried again a few times,
/// at the time the service asks for, or at growing intervals. An answer is refused if it is too large, or not exactly
/// one vector of finite numbers of the stated dimensions for each text. Blank texts are not sent; they get zeros.
///
/// Built by [`HttpEmbedder::openai`] or [`HttpEmbedder::ollama`]:
///
/// ```
/// use ironclaw_core::{Embedder, SecretValue};
/// use ironclaw_memory::HttpEmbedder;
///
/// let embedder = HttpEmbedder::openai("https://api.openai.com/v1", "text-embedding-3-small", 1536)
///     .api_key("key-from-the-vault")
///     .build()?;
/// assert_eq!(embedder.model().id.as_str(), "openai:text-embedding-3-small:1536");
///
/// let embedder = HttpEmbedder::ollama("http://localhost:11434", "nomic-embed-text", 768).build()?;
/// assert_eq!(embedder.model().dimensions, 768);
/// # Ok::<(), ironclaw_core::InputError>(())
/// ```
#[derive(Debug)]
pub struct HttpEmbedder {
    api: Api,
    url: Url,
    name: String,
    model: EmbeddingModel,
    client: Client,
    batch: usize,
    retries: u32,
    backoff: Duration,
    longest_wait: Duration,
    response_bytes: usize,
}

impl HttpEmbedder {
    /// A service with OpenAI's API; `base` is what comes before `/embeddings`, for example
    /// `https://api.openai.com/v1`.
    pub fn openai(base: impl Into<String>, model: impl Into<String>, dimensions: u32) -> HttpEmbedderBuilder {
        HttpEmbedderBuilder::new(Api::OpenAi, base.into(), model.into(), dimensions)
    }

    /// Ollama; `base` is what comes before `/api/embed`, for example `http://localhost:11434`.
    pub fn ollama(base: impl Into<String>, model: impl Into<String>, dimensions: u32) -> HttpEmbedderBuilder {
        HttpEmbedderBuilder::new(Api::Ollama, base.into(), model.into(), dimensions)
    }

    async fn embed_batch(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let mut attempt = 0;
        loop {
            let failure = match self.request(texts).await {
                Ok(body) => return self.vectors(&body, texts.len()),
                Err(failure) => failure,
            };
            let wait = failure.wait.unwrap_or_else(|| self.backoff.saturating_mul(1 << attempt.min(16)));
            if attempt >= self.retries || !failure.again || wait > self.longest_wait {
                return Err(failure.error);
            }
            attempt += 1;
            tracing::debug!(error = %failure.error, attempt, ?wait, "embedding is tried again");
            tokio::time::sleep(wait).await;
        }
    }

    /// The body of a successful answer.
    async fn request(&self, texts: &[&str]) -> Result<Vec<u8>, Failure> {
        let body = self.api.request(&self.name, texts);
        let response = self.client.post(self.url.clone()).json(&body).send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(refused(status, response.headers()));
        }
        self.body(response).await
    }

    /// The body, read only as far as it may be long.
    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            if body.len() + piece.len() > self.response_bytes {
                let error = malformed(format!("the answer has more than {} bytes", self.response_bytes));
                return Err(Failure { error, again: false, wait: None });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn vectors(&self, body: &[u8], asked: usize) -> Result<Vec<Vec<f32>>, EmbedError> {
        let mut vectors = self.api.vectors(body, asked)?;
        for vector in &mut vectors {
            check_vector(vector, self.model.dimensions as usize).map_err(|refused| {
                let advice = "a vector is not of the stated dimensions; check model and dimensions";
                malformed(advice).with_source(refused.to_string())
            })?;
            normalize(vector);
        }
        Ok(vectors)
    }
}

#[async_trait]
impl Embedder for HttpEmbedder {
    fn model(&self) -> &EmbeddingModel {
        &self.model
    }

    async fn embed(&self, _scope: &Scope, _purpose: Purpose, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let mut vectors = vec![vec![0.0; self.model.dimensions as usize]; texts.len()];
        let sent: Vec<(usize, &str)> =
            texts.iter().map(String::as_str).enumerate().filter(|(_, text)| !text.trim().is_empty()).collect();
        for batch in sent.chunks(self.batch) {
            let batch_texts: Vec<&str> = batch.iter().map(|(_, text)| *text).collect();
            let found = self.embed_batch(&batch_texts).await?;
            for ((place, _), vector) in batch.iter().zip(found) {
                vectors[*place] = vector;
            }
        }
        Ok(vectors)
    }
}

/// Settings of an [`HttpEmbedder`]. Defaults: no key, the id made of API, model and dimensions, 64 texts per request,
/// 60 seconds per request, 3 retries at 500 ms, 1 s and 2 s, no longer wait than 30 s, answers of at most 64 MiB.
#[derive(Debug, Clone)]
pub struct HttpEmbedderBuilder {
    api: Api,
    base: String,
    name: String,
    dimensions: u32,
    id: Option<Result<EmbeddingModelId, InputError>>,
    api_key: Option<SecretValue>,
    batch: usize,
    timeout: Duration,
    retries: u32,
    backoff: Duration,
    longest_wait: Duration,
    response_bytes: usize,
}

impl HttpEmbedderBuilder {
    fn new(api: Api, base: String, name: String, dimensions: u32) -> Self {
        Self {
            api,
            base,
            name,
            dimensions,
            id: None,
            api_key: None,
            batch: 64,
            timeout: Duration::from_secs(60),
            retries: 3,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            response_bytes: 64 << 20,
        }
    }

    /// The key, sent as a bearer token.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<SecretValue>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// The id under which vectors are kept, where the same name may stand for several models: two services, or two
    /// quantisations.
    #[must_use]
    pub fn id(mut self, id: impl TryInto<EmbeddingModelId, Error: Into<InputError>>) -> Self {
        self.id = Some(parsed(id));
        self
    }

    /// The most texts of one request: 1 to 2,048.
    #[must_use]
    pub fn batch(mut self, texts: usize) -> Self {
        self.batch = texts;
        self
    }

    /// The longest that one request may take, from connecting to the end of the answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a request is tried again, and how long after the first failure; each further wait is twice as long.
    #[must_use]
    pub fn retries(mut self, retries: u32, backoff: Duration) -> Self {
        (self.retries, self.backoff) = (retries, backoff);
        self
    }

    /// The longest wait before a request is tried again; if the service asks for a longer one, the call fails.
    #[must_use]
    pub fn longest_wait(mut self, wait: Duration) -> Self {
        self.longest_wait = wait;
        self
    }

    /// The largest answer, in bytes.
    #[must_use]
    pub fn response_bytes(mut self, bytes: usize) -> Self {
        self.response_bytes = bytes;
        self
    }

    /// The embedder. Nothing is connected to yet.
    ///
    /// # Errors
    /// An [`InputError`] on `url` (not `http` or `https`, with credentials in it, or without TLS to another host while
    /// there is a key), `model`, `dimensions`, `batch`, `embedding model` (an [`id`](Self::id) that is none) or `API key`.
    pub fn build(self) -> Result<HttpEmbedder, InputError> {
        let url = self.url()?;
        if self.dimensions == 0 {
            return Err(InputError::new("dimensions", Problem::OutOfRange { expected: "at least 1" }));
        }
        if self.batch == 0 || self.batch > 2_048 {
            return Err(InputError::new("batch", Problem::OutOfRange { expected: "1 to 2048 texts" }));
        }
        if self.name.is_empty() {
            return Err(InputError::new("model", Problem::Empty));
        }
        let id = match self.id {
            Some(id) => id?,
            None => EmbeddingModelId::parse(format!("{}:{}:{}", self.api.name(), self.name, self.dimensions))?,
        };
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.api_key {
            headers.insert(AUTHORIZATION, bearer(key)?);
        }
        let client = Client::builder()
            .default_headers(headers)
            .redirect(Policy::none())
            .no_proxy()
            .timeout(self.timeout)
            .connect_timeout(self.timeout.min(Duration::from_secs(10)))
            .build()
            .map_err(|_| InputError::new("client", Problem::Malformed { expected: "a working TLS configuration" }))?;
        Ok(HttpEmbedder {
            api: self.api,
            url,
            name: self.name,
            model: EmbeddingModel::new(id, self.dimensions),
            client,
            batch: self.batch,
            retries: self.retries,
            backoff: self.backoff,
            longest_wait: self.longest_wait,
            response_bytes: self.response_bytes,
        })
    }

    fn url(&self) -> Result<Url, InputError> {
        let refuse = |expected| InputError::new("url", Problem::Malformed { expected });
        let joined = format!("{}/{}", self.base.trim_end_matches('/'), self.api.path());
        let url = Url::parse(&joined).map_err(|_| refuse("an absolute http or https address"))?;
        let Some(host) = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")) else {
            return Err(refuse("an absolute http or https address"));
        };
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("no credentials, query or fragment; the key is given apart"));
        }
        let local =
            host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if self.api_key.is_some() && url.scheme() == "http" && !local {
            return Err(refuse("https, as a key is sent to another host"));
        }
        Ok(url)
    }
}

/// A failed request.
struct Failure {
    error: EmbedError,
    /// Whether trying again may help.
    again: bool,
    /// How long the service asks to wait.
    wait: Option<Duration>,
}

fn bearer(key: &SecretValue) -> Result<HeaderValue, InputError> {
    let refused =
        || InputError::new("API key", Problem::Malformed { expected: "printable ASCII, without line breaks" });
    if key.expose().is_empty() || !key.expose().iter().all(u8::is_ascii_graphic) {
        return Err(refused());
    }
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", key.expose()].concat()).map_err(|_| refused())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A failure of the connection. The address may hold what it should not, so it is left out.
fn unreachable(error: reqwest::Error) -> Failure {
    let context = if error.is_timeout() { "no answer in time" } else { "the service could not be reached" };
    let error = EmbedError::new(EmbedErrorKind::Unreachable, "embed", context).with_source(error.without_url());
    Failure { error, again: true, wait: None }
}

/// A failure that the service told. Its text may repeat what was sent, so only its status is told on.
fn refused(status: StatusCode, headers: &HeaderMap) -> Failure {
    let wait = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(retry_after);
    let (kind, again, advice) = match status.as_u16() {
        401 | 403 => (EmbedErrorKind::Unauthorised, false, "check the API key"),
        404 => (EmbedErrorKind::ModelUnavailable, false, "check the address and the model's name"),
        429 => (EmbedErrorKind::RateLimited, true, "try again later"),
        400 | 413 | 422 => (EmbedErrorKind::InvalidInput, false, "a text may be too long for the model"),
        300..400 => (EmbedErrorKind::Unreachable, false, "redirects are not followed; give the final address"),
        500.. => (EmbedErrorKind::Unreachable, true, "the service failed"),
        _ => (EmbedErrorKind::MalformedAnswer, false, "the service does not answer as an embedding service does"),
    };
    let error = EmbedError::new(kind, "embed", format!("status {}: {advice}", status.as_u16()));
    Failure { error, again, wait }
}

/// The wait that a `Retry-After` header asks for (RFC 9110, section 10.2.3): seconds, or a date.
fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = OffsetDateTime::parse(value.trim(), &Rfc2822).ok()?;
    Some(Duration::try_from(date - OffsetDateTime::now_utc()).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_in_both_forms() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(retry_after("Fri, 31 Dec 2100 23:59:59 GMT").unwrap() > Duration::from_secs(86_400));
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn addresses_are_checked() {
        let build = |base: &str| HttpEmbedder::openai(base, "m", 4).api_key("k").build();
        assert_eq!(build("https://example.com/v1/").unwrap().url.as_str(), "https://example.com/v1/embeddings");
        for fine in ["http://localhost:1/v1", "http://127.0.0.1/v1", "http://[::1]:8/v1"] {
            assert!(build(fine).is_ok(), "{fine}");
        }
        for wrong in ["", "ftp://x/", "example.com", "http://example.com/v1", "https://u:p@x/v1", "https://x/?a=b"] {
            assert_eq!(build(wrong).unwrap_err().field(), "url", "{wrong}");
        }
        assert!(HttpEmbedder::ollama("http://ollama.lan:11434", "m", 4).build().is_ok(), "no key, no secret to lose");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let builder = || HttpEmbedder::ollama("http://localhost", "m", 4);
        assert_eq!(builder().batch(0).build().unwrap_err().field(), "batch");
        assert_eq!(HttpEmbedder::ollama("http://localhost", "m", 0).build().unwrap_err().field(), "dimensions");
        assert_eq!(HttpEmbedder::ollama("http://localhost", "", 4).build().unwrap_err().field(), "model");
        let key = SecretValue::from("a\nb");
        assert_eq!(builder().api_key(key).build().unwrap_err().field(), "API key");
    }

    #[test]
    fn the_key_is_not_printed() {
        let builder = HttpEmbedder::openai("https://x/v1", "m", 4).api_key("sk-topsecret");
        assert!(!format!("{builder:?}").contains("topsecret"));
        assert!(!format!("{:?}", builder.build().unwrap()).contains("topsecret"));
    }
}
