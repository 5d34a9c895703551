//! COPY and ADD: flags and sources, checked.

use super::planner::Planner;
use super::scope::Scope;
use super::value::{self, join};
use super::{Action, CopyAction, InlineFile, Mode, Origin};
use crate::build::containerfile::{ContainerfileError, Copy, HereDocument, Problem, Verb, Word};
use crate::build::pattern::Pattern;
use crate::digest::Digest;

impl Planner<'_> {
    pub(super) fn copy(
        &self,
        copy: &Copy,
        stage: usize,
        scope: &Scope,
        workdir: &str,
    ) -> Result<(String, Action), ContainerfileError> {
        let mut text = copy.verb.name().to_owned();
        let mut flag = |name: &str, value: &str| {
            text.push_str(&format!(" --{name}={value}"));
        };
        let origin = match &copy.from {
            None => Origin::Context,
            Some(word) => {
                flag("from", &word.text);
                self.origin(word, "--from", stage)?
            }
        };
        let owner = match &copy.chown {
            None => None,
            Some(word) => {
                let value = self.word(word, scope)?;
                flag("chown", &value);
                let owner = value::owner(&value);
                Some(owner.ok_or_else(|| self.error(word.place, Problem::Owner { text: value }))?)
            }
        };
        let mode = match &copy.chmod {
            None => None,
            Some(word) => {
                let value = self.word(word, scope)?;
                flag("chmod", &value);
                let mode = Mode::parse(&value);
                Some(mode.ok_or_else(|| self.error(word.place, Problem::Mode { text: value }))?)
            }
        };
        let checksum = match &copy.checksum {
            None => None,
            Some(word) => {
                let value = self.word(word, scope)?;
                flag("checksum", &value);
                let digest = Digest::parse(&value).ok();
                let digest = digest.filter(|digest| digest.algorithm() == "sha256");
                Some(
                    digest
                        .ok_or_else(|| self.error(word.place, Problem::Checksum { text: value }))?,
                )
            }
        };
        let mut excludes = Vec::new();
        for word in &copy.excludes {
            let value = self.full(word, scope, "a pattern of --exclude")?;
            flag("exclude", &value);
            if let Err(reason) = Pattern::path(&value) {
                return Err(self.error(
                    word.place,
                    Problem::Pattern {
                        text: value,
                        reason,
                    },
                ));
            }
            excludes.push(value);
        }
        for (given, name) in [
            (copy.link, "link"),
            (copy.parents, "parents"),
            (copy.keep_git, "keep-git-dir"),
        ] {
            if given {
                text.push_str(&format!(" --{name}"));
            }
        }
        if let Some(unpack) = copy.unpack {
            text.push_str(&format!(" --unpack={unpack}"));
        }
        let mut sources = Vec::new();
        let mut remotes = Vec::new();
        for word in &copy.sources {
            let value = self.full(word, scope, "a source")?;
            text.push(' ');
            text.push_str(&value);
            match (value::remote(&value), copy.verb) {
                (Some(remote), Verb::Add) => remotes.push(remote),
                (Some(_), Verb::Copy) => {
                    let name = copy.verb.name();
                    return Err(self.error(word.place, Problem::Remote { name, text: value }));
                }
                (None, _) => sources
                    .push(value::source(value).map_err(|problem| self.error(word.place, problem))?),
            }
        }
        self.check_checksum(copy, remotes.len(), sources.len())?;
        let mut files = Vec::new();
        for document in &copy.documents {
            text.push_str(&format!(" <<{}", document.name));
            files.push(self.inline_file(document, scope)?);
        }
        let destination = self.full(&copy.destination, scope, "the destination")?;
        text.push(' ');
        text.push_str(&destination);
        let action = CopyAction {
            verb: copy.verb,
            origin,
            sources,
            files,
            remotes,
            into_directory: destination == "."
                || destination.ends_with('/')
                || destination.ends_with("/.")
                || copy.parents,
            destination: join(workdir, &destination),
            owner,
            mode,
            excludes,
            parents: copy.parents,
            checksum,
            keep_git: copy.keep_git,
            unpack: copy.unpack,
        };
        Ok((text, Action::Copy(Box::new(action))))
    }

    fn check_checksum(
        &self,
        copy: &Copy,
        remotes: usize,
        local: usize,
    ) -> Result<(), ContainerfileError> {
        match &copy.checksum {
            Some(word) if remotes != 1 || local != 0 || !copy.documents.is_empty() => Err(self
                .error(
                    word.place,
                    Problem::FlagNeeds {
                        flag: "checksum",
                        want: "exactly one remote source",
                    },
                )),
            _ => Ok(()),
        }
    }

    fn inline_file(
        &self,
        document: &HereDocument,
        scope: &Scope,
    ) -> Result<InlineFile, ContainerfileError> {
        let name = document.name.clone();
        if name.contains('/') || name == "." || name == ".." {
            let problem = Problem::Outside { text: name };
            return Err(self.error(document.place, problem));
        }
        let word = Word {
            text: document.content(),
            place: document.place,
        };
        let text = match document.expand {
            true => self.document(&word, scope)?,
            false => {
                self.account(&word, word.text.len())?;
                word.text
            }
        };
        Ok(InlineFile { name, text })
    }
}
