//! Walks the instructions and keeps what they change.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::run::State;
use super::scope::{PROXIES, Scope, platform_args, set_env};
use super::value::{clean, is_signal, join, port_range};
use super::{Action, Base, BaseName, HealthcheckAction, Options, Origin, Plan, Start, Step};
use crate::build::containerfile::expand::{ExpandError, Expander};
use crate::build::containerfile::{
    Argument, Check, CommandLine, Containerfile, ContainerfileError, Fault, Instruction, Kind,
    Location, Pairs, Place, Problem, Word, parse_trigger,
};
use crate::platform::Platform;
use crate::reference::Reference;

/// Bytes that all values of a Dockerfile may expand to together. They go into config and history, and a config may have
/// 8 MiB in all; without a bound, twenty lines of `ENV a=$a$a` make a megabyte of one letter.
const MAX_EXPANDED: usize = 2 << 20;

/// Triggers that one base image may have: its config is bounded, but each may fetch an image.
const MAX_TRIGGERS: usize = 200;

/// Variables of which a warning is kept.
const MAX_UNDEFINED: usize = 200;

/// Makes the plans of one Dockerfile's stages. Several threads may use it.
#[derive(Debug)]
pub struct Planner<'a> {
    file: &'a Containerfile,
    options: Options<'a>,
    /// ARGs above FROM and the arguments about platforms: visible in FROM, and in stages through an ARG of that name.
    globals: Scope,
    notes: Mutex<Notes>,
}

/// What the planner learns on its way.
#[derive(Debug)]
struct Notes {
    /// Build arguments that an ARG asked for.
    used: BTreeSet<String>,
    /// Variables that are not set where they are used.
    undefined: BTreeSet<(Place, String)>,
    /// Bytes that may still come out of expansion.
    budget: usize,
}

impl<'a> Planner<'a> {
    /// Evaluates what stands above FROM.
    ///
    /// # Errors
    ///
    /// `--target` names a stage that the file does not have, or an ARG cannot be expanded.
    pub fn new(file: &'a Containerfile, options: Options<'a>) -> Result<Self, ContainerfileError> {
        let mut planner = Self {
            file,
            options,
            globals: Scope {
                env: Vec::new(),
                args: platform_args(options),
            },
            notes: Mutex::new(Notes {
                used: BTreeSet::new(),
                undefined: BTreeSet::new(),
                budget: MAX_EXPANDED,
            }),
        };
        planner.target()?;
        for (_, argument) in &file.globals {
            let scope = planner.globals.clone();
            if let Some(value) = planner.argument(argument, &scope)? {
                planner.globals.args.insert(argument.name.clone(), value);
            }
        }
        Ok(planner)
    }

