//! Walks the instructions and keeps what they change.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::scope::{Scope, platform_args, set_env};
use super::value::{clean, join, mode, owner, port_range, source};
use super::{Action, Base, BaseName, CopyAction, Options, Plan, Start, Step};
use crate::build::containerfile::expand::{ExpandError, Expander};
use crate::build::containerfile::{
    Argument, CommandLine, Containerfile, ContainerfileError, Copy, Fault, Kind, Location, Pair,
    Place, Problem, Word,
};
use crate::platform::Platform;
use crate::reference::Reference;

/// Bytes that all values of a Dockerfile may expand to together. They go into config and history, and a config may have
/// 8 MiB in all; without a bound, twenty lines of `ENV a=$a$a` make a megabyte of one letter.
const MAX_EXPANDED: usize = 2 << 20;

/// Build arguments that Docker takes without an ARG, so that nobody is warned of them.
const PREDEFINED: [&str; 10] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "all_proxy",
];

/// Makes the plan of one Dockerfile.
#[derive(Debug)]
pub struct Planner<'a> {
    file: &'a Containerfile,
    options: Options<'a>,
    /// ARGs above FROM and the arguments about platforms: visible in FROM, and in the stage through an ARG of that name.
    globals: Scope,
    /// Build arguments that an ARG asked for.
    used: BTreeSet<String>,
    /// Bytes that may still come out of expansion.
    budget: Cell<usize>,
}

impl<'a> Planner<'a> {
    /// Evaluates what stands above FROM.
    ///
    /// # Errors
    ///
    /// `--target` names another stage than the file has, or an ARG cannot be expanded.
    pub fn new(file: &'a Containerfile, options: Options<'a>) -> Result<Self, ContainerfileError> {
        let mut planner = Self {
            file,
            options,
            globals: Scope {
                env: Vec::new(),
                args: platform_args(options),
            },
            used: BTreeSet::new(),
            budget: Cell::new(MAX_EXPANDED),
        };
        planner.check_target()?;
        for (_, argument) in &file.globals {
            let scope = planner.globals.clone();
            if let Some(value) = planner.argument(argument, &scope)? {
                planner.globals.args.insert(argument.name.clone(), value);
            }
        }
        Ok(planner)
    }

    fn check_target(&self) -> Result<(), ContainerfileError> {
        let Some(target) = self.options.target else {
            return Ok(());
        };
        let stage = self.file.from.stage.as_deref();
        if target == "0" || stage.is_some_and(|stage| stage.eq_ignore_ascii_case(target)) {
            return Ok(());
        }
        Err(self.error(
            self.file.from.place,
            Problem::Target {
                target: target.to_owned(),
                stage: stage.map(str::to_owned),
            },
        ))
    }

    /// Returns what FROM names.
    ///
    /// # Errors
    ///
    /// It cannot be expanded, or is not a reference or platform.
    pub fn base(&self) -> Result<Base, ContainerfileError> {
        let from = &self.file.from;
        let text = self.full(&from.image, &self.globals, "the image of FROM")?;
        let name = if text == "scratch" {
            BaseName::Scratch
        } else {
            let reference = Reference::parse(&text).map_err(|error| {
                let reason = error.problem.to_string();
                self.error(from.image.place, Problem::Image { text, reason })
            })?;
            BaseName::Image(reference.or_latest())
        };
        let platform = match &from.platform {
            None => self.options.platform.clone(),
            Some(word) => {
                let text = self.full(word, &self.globals, "the platform of FROM")?;
                Platform::parse(&text).map_err(|error| {
                    let reason = error.to_string();
                    self.error(word.place, Problem::Platform { text, reason })
                })?
            }
        };
        Ok(Base {
            name,
            platform,
            at: self.at(from.image.place),
        })
    }

