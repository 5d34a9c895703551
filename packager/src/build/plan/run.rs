//! RUN: what runs, what it sees, and what is mounted.

use super::planner::Planner;
use super::scope::{PROXIES, Scope};
use super::value::join;
use super::{Action, InlineFile, Origin};
use crate::build::containerfile::{
    CommandLine, ContainerfileError, HereDocument, Place, Problem, Run, Word,
};

/// Mounts of one RUN: more than anybody writes.
const MAX_MOUNTS: usize = 64;

/// Where BuildKit puts a here-document that starts with `#!`.
const SCRIPTS: &str = "/dev/pipes";

/// A program that runs in the stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAction {
    /// Program and arguments. The program is looked for in `PATH` if it has no slash.
    pub argv: Vec<String>,
    /// Is it a text that a shell reads, with the shell before it?
    pub shell_form: bool,
    /// ENV of the stage, then ARGs that no ENV has set, `NAME=value` each.
    pub env: Vec<String>,
    /// Absolute path.
    pub workdir: String,
    /// As USER says; empty means root.
    pub user: String,
    /// In order.
    pub mounts: Vec<Mount>,
    /// What it may reach.
    pub network: Network,
    /// Does it ask for all rights?
    pub insecure: bool,
    /// A script that is to be there at its path, executable.
    pub script: Option<InlineFile>,
}

/// `--network`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Out, and nothing of the host.
    #[default]
    Default,
    /// Nothing.
    None,
    /// The host's.
    Host,
}

/// `--mount`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Absolute path in the stage; empty for a secret that is only a variable.
    pub target: String,
    /// What is there.
    pub kind: MountKind,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image. What is written to them is forgotten.
    Bind {
        /// Whose files.
        origin: Origin,
        /// The path there.
        source: String,
        /// May they be written?
        writable: bool,
    },
    /// A directory that outlives the build.
    Cache {
        /// Its name.
        id: String,
        /// May it only be read?
        read_only: bool,
        /// Who else may use it meanwhile.
        sharing: Sharing,
        /// What is in it at first.
        from: Option<(Origin, String)>,
        /// Its mode.
        mode: u32,
        /// Its owner and group.
        owner: (u32, u32),
    },
    /// Memory.
    Tmpfs {
        /// Bytes; `None` for as much as there is.
        size: Option<u64>,
    },
    /// A file that the layer does not keep.
    Secret {
        /// Its name.
        id: String,
        /// Is the build refused without it?
        required: bool,
        /// Its mode.
        mode: u32,
        /// Its owner and group.
        owner: (u32, u32),
        /// The variable that has its content as well.
        env: Option<String>,
    },
    /// The socket of an SSH agent.
    Ssh {
        /// Its name.
        id: String,
        /// Is the build refused without it?
        required: bool,
    },
}

/// Who may use a cache at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Everybody gets one of their own.
    Private,
    /// One after the other.
    Locked,
}

