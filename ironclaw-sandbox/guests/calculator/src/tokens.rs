//! From text to tokens, each with the column it starts at.

use ironclaw_tool_sdk::Failure;

use crate::number::Number;

/// The longest expression, in bytes.
const EXPRESSION_BYTES: usize = 10_000;

/// A token of an expression.
#[derive(Debug, Clone)]
pub(crate) enum Token {
    Number(Number),
    Name(String),
    Symbol(char),
    End,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "`{}`", number.to_decimal().0),
            Self::Name(name) => write!(f, "`{name}`"),
            Self::Symbol(symbol) => write!(f, "`{symbol}`"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Splits an expression. The last token is [`Token::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Failure> {
    if text.len() > EXPRESSION_BYTES {
        return Err(Failure::invalid(format!(
            "expression: {} bytes exceed the limit of {EXPRESSION_BYTES} bytes",
            text.len()
        )));
    }
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let start = at;
        let token = match c {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            '0'..='9' | '.' => number(&chars, &mut at)?,
            c if c.is_alphabetic() => {
                while chars.get(at).is_some_and(|c| c.is_alphanumeric()) {
                    at += 1;
                }
                Token::Name(chars[start..at].iter().collect::<String>().to_lowercase())
            }
            _ => {
                at += 1;
                Token::Symbol(symbol(c).ok_or_else(|| unexpected(start, c))?)
            }
        };
        found.push((start + 1, token));
    }
    found.push((chars.len() + 1, Token::End));
    Ok(found)
}

/// Digits with an optional fraction and exponent; `_` may group digits.
fn number(chars: &[char], at: &mut usize) -> Result<Token, Failure> {
    let start = *at;
    let mut digits = String::new();
    let mut decimals: Option<usize> = None;
    while let Some(&c) = chars.get(*at) {
        match c {
            '0'..='9' => {
                digits.push(c);
                decimals = decimals.map(|n| n + 1);
            }
            '.' if decimals.is_none() => decimals = Some(0),
            '_' => {}
            _ => break,
        }
        *at += 1;
    }
    if digits.is_empty() {
        return Err(unexpected(start, '.'));
    }
    let exponent = exponent(chars, at)?;
    Number::from_digits(&digits, exponent - decimals.unwrap_or(0) as i64).map(Token::Number)
}

/// `e` and a whole number, if they follow.
fn exponent(chars: &[char], at: &mut usize) -> Result<i64, Failure> {
    if !matches!(chars.get(*at), Some('e' | 'E')) {
        return Ok(0);
    }
    let mut next = *at + 1;
    let mut text = String::new();
    if let Some(sign @ ('+' | '-')) = chars.get(next) {
        text.push(*sign);
        next += 1;
    }
    let digits = next;
    while let Some(c @ '0'..='9') = chars.get(next) {
        text.push(*c);
        next += 1;
    }
    if next == digits {
        return Err(Failure::invalid(format!("column {}: an exponent needs digits after the `e`", *at + 1)));
    }
    *at = next;
    text.parse().map_err(|_| crate::number::too_large())
}

/// The symbol that is meant: people and models also write the typographic ones.
fn symbol(c: char) -> Option<char> {
    match c {
        '+' | '-' | '*' | '/' | '%' | '^' | '(' | ')' | ',' => Some(c),
        '×' | '·' => Some('*'),
        '÷' => Some('/'),
        '−' => Some('-'),
        _ => None,
    }
}

fn unexpected(start: usize, c: char) -> Failure {
    Failure::invalid(format!("column {}: `{}` is not part of an expression", start + 1, c.escape_debug()))
}
