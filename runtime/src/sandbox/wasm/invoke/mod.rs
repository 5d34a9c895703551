//! Calling one exported function: of a module, or of a component.
//!
//! Arguments are plain text, one each; results are written to the guest's standard output, one a line.

mod value;

use std::io::IoSlice;

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{self, Component, ComponentExportIndex};
use wasmtime::{FuncType, Linker, Module, Val};

use super::bind::{p1, p2};
use super::error::RunError;
use super::exit::{Outcome, outcome};
use super::limits::host_buffer;
use super::run::{Ended, Job, Preopens, Wall, blame};
use super::stdio::Output;

/// What a module without a start has instead: it is called once, before any other function.
const INITIALIZE: &str = "_initialize";
/// Between the interface that a component exports and the function in it.
const SEPARATOR: char = '#';

impl Job<'_> {
    /// Calls a function of a module.
    pub(super) fn invoke_module(
        &self,
        export: &str,
        args: &[String],
        module: &Module,
        preopens: Preopens,
        wall: Wall<'_>,
        ended: Ended<'_>,
    ) -> Result<Outcome, RunError> {
        self.refuse(p1::missing(module))?;
        let Some(ty) = function(module, export) else {
            return Err(self.no_export(export, functions(module)));
        };
        let args = self.arguments(export, args, ty.params(), |text, ty| value::core(text, &ty))?;
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
            let call = async {
                if export != INITIALIZE
                    && let Some(initialize) = instance.get_func(&mut store, INITIALIZE)
                {
                    let initialize = initialize.typed::<(), ()>(&store)?;
                    initialize.call_async(&mut store, ()).await?;
                }
                let func = instance
                    .get_func(&mut store, export)
                    .ok_or_else(|| wasmtime::format_err!("its function is not there"))?;
                let mut results = vec![Val::I32(0); ty.results().len()];
                func.call_async(&mut store, &args, &mut results).await?;
                Ok(results)
            };
            Ok(match call.await {
                Ok(results) => self.print(results.iter().map(value::core_text)),
                Err(error) => outcome(&error),
            })
        })?;
        let outcome = blame(outcome, &store.data().limiter);
        ended(&outcome);
        Ok(outcome)
    }

    /// Calls a function of a component.
    pub(super) fn invoke_component(
        &self,
        export: &str,
        args: &[String],
        component: &Component,
        preopens: Preopens,
        wall: Wall<'_>,
        ended: Ended<'_>,
    ) -> Result<Outcome, RunError> {
        let engine = self.engine.engine();
        let mut linker = component::Linker::new(engine);
        self.refuse(p2::link(&mut linker, engine, component).map_err(|error| self.start(&error))?)?;
        let Found { index, ty } = self.find(component, export)?;
        let args = self.arguments(export, args, ty.params().map(|(_, ty)| ty), |text, ty| {
            value::component(text, &ty)
        })?;
        let guest = p2::Guest::new(
            self.spec,
            preopens,
            p2::Streams::new(self.spec, self.interrupt.as_ref()),
            self.network(component),
        );
        wall()?;
        let pre = linker
            .instantiate_pre(component)
            .map_err(|error| self.start(&error))?;
        let mut store = self.store(guest, |guest| &mut guest.limiter)?;
        store.set_hostcall_fuel(host_buffer(&self.spec.limits));
        let outcome = self.drive(async {
            let instance = match pre.instantiate_async(&mut store).await {
                Ok(instance) => instance,
                Err(error) => return self.instantiation(&error, &store.data().limiter),
            };
            let func = instance
                .get_func(&mut store, index)
                .ok_or_else(|| self.start(&wasmtime::format_err!("its function is not there")))?;
            let mut results = vec![component::Val::Bool(false); ty.results().len()];
            Ok(
                match func.call_async(&mut store, &args, &mut results).await {
                    Ok(()) => self.print(results.iter().map(value::component_line)),
                    Err(error) => outcome(&error),
                },
            )
        })?;
        let outcome = blame(outcome, &store.data().limiter);
        ended(&outcome);
        Ok(outcome)
    }

    /// Reads the arguments as the parameters want them.
    fn arguments<T, V>(
        &self,
        export: &str,
        args: &[String],
        params: impl ExactSizeIterator<Item = T>,
        read: impl Fn(&str, T) -> Result<V, String>,
    ) -> Result<Vec<V>, RunError> {
        let failed = |problem| RunError::Arguments {
            path: self.spec.program.clone(),
            export: export.to_owned(),
            problem,
        };
        if args.len() != params.len() {
            return Err(failed(format!(
                "got {} arguments, want {}",
                args.len(),
                params.len()
            )));
        }
        params
            .zip(args)
            .enumerate()
            .map(|(at, (ty, text))| {
                read(text, ty).map_err(|problem| failed(format!("argument {}: {problem}", at + 1)))
            })
            .collect()
    }

    /// Writes results; the guest has ended well even if nobody reads them.
    fn print(&self, lines: impl Iterator<Item = String>) -> Outcome {
        let output = Output::stdout(&self.spec.stdout, self.interrupt.clone());
        for line in lines {
            let mut line = line.into_bytes();
            line.push(b'\n');
            let mut rest = &line[..];
            while !rest.is_empty() {
                match output.write(&[IoSlice::new(rest)]) {
                    Ok(count) if count > 0 => rest = rest.get(count..).unwrap_or_default(),
                    _ => return Outcome::Exited(0),
                }
            }
        }
        Outcome::Exited(0)
    }

    /// Finds a function by its name, or by its interface's and its own.
    fn find(&self, component: &Component, export: &str) -> Result<Found, RunError> {
        let all = all(component, self.engine.engine());
        let mut matching = all.iter().filter(|(name, _)| {
            name == export
                || name
                    .rsplit_once(SEPARATOR)
                    .is_some_and(|(_, name)| name == export)
        });
        let found = matching.next();
        let others: Vec<String> = matching.map(|(name, _)| name.clone()).collect();
        let Some((name, ty)) = found else {
            return Err(self.no_export(export, all.into_iter().map(|(name, _)| name).collect()));
        };
        if let Some(exact) = others.first().filter(|_| name != export) {
            return Err(RunError::Arguments {
                path: self.spec.program.clone(),
                export: export.to_owned(),
                problem: format!("it may be \"{name}\" or \"{exact}\""),
            });
        }
        let index = match name.split_once(SEPARATOR) {
            Some((interface, function)) => component
                .get_export_index(None, interface)
                .and_then(|instance| component.get_export_index(Some(&instance), function)),
            None => component.get_export_index(None, name),
        };
        match index {
            Some(index) => Ok(Found {
                index,
                ty: ty.clone(),
            }),
            None => Err(self.no_export(export, Vec::new())),
        }
    }

    fn no_export(&self, export: &str, exports: Vec<String>) -> RunError {
        RunError::NoExport {
            path: self.spec.program.clone(),
            export: export.to_owned(),
            exports,
        }
    }
}

