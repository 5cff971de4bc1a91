//! Which language model and which embedder: what the settings and the vault say, which the environment starts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ironclaw_core::change::{Change, SettingOp};
use ironclaw_core::genai::{GenaiLlm, ollama_url};
use ironclaw_core::id::{SecretName, SettingKey};
use ironclaw_core::model::secrets::Binding;
use ironclaw_core::store::{Apply, Store};
use ironclaw_core::vault::SecretOptions;
use ironclaw_core::{Embedder, ExtractiveLlm, LlmProvider, Scope, SecretValue, Vault, settings};
use ironclaw_memory::{HashEmbedder, HttpEmbedder, StaticEmbedder};
use ironclaw_store::LibsqlStore;
use ironclaw_vault::EnvelopeVault;
use reqwest::Url;

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

/// Builds the models from what is stored, and from the environment where nothing is. What the environment gave is
/// stored once the models are built, so that a variable that makes no sense locks nobody out. `reset` leaves out what
/// is stored, and replaces it.
pub(crate) async fn configure(
    store: &LibsqlStore,
    vault: &EnvelopeVault,
    scope: &Scope,
    reset: bool,
    output: &Output,
) -> Result<Models, Failure> {
    let chosen = Chosen::read(store, vault, scope, reset, output).await?;
    let embedder = embedder(&chosen.variables).await?;
    let text = |name: &str| chosen.variables.get(name).and_then(|value| value.expose_str()).map(str::to_owned);
    let model = GenaiLlm::from_env(text)?;
    chosen.store(store, vault, scope, reset, output).await?;
    let extractive = model.is_none();
    let llm: Arc<dyn LlmProvider> = match model {
        Some(model) => Arc::new(model),
        None => Arc::new(ExtractiveLlm::new()),
    };
    output.note(&format!("model: {}; embedder: {}", llm.model(), embedder.model().id));
    Ok(Models { llm, embedder, extractive })
}

type Variables = BTreeMap<&'static str, SecretValue>;

/// The variables as they count in this run, and what of them is not stored yet.
struct Chosen {
    variables: Variables,
    new_settings: BTreeMap<&'static str, String>,
    new_keys: Vec<NewKey>,
}

struct NewKey {
    variable: &'static str,
    provider: &'static str,
    host: String,
    value: SecretValue,
}

impl Chosen {
    async fn read(
        store: &LibsqlStore,
        vault: &EnvelopeVault,
        scope: &Scope,
        reset: bool,
        output: &Output,
    ) -> Result<Self, Failure> {
        let (mut variables, mut new_settings) = (Variables::new(), BTreeMap::new());
        for (key, variable) in SETTINGS {
            let stored = match reset {
                true => None,
                false => store.settings().setting(scope, &SettingKey::parse(key)?).await?,
            };
            let text = match (stored, environment(variable)) {
                (Some(stored), given) => {
                    let kept = stored.value.as_str().map(str::to_owned);
                    if given.is_some() && given != kept {
                        output.note(&format!(
                            "{variable} is ignored: another value is stored. --reset-models takes models, endpoints and \
                             keys from the environment again."
                        ));
                    }
                    kept
                }
                (None, Some(given)) => {
                    if let "OPENAI_BASE_URL" | "OLLAMA_HOST" = variable {
                        check_no_credentials(variable, &given)?;
                    }
                    new_settings.insert(variable, given.clone());
                    Some(given)
                }
                (None, None) => None,
            };
            if let Some(text) = text {
                variables.insert(variable, SecretValue::from(text));
            }
        }
        let mut new_keys = Vec::new();
        for (variable, provider) in KEYS {
            let stated = variables.get("OPENAI_BASE_URL").and_then(|url| url.expose_str());
            let host = key_host(variable, stated)?;
            let kept = match reset {
                true => None,
                false => stored_key(vault, scope, variable, &host).await?,
            };
            let given = environment(variable).map(SecretValue::from);
            if kept.is_some() || given.is_some() {
                check_tls(variable, stated)?;
            }
            let value = match (kept, given) {
                (Some(kept), given) => {
                    if given.is_some_and(|given| given.expose() != kept.expose()) {
                        output.note(&format!(
                            "{variable} is ignored: the vault has another key. --reset-models takes models, endpoints \
                             and keys from the environment again."
                        ));
                    }
                    kept
                }
                (None, Some(given)) => {
                    // A key belongs to the endpoint that is named beside it, and goes to no other.
                    if key_host(variable, environment("OPENAI_BASE_URL").as_deref())? != host {
                        output.note(&format!(
                            "{variable} is ignored: the stored endpoint is {host}, and OPENAI_BASE_URL does not say \
                             that the key is for it. --reset-models takes models, endpoints and keys from the \
                             environment again."
                        ));
                        continue;
                    }
                    new_keys.push(NewKey { variable, provider, host, value: given.clone() });
                    given
                }
                (None, None) => continue,
            };
            variables.insert(variable, value);
        }
        Ok(Self { variables, new_settings, new_keys })
    }

