//! Compiled code: made once, trusted only where nobody else can write.

use std::cell::Cell;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use coracle_runtime::sandbox::wasm::{LoadError, WasmEngine, WasmKind};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const MODULE: &str = "(module (func (export \"_start\")))";
const COMPONENT: &str = "(component)";

struct Store {
    temp: TempDir,
    wasm: Vec<u8>,
    sha256: [u8; 32],
}

impl Store {
    fn of(wat: &str) -> Self {
        let wasm = wat::parse_str(wat).expect("valid");
        Self {
            temp: tempfile::tempdir().expect("a directory"),
            sha256: Sha256::digest(&wasm).into(),
            wasm,
        }
    }

    fn engine(&self) -> WasmEngine {
        WasmEngine::new(&self.temp.path().join("a/cache")).expect("an engine")
    }

    /// Loads; says whether the program had to be read, that is compiled.
    fn load(&self) -> Result<(WasmKind, bool), LoadError> {
        let read = Cell::new(false);
        let program = self.engine().load(&self.sha256, || {
            read.set(true);
            Ok::<_, Infallible>(self.wasm.clone())
        })?;
        Ok((program.kind(), read.get()))
    }

    fn files(&self) -> Vec<PathBuf> {
        let Ok(dirs) = fs::read_dir(self.temp.path().join("a/cache")) else {
            return Vec::new();
        };
        let files =
            dirs.flat_map(|dir| fs::read_dir(dir.expect("readable").path()).expect("a directory"));
        let files = files.map(|file| file.expect("readable").path());
        // Each has its checksum beside it.
        files
            .filter(|file| file.extension().is_none_or(|end| end != "sum"))
            .collect()
    }

    fn file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

#[test]
fn the_second_time_nothing_is_compiled() {
    for (wat, kind) in [(MODULE, WasmKind::Module), (COMPONENT, WasmKind::Component)] {
        let store = Store::of(wat);
        assert!(
            !store
                .engine()
                .is_prepared(&store.sha256)
                .expect("nothing there")
        );
        assert_eq!(store.load().expect("compiled"), (kind, true));
        assert!(store.engine().is_prepared(&store.sha256).expect("trusted"));
        assert_eq!(store.load().expect("loaded"), (kind, false));
        store
            .engine()
            .prepare(&store.sha256, b"not looked at")
            .expect("it is there");
        let file = store.file();
        let mode = |path: &std::path::Path| {
            fs::metadata(path).expect("there").permissions().mode() & 0o777
        };
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(file.parent().expect("a directory")), 0o700);
    }
}

#[test]
fn damaged_code_is_made_anew() {
    let store = Store::of(MODULE);
    store.load().expect("compiled");
    let good = fs::read(store.file()).expect("the code");
    let mut other_version = good.clone();
    let place = good
        .windows(2)
        .position(|bytes| bytes == b"48")
        .expect("wasmtime's version");
    other_version[place..place + 2].copy_from_slice(b"47");
    for bad in [
        &b""[..],
        b"\x7fELF",
        b"garbage",
        &good[..good.len() / 2],
        &good[..good.len() - 1],
        &other_version,
        &vec![0xff; 9000],
    ] {
        fs::write(store.file(), bad).expect("written");
        assert_eq!(
            store.load().expect("compiled again"),
            (WasmKind::Module, true),
            "{} bytes",
            bad.len()
        );
        assert_eq!(fs::read(store.file()).expect("the code"), good);
        assert_eq!(store.load().expect("loaded"), (WasmKind::Module, false));
    }
}

#[test]
fn code_that_others_could_have_written_is_never_taken() {
    let store = Store::of(MODULE);
    store.load().expect("compiled");
    let file = store.file();
    let dir = file.parent().expect("a directory").to_owned();
    for (path, mode, back) in [
        (&file, 0o620, 0o600),
        (&file, 0o602, 0o600),
        (&dir, 0o770, 0o700),
        (&dir, 0o777, 0o700),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
        let refused = store.load().expect_err("untrusted");
        assert!(
            matches!(&refused, LoadError::Untrusted { path: named, .. } if named == path),
            "{refused:?}"
        );
        assert!(store.engine().is_prepared(&store.sha256).is_err());
        fs::set_permissions(path, fs::Permissions::from_mode(back)).expect("changed");
    }
    // A link to a file that may be anybody's.
    let elsewhere = store.temp.path().join("elsewhere");
    fs::rename(&file, &elsewhere).expect("moved");
    std::os::unix::fs::symlink(&elsewhere, &file).expect("linked");
    assert!(matches!(store.load(), Err(LoadError::Untrusted { .. })));
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("made");
    assert!(matches!(store.load(), Err(LoadError::Untrusted { .. })));
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn another_users_code_is_never_taken() {
    let store = Store::of(MODULE);
    store.load().expect("compiled");
    match std::os::unix::fs::chown(store.file(), Some(65534), None) {
        Ok(()) => {
            let refused = store.load().expect_err("untrusted").to_string();
            assert!(refused.contains("belongs to another user"), "{refused}");
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: only root can give files away")
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_key_must_be_the_programs() {
    let store = Store::of(MODULE);
    let wrong = store
        .engine()
        .prepare(&[7; 32], &store.wasm)
        .expect_err("another digest");
    assert!(
        matches!(&wrong, LoadError::WrongDigest { want, .. } if *want == "07".repeat(32)),
        "{wrong:?}"
    );
    assert_eq!(store.files(), Vec::<PathBuf>::new());
}

#[test]
fn what_is_no_program_leaves_nothing() {
    let store = Store::of(MODULE);
    let prepare = |wasm: &[u8]| {
        let sha256 = Sha256::digest(wasm).into();
        store
            .engine()
            .prepare(&sha256, wasm)
            .expect_err("no program")
    };
    assert!(matches!(prepare(b"#!/bin/sh"), LoadError::NotWasm { start } if start == b"#!/bin/s"));
    assert!(matches!(prepare(b""), LoadError::NotWasm { start } if start.is_empty()));
    assert!(matches!(
        prepare(b"\0asm\x01\0\0\0\xff\xff"),
        LoadError::Compile { what: "module", .. }
    ));
    assert!(matches!(
        prepare(b"\0asm\x0d\0\x01\0\xff\xff"),
        LoadError::Compile {
            what: "component",
            ..
        }
    ));
    assert_eq!(store.files(), Vec::<PathBuf>::new());
    let unread = store
        .engine()
        .load(&[1; 32], || Err::<Vec<u8>, _>("the disk is gone"));
    assert!(
        matches!(unread, Err(LoadError::Read(cause)) if cause.to_string() == "the disk is gone")
    );
}

#[test]
fn leftovers_of_dead_processes_go_after_a_day() {
    let store = Store::of(MODULE);
    store.load().expect("compiled");
    let dir = store.file().parent().expect("a directory").to_owned();
    let (old, young) = (dir.join("old.1.0.tmp"), dir.join("young.2.0.tmp"));
    for path in [&old, &young] {
        fs::write(path, "half").expect("written");
    }
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3600);
    fs::File::options()
        .write(true)
        .open(&old)
        .expect("there")
        .set_modified(yesterday)
        .expect("set");
    let other = wat::parse_str("(module)").expect("valid");
    store
        .engine()
        .prepare(&Sha256::digest(&other).into(), &other)
        .expect("compiled");
    assert!(!old.exists());
    assert!(young.exists());
}
