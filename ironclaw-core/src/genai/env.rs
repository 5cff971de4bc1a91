use zeroize::Zeroizing;

use super::builder::refused;
use super::{GenaiLlm, Provider};
use crate::llm::LlmError;
use crate::secret::SecretValue;

/// The models to use where nobody said which.
const OPENAI_MODEL: &str = "gpt-5-mini";
const ANTHROPIC_MODEL: &str = "claude-sonnet-4-5";

const OLLAMA_PORT: u16 = 11_434;

pub(super) fn from_env(var: &dyn Fn(&str) -> Option<String>) -> Result<Option<GenaiLlm>, LlmError> {
    // Any of them can hold a key, if only by mistake: what was looked up is wiped, and so is each copy.
    let var = |name: &str| {
        let value = Zeroizing::new(var(name)?);
        let value = Zeroizing::new(value.trim().to_owned());
        (!value.is_empty()).then_some(value)
    };
    let (base_url, openai_key) = (var("OPENAI_BASE_URL"), var("OPENAI_API_KEY"));
    let (anthropic_key, ollama_host) = (var("ANTHROPIC_API_KEY"), var("OLLAMA_HOST"));

    let named = var("IRONCLAW_MODEL");
    let (chosen, model) = match named.as_ref().map(|name| (name.split_once("::"), name.as_str())) {
        None => (None, None),
        Some((Some(("openai", model)), _)) => (Some(Provider::OpenAi), Some(model)),
        Some((Some(("anthropic", model)), _)) => (Some(Provider::Anthropic), Some(model)),
        Some((Some(("ollama", model)), _)) => (Some(Provider::Ollama), Some(model)),
        // Any other part before `::` belongs to the name.
        Some((_, model)) => (None, Some(model)),
    };
    let found = match () {
        () if base_url.is_some() || openai_key.is_some() => Some(Provider::OpenAi),
        () if anthropic_key.is_some() => Some(Provider::Anthropic),
        () if ollama_host.is_some() => Some(Provider::Ollama),
        () => None,
    };
    let Some(provider) = chosen.or(found) else {
        return match model {
            Some(_) => Err(refused(
                "IRONCLAW_MODEL is set, but none of OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_API_KEY and OLLAMA_HOST \
                 says where the model is",
            )),
            None => Ok(None),
        };
    };

    let builder = match provider {
        Provider::Anthropic => {
            let key = anthropic_key.ok_or_else(|| refused("ANTHROPIC_API_KEY: IRONCLAW_MODEL asks for it"))?;
            GenaiLlm::builder(provider, model.unwrap_or(ANTHROPIC_MODEL)).key(secret(key))
        }
        Provider::Ollama => {
            let model = model.ok_or_else(|| refused("IRONCLAW_MODEL: name the Ollama model to use"))?;
            GenaiLlm::builder(provider, model)
                .endpoint(ollama_url(ollama_host.as_ref().map_or("127.0.0.1", |host| host.as_str()))?)
        }
        _ => {
            if base_url.is_none() && openai_key.is_none() {
                return Err(refused("OPENAI_API_KEY or OPENAI_BASE_URL: IRONCLAW_MODEL asks for one"));
            }
            let model = match (model, &base_url) {
                (Some(model), _) => model,
                (None, None) => OPENAI_MODEL,
                (None, Some(url)) if url.starts_with("https://api.openai.com/") => OPENAI_MODEL,
                (None, Some(_)) => return Err(refused("IRONCLAW_MODEL: name the model at OPENAI_BASE_URL")),
            };
            let mut builder = GenaiLlm::builder(Provider::OpenAi, model);
            if let Some(url) = base_url {
                builder = builder.endpoint(url.as_str());
            }
            match openai_key {
                Some(key) => builder.key(secret(key)),
                None => builder,
            }
        }
    };
    builder.build().map(Some)
}

/// Moves a key without a copy.
fn secret(mut key: Zeroizing<String>) -> SecretValue {
    SecretValue::from(std::mem::take(&mut *key))
}

/// The URL that `OLLAMA_HOST` means, as Ollama's own client reads it: a port of 11434 unless a scheme says otherwise, and
/// the address that a server listens on everywhere with is this machine. For whatever else speaks to the same Ollama, as an
/// embedder does:
///
/// ```
/// assert_eq!(ironclaw_core::genai::ollama_url("gpu-box:8080")?, "http://gpu-box:8080/");
/// # Ok::<(), ironclaw_core::llm::LlmError>(())
/// ```
///
/// # Errors
/// [`InvalidRequest`](crate::llm::LlmErrorKind::InvalidRequest) for what is neither; the message names the variable, never
/// its value.
pub fn ollama_url(host: &str) -> Result<String, LlmError> {
    let malformed = || refused("OLLAMA_HOST: must be a host, host:port or an http(s) URL");
    let with_scheme = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
    let mut url = reqwest::Url::parse(&with_scheme).map_err(|_| malformed())?;
    // A default port that was written out (`http://host:80`) can't be told from one left out: a scheme means its port.
    if !host.contains("://") && url.port().is_none() && !host.ends_with(":80") {
        url.set_port(Some(OLLAMA_PORT)).map_err(|()| malformed())?;
    }
    if matches!(url.host_str(), Some("0.0.0.0" | "[::]")) {
        url.set_host(Some("127.0.0.1")).map_err(|_| malformed())?;
    }
    Ok(url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ollama_host_is_read_as_ollama_reads_it() {
        for (host, url) in [
            ("127.0.0.1", "http://127.0.0.1:11434/"),
            ("0.0.0.0", "http://127.0.0.1:11434/"),
            ("gpu-box:8080", "http://gpu-box:8080/"),
            ("[::1]", "http://[::1]:11434/"),
            ("http://gpu-box", "http://gpu-box/"),
            ("https://ollama.example/api-root", "https://ollama.example/api-root"),
        ] {
            assert_eq!(ollama_url(host).unwrap(), url, "{host}");
        }
        assert!(ollama_url("not a host").is_err());
    }
}
