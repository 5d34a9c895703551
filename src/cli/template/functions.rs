//! The functions: those of Go's templates that make sense here, and Docker's own.

use std::cmp::Ordering;

use serde_json::Value;

use super::super::sanitize::sanitize;
use super::super::ui;
use super::printf;
use super::value::Val;

/// Most spaces that `pad` adds.
const WIDEST: i64 = 1000;

const NAMES: [&str; 23] = [
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not",
    "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate", "upper",
];

pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls a function. An error says what is wrong with the arguments.
pub(super) fn call(name: &str, arguments: &[Val]) -> Result<Val, String> {
    match (name, arguments) {
        ("json", [value]) => {
            let text =
                serde_json::to_string(&value.to_json()).map_err(|error| error.to_string())?;
            Ok(Val::Text(ui::escape_json(&text).trim_end().to_owned()))
        }
        ("len", [value]) => len(value),
        ("not", [value]) => Ok(Val::bool(!value.is_true())),
        ("upper", [value]) => map(value, |text| text.to_uppercase()),
        ("lower", [value]) => map(value, |text| text.to_lowercase()),
        ("title", [value]) => map(value, title),
        ("truncate", [value, length]) => {
            let length = count(length)?;
            map(value, |text| text.chars().take(length).collect())
        }
        ("pad", [value, before, after]) => {
            let (before, after) = (count(before)?, count(after)?);
            map(value, |text| match text {
                "" => String::new(),
                text => format!("{}{text}{}", " ".repeat(before), " ".repeat(after)),
            })
        }
        ("join", [list, separator]) => join(list, separator),
        ("split", [text, separator]) => {
            let parts: Vec<Value> = match separator.raw() {
                Some("") => text_of(text)?
                    .chars()
                    .map(|letter| letter.to_string().into())
                    .collect(),
                Some(separator) => text_of(text)?.split(separator).map(Value::from).collect(),
                None => return Err("split needs two texts".to_owned()),
            };
            Ok(Val::Data(Value::Array(parts)))
        }
        ("index", [value, keys @ ..]) => index(value, keys),
        ("slice", [value, bounds @ ..]) => slice(value, bounds),
        ("print", values) => Ok(Val::Text(print(values))),
        ("println", values) => {
            let values: Vec<String> = values.iter().map(Val::print).collect();
            Ok(Val::Text(values.join(" ") + "\n"))
        }
        ("printf", [format, values @ ..]) => {
            let format = format.raw().ok_or("printf needs a format")?;
            printf::format(format, values).map(Val::Text)
        }
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            for other in rest {
                if equal(first, other)? {
                    return Ok(Val::bool(true));
                }
            }
            Ok(Val::bool(false))
        }
        ("ne", [a, b]) => Ok(Val::bool(!equal(a, b)?)),
        ("lt", [a, b]) => Ok(Val::bool(order(a, b)?.is_lt())),
        ("le", [a, b]) => Ok(Val::bool(order(a, b)?.is_le())),
        ("gt", [a, b]) => Ok(Val::bool(order(a, b)?.is_gt())),
        ("ge", [a, b]) => Ok(Val::bool(order(a, b)?.is_ge())),
        (name, _) => Err(format!("wrong number of arguments for {name}")),
    }
}

fn text_of(value: &Val) -> Result<&str, String> {
    value
        .raw()
        .ok_or_else(|| format!("got {}, want a text", value.sort()))
}

/// Changes a text, and makes it safe if it was not.
fn map(value: &Val, change: impl Fn(&str) -> String) -> Result<Val, String> {
    let changed = change(text_of(value)?);
    Ok(Val::Text(match value {
        Val::Text(_) => changed,
        Val::Data(_) => sanitize(&changed),
    }))
}

fn title(text: &str) -> String {
    let mut begins = true;
    let letter = |letter: char| {
        let first = std::mem::replace(&mut begins, letter.is_whitespace());
        if first {
            letter.to_uppercase().collect::<String>()
        } else {
            letter.to_string()
        }
    };
    text.chars().map(letter).collect()
}

fn count(value: &Val) -> Result<usize, String> {
    let number = value
        .integer()
        .filter(|number| (0..=WIDEST).contains(number));
    number
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| format!("got {}, want a number from 0 to {WIDEST}", value.print()))
}

