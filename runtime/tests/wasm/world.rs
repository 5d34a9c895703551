//! A place to run guests in: an image, a private upper, a cache, and files that catch the output.

use std::convert::Infallible;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use coracle_runtime::sandbox::wasm::{Outcome, RunError, WasmEngine, run};
use coracle_runtime::spec::{ContainerSpec, Output};
use coracle_runtime::vfs::{DirLower, GuestFs};
use tempfile::TempDir;

/// Where the program lies in the image.
pub(crate) const PROGRAM: &str = "/program.wasm";

pub(crate) struct World {
    temp: TempDir,
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) result: Result<Outcome, RunError>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Ran {
    /// The exit code of a guest that must have ended by itself.
    pub(crate) fn code(&self) -> u8 {
        match &self.result {
            Ok(Outcome::Exited(code)) => *code,
            other => panic!(
                "ended otherwise: {other:?}, stderr {}",
                String::from_utf8_lossy(&self.stderr)
            ),
        }
    }

    /// The message of a guest that must have trapped.
    pub(crate) fn trap(&self) -> &str {
        match &self.result {
            Ok(Outcome::Trapped { message }) => message,
            other => panic!("ended otherwise: {other:?}"),
        }
    }

    /// The error of a guest that must not have run, with its causes.
    pub(crate) fn refusal(&self) -> String {
        let Err(error) = &self.result else {
            panic!("it ran: {:?}", self.result)
        };
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().expect("a temporary directory");
        for name in ["image", "upper", "work"] {
            fs::create_dir(temp.path().join(name)).expect("a new directory");
        }
        Self { temp }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Puts a file into the image.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path("image").join(path);
        fs::create_dir_all(path.parent().expect("inside the image")).expect("directories");
        fs::write(path, content).expect("a file");
        self
    }

    /// Puts a directory into the image.
    pub(crate) fn dir(self, path: &str) -> Self {
        fs::create_dir_all(self.path("image").join(path)).expect("directories");
        self
    }

    /// Puts a symbolic link into the image.
    pub(crate) fn symlink(self, target: &str, path: &str) -> Self {
        std::os::unix::fs::symlink(target, self.path("image").join(path)).expect("a link");
        self
    }

    pub(crate) fn engine(&self) -> WasmEngine {
        WasmEngine::new(&self.path("cache")).expect("an engine")
    }

    pub(crate) fn fs(&self) -> GuestFs {
        let open = |name| {
            Dir::open_ambient_dir(self.path(name), ambient_authority()).expect("a directory")
        };
        GuestFs::builder(Arc::new(DirLower::new(open("image"))))
            .upper(open("upper"), open("work"))
            .build()
            .expect("a file system")
    }

    /// Runs a program, given as text or binary, with what `edit` makes of the specification.
    pub(crate) fn run(
        &self,
        program: impl AsRef<[u8]>,
        edit: impl FnOnce(&mut ContainerSpec),
    ) -> Ran {
        self.run_on(&self.engine(), program, edit)
    }

    pub(crate) fn run_on(
        &self,
        engine: &WasmEngine,
        program: impl AsRef<[u8]>,
        edit: impl FnOnce(&mut ContainerSpec),
    ) -> Ran {
        let wasm = wat::parse_bytes(program.as_ref()).expect("WebAssembly text");
        fs::write(self.path("image").join(&PROGRAM[1..]), wasm).expect("the program");
        let catch = |name| {
            Output::File(Arc::new(
                File::create(self.path(name)).expect("a file for output"),
            ))
        };
        let mut spec = ContainerSpec::new(PROGRAM);
        (spec.stdout, spec.stderr) = (catch("stdout"), catch("stderr"));
        edit(&mut spec);
        let result = run(engine, self.fs(), &spec, &mut || Ok::<_, Infallible>(()));
        let caught = |name| fs::read(self.path(name)).expect("the output");
        Ran {
            result,
            stdout: caught("stdout"),
            stderr: caught("stderr"),
        }
    }
}
