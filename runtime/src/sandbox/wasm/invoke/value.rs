//! Values as text: arguments of one kind each, results in the notation of WAVE
//! (<https://github.com/bytecodealliance/wasm-tools/tree/main/crates/wasm-wave>).

use std::fmt::{self, Write};
use std::str::FromStr;

use wasmtime::component::{self, Type};
use wasmtime::{Val, ValType};

/// Reads an argument for a module's function. Integers may be signed or unsigned.
pub(super) fn core(text: &str, ty: &ValType) -> Result<Val, String> {
    Ok(match ty {
        ValType::I32 => Val::I32(either::<i32, u32>(text, "i32", u32::cast_signed)?),
        ValType::I64 => Val::I64(either::<i64, u64>(text, "i64", u64::cast_signed)?),
        ValType::F32 => Val::F32(parse::<f32>(text, "f32")?.to_bits()),
        ValType::F64 => Val::F64(parse::<f64>(text, "f64")?.to_bits()),
        other => return Err(format!("a {other} can't be written as text")),
    })
}

/// Writes a result of a module's function, as wasmtime's command does.
pub(super) fn core_text(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        Val::V128(value) => value.as_u128().to_string(),
        other => match other.ty_name() {
            name if other.is_null_reference() => format!("<null {name}>"),
            name => format!("<{name}>"),
        },
    }
}

/// What is told of a reference.
trait Reference {
    fn ty_name(&self) -> &'static str;
    fn is_null_reference(&self) -> bool;
}

impl Reference for Val {
    fn ty_name(&self) -> &'static str {
        match self {
            Self::FuncRef(_) => "funcref",
            Self::ExternRef(_) => "externref",
            Self::AnyRef(_) => "anyref",
            _ => "reference",
        }
    }

    fn is_null_reference(&self) -> bool {
        matches!(
            self,
            Self::FuncRef(None) | Self::ExternRef(None) | Self::AnyRef(None)
        )
    }
}

/// Reads an argument for a component's function: numbers, truth values, characters, strings as they are, and cases of an
/// enumeration.
pub(super) fn component(text: &str, ty: &Type) -> Result<component::Val, String> {
    use component::Val;
    Ok(match ty {
        Type::Bool => Val::Bool(parse(text, "bool")?),
        Type::S8 => Val::S8(parse(text, "s8")?),
        Type::U8 => Val::U8(parse(text, "u8")?),
        Type::S16 => Val::S16(parse(text, "s16")?),
        Type::U16 => Val::U16(parse(text, "u16")?),
        Type::S32 => Val::S32(parse(text, "s32")?),
        Type::U32 => Val::U32(parse(text, "u32")?),
        Type::S64 => Val::S64(parse(text, "s64")?),
        Type::U64 => Val::U64(parse(text, "u64")?),
        Type::Float32 => Val::Float32(parse(text, "f32")?),
        Type::Float64 => Val::Float64(parse(text, "f64")?),
        Type::Char => Val::Char(parse(text, "char")?),
        Type::String => Val::String(text.to_owned()),
        Type::Enum(cases) => match cases.names().find(|name| *name == text) {
            Some(name) => Val::Enum(name.to_owned()),
            None => {
                let names: Vec<&str> = cases.names().collect();
                return Err(format!("got {text:?}, want one of {}", names.join(", ")));
            }
        },
        _ => {
            return Err(
                "its type is made of others; only numbers, bool, char, string and enum can be given"
                    .to_owned(),
            );
        }
    })
}

/// Writes a result of a component's function: a string as it is, everything else as WAVE.
pub(super) fn component_line(value: &component::Val) -> String {
    match value {
        component::Val::String(text) => text.clone(),
        other => Wave(other).to_string(),
    }
}

fn parse<T: FromStr>(text: &str, ty: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("got {text:?}, want {ty}"))
}

fn either<S: FromStr, U: FromStr>(text: &str, ty: &str, signed: fn(U) -> S) -> Result<S, String> {
    text.parse()
        .or_else(|_| text.parse().map(signed))
        .map_err(|_| format!("got {text:?}, want {ty}"))
}

struct Wave<'a>(&'a component::Val);

