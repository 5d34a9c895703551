//! A whole file.

use super::error::{ContainerfileError, Fault, Place, Problem};
use super::instruction::{Argument, From, Instruction, Kind};
use super::lexer::lex;

/// A Dockerfile that can be built, as far as can be told without its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Containerfile {
    /// The file's name, for messages.
    pub name: String,
    /// Its escape character.
    pub escape: char,
    /// The ARGs above FROM, in order.
    pub globals: Vec<(Place, Argument)>,
    /// What the image starts from.
    pub from: From,
    /// The instructions below FROM, in order.
    pub instructions: Vec<Instruction>,
}

/// Reads a Dockerfile.
///
/// `name` is what messages call the file. The first thing that is wrong, or that cannot be built, is the error.
///
/// ```
/// use coracle_packager::build::containerfile::parse;
///
/// let file = parse("Dockerfile", "FROM scratch\nCOPY app.wasm /\nENTRYPOINT [\"/app.wasm\"]\n")?;
/// assert_eq!(file.instructions.len(), 2);
///
/// let error = parse("Dockerfile", "FROM scratch\nCOYP a b\n").unwrap_err();
/// assert_eq!(error.to_string(), "Dockerfile:2:1: unknown instruction `COYP`");
/// assert_eq!(error.hint().as_deref(), Some("did you mean COPY?"));
/// # Ok::<(), coracle_packager::build::containerfile::ContainerfileError>(())
/// ```
pub fn parse(name: &str, text: &str) -> Result<Containerfile, ContainerfileError> {
    parse_file(name, text).map_err(|fault| fault.in_file(name))
}

fn parse_file(name: &str, text: &str) -> Result<Containerfile, Fault> {
    let lexed = lex(text)?;
    let mut globals = Vec::new();
    let mut from: Option<From> = None;
    let mut instructions = Vec::new();
    for line in &lexed.lines {
        let Instruction { place, kind } = Instruction::parse(line, lexed.escape)?;
        match (kind, &from) {
            (Kind::From(_), Some(_)) => {
                return Err(Fault {
                    place,
                    problem: Problem::SecondFrom,
                });
            }
            (Kind::From(first), None) => from = Some(first),
            (Kind::Arg(arguments), None) => {
                globals.extend(arguments.into_iter().map(|argument| (place, argument)));
            }
            (kind, None) => {
                return Err(Fault {
                    place,
                    problem: Problem::BeforeFrom { name: kind.name() },
                });
            }
            (kind, Some(_)) => instructions.push(Instruction { place, kind }),
        }
    }
    let Some(from) = from else {
        return Err(Fault {
            place: Place { line: 1, column: 1 },
            problem: Problem::NoFrom,
        });
    };
    Ok(Containerfile {
        name: name.to_owned(),
        escape: lexed.escape,
        globals,
        from,
        instructions,
    })
}