    /// Makes the steps below FROM, for a base image whose config says `start` and whose platform is `platform`.
    ///
    /// # Errors
    ///
    /// Something cannot be expanded, or its value is not what the instruction takes.
    pub fn steps(mut self, start: Start, platform: &Platform) -> Result<Plan, ContainerfileError> {
        let mut scope = Scope {
            env: start.env,
            args: std::collections::BTreeMap::new(),
        };
        let mut workdir = clean(&start.working_dir);
        let shell = match (start.shell, platform.is_wasm()) {
            (_, true) => None,
            (Some(shell), false) => Some(shell),
            (None, false) => Some(vec!["/bin/sh".to_owned(), "-c".to_owned()]),
        };
        let file = self.file;
        let mut steps = Vec::new();
        for instruction in &file.instructions {
            let (text, action) = match &instruction.kind {
                Kind::Arg(arguments) => (self.arg(arguments, &mut scope)?, Action::Arg),
                Kind::Cmd(line) => {
                    let args = self.command("CMD", line, shell.as_deref(), platform)?;
                    (format!("CMD {args:?}"), Action::Cmd(args))
                }
                Kind::Copy(copy) => self.copy(copy, &scope, &workdir)?,
                Kind::Entrypoint(line) => {
                    let args = self.command("ENTRYPOINT", line, shell.as_deref(), platform)?;
                    let text = format!("ENTRYPOINT {args:?}");
                    // An empty array takes the base image's entrypoint away.
                    let args = (!args.is_empty()).then_some(args);
                    (text, Action::Entrypoint(args))
                }
                Kind::Env(pairs) => {
                    let pairs = self.pairs("ENV", pairs, &scope)?;
                    for (name, value) in &pairs {
                        set_env(&mut scope.env, name, value);
                    }
                    (listed("ENV", &pairs), Action::Env(pairs))
                }
                Kind::Expose(words) => {
                    let ports = self.ports(words, &scope)?;
                    (format!("EXPOSE {}", ports.1), Action::Expose(ports.0))
                }
                Kind::Label(pairs) => {
                    let pairs = self.pairs("LABEL", pairs, &scope)?;
                    (listed("LABEL", &pairs), Action::Label(pairs))
                }
                Kind::User(word) => {
                    let user = self.full(word, &scope, "the user")?;
                    (format!("USER {user}"), Action::User(user))
                }
                Kind::Volume(words) => {
                    let volumes = self.volumes(words, &scope)?;
                    (format!("VOLUME {volumes:?}"), Action::Volume(volumes))
                }
                Kind::Workdir(word) => {
                    workdir = join(&workdir, &self.full(word, &scope, "the path of WORKDIR")?);
                    (
                        format!("WORKDIR {workdir}"),
                        Action::Workdir(workdir.clone()),
                    )
                }
                // The parser refuses a second one, and the first is not among the instructions.
                Kind::From(from) => return Err(self.error(from.place, Problem::SecondFrom)),
            };
            steps.push(Step {
                at: self.at(instruction.place),
                text,
                action,
            });
        }
        Ok(Plan {
            steps,
            unused_args: self.unused(),
        })
    }

    fn unused(&self) -> Vec<String> {
        let names: BTreeSet<&str> = self.options.args.iter().map(|(n, _)| n.as_str()).collect();
        names
            .into_iter()
            .filter(|name| !self.used.contains(*name) && !PREDEFINED.contains(name))
            .map(str::to_owned)
            .collect()
    }

    /// Returns the value of an ARG: what the build was told, else its default.
    fn argument(
        &mut self,
        argument: &Argument,
        scope: &Scope,
    ) -> Result<Option<String>, ContainerfileError> {
        let given = self.options.args.iter().rev();
        if let Some((name, value)) = given.clone().find(|(name, _)| *name == argument.name) {
            self.used.insert(name.clone());
            return Ok(Some(value.clone()));
        }
        argument
            .default
            .as_ref()
            .map(|word| self.word(word, scope))
            .transpose()
    }

    fn arg(
        &mut self,
        arguments: &[Argument],
        scope: &mut Scope,
    ) -> Result<String, ContainerfileError> {
        let mut text = "ARG".to_owned();
        for argument in arguments {
            let value = match self.argument(argument, scope)? {
                Some(value) => Some(value),
                None => self.globals.args.get(&argument.name).cloned(),
            };
            text.push(' ');
            text.push_str(&argument.name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(&value);
                scope.args.insert(argument.name.clone(), value);
            }
        }
        Ok(text)
    }

    fn command(
        &self,
        name: &'static str,
        line: &CommandLine,
        shell: Option<&[String]>,
        platform: &Platform,
    ) -> Result<Vec<String>, ContainerfileError> {
        match (line, shell) {
            (CommandLine::Exec(args), _) => Ok(args.clone()),
            (CommandLine::Shell(word), Some(shell)) => {
                let mut args = shell.to_vec();
                args.push(word.text.clone());
                Ok(args)
            }
            (CommandLine::Shell(word), None) => Err(self.error(
                word.place,
                Problem::ShellForm {
                    name,
                    platform: platform.to_string(),
                    text: word.text.clone(),
                },
            )),
        }
    }

    fn copy(
        &self,
        copy: &Copy,
        scope: &Scope,
        workdir: &str,
    ) -> Result<(String, Action), ContainerfileError> {
        let mut text = copy.verb.name().to_owned();
        let mut flag = |name: &str, value: &str| {
            text.push_str(&format!(" --{name}={value}"));
        };
        let owner = match &copy.chown {
            None => None,
            Some(word) => {
                let value = self.word(word, scope)?;
                flag("chown", &value);
                let owner = owner(&value);
                Some(owner.ok_or_else(|| self.error(word.place, Problem::Owner { text: value }))?)
            }
        };
        let mode = match &copy.chmod {
            None => None,
            Some(word) => {
                let value = self.word(word, scope)?;
                flag("chmod", &value);
                let mode = mode(&value);
                Some(mode.ok_or_else(|| self.error(word.place, Problem::Mode { text: value }))?)
            }
        };
        let mut sources = Vec::new();
        for word in &copy.sources {
            let value = self.full(word, scope, "a source")?;
            text.push(' ');
            text.push_str(&value);
            sources
                .push(source(copy.verb, value).map_err(|problem| self.error(word.place, problem))?);
        }
        let destination = self.full(&copy.destination, scope, "the destination")?;
        text.push(' ');
        text.push_str(&destination);
        let action = CopyAction {
            verb: copy.verb,
            sources,
            into_directory: destination == "."
                || destination.ends_with('/')
                || destination.ends_with("/."),
            destination: join(workdir, &destination),
            owner,
            mode,
        };
        Ok((text, Action::Copy(action)))
    }

