//! RUN on Linux: the stage's layers under an overlay, the program in namespaces, and what it changed.

mod changes;
mod spec;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use coracle_packager::build::plan::{Mount, MountKind, Network, Sharing};
use coracle_packager::build::{self, Changes, Ran, Refusal, RunStep, StepRunner};
use coracle_packager::digest::Digest;
use coracle_packager::layer::{Rootfs, TreeForm};
use coracle_runtime::sandbox::native::{self as launcher, Bundle, Options, RootMount, Stdio};
use coracle_runtime::sys;

use super::build::BuildSecret;
use super::own_folder::OwnFolder;
use super::{Engine, random};

/// Where programs of builds have their changes, in the data directory.
const RUNS: &str = "build/run";
/// Where directories that outlive builds are.
const CACHES: &str = "build/caches";
/// Bytes of a program's output that are handed on at a time.
const PIECE: usize = 16 << 10;
/// Pieces that wait until they are shown. A program that says more waits.
const PIECES: usize = 64;
/// Runs the programs of a build.
pub(super) struct Steps<'a> {
    pub(super) engine: &'a Engine,
    pub(super) secrets: &'a [BuildSecret],
}

/// A directory of one RUN's own, which goes with it.
struct Folder(OwnFolder);

impl Folder {
    fn new(engine: &Engine) -> io::Result<Self> {
        OwnFolder::new(&engine.root().join(RUNS)).map(Self)
    }

    fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.path().join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }

    fn file(&self, name: &str, content: &[u8], mode: u32) -> io::Result<PathBuf> {
        let path = self.0.path().join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(path)
    }
}

/// A mount that is there on the host.
pub(super) struct Ready {
    pub(super) target: String,
    pub(super) from: From,
    /// Keeps others from a cache meanwhile.
    _lock: Option<File>,
}

/// What is mounted.
pub(super) enum From {
    Host { path: PathBuf, writable: bool },
    Tmpfs { size: Option<u64> },
}

impl StepRunner for Steps<'_> {
    fn run(&self, step: &RunStep<'_>, output: &mut dyn FnMut(bool, &[u8])) -> Result<Ran, Refusal> {
        if step.platform.is_wasm() {
            return Err("a WebAssembly stage runs nothing while it is built: do it in a Linux stage, and COPY --from the result".into());
        }
        if step.platform.os() != "linux" || !step.platform.satisfies(&self.engine.host) {
            return Err(format!(
                "its stage is for {}, and this host runs {}",
                step.platform, self.engine.host
            )
            .into());
        }
        if step.action.insecure {
            return Err("--security=insecure is not given to builds".into());
        }
        let folder = Folder::new(self.engine)?;
        let form = match sys::is_root() {
            true => TreeForm::Root,
            false => TreeForm::Single,
        };
        let trees = self
            .engine
            .layers
            .unpack(&self.engine.store, step.image, form)?;
        let (upper, work) = (folder.directory("upper")?, folder.directory("work")?);
        fs::set_permissions(&upper, fs::Permissions::from_mode(0o755))?;
        let mut env = step.action.env.clone();
        let mut mounts = Vec::new();
        for (index, (mount, rootfs)) in step.action.mounts.iter().zip(step.mounts).enumerate() {
            mounts.extend(self.prepare(mount, rootfs.as_ref(), index, &folder, &mut env)?);
        }
        if let Some(script) = &step.action.script {
            let path = folder.file("script", script.text.as_bytes(), 0o755)?;
            let target = step.action.argv.first().cloned().unwrap_or_default();
            mounts.push(host(target, path, false));
        }
        let with_network = step.action.network != Network::None;
        for (name, text) in spec::host_files(with_network) {
            let path = folder.file(name, &text, 0o644)?;
            mounts.push(host(format!("/etc/{name}"), path, false));
        }
        let spec = spec::of(step, &env, &mounts, with_network)?;
        let bundle = Bundle {
            spec,
            root: RootMount::Overlay {
                lowers: trees.lowers,
                upper: upper.clone(),
                work,
                user_attributes: !sys::is_root(),
                volatile: true,
            },
            directory: folder.0.path().to_owned(),
        };
        let code = run(bundle, output)?;
        let list = match code {
            0 => changes::read(&upper, step, &mounts)?,
            _ => Vec::new(),
        };
        Ok(Ran {
            code,
            changes: Changes {
                list,
                keep: Some(Box::new(folder)),
            },
        })
    }
}

fn host(target: String, path: PathBuf, writable: bool) -> Ready {
    Ready {
        target,
        from: From::Host { path, writable },
        _lock: None,
    }
}

