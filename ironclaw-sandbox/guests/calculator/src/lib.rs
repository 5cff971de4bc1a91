//! An exact decimal calculator: what a language model should ask instead of guessing digits.

mod number;
mod parser;
mod tokens;

use ironclaw_tool_sdk::{Failure, Tool, Value, export_tool, json};
use serde::{Deserialize, Serialize};

struct Calculator;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    expression: String,
}

#[derive(Serialize)]
struct Answer {
    result: String,
    exact: bool,
}

impl Tool for Calculator {
    const NAME: &'static str = "calculator";
    const DESCRIPTION: &'static str = "Calculates with decimal numbers, exactly: 0.1 + 0.2 is 0.3. Knows + - * / % (remainder) ^ (power), \
        parentheses, sqrt(x), abs(x), round(x), round(x, digits), min(a, b, ...) and max(a, b, ...). \
        A result with endless digits is rounded to 50 of them and marked as not exact.";
    type Arguments = Arguments;
    type Answer = Answer;

    fn parameters() -> Value {
        json!({
            "type": "object",
            "properties": {
                "expression": {
                    "type": "string",
                    "description": "What to calculate, such as \"(19.99 * 3 + 4.50) * 1.19\"."
                }
            },
            "required": ["expression"],
            "additionalProperties": false
        })
    }

    fn result() -> Option<Value> {
        Some(json!({
            "type": "object",
            "properties": {
                "result": {"type": "string", "description": "The result, a decimal number."},
                "exact": {"type": "boolean", "description": "Whether these are all of its digits."}
            },
            "required": ["result", "exact"]
        }))
    }

    fn call(arguments: Arguments) -> Result<Answer, Failure> {
        let number = parser::evaluate(&arguments.expression)?;
        let (result, exact) = number.to_decimal();
        Ok(Answer { result, exact })
    }
}

export_tool!(Calculator);
