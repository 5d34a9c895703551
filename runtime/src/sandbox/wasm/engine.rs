//! wasmtime's settings, and compiled code: made once, loaded afterwards.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use super::bind::p2;
use super::cache::{Cache, CheckedCode, hex};
use super::error::{LoadError, RunError};
use super::host;
use super::http::Drain;
use super::interrupt::Interrupt;
use super::link::{self, LinkError, Linked, Part};
use super::pool::{self, PoolSize};
use super::program::{LARGEST_PROGRAM, Program, WasmKind, detect};
use super::shape;

/// Stack of a guest, in bytes: what Linux gives a program's main thread. Interpreters that recurse need it.
const GUEST_STACK: usize = 8 << 20;
/// What host functions may use of the stack below the guest, in bytes.
const HOST_STACK: usize = 2 << 20;
/// Below this limit of addresses, in bytes, memories are reserved small: sixteen of the usual 4 GiB reservations and the
/// process itself would not fit. Programs of several modules have that many.
const AMPLE_ADDRESSES: u64 = 64 << 30;
/// What a memory reserves under a limit, in bytes.
const SMALL_RESERVATION: u64 = 16 << 20;
/// A memory that outgrows this is moved to a place with room to grow by one part in so many of all addresses. Each move copies
/// it: small steps would make a program crawl that grows to hundreds of megabytes page by page.
const GROWTHS: u64 = 16;
/// The unmapped region behind such a memory, in bytes.
const SMALL_GUARD: u64 = 64 << 10;

/// Compiles, keeps and loads programs. One serves any number of runs.
pub struct WasmEngine {
    engine: Engine,
    cache: Cache,
    metering: Metering,
    preloaded: Mutex<Option<([u8; 32], Program)>>,
    interrupt: OnceLock<Interrupt>,
    drain: OnceLock<Drain>,
}

impl WasmEngine {
    /// Makes an engine whose compiled code is kept under the directory `cache`, which need not exist yet.
    ///
    /// # Errors
    /// [`LoadError::Engine`] when the settings don't fit this machine.
    pub fn new(cache: &Path) -> Result<Self, LoadError> {
        Self::with(cache, Metering::Off)
    }

    /// Makes an engine whose guests count their instructions, for those that have a limit on them. That takes other code,
    /// which is kept beside the usual one.
    ///
    /// # Errors
    /// As [`WasmEngine::new`].
    pub fn metered(cache: &Path) -> Result<Self, LoadError> {
        Self::with(cache, Metering::On)
    }

    fn with(cache: &Path, metering: Metering) -> Result<Self, LoadError> {
        let engine = engine(Compiler::None, metering)?;
        let cache = Cache::new(cache, &engine);
        Ok(Self {
            engine,
            cache,
            metering,
            preloaded: Mutex::new(None),
            interrupt: OnceLock::new(),
            drain: OnceLock::new(),
        })
    }

    /// Returns wasmtime's engine.
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the directory of the compiled code that fits this engine, which need not exist yet.
    pub fn directory(&self) -> &Path {
        self.cache.directory()
    }

    /// Returns the handle that ends this engine's guests. To be asked for before [`run`](super::run()).
    ///
    /// # Errors
    /// [`RunError::Host`] when the system has no descriptors left.
    pub fn interrupt(&self) -> Result<Interrupt, RunError> {
        if let Some(interrupt) = self.interrupt.get() {
            return Ok(interrupt.clone());
        }
        let interrupt = Interrupt::new(&self.engine)?;
        Ok(self.interrupt.get_or_init(|| interrupt).clone())
    }

    /// Returns that handle if somebody has asked for it.
    pub(super) fn armed(&self) -> Option<Interrupt> {
        self.interrupt.get().cloned()
    }

    /// Returns the handle that ends an HTTP service of this engine in peace. Other programs do not hear it.
    ///
    /// # Errors
    /// [`RunError::Host`] when the system has no descriptors left.
    pub fn drain(&self) -> Result<Drain, RunError> {
        if let Some(drain) = self.drain.get() {
            return Ok(drain.clone());
        }
        let drain = Drain::new()?;
        Ok(self.drain.get_or_init(|| drain).clone())
    }

