//! Which language model and which embedder: what the settings and the vault say, which the environment starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use ironclaw_core::genai::GenaiLlm;
use ironclaw_core::id::{SecretName, SettingKey};
use ironclaw_core::vault::SecretOptions;
use ironclaw_core::{Embedder, ExtractiveLlm, LlmProvider, Scope, SecretValue, Vault, settings};
use ironclaw_memory::{HashEmbedder, HttpEmbedder, StaticEmbedder};
use ironclaw_store::LibsqlStore;
use ironclaw_vault::EnvelopeVault;

use crate::failure::Failure;
use crate::output::Output;

/// Settings and the variables that start them.
const SETTINGS: [(&str, &str); 6] = [
    ("llm.model", "IRONCLAW_MODEL"),
    ("llm.openai_base_url", "OPENAI_BASE_URL"),
    ("llm.ollama_host", "OLLAMA_HOST"),
    ("embedding.model", "IRONCLAW_EMBEDDING_MODEL"),
    ("embedding.dimensions", "IRONCLAW_EMBEDDING_DIMENSIONS"),
    ("embedding.dir", "IRONCLAW_EMBEDDING_DIR"),
];

/// Keys and the services they are for. They are kept in the vault under the variables' names.
const KEYS: [(&str, &str); 2] = [("OPENAI_API_KEY", "openai"), ("ANTHROPIC_API_KEY", "anthropic")];

pub(crate) struct Models {
    pub(crate) llm: Arc<dyn LlmProvider>,
    pub(crate) embedder: Arc<dyn Embedder>,
    /// Whether there is no language model.
    pub(crate) extractive: bool,
}

pub(crate) async fn configure(
    store: &LibsqlStore,
    vault: &EnvelopeVault,
    scope: &Scope,
    output: &Output,
) -> Result<Models, Failure> {
    let variables = variables(store, vault, scope, output).await?;
    let embedder = embedder(&variables).await?;
    let model = GenaiLlm::from_env(|name| variables.get(name).and_then(|value| value.expose_str()).map(str::to_owned))?;
    let extractive = model.is_none();
    let llm: Arc<dyn LlmProvider> = match model {
        Some(model) => Arc::new(model),
        None => Arc::new(ExtractiveLlm::new()),
    };
    output.note(&format!("model: {}; embedder: {}", llm.model(), embedder.model().id));
    Ok(Models { llm, embedder, extractive })
}

/// The variables as they are now: settings from the store, keys from the vault.
async fn variables(
    store: &LibsqlStore,
    vault: &EnvelopeVault,
    scope: &Scope,
    output: &Output,
) -> Result<BTreeMap<&'static str, SecretValue>, Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let mut keys = Vec::new();
    for (key, variable) in SETTINGS {
        keys.push((SettingKey::parse(key)?, variable));
    }
    let stored = settings::bootstrap(store, scope, &keys, environment).await?;
    let mut variables = BTreeMap::new();
    for (key, variable) in keys {
        if let Some(text) = stored.get(&key).and_then(|value| value.as_str()) {
            variables.insert(variable, SecretValue::from(text.to_owned()));
        }
    }
    for (variable, provider) in KEYS {
        let given = environment(variable).filter(|key| !key.is_empty()).map(SecretValue::from);
        if let Some(key) = key(vault, scope, variable, provider, given, output).await? {
            variables.insert(variable, key);
        }
    }
    Ok(variables)
}

/// A key from the vault. One from the environment that is new is put there first.
async fn key(
    vault: &EnvelopeVault,
    scope: &Scope,
    name: &'static str,
    provider: &str,
    given: Option<SecretValue>,
    output: &Output,
) -> Result<Option<SecretValue>, Failure> {
    let secret = SecretName::parse(name)?;
    let kept = match vault.describe(scope, &secret).await? {
        Some(_) => Some(vault.reveal(scope, &secret, None).await?),
        None => None,
    };
    match given {
        Some(given) if kept.as_ref() != Some(&given) => {
            let options = SecretOptions { provider: Some(provider.to_owned()), ..SecretOptions::default() };
            vault.put(scope, &secret, given.clone(), options).await?;
            output.note(&format!("{name} is in the vault now; the variable is not needed any more."));
            Ok(Some(given))
        }
        _ => Ok(kept),
    }
}

async fn embedder(variables: &BTreeMap<&'static str, SecretValue>) -> Result<Arc<dyn Embedder>, Failure> {
    let text = |name: &str| variables.get(name).and_then(|value| value.expose_str());
    if let Some(folder) = text("IRONCLAW_EMBEDDING_DIR") {
        return Ok(Arc::new(StaticEmbedder::load(folder).await?));
    }
    let Some(model) = text("IRONCLAW_EMBEDDING_MODEL") else {
        return Ok(Arc::new(HashEmbedder::default()));
    };
    let dimensions = text("IRONCLAW_EMBEDDING_DIMENSIONS").and_then(|text| text.parse().ok()).ok_or_else(|| {
        Failure::new(
            "IRONCLAW_EMBEDDING_DIMENSIONS: say how long the vectors of IRONCLAW_EMBEDDING_MODEL are, like 768",
        )
    })?;
    let embedder = match (text("OPENAI_BASE_URL"), text("OLLAMA_HOST")) {
        (None, Some(host)) => HttpEmbedder::ollama(host, model, dimensions),
        (url, _) => {
            let embedder = HttpEmbedder::openai(url.unwrap_or("https://api.openai.com/v1"), model, dimensions);
            match variables.get("OPENAI_API_KEY") {
                Some(key) => embedder.api_key(key.clone()),
                None => embedder,
            }
        }
    };
    Ok(Arc::new(embedder.build()?))
}
