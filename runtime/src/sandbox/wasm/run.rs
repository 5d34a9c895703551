//! One run from start to end.
//!
//! The order matters. Before the second wall: the program's compiled code is mapped (afterwards nothing may become
//! executable), random generators are seeded, directories are opened. After it: linker, event loop, store, guest.

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::{self, Component};
use wasmtime::{Linker, Module, Store, UpdateDeadline};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::bind::preopen::{Start, from_root, preopens};
use super::bind::{p1, p2};
use super::engine::WasmEngine;
use super::error::{LoadError, RunError};
use super::exit::{Interrupted, Outcome, outcome};
use super::http;
use super::interrupt::Interrupt;
use super::invoke;
use super::limits::{Limiter, host_buffer};
use super::net::Network;
use super::pool::PoolSize;
use super::program::{LARGEST_PROGRAM, Program};
use super::throttle::{self, Throttle};
use crate::spec::{ContainerSpec, World};
use crate::sys;
use crate::vfs::{Errno, GuestFs, Node, OpenOptions};

/// The entry point of a module.
const START: &str = "_start";
/// The entry point of a component.
const RUN: &str = "wasi:cli/run@0.2";
/// What a component imports that sends HTTP requests.
const REQUESTS: &str = "wasi:http/outgoing-handler@0.2";
/// Imports named in an error; a program that was built for another host lacks dozens.
const NAMED_IMPORTS: usize = 8;

/// Runs a program to its end, on this thread.
///
/// `wall` raises the second wall: it is called once, when the program's code is mapped and all that needs the host's
/// files is open, and before anything of the guest runs. Not to be called inside an event loop: it has one of its own.
///
/// # Errors
/// When the program can't be run, or the host fails. What the guest does is an [`Outcome`].
pub fn run<E>(
    engine: &WasmEngine,
    fs: GuestFs,
    spec: &ContainerSpec,
    wall: &mut dyn FnMut() -> Result<(), E>,
) -> Result<Outcome, RunError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    run_then(engine, fs, spec, wall, &mut |_| {})
}

/// As [`run`], and calls `ended` as soon as the guest has ended, before its memory is given back: a caller that ends
/// the process there saves the time that takes.
///
/// # Errors
/// As [`run`]; `ended` is not called then.
pub fn run_then<E>(
    engine: &WasmEngine,
    fs: GuestFs,
    spec: &ContainerSpec,
    wall: &mut dyn FnMut() -> Result<(), E>,
    ended: &mut dyn FnMut(&Outcome),
) -> Result<Outcome, RunError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    check(spec)?;
    let (program, key) = load(engine, &fs, spec)?;
    if let Some(import) = program.denied_import(&spec.deny_interfaces) {
        return Err(RunError::DeniedImport {
            path: spec.program.clone(),
            import,
        });
    }
    let preopens = preopens(&fs, &spec.cwd).map_err(|source| RunError::WorkingDirectory {
        path: spec.cwd.clone(),
        source,
    })?;
    let job = Job {
        engine,
        key,
        spec,
        interrupt: engine.armed(),
        throttle: Cell::new(open_account(engine, spec)?),
    };
    let mut wall = || wall().map_err(|error| RunError::Wall(error.into()));
    match program {
        Program::Module(module) => job.module(&module, preopens, &mut wall, ended),
        Program::Component(component) => job.component(&component, preopens, &mut wall, ended),
    }
}

/// Has the guest's processor time counted, if it is limited. Before the second wall, behind which no timer can be set.
fn open_account(engine: &WasmEngine, spec: &ContainerSpec) -> Result<Option<Throttle>, RunError> {
    let throttle = Throttle::new(spec.limits.cpus)?;
    if throttle.is_some() {
        sys::step_epochs(engine.engine(), throttle::STEP).map_err(|source| RunError::Host {
            doing: "setting a timer for the guest's processor time",
            source,
        })?;
    }
    Ok(throttle)
}

fn check(spec: &ContainerSpec) -> Result<(), RunError> {
    let invalid = |what, value: &str| {
        Err(RunError::InvalidText {
            what,
            value: value.to_owned(),
        })
    };
    if let Some(argument) = spec.args.iter().find(|argument| argument.contains('\0')) {
        return invalid("argument", argument);
    }
    for (name, value) in &spec.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return invalid("environment variable", &format!("{name}={value}"));
        }
    }
    if !spec.cwd.starts_with('/') || spec.cwd.contains('\0') {
        return Err(RunError::WorkingDirectory {
            path: spec.cwd.clone(),
            source: Errno::Invalid,
        });
    }
    Ok(())
}

