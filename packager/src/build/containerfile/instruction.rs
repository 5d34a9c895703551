//! One instruction: what its words mean. Variables are not replaced yet.

use super::error::{Fault, Place, Problem};
use super::lexer::Line;
use super::suggest::{KNOWN, suggestion};
use super::words::{Rest, Word};

/// An instruction of the build stage, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Where it starts.
    pub place: Place,
    /// What it says.
    pub kind: Kind,
}

/// The instructions that are carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ARG name[=default] …`
    Arg(Vec<Argument>),
    /// `CMD`
    Cmd(CommandLine),
    /// `COPY` and `ADD`
    Copy(Copy),
    /// `ENTRYPOINT`
    Entrypoint(CommandLine),
    /// `ENV name=value …`
    Env(Vec<Pair>),
    /// `EXPOSE port …`
    Expose(Vec<Word>),
    /// `FROM`, which starts a stage
    From(From),
    /// `LABEL name=value …`
    Label(Vec<Pair>),
    /// `USER`
    User(Word),
    /// `VOLUME path …`
    Volume(Vec<Word>),
    /// `WORKDIR`
    Workdir(Word),
}

/// `FROM [--platform=…] image [AS name]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// Where FROM stands.
    pub place: Place,
    /// The image, or `scratch`.
    pub image: Word,
    /// The platform, if one is given.
    pub platform: Option<Word>,
    /// The stage's name, in lower case.
    pub stage: Option<String>,
}

/// One variable of an ARG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its value, unless the build gives another one.
    pub default: Option<Word>,
}

/// One `name=value` of ENV or LABEL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The name; quotes and variables are replaced in it too.
    pub name: Word,
    /// The value.
    pub value: Word,
}

/// Which of the two copying instructions it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `ADD`, which Docker also gives URLs and archives to.
    Add,
    /// `COPY`
    Copy,
}

impl Verb {
    /// Returns the instruction's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Copy => "COPY",
        }
    }
}

/// `COPY [--chown=…] [--chmod=…] source … destination`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// COPY or ADD.
    pub verb: Verb,
    /// One or more paths or patterns within the build context.
    pub sources: Vec<Word>,
    /// The path in the image.
    pub destination: Word,
    /// Owner of what is copied.
    pub chown: Option<Word>,
    /// Mode of what is copied.
    pub chmod: Option<Word>,
}

/// The two forms of ENTRYPOINT and CMD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// A JSON array: the arguments as they are.
    Exec(Vec<String>),
    /// Anything else: a command for a shell.
    Shell(Word),
}

impl Instruction {
    /// Reads a logical line.
    pub(super) fn parse(line: &Line, escape: char) -> Result<Self, Fault> {
        let mut rest = Rest::new(line, escape);
        let Some(word) = rest.next() else {
            return Err(Fault {
                place: line.place(0),
                problem: Problem::NoInstruction,
            });
        };
        let upper = word.text.to_ascii_uppercase();
        let Some(name) = KNOWN.iter().copied().find(|known| *known == upper) else {
            return Err(Fault {
                place: word.place,
                problem: Problem::UnknownInstruction {
                    meant: suggestion(&upper),
                    word: word.text,
                },
            });
        };
        let body = Body {
            name,
            place: word.place,
            rest,
        };
        let kind = match name {
            "ADD" => body.copy(Verb::Add)?,
            "ARG" => body.arg()?,
            "CMD" => Kind::Cmd(body.command()?),
            "COPY" => body.copy(Verb::Copy)?,
            "ENTRYPOINT" => Kind::Entrypoint(body.command()?),
            "ENV" => Kind::Env(body.pairs()?),
            "EXPOSE" => Kind::Expose(body.ports()?),
            "FROM" => body.from()?,
            "LABEL" => Kind::Label(body.pairs()?),
            "USER" => Kind::User(body.one("a user")?),
            "VOLUME" => Kind::Volume(body.volumes()?),
            "WORKDIR" => Kind::Workdir(body.one("a path")?),
            name => return Err(body.fault(Problem::UnsupportedInstruction { name })),
        };
        Ok(Self {
            place: word.place,
            kind,
        })
    }
}