    pub(super) fn options(&self) -> Options<'a> {
        self.options
    }

    /// Returns the stage that is to be built: the last one, unless `--target` names another.
    ///
    /// # Errors
    ///
    /// It names none.
    pub fn target(&self) -> Result<usize, ContainerfileError> {
        let last = self.file.stages.len().saturating_sub(1);
        let Some(target) = self.options.target else {
            return Ok(last);
        };
        self.file
            .stage(target, self.file.stages.len())
            .ok_or_else(|| {
                let named = self.file.stages.iter();
                let named = named.filter_map(|stage| stage.from.stage.as_ref());
                self.error(
                    self.file.stages[0].from.place,
                    Problem::Target {
                        target: target.to_owned(),
                        stages: named.map(|stage| stage.name.clone()).collect(),
                    },
                )
            })
    }

    /// Returns what the FROM of a stage names.
    ///
    /// # Errors
    ///
    /// It cannot be expanded, or is not a reference or platform.
    pub fn base(&self, stage: usize) -> Result<Base, ContainerfileError> {
        let from = &self.file.stages[stage].from;
        let text = self.full(&from.image, &self.globals, "the image of FROM")?;
        let name = if self.is_context(&text) {
            BaseName::Context(text)
        } else if text == "scratch" {
            BaseName::Scratch
        } else if let Some(earlier) = self.named_stage(&text, stage) {
            BaseName::Stage(earlier)
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
            platform_given: from.platform.is_some(),
            at: self.at(from.image.place),
        })
    }

    /// FROM takes a stage by name only, never by number.
    fn named_stage(&self, text: &str, before: usize) -> Option<usize> {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        self.file.stage(text, before)
    }

    fn is_context(&self, name: &str) -> bool {
        let contexts = self.options.contexts.iter();
        contexts
            .into_iter()
            .any(|context| context.eq_ignore_ascii_case(name))
    }

    /// Returns the stages that a stage needs, as far as its own text tells.
    ///
    /// # Errors
    ///
    /// As [`Planner::base`], and what `--from` names cannot be used.
    pub fn needs(&self, stage: usize) -> Result<BTreeSet<usize>, ContainerfileError> {
        let mut needs = BTreeSet::new();
        if let BaseName::Stage(base) = self.base(stage)?.name {
            needs.insert(base);
        }
        for instruction in &self.file.stages[stage].instructions {
            let mut origins = Vec::new();
            match &instruction.kind {
                Kind::Copy(copy) => {
                    if let Some(word) = &copy.from {
                        origins.push(self.origin(word, "--from", stage)?);
                    }
                }
                Kind::Run(run) => {
                    for word in &run.mounts {
                        let fields = word.text.split(',');
                        let from = fields.filter_map(|field| field.trim().strip_prefix("from="));
                        for text in from {
                            let word = Word {
                                text: text.to_owned(),
                                place: word.place,
                            };
                            origins.push(self.origin(&word, "--mount=from", stage)?);
                        }
                    }
                }
                _ => {}
            }
            needs.extend(origins.into_iter().filter_map(|origin| match origin {
                Origin::Stage(stage) => Some(stage),
                _ => None,
            }));
        }
        Ok(needs)
    }

    /// Returns what `--from` names.
    pub(super) fn origin(
        &self,
        word: &Word,
        flag: &'static str,
        stage: usize,
    ) -> Result<Origin, ContainerfileError> {
        let text = &word.text;
        if text.contains('$') {
            let text = text.clone();
            return Err(self.error(word.place, Problem::NoVariables { text, flag }));
        }
        if self.is_context(text) {
            return Ok(Origin::Named(text.to_ascii_lowercase()));
        }
        if let Some(earlier) = self.file.stage(text, stage) {
            return Ok(Origin::Stage(earlier));
        }
        // An image may have the name of a later stage only by mistake.
        if self.file.stage(text, self.file.stages.len()).is_some() {
            let text = text.clone();
            return Err(self.error(word.place, Problem::LaterStage { text }));
        }
        let reference = Reference::parse(text).map_err(|error| {
            let reason = error.problem.to_string();
            let text = text.clone();
            self.error(word.place, Problem::Image { text, reason })
        })?;
        Ok(Origin::Image(reference.or_latest()))
    }

    /// Makes the steps of a stage, for a base image whose config says `start` and whose platform is `platform`.
    ///
    /// # Errors
    ///
    /// Something cannot be expanded, or its value is not what the instruction takes.
    pub fn steps(
        &self,
        stage: usize,
        start: Start,
        platform: &Platform,
    ) -> Result<Plan, ContainerfileError> {
        let mut state = Walk {
            planner: self,
            stage,
            scope: Scope {
                env: start.env,
                args: start.args,
            },
            workdir: clean(&start.working_dir),
            user: start.user,
            shell: match (start.shell, platform.is_wasm()) {
                (Some(shell), _) => Some(shell),
                (None, false) => Some(vec!["/bin/sh".to_owned(), "-c".to_owned()]),
                (None, true) => None,
            },
            platform,
        };
        let file = self.file;
        let from = file.stages[stage].from.place;
        let mut steps = Vec::new();
        if start.triggers.len() > MAX_TRIGGERS {
            return Err(self.error(
                from,
                Problem::TooManyInstructions {
                    limit: MAX_TRIGGERS,
                },
            ));
        }
        for trigger in &start.triggers {
            let instruction = parse_trigger(&file.name, trigger, from)?;
            steps.push(state.step(&instruction)?);
        }
        for instruction in &file.stages[stage].instructions {
            steps.push(state.step(instruction)?);
        }
        Ok(Plan {
            steps,
            args: state.scope.args,
        })
    }

    /// Returns the build arguments that no ARG has asked for, once all stages are planned.
    pub fn unused_args(&self) -> Vec<String> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let names: BTreeSet<&str> = self.options.args.iter().map(|(n, _)| n.as_str()).collect();
        names
            .into_iter()
            .filter(|name| {
                !notes.used.contains(*name)
                    && !PROXIES.contains(name)
                    && !platform_args(self.options).contains_key(*name)
            })
            .map(str::to_owned)
            .collect()
    }

    /// Returns the variables that are not set where they are used, once all stages are planned.
    pub fn undefined(&self) -> Vec<(Place, String)> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.undefined.iter().cloned().collect()
    }
}

