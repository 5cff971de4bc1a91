//! The two wire formats.

use ironclaw_core::embedder::EmbedError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::malformed;

/// Which API a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    /// <https://platform.openai.com/docs/api-reference/embeddings/create>
    OpenAi,
    /// <https://docs.ollama.com/api/embed>
    Ollama,
}

#[derive(Deserialize)]
struct OpenAiAnswer {
    data: Vec<OpenAiVector>,
}

#[derive(Deserialize)]
struct OpenAiVector {
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct OllamaAnswer {
    embeddings: Vec<Vec<f32>>,
}

impl Api {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Ollama => "ollama",
        }
    }

    /// What follows the base address.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::OpenAi => "embeddings",
            Self::Ollama => "api/embed",
        }
    }

    pub(super) fn request(self, model: &str, texts: &[&str]) -> Value {
        match self {
            Self::OpenAi => json!({"model": model, "input": texts, "encoding_format": "float"}),
            // Without this, Ollama embeds the beginning of a text that is too long as if it were the whole.
            Self::Ollama => json!({"model": model, "input": texts, "truncate": false}),
        }
    }

    /// The vectors of an answer, in the order of the texts.
    pub(super) fn vectors(self, body: &[u8], asked: usize) -> Result<Vec<Vec<f32>>, EmbedError> {
        // The parser's message may repeat what it read, so only the place is told.
        let parse = |error: serde_json::Error| {
            malformed(format!("not the expected JSON at line {}, column {}", error.line(), error.column()))
        };
        let vectors = match self {
            Self::OpenAi => {
                let mut data = serde_json::from_slice::<OpenAiAnswer>(body).map_err(parse)?.data;
                data.sort_by_key(|vector| vector.index);
                if data.iter().enumerate().any(|(place, vector)| place != vector.index) {
                    return Err(malformed("the vectors' indices do not count up from 0"));
                }
                data.into_iter().map(|vector| vector.embedding).collect()
            }
            Self::Ollama => serde_json::from_slice::<OllamaAnswer>(body).map_err(parse)?.embeddings,
        };
        let found = Vec::len(&vectors);
        if found == asked { Ok(vectors) } else { Err(malformed(format!("{found} vectors for {asked} texts"))) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_put_in_order() {
        let body = br#"{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}],"usage":{}}"#;
        assert_eq!(Api::OpenAi.vectors(body, 2).unwrap(), [[1.0], [2.0]]);
    }

    #[test]
    fn wrong_answers_are_refused() {
        for body in [
            r#"{"data":[{"index":0,"embedding":[1]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1]},{"index":7,"embedding":[1]}]}"#,
            r#"{"error":"private text"}"#,
            "",
        ] {
            let error = Api::OpenAi.vectors(body.as_bytes(), 2).unwrap_err();
            assert!(!error.to_string().contains("private"), "{error}");
        }
        assert!(Api::Ollama.vectors(br#"{"embeddings":[[1]]}"#, 2).is_err());
        assert!(Api::Ollama.vectors(br#"{"embeddings":[[null]]}"#, 1).is_err());
    }
}
