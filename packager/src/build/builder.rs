//! The graph of stages: which are built, and when.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::containerfile::checks::Warning;
use super::containerfile::{Containerfile, Location};
use super::context::Context;
use super::error::BaseError;
use super::files::ImageFiles;
use super::plan::{BaseName, Options, Planner, Start};
use super::stage::Stage;
use super::{
    BaseImages, BuildError, BuildEvent, BuildRequest, Built, Fresh, NamedContext, StepRunner,
    containerfile, date, finish, stage,
};
use crate::image::{ContainerConfig, Image};
use crate::layer::{LayerStore, Rootfs, Scratch};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::Store;

/// What a build is given.
pub(super) struct World<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) store: &'a Store,
    pub(super) layers: &'a LayerStore,
    pub(super) bases: &'a dyn BaseImages,
    pub(super) runner: &'a dyn StepRunner,
    pub(super) progress: &'a (dyn Fn(BuildEvent) + Sync),
}

/// A build on its way. The threads of its stages share it.
pub(super) struct Build<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) file: &'a Containerfile,
    pub(super) planner: Planner<'a>,
    /// The stage that becomes the image.
    pub(super) target: usize,
    pub(super) context: Context<'a>,
    /// Contexts beside the main one that are directories, by name in lower case.
    pub(super) directories: HashMap<String, Context<'a>>,
    /// The platform of stages that name none, if the caller names none either.
    pub(super) platform: Option<Platform>,
    /// The time of the image, as config and history state it.
    pub(super) created: String,
    /// When the build began, seconds since 1970.
    pub(super) started: i64,
    pub(super) scratch: Scratch,
    slots: Vec<Slot>,
    /// Images that were fetched, by name and platform.
    images: Mutex<Images>,
    warnings: Mutex<Vec<String>>,
    failure: Mutex<Option<BuildError>>,
    stop: AtomicBool,
    steps: AtomicUsize,
}

/// Images by name and platform.
type Images = HashMap<(String, Option<Platform>), Arc<Image>>;

/// The place of one stage's result.
#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    /// Nobody has asked for it.
    #[default]
    Idle,
    /// A thread is building it.
    Busy,
    Done(Arc<Stage>),
    Failed,
}

/// See [`super::build`].
pub(super) fn run(world: &World<'_>) -> Result<Built, BuildError> {
    let request = world.request;
    let created = date::rfc3339(request.source_date).ok_or(BuildError::SourceDate {
        got: request.source_date,
    })?;
    check_names("build argument", &request.args)?;
    check_names("label", &request.labels)?;
    check_names("annotation", &request.annotations)?;
    let file = containerfile::parse(&request.dockerfile_name, &request.dockerfile)?;
    let host = Platform::host();
    let wasm = Platform::wasm();
    let names: Vec<String> = request.contexts.iter().map(|(n, _)| n.clone()).collect();
    let planner = Planner::new(
        &file,
        Options {
            args: &request.args,
            target: request.target.as_deref(),
            platform: request.platform.as_ref().unwrap_or(&wasm),
            build_platform: &host,
            contexts: &names,
        },
    )?;
    let target = planner.target()?;
    let mut directories = HashMap::new();
    for (name, context) in &request.contexts {
        if let NamedContext::Directory(dir) = context {
            let context = Context::open(dir, "Dockerfile")?;
            directories.insert(name.to_ascii_lowercase(), context);
        }
    }
    // From here on blobs are written or relied on.
    let _lease = world.store.lease()?;
    let build = Build {
        world,
        file: &file,
        target,
        context: Context::open(&request.context, &request.dockerfile_name)?,
        directories,
        platform: request.platform.clone(),
        created,
        started: seconds_now(),
        scratch: world.layers.scratch()?,
        slots: file.stages.iter().map(|_| Slot::default()).collect(),
        planner,
        images: Mutex::default(),
        warnings: Mutex::default(),
        failure: Mutex::default(),
        stop: AtomicBool::new(false),
        steps: AtomicUsize::new(0),
    };
    let stage = build.stage(target).map_err(|error| {
        let first = lock(&build.failure).take();
        first.unwrap_or(error)
    })?;
    for warning in file.warnings(&build.planner.undefined()) {
        let place = warning.place;
        build.warn(format!(
            "{}:{}:{}: {}: {}",
            file.name, place.line, place.column, warning.rule, warning.text
        ));
    }
    for name in build.planner.unused_args() {
        build.warn(format!(
            "build argument `{name}` is not used: no ARG names it"
        ));
    }
    let warnings = std::mem::take(&mut *lock(&build.warnings));
    let stage = Stage::clone(&stage);
    finish::write(world, stage, &build.created, warnings)
}

