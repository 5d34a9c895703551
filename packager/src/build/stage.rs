//! One stage: its base, and what its instructions make of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::builder::{Build, scratch_config};
use super::cache::{self, Known};
use super::context::Context;
use super::copy::{self, CopyError, Entries, Wanted};
use super::error::BaseError;
use super::files::{Files, ImageFiles, Item};
use super::finish::{self, oci_layer};
use super::plan::{
    Action, Base, BaseName, CopyAction, MountKind, Origin, Plan, RunAction, Source, Start, Step,
    set_env,
};
use super::remote::{self, DOWNLOAD_MODE, Fetched};
use super::run::{Changes, RunStep};
use super::tree::Tree;
use super::{BuildError, BuildEvent, NamedContext, owner, write};
use crate::digest::Digest;
use crate::image::{Descriptor, Empty, History, Image, ImageConfig, ImageError, Limits};
use crate::layer::{Rootfs, WrittenLayer};
use crate::platform::Platform;
use crate::reference::Reference;

/// A stage that was built.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) config: ImageConfig,
    pub(super) layers: Vec<Descriptor>,
    pub(super) platform: Platform,
    /// ARGs that are set at its end.
    pub(super) args: BTreeMap<String, String>,
}

/// A stage that grows.
struct Growing<'b, 'a> {
    build: &'b Build<'a>,
    stage: Stage,
    tree: Tree,
    /// Has a CMD been seen, so that ENTRYPOINT does not take the base image's away?
    own_cmd: bool,
    /// Are results of earlier builds left alone?
    fresh: bool,
    /// Is it the stage that becomes the image?
    last: bool,
    /// Was the last layer known?
    cached: bool,
}

/// Builds a stage.
pub(super) fn build(build: &Build<'_>, number: usize) -> Result<Stage, BuildError> {
    let base = build.planner.base(number)?;
    let total = build.file.stages[number].instructions.len() + 1;
    let id = build.begin(number, 1, total, &from_text(build, &base))?;
    let started = start(build, number, &base);
    let (mut growing, start) = told(build, id, started)?;
    let platform = growing.stage.platform.clone();
    let Plan { steps, args } = build.planner.steps(number, start, &platform)?;
    growing.stage.args = args;
    // Triggers of the base image come on top.
    let total = steps.len() + 1;
    for (index, step) in steps.into_iter().enumerate() {
        let id = build.begin(number, index + 2, total, &step.text)?;
        let done = growing.step(step, id);
        told(build, id, done)?;
    }
    Ok(growing.stage)
}

/// Says that a step is done, or why it is not.
fn told<T>(
    build: &Build<'_>,
    id: usize,
    result: Result<(T, bool), BuildError>,
) -> Result<T, BuildError> {
    match result {
        Ok((value, cached)) => {
            build.say(BuildEvent::Done { id, cached });
            Ok(value)
        }
        Err(error) => {
            if !matches!(error, BuildError::Stopped) {
                let message = error.to_string();
                build.say(BuildEvent::Failed { id, message });
            }
            Err(error)
        }
    }
}

fn from_text(build: &Build<'_>, base: &Base) -> String {
    let name = match &base.name {
        BaseName::Scratch => "scratch".to_owned(),
        BaseName::Image(reference) => reference.familiar(),
        BaseName::Stage(stage) => build.file.stage_name(*stage),
        BaseName::Context(name) => name.clone(),
    };
    format!("FROM {name}")
}

type Started<'b, 'a> = ((Growing<'b, 'a>, Start), bool);

