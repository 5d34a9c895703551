//! One instruction: what its words mean. Variables are not replaced yet.

use super::error::{Fault, Place, Problem};
use super::healthcheck::{Check, duration};
use super::heredoc::{self, HereDocument};
use super::lexer::Line;
use super::suggest::{KNOWN, suggestion};
use super::words::{Rest, Word};

/// An instruction of a build stage, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Where it starts.
    pub place: Place,
    /// Its name as it is spelled in the file.
    pub word: String,
    /// What it says.
    pub kind: Kind,
}

/// The instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ARG name[=default] …`
    Arg(Vec<Argument>),
    /// `CMD`
    Cmd(CommandLine),
    /// `COPY` and `ADD`
    Copy(Box<Copy>),
    /// `ENTRYPOINT`
    Entrypoint(CommandLine),
    /// `ENV name=value …`
    Env(Pairs),
    /// `EXPOSE port …`
    Expose(Vec<Word>),
    /// `FROM`, which starts a stage
    From(From),
    /// `HEALTHCHECK`; `None` for `HEALTHCHECK NONE`
    Healthcheck(Option<Box<Check>>),
    /// `LABEL name=value …`
    Label(Pairs),
    /// `MAINTAINER`
    Maintainer(Word),
    /// `ONBUILD` and the text of the instruction behind it
    OnBuild(String),
    /// `RUN`
    Run(Box<Run>),
    /// `SHELL`
    Shell(Vec<String>),
    /// `STOPSIGNAL`
    StopSignal(Word),
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
    /// The image, or `scratch`, or an earlier stage.
    pub image: Word,
    /// The platform, if one is given.
    pub platform: Option<Word>,
    /// The stage's name.
    pub stage: Option<StageName>,
}

/// What a stage is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageName {
    /// In lower case.
    pub name: String,
    /// As written.
    pub word: Word,
    /// `AS` as written.
    pub keyword: String,
}

/// `RUN [--mount=…] [--network=…] [--security=…] command`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What to run. In the shell form it may open here-documents.
    pub command: CommandLine,
    /// The values of `--mount`, in order.
    pub mounts: Vec<Word>,
    /// `--network`
    pub network: Option<Word>,
    /// `--security`
    pub security: Option<Word>,
    /// The here-documents that the command opens.
    pub documents: Vec<HereDocument>,
}

/// One variable of an ARG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its value, unless the build gives another one.
    pub default: Option<Word>,
}

/// The arguments of ENV or LABEL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// At least one.
    pub pairs: Vec<Pair>,
    /// Is it Docker's older form, `name value`?
    pub old_form: bool,
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

/// `COPY [--from=…] [--chown=…] … source … destination`, and `ADD`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// COPY or ADD.
    pub verb: Verb,
    /// Paths or patterns; with ADD also URLs. Words that open a here-document are not among them.
    pub sources: Vec<Word>,
    /// Files whose text stands here.
    pub documents: Vec<HereDocument>,
    /// The path in the image.
    pub destination: Word,
    /// Whence, if not from the build context: a stage, an image, or a named context.
    pub from: Option<Word>,
    /// Owner of what is copied.
    pub chown: Option<Word>,
    /// Mode of what is copied.
    pub chmod: Option<Word>,
    /// Patterns of what is not copied.
    pub excludes: Vec<Word>,
    /// Is the path of each source kept?
    pub parents: bool,
    /// Does the layer not depend on what is below it?
    pub link: bool,
    /// What a downloaded file must be.
    pub checksum: Option<Word>,
    /// Is `.git` kept of a cloned repository?
    pub keep_git: bool,
    /// Are archives unpacked? If not said, local ones are and downloaded ones are not.
    pub unpack: Option<bool>,
}

/// The two forms of a command.
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
            documents: &line.documents,
            escape,
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
            "HEALTHCHECK" => body.healthcheck()?,
            "LABEL" => Kind::Label(body.pairs()?),
            "MAINTAINER" => Kind::Maintainer(body.one("a name")?),
            "ONBUILD" => body.on_build()?,
            "RUN" => body.run()?,
            "SHELL" => body.shell()?,
            "STOPSIGNAL" => Kind::StopSignal(body.one("a signal")?),
            "USER" => Kind::User(body.one("a user")?),
            "VOLUME" => Kind::Volume(body.volumes()?),
            // All of KNOWN but this one are above.
            _ => Kind::Workdir(body.one("a path")?),
        };
        Ok(Self {
            place: word.place,
            word: word.text,
            kind,
        })
    }

    /// Refuses what may not stand behind ONBUILD.
    pub(super) fn check_trigger(&self) -> Result<(), Fault> {
        match &self.kind {
            Kind::From(_) | Kind::Maintainer(_) | Kind::OnBuild(_) => Err(Fault {
                place: self.place,
                problem: Problem::Trigger {
                    name: self.kind.name(),
                },
            }),
            _ => Ok(()),
        }
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
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::OnBuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
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
    documents: &'a [HereDocument],
    escape: char,
    rest: Rest<'a>,
}

