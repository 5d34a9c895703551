//! Values, and how they are printed.

use serde_json::Value;

use super::super::sanitize::sanitize;

/// A value in a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Val {
    /// Data: not made safe for a terminal yet.
    Data(Value),
    /// Text that the user typed, or that was made safe.
    Text(String),
}

impl Val {
    pub(super) fn bool(value: bool) -> Self {
        Self::Data(Value::Bool(value))
    }

    pub(super) fn number(value: usize) -> Self {
        Self::Data(Value::from(value))
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Data(Value::String(_)))
    }

    /// Returns a text as it is: not to be printed.
    pub(super) fn raw(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Data(Value::String(text)) => Some(text),
            Self::Data(_) => None,
        }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Data(Value::Number(number)) => number.as_i64(),
            _ => None,
        }
    }

    /// Is it what `if` takes for true: neither false, nothing, zero nor empty?
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Data(Value::Null) => false,
            Self::Data(Value::Bool(value)) => *value,
            Self::Data(Value::Number(number)) => number.as_f64() != Some(0.0),
            Self::Data(Value::String(text)) => !text.is_empty(),
            Self::Data(Value::Array(list)) => !list.is_empty(),
            Self::Data(Value::Object(map)) => !map.is_empty(),
        }
    }

    /// Returns it as it is printed, safe for a terminal.
    pub(super) fn print(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Data(value) => {
                let mut text = String::new();
                print(value, &mut text);
                sanitize(&text)
            }
        }
    }

    /// Returns it as JSON.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.clone()),
            Self::Data(value) => value.clone(),
        }
    }

    /// Says of what sort it is, for messages.
    pub(super) fn sort(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Data(Value::String(_)) => "a text",
            Self::Data(Value::Null) => "nothing",
            Self::Data(Value::Bool(_)) => "true or false",
            Self::Data(Value::Number(_)) => "a number",
            Self::Data(Value::Array(_)) => "a list",
            Self::Data(Value::Object(_)) => "a map",
        }
    }
}

/// Prints as Go does: `[a b]`, `map[k:v]`.
fn print(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("<no value>"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(string) => text.push_str(string),
        Value::Array(list) => {
            text.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    text.push(' ');
                }
                print(value, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            text.push_str("map[");
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    text.push(' ');
                }
                text.push_str(key);
                text.push(':');
                print(value, text);
            }
            text.push(']');
        }
    }
}
