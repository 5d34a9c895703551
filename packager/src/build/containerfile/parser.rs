//! A whole file.

use super::error::{ContainerfileError, Fault, Place, Problem};
use super::instruction::{Argument, From, Instruction, Kind};
use super::lexer::lex;

/// Stages of one file. Each may be built in a thread of its own.
const MAX_STAGES: usize = 200;

/// A Dockerfile that can be built, as far as can be told without its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Containerfile {
    /// The file's name, for messages.
    pub name: String,
    /// Its escape character.
    pub escape: char,
    /// What `# check=` says, and where.
    pub check: Option<(String, Place)>,
    /// Blank lines within continued instructions.
    pub empty_continuations: Vec<Place>,
    /// The ARGs above the first FROM, in order.
    pub globals: Vec<(Place, Argument)>,
    /// The stages, in order; at least one.
    pub stages: Vec<Stage>,
}

/// One FROM and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// FROM as it is spelled in the file.
    pub word: String,
    /// What the stage starts from.
    pub from: From,
    /// The instructions below FROM, in order.
    pub instructions: Vec<Instruction>,
}

impl Containerfile {
    /// Returns the stage with this name, or of this number if `before` is where it must come before. The last of a name counts.
    pub fn stage(&self, name: &str, before: usize) -> Option<usize> {
        let stages = self.stages.get(..before).unwrap_or(&self.stages);
        let named = stages.iter().rposition(|stage| {
            let stage = stage.from.stage.as_ref();
            stage.is_some_and(|stage| stage.name.eq_ignore_ascii_case(name))
        });
        named.or_else(|| {
            let digits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
            let number = digits.then(|| name.parse().ok()).flatten();
            number.filter(|number| *number < stages.len())
        })
    }

    /// Returns what messages call a stage: its name, else its number.
    pub fn stage_name(&self, stage: usize) -> String {
        let name = self.stages.get(stage).and_then(|s| s.from.stage.as_ref());
        name.map_or_else(|| format!("stage-{stage}"), |name| name.name.clone())
    }
}

/// Reads a Dockerfile.
///
/// `name` is what messages call the file. The first thing that is wrong is the error.
///
/// ```
/// use coracle_packager::build::containerfile::parse;
///
/// let file = parse("Dockerfile", "FROM scratch\nCOPY app.wasm /\nENTRYPOINT [\"/app.wasm\"]\n")?;
/// assert_eq!(file.stages[0].instructions.len(), 2);
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
    let mut stages: Vec<Stage> = Vec::new();
    for line in &lexed.lines {
        let instruction = Instruction::parse(line, lexed.escape)?;
        let place = instruction.place;
        match (instruction.kind, stages.last_mut()) {
            (Kind::From(from), _) => {
                if stages.len() >= MAX_STAGES {
                    return Err(Fault {
                        place,
                        problem: Problem::TooManyStages { limit: MAX_STAGES },
                    });
                }
                stages.push(Stage {
                    word: instruction.word,
                    from,
                    instructions: Vec::new(),
                });
            }
            (Kind::Arg(arguments), None) => {
                globals.extend(arguments.into_iter().map(|argument| (place, argument)));
            }
            (kind, None) => {
                return Err(Fault {
                    place,
                    problem: Problem::BeforeFrom { name: kind.name() },
                });
            }
            (kind, Some(stage)) => stage.instructions.push(Instruction {
                kind,
                ..instruction
            }),
        }
    }
    if stages.is_empty() {
        return Err(Fault {
            place: Place { line: 1, column: 1 },
            problem: Problem::NoFrom,
        });
    }
    Ok(Containerfile {
        name: name.to_owned(),
        escape: lexed.escape,
        check: lexed.check,
        empty_continuations: lexed.empty_continuations,
        globals,
        stages,
    })
}

/// Reads a trigger: the instruction behind an ONBUILD of a base image. `at` is the FROM that names that image.
///
/// # Errors
///
/// It is not one instruction, or none that may stand there.
pub fn parse_trigger(
    name: &str,
    trigger: &str,
    at: Place,
) -> Result<Instruction, ContainerfileError> {
    let read = || {
        let lexed = lex(trigger)?;
        let [line] = lexed.lines.as_slice() else {
            return Err(Fault {
                place: at,
                problem: Problem::Trigger { name: "more" },
            });
        };
        let instruction = Instruction::parse(line, lexed.escape)?;
        instruction.check_trigger()?;
        Ok(instruction)
    };
    let instruction = read().map_err(|fault| {
        let fault = Fault { place: at, ..fault };
        fault.in_file(name)
    })?;
    Ok(Instruction {
        place: at,
        ..instruction
    })
}
