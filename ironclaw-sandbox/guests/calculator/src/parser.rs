//! From tokens to a number: recursive descent, one function for each level of precedence.

use ironclaw_tool_sdk::Failure;

use crate::number::Number;
use crate::tokens::{Token, tokens};

/// The deepest nesting of parentheses, functions, signs and powers.
const DEPTH: usize = 100;

/// Calculates an expression.
pub(crate) fn evaluate(text: &str) -> Result<Number, Failure> {
    let tokens = tokens(text)?;
    if tokens.len() == 1 {
        return Err(Failure::invalid("expression: must not be empty"));
    }
    let mut parser = Parser { tokens, at: 0, depth: 0 };
    let number = parser.sum()?;
    match parser.peek() {
        Token::End => Ok(number),
        _ => Err(parser.expected("an operator")),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn sum(&mut self) -> Result<Number, Failure> {
        let mut left = self.product()?;
        while let Some(symbol) = self.take_any(&['+', '-']) {
            let right = self.product()?;
            left = if symbol == '+' { left.add(&right)? } else { left.subtract(&right)? };
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Number, Failure> {
        let mut left = self.signed()?;
        while let Some(symbol) = self.take_any(&['*', '/', '%']) {
            if symbol == '%' && matches!(self.peek(), Token::End | Token::Symbol(')' | ',' | '+' | '*' | '/')) {
                return Err(Failure::invalid(format!(
                    "column {}: `%` is the remainder; write `/ 100` for a percentage",
                    self.column()
                )));
            }
            let right = self.signed()?;
            left = match symbol {
                '*' => left.multiply(&right)?,
                '/' => left.divide(&right)?,
                _ => left.remainder(&right)?,
            };
        }
        Ok(left)
    }

    /// A sign binds less than a power: `-2^2` is `-4`.
    fn signed(&mut self) -> Result<Number, Failure> {
        self.deeper(|parser| match parser.take_any(&['+', '-']) {
            Some('-') => Ok(parser.signed()?.negate()),
            Some(_) => parser.signed(),
            None => parser.power(),
        })
    }

    /// Powers group from the right: `2^3^2` is `2^9`.
    fn power(&mut self) -> Result<Number, Failure> {
        let base = self.atom()?;
        match self.take_any(&['^']) {
            Some(_) => base.power(&self.signed()?),
            None => Ok(base),
        }
    }

    fn atom(&mut self) -> Result<Number, Failure> {
        match self.peek().clone() {
            Token::Number(number) => {
                self.at += 1;
                Ok(number)
            }
            Token::Name(name) => self.function(&name),
            Token::Symbol('(') => {
                self.at += 1;
                let number = self.sum()?;
                self.close()?;
                Ok(number)
            }
            _ => Err(self.expected("a number")),
        }
    }

    fn function(&mut self, name: &str) -> Result<Number, Failure> {
        const KNOWN: &str = "sqrt, abs, round, min and max";
        if !matches!(name, "sqrt" | "abs" | "round" | "min" | "max") {
            return Err(Failure::invalid(format!(
                "column {}: `{name}` is not known; the functions are {KNOWN}",
                self.column()
            )));
        }
        self.at += 1;
        if self.take_any(&['(']).is_none() {
            return Err(self.expected(&format!("`(` after `{name}`")));
        }
        let mut arguments = vec![self.sum()?];
        while self.take_any(&[',']).is_some() {
            arguments.push(self.sum()?);
        }
        self.close()?;
        match (name, arguments.as_slice()) {
            ("sqrt", [x]) => x.square_root(),
            ("abs", [x]) => Ok(x.absolute()),
            ("round", [x]) => x.round(0),
            ("round", [x, digits]) => x.round(digits.to_whole("the digits of round")?),
            ("min", [first, rest @ ..]) => Ok(rest.iter().fold(first, |a, b| if b.is_less(a) { b } else { a }).clone()),
            ("max", [first, rest @ ..]) => Ok(rest.iter().fold(first, |a, b| if a.is_less(b) { b } else { a }).clone()),
            _ => Err(Failure::invalid(format!("{name}: {} arguments are too many", arguments.len()))),
        }
    }

    fn close(&mut self) -> Result<(), Failure> {
        match self.take_any(&[')']) {
            Some(_) => Ok(()),
            None => Err(self.expected("an operator or `)`")),
        }
    }

    /// Every path that recurses goes through here, so that a long row of signs or parentheses is an error, not a crash.
    fn deeper(&mut self, parse: impl FnOnce(&mut Self) -> Result<Number, Failure>) -> Result<Number, Failure> {
        if self.depth == DEPTH {
            return Err(Failure::invalid(format!("column {}: nested deeper than {DEPTH} levels", self.column())));
        }
        self.depth += 1;
        let number = parse(self);
        self.depth -= 1;
        number
    }

    fn take_any(&mut self, symbols: &[char]) -> Option<char> {
        match *self.peek() {
            Token::Symbol(symbol) if symbols.contains(&symbol) => {
                self.at += 1;
                Some(symbol)
            }
            _ => None,
        }
    }

    /// The last token is the end, which is never taken.
    fn peek(&self) -> &Token {
        &self.tokens[self.at].1
    }

    fn column(&self) -> usize {
        self.tokens[self.at].0
    }

    fn expected(&self, what: &str) -> Failure {
        Failure::invalid(format!("column {}: expected {what}, found {}", self.column(), self.peek()))
    }
}