fn start<'b, 'a>(
    build: &'b Build<'a>,
    number: usize,
    base: &Base,
) -> Result<Started<'b, 'a>, BuildError> {
    let wanted = match base.platform_given {
        true => Some(&base.platform),
        false => build.platform.as_ref(),
    };
    let mut growing = Growing {
        build,
        stage: Stage {
            config: ImageConfig::default(),
            layers: Vec::new(),
            platform: base.platform.clone(),
            args: BTreeMap::new(),
        },
        tree: Tree::default(),
        own_cmd: false,
        fresh: build.is_fresh(number),
        last: build.target == number,
        cached: false,
    };
    match &base.name {
        BaseName::Scratch => growing.stage.config.config = scratch_config(),
        BaseName::Image(reference) => growing.inherit(reference, wanted, base)?,
        BaseName::Stage(earlier) => {
            let earlier = build.stage(*earlier)?;
            growing.stage = Stage::clone(&earlier);
            growing.reread()?;
        }
        BaseName::Context(name) => match build
            .world
            .request
            .contexts
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
        {
            Some((_, NamedContext::Image(reference))) => {
                growing.inherit(reference, wanted, base)?;
            }
            _ => {
                growing.stage.config.config = scratch_config();
                growing.fill(name, base)?;
            }
        },
    }
    let stage = &mut growing.stage;
    if base.platform_given {
        stage.platform = base.platform.clone();
    }
    stage.config.os = stage.platform.os().to_owned();
    stage.config.architecture = stage.platform.architecture().to_owned();
    stage.config.variant = stage.platform.variant().map(str::to_owned);
    let config = &mut stage.config.config;
    let start = Start {
        env: config.env.clone().unwrap_or_default(),
        args: stage.args.clone(),
        working_dir: config.working_dir.clone().unwrap_or_default(),
        user: config.user.clone().unwrap_or_default(),
        shell: config.shell.clone().filter(|shell| !shell.is_empty()),
        triggers: config.on_build.take().unwrap_or_default(),
    };
    Ok(((growing, start), false))
}

impl<'b, 'a> Growing<'b, 'a> {
    /// Takes over config and layers of a base image.
    fn inherit(
        &mut self,
        reference: &Reference,
        wanted: Option<&Platform>,
        base: &Base,
    ) -> Result<(), BuildError> {
        let image = self.build.image(reference, wanted, &base.at)?;
        self.take(&image).map_err(|source| BuildError::Base {
            at: base.at.clone(),
            name: reference.familiar(),
            source,
        })?;
        let rootfs = self.build.rootfs_of(&image)?;
        self.tree = Tree::new(Some(Arc::new(rootfs.read_index()?)));
        Ok(())
    }

    fn take(&mut self, image: &Image) -> Result<(), BaseError> {
        let layers = image
            .tar_layers()
            .map_err(|source| BaseError::Image(Box::new(source)))?;
        for (index, layer) in layers.iter().enumerate() {
            let layer = oci_layer(layer.descriptor).ok_or(BaseError::Restricted { index })?;
            self.stage.layers.push(layer);
        }
        self.stage.platform = image.platform();
        self.stage.config = image.config.clone();
        // Other tools count one entry per layer.
        let history = &mut self.stage.config.history;
        let entries = history.iter().filter(|h| !h.empty_layer).count();
        let missing = self.stage.layers.len().saturating_sub(entries);
        history.splice(0..0, std::iter::repeat_n(History::default(), missing));
        Ok(())
    }

    /// Starts from all files of a context.
    fn fill(&mut self, name: &str, base: &Base) -> Result<(), BuildError> {
        let step = Step {
            at: base.at.clone(),
            text: format!("FROM {name}"),
            action: Action::Arg,
        };
        let action = CopyAction {
            verb: super::containerfile::Verb::Copy,
            origin: Origin::Named(name.to_ascii_lowercase()),
            sources: vec![Source {
                text: ".".to_owned(),
                parts: Vec::new(),
                pivot: 0,
            }],
            files: Vec::new(),
            remotes: Vec::new(),
            destination: "/".to_owned(),
            into_directory: true,
            owner: None,
            mode: None,
            excludes: Vec::new(),
            parents: false,
            checksum: None,
            keep_git: false,
            unpack: None,
        };
        let empty_layer = !self.copy(&step, &action)?;
        self.remember(step.text, empty_layer);
        Ok(())
    }

    /// Makes the tree of all layers anew.
    fn reread(&mut self) -> Result<(), BuildError> {
        let rootfs = self.build.rootfs(&self.stage)?;
        self.tree = Tree::new(Some(Arc::new(rootfs.read_index()?)));
        Ok(())
    }