/// A walk over the instructions of one stage.
struct Walk<'a> {
    planner: &'a Planner<'a>,
    stage: usize,
    scope: Scope,
    workdir: String,
    user: String,
    shell: Option<Vec<String>>,
    platform: &'a Platform,
}

impl Walk<'_> {
    fn step(&mut self, instruction: &Instruction) -> Result<Step, ContainerfileError> {
        let planner = self.planner;
        let (text, action) = match &instruction.kind {
            Kind::Arg(arguments) => (planner.arg(arguments, &mut self.scope)?, Action::Arg),
            Kind::Cmd(line) => {
                let args = self.command("CMD", line)?;
                (format!("CMD {args:?}"), Action::Cmd(args))
            }
            Kind::Copy(copy) => planner.copy(copy, self.stage, &self.scope, &self.workdir)?,
            Kind::Entrypoint(line) => {
                let args = self.command("ENTRYPOINT", line)?;
                let text = format!("ENTRYPOINT {args:?}");
                // An empty array takes the base image's entrypoint away.
                let args = (!args.is_empty()).then_some(args);
                (text, Action::Entrypoint(args))
            }
            Kind::Env(pairs) => {
                let pairs = planner.pairs("ENV", pairs, &self.scope)?;
                for (name, value) in &pairs {
                    set_env(&mut self.scope.env, name, value);
                }
                (listed("ENV", &pairs), Action::Env(pairs))
            }
            Kind::Expose(words) => {
                let ports = planner.ports(words, &self.scope)?;
                (format!("EXPOSE {}", ports.1), Action::Expose(ports.0))
            }
            Kind::Healthcheck(check) => self.healthcheck(check.as_deref())?,
            Kind::Label(pairs) => {
                let pairs = planner.pairs("LABEL", pairs, &self.scope)?;
                (listed("LABEL", &pairs), Action::Label(pairs))
            }
            Kind::Maintainer(word) => {
                // Docker replaces no variables here.
                let name = word.text.clone();
                (format!("MAINTAINER {name}"), Action::Maintainer(name))
            }
            Kind::OnBuild(trigger) => (
                format!("ONBUILD {trigger}"),
                Action::OnBuild(trigger.clone()),
            ),
            Kind::Run(run) => {
                let state = State {
                    workdir: &self.workdir,
                    user: &self.user,
                    shell: self.shell.as_deref(),
                    platform_text: self.platform.to_string(),
                };
                planner.run(run, self.stage, &self.scope, &state)?
            }
            Kind::Shell(shell) => {
                self.shell = Some(shell.clone());
                (format!("SHELL {shell:?}"), Action::Shell(shell.clone()))
            }
            Kind::StopSignal(word) => {
                let signal = planner.full(word, &self.scope, "the signal")?;
                if !is_signal(&signal) {
                    return Err(planner.error(word.place, Problem::Signal { text: signal }));
                }
                (format!("STOPSIGNAL {signal}"), Action::StopSignal(signal))
            }
            Kind::User(word) => {
                self.user = planner.full(word, &self.scope, "the user")?;
                (
                    format!("USER {}", self.user),
                    Action::User(self.user.clone()),
                )
            }
            Kind::Volume(words) => {
                let volumes = planner.volumes(words, &self.scope)?;
                (format!("VOLUME {volumes:?}"), Action::Volume(volumes))
            }
            Kind::Workdir(word) => {
                let path = planner.full(word, &self.scope, "the path of WORKDIR")?;
                self.workdir = join(&self.workdir, &path);
                (
                    format!("WORKDIR {}", self.workdir),
                    Action::Workdir(self.workdir.clone()),
                )
            }
            // Neither the parser nor a trigger lets one through.
            Kind::From(from) => {
                return Err(planner.error(from.place, Problem::Trigger { name: "FROM" }));
            }
        };
        Ok(Step {
            at: planner.at(instruction.place),
            text,
            action,
        })
    }

    fn command(
        &self,
        name: &'static str,
        line: &CommandLine,
    ) -> Result<Vec<String>, ContainerfileError> {
        match (line, &self.shell) {
            (CommandLine::Exec(args), _) => Ok(args.clone()),
            (CommandLine::Shell(word), Some(shell)) => {
                let mut args = shell.clone();
                args.push(word.text.clone());
                Ok(args)
            }
            (CommandLine::Shell(word), None) => {
                Err(self
                    .planner
                    .shell_form(name, word, self.platform.to_string()))
            }
        }
    }

    fn healthcheck(&self, check: Option<&Check>) -> Result<(String, Action), ContainerfileError> {
        let Some(check) = check else {
            let action = HealthcheckAction {
                test: vec!["NONE".to_owned()],
                interval: 0,
                timeout: 0,
                start_period: 0,
                start_interval: 0,
                retries: 0,
            };
            let action = Action::Healthcheck(Box::new(action));
            return Ok(("HEALTHCHECK NONE".to_owned(), action));
        };
        let (kind, args) = match &check.command {
            CommandLine::Exec(args) => ("CMD", args.clone()),
            CommandLine::Shell(word) if self.shell.is_none() => {
                let platform = self.platform.to_string();
                return Err(self.planner.shell_form("HEALTHCHECK CMD", word, platform));
            }
            CommandLine::Shell(word) => ("CMD-SHELL", vec![word.text.clone()]),
        };
        let text = format!("HEALTHCHECK {kind} {args:?}");
        let test = std::iter::once(kind.to_owned()).chain(args).collect();
        let action = HealthcheckAction {
            test,
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: check.retries,
        };
        Ok((text, Action::Healthcheck(Box::new(action))))
    }
}

