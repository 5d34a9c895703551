//! What can be wrong with a Dockerfile, and where.

use std::fmt;

use super::expand::ExpandError;
use crate::digest::shown;

/// A position in a Dockerfile. Both numbers start at 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line number.
    pub line: usize,
    /// Character within the line.
    pub column: usize,
}

/// A [`Place`] together with the name of the file, as errors show it: `Dockerfile:3:6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file, as the caller named it.
    pub file: String,
    /// Where in it.
    pub place: Place,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.place.line, self.place.column)
    }
}

/// A Dockerfile that is refused: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct ContainerfileError {
    /// Where the offending text starts.
    pub at: Location,
    /// What is wrong with it.
    pub problem: Problem,
}

impl ContainerfileError {
    /// Returns what the author of the file can do about it, if there is something better to say than the message.
    pub fn hint(&self) -> Option<String> {
        self.problem.hint()
    }
}

/// A problem whose file is not named yet. Parsing functions return it; [`Fault::in_file`] completes it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) problem: Problem,
}

impl Fault {
    pub(crate) fn in_file(self, file: &str) -> ContainerfileError {
        ContainerfileError {
            at: Location {
                file: file.to_owned(),
                place: self.place,
            },
            problem: self.problem,
        }
    }
}

/// Why a Dockerfile is refused. The fields hold the offending text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file is larger than we read.
    #[error("the file has {bytes} bytes, want at most {limit}")]
    TooLarge {
        /// Size of the file.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// More instructions than we build.
    #[error("more than {limit} instructions")]
    TooManyInstructions {
        /// The bound.
        limit: usize,
    },
    /// A NUL character, which no path and no environment variable can hold.
    #[error("a NUL character")]
    Nul,
    /// Only comments and blank lines.
    #[error("the file has no instruction")]
    NoInstruction,
    /// ARGs and nothing else.
    #[error("the file has no FROM")]
    NoFrom,
    /// `# escape=` given twice, or another directive.
    #[error("parser directive `{name}` is given twice")]
    DirectiveRepeated {
        /// The directive.
        name: String,
    },
    /// `# escape=` with something that is neither backslash nor backquote.
    #[error("escape character `{value}` is neither a backslash nor a backquote", value = shown(.value))]
    EscapeDirective {
        /// What was given.
        value: String,
    },
    /// A word that is no instruction.
    #[error("unknown instruction `{word}`", word = shown(.word))]
    UnknownInstruction {
        /// The word.
        word: String,
        /// The instruction that looks most like it.
        meant: Option<&'static str>,
    },
    /// An instruction above the first FROM.
    #[error("{name} stands before FROM")]
    BeforeFrom {
        /// The instruction.
        name: &'static str,
    },
    /// Too few arguments.
    #[error("{name} needs {want}")]
    Arguments {
        /// The instruction.
        name: &'static str,
        /// What it takes.
        want: &'static str,
    },
    /// A stage name outside Docker's grammar.
    #[error("invalid stage name `{text}`", text = shown(.text))]
    StageName {
        /// The name.
        text: String,
    },
    /// `--target` names no stage.
    #[error("target stage `{target}` is not in the file", target = shown(.target))]
    Target {
        /// What was asked for.
        target: String,
        /// The stages that have a name.
        stages: Vec<String>,
    },
    /// A flag that the instruction does not have.
    #[error("{name} has no flag `--{flag}`", flag = shown(.flag))]
    UnknownFlag {
        /// The instruction.
        name: &'static str,
        /// The flag without its dashes.
        flag: String,
    },
    /// A flag without `=value`.
    #[error("flag `--{flag}` of {name} has no value", flag = shown(.flag))]
    FlagWithoutValue {
        /// The instruction.
        name: &'static str,
        /// The flag without its dashes.
        flag: String,
    },
    /// The same flag twice.
    #[error("flag `--{flag}` of {name} is given twice", flag = shown(.flag))]
    FlagRepeated {
        /// The instruction.
        name: &'static str,
        /// The flag without its dashes.
        flag: String,
    },
    /// `<<EOF` as the destination.
    #[error("`{word}` cannot be a destination", word = shown(.word))]
    DocumentDestination {
        /// The word.
        word: String,
    },
    /// `COPY --from=x <<EOF /`
    #[error("a here-document is not from `{from}`", from = shown(.from))]
    DocumentFrom {
        /// The value of `--from`.
        from: String,
    },
    /// A here-document that the file does not end.
    #[error("the here-document is not ended by a line `{name}`", name = shown(.name))]
    OpenDocument {
        /// The line that is missing.
        name: String,
    },
    /// Too many here-documents in one instruction.
    #[error("more than {limit} here-documents in one instruction")]
    TooManyDocuments {
        /// The bound.
        limit: usize,
    },
    /// More stages than we build.
    #[error("more than {limit} stages")]
    TooManyStages {
        /// The bound.
        limit: usize,
    },
    /// A switch with a value that is neither true nor false.
    #[error("`--{flag}={value}` of {name} is neither true nor false", flag = shown(.flag), value = shown(.value))]
    FlagNotSwitch {
        /// The instruction.
        name: &'static str,
        /// The flag without its dashes.
        flag: String,
        /// Its value.
        value: String,
    },
    /// An instruction that may not stand behind ONBUILD.
    #[error("{name} cannot stand behind ONBUILD")]
    Trigger {
        /// The instruction.
        name: &'static str,
    },
    /// A time of HEALTHCHECK.
    #[error("`{text}` is not a duration of a millisecond or more", text = shown(.text))]
    Duration {
        /// The text.
        text: String,
    },
    /// The retries of HEALTHCHECK.
    #[error("`{text}` is not a number of retries", text = shown(.text))]
    Retries {
        /// The text.
        text: String,
    },
    /// A variable where Docker replaces none.
    #[error("`{text}` has a variable, and `{flag}` takes none", text = shown(.text))]
    NoVariables {
        /// The text.
        text: String,
        /// The flag.
        flag: &'static str,
    },
    /// A wrong `--mount`.
    #[error("mount `{text}`: {reason}", text = shown(.text))]
    Mount {
        /// The value of the flag.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// A wrong `--network` or `--security`.
    #[error("`--{flag}={text}` is none of {known}", text = shown(.text))]
    RunFlag {
        /// The flag.
        flag: &'static str,
        /// Its value.
        text: String,
        /// What it may be.
        known: &'static str,
    },
    /// A here-document in a RUN that is not in the shell form.
    #[error("a here-document needs the shell form of RUN")]
    DocumentExec,
    /// A flag that has no meaning for this source.
    #[error("flag `--{flag}` needs {want}")]
    FlagNeeds {
        /// The flag without its dashes.
        flag: &'static str,
        /// What it needs.
        want: &'static str,
    },
    /// A wrong `--checksum`.
    #[error("checksum `{text}` is not `sha256:` and 64 hexadecimal digits", text = shown(.text))]
    Checksum {
        /// The text.
        text: String,
    },
    /// A stage that is not there, or that comes later.
    #[error("`{text}` is this stage or a later one", text = shown(.text))]
    LaterStage {
        /// The name.
        text: String,
    },
    /// A signal that is neither a name nor a number.
    #[error("`{text}` is not a signal", text = shown(.text))]
    Signal {
        /// The text.
        text: String,
    },
    /// A JSON array with something else than strings in it.
    #[error("the JSON array of {name} may hold only strings")]
    NotStrings {
        /// The instruction.
        name: &'static str,
    },
    /// Text that starts like a JSON array and is none.
    #[error("the JSON array of {name} is broken: {reason}")]
    BrokenJson {
        /// The instruction.
        name: &'static str,
        /// What the JSON reader says.
        reason: String,
    },
    /// ENTRYPOINT or CMD as a shell command, on a platform that has no shell.
    #[error("the shell form of {name} needs a shell, and {platform} has none: `{text}`", text = shown(.text))]
    ShellForm {
        /// The instruction.
        name: &'static str,
        /// The platform that is built for.
        platform: String,
        /// The command.
        text: String,
    },
    /// `ENV a=1 b`.
    #[error("`{word}` of {name} has no `=`", word = shown(.word))]
    NoEquals {
        /// The instruction.
        name: &'static str,
        /// The word.
        word: String,
    },
    /// `ENV =x`.
    #[error("a name of {name} is empty")]
    EmptyName {
        /// The instruction.
        name: &'static str,
    },
    /// A value that must not be empty was, before or after variables were replaced.
    #[error("{what} is empty, from `{word}`", word = shown(.word))]
    Empty {
        /// What is empty.
        what: &'static str,
        /// The text it came from.
        word: String,
    },
    /// Variables could not be replaced.
    #[error("in `{word}`: {reason}", word = shown(.word))]
    Expand {
        /// The text.
        word: String,
        /// Why not.
        reason: ExpandError,
    },
    /// A port that is none.
    #[error("invalid port `{port}`: {reason}", port = shown(.port))]
    Port {
        /// The text.
        port: String,
        /// Why not.
        reason: &'static str,
    },
    /// A VOLUME that is not an absolute path.
    #[error("volume `{path}` is not an absolute path", path = shown(.path))]
    Volume {
        /// The text.
        path: String,
    },
    /// `--chown` with something that cannot be an owner.
    #[error("owner `{text}` is not a user, or a user, a colon and a group", text = shown(.text))]
    Owner {
        /// The text.
        text: String,
    },
    /// `--chmod` with something that is no mode.
    #[error("mode `{text}` is neither an octal number up to 7777 nor like `u=rwX,go=rX`", text = shown(.text))]
    Mode {
        /// The text.
        text: String,
    },
    /// A source that is a URL or a git repository, for an instruction that takes none.
    #[error("{name} takes no remote source: `{text}`", text = shown(.text))]
    Remote {
        /// The instruction.
        name: &'static str,
        /// The source.
        text: String,
    },
    /// A source that climbs out of the context.
    #[error("source `{text}` is outside the build context", text = shown(.text))]
    Outside {
        /// The source.
        text: String,
    },
    /// A source or pattern that cannot be matched.
    #[error("`{text}` is not a pattern: {reason}", text = shown(.text))]
    Pattern {
        /// The pattern.
        text: String,
        /// Why not.
        reason: &'static str,
    },
    /// FROM with something that is no reference.
    #[error("`{text}` is not an image: {reason}", text = shown(.text))]
    Image {
        /// The text.
        text: String,
        /// What the reference parser says.
        reason: String,
    },
    /// FROM `--platform` with something that is no platform.
    #[error("`{text}` is not a platform: {reason}", text = shown(.text))]
    Platform {
        /// The text.
        text: String,
        /// What the platform parser says.
        reason: String,
    },
}

impl Problem {
    /// Returns what to do about it, if the message does not say it already.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoInstruction | Self::NoFrom => "start it with `FROM scratch` or `FROM <image>`",
            Self::BeforeFrom { .. } => "only ARG may stand before FROM",
            Self::UnknownInstruction {
                meant: Some(meant), ..
            } => return Some(format!("did you mean {meant}?")),
            Self::UnknownInstruction { meant: None, .. } => {
                "a line continues on the next one if it ends in a backslash"
            }
            Self::UnknownFlag { name, .. } => match *name {
                "ADD" => {
                    "its flags are --checksum, --chmod, --chown, --exclude, --keep-git-dir, --link and --unpack"
                }
                "COPY" => "its flags are --chmod, --chown, --exclude, --from, --link and --parents",
                "FROM" => "its flag is --platform",
                "HEALTHCHECK" => {
                    "its flags are --interval, --timeout, --start-period, --start-interval and --retries"
                }
                "RUN" => "its flags are --mount, --network and --security",
                _ => "it has no flags: put a first word that starts with `--` in quotes",
            },
            Self::FlagWithoutValue { name, flag } => {
                return Some(format!("write `{name} --{flag}=VALUE`"));
            }
            Self::OpenDocument { .. } => {
                "the line holds nothing else; only with `<<-` tabs may stand before it"
            }
            Self::DocumentExec => "leave the JSON array out: RUN <<EOF",
            Self::NoVariables { .. } => {
                "give the image a name with `FROM … AS name` above, and use that"
            }
            Self::Duration { .. } => "write it like 30s or 1m30s",
            Self::LaterStage { .. } => "only stages above this one can be used",
            Self::BrokenJson { .. } | Self::NotStrings { .. } => {
                "every string stands in double quotes, separated by commas: [\"/app.wasm\", \"--port\", \"80\"]"
            }
            Self::ShellForm { name, text, .. } => {
                return Some(format!("write the JSON form: {name} {}", json_form(text)));
            }
            Self::NoEquals { name, .. } => {
                return Some(format!(
                    "write `{name} name=value`, and quote a value with spaces"
                ));
            }
            Self::Owner { .. } => "write USER, USER:GROUP, UID or UID:GID",
            Self::Remote { .. } => "use ADD",
            Self::Outside { .. } => {
                "build with a directory further up as the context, and name the file with -f"
            }
            Self::Volume { .. } => "start it with a slash",
            Self::Target { stages, .. } if !stages.is_empty() => {
                return Some(match stages.as_slice() {
                    [stage] => format!("the file has the stage `{stage}`"),
                    stages => format!("the file has the stages {}", stages.join(", ")),
                });
            }
            Self::Target { .. } => "name the stage with `FROM <image> AS <name>`",
            Self::Expand { reason, .. } => return reason.hint().map(str::to_owned),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// A guess at what a shell command would be as a JSON array: its words, without any of the shell's magic.
fn json_form(text: &str) -> String {
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| format!("{:?}", word.trim_matches(['"', '\''])))
        .collect();
    format!("[{}]", words.join(", "))
}