    /// Stores what the environment gave; with `reset` instead of what was stored.
    async fn store(
        &self,
        store: &LibsqlStore,
        vault: &EnvelopeVault,
        scope: &Scope,
        reset: bool,
        output: &Output,
    ) -> Result<(), Failure> {
        if reset {
            let mut change = Change::new();
            for (key, _) in SETTINGS {
                change = change.with(SettingOp::Delete { key: SettingKey::parse(key)? });
            }
            store.apply(scope, change).await?;
            for (variable, _) in KEYS {
                vault.delete(scope, &SecretName::parse(variable)?).await?;
            }
        }
        for NewKey { variable, provider, host, value } in &self.new_keys {
            let options =
                SecretOptions::default().provider((*provider).to_owned()).bindings(vec![Binding::new(host.clone())]);
            vault.put(scope, &SecretName::parse(*variable)?, value.clone(), options).await?;
            output.note(&format!("{variable} is in the vault now, for {host}; the variable is not needed any more."));
        }
        let mut keys = Vec::new();
        for (key, variable) in SETTINGS {
            keys.push((SettingKey::parse(key)?, variable));
        }
        settings::bootstrap(store, scope, &keys, |name| self.new_settings.get(name).cloned()).await?;
        Ok(())
    }
}

/// A variable that is set, and not to nothing.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The vault's key, if there is one. It goes to the host that it was stored for, and to no other.
async fn stored_key(
    vault: &EnvelopeVault,
    scope: &Scope,
    variable: &'static str,
    host: &str,
) -> Result<Option<SecretValue>, Failure> {
    let name = SecretName::parse(variable)?;
    let Some(secret) = vault.describe(scope, &name).await? else { return Ok(None) };
    if !secret.bindings.iter().any(|binding| binding.host == host) {
        let hosts: Vec<&str> = secret.bindings.iter().map(|binding| binding.host.as_str()).collect();
        let hosts = if hosts.is_empty() { "no host".to_owned() } else { hosts.join(", ") };
        return Err(Failure::new(format!(
            "{variable} in the vault is for {hosts}, and is not sent to {host}: unset OPENAI_BASE_URL, or let \
             --reset-models take models, endpoints and keys from the environment again"
        )));
    }
    Ok(Some(vault.reveal(scope, &name, None).await?))
}

/// The host that a key is for.
fn key_host(variable: &str, openai_base_url: Option<&str>) -> Result<String, Failure> {
    if variable == "ANTHROPIC_API_KEY" {
        return Ok("api.anthropic.com".to_owned());
    }
    let url = openai_base_url.unwrap_or("https://api.openai.com/v1/");
    Url::parse(url)
        .ok()
        .and_then(|url| Some(url.host_str()?.trim_end_matches('.').to_owned()))
        .ok_or_else(|| Failure::new("OPENAI_BASE_URL: not a URL with a host"))
}

/// Refuses to send a key over a network without TLS.
fn check_tls(variable: &str, openai_base_url: Option<&str>) -> Result<(), Failure> {
    let Some(url) = openai_base_url.filter(|_| variable == "OPENAI_API_KEY").and_then(|url| Url::parse(url).ok())
    else {
        return Ok(());
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    match url.scheme() == "https" || is_here {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "{variable} is not sent to {host} without TLS: name an https:// endpoint in OPENAI_BASE_URL, or unset the key"
        ))),
    }
}

/// Refuses what would put a password into a setting, which is plaintext.
fn check_no_credentials(variable: &str, text: &str) -> Result<(), Failure> {
    if text.contains(['@', '?', '#']) {
        return Err(Failure::new(format!("{variable}: must be an address alone, without credentials or a query")));
    }
    Ok(())
}

async fn embedder(variables: &Variables) -> Result<Arc<dyn Embedder>, Failure> {
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
        (None, Some(host)) => HttpEmbedder::ollama(ollama_url(host)?, model, dimensions),
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