impl Planner<'_> {
    pub(super) fn run(
        &self,
        run: &Run,
        stage: usize,
        scope: &Scope,
        state: &State<'_>,
    ) -> Result<(String, Action), ContainerfileError> {
        let mut text = "RUN".to_owned();
        let mut mounts = Vec::new();
        for word in &run.mounts {
            if mounts.len() >= MAX_MOUNTS {
                let reason = format!("more than {MAX_MOUNTS} of them");
                return Err(mount_error(self, word, reason));
            }
            text.push_str(&format!(" --mount={}", word.text));
            mounts.push(self.mount(word, stage, scope, state.workdir)?);
        }
        let network = self.network(run, scope, &mut text)?;
        let insecure = self.insecure(run, scope, &mut text)?;
        let mut script = None;
        let (argv, shell_form) = match &run.command {
            CommandLine::Exec(args) => {
                if let Some(document) = run.documents.first() {
                    return Err(self.error(document.place, Problem::DocumentExec));
                }
                text.push_str(&format!(" {args:?}"));
                (args.clone(), false)
            }
            CommandLine::Shell(word) => {
                let (command, file) = with_documents(word, &run.documents);
                text.push(' ');
                text.push_str(&command);
                script = file;
                match &script {
                    Some(script) => (vec![format!("{SCRIPTS}/{}", script.name)], false),
                    None => {
                        let shell = state.shell.ok_or_else(|| {
                            self.shell_form("RUN", word, state.platform_text.clone())
                        })?;
                        let mut argv = shell.to_vec();
                        argv.push(command);
                        (argv, true)
                    }
                }
            }
        };
        self.account(
            &Word {
                text: text.clone(),
                place: Place { line: 1, column: 1 },
            },
            text.len(),
        )?;
        let mut env = scope.env.clone();
        let set = |env: &[String], name: &str| {
            env.iter()
                .any(|entry| entry.split('=').next() == Some(name))
        };
        for (name, value) in &scope.args {
            if !set(&env, name) {
                env.push(format!("{name}={value}"));
            }
        }
        for (name, value) in self.options().args {
            if PROXIES.contains(&name.as_str()) && !set(&env, name) {
                env.push(format!("{name}={value}"));
            }
        }
        let action = RunAction {
            argv,
            shell_form,
            env,
            workdir: state.workdir.to_owned(),
            user: state.user.to_owned(),
            mounts,
            network,
            insecure,
            script,
        };
        Ok((text, Action::Run(Box::new(action))))
    }

    fn network(
        &self,
        run: &Run,
        scope: &Scope,
        text: &mut String,
    ) -> Result<Network, ContainerfileError> {
        let Some(word) = &run.network else {
            return Ok(Network::Default);
        };
        let value = self.word(word, scope)?;
        text.push_str(&format!(" --network={value}"));
        match value.as_str() {
            "default" => Ok(Network::Default),
            "none" => Ok(Network::None),
            "host" => Ok(Network::Host),
            _ => Err(self.error(
                word.place,
                Problem::RunFlag {
                    flag: "network",
                    text: value,
                    known: "default, none and host",
                },
            )),
        }
    }

    fn insecure(
        &self,
        run: &Run,
        scope: &Scope,
        text: &mut String,
    ) -> Result<bool, ContainerfileError> {
        let Some(word) = &run.security else {
            return Ok(false);
        };
        let value = self.word(word, scope)?;
        text.push_str(&format!(" --security={value}"));
        match value.as_str() {
            "sandbox" => Ok(false),
            "insecure" => Ok(true),
            _ => Err(self.error(
                word.place,
                Problem::RunFlag {
                    flag: "security",
                    text: value,
                    known: "sandbox and insecure",
                },
            )),
        }
    }

    fn mount(
        &self,
        word: &Word,
        stage: usize,
        scope: &Scope,
        workdir: &str,
    ) -> Result<Mount, ContainerfileError> {
        let mut fields = Fields::default();
        for field in word.text.split(',') {
            let (key, value) = field.split_once('=').unwrap_or((field, "true"));
            let key = key.trim().to_ascii_lowercase();
            let piece = Word {
                text: value.trim_matches('"').to_owned(),
                place: word.place,
            };
            if key == "from" {
                fields.from = Some(self.origin(&piece, "--mount=from", stage)?);
                continue;
            }
            let value = self.word(&piece, scope)?;
            fields
                .set(&key, value)
                .map_err(|reason| mount_error(self, word, reason))?;
        }
        fields
            .finish(workdir)
            .map_err(|reason| mount_error(self, word, reason))
    }
}

/// What RUN finds in its stage beside variables.
pub(super) struct State<'a> {
    pub(super) workdir: &'a str,
    pub(super) user: &'a str,
    pub(super) shell: Option<&'a [String]>,
    pub(super) platform_text: String,
}

fn mount_error(planner: &Planner<'_>, word: &Word, reason: String) -> ContainerfileError {
    let text = word.text.clone();
    planner.error(word.place, Problem::Mount { text, reason })
}

/// Joins a command with its here-documents, as BuildKit does. One that is all of the command, and names its interpreter, is a
/// script of its own.
fn with_documents(word: &Word, documents: &[HereDocument]) -> (String, Option<InlineFile>) {
    let Some(first) = documents.first() else {
        return (word.text.clone(), None);
    };
    let alone = documents.len() == 1 && crate::build::containerfile::is_opening(&word.text);
    if !alone {
        let mut command = word.text.clone();
        for document in documents {
            command.push('\n');
            command.push_str(&document.text);
            command.push_str(&document.name);
        }
        return (command, None);
    }
    let content = first.content();
    let script = content.starts_with("#!").then(|| InlineFile {
        name: first.name.clone(),
        text: content.clone(),
    });
    (content, script)
}

/// The fields of one `--mount`.
#[derive(Default)]
struct Fields {
    kind: Option<String>,
    from: Option<Origin>,
    source: Option<String>,
    target: Option<String>,
    id: Option<String>,
    env: Option<String>,
    read_only: Option<bool>,
    required: bool,
    sharing: Sharing,
    mode: Option<u32>,
    uid: u32,
    gid: u32,
    size: Option<u64>,
}