    /// Carries out an instruction; tells whether its result was known.
    fn step(&mut self, step: Step, id: usize) -> Result<((), bool), BuildError> {
        self.cached = false;
        let config = &mut self.stage.config.config;
        let mut layer = false;
        match &step.action {
            Action::Arg => {}
            Action::Cmd(args) => {
                config.cmd = Some(args.clone());
                self.own_cmd = true;
            }
            Action::Copy(action) => layer = self.copy(&step, action)?,
            Action::Entrypoint(args) => {
                config.entrypoint.clone_from(args);
                if !self.own_cmd {
                    config.cmd = None;
                }
            }
            Action::Env(pairs) => {
                let env = config.env.get_or_insert_default();
                for (name, value) in pairs {
                    set_env(env, name, value);
                }
            }
            Action::Expose(ports) => {
                let ports = ports.iter().map(|port| (port.clone(), Empty {}));
                config.exposed_ports.extend(ports);
            }
            Action::Healthcheck(check) => config.healthcheck = Some(check.config()),
            Action::Label(pairs) => config.labels.extend(pairs.iter().cloned()),
            Action::Maintainer(name) => self.stage.config.author = Some(name.clone()),
            Action::OnBuild(trigger) => {
                config
                    .on_build
                    .get_or_insert_default()
                    .push(trigger.clone());
            }
            Action::Run(action) => layer = self.run(&step, action, id)?,
            Action::Shell(shell) => config.shell = Some(shell.clone()),
            Action::StopSignal(signal) => config.stop_signal = Some(signal.clone()),
            Action::User(user) => config.user = Some(user.clone()),
            Action::Volume(paths) => {
                let paths = paths.iter().map(|path| (path.clone(), Empty {}));
                config.volumes.extend(paths);
            }
            Action::Workdir(path) => {
                config.working_dir = Some(path.clone());
                let entries = copy::make_directory(path, &mut self.tree)
                    .map_err(|source| failed(&step, source))?;
                layer = self.add_entries(&step, &entries)?;
            }
        }
        self.remember(step.text, !layer);
        Ok(((), self.cached))
    }

    fn remember(&mut self, text: String, empty_layer: bool) {
        self.stage.config.history.push(History {
            created: Some(self.build.created.clone()),
            created_by: Some(text),
            empty_layer,
            ..History::default()
        });
    }

    /// Copies; tells whether that made a layer.
    fn copy(&mut self, step: &Step, action: &CopyAction) -> Result<bool, BuildError> {
        let build = self.build;
        let image;
        let files = match self.origin(&action.origin, step)? {
            Whose::Context(context) => Files::Context(context),
            Whose::Rootfs(rootfs) => {
                image = build.files(&rootfs)?;
                Files::Image(&image)
            }
        };
        let owner = self.owner(step, action)?;
        let fetched = remote::fetch(action, build.world.bases, &build.scratch)
            .map_err(|source| failed(step, source))?;
        let mut contexts = Vec::new();
        for one in &fetched {
            if let Fetched::Directory { dir, .. } = one {
                contexts.push(Context::whole(dir));
            }
        }
        let mut extras: Vec<copy::Extra<'_>> = Vec::new();
        for file in &action.files {
            extras.push(copy::Extra {
                name: file.name.clone().into_bytes(),
                shown: file.name.clone(),
                item: Item::text(&file.text),
            });
        }
        let mut directories = contexts.iter();
        for one in &fetched {
            let (name, url, item) = match one {
                Fetched::File {
                    name,
                    url,
                    path,
                    size,
                } => (name.as_str(), url, Item::file(path, *size, DOWNLOAD_MODE)),
                Fetched::Directory { url, .. } => match directories.next() {
                    Some(context) => ("", url, Item::root(context)),
                    None => continue,
                },
            };
            extras.push(copy::Extra {
                name: name.as_bytes().to_vec(),
                shown: url.clone(),
                item,
            });
        }
        let unpacks = action.verb == super::containerfile::Verb::Add
            && action.unpack.unwrap_or(action.remotes.is_empty());
        let wanted = Wanted {
            action,
            owner,
            extras,
            unpack: unpacks.then_some(&build.scratch),
        };
        let planned = copy::plan(wanted, files, &mut self.tree);
        let Some(entries) = planned.map_err(|source| failed(step, source))? else {
            // Docker says nothing. It is hardly ever meant.
            build.warn(format!(
                "{}: `{}` copies nothing: nothing matches",
                step.at, step.text
            ));
            return Ok(false);
        };
        self.add_entries(step, &entries)
    }

