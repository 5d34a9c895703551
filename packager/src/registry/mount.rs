//! Which other repositories of a registry have a blob, as far as the names here tell.

use std::collections::HashMap;

use super::blocking;
use crate::digest::Digest;
use crate::reference::Reference;
use crate::store::{Store, StoreError};

/// The images here that are named after the same registry. What was pulled from there, or pushed to there, is there.
pub(super) struct Neighbours {
    store: Store,
    reference: Reference,
    /// Read when the first blob is missing: most pushes that change nothing need none.
    repositories: tokio::sync::OnceCell<HashMap<Digest, String>>,
}

impl Neighbours {
    pub(super) fn new(store: &Store, reference: &Reference) -> Self {
        Self {
            store: store.clone(),
            reference: reference.clone(),
            repositories: tokio::sync::OnceCell::new(),
        }
    }

    /// Returns another repository that should have a blob.
    pub(super) async fn of(&self, digest: &Digest) -> Option<&str> {
        let repositories = self.repositories.get_or_init(|| async {
            let (store, reference) = (self.store.clone(), self.reference.clone());
            match blocking(move || read(&store, &reference)).await {
                Ok(found) => found,
                // It would only save time.
                Err(cause) => {
                    tracing::debug!(%cause, "looking for blobs in other repositories");
                    HashMap::new()
                }
            }
        });
        repositories.await.get(digest).map(String::as_str)
    }
}

fn read(store: &Store, reference: &Reference) -> Result<HashMap<Digest, String>, StoreError> {
    let mut found = HashMap::new();
    for named in store.names()? {
        if named.name.registry() != reference.registry()
            || named.name.repository() == reference.repository()
        {
            continue;
        }
        // An image that is damaged tells nothing.
        let Ok(parts) = store.manifests(&named.descriptor) else {
            continue;
        };
        for blob in parts.layers.iter().chain(&parts.configs) {
            found.insert(Digest::of(blob)?, named.name.repository().to_owned());
        }
    }
    Ok(found)
}
