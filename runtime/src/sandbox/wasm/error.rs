//! What can fail before and around a run. What a guest does itself is an [`Outcome`](super::Outcome), not an error.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::program::LARGEST_PROGRAM;
use crate::policy::quantity::Size;
use crate::vfs::Errno;

/// Why a program could not be compiled or its compiled code not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The settings do not fit this machine.
    #[error("setting up the WebAssembly engine: {detail}")]
    Engine {
        /// What wasmtime says.
        detail: String,
    },
    /// The file is no WebAssembly.
    #[error("not a WebAssembly module or component: it starts with {start:02x?}")]
    NotWasm {
        /// Its first bytes, eight at most.
        start: Vec<u8>,
    },
    /// The file is too large to be compiled.
    #[error("WebAssembly file of {size} bytes, want at most {LARGEST_PROGRAM}")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// A function is too long to be compiled.
    #[error("WebAssembly function of {size} bytes, want at most {most}")]
    LongFunction {
        /// The size of its body in bytes.
        size: usize,
        /// The largest that is compiled.
        most: usize,
    },
    /// A component would make too many instances.
    #[error("WebAssembly component that makes more than {most} instances")]
    ManyInstances {
        /// The most that are made.
        most: u64,
    },
    /// Components are nested too deep.
    #[error("WebAssembly components nested more than {most} deep")]
    DeepComponent {
        /// The most levels.
        most: usize,
    },
    /// The bytes are not those that the caller named.
    #[error("WebAssembly file with SHA-256 {got}, want {want}")]
    WrongDigest {
        /// The digest of the bytes, in hex.
        got: String,
        /// The digest that was asked for, in hex.
        want: String,
    },
    /// The file is damaged, or uses what the engine doesn't support.
    #[error("compiling the WebAssembly {what}: {detail}")]
    Compile {
        /// "module" or "component".
        what: &'static str,
        /// What wasmtime says, with the place.
        detail: String,
    },
    /// The program's bytes could not be read.
    #[error("reading the program")]
    Read(#[source] Box<dyn Error + Send + Sync>),
    /// The cache could not be read or written.
    #[error("{doing} \"{path}\"")]
    Cache {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else could have written into the cache: compiled code from there is never executed.
    #[error(
        "\"{path}\" {problem}; compiled code is taken only from a place that nobody else can write"
    )]
    Untrusted {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Why a program was not run, or could not be run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The program's file can't be opened or read.
    #[error("opening program \"{path}\"")]
    Program {
        /// Its path in the guest.
        path: String,
        /// What the guest's file system says.
        source: Errno,
    },
    /// The working directory can't be opened.
    #[error("opening working directory \"{path}\"")]
    WorkingDirectory {
        /// Its path in the guest.
        path: String,
        /// What the guest's file system says.
        source: Errno,
    },
    /// An argument or variable can't be handed to a program.
    #[error(
        "{what} {value:?} has a NUL byte inside, or a variable's name has a \"=\" inside or is empty"
    )]
    InvalidText {
        /// "argument" or "environment variable".
        what: &'static str,
        /// The text.
        value: String,
    },
    /// The program can't be compiled or loaded.
    #[error("loading program \"{path}\"")]
    Load {
        /// Its path in the guest.
        path: String,
        /// Why.
        source: LoadError,
    },
    /// The program needs what this sandbox doesn't offer. Found before anything of it ran.
    #[error("program \"{path}\" imports what no WASI host has: {}", imports.join(", "))]
    UnknownImports {
        /// Its path in the guest.
        path: String,
        /// Each missing import; of very many, the first.
        imports: Vec<String>,
    },
    /// The program imports what the policy denies.
    #[error("program \"{path}\" imports \"{import}\", which is denied")]
    DeniedImport {
        /// Its path in the guest.
        path: String,
        /// The import.
        import: String,
    },
    /// The program is a library: there is nothing to start.
    #[error("program \"{path}\" is not a command: it has no \"{entry}\" to start it by; {hint}")]
    NotACommand {
        /// Its path in the guest.
        path: String,
        /// The entry point that was looked for.
        entry: &'static str,
        /// What it seems to be.
        hint: String,
    },
    /// The program has no function of that name.
    #[error("program \"{path}\" has no function \"{export}\"{}", listed(exports))]
    NoExport {
        /// Its path in the guest.
        path: String,
        /// The function that was asked for.
        export: String,
        /// Those that there are.
        exports: Vec<String>,
    },
    /// The arguments don't fit the function.
    #[error("calling \"{export}\" of program \"{path}\": {problem}")]
    Arguments {
        /// Its path in the guest.
        path: String,
        /// The function.
        export: String,
        /// What is wrong.
        problem: String,
    },
    /// The program answers HTTP requests, and there is no port on which to reach it.
    #[error("program \"{path}\" answers HTTP requests, and no port of it is published")]
    NoPort {
        /// Its path in the guest.
        path: String,
    },
    /// The second wall could not be raised.
    #[error("raising the second wall")]
    Wall(#[source] Box<dyn Error + Send + Sync>),
    /// The program can't be linked with the host, or its memory not be set up.
    #[error("starting program \"{path}\": {detail}")]
    Start {
        /// Its path in the guest.
        path: String,
        /// What wasmtime says.
        detail: String,
    },
    /// The program's memory is larger from the start than it may be.
    #[error("program \"{path}\" needs more memory to start than its limit of {limit}")]
    MemoryLimit {
        /// Its path in the guest.
        path: String,
        /// The limit.
        limit: Size,
    },
    /// The host failed, not the guest.
    #[error("{doing}")]
    Host {
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// Names some of a program's functions.
fn listed(functions: &[String]) -> String {
    /// Functions that are named; libraries have hundreds.
    const NAMED: usize = 20;
    if functions.is_empty() {
        return ", nor any other".to_owned();
    }
    let more = if functions.len() > NAMED { ", …" } else { "" };
    let named: Vec<&str> = functions.iter().take(NAMED).map(String::as_str).collect();
    format!("; it has {}{more}", named.join(", "))
}