impl fmt::Display for Wave<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use component::Val;
        match self.0 {
            Val::Bool(value) => value.fmt(f),
            Val::S8(value) => value.fmt(f),
            Val::U8(value) => value.fmt(f),
            Val::S16(value) => value.fmt(f),
            Val::U16(value) => value.fmt(f),
            Val::S32(value) => value.fmt(f),
            Val::U32(value) => value.fmt(f),
            Val::S64(value) => value.fmt(f),
            Val::U64(value) => value.fmt(f),
            Val::Float32(value) => float(f, f64::from(*value), value),
            Val::Float64(value) => float(f, *value, value),
            Val::Char(value) => quoted(f, '\'', &value.to_string()),
            Val::String(value) => quoted(f, '"', value),
            Val::List(values) | Val::FixedLengthList(values) => all(f, '[', values, ']'),
            Val::Tuple(values) => all(f, '(', values, ')'),
            Val::Map(pairs) => separated(f, '{', pairs, '}', |f, (key, value)| {
                write!(f, "{}: {}", Wave(key), Wave(value))
            }),
            Val::Record(fields) => separated(f, '{', fields, '}', |f, (name, value)| {
                write!(f, "{name}: {}", Wave(value))
            }),
            Val::Flags(names) => separated(f, '{', names, '}', |f, name| f.write_str(name)),
            Val::Enum(name) => f.write_str(name),
            Val::Variant(name, value) => case(f, name, value.as_deref()),
            Val::Option(None) => f.write_str("none"),
            Val::Option(value) => case(f, "some", value.as_deref()),
            Val::Result(Ok(value)) => case(f, "ok", value.as_deref()),
            Val::Result(Err(value)) => case(f, "err", value.as_deref()),
            Val::Resource(_) => f.write_str("<resource>"),
            Val::Future(_) => f.write_str("<future>"),
            Val::Stream(_) => f.write_str("<stream>"),
            Val::ErrorContext(_) => f.write_str("<error-context>"),
        }
    }
}

fn float(f: &mut fmt::Formatter<'_>, value: f64, exact: &dyn fmt::Display) -> fmt::Result {
    if value.is_nan() {
        f.write_str("nan")
    } else if value.is_infinite() {
        f.write_str(if value > 0.0 { "inf" } else { "-inf" })
    } else {
        exact.fmt(f)
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, quote: char, text: &str) -> fmt::Result {
    f.write_char(quote)?;
    for letter in text.chars() {
        match letter {
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            '\\' => f.write_str("\\\\")?,
            letter if letter == quote => write!(f, "\\{letter}")?,
            letter if letter.is_control() => write!(f, "{}", letter.escape_unicode())?,
            letter => f.write_char(letter)?,
        }
    }
    f.write_char(quote)
}

fn case(f: &mut fmt::Formatter<'_>, name: &str, value: Option<&component::Val>) -> fmt::Result {
    match value {
        Some(value) => write!(f, "{name}({})", Wave(value)),
        None => f.write_str(name),
    }
}

fn all(
    f: &mut fmt::Formatter<'_>,
    open: char,
    values: &[component::Val],
    close: char,
) -> fmt::Result {
    separated(f, open, values, close, |f, value| {
        write!(f, "{}", Wave(value))
    })
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    open: char,
    items: &[T],
    close: char,
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    f.write_char(open)?;
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    f.write_char(close)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_signed_or_not() {
        let i32 = |text| core(text, &ValType::I32).map(|value| core_text(&value));
        assert_eq!(i32("-1"), Ok("-1".to_owned()));
        assert_eq!(i32("4294967295"), Ok("-1".to_owned()));
        assert_eq!(
            i32("4294967296"),
            Err("got \"4294967296\", want i32".to_owned())
        );
        assert_eq!(i32("one"), Err("got \"one\", want i32".to_owned()));
        let i64 = core("18446744073709551615", &ValType::I64).map(|value| core_text(&value));
        assert_eq!(i64, Ok("-1".to_owned()));
        let f64 = core("1e3", &ValType::F64).map(|value| core_text(&value));
        assert_eq!(f64, Ok("1000".to_owned()));
        assert!(core("1", &ValType::V128).is_err());
    }

    #[test]
    fn results_are_written_as_wave() {
        use component::Val;
        let boxed = |value| Some(Box::new(value));
        for (value, want) in [
            (Val::Float32(f32::NAN), "nan"),
            (Val::Float64(-1.5), "-1.5"),
            (Val::Char('\''), r"'\''"),
            (Val::String("a\"b\n".to_owned()), "a\"b\n"),
            (
                Val::List(vec![Val::String("a\"b\n\u{1}".to_owned()), Val::Bool(true)]),
                "[\"a\\\"b\\n\\u{1}\", true]",
            ),
            (Val::Tuple(vec![Val::U8(1), Val::S8(-1)]), "(1, -1)"),
            (
                Val::Record(vec![("x".to_owned(), Val::Option(None))]),
                "{x: none}",
            ),
            (Val::Flags(vec!["r".to_owned(), "w".to_owned()]), "{r, w}"),
            (Val::Option(boxed(Val::U8(1))), "some(1)"),
            (
                Val::Result(Err(boxed(Val::Enum("no".to_owned())))),
                "err(no)",
            ),
            (Val::Result(Ok(None)), "ok"),
            (Val::Variant("v".to_owned(), boxed(Val::U8(1))), "v(1)"),
        ] {
            assert_eq!(component_line(&value), want);
        }
    }
}