/// The flags of one instruction.
struct Flags(Vec<(String, Word)>);

impl Flags {
    fn take(&mut self, name: &str) -> Option<Word> {
        let at = self.0.iter().position(|(flag, _)| flag == name)?;
        Some(self.0.remove(at).1)
    }

    fn all(&mut self, name: &str) -> Vec<Word> {
        std::iter::from_fn(|| self.take(name)).collect()
    }
}

/// What flags an instruction has.
#[derive(Default)]
struct Known {
    /// `--name=value`
    values: &'static [&'static str],
    /// The same, as often as one likes.
    lists: &'static [&'static str],
    /// `--name`, `--name=true`, `--name=false`
    switches: &'static [&'static str],
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

    /// Takes the flags.
    fn flags(&mut self, known: Known) -> Result<Flags, Fault> {
        let name = self.name;
        let mut flags: Vec<(String, Word)> = Vec::new();
        for (flag, value, place) in self.rest.flags() {
            let is = |names: &[&str]| names.contains(&flag.as_str());
            let switch = is(known.switches);
            let problem = if !switch && !is(known.values) && !is(known.lists) {
                Problem::UnknownFlag { name, flag }
            } else if !is(known.lists) && flags.iter().any(|(seen, _)| *seen == flag) {
                Problem::FlagRepeated { name, flag }
            } else if let Some(value) = value.filter(|value| !value.text.is_empty()) {
                if switch && !matches!(value.text.as_str(), "true" | "false" | "1" | "0") {
                    Problem::FlagNotSwitch {
                        name,
                        flag,
                        value: value.text,
                    }
                } else {
                    flags.push((flag, value));
                    continue;
                }
            } else if switch {
                let text = "true".to_owned();
                flags.push((flag, Word { text, place }));
                continue;
            } else {
                Problem::FlagWithoutValue { name, flag }
            };
            return Err(Fault { place, problem });
        }
        Ok(Flags(flags))
    }

    fn no_flags(&mut self) -> Result<(), Fault> {
        self.flags(Known::default()).map(drop)
    }

    fn one(mut self, want: &'static str) -> Result<Word, Fault> {
        self.no_flags()?;
        if self.rest.text().is_empty() {
            return Err(self.needs(want));
        }
        Ok(self.rest.whole())
    }

    fn from(mut self) -> Result<Kind, Fault> {
        let known = Known {
            values: &["platform"],
            ..Known::default()
        };
        let platform = self.flags(known)?.take("platform");
        let mut words = self.rest.spaced().into_iter();
        let form = "an image, and may have `AS` and a name after it";
        let image = words.next().ok_or_else(|| self.needs(form))?;
        let stage = match (words.next(), words.next(), words.next()) {
            (None, ..) => None,
            (Some(keyword), Some(stage), None) if keyword.text.eq_ignore_ascii_case("as") => {
                Some(stage_name(stage, keyword.text)?)
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
        self.no_flags()?;
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
    fn pairs(mut self) -> Result<Pairs, Fault> {
        self.no_flags()?;
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
            return Ok(Pairs {
                pairs: vec![Pair { name, value }],
                old_form: true,
            });
        }
        let pairs = words
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
            .collect::<Result<_, _>>()?;
        Ok(Pairs {
            pairs,
            old_form: false,
        })
    }

    fn command(mut self) -> Result<CommandLine, Fault> {
        self.no_flags()?;
        self.command_line()
    }

    fn command_line(&self) -> Result<CommandLine, Fault> {
        if self.rest.text().is_empty() {
            return Err(self.needs("a command"));
        }
        Ok(match self.rest.json(self.name)? {
            Some(words) => CommandLine::Exec(words.into_iter().map(|word| word.text).collect()),
            None => CommandLine::Shell(self.rest.whole()),
        })
    }

    fn run(mut self) -> Result<Kind, Fault> {
        let mut flags = self.flags(Known {
            values: &["network", "security"],
            lists: &["mount"],
            ..Known::default()
        })?;
        let command = self.command_line()?;
        if matches!(&command, CommandLine::Exec(args) if args.is_empty()) {
            return Err(self.needs("a command"));
        }
        Ok(Kind::Run(Box::new(Run {
            command,
            mounts: flags.all("mount"),
            network: flags.take("network"),
            security: flags.take("security"),
            documents: self.documents.to_vec(),
        })))
    }

    fn shell(mut self) -> Result<Kind, Fault> {
        self.no_flags()?;
        match self.rest.json(self.name)? {
            Some(words) if !words.is_empty() => Ok(Kind::Shell(
                words.into_iter().map(|word| word.text).collect(),
            )),
            _ => Err(self.needs("a JSON array, such as [\"/bin/sh\", \"-c\"]")),
        }
    }

    fn on_build(mut self) -> Result<Kind, Fault> {
        self.no_flags()?;
        let word = self.rest.whole();
        if word.text.is_empty() {
            return Err(self.needs("an instruction"));
        }
        // What will be read when somebody builds on the image must be right now.
        let mut line = Line::plain(word.text.clone(), word.place);
        line.documents = self.documents.to_vec();
        Self::parse_trigger(&line, self.escape)?;
        let mut text = word.text;
        for document in self.documents {
            text.push('\n');
            text.push_str(&document.text);
            text.push_str(&document.name);
        }
        Ok(Kind::OnBuild(text))
    }

    fn parse_trigger(line: &Line, escape: char) -> Result<(), Fault> {
        Instruction::parse(line, escape)?.check_trigger()
    }

    fn healthcheck(mut self) -> Result<Kind, Fault> {
        let mut flags = self.flags(Known {
            values: &[
                "interval",
                "timeout",
                "start-period",
                "start-interval",
                "retries",
            ],
            ..Known::default()
        })?;
        let form = "NONE, or CMD and a command";
        let keyword = self.rest.next().ok_or_else(|| self.needs(form))?;
        if keyword.text.eq_ignore_ascii_case("none") {
            if !self.rest.text().is_empty() || !flags.0.is_empty() {
                return Err(self.needs("nothing else with NONE"));
            }
            return Ok(Kind::Healthcheck(None));
        }
        if !keyword.text.eq_ignore_ascii_case("cmd") {
            return Err(Fault {
                place: keyword.place,
                ..self.needs(form)
            });
        }
        let command = self.command_line()?;
        let mut time = |flag: &str| match flags.take(flag) {
            None => Ok(0),
            Some(word) => duration(&word.text).ok_or(Fault {
                place: word.place,
                problem: Problem::Duration { text: word.text },
            }),
        };
        let (interval, timeout) = (time("interval")?, time("timeout")?);
        let (start_period, start_interval) = (time("start-period")?, time("start-interval")?);
        let retries = match flags.take("retries") {
            None => 0,
            Some(word) => match word.text.parse::<i64>() {
                Ok(retries) if retries >= 0 => retries,
                _ => {
                    return Err(Fault {
                        place: word.place,
                        problem: Problem::Retries { text: word.text },
                    });
                }
            },
        };
        Ok(Kind::Healthcheck(Some(Box::new(Check {
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
            command,
        }))))
    }

    fn copy(mut self, verb: Verb) -> Result<Kind, Fault> {
        let known = match verb {
            Verb::Add => Known {
                values: &["chown", "chmod", "checksum"],
                lists: &["exclude"],
                switches: &["keep-git-dir", "link", "unpack"],
            },
            Verb::Copy => Known {
                values: &["chown", "chmod", "from"],
                lists: &["exclude"],
                switches: &["link", "parents"],
            },
        };
        let mut flags = self.flags(known)?;
        let mut sources = match self.rest.json(self.name)? {
            Some(words) => words,
            None => self.rest.spaced(),
        };
        let Some(destination) = sources.pop().filter(|_| !sources.is_empty()) else {
            return Err(self.needs("at least one source and a destination"));
        };
        if heredoc::opening(&destination.text, destination.place).is_some() {
            return Err(Fault {
                place: destination.place,
                problem: Problem::DocumentDestination {
                    word: destination.text,
                },
            });
        }
        if !self.documents.is_empty() {
            sources.retain(|word| heredoc::opening(&word.text, word.place).is_none());
        }
        let from = flags.take("from");
        if let (Some(from), Some(document)) = (&from, self.documents.first()) {
            return Err(Fault {
                place: document.place,
                problem: Problem::DocumentFrom {
                    from: from.text.clone(),
                },
            });
        }
        let is_true = |word: Word| matches!(word.text.as_str(), "true" | "1");
        Ok(Kind::Copy(Box::new(Copy {
            verb,
            sources,
            documents: self.documents.to_vec(),
            destination,
            from,
            chown: flags.take("chown"),
            chmod: flags.take("chmod"),
            excludes: flags.all("exclude"),
            parents: flags.take("parents").is_some_and(is_true),
            link: flags.take("link").is_some_and(is_true),
            checksum: flags.take("checksum"),
            keep_git: flags.take("keep-git-dir").is_some_and(is_true),
            unpack: flags.take("unpack").map(is_true),
        })))
    }

    fn ports(mut self) -> Result<Vec<Word>, Fault> {
        self.no_flags()?;
        let words = self.rest.spaced();
        if words.is_empty() {
            return Err(self.needs("at least one port"));
        }
        Ok(words)
    }

    fn volumes(mut self) -> Result<Vec<Word>, Fault> {
        self.no_flags()?;
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
fn stage_name(word: Word, keyword: String) -> Result<StageName, Fault> {
    let lower = word.text.to_ascii_lowercase();
    let valid = lower.starts_with(|c: char| c.is_ascii_lowercase())
        && lower
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
    if valid {
        Ok(StageName {
            name: lower,
            word,
            keyword,
        })
    } else {
        Err(Fault {
            place: word.place,
            problem: Problem::StageName { text: word.text },
        })
    }
}
