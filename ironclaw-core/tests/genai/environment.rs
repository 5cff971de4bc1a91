use ironclaw_core::genai::GenaiLlm;
use ironclaw_core::llm::{LlmError, LlmProvider};

fn from(vars: &[(&str, &str)]) -> Result<Option<GenaiLlm>, LlmError> {
    GenaiLlm::from_env(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
}

/// Provider, model and endpoint as `Debug` shows them.
fn shown(vars: &[(&str, &str)]) -> String {
    format!("{:?}", from(vars).unwrap().unwrap())
}

#[test]
fn nothing_set_is_no_model() {
    assert!(from(&[]).unwrap().is_none());
    assert!(from(&[("OPENAI_API_KEY", ""), ("OLLAMA_HOST", "  ")]).unwrap().is_none());
}

#[test]
fn the_first_that_applies_wins() {
    let openai = ("OPENAI_API_KEY", "k1");
    let anthropic = ("ANTHROPIC_API_KEY", "k2");
    let ollama = ("OLLAMA_HOST", "127.0.0.1");
    let model = ("IRONCLAW_MODEL", "m");
    let all = [openai, anthropic, ollama];
    assert!(shown(&all).contains(r#"OpenAi, model: "gpt-5-mini", endpoint: "https://api.openai.com/v1/""#));
    assert!(
        shown(&all[1..]).contains(r#"Anthropic, model: "claude-sonnet-4-5", endpoint: "https://api.anthropic.com/"#)
    );
    assert!(shown(&[ollama, model]).contains(r#"Ollama, model: "m", endpoint: "http://127.0.0.1:11434/""#));
    assert!(shown(&[openai, anthropic, ("IRONCLAW_MODEL", "anthropic::claude-opus-4-5")]).contains("Anthropic"));
    assert!(shown(&[("IRONCLAW_MODEL", "ollama::qwen3")]).contains("11434"));
}

#[test]
fn a_base_url_needs_a_model_and_no_key() {
    let url = ("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1");
    let error = from(&[url]).unwrap_err();
    assert!(error.to_string().contains("IRONCLAW_MODEL"), "{error}");
    // Only the three services are a prefix; whatever else stands there is a part of the name.
    for (named, model) in
        [("qwen/qwen3-32b", "qwen/qwen3-32b"), ("zai::glm-5-high", "zai::glm-5-high"), ("openai::zai::glm", "zai::glm")]
    {
        assert_eq!(from(&[url, ("IRONCLAW_MODEL", named)]).unwrap().unwrap().model(), model);
    }
}

#[test]
fn contradictions_name_the_variable_and_never_its_value() {
    for vars in [
        &[("IRONCLAW_MODEL", "m-secret")][..],
        &[("IRONCLAW_MODEL", "anthropic::m-secret")],
        &[("IRONCLAW_MODEL", "openai::m-secret"), ("ANTHROPIC_API_KEY", "k-secret")],
        &[("OLLAMA_HOST", "127.0.0.1")],
        &[("OLLAMA_HOST", "not a host-secret"), ("IRONCLAW_MODEL", "m")],
        &[("OPENAI_API_KEY", "k secret")],
    ] {
        let error = from(vars).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