impl Planner<'_> {
    pub(super) fn shell_form(
        &self,
        name: &'static str,
        word: &Word,
        platform: String,
    ) -> ContainerfileError {
        let text = word.text.clone();
        self.error(
            word.place,
            Problem::ShellForm {
                name,
                platform,
                text,
            },
        )
    }

    /// Returns the value of an ARG: what the build was told, else its default.
    fn argument(
        &self,
        argument: &Argument,
        scope: &Scope,
    ) -> Result<Option<String>, ContainerfileError> {
        let given = self.options.args.iter().rev();
        if let Some((name, value)) = given.clone().find(|(name, _)| *name == argument.name) {
            let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
            notes.used.insert(name.clone());
            return Ok(Some(value.clone()));
        }
        argument
            .default
            .as_ref()
            .map(|word| self.word(word, scope))
            .transpose()
    }

    fn arg(&self, arguments: &[Argument], scope: &mut Scope) -> Result<String, ContainerfileError> {
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

    fn pairs(
        &self,
        name: &'static str,
        pairs: &Pairs,
        scope: &Scope,
    ) -> Result<Vec<(String, String)>, ContainerfileError> {
        pairs
            .pairs
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
                place: Place { line: 1, column: 1 },
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
    pub(super) fn full(
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

    pub(super) fn word(&self, word: &Word, scope: &Scope) -> Result<String, ContainerfileError> {
        let text = self.expanded(word, scope, |expander| expander.word(&word.text))?;
        self.account(word, text.len())?;
        if text.contains('\0') {
            return Err(self.error(word.place, Problem::Nul));
        }
        Ok(text)
    }

    fn words(&self, word: &Word, scope: &Scope) -> Result<Vec<String>, ContainerfileError> {
        let words = self.expanded(word, scope, |expander| expander.words(&word.text))?;
        self.account(word, words.iter().map(String::len).sum())?;
        Ok(words)
    }

    /// Expands a here-document.
    pub(super) fn document(
        &self,
        word: &Word,
        scope: &Scope,
    ) -> Result<String, ContainerfileError> {
        let text = self.expanded(word, scope, |expander| expander.document(&word.text))?;
        self.account(word, text.len())?;
        Ok(text)
    }

    fn expanded<T>(
        &self,
        word: &Word,
        scope: &Scope,
        expand: impl FnOnce(&Expander<'_>) -> Result<T, ExpandError>,
    ) -> Result<T, ContainerfileError> {
        let missed = RefCell::default();
        let limit = {
            let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
            notes.budget
        };
        let expanded = expand(&Expander {
            escape: self.file.escape,
            lookup: &|name| scope.get(name),
            limit,
            missed: &missed,
        });
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_UNDEFINED.saturating_sub(notes.undefined.len());
        let missed = missed.into_inner().into_iter().take(room);
        notes
            .undefined
            .extend(missed.map(|name| (word.place, name)));
        drop(notes);
        expanded.map_err(|reason| self.unexpanded(word, reason))
    }

    /// Counts what was expanded.
    pub(super) fn account(&self, word: &Word, bytes: usize) -> Result<(), ContainerfileError> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        match notes.budget.checked_sub(bytes) {
            Some(left) => {
                notes.budget = left;
                Ok(())
            }
            None => {
                drop(notes);
                let limit = MAX_EXPANDED;
                Err(self.unexpanded(word, ExpandError::TooLong { limit }))
            }
        }
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

    pub(super) fn error(&self, place: Place, problem: Problem) -> ContainerfileError {
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