    /// Says whether compiled code for the program with this digest is there.
    ///
    /// # Errors
    /// [`LoadError::Untrusted`] when others could have written it.
    pub fn is_prepared(&self, sha256: &[u8; 32]) -> Result<bool, LoadError> {
        self.cache.contains(sha256)
    }

    /// Maps a program's compiled code for the [`run`](super::run()) that comes next, and says whether there is any.
    ///
    /// # Errors
    /// As [`WasmEngine::is_prepared`].
    pub fn preload(&self, sha256: &[u8; 32]) -> Result<bool, LoadError> {
        let program = self.cache.load(&self.engine, sha256)?;
        let found = program.is_some();
        *self.preloaded() = program.map(|program| (*sha256, program));
        Ok(found)
    }

    fn preloaded(&self) -> MutexGuard<'_, Option<([u8; 32], Program)>> {
        // Whoever panicked while holding it left a whole value.
        self.preloaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes compiled code of programs that are not among these. One that is needed after all is compiled again.
    ///
    /// # Errors
    /// [`LoadError::Cache`] when the cache can't be read or changed.
    pub fn keep(&self, programs: &BTreeSet<[u8; 32]>) -> Result<(), LoadError> {
        self.cache.keep(programs)
    }

    /// Reads all compiled code that fits this engine, and says what cannot be used or is not what was compiled.
    ///
    /// # Errors
    /// [`LoadError::Cache`] when the cache can't be read.
    pub fn check(&self) -> Result<CheckedCode, LoadError> {
        self.cache.check()
    }

    /// Compiles a program into the cache, unless it is there, on all processors.
    ///
    /// That leaves threads behind which wait for the next compilation, and the second wall is raised only around a process
    /// of one thread: prepare in another process than the one that runs.
    ///
    /// # Errors
    /// When `wasm` is no valid WebAssembly or not the bytes with this digest, and when the cache can't be written.
    pub fn prepare(&self, sha256: &[u8; 32], wasm: &[u8]) -> Result<(), LoadError> {
        if self.is_prepared(sha256)? {
            return Ok(());
        }
        self.compile(Compiler::Parallel, sha256, wasm)
    }

    /// Links a program with what it needs of these libraries, which lie in `folder`. `None` if it needs none of them.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn link(
        &self,
        program: &Part,
        libraries: &[Part],
        folder: &str,
    ) -> Result<Option<Linked>, LinkError> {
        let is_hosts = |import: &str| p2::has(&self.engine, import);
        link::link(program, libraries, folder, &is_hosts)
    }

    /// As [`WasmEngine::prepare`], for a program that may need libraries. `key` is that of all parts, from [`link::key`].
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn prepare_linked(
        &self,
        key: &[u8; 32],
        program: &Part,
        libraries: &[Part],
        folder: &str,
    ) -> Result<(), LinkError> {
        let digest = |part: &Part| -> [u8; 32] { Sha256::digest(&part.bytes).into() };
        check_key(
            &link::key(&digest(program), libraries.iter().map(digest)),
            key,
        )?;
        let linked = self.link(program, libraries, folder)?;
        let wasm = linked
            .as_ref()
            .map_or(&program.bytes, |linked| &linked.bytes);
        Ok(self.compile_as(Compiler::Parallel, key, wasm)?)
    }

    /// Maps a program's compiled code; compiles what `read` returns if there is none, or if it is damaged. That is slower than
    /// [`WasmEngine::prepare`], because it makes no threads.
    ///
    /// # Errors
    /// As [`WasmEngine::prepare`], and [`LoadError::Read`] with what `read` says.
    pub fn load<E>(
        &self,
        sha256: &[u8; 32],
        read: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Program, LoadError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        if let Some((_, program)) = self.preloaded().take_if(|(known, _)| known == sha256) {
            return Ok(program);
        }
        if let Some(program) = self.cache.load(&self.engine, sha256)? {
            return Ok(program);
        }
        let wasm = read().map_err(|error| LoadError::Read(error.into()))?;
        self.compile(Compiler::Serial, sha256, &wasm)?;
        // From the file again, so that the code's pages are shared with every later run.
        self.cache
            .load(&self.engine, sha256)?
            .ok_or_else(|| LoadError::Compile {
                what: "program",
                detail: "the compiled code can't be loaded again".to_owned(),
            })
    }

    /// Returns the same component with a pool of memory for its instances, if there can be one. To be called before the second wall.
    pub(super) fn pooled(
        &self,
        key: &[u8; 32],
        component: &Component,
        size: PoolSize,
    ) -> Option<Component> {
        let engine = pool::engine(settings(Compiler::None, self.metering), component, size)?;
        // What does not fit a pool, the engine does not take.
        match self.cache.map(&engine, key)? {
            Program::Component(component) => Some(component),
            Program::Module(_) => None,
        }
    }

    fn compile(&self, compiler: Compiler, sha256: &[u8; 32], wasm: &[u8]) -> Result<(), LoadError> {
        check_key(&Sha256::digest(wasm).into(), sha256)?;
        self.compile_as(compiler, sha256, wasm)
    }

    fn compile_as(&self, compiler: Compiler, key: &[u8; 32], wasm: &[u8]) -> Result<(), LoadError> {
        let size = wasm.len() as u64;
        if size > LARGEST_PROGRAM {
            return Err(LoadError::TooLarge { size });
        }
        let kind = detect(wasm).ok_or_else(|| LoadError::NotWasm {
            start: wasm.iter().take(8).copied().collect(),
        })?;
        shape::check(wasm)?;
        let engine = engine(compiler, self.metering)?;
        let (what, code) = match kind {
            WasmKind::Module => ("module", engine.precompile_module(wasm)),
            WasmKind::Component => ("component", engine.precompile_component(wasm)),
        };
        let code = code.map_err(|error| LoadError::Compile {
            what,
            detail: format!("{error:#}"),
        })?;
        self.cache.store(key, &code)
    }
}

