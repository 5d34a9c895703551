//! Runs a WebAssembly program on the files of a directory, with private changes and behind both walls.
//!
//! ```text
//! cargo run --release -p coracle-runtime --example run -- IMAGE STATE PROGRAM [ARGUMENT]...
//! ```
//!
//! IMAGE is the directory that the guest sees as `/`; STATE, made if absent, takes the guest's changes and the compiled code.
//! The variables `CWD` and `MOUNT=HOST:GUEST` set the working directory and mount a directory.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use coracle_runtime::sandbox::wall::{self, Place, WallSpec};
use coracle_runtime::sandbox::wasm::{Outcome, WasmEngine, run};
use coracle_runtime::spec::{ContainerSpec, Stdin};
use coracle_runtime::vfs::{Access, DirLower, GuestFs, MountSource};

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<ExitCode, Error> {
    let mut args = std::env::args().skip(1);
    let usage = "want IMAGE STATE PROGRAM [ARGUMENT]...";
    let (image, state) = (args.next().ok_or(usage)?, args.next().ok_or(usage)?);
    let args: Vec<String> = args.collect();
    let mut spec = ContainerSpec::new(args.first().ok_or(usage)?);
    spec.args = args;
    spec.stdin = Stdin::Inherit;
    spec.cwd = std::env::var("CWD").unwrap_or("/".into());

    let state = Path::new(&state);
    let open = |path: &Path| Dir::open_ambient_dir(path, ambient_authority());
    let make = |name: &str| {
        let path = state.join(name);
        std::fs::create_dir_all(&path).and_then(|()| open(&path))
    };
    let mut reach = vec![
        Place::Path(state.join("upper")),
        Place::Path(state.join("work")),
    ];
    let mut fs = GuestFs::builder(Arc::new(DirLower::new(open(Path::new(&image))?)))
        .upper(make("upper")?, make("work")?);
    if let Ok(mount) = std::env::var("MOUNT") {
        let (host, guest) = mount.split_once(':').ok_or("want MOUNT=HOST:GUEST")?;
        fs = fs.mount(
            guest,
            MountSource::Directory(open(Path::new(host))?),
            Access::ReadWrite,
        );
        reach.push(Place::Path(host.into()));
    }
    let engine = WasmEngine::new(&state.join("cache"))?;
    let wall_spec = WallSpec {
        read: vec![Place::Path(image.into())],
        read_write: reach,
        ..WallSpec::default()
    };
    let outcome = run(&engine, fs.build()?, &spec, &mut || {
        wall::raise(&wall_spec).map(drop)
    })?;
    if let Outcome::Trapped { message } = &outcome {
        return Err(message.as_str().into());
    }
    Ok(outcome.code().into())
}
