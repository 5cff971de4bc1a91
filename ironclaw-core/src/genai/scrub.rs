//! What a service said, without the keys in it.

use crate::secret::SecretValue;

/// The longest text of an error, in characters.
pub(super) const TEXT_CHARS: usize = 1_000;
/// How long a piece of a key must be to be known by itself.
const PIECE: usize = 8;
const REDACTED: &str = "[redacted]";

/// How keys of known services begin.
const PREFIXES: [&str; 25] = [
    "sk-",
    "sk_",
    "pk-",
    "pk_",
    "rk_",
    "ak-",
    "gsk_",
    "xai-",
    "aiza",
    "hf_",
    "r8_",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "akia",
    "eyj",
    "nvapi-",
    "fw_",
    "tgp_",
    "csk-",
    "pplx-",
    "key-",
];

/// The text in one line of at most [`TEXT_CHARS`], without the key that was sent, whole or in part, and without
/// anything that looks like a key: a known beginning, what follows `key=` or `Bearer`, what is masked with asterisks, and
/// long runs of letters and digits mixed.
pub(super) fn scrub(text: &str, key: Option<&SecretValue>) -> String {
    let key = key.and_then(SecretValue::expose_str).unwrap_or_default();
    let text = match key.len() >= PIECE {
        true => text.replace(key, REDACTED),
        false => text.to_owned(),
    };
    let mut clean = String::with_capacity(text.len().min(4 * TEXT_CHARS));
    let mut rest = text.as_str();
    let mut after_name = false;
    while !rest.is_empty() {
        let length = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        let (token, after) = rest.split_at(length);
        let secret =
            !token.is_empty() && (looks_secret(token, key) || (after_name && token.len() >= 4 && has_digit(token)));
        clean.push_str(if secret { REDACTED } else { token });
        let next = after.find(is_part).unwrap_or(after.len());
        let (between, after) = after.split_at(next);
        after_name = names_a_key(token, between);
        clean.push_str(between);
        rest = after;
    }
    one_line(&clean)
}

/// In one line of at most [`TEXT_CHARS`] characters.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(TEXT_CHARS) {
        // One less than the limit, for the mark.
        Some((end, _)) => {
            let end = line[..end].char_indices().next_back().map_or(0, |(last, _)| last);
            format!("{}…", &line[..end])
        }
        None => line,
    }
}

/// Whether a character can stand in a key.
fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*' | '.' | '+' | '/' | '~')
}

fn looks_secret(token: &str, key: &str) -> bool {
    let lower = token.to_ascii_lowercase();
    let bare = token.trim_matches(|c| matches!(c, '.' | '*'));
    token == key && !key.is_empty()
        || bare.len() >= PIECE && key.contains(bare)
        || token.contains("***")
        || PREFIXES
            .iter()
            .any(|prefix| lower.len() >= prefix.len() + PIECE && lower.starts_with(prefix) && has_digit(token))
        || token
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|run| run.len() >= 20 && has_digit(run) && has_letter(run))
}

/// Whether what follows is a key by the words before it.
fn names_a_key(token: &str, between: &str) -> bool {
    let token = token.to_ascii_lowercase();
    let named = ["key", "token", "secret", "password"].iter().any(|name| token.ends_with(name));
    (named && between.contains(['=', ':'])) || token == "bearer" || token == "basic"
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

fn has_letter(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_left() {
        let key = SecretValue::from("my+Secret/Key:0123!abc");
        for text in [
            "Incorrect API key provided: my+Secret/Key:0123!abc.",
            "(my+Secret/Key:0123!abc)",
            "it begins with my+Secret/Key",
            "sent sk-proj-Ab12Cd34Ef56 instead",
            "sent gsk_aB3dE5fG7hI9",
            "you sent sk-te********9f3a",
            "Authorization: Bearer abc123",
            "?key=AIzaSyA1b2C3d4E5",
            "api_key: 'q1w2e3'",
            "0123456789abcdef0123456789abcdef is no key",
            "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl is old",
        ] {
            let clean = scrub(text, Some(&key));
            assert!(clean.contains(REDACTED), "{clean}");
            for piece in ["Secret", "0123", "Ab12", "aB3d", "9f3a", "abc123", "A1b2", "q1w2", "eyJ", "c2ln"] {
                assert!(!clean.contains(piece), "{clean}");
            }
        }
    }

    #[test]
    fn what_helps_stays() {
        let short = SecretValue::from("k");
        for text in [
            "registry.ollama.ai/library/small:1b does not support tools",
            "The model `meta-llama/Llama-3.3-70B-Instruct-Turbo` does not exist (gpt-oss-120b, 2026-05-01).",
            "This model's maximum context length is 131072 tokens; you sent 140000. Request 550e8400-e29b-41d4-a716-446655440000",
            "API key not valid. See https://platform.openai.com/account/api-keys",
        ] {
            assert_eq!(scrub(text, Some(&short)), text);
            assert_eq!(scrub(text, None), text);
        }
        assert_eq!(scrub("a\r\n\tb\u{1b}[2Jc  d", None), "a b [2Jc d");
    }

    #[test]
    fn an_error_is_short() {
        let long = scrub(&"ä ".repeat(100_000), None);
        assert!(long.chars().count() == TEXT_CHARS && long.ends_with('…'));
        assert_eq!(scrub(&"ä".repeat(TEXT_CHARS), None), "ä".repeat(TEXT_CHARS));
    }
}