    /// Returns whose files `--from` means.
    fn origin(&self, origin: &Origin, step: &Step) -> Result<Whose<'b, 'a>, BuildError> {
        let build = self.build;
        let wanted = build.platform.as_ref();
        Ok(match origin {
            Origin::Context => Whose::Context(&build.context),
            Origin::Stage(stage) => Whose::Rootfs(build.rootfs(&*build.stage(*stage)?)?),
            Origin::Image(reference) => {
                Whose::Rootfs(build.rootfs_of(&*build.image(reference, wanted, &step.at)?)?)
            }
            Origin::Named(name) => match build.directories.get(name) {
                Some(context) => Whose::Context(context),
                None => {
                    let contexts = &build.world.request.contexts;
                    let named = contexts.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
                    match named {
                        Some((_, NamedContext::Image(reference))) => {
                            let image = build.image(reference, wanted, &step.at)?;
                            Whose::Rootfs(build.rootfs_of(&image)?)
                        }
                        // Directories have been opened, and no other name is taken for a context.
                        _ => return Err(BuildError::Stopped),
                    }
                }
            },
        })
    }

    fn owner(&self, step: &Step, action: &CopyAction) -> Result<Option<(u32, u32)>, BuildError> {
        let Some(owner) = &action.owner else {
            return Ok(None);
        };
        if let Some(numbers) = owner::plain(owner) {
            return Ok(Some(numbers));
        }
        let image: ImageFiles = self.build.files(&self.build.rootfs(&self.stage)?)?;
        let numbers = owner::numbers(owner, &image);
        numbers.map(Some).map_err(|source| failed(step, source))
    }

    /// Runs a program; tells whether that made a layer.
    fn run(&mut self, step: &Step, action: &RunAction, id: usize) -> Result<bool, BuildError> {
        let build = self.build;
        let rootfs = build.rootfs(&self.stage)?;
        let mut mounts = Vec::new();
        for mount in &action.mounts {
            let origin = match &mount.kind {
                MountKind::Bind { origin, .. } => Some(origin),
                MountKind::Cache { from, .. } => from.as_ref().map(|(origin, _)| origin),
                _ => None,
            };
            mounts.push(match origin {
                None => None,
                Some(origin) => Some(match self.origin(origin, step)? {
                    Whose::Rootfs(rootfs) => rootfs,
                    Whose::Context(context) => self.packed(step, Files::Context(context))?,
                }),
            });
        }
        let image = finish::unstored(&self.stage)?;
        let (owner, home) = owner::of_process(&action.user, &build.files(&rootfs)?)
            .map_err(|source| failed(step, source))?;
        let mut output = |error: bool, bytes: &[u8]| {
            let bytes = bytes.to_vec();
            build.say(BuildEvent::Output { id, error, bytes });
        };
        let run = RunStep {
            rootfs: &rootfs,
            diff_ids: &self.stage.config.rootfs.diff_ids,
            image: &image,
            owner,
            home,
            platform: &self.stage.platform,
            action,
            mounts: &mounts,
        };
        let key = cache::of_run(&run, build.world.request.source_date);
        if let Some(known) = self.known(&key) {
            return self.take_known(step, known);
        }
        let ran = build.world.runner.run(&run, &mut output);
        let ran = ran.map_err(|source| BuildError::Run {
            at: step.at.clone(),
            step: step.text.clone(),
            source,
        })?;
        if ran.code != 0 {
            return Err(BuildError::Exit {
                at: step.at.clone(),
                step: step.text.clone(),
                code: ran.code,
            });
        }
        self.add_changes(step, &key, &ran.changes)
    }

    /// Returns what an earlier build made of the same, if that may be used.
    fn known(&self, key: &Digest) -> Option<Known> {
        let world = self.build.world;
        let cache = world.request.cache.as_ref().filter(|_| !self.fresh)?;
        cache.get(key, world.store, world.layers)
    }

    /// Takes a known result; tells whether it is a layer.
    fn take_known(&mut self, step: &Step, known: Known) -> Result<bool, BuildError> {
        self.cached = true;
        match known {
            Known::Nothing => Ok(false),
            Known::Layer(layer) => {
                self.add_layer(step, *layer)?;
                if matches!(step.action, Action::Run(_)) {
                    self.reread()?;
                }
                Ok(true)
            }
        }
    }

