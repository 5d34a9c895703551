//! `printf`: Go's verbs `s v q d x X t f`, with flags, width and precision.

use serde_json::Value;

use super::value::Val;

/// Widest field and longest fraction.
const WIDEST: usize = 1000;

#[derive(Default)]
struct Spec {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

/// Formats values. Too few or too many are shown as Go shows them.
pub(super) fn format(format: &str, values: &[Val]) -> Result<String, String> {
    let mut text = String::new();
    let mut values = values.iter();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) =
            letters.next_if(|letter| matches!(letter, '-' | '0' | '+' | '#' | ' '))
        {
            match flag {
                '-' => spec.left = true,
                '0' => spec.zero = true,
                '+' => spec.plus = true,
                _ => {}
            }
        }
        spec.width = number(&mut letters)?.unwrap_or(0);
        if letters.next_if_eq(&'.').is_some() {
            spec.precision = Some(number(&mut letters)?.unwrap_or(0));
        }
        let Some(verb) = letters.next() else {
            text.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            text.push('%');
            continue;
        }
        let shown = match values.next() {
            Some(value) => one(&spec, verb, value),
            None => format!("%!{verb}(MISSING)"),
        };
        text.push_str(&shown);
    }
    for value in values {
        text.push_str(&format!("%!(EXTRA {})", value.print()));
    }
    Ok(text)
}

fn number(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Option<usize>, String> {
    let mut number = None;
    while let Some(digit) = letters.next_if(char::is_ascii_digit) {
        let digit = digit.to_digit(10).unwrap_or(0) as usize;
        let next = number.unwrap_or(0) * 10 + digit;
        if next > WIDEST {
            return Err(format!("a field is {WIDEST} characters wide at most"));
        }
        number = Some(next);
    }
    Ok(number)
}

fn one(spec: &Spec, verb: char, value: &Val) -> String {
    let cut = |text: String| match spec.precision {
        Some(length) => text.chars().take(length).collect(),
        None => text,
    };
    let wrong = || format!("%!{verb}({})", value.print());
    let text = match (verb, value) {
        ('v', _) => value.print(),
        ('s', value) if value.is_text() => cut(value.print()),
        ('s', Val::Data(Value::Array(_) | Value::Object(_))) => value.print(),
        ('q', value) if value.is_text() => format!("{:?}", value.raw().unwrap_or_default()),
        ('t', Val::Data(Value::Bool(_))) => value.print(),
        ('f', Val::Data(Value::Number(number))) => {
            let precision = spec.precision.unwrap_or(6);
            format!("{:.precision$}", number.as_f64().unwrap_or(0.0))
        }
        ('d' | 'x' | 'X', _) => match (value.integer(), verb, value.raw()) {
            (Some(number), 'd', _) => number.to_string(),
            (Some(number), 'x', _) => format!(
                "{}{:x}",
                if number < 0 { "-" } else { "" },
                number.unsigned_abs()
            ),
            (Some(number), _, _) => format!(
                "{}{:X}",
                if number < 0 { "-" } else { "" },
                number.unsigned_abs()
            ),
            (None, 'x', Some(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            (None, 'X', Some(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
            _ => wrong(),
        },
        _ => wrong(),
    };
    let is_number = matches!(value, Val::Data(Value::Number(_)));
    let text = if spec.plus && is_number && !text.starts_with('-') && verb != 'v' {
        format!("+{text}")
    } else {
        text
    };
    let missing = spec.width.saturating_sub(text.chars().count());
    let padding = |with: &str| with.repeat(missing);
    if spec.left {
        text + &padding(" ")
    } else if spec.zero && is_number {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => text.split_at(text.len() - digits.len()),
            None => ("", text.as_str()),
        };
        format!("{sign}{}{digits}", padding("0"))
    } else {
        padding(" ") + &text
    }
}