/// Runs the program, hands on what it says, and returns its exit code.
fn run(bundle: Bundle, output: &mut dyn FnMut(bool, &[u8])) -> Result<i32, Refusal> {
    let (out, out_end) = io::pipe()?;
    let (error, error_end) = io::pipe()?;
    let stdio = Stdio {
        stdin: Some(File::open("/dev/null")?.into()),
        stdout: Some(out_end.into()),
        stderr: Some(error_end.into()),
    };
    let options = Options {
        id: format!("build-{:016x}", u64::from_ne_bytes(random())),
        no_cgroup: true,
        ends_with_parent: true,
        lenient: true,
        ..Options::default()
    };
    let container = launcher::run(bundle, stdio, options)?;
    // It ends when the program's last process has: the namespace goes with its first one.
    std::thread::scope(|scope| {
        let (sender, pieces) = mpsc::sync_channel::<(bool, Vec<u8>)>(PIECES);
        for (mut pipe, is_error) in [(out, false), (error, true)] {
            let sender = sender.clone();
            scope.spawn(move || {
                let mut piece = vec![0; PIECE];
                while let Ok(len) = pipe.read(&mut piece) {
                    let bytes = piece.get(..len).unwrap_or_default().to_vec();
                    if len == 0 || sender.send((is_error, bytes)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (is_error, bytes) in pieces {
            output(is_error, &bytes);
        }
    });
    let ended = container.wait()?;
    container.delete()?;
    Ok(ended.code())
}

impl Steps<'_> {
    /// Puts on the host what a mount shows; nothing for a secret that is not there and need not be.
    fn prepare(
        &self,
        mount: &Mount,
        rootfs: Option<&Rootfs>,
        index: usize,
        folder: &Folder,
        env: &mut Vec<String>,
    ) -> Result<Option<Ready>, Refusal> {
        let target = mount.target.clone();
        Ok(match &mount.kind {
            MountKind::Bind {
                source, writable, ..
            } => {
                let rootfs = rootfs.ok_or("it has no source")?;
                let to = folder.directory(&format!("bind-{index}"))?;
                let path = build::write_part(rootfs, source, &to)?;
                Some(host(target, path, *writable))
            }
            MountKind::Cache {
                id,
                read_only,
                sharing,
                from,
                mode,
                owner,
            } => {
                let (path, lock) = self.cache(id, *sharing)?;
                if let (true, Some(rootfs), Some((_, source))) = (is_empty(&path)?, rootfs, from) {
                    build::write_part(rootfs, source, &path)?;
                }
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
                if sys::is_root() {
                    std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1))?;
                }
                Some(Ready {
                    target,
                    from: From::Host {
                        path,
                        writable: !read_only,
                    },
                    _lock: Some(lock),
                })
            }
            MountKind::Tmpfs { size } => Some(Ready {
                target,
                from: From::Tmpfs { size: *size },
                _lock: None,
            }),
            MountKind::Secret {
                id,
                required,
                mode,
                owner,
                env: variable,
            } => {
                let Some(secret) = self.secrets.iter().find(|secret| secret.id == *id) else {
                    return match required {
                        true => Err(format!("the secret `{id}` is required, and was not given: add --secret id={id},src=FILE").into()),
                        false => Ok(None),
                    };
                };
                if let Some(variable) = variable {
                    let value = String::from_utf8(secret.content.clone())
                        .map_err(|_| format!("the secret `{id}` is no text"))?;
                    env.push(format!("{variable}={value}"));
                }
                if target.is_empty() {
                    return Ok(None);
                }
                let path = folder.file(&format!("secret-{index}"), &secret.content, *mode)?;
                if sys::is_root() {
                    std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1))?;
                }
                Some(host(target, path, false))
            }
            MountKind::Ssh { required: true, .. } => {
                return Err("no SSH agent is handed to builds".into());
            }
            MountKind::Ssh { .. } => None,
        })
    }

    /// Returns the directory of a cache, locked as its sharing says.
    fn cache(&self, id: &str, sharing: Sharing) -> Result<(PathBuf, File), Refusal> {
        let root = self.engine.root().join(CACHES);
        let name = Digest::sha256_of(id.as_bytes()).hex().to_owned();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)?;
        for number in 0u32.. {
            let name = match number {
                0 => name.clone(),
                number => format!("{name}-{number}"),
            };
            let lock = File::options()
                .create(true)
                .append(true)
                .open(root.join(format!("{name}.lock")))?;
            match sharing {
                Sharing::Shared => lock.lock_shared()?,
                Sharing::Locked => lock.lock()?,
                Sharing::Private => {
                    if lock.try_lock().is_err() {
                        continue;
                    }
                }
            }
            let path = root.join(name);
            fs::create_dir_all(&path)?;
            return Ok((path, lock));
        }
        Err("there are too many private caches".into())
    }
}

fn is_empty(path: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(path)?.next().is_none())
}
