//! Compiles programs ahead of their runs.

use std::sync::Arc;

use coracle_packager::digest::Digest;
use coracle_packager::image::Image;
use coracle_runtime::policy::Limits;
use coracle_runtime::sandbox::wasm::{LARGEST_PROGRAM, detect};
use coracle_runtime::vfs::GuestFs;

use super::run::{Found, find_program};
use super::{Engine, Error, backend, link, spec};

impl Engine {
    /// Packs an image's files and compiles the program that it starts by default, so that its first run is as fast as the next.
    /// Returns why there is no such program: another one may still be chosen at `run`.
    ///
    /// # Errors
    ///
    /// If the image's files cannot be read.
    pub(super) fn make_ready(&self, image: &Image) -> Result<Option<Error>, Error> {
        // No wall is raised here, so there may be threads. What is wrong with a layer is heard when it is opened.
        drop(self.layers.prepare_in_parallel(&self.store, image));
        let runnable = match self.runnable(image) {
            Err(error @ Error::Artifact(_)) => return Ok(Some(error)),
            runnable => runnable?,
        };
        let fs = GuestFs::builder(Arc::new(self.open_lower(image)?)).build()?;
        let defaults = &runnable.config.config;
        let args = spec::args(defaults, None, &[]);
        let Some(program) = args.first() else {
            return Ok(Some(Error::NoCommand {
                image: image.config_digest.to_string(),
            }));
        };
        let (env, cwd) = (spec::env(defaults, &[]), spec::cwd(defaults, None));
        // A Linux program has nothing to compile.
        if backend::is_linux(&runnable) && !backend::is_wasm(&fs, program, &env, &cwd) {
            return Ok(None);
        }
        let compiled = find_program(&fs, program, &env, &cwd)
            .and_then(|mut found| self.compile(&fs, &mut found, &Limits::default()));
        Ok(compiled.err())
    }

    /// Compiles a program, linked with the libraries in `fs` that it needs, unless that was done before; says whether it had
    /// to. Fills in the digest by which the compiled code is found.
    pub(super) fn compile(
        &self,
        fs: &GuestFs,
        found: &mut Found,
        limits: &Limits,
    ) -> Result<bool, Error> {
        let mut bytes = None;
        let digest = match found.sha256 {
            Some(digest) => digest,
            // It lies in a mount, or is no WebAssembly: only its bytes tell which program it is.
            None => sha256(bytes.insert(read_whole(found)?)),
        };
        let mut libraries = link::libraries(fs)?;
        let key = if libraries.is_empty() {
            digest
        } else {
            link::key(&digest, &mut libraries)?
        };
        found.sha256 = Some(key);
        let wrong = |source| Error::Program {
            program: found.path.clone(),
            source,
        };
        let engine = self.wasm_for(limits)?;
        if engine.preload(&key).map_err(wrong)? {
            return Ok(false);
        }
        let bytes = bytes.map_or_else(|| read_whole(found), Ok)?;
        if libraries.is_empty() {
            engine.prepare(&digest, &bytes).map_err(wrong)?;
        } else {
            self.prepare_linked(&key, found, bytes, &libraries, engine)?;
        }
        Ok(true)
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Digest::sha256_of(bytes)
        .sha256_bytes()
        .expect("it was made with SHA-256")
}

/// Reads a program, up to the size that is compiled.
pub(super) fn read_whole(found: &Found) -> Result<Vec<u8>, Error> {
    /// Bytes that one call asks for.
    const STEP: usize = 1 << 20;
    let failed = |problem: String| Error::ProgramNotRunnable {
        program: found.path.clone(),
        problem,
    };
    let mut bytes = Vec::new();
    loop {
        let start = bytes.len();
        if start as u64 > LARGEST_PROGRAM {
            return Err(failed(format!("has more than {LARGEST_PROGRAM} bytes")));
        }
        bytes.resize(start + STEP, 0);
        let read = found.file.read_at(&mut bytes[start..], start as u64);
        let read = read.map_err(|error| failed(error.to_string()))?;
        bytes.truncate(start + read);
        if read == 0 {
            return Ok(bytes);
        }
        // What is no WebAssembly need not be read to its end.
        if start == 0 && detect(&bytes).is_none() {
            return Err(failed(
                "is not a WebAssembly module or component".to_owned(),
            ));
        }
    }
}