/// Maps the program's compiled code, and says under which key it is kept; reads the program itself only if there is none.
fn load(
    engine: &WasmEngine,
    fs: &GuestFs,
    spec: &ContainerSpec,
) -> Result<(Program, [u8; 32]), RunError> {
    let failed = |source| RunError::Load {
        path: spec.program.clone(),
        source,
    };
    let Some(sha256) = spec.program_sha256 else {
        let wasm = read(fs, spec)?;
        let sha256 = Sha256::digest(&wasm).into();
        let program = engine.load(&sha256, || Ok::<_, Infallible>(wasm));
        return Ok((program.map_err(failed)?, sha256));
    };
    let mut unread = None;
    let program = engine.load(&sha256, || {
        read(fs, spec).map_err(|error| {
            unread = Some(error);
            "the program can't be read"
        })
    });
    match program {
        Ok(program) => Ok((program, sha256)),
        Err(error) => Err(unread.unwrap_or_else(|| failed(error))),
    }
}

fn read(fs: &GuestFs, spec: &ContainerSpec) -> Result<Vec<u8>, RunError> {
    let failed = |source| RunError::Program {
        path: spec.program.clone(),
        source,
    };
    let path = from_root(&spec.cwd, &spec.program);
    let options = OpenOptions {
        read: true,
        follow: true,
        ..OpenOptions::default()
    };
    let file = match fs.root().open(&path, &options).map_err(failed)? {
        Node::File(file) => file,
        Node::Directory(_) => return Err(failed(Errno::IsDir)),
    };
    let size = file.stat().map_err(failed)?.size;
    if size > LARGEST_PROGRAM {
        return Err(RunError::Load {
            path: spec.program.clone(),
            source: LoadError::TooLarge { size },
        });
    }
    let mut wasm = vec![0; usize::try_from(size).map_err(|_| failed(Errno::NoMemory))?];
    let mut filled = 0;
    while let Some(rest) = wasm.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64).map_err(failed)? {
            // It was cut in the meantime.
            0 => break,
            count => filled = filled.saturating_add(count),
        }
    }
    wasm.truncate(filled);
    Ok(wasm)
}

pub(super) type Wall<'a> = &'a mut dyn FnMut() -> Result<(), RunError>;
pub(super) type Ended<'a> = &'a mut dyn FnMut(&Outcome);
pub(super) type Preopens = Vec<(&'static str, Start)>;

/// What both kinds of programs need.
pub(super) struct Job<'a> {
    pub(super) engine: &'a WasmEngine,
    /// Under which its compiled code is kept.
    key: [u8; 32],
    pub(super) spec: &'a ContainerSpec,
    pub(super) interrupt: Option<Interrupt>,
    throttle: Cell<Option<Throttle>>,
}

