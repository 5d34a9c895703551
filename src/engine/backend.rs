//! What runs a container's program: the WebAssembly sandbox, or the Linux kernel.
//!
//! Its bytes decide, not what an index says of it: seven spellings of `os` mean WebAssembly, and one of them is `linux`.

use coracle_packager::image::Image;
use coracle_packager::platform::Platform;
use coracle_runtime::container::{Backend, ContainerConfig, NativeConfig};
use coracle_runtime::policy::net::{Mode, NetPolicy};
use coracle_runtime::vfs::GuestFs;

use super::network::NetworkRequest;
use super::run::find_program;
use super::{Engine, Error, run};

/// What is asked for and cannot be had with what runs the program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// A flag for Linux programs.
    #[error(
        "{flag} has no meaning for a WebAssembly program, which has no user, device, namespace or right but what is granted"
    )]
    OnlyLinux {
        /// The flag.
        flag: &'static str,
    },
    /// A flag for WebAssembly programs.
    #[error("{flag} cannot be held for a Linux program: {reason}")]
    OnlyWasm {
        /// The flag.
        flag: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// A Linux container's changes are in the kernel's form.
    #[error("container {container} is a Linux one, and its files are not read from outside yet")]
    Changes {
        /// Its name.
        container: String,
    },
    /// The program is for another system or processor.
    #[error("{program} is a program for {platform}, and this is {host}")]
    OtherHost {
        /// The program, as it was named.
        program: String,
        /// What the image says of itself.
        platform: String,
        /// What there is.
        host: String,
    },
}

impl BackendError {
    /// Says what to do instead.
    pub(super) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::OnlyLinux { .. } => "leave it out; --explain shows what the program gets".to_owned(),
            Self::OnlyWasm {
                flag: "--publish", ..
            } => "use --network host: the program then listens on this machine's own ports".to_owned(),
            Self::OnlyWasm { .. } => return None,
            Self::Changes { container } => format!("while it runs, use `coracle exec {container} tar c -C / .`"),
            Self::OtherHost { .. } => "an image with a WebAssembly entry runs everywhere; --platform chooses among an image's entries".to_owned(),
        })
    }
}

impl Engine {
    /// Decides what runs the program of a container that is about to be made.
    pub(super) fn backend(
        &self,
        image: &Image,
        config: &ContainerConfig,
        native: NativeConfig,
        view: impl FnOnce() -> Result<GuestFs, Error>,
    ) -> Result<Backend, Error> {
        let env: Vec<(String, String)> = config.env.iter().map(|pair| run::split(pair)).collect();
        let program = &config.args[0];
        let is_native = is_linux(image) && {
            let view = view()?;
            !is_wasm(&view, program, &env, &config.cwd)
        };
        if !is_native {
            return match native.first_flag() {
                None => Ok(Backend::Wasm),
                Some(flag) => Err(BackendError::OnlyLinux { flag }.into()),
            };
        }
        let runs_here = cfg!(target_os = "linux") && self.platform(image).satisfies(&self.host);
        if !runs_here {
            return Err(BackendError::OtherHost {
                program: program.clone(),
                platform: self.platform(image).to_string(),
                host: self.host.to_string(),
            }
            .into());
        }
        let user = native
            .user
            .or_else(|| image.config.config.user.clone())
            .filter(|user| !user.is_empty());
        Ok(Backend::Native(Box::new(NativeConfig { user, ..native })))
    }

    fn platform(&self, image: &Image) -> Platform {
        let config = &image.config;
        Platform::new(&config.os, &config.architecture, config.variant.as_deref())
    }
}

/// Does an image say that it is for Linux? WebAssembly may be in it nevertheless.
pub(super) fn is_linux(image: &Image) -> bool {
    let config = &image.config;
    config.os == "linux" && !Platform::new(&config.os, &config.architecture, None).is_wasm()
}

/// Is the program of a Linux image WebAssembly? One that is not there may come with what is mounted, or be made by the container
/// itself: that is Linux'.
pub(super) fn is_wasm(view: &GuestFs, program: &str, env: &[(String, String)], cwd: &str) -> bool {
    let Ok(found) = find_program(view, program, env, cwd) else {
        return false;
    };
    if found.sha256.is_some() {
        return true;
    }
    let mut first = [0; 4];
    let length = found.file.read_at(&mut first, 0).unwrap_or_default();
    first[..length].starts_with(b"\0asm")
}

/// Refuses what no Linux program can be held to yet.
pub(super) fn check_native(
    config: &ContainerConfig,
    network: &NetworkRequest,
) -> Result<(), BackendError> {
    let only_wasm = |flag, reason| Err(BackendError::OnlyWasm { flag, reason });
    let NetPolicy {
        mode,
        connect,
        dns,
        publish,
        ..
    } = &network.policy;
    if !publish.is_empty() || network.publish_all {
        return only_wasm("--publish", "it has no bridge to this machine yet");
    }
    if *mode != Mode::Host && (!connect.is_empty() || !dns.is_empty()) {
        return only_wasm(
            "--allow-connect",
            "its connections are not looked at one by one",
        );
    }
    if config.policy.limits.fuel.is_some() {
        return only_wasm("--fuel", "its instructions are not counted");
    }
    if config.invoke.is_some() {
        return only_wasm("--invoke", "it has no functions that could be called");
    }
    if config.backend.native().is_some_and(|native| native.init) {
        return only_wasm(
            "--init",
            "no process of ours is in the container with it yet",
        );
    }
    if config.storage_limit.is_some() {
        return only_wasm("--storage-opt", "its files are the kernel's");
    }
    Ok(())
}