fn check_names(what: &'static str, pairs: &[(String, String)]) -> Result<(), BuildError> {
    for (name, value) in pairs {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let name = name.clone();
            return Err(BuildError::Argument { what, name });
        }
    }
    Ok(())
}

/// Nothing is left half-done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Build<'_> {
    /// Returns a stage: builds it in this thread, or waits for the one that does.
    ///
    /// A stage needs only stages above it, so nobody waits in a circle.
    pub(super) fn stage(&self, number: usize) -> Result<Arc<Stage>, BuildError> {
        let slot = &self.slots[number];
        let mut state = lock(&slot.state);
        loop {
            match &*state {
                State::Idle => break,
                State::Busy => {
                    state = slot
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                State::Done(stage) => return Ok(Arc::clone(stage)),
                State::Failed => return Err(BuildError::Stopped),
            }
        }
        *state = State::Busy;
        drop(state);
        let guard = FailOnPanic(slot);
        let built = self.build_stage(number);
        std::mem::forget(guard);
        let mut state = lock(&slot.state);
        let result = match built {
            Ok(stage) => {
                let stage = Arc::new(stage);
                *state = State::Done(Arc::clone(&stage));
                Ok(stage)
            }
            Err(error) => {
                *state = State::Failed;
                self.stop.store(true, Ordering::Relaxed);
                let mut failure = lock(&self.failure);
                if failure.is_none() && !matches!(error, BuildError::Stopped) {
                    *failure = Some(error);
                }
                Err(BuildError::Stopped)
            }
        };
        slot.changed.notify_all();
        result
    }

    /// Builds what a stage needs in threads of their own, and the stage in this one as far as it gets without them.
    fn build_stage(&self, number: usize) -> Result<Stage, BuildError> {
        let needs = self.planner.needs(number)?;
        std::thread::scope(|scope| {
            // The last one is as well built by whoever asks for it.
            let threads = needs.len() > 1 || self.starts_elsewhere(number, &needs);
            if threads {
                for need in needs {
                    std::thread::Builder::new()
                        .name(format!("stage-{need}"))
                        .spawn_scoped(scope, move || drop(self.stage(need)))
                        .map_err(BuildError::Thread)?;
                }
            }
            stage::build(self, number)
        })
    }

    /// Has the stage something to do before it needs another one?
    fn starts_elsewhere(&self, number: usize, needs: &std::collections::BTreeSet<usize>) -> bool {
        match self.planner.base(number) {
            Ok(base) => match base.name {
                BaseName::Stage(base) => !needs.contains(&base),
                _ => !needs.is_empty(),
            },
            Err(_) => false,
        }
    }

    /// Says that a step begins, and returns its number in events. Ends the thread's stage if another one has failed.
    pub(super) fn begin(
        &self,
        stage: usize,
        number: usize,
        total: usize,
        text: &str,
    ) -> Result<usize, BuildError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(BuildError::Stopped);
        }
        let id = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        let several = self.file.stages.len() > 1;
        (self.world.progress)(BuildEvent::Step {
            id,
            stage: several.then(|| self.file.stage_name(stage)),
            number,
            total,
            text: text.to_owned(),
        });
        Ok(id)
    }

    /// Are the steps of a stage carried out though their result is known?
    pub(super) fn is_fresh(&self, stage: usize) -> bool {
        match &self.world.request.fresh {
            Fresh::None => false,
            Fresh::All => true,
            Fresh::Stages(names) => names
                .iter()
                .any(|name| self.file.stage(name, self.file.stages.len()) == Some(stage)),
        }
    }

    pub(super) fn say(&self, event: BuildEvent) {
        (self.world.progress)(event);
    }

    pub(super) fn warn(&self, warning: String) {
        lock(&self.warnings).push(warning);
    }

    /// Returns an image, fetched once whatever the number of stages that name it.
    pub(super) fn image(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
        at: &Location,
    ) -> Result<Arc<Image>, BuildError> {
        let key = (reference.familiar(), platform.cloned());
        // Held meanwhile: two stages on one base are to fetch it once.
        let mut images = lock(&self.images);
        if let Some(image) = images.get(&key) {
            return Ok(Arc::clone(image));
        }
        let failed = |source| BuildError::Base {
            at: at.clone(),
            name: reference.familiar(),
            source,
        };
        let image = self.world.bases.fetch(reference, platform);
        let image = image.map_err(|error| failed(BaseError::Fetch(error)))?;
        image
            .tar_layers()
            .map_err(|source| failed(BaseError::Image(Box::new(source))))?;
        if let Some(platform) = platform
            && !image.platform().satisfies(platform)
        {
            return Err(failed(BaseError::Platform {
                got: image.platform().to_string(),
                want: platform.to_string(),
            }));
        }
        let image = Arc::new(image);
        images.insert(key, Arc::clone(&image));
        Ok(image)
    }

    /// Returns the files of an image that is in the store.
    pub(super) fn rootfs_of(&self, image: &Image) -> Result<Rootfs, BuildError> {
        Ok(self.world.layers.prepare(self.world.store, image)?)
    }

    /// Returns the files of a stage.
    pub(super) fn rootfs(&self, stage: &Stage) -> Result<Rootfs, BuildError> {
        Ok(self.world.layers.stack(&stage.config.rootfs.diff_ids)?)
    }

    pub(super) fn files(&self, rootfs: &Rootfs) -> Result<ImageFiles, BuildError> {
        Ok(ImageFiles::open(rootfs)?)
    }
}

