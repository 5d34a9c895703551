//! What each repository's images were allowed to ask for, so that an upgrade that asks for more is seen.
//!
//! `<root>/requests/<SHA-256 of the name>.json`, one file for each repository whose image asks for anything. Written when
//! an image of it is run for the first time, and when somebody accepts more.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;

use coracle_packager::digest::Digest;
use coracle_runtime::policy::{Class, Request};
use serde::{Deserialize, Serialize};

use super::super::replace::Replace;
use super::super::{Engine, Error};

/// Largest file that is read, in bytes; it holds what one label held.
const LARGEST: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Accepted {
    /// The repository, for people.
    repository: String,
    /// Class and text of each thing.
    items: BTreeSet<(String, String)>,
}

fn items(request: &Request) -> BTreeSet<(String, String)> {
    let all = request.items().into_iter();
    all.map(|(class, text)| (class.name().to_owned(), text))
        .collect()
}

impl Engine {
    /// Returns what a request has that was never accepted for this repository. An image that asks for nothing costs no
    /// system call; the first image of a repository is accepted as it is.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn not_accepted(
        &self,
        repository: &str,
        request: &Request,
    ) -> Result<Vec<(Class, String)>, Error> {
        if request.is_empty() {
            return Ok(Vec::new());
        }
        let Some(accepted) = self.accepted(repository)? else {
            self.accept(repository, request)?;
            return Ok(Vec::new());
        };
        let is_new = |(class, text): &(Class, String)| {
            let known = (class.name().to_owned(), text.clone());
            !accepted.items.contains(&known)
        };
        Ok(request.items().into_iter().filter(is_new).collect())
    }

    /// Remembers that images of this repository may ask for this, and no more.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn accept(&self, repository: &str, request: &Request) -> Result<(), Error> {
        let path = self.accepted_path(repository);
        let failed = |source| Error::File {
            doing: "writing",
            path: path.clone(),
            source,
        };
        fs::create_dir_all(self.root.join("requests")).map_err(failed)?;
        let accepted = Accepted {
            repository: repository.to_owned(),
            items: items(request),
        };
        let text = serde_json::to_vec(&accepted).map_err(|error| failed(error.into()))?;
        let mut new = Replace::create(&path)?;
        new.file.write_all(&text).map_err(failed)?;
        new.finish()
    }

    fn accepted(&self, repository: &str) -> Result<Option<Accepted>, Error> {
        let path = self.accepted_path(repository);
        let failed = |source| Error::File {
            doing: "reading",
            path: path.clone(),
            source,
        };
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text).map_err(failed)?;
        // What is damaged was never accepted: then all that is asked for is new.
        Ok(Some(serde_json::from_slice(&text).unwrap_or(Accepted {
            repository: repository.to_owned(),
            items: BTreeSet::new(),
        })))
    }

    fn accepted_path(&self, repository: &str) -> PathBuf {
        let digest = Digest::sha256_of(repository.as_bytes());
        self.root
            .join("requests")
            .join(format!("{}.json", digest.hex()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_that_asks_for_more_is_seen() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let engine = Engine::open(root.path()).expect("an engine");
        let request = |json: &str| Request::parse(json).expect(json);
        let new = |repository: &str, json: &str| -> Vec<String> {
            let new = engine
                .not_accepted(repository, &request(json))
                .expect("read");
            new.into_iter()
                .map(|(class, text)| format!("{class} {text}"))
                .collect()
        };
        assert!(new("a", "{}").is_empty());
        assert!(
            !root.path().join("requests").exists(),
            "nothing was asked for"
        );
        assert!(
            new("a", r#"{"env":["A","B"]}"#).is_empty(),
            "the first is accepted"
        );
        assert!(
            new("b", r#"{"stdin":true}"#).is_empty(),
            "another repository"
        );
        assert!(new("a", r#"{"env":["A"]}"#).is_empty(), "narrower");
        let wider = r#"{"env":["A","C"],"fs":["/data"]}"#;
        assert_eq!(new("a", wider), ["fs /data", "env C"]);
        assert_eq!(new("a", wider).len(), 2, "asking does not accept");
        engine.accept("a", &request(wider)).expect("accepted");
        assert!(new("a", wider).is_empty());
        assert_eq!(new("a", r#"{"env":["B"]}"#), ["env B"], "given up before");
        // Damaged.
        fs::write(engine.accepted_path("a"), b"{").expect("written");
        assert_eq!(new("a", wider).len(), 3);
    }
}
