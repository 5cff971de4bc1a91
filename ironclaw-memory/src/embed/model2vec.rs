use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use ironclaw_core::Scope;
use ironclaw_core::embedder::{EmbedError, EmbedErrorKind, Embedder, EmbeddingModel, Purpose};
use ironclaw_core::id::EmbeddingModelId;
use model2vec_rs::model::StaticModel;
use sha2::{Digest, Sha256};

use super::normalize;

/// Static embeddings from a local [model2vec](https://github.com/MinishLab/model2vec) folder: meaning, at the price of
/// a lookup for each word; without network and without a GPU.
///
/// The folder holds `tokenizer.json`, `model.safetensors` and `config.json`, as model2vec saves them. Nothing is ever
/// downloaded. The model's id is made of the hash of the three files, so that another model can't pass for this one.
/// Vectors are made on threads where blocking is allowed. Clones share the model.
///
/// ```no_run
/// # async fn example() -> Result<(), ironclaw_core::embedder::EmbedError> {
/// let embedder = ironclaw_memory::StaticEmbedder::load("models/potion-multilingual-128M").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct StaticEmbedder {
    model: EmbeddingModel,
    loaded: Arc<StaticModel>,
}

/// The files of a model, in the order in which they are hashed.
const FILES: [&str; 3] = ["tokenizer.json", "model.safetensors", "config.json"];
/// Texts are embedded as they are: chunks are short.
const NO_MAXIMUM: Option<usize> = None;

impl StaticEmbedder {
    /// Loads the model in `folder`, on a thread where blocking is allowed. Only load models that you trust, as you
    /// would a program's data. Dropping the future gives up the result.
    ///
    /// # Errors
    /// [`EmbedErrorKind::ModelUnavailable`] if a file is missing or not of a model.
    pub async fn load(folder: impl AsRef<Path>) -> Result<Self, EmbedError> {
        let folder = folder.as_ref().to_owned();
        blocking("load", move || load(&folder)).await?
    }
}

#[async_trait]
impl Embedder for StaticEmbedder {
    fn model(&self) -> &EmbeddingModel {
        &self.model
    }

    async fn embed(&self, _scope: &Scope, _purpose: Purpose, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let loaded = Arc::clone(&self.loaded);
        blocking("embed", move || {
            let mut vectors = loaded.encode_with_args(&texts, NO_MAXIMUM, texts.len().max(1));
            vectors.iter_mut().for_each(|vector| normalize(vector));
            vectors
        })
        .await
    }
}

/// A thread's panic is the tokenizer's way to refuse a model's files or a text: the caller gets an error.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EmbedError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        let context = "the model can't be used; check that its files belong together";
        EmbedError::new(EmbedErrorKind::ModelUnavailable, operation, context).with_source(error)
    })
}

fn load(folder: &Path) -> Result<StaticEmbedder, EmbedError> {
    let unavailable = |context: String| EmbedError::new(EmbedErrorKind::ModelUnavailable, "load", context);
    let read = |name: &str| {
        let path: PathBuf = folder.join(name);
        std::fs::read(&path).map_err(|error: io::Error| {
            unavailable(format!("`{name}` of the model's folder can't be read")).with_source(error)
        })
    };
    let [tokenizer, model, config] = [read(FILES[0])?, read(FILES[1])?, read(FILES[2])?];
    let mut hasher = Sha256::new();
    for file in [&tokenizer, &model, &config] {
        hasher.update((file.len() as u64).to_be_bytes());
        hasher.update(file);
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let hash: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| {
        unavailable("the folder's files are not of a model2vec model".to_owned()).with_source(error)
    };
    let loaded =
        StaticModel::from_bytes(tokenizer, model, config, Some(true)).map_err(|error| refused(error.into()))?;
    let id = EmbeddingModelId::parse(format!("model2vec:{hash}")).map_err(|error| refused(error.into()))?;
    let dimensions = u32::try_from(loaded.dim()).map_err(|error| refused(error.into()))?;
    Ok(StaticEmbedder { model: EmbeddingModel::new(id, dimensions), loaded: Arc::new(loaded) })
}