impl Kind {
    /// Returns the instruction's name in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(copy) => copy.verb.name(),
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::From(_) => "FROM",
            Self::Label(_) => "LABEL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

/// What follows the instruction's name.
struct Body<'a> {
    name: &'static str,
    place: Place,
    rest: Rest<'a>,
}

impl Body<'_> {
    fn fault(&self, problem: Problem) -> Fault {
        Fault {
            place: self.place,
            problem,
        }
    }

    fn needs(&self, want: &'static str) -> Fault {
        self.fault(Problem::Arguments {
            name: self.name,
            want,
        })
    }

    /// Takes the flags, each of which must be one of `ours`; those of `theirs` are Docker's but not carried out.
    fn flags(&mut self, ours: &[&str], theirs: &[&str]) -> Result<Vec<(String, Word)>, Fault> {
        let name = self.name;
        let mut flags: Vec<(String, Word)> = Vec::new();
        for (flag, value, place) in self.rest.flags() {
            let problem = if theirs.contains(&flag.as_str()) {
                Problem::UnsupportedFlag { name, flag }
            } else if !ours.contains(&flag.as_str()) {
                Problem::UnknownFlag { name, flag }
            } else if flags.iter().any(|(seen, _)| *seen == flag) {
                Problem::FlagRepeated { name, flag }
            } else if let Some(value) = value.filter(|value| !value.text.is_empty()) {
                flags.push((flag, value));
                continue;
            } else {
                Problem::FlagWithoutValue { name, flag }
            };
            return Err(Fault { place, problem });
        }
        Ok(flags)
    }

    fn one(mut self, want: &'static str) -> Result<Word, Fault> {
        self.flags(&[], &[])?;
        if self.rest.text().is_empty() {
            return Err(self.needs(want));
        }
        Ok(self.rest.whole())
    }

    fn from(mut self) -> Result<Kind, Fault> {
        let platform = self.flags(&["platform"], &[])?.pop().map(|(_, word)| word);
        let mut words = self.rest.spaced().into_iter();
        let form = "an image, and may have `AS` and a name after it";
        let image = words.next().ok_or_else(|| self.needs(form))?;
        let stage = match (words.next(), words.next(), words.next()) {
            (None, ..) => None,
            (Some(keyword), Some(stage), None) if keyword.text.eq_ignore_ascii_case("as") => {
                Some(stage_name(stage)?)
            }
            _ => return Err(self.needs(form)),
        };
        Ok(Kind::From(From {
            place: self.place,
            image,
            platform,
            stage,
        }))
    }

    fn arg(mut self) -> Result<Kind, Fault> {
        self.flags(&[], &[])?;
        let words = self.rest.quoted();
        if words.is_empty() {
            return Err(self.needs("at least one name"));
        }
        let mut arguments = Vec::new();
        for word in words {
            let (name, default) = match split(&word) {
                Some(pair) => (pair.name.text, Some(pair.value)),
                None => (word.text, None),
            };
            if name.is_empty() {
                return Err(Fault {
                    place: word.place,
                    problem: Problem::EmptyName { name: self.name },
                });
            }
            arguments.push(Argument { name, default });
        }
        Ok(Kind::Arg(arguments))
    }

    /// `name=value …`, or Docker's older `name value with spaces`, which is told by the first word having no `=`.
    fn pairs(mut self) -> Result<Vec<Pair>, Fault> {
        self.flags(&[], &[])?;
        let words = self.rest.quoted();
        let Some(first) = words.first() else {
            return Err(self.needs("at least one name=value"));
        };
        if !first.text.contains('=') {
            let mut rest = self.rest;
            let name = rest.next().ok_or_else(|| self.needs("a name"))?;
            let value = rest.whole();
            if value.text.is_empty() {
                return Err(Fault {
                    place: name.place,
                    problem: Problem::NoEquals {
                        name: self.name,
                        word: name.text,
                    },
                });
            }
            return Ok(vec![Pair { name, value }]);
        }
        words
            .into_iter()
            .map(|word| {
                let pair = split(&word).ok_or_else(|| Fault {
                    place: word.place,
                    problem: Problem::NoEquals {
                        name: self.name,
                        word: word.text.clone(),
                    },
                })?;
                if pair.name.text.is_empty() {
                    return Err(Fault {
                        place: word.place,
                        problem: Problem::EmptyName { name: self.name },
                    });
                }
                Ok(pair)
            })
            .collect()
    }

    fn command(mut self) -> Result<CommandLine, Fault> {
        self.flags(&[], &[])?;
        if self.rest.text().is_empty() {
            return Err(self.needs("a command"));
        }
        Ok(match self.rest.json(self.name)? {
            Some(words) => CommandLine::Exec(words.into_iter().map(|word| word.text).collect()),
            None => CommandLine::Shell(self.rest.whole()),
        })
    }

    fn copy(mut self, verb: Verb) -> Result<Kind, Fault> {
        let theirs: &[&str] = match verb {
            Verb::Add => &["checksum", "exclude", "keep-git-dir", "link", "unpack"],
            Verb::Copy => &["exclude", "from", "link", "parents"],
        };
        let mut chown = None;
        let mut chmod = None;
        for (flag, value) in self.flags(&["chown", "chmod"], theirs)? {
            match flag.as_str() {
                "chown" => chown = Some(value),
                _ => chmod = Some(value),
            }
        }
        let mut sources = match self.rest.json(self.name)? {
            Some(words) => words,
            None => self.rest.spaced(),
        };
        if let Some(word) = sources.iter().find(|word| is_here_document(&word.text)) {
            return Err(Fault {
                place: word.place,
                problem: Problem::HereDocument {
                    word: word.text.clone(),
                },
            });
        }
        let Some(destination) = sources.pop().filter(|_| !sources.is_empty()) else {
            return Err(self.needs("at least one source and a destination"));
        };
        Ok(Kind::Copy(Copy {
            verb,
            sources,
            destination,
            chown,
            chmod,
        }))
    }

    fn ports(mut self) -> Result<Vec<Word>, Fault> {
        self.flags(&[], &[])?;
        let words = self.rest.spaced();
        if words.is_empty() {
            return Err(self.needs("at least one port"));
        }
        Ok(words)
    }

    fn volumes(mut self) -> Result<Vec<Word>, Fault> {
        self.flags(&[], &[])?;
        let words = match self.rest.json(self.name)? {
            Some(words) => words,
            None => self.rest.spaced(),
        };
        if words.is_empty() {
            return Err(self.needs("at least one path"));
        }
        Ok(words)
    }
}

