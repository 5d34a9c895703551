//! Says what a run would be, without running anything.

use coracle_packager::image::Image;
use coracle_runtime::policy::resolve::{Item, Verdict, granted, imported, requested};
use coracle_runtime::sandbox::wasm::WasmKind;
use coracle_runtime::sandbox::wasm::link::Link;
use serde::Serialize;

use super::super::{Engine, Error, RunContainer};
use super::request;

/// What a run would be.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// The image, as it was named.
    pub image: String,
    /// Digest of the manifest that was chosen.
    pub manifest: String,
    /// Platform of that entry.
    pub platform: String,
    /// What runs it.
    pub backend: String,
    /// The program's guest path.
    pub program: String,
    /// What was granted.
    pub grants: Vec<Item>,
    /// What the image asks for.
    pub requests: Vec<Item>,
    /// What was linked to the program, and to what was linked to it.
    pub linked: Vec<Link>,
    /// What the program imports, linked with its libraries.
    pub imports: Vec<Item>,
    /// Why the image's request cannot be read, if it cannot.
    pub unread_request: Option<String>,
}

impl Explanation {
    /// Would the program be started?
    pub fn would_run(&self) -> bool {
        let mut all = self.grants.iter().chain(&self.imports);
        !all.any(|item| matches!(item.verdict, Verdict::Refused(_)))
    }
}

impl Engine {
    /// Says what a run of `image` would be: all is decided and opened as for a run, and nothing is created or started.
    ///
    /// # Errors
    ///
    /// As [`Engine::prepare`], but for grants beyond a ceiling: those are in the explanation.
    pub fn explain(&self, image: &Image, container: RunContainer) -> Result<Explanation, Error> {
        let mut refusals = Vec::new();
        let prepared = self.decide(image, container, |found| {
            refusals = found;
            Ok(())
        })?;
        let policy = &prepared.config.policy;
        let requested_by_image = request(image);
        let platform = format!("{}/{}", image.config.os, image.config.architecture);
        let Some(found) = &prepared.program else {
            return Ok(Explanation {
                image: prepared.config.image.clone(),
                manifest: prepared.config.manifest.clone(),
                platform,
                backend: "Linux program, in namespaces of its own".to_owned(),
                program: prepared.config.args[0].clone(),
                grants: granted(policy, &refusals),
                requests: requested(policy, &requested_by_image.request),
                linked: Vec::new(),
                imports: Vec::new(),
                unread_request: requested_by_image.unread.map(|error| error.to_string()),
            });
        };
        let sha256 = found.sha256.unwrap_or_default();
        let wrong = |source| Error::Program {
            program: found.path.clone(),
            source,
        };
        let program = self
            .wasm()?
            .load(&sha256, || Err("it is not compiled"))
            .map_err(wrong)?;
        let linked = self.links(&prepared.view()?, found)?;
        let unknown = program.unknown_imports();
        Ok(Explanation {
            image: prepared.config.image.clone(),
            manifest: prepared.config.manifest.clone(),
            platform,
            backend: match program.kind() {
                WasmKind::Module => "WebAssembly module, in this process".to_owned(),
                WasmKind::Component => "WebAssembly component, in this process".to_owned(),
            },
            program: found.path.clone(),
            grants: granted(policy, &refusals),
            requests: requested(policy, &requested_by_image.request),
            linked,
            imports: imported(policy, &program.imports(), &unknown),
            unread_request: requested_by_image.unread.map(|error| error.to_string()),
        })
    }
}