    /// Remembers a result. A build does not fail because that cannot be done.
    fn learn(&self, step: &Step, key: &Digest, layer: Option<&WrittenLayer>) {
        let keep = matches!(step.action, Action::Run(_)) || !self.last;
        if let Some(cache) = &self.build.world.request.cache
            && let Err(error) = cache.put(key, layer, keep)
        {
            tracing::warn!(%error, "the result of a step cannot be remembered");
        }
    }

    /// Packs the files of a context, so that they can be mounted.
    fn packed(&self, step: &Step, files: Files<'_>) -> Result<Rootfs, BuildError> {
        let all = Source {
            text: ".".to_owned(),
            parts: Vec::new(),
            pivot: 0,
        };
        let mut entries = Entries::new();
        let mut tree = Tree::default();
        for chosen in files
            .choose(&all, false)
            .map_err(|source| failed(step, source))?
        {
            copy::everything(&chosen, &mut tree, &mut entries)
                .map_err(|source| failed(step, source))?;
        }
        let world = self.build.world;
        let diff_id = write::packed(&entries, world.request.source_date, world.layers)
            .map_err(|source| unwritten(step, source))?;
        Ok(world.layers.stack(&[diff_id])?)
    }

    /// Writes what a program changed; tells whether that made a layer.
    fn add_changes(
        &mut self,
        step: &Step,
        key: &Digest,
        changes: &Changes,
    ) -> Result<bool, BuildError> {
        if changes.list.is_empty() {
            self.learn(step, key, None);
            return Ok(false);
        }
        let world = self.build.world;
        let times = write::Times {
            source_date: world.request.source_date,
            started: self.build.started,
        };
        let layer = write::changes(&changes.list, times, world.store, world.layers)
            .map_err(|source| unwritten(step, source))?;
        self.learn(step, key, Some(&layer));
        self.add_layer(step, layer)?;
        self.reread()?;
        Ok(true)
    }

    /// Writes entries, if there are any; tells whether there were.
    fn add_entries(&mut self, step: &Step, entries: &Entries<'_>) -> Result<bool, BuildError> {
        if entries.is_empty() {
            return Ok(false);
        }
        let world = self.build.world;
        let key = match &world.request.cache {
            None => None,
            Some(_) => Some(
                cache::of_entries(entries, world.request.source_date).map_err(|source| {
                    failed(
                        step,
                        CopyError::Read {
                            path: step.text.clone(),
                            source,
                        },
                    )
                })?,
            ),
        };
        if let Some(known) = key.as_ref().and_then(|key| self.known(key)) {
            return self.take_known(step, known);
        }
        let layer = write::layer(
            entries,
            world.request.source_date,
            world.store,
            world.layers,
        )
        .map_err(|source| unwritten(step, source))?;
        if let Some(key) = &key {
            self.learn(step, key, Some(&layer));
        }
        self.add_layer(step, layer)?;
        Ok(true)
    }

    fn add_layer(&mut self, step: &Step, layer: WrittenLayer) -> Result<(), BuildError> {
        if self.stage.layers.len() >= Limits::LAYERS {
            return Err(BuildError::TooManyLayers {
                at: step.at.clone(),
                limit: Limits::LAYERS,
            });
        }
        self.build.say(BuildEvent::Layer {
            digest: Digest::of(&layer.descriptor).map_err(|source| ImageError::Digest {
                what: "the layer".to_owned(),
                source,
            })?,
            size: layer.descriptor.size(),
        });
        self.stage.config.rootfs.diff_ids.push(layer.diff_id);
        self.stage.layers.push(layer.descriptor);
        Ok(())
    }
}

/// Whose files are meant.
enum Whose<'b, 'a> {
    Context(&'b Context<'a>),
    Rootfs(Rootfs),
}

fn failed(step: &Step, source: CopyError) -> BuildError {
    BuildError::Step {
        at: step.at.clone(),
        step: step.text.clone(),
        source: Box::new(source),
    }
}

fn unwritten(step: &Step, source: crate::layer::LayerError) -> BuildError {
    BuildError::WriteLayer {
        at: step.at.clone(),
        step: step.text.clone(),
        source: Box::new(source),
    }
}