fn seconds_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

/// A thread that panics must not leave others waiting.
struct FailOnPanic<'a>(&'a Slot);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        *lock(&self.0.state) = State::Failed;
        self.0.changed.notify_all();
    }
}

/// What an image that starts from nothing has in its config.
pub(super) fn scratch_config() -> ContainerConfig {
    ContainerConfig {
        env: Some(vec![super::plan::DEFAULT_PATH.to_owned()]),
        working_dir: Some("/".to_owned()),
        ..ContainerConfig::default()
    }
}

/// See [`super::check`].
pub(super) fn check(request: &BuildRequest) -> Result<(Vec<Warning>, bool), BuildError> {
    check_names("build argument", &request.args)?;
    let file = containerfile::parse(&request.dockerfile_name, &request.dockerfile)?;
    let names: Vec<String> = request.contexts.iter().map(|(n, _)| n.clone()).collect();
    let wasm = Platform::wasm();
    let host = Platform::host();
    let planner = Planner::new(
        &file,
        Options {
            args: &request.args,
            target: request.target.as_deref(),
            platform: request.platform.as_ref().unwrap_or(&wasm),
            build_platform: &host,
            contexts: &names,
        },
    )?;
    let mut args: Vec<Option<_>> = Vec::new();
    for stage in 0..=planner.target()? {
        let base = planner.base(stage)?;
        planner.needs(stage)?;
        // What an image sets is known only when it is here; then nothing can be said of variables.
        let inherited = match base.name {
            BaseName::Scratch => Some(Start::default()),
            BaseName::Stage(earlier) => args.get(earlier).cloned().flatten(),
            _ => None,
        };
        let start = match inherited {
            None => None,
            Some(start) => {
                let mut next = start.clone();
                let plan = planner.steps(stage, start, &base.platform)?;
                next.args = plan.args;
                for step in plan.steps {
                    if let super::plan::Action::Env(pairs) = step.action {
                        for (name, value) in pairs {
                            super::plan::set_env(&mut next.env, &name, &value);
                        }
                    }
                }
                Some(next)
            }
        };
        args.push(start);
    }
    let undefined = planner.undefined();
    Ok((file.warnings(&undefined), file.warnings_are_errors()))
}