/// Cuts `name=value` at its first equals sign.
fn split(word: &Word) -> Option<Pair> {
    let (name, value) = word.text.split_once('=')?;
    Some(Pair {
        name: Word {
            text: name.to_owned(),
            place: word.place,
        },
        value: Word {
            text: value.to_owned(),
            place: word.place,
        },
    })
}

/// `[a-z][a-z0-9-_.]*`, in any case: <https://docs.docker.com/reference/dockerfile/#from>.
fn stage_name(word: Word) -> Result<String, Fault> {
    let lower = word.text.to_ascii_lowercase();
    let valid = lower.starts_with(|c: char| c.is_ascii_lowercase())
        && lower
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
    if valid {
        Ok(lower)
    } else {
        Err(Fault {
            place: word.place,
            problem: Problem::StageName { text: word.text },
        })
    }
}

/// `<<EOF`, `<<-EOF`, `3<<"EOF"`.
fn is_here_document(word: &str) -> bool {
    let word = word.trim_start_matches(|c: char| c.is_ascii_digit());
    word.strip_prefix("<<")
        .map(|name| name.strip_prefix('-').unwrap_or(name))
        .is_some_and(|name| !name.is_empty() && !name.contains('<'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn here_documents_are_recognised() {
        for word in ["<<EOF", "<<-EOF", "3<<\"EOF\""] {
            assert!(is_here_document(word), "{word}");
        }
        for word in ["<<", "<<-", "a<<EOF", "<<<x", "<EOF"] {
            assert!(!is_here_document(word), "{word}");
        }
    }
}