fn len(value: &Val) -> Result<Val, String> {
    Ok(Val::number(match value {
        Val::Text(text) | Val::Data(Value::String(text)) => text.len(),
        Val::Data(Value::Array(list)) => list.len(),
        Val::Data(Value::Object(map)) => map.len(),
        Val::Data(Value::Null) => 0,
        value => return Err(format!("{} has no length", value.sort())),
    }))
}

fn join(list: &Val, separator: &Val) -> Result<Val, String> {
    let items: Vec<String> = match list {
        Val::Data(Value::Array(items)) => items
            .iter()
            .map(|item| Val::Data(item.clone()).print())
            .collect(),
        Val::Data(Value::Null) => Vec::new(),
        other => return Err(format!("join got {}, want a list", other.sort())),
    };
    // What the user typed between them stands as it is.
    let separator = match separator {
        Val::Text(text) => text.clone(),
        other => other.print(),
    };
    Ok(Val::Text(items.join(&separator)))
}

fn index(value: &Val, keys: &[Val]) -> Result<Val, String> {
    let mut at = value.to_json();
    for key in keys {
        at = match &at {
            Value::Array(list) => {
                let number = key
                    .integer()
                    .and_then(|number| usize::try_from(number).ok());
                let found = number.and_then(|number| list.get(number)).cloned();
                found.ok_or_else(|| format!("index out of range: {}", key.print()))?
            }
            Value::Null => Value::String(String::new()),
            Value::Object(map) => {
                let found = map.get(text_of(key)?).cloned();
                // What is not there is empty, as in Go's maps of texts.
                found.unwrap_or_else(|| Value::String(String::new()))
            }
            other => {
                let sort = Val::Data(other.clone()).sort();
                return Err(format!("can't index {sort}"));
            }
        };
    }
    Ok(Val::Data(at))
}

fn slice(value: &Val, bounds: &[Val]) -> Result<Val, String> {
    let bound = |index: usize, default: usize| match bounds.get(index) {
        None => Ok(default),
        Some(bound) => bound
            .integer()
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| format!("{} is no place to cut", bound.print())),
    };
    let wrong = || "slice bounds out of range".to_owned();
    match value {
        Val::Data(Value::Array(list)) => {
            let part = list.get(bound(0, 0)?..bound(1, list.len())?);
            Ok(Val::Data(Value::Array(part.ok_or_else(wrong)?.to_vec())))
        }
        value => {
            let text = text_of(value)?;
            let part = text.get(bound(0, 0)?..bound(1, text.len())?);
            let part = part.ok_or_else(wrong)?.to_owned();
            Ok(match value {
                Val::Text(_) => Val::Text(part),
                Val::Data(_) => Val::Data(Value::String(part)),
            })
        }
    }
}

/// Joins values; a space stands between two that are no texts, as in Go.
fn print(values: &[Val]) -> String {
    let mut text = String::new();
    let mut before: Option<&Val> = None;
    for value in values {
        if before.is_some_and(|before| !before.is_text() && !value.is_text()) {
            text.push(' ');
        }
        text.push_str(&value.print());
        before = Some(value);
    }
    text
}

fn equal(a: &Val, b: &Val) -> Result<bool, String> {
    if let (Some(a), Some(b)) = (a.raw(), b.raw()) {
        return Ok(a == b);
    }
    match (a, b) {
        (Val::Data(Value::Number(a)), Val::Data(Value::Number(b))) => {
            Ok(a == b || a.as_f64() == b.as_f64())
        }
        (Val::Data(Value::Bool(a)), Val::Data(Value::Bool(b))) => Ok(a == b),
        (Val::Data(Value::Null), other) | (other, Val::Data(Value::Null)) => {
            Ok(matches!(other, Val::Data(Value::Null)))
        }
        (a, b) => Err(format!(
            "incompatible types for comparison: {} and {}",
            a.sort(),
            b.sort()
        )),
    }
}

fn order(a: &Val, b: &Val) -> Result<Ordering, String> {
    if let (Some(a), Some(b)) = (a.raw(), b.raw()) {
        return Ok(a.cmp(b));
    }
    if let (Val::Data(Value::Number(a)), Val::Data(Value::Number(b))) = (a, b) {
        let exact = a.as_i64().zip(b.as_i64()).map(|(a, b)| a.cmp(&b));
        let near = || {
            a.as_f64()
                .zip(b.as_f64())
                .and_then(|(a, b)| a.partial_cmp(&b))
        };
        if let Some(order) = exact.or_else(near) {
            return Ok(order);
        }
    }
    Err(format!(
        "incompatible types for comparison: {} and {}",
        a.sort(),
        b.sort()
    ))
}