    fn pairs(
        &self,
        name: &'static str,
        pairs: &[Pair],
        scope: &Scope,
    ) -> Result<Vec<(String, String)>, ContainerfileError> {
        pairs
            .iter()
            .map(|pair| {
                let key = self.word(&pair.name, scope)?;
                if key.is_empty() {
                    return Err(self.error(pair.name.place, Problem::EmptyName { name }));
                }
                Ok((key, self.word(&pair.value, scope)?))
            })
            .collect()
    }

    /// Returns the ports one by one, and the text that names them.
    fn ports(
        &self,
        words: &[Word],
        scope: &Scope,
    ) -> Result<(Vec<String>, String), ContainerfileError> {
        let mut ports = BTreeSet::new();
        let mut texts = Vec::new();
        for word in words {
            // One variable may hold several ports.
            for text in self.words(word, scope)? {
                let (range, protocol) = port_range(&text).map_err(|reason| {
                    let port = text.clone();
                    self.error(word.place, Problem::Port { port, reason })
                })?;
                ports.extend(range.map(|port| (port, protocol)));
                texts.push(text);
            }
        }
        if ports.is_empty() {
            let word = words.first().cloned().unwrap_or(Word {
                text: String::new(),
                place: self.file.from.place,
            });
            return Err(self.empty(&word, "the port"));
        }
        let ports = ports
            .into_iter()
            .map(|(port, protocol)| format!("{port}/{protocol}"));
        Ok((ports.collect(), texts.join(" ")))
    }

    fn volumes(&self, words: &[Word], scope: &Scope) -> Result<Vec<String>, ContainerfileError> {
        words
            .iter()
            .map(|word| {
                let path = self.full(word, scope, "a volume")?;
                if path.starts_with('/') {
                    Ok(path)
                } else {
                    Err(self.error(word.place, Problem::Volume { path }))
                }
            })
            .collect()
    }

    /// Expands a word that must not come out empty. White space around it goes.
    fn full(
        &self,
        word: &Word,
        scope: &Scope,
        what: &'static str,
    ) -> Result<String, ContainerfileError> {
        let text = self.word(word, scope)?;
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(self.empty(word, what));
        }
        Ok(trimmed.to_owned())
    }

    fn word(&self, word: &Word, scope: &Scope) -> Result<String, ContainerfileError> {
        let lookup = |name: &str| scope.get(name);
        let text = self
            .expander(&lookup)
            .word(&word.text)
            .map_err(|reason| self.unexpanded(word, reason))?;
        self.account(word, text.len())?;
        if text.contains('\0') {
            return Err(self.error(word.place, Problem::Nul));
        }
        Ok(text)
    }

    fn words(&self, word: &Word, scope: &Scope) -> Result<Vec<String>, ContainerfileError> {
        let lookup = |name: &str| scope.get(name);
        let words = self
            .expander(&lookup)
            .words(&word.text)
            .map_err(|reason| self.unexpanded(word, reason))?;
        self.account(word, words.iter().map(String::len).sum())?;
        Ok(words)
    }

    fn expander<'e>(&self, lookup: &'e dyn Fn(&str) -> Option<String>) -> Expander<'e> {
        Expander {
            escape: self.file.escape,
            lookup,
            limit: self.budget.get(),
        }
    }

    fn account(&self, word: &Word, bytes: usize) -> Result<(), ContainerfileError> {
        let left = self.budget.get().checked_sub(bytes).ok_or_else(|| {
            self.unexpanded(
                word,
                ExpandError::TooLong {
                    limit: MAX_EXPANDED,
                },
            )
        })?;
        self.budget.set(left);
        Ok(())
    }

    fn unexpanded(&self, word: &Word, reason: ExpandError) -> ContainerfileError {
        let reason = match reason {
            // The expander knows only what was left.
            ExpandError::TooLong { .. } => ExpandError::TooLong {
                limit: MAX_EXPANDED,
            },
            other => other,
        };
        let word_text = word.text.clone();
        self.error(
            word.place,
            Problem::Expand {
                word: word_text,
                reason,
            },
        )
    }

    fn empty(&self, word: &Word, what: &'static str) -> ContainerfileError {
        self.error(
            word.place,
            Problem::Empty {
                what,
                word: word.text.clone(),
            },
        )
    }

    fn error(&self, place: Place, problem: Problem) -> ContainerfileError {
        Fault { place, problem }.in_file(&self.file.name)
    }

    fn at(&self, place: Place) -> Location {
        Location {
            file: self.file.name.clone(),
            place,
        }
    }
}

fn listed(name: &str, pairs: &[(String, String)]) -> String {
    let mut text = name.to_owned();
    for (key, value) in pairs {
        text.push_str(&format!(" {key}={value}"));
    }
    text
}
