//! Compares compiled code with the sum that was written with it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;

use super::{Cache, LoadError, hex};

/// Compiled code that cannot be used, or is not what was compiled. It is made again once it is gone.
#[derive(Clone, Debug)]
pub struct DamagedCode {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// What a check of the compiled code has seen.
#[derive(Clone, Debug, Default)]
pub struct CheckedCode {
    /// Files that were read.
    pub files: u64,
    /// Those among them that cannot be used.
    pub damaged: Vec<DamagedCode>,
}

impl Cache {
    /// Reads all compiled code that fits this engine.
    pub(in super::super) fn check(&self) -> Result<CheckedCode, LoadError> {
        let mut checked = CheckedCode::default();
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(checked),
            Err(source) => return Err(self.failed("listing", source)),
        };
        for entry in entries {
            let path = entry
                .map_err(|source| self.failed("listing", source))?
                .path();
            if path.extension().is_none_or(|end| end != "cwasm") {
                continue;
            }
            checked.files += 1;
            let problem = match self.trusted(&path) {
                Ok(true) => problem(&path),
                // Removed meanwhile.
                Ok(false) => None,
                Err(error) => Some(error.to_string()),
            };
            if let Some(problem) = problem {
                checked.damaged.push(DamagedCode { path, problem });
            }
        }
        Ok(checked)
    }
}

/// Where the sum of a file lies.
pub(super) fn sum_of(code: &Path) -> PathBuf {
    code.with_extension("sum")
}

/// Writes the sum of compiled code. Not synced: one that a power cut has emptied is one that is not there.
pub(super) fn write_sum(path: &Path, code: &[u8]) -> io::Result<()> {
    fs::write(path, hex(&Sha256::digest(code)))
}

fn problem(path: &Path) -> Option<String> {
    if !matches!(Engine::detect_precompiled_file(path), Ok(Some(_))) {
        return Some("is no compiled code".to_owned());
    }
    // Code of a version that wrote none is not checked further.
    let want = fs::read_to_string(sum_of(path)).ok()?;
    if want.len() != 64 {
        return None;
    }
    match sum(path) {
        Ok(got) if got == want => None,
        Ok(_) => Some("has other bytes than were compiled".to_owned()),
        Err(error) => Some(format!("cannot be read: {error}")),
    }
}

fn sum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            len => hasher.update(&buffer[..len]),
        }
    }
}