impl Fields {
    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        let switch = |value: &str| match value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(format!("`{other}` is neither true nor false")),
        };
        let number = |value: &str| {
            value
                .parse::<u32>()
                .map_err(|_| format!("`{value}` is not a number"))
        };
        match key {
            "type" => self.kind = Some(value.to_ascii_lowercase()),
            "source" | "src" => self.source = Some(value),
            "target" | "dst" | "destination" => self.target = Some(value),
            "id" => self.id = Some(value),
            "env" => self.env = Some(value),
            "ro" | "readonly" => self.read_only = Some(switch(&value)?),
            "rw" | "readwrite" => self.read_only = Some(!switch(&value)?),
            "required" => self.required = switch(&value)?,
            "sharing" => {
                self.sharing = match value.as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => return Err(format!("`{value}` is none of shared, private and locked")),
                }
            }
            "mode" => {
                let mode = u32::from_str_radix(&value, 8).ok();
                let mode = mode.filter(|mode| *mode <= 0o7777);
                self.mode = Some(mode.ok_or_else(|| format!("`{value}` is not an octal mode"))?);
            }
            "uid" => self.uid = number(&value)?,
            "gid" => self.gid = number(&value)?,
            "size" => {
                self.size = Some(size(&value).ok_or_else(|| format!("`{value}` is not a size"))?);
            }
            _ => return Err(format!("`{key}` is not known")),
        }
        Ok(())
    }

    fn finish(self, workdir: &str) -> Result<Mount, String> {
        let absolute = |path: &str| join(workdir, path);
        let kind = self.kind.as_deref().unwrap_or("bind");
        let needed = |target: Option<String>| {
            let target = target.filter(|target| !target.is_empty());
            let target = target.ok_or_else(|| "it has no target".to_owned())?;
            let target = absolute(&target);
            match target.as_str() {
                "/" => Err("nothing can be mounted on `/`".to_owned()),
                _ => Ok(target),
            }
        };
        let owner = (self.uid, self.gid);
        let source = join("/", self.source.as_deref().unwrap_or("/"));
        let name_of = |target: &Option<String>| {
            let target = target.as_deref().unwrap_or_default();
            target.rsplit('/').next().unwrap_or_default().to_owned()
        };
        Ok(match kind {
            "bind" => Mount {
                target: needed(self.target)?,
                kind: MountKind::Bind {
                    origin: self.from.unwrap_or(Origin::Context),
                    source,
                    writable: self.read_only == Some(false),
                },
            },
            "cache" => {
                let target = needed(self.target)?;
                MountKind::Cache {
                    id: self.id.unwrap_or_else(|| target.clone()),
                    read_only: self.read_only == Some(true),
                    sharing: self.sharing,
                    from: self.from.map(|origin| (origin, source)),
                    mode: self.mode.unwrap_or(0o755),
                    owner,
                }
                .at(target)
            }
            "tmpfs" => MountKind::Tmpfs { size: self.size }.at(needed(self.target)?),
            "secret" => {
                // The id may be left out where the target tells it, and the other way round.
                let id = match self.id.or(self.source) {
                    Some(id) => id,
                    None => name_of(&self.target),
                };
                if id.is_empty() || id.contains(['/', '\0']) {
                    return Err("it has no id".to_owned());
                }
                let target = match (&self.target, &self.env) {
                    (Some(target), _) => absolute(target),
                    (None, Some(_)) => String::new(),
                    (None, None) => format!("/run/secrets/{id}"),
                };
                MountKind::Secret {
                    id,
                    required: self.required,
                    mode: self.mode.unwrap_or(0o400),
                    owner,
                    env: self.env,
                }
                .at(target)
            }
            "ssh" => MountKind::Ssh {
                id: self.id.unwrap_or_else(|| "default".to_owned()),
                required: self.required,
            }
            .at(self
                .target
                .map(|target| absolute(&target))
                .unwrap_or_default()),
            other => {
                return Err(format!(
                    "type `{other}` is none of bind, cache, tmpfs, secret and ssh"
                ));
            }
        })
    }
}

impl MountKind {
    fn at(self, target: String) -> Mount {
        Mount { target, kind: self }
    }
}

/// Reads `64m`, `1g`, `4096`.
fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale: u64 = match lower.get(digits.len()..)? {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(scale)
}