/// A component's function.
struct Found {
    index: ComponentExportIndex,
    ty: ComponentFunc,
}

/// Returns all functions of a component, by name; those of interfaces as `interface#function`.
fn all(component: &Component, engine: &wasmtime::Engine) -> Vec<(String, ComponentFunc)> {
    let mut all = Vec::new();
    for (name, export) in component.component_type().exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(ty) => all.push((name.to_owned(), ty)),
            ComponentItem::ComponentInstance(instance) => {
                for (function, export) in instance.exports(engine) {
                    if let ComponentItem::ComponentFunc(ty) = export.ty {
                        all.push((format!("{name}{SEPARATOR}{function}"), ty));
                    }
                }
            }
            _ => {}
        }
    }
    all
}

/// Returns the names of a component's functions.
pub(super) fn component_functions(component: &Component, engine: &wasmtime::Engine) -> Vec<String> {
    all(component, engine)
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

/// Returns the names of a module's functions, but those that tools put there for the host.
pub(super) fn functions(module: &Module) -> Vec<String> {
    let for_the_host =
        |name: &str| matches!(name, INITIALIZE | "cabi_realloc") || name.starts_with("__");
    module
        .exports()
        .filter(|export| export.ty().func().is_some() && !for_the_host(export.name()))
        .map(|export| export.name().to_owned())
        .collect()
}

fn function(module: &Module, name: &str) -> Option<FuncType> {
    module.get_export(name)?.func().cloned()
}