impl Job<'_> {
    fn module(
        &self,
        module: &Module,
        preopens: Preopens,
        wall: Wall<'_>,
        ended: Ended<'_>,
    ) -> Result<Outcome, RunError> {
        if let World::Invoke { export, args } = &self.spec.world {
            return self.invoke_module(export, args, module, preopens, wall, ended);
        }
        self.refuse(p1::missing(module))?;
        match module
            .get_export(START)
            .as_ref()
            .and_then(|export| export.func())
        {
            Some(func) if func.params().len() == 0 && func.results().len() == 0 => {}
            _ => {
                return Err(self.not_a_command(START, exports_hint(invoke::functions(module))));
            }
        }
        let guest = p1::Guest::new(self.spec, preopens, module, self.interrupt.clone());
        wall()?;

        let mut linker = Linker::new(self.engine.engine());
        p1::link(&mut linker, module, !self.spec.listeners.is_empty())
            .map_err(|error| self.start(&error))?;
        let mut store = self.store(guest, |guest| &mut guest.limiter)?;
        let outcome = self.drive(async {
            let instance = match linker.instantiate_async(&mut store, module).await {
                Ok(instance) => instance,
                Err(error) => return self.instantiation(&error, &store.data().limiter),
            };
            store.data_mut().memory = instance.get_memory(&mut store, "memory");
            let start = instance
                .get_typed_func::<(), ()>(&mut store, START)
                .map_err(|error| self.start(&error))?;
            Ok(match start.call_async(&mut store, ()).await {
                Ok(()) => Outcome::Exited(0),
                Err(error) => outcome(&error),
            })
        })?;
        let outcome = blame(outcome, &store.data().limiter);
        ended(&outcome);
        Ok(outcome)
    }

    fn component(
        &self,
        component: &Component,
        preopens: Preopens,
        wall: Wall<'_>,
        ended: Ended<'_>,
    ) -> Result<Outcome, RunError> {
        if let World::Invoke { export, args } = &self.spec.world {
            return self.invoke_component(export, args, component, preopens, wall, ended);
        }
        let engine = self.engine.engine();
        let exports = component.component_type();
        if !exports
            .exports(engine)
            .any(|(name, _)| name.starts_with(RUN))
        {
            if http::is_service(&exports, engine) {
                let outcome = self.service(component, preopens, wall)?;
                ended(&outcome);
                return Ok(outcome);
            }
            let functions = invoke::component_functions(component, engine);
            return Err(self.not_a_command(RUN, exports_hint(functions)));
        }
        let mut linker = component::Linker::new(engine);
        self.refuse(p2::link(&mut linker, engine, component).map_err(|error| self.start(&error))?)?;
        let guest = p2::Guest::new(
            self.spec,
            preopens,
            p2::Streams::new(self.spec, self.interrupt.as_ref()),
            self.network(component),
        );
        wall()?;

        let command = linker
            .instantiate_pre(component)
            .and_then(CommandPre::new)
            .map_err(|error| self.start(&error))?;
        let mut store = self.store(guest, |guest| &mut guest.limiter)?;
        store.set_hostcall_fuel(host_buffer(&self.spec.limits));
        let outcome = self.drive(async {
            let command = match command.instantiate_async(&mut store).await {
                Ok(command) => command,
                Err(error) => return self.instantiation(&error, &store.data().limiter),
            };
            Ok(match command.wasi_cli_run().call_run(&mut store).await {
                Ok(Ok(())) => Outcome::Exited(0),
                Ok(Err(())) => Outcome::Exited(1),
                Err(error) => outcome(&error),
            })
        })?;
        let outcome = blame(outcome, &store.data().limiter);
        ended(&outcome);
        Ok(outcome)
    }

    /// Gets ready what a component needs for the network, before the second wall.
    pub(super) fn network(&self, component: &Component) -> Arc<Network> {
        let imports = component.component_type();
        let requests = imports
            .imports(self.engine.engine())
            .any(|(name, _)| name.starts_with(REQUESTS));
        Network::new(self.spec, requests)
    }

    /// Serves a component that answers HTTP requests.
    fn service(
        &self,
        component: &Component,
        preopens: Preopens,
        wall: Wall<'_>,
    ) -> Result<Outcome, RunError> {
        let engine = self.engine.engine();
        let mut linker = component::Linker::new(engine);
        self.refuse(p2::link(&mut linker, engine, component).map_err(|error| self.start(&error))?)?;
        if http::listeners(self.spec).is_empty() {
            return Err(RunError::NoPort {
                path: self.spec.program.clone(),
            });
        }
        let (drain, open_files) = (self.engine.drain()?, http::open_files());
        let network = self.network(component);
        let size = match self.spec.limits.memory {
            Some(_) => PoolSize::SMALL,
            None => PoolSize::AMPLE,
        };
        let pooled = self.engine.pooled(&self.key, component, size);
        let streams = p2::Streams::new(self.spec, self.interrupt.as_ref());
        wall()?;
        let proxy = |linker: &component::Linker<p2::Guest>, component| {
            linker
                .instantiate_pre(component)
                .and_then(ProxyPre::new)
                .map_err(|error| self.start(&error))
        };
        let pool = match &pooled {
            Some(component) => {
                let mut linker = component::Linker::new(component.engine());
                p2::link(&mut linker, component.engine(), component)
                    .map_err(|error| self.start(&error))?;
                Some(http::Pool::new(proxy(&linker, component)?, size.places))
            }
            None => None,
        };
        let proxy = proxy(&linker, component)?;
        http::Service {
            proxy,
            pool,
            streams,
            spec: self.spec.clone(),
            preopens,
            network,
            interrupt: self.interrupt.clone(),
            drain,
            throttle: self.throttle.take(),
            open_files,
        }
        .serve()
    }

    pub(super) fn store<T: Send + 'static>(
        &self,
        guest: T,
        limiter: impl Fn(&mut T) -> &mut Limiter + Send + Sync + 'static,
    ) -> Result<Store<T>, RunError> {
        let mut store = Store::new(self.engine.engine(), guest);
        store.limiter(move |guest| limiter(guest));
        if let Some(fuel) = self.spec.limits.fuel {
            store.set_fuel(fuel).map_err(|error| self.start(&error))?;
        }
        // One step of the epoch asks the callback; without an interrupt and a limit nobody makes a step.
        store.set_epoch_deadline(1);
        let interrupt = self.interrupt.clone();
        let mut throttle = self.throttle.take();
        if interrupt.is_some() || throttle.is_some() {
            store.epoch_deadline_callback(move |_| {
                if interrupt.as_ref().is_some_and(Interrupt::is_raised) {
                    return Err(Interrupted.into());
                }
                let owed = throttle.as_mut().map(Throttle::settle).unwrap_or_default();
                Ok(if owed.is_zero() {
                    UpdateDeadline::Continue(1)
                } else {
                    UpdateDeadline::YieldCustom(1, Box::pin(tokio::time::sleep(owed)))
                })
            });
        }
        Ok(store)
    }

    /// Drives a guest to its end, or until it is interrupted.
    pub(super) fn drive(
        &self,
        guest: impl Future<Output = Result<Outcome, RunError>>,
    ) -> Result<Outcome, RunError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| RunError::Host {
                doing: "making an event loop",
                source,
            })?;
        runtime.block_on(async {
            let Some(interrupt) = &self.interrupt else {
                return guest.await;
            };
            tokio::select! {
                biased;
                () = interrupt.raised() => Ok(Outcome::Interrupted),
                outcome = guest => outcome,
            }
        })
    }

    /// Tells a guest that ended while it was set up (a module may have a start function) from one that can't be.
    pub(super) fn instantiation(
        &self,
        error: &wasmtime::Error,
        limiter: &Limiter,
    ) -> Result<Outcome, RunError> {
        match (outcome(error), self.spec.limits.memory) {
            (Outcome::Trapped { .. }, limit)
                if error.downcast_ref::<wasmtime::Trap>().is_none() =>
            {
                match limit.filter(|_| limiter.has_refused()) {
                    Some(limit) => Err(RunError::MemoryLimit {
                        path: self.spec.program.clone(),
                        limit,
                    }),
                    None => Err(self.start(error)),
                }
            }
            (outcome, _) => Ok(outcome),
        }
    }

    pub(super) fn refuse(&self, missing: Vec<String>) -> Result<(), RunError> {
        if missing.is_empty() {
            return Ok(());
        }
        let quoted = missing.iter().map(|import| format!("\"{import}\""));
        let mut missing: Vec<String> = quoted.collect();
        let more = missing.len().saturating_sub(NAMED_IMPORTS);
        if more > 0 {
            missing.truncate(NAMED_IMPORTS);
            missing.push(format!("and {more} more"));
        }
        Err(RunError::UnknownImports {
            path: self.spec.program.clone(),
            imports: missing,
        })
    }

    fn not_a_command(&self, entry: &'static str, hint: String) -> RunError {
        RunError::NotACommand {
            path: self.spec.program.clone(),
            entry,
            hint,
        }
    }

    pub(super) fn start(&self, error: &wasmtime::Error) -> RunError {
        RunError::Start {
            path: self.spec.program.clone(),
            detail: format!("{error:#}"),
        }
    }
}

/// Says whether a guest ended because it was refused memory.
pub(super) fn blame(outcome: Outcome, limiter: &Limiter) -> Outcome {
    if limiter.has_refused() {
        outcome.after_refused_memory()
    } else {
        outcome
    }
}

/// Says what a program has that has no entry point.
fn exports_hint(mut functions: Vec<String>) -> String {
    if functions.is_empty() {
        return "it has no function that could be called".to_owned();
    }
    let more = if functions.len() > NAMED_IMPORTS {
        ", …"
    } else {
        ""
    };
    functions.truncate(NAMED_IMPORTS);
    format!("it is a library with {}{more}", functions.join(", "))
}
