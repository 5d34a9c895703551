//! Pulls and pushes against the registry in memory: one test per way of access and per fault.

mod access;
mod faults;
mod hostile;
mod modes;
mod pull;
mod push;
mod referrers;
mod trust;

use std::fs;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::fake::FakeRegistry;
use super::{
    Anonymous, Cause, Client, ClientOptions, Credential, CredentialError, CredentialSource, Pulled,
    RegistryError, Secret, TransferEvent,
};
use crate::digest::Digest;
use crate::media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::Store;

const REPOSITORY: &str = "team/app";

/// A user for every registry.
struct User(&'static str, &'static str);

impl CredentialSource for User {
    fn get(&self, _registry: &str) -> Result<Option<Credential>, CredentialError> {
        let (username, password) = (self.0.to_owned(), Secret::new(self.1));
        Ok(Some(Credential::Basic { username, password }))
    }
}

fn client() -> Client {
    client_of(Anonymous)
}

fn client_of(credentials: impl CredentialSource + 'static) -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Another test of the process may have done it.
        let _installed = rustls::crypto::ring::default_provider().install_default();
    });
    let mut client = Client::new(ClientOptions::new(Arc::new(credentials), "coracle-test/0"));
    let transport = Arc::get_mut(&mut client.transport).expect("not yet shared");
    transport.first_pause = Duration::from_millis(1);
    client
}

/// A store of its own.
struct Home {
    _folder: TempDir,
    store: Store,
}

impl Home {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let store = Store::open(&folder.path().join("images")).expect("an empty store");
        Self {
            _folder: folder,
            store,
        }
    }

    /// Returns the digests of all blobs, after checking that each is what its name says and that nothing else lies about.
    fn blobs(&self) -> Vec<String> {
        let ingest = self.store.root().join(".ingest");
        let left = fs::read_dir(ingest).map_or(0, Iterator::count);
        assert_eq!(left, 0, "half-written files");
        let mut blobs = Vec::new();
        let folder = self.store.root().join("blobs/sha256");
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let bytes = fs::read(&path).expect("a blob");
            let digest = Digest::sha256_of(&bytes);
            assert!(path.ends_with(digest.hex()), "{path:?} holds {digest}");
            blobs.push(digest.to_string());
        }
        blobs.sort();
        blobs
    }

    fn has(&self, digest: &Digest) -> bool {
        self.blobs().contains(&digest.to_string())
    }
}

/// An image as a registry keeps it.
struct Sample {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layers: Vec<Vec<u8>>,
}

impl Sample {
    /// Makes an image for a platform with layers of these sizes, in bytes.
    fn new(os: &str, architecture: &str, sizes: &[usize]) -> Self {
        let layers: Vec<Vec<u8>> = sizes
            .iter()
            .enumerate()
            .map(|(seed, size)| noise(*size, seed as u32))
            .collect();
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|layer| Digest::sha256_of(layer).to_string())
            .collect();
        let config = json!({
            "architecture": architecture, "os": os, "config": {"Entrypoint": ["/app.wasm"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        Self::of(OCI_CONFIG, &config, OCI_LAYER_GZIP, layers)
    }

    fn of(config_type: &str, config: &Value, layer_type: &str, layers: Vec<Vec<u8>>) -> Self {
        let config = config.to_string().into_bytes();
        let described: Vec<Value> = layers
            .iter()
            .map(|layer| descriptor(layer_type, layer))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor(config_type, &config), "layers": described,
        });
        Self {
            manifest: manifest.to_string().into_bytes(),
            config,
            layers,
        }
    }

    /// Puts the image into a registry under a tag.
    fn put(&self, registry: &FakeRegistry, tag: &str) -> Digest {
        for blob in self.layers.iter().chain([&self.config]) {
            registry.put_blob(REPOSITORY, blob);
        }
        registry.put_manifest(REPOSITORY, tag, OCI_MANIFEST, &self.manifest)
    }

    fn layer(&self) -> Digest {
        Digest::sha256_of(&self.layers[0])
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256_of(bytes).to_string(), "size": bytes.len()})
}

/// Makes an index of images with their platforms.
fn index_of(entries: &[(&str, &str, &Sample)]) -> Vec<u8> {
    let entries: Vec<Value> = entries
        .iter()
        .map(|(os, architecture, sample)| {
            let mut entry = descriptor(OCI_MANIFEST, &sample.manifest);
            entry["platform"] = json!({"os": os, "architecture": architecture});
            entry
        })
        .collect();
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
        .to_string()
        .into_bytes()
}

/// Bytes that do not repeat.
fn noise(size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}

fn reference(registry: &FakeRegistry, rest: &str) -> Reference {
    Reference::parse(&format!("{}/{REPOSITORY}{rest}", registry.host())).expect("a reference")
}

async fn pull(
    client: &Client,
    home: &Home,
    reference: &Reference,
) -> Result<Pulled, RegistryError> {
    let host = Platform::parse("linux/amd64").expect("a platform");
    client
        .pull(reference, &home.store, None, &host, None, &|_| {})
        .await
}

async fn pull_error(client: &Client, home: &Home, reference: &Reference) -> RegistryError {
    let error = pull(client, home, reference)
        .await
        .expect_err("the pull must fail");
    // Whatever was wrong: the message names the image, and nothing wrong is in the store.
    assert!(
        error.to_string().contains(&reference.to_string()),
        "{error}"
    );
    home.blobs();
    error
}

/// Collects events.
#[derive(Default)]
struct Events(Mutex<Vec<TransferEvent>>);

impl Events {
    fn add(&self, event: TransferEvent) {
        self.0.lock().expect("no panic").push(event);
    }

    fn of(&self, digest: &Digest) -> Vec<TransferEvent> {
        let is_of = |event: &&TransferEvent| match event {
            TransferEvent::Started { digest: of, .. }
            | TransferEvent::Bytes { digest: of, .. }
            | TransferEvent::Retrying { digest: of, .. }
            | TransferEvent::Done { digest: of }
            | TransferEvent::Skipped { digest: of } => of == digest,
        };
        self.0
            .lock()
            .expect("no panic")
            .iter()
            .filter(is_of)
            .cloned()
            .collect()
    }

    /// Returns the bytes that were told of a blob.
    fn bytes(&self, digest: &Digest) -> u64 {
        let count = |event: &TransferEvent| match event {
            TransferEvent::Bytes { count, .. } => *count,
            _ => 0,
        };
        self.of(digest).iter().map(count).sum()
    }
}

fn gets(registry: &FakeRegistry, part: &str) -> usize {
    let is_get =
        |request: &&super::fake::Request| request.method == "GET" && request.path.contains(part);
    registry.requests().iter().filter(is_get).count()
}

fn cause(error: &RegistryError) -> &Cause {
    &error.cause
}

#[test]
fn calls_may_move_between_threads() {
    fn must_be_send<T: Send>(_: &T) {}
    let (client, home, host) = (client(), Home::new(), Platform::host());
    let name = Reference::parse("x").expect("a reference");
    must_be_send(&client.pull(&name, &home.store, None, &host, None, &|_| {}));
    let descriptor = crate::image::descriptor(OCI_MANIFEST, &Digest::sha256_of(b""), 0);
    must_be_send(&client.push(&name, &descriptor, &home.store, &|_| {}));
}