/// Sees to it that compiled code is kept for what it was made of. A wrong key would hand it to everyone who asks for the other
/// program.
fn check_key(got: &[u8; 32], want: &[u8; 32]) -> Result<(), LoadError> {
    if got == want {
        return Ok(());
    }
    Err(LoadError::WrongDigest {
        got: hex(got),
        want: hex(want),
    })
}

/// How an engine compiles, if it does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compiler {
    /// It only loads. Setting a compiler up takes 0.2 ms, a fifth of the run of a small program.
    None,
    /// On this thread.
    Serial,
    /// On all processors.
    Parallel,
}

/// Does compiled code count its instructions? It is slower then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Metering {
    Off,
    On,
}

fn settings(compiler: Compiler, metering: Metering) -> Config {
    let mut config = config(host::address_space());
    config
        .enable_compiler(compiler != Compiler::None)
        .parallel_compilation(compiler == Compiler::Parallel)
        .consume_fuel(metering == Metering::On);
    config
}

fn engine(compiler: Compiler, metering: Metering) -> Result<Engine, LoadError> {
    Engine::new(&settings(compiler, metering)).map_err(|error| LoadError::Engine {
        detail: format!("{error:#}"),
    })
}

/// The settings, for a process that may use so many bytes of addresses. WebAssembly's proposals stay as wasmtime has them;
/// the rest is for a short start.
fn config(address_space: Option<u64>) -> Config {
    let mut config = Config::new();
    config
        // So that a limit or a signal can end a guest that never calls the host.
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(GUEST_STACK + HOST_STACK)
        // What only debuggers and backtraces need: the files are a third smaller without, and load 0.3 ms sooner.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .debug_symbols(false)
        // Windows cannot unwind through a trap without it.
        .native_unwind_info(cfg!(windows))
        // Only components of WASI 0.3 use it, and they are not bound yet.
        .concurrency_support(false);
    if let Some(limit) = address_space.filter(|limit| *limit < AMPLE_ADDRESSES) {
        config
            .memory_reservation(SMALL_RESERVATION)
            .memory_reservation_for_growth((limit / GROWTHS).max(SMALL_RESERVATION))
            .memory_guard_size(SMALL_GUARD);
    }
    config
}
