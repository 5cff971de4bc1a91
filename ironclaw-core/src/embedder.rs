//! From texts to vectors.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::error::error_type;
use crate::forward::forward;
use crate::id::EmbeddingModelId;
use crate::scope::Scope;
use crate::setters::setters;

/// Turns texts into vectors that are near each other when the texts are alike.
///
/// ```
/// use async_trait::async_trait;
/// use ironclaw_core::embedder::{EmbedError, EmbeddingModel, Purpose};
/// use ironclaw_core::prelude::*;
///
/// /// Whether a text asks or tells: no good for searching, but an embedder.
/// #[derive(Debug)]
/// struct Asks(EmbeddingModel);
///
/// #[async_trait]
/// impl Embedder for Asks {
///     fn model(&self) -> &EmbeddingModel {
///         &self.0
///     }
///
///     async fn embed(&self, _: &Scope, _: Purpose, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
///         Ok(texts.iter().map(|text| if text.ends_with('?') { vec![1.0, 0.0] } else { vec![0.0, 1.0] }).collect())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let asks = Asks(EmbeddingModel::new("asks-1".parse()?, 2).lexical(true));
/// let ada = Scope::user("ada")?;
/// assert_eq!(asks.embed(&ada, Purpose::Query, vec!["When?".to_owned()]).await?, [[1.0, 0.0]]);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Embedder: Send + Sync + std::fmt::Debug {
    /// The model: vectors of two models are never compared.
    fn model(&self) -> &EmbeddingModel;

    /// One vector for each text, in order, of exactly [`EmbeddingModel::dimensions`] finite numbers and length 1
    /// (only a text without anything in it may give a vector of zeros).
    ///
    /// The scope says whose texts they are, and who asks: an embedder may choose its key or its limits by it. The same
    /// text for the same purpose gives the same vector, whoever asks. Local models run on threads of their own. Dropping
    /// the future gives up the result; nothing is left behind.
    ///
    /// # Errors
    /// An [`EmbedError`]; then there is no vector for any of the texts.
    async fn embed(&self, scope: &Scope, purpose: Purpose, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError>;
}

forward! {
    Embedder:
    fn model(&self) -> &EmbeddingModel;
    async fn embed(&self, scope: &Scope, purpose: Purpose, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError>;
}

/// What the vectors are for; some models embed the two differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Purpose {
    /// To be found.
    Document,
    /// To find with.
    Query,
}

/// An embedding model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EmbeddingModel {
    /// Its id: everything that changes its vectors changes the id.
    pub id: EmbeddingModelId,
    /// The length of its vectors.
    pub dimensions: u32,
    /// Whether it compares words only (feature hashing), not meaning.
    pub lexical: bool,
}

impl EmbeddingModel {
    /// A model of meaning, whose vectors have so many dimensions.
    pub fn new(id: EmbeddingModelId, dimensions: u32) -> Self {
        Self { id, dimensions, lexical: false }
    }
}

setters! {
    EmbeddingModel:
    lexical: bool,
}

/// Which way an embedder failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EmbedErrorKind {
    /// A text is longer than the embedder takes, or has no form it takes.
    #[error("invalid input")]
    InvalidInput,
    /// The model can't be loaded.
    #[error("model unavailable")]
    ModelUnavailable,
    /// The service refused the credentials.
    #[error("not authorised")]
    Unauthorised,
    /// The service asked to slow down.
    #[error("rate limited")]
    RateLimited,
    /// The service could not be reached or did not answer in time.
    #[error("unreachable")]
    Unreachable,
    /// The answer is not what was asked: wrong count, wrong dimensions, not finite.
    #[error("malformed answer")]
    MalformedAnswer,
}

error_type! {
    /// Why texts could not be embedded.
    EmbedError, EmbedErrorKind, retryable: [RateLimited, Unreachable]
}
