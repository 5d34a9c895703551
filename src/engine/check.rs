//! Checks the whole data directory, and puts right what can be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use coracle_packager::layer::LayerStore;
use coracle_packager::store::{Damage, Store};
use serde::Serialize;

use super::{Engine, Error, with_causes};

/// Which part of the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Blobs and names.
    Images,
    /// Packed layers.
    Layers,
    /// Compiled programs.
    Compiled,
    /// Containers and their names.
    Containers,
}

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It does no harm.
    Note,
    /// It is still so.
    Remains,
    /// It was so, and is no more.
    Repaired,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What is wrong, in one line.
    pub problem: String,
    /// What that means, or what was done, or what to do.
    pub meaning: String,
    /// What became of it.
    pub state: State,
}

/// What a check has seen.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// What is, or was, not as it should be.
    pub findings: Vec<Finding>,
    /// Names of images.
    pub names: usize,
    /// Blobs that were read.
    pub blobs: u64,
    /// Packed layers that were read.
    pub layers: u64,
    /// Compiled programs that were read.
    pub programs: u64,
    /// Containers whose record was read.
    pub containers: usize,
    /// Bytes that were read.
    pub bytes: u64,
}

impl CheckReport {
    /// Returns how many findings are in a state.
    pub fn count(&self, state: State) -> usize {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.state == state).count()
    }

    fn add(
        &mut self,
        place: Place,
        state: State,
        problem: impl Into<String>,
        meaning: impl Into<String>,
    ) {
        self.findings.push(Finding {
            place,
            problem: problem.into(),
            meaning: meaning.into(),
            state,
        });
    }
}

impl Engine {
    /// Opens a data directory that may be too damaged to be opened: what keeps it from that is removed first, and made again.
    /// Returns what that was.
    ///
    /// # Errors
    ///
    /// As [`Engine::open`], or something cannot be removed.
    pub fn open_mended(root: &Path) -> Result<(Self, Vec<Finding>), Error> {
        let mut report = CheckReport::default();
        let meaning = "removed, and made again";
        for mended in Store::mend(&root.join("images"))? {
            let problem = format!("{} {}", mended.path.display(), mended.problem);
            report.add(Place::Images, State::Repaired, problem, meaning);
        }
        for path in LayerStore::mend(&root.join("layers"))? {
            let problem = format!("{} is not what belongs there", path.display());
            report.add(Place::Layers, State::Repaired, problem, meaning);
        }
        Ok((Self::open(root)?, report.findings))
    }

    /// Reads everything in the data directory: names, blobs, packed layers with their indexes, compiled programs and the
    /// containers' records. With `repair`, puts right what can be, and removes what keeps the right thing from being fetched
    /// or made again.
    ///
    /// Others may use the data directory meanwhile.
    ///
    /// # Errors
    ///
    /// A directory cannot be listed, a lock cannot be taken, or something that was to be removed cannot be.
    pub fn check(&self, repair: bool) -> Result<CheckReport, Error> {
        let mut report = CheckReport::default();
        self.check_images(repair, &mut report)?;
        self.check_layers(repair, &mut report)?;
        self.check_compiled(repair, &mut report)?;
        self.check_containers(repair, &mut report)?;
        Ok(report)
    }

    fn check_images(&self, repair: bool, report: &mut CheckReport) -> Result<(), Error> {
        use Place::Images;
        if repair && let Some(names) = self.store.restore_names()? {
            let mut meaning = format!(
                "made again from its last good copy, with {} names",
                names.restored.len()
            );
            if !names.given.is_empty() {
                let given = names.given.join(", ");
                meaning.push_str(&format!("; images without a name are now called {given}"));
            }
            if !names.lost.is_empty() {
                let lost = names.lost.join(", ");
                meaning.push_str(&format!("; pull or build again: {lost}"));
            }
            report.add(
                Images,
                State::Repaired,
                "the list of images was damaged",
                meaning,
            );
        }
        // Before blobs go, so that it is known who needs them.
        let names = self.store.verify_names()?;
        let blobs = self.store.verify_blobs()?;
        report.names = names.names;
        report.blobs = blobs.blobs;
        report.bytes = report.bytes.saturating_add(blobs.bytes);
        let mut damaged = BTreeSet::new();
        for damage in blobs.damages {
            let Damage::Blob { digest, source } = damage else {
                continue;
            };
            damaged.insert(digest.to_string());
            let problem = format!("blob {digest}: {}", with_causes(&source));
            let users = needed_by(&names.users, &digest.to_string());
            if repair {
                self.store.discard_blob(&digest)?;
                report.add(
                    Images,
                    State::Repaired,
                    problem,
                    format!("removed; {users}"),
                );
            } else {
                report.add(Images, State::Remains, problem, users);
            }
        }
        let names = if repair && !damaged.is_empty() {
            self.store.verify_names()?
        } else {
            names
        };
        for damage in names.damages {
            add_name_damage(report, &damage, &damaged, repair);
        }
        let swept = repair && !blobs.leftovers.is_empty() && self.store.sweep_leftovers()?;
        add_leftovers(report, Images, &blobs.leftovers, swept);
        for path in blobs.strangers {
            report.add(
                Images,
                State::Note,
                format!("{} is no blob", path.display()),
                "it was not put there by Coracle, and is left alone",
            );
        }
        Ok(())
    }

    fn check_layers(&self, repair: bool, report: &mut CheckReport) -> Result<(), Error> {
        use coracle_packager::layer::PackedDamage;
        let verified = self.layers.verify()?;
        report.layers = verified.layers;
        report.bytes = report.bytes.saturating_add(verified.bytes);
        for damage in &verified.damages {
            let (what, problem) = match damage {
                PackedDamage::Tar { problem, .. } => ("packed layer", problem),
                PackedDamage::Index { problem, .. } => ("index of packed layer", problem),
                PackedDamage::Chain { problem, .. } => ("merged index", problem),
                _ => continue,
            };
            let name = damage.path().file_name().unwrap_or_default();
            let problem = format!("{what} {}: {problem}", name.display());
            if repair {
                self.layers.discard_packed(damage)?;
                let meaning = "removed; the next run makes it again from the image's blobs";
                report.add(Place::Layers, State::Repaired, problem, meaning);
            } else {
                let meaning = "containers of its images may read wrong bytes";
                report.add(Place::Layers, State::Remains, problem, meaning);
            }
        }
        for path in &verified.unfinished {
            report.add(
                Place::Layers,
                State::Note,
                format!("{} is not of this version, or not whole", path.display()),
                "the next run of its image makes it again",
            );
        }
        #[cfg(target_os = "linux")]
        self.check_trees(repair, report)?;
        let mut swept = false;
        if repair && !verified.leftovers.is_empty() {
            self.layers.sweep()?;
            swept = true;
        }
        add_leftovers(report, Place::Layers, &verified.leftovers, swept);
        Ok(())
    }

    /// Compares unpacked layers with the packed ones.
    #[cfg(target_os = "linux")]
    fn check_trees(&self, repair: bool, report: &mut CheckReport) -> Result<(), Error> {
        let verified = self.layers.verify_trees()?;
        report.bytes = report.bytes.saturating_add(verified.bytes);
        for damage in &verified.damages {
            let name = damage.path.file_name().unwrap_or_default();
            let problem = format!("unpacked layer {}: {}", name.display(), damage.problem);
            if repair {
                self.layers.discard_tree(damage)?;
                let meaning = "removed; the next run of a Linux program makes it again";
                report.add(Place::Layers, State::Repaired, problem, meaning);
            } else {
                let meaning = "containers of its images may read wrong bytes";
                report.add(Place::Layers, State::Remains, problem, meaning);
            }
        }
        Ok(())
    }

    fn check_compiled(&self, repair: bool, report: &mut CheckReport) -> Result<(), Error> {
        let checked = self.wasm()?.check()?;
        report.programs = checked.files;
        for code in checked.damaged {
            let problem = format!("compiled program {} {}", code.path.display(), code.problem);
            if repair {
                remove_file(&code.path)?;
                let meaning = "removed; the next run compiles it again";
                report.add(Place::Compiled, State::Repaired, problem, meaning);
            } else {
                let meaning =
                    "a container that runs it may do anything within its sandbox, or crash";
                report.add(Place::Compiled, State::Remains, problem, meaning);
            }
        }
        Ok(())
    }

    fn check_containers(&self, repair: bool, report: &mut CheckReport) -> Result<(), Error> {
        use Place::Containers;
        // Listing clears away ended containers that were to remove themselves: that they are there is no finding.
        let listing = self.containers.list()?;
        let strays = self.containers.strays()?;
        report.containers = listing.containers.len();
        for error in listing.damaged {
            let error = Error::from(error);
            report.add(
                Containers,
                State::Remains,
                with_causes(&error),
                error
                    .hint()
                    .unwrap_or_else(|| "it cannot be run".to_owned()),
            );
        }
        for container in listing.containers {
            let manifest = coracle_packager::digest::Digest::parse(&container.config.manifest);
            let image = manifest
                .map_err(Error::from)
                .and_then(|digest| self.open_manifest(&digest));
            if image.is_err() {
                report.add(
                    Containers,
                    State::Note,
                    format!(
                        "the image {} of container {} is not here any more",
                        container.config.image, container.config.name
                    ),
                    "its files can still be removed with `coracle rm`",
                );
            }
        }
        if repair {
            for stray in &strays {
                self.containers.remove_stray(stray)?;
            }
        }
        add_leftovers(report, Containers, &strays, repair);
        Ok(())
    }
}

fn add_name_damage(
    report: &mut CheckReport,
    damage: &Damage,
    damaged: &BTreeSet<String>,
    repair: bool,
) {
    let (problem, meaning) = match damage {
        Damage::Names(error) => (
            with_causes(error),
            "no image can be found by its name; all blobs are kept. Repair it with `coracle system check --repair`".to_owned(),
        ),
        Damage::Absent {
            image,
            digest,
            size,
        } => {
            // It has been said already, with the image's name.
            if !repair && damaged.contains(digest) {
                return;
            }
            (
                format!("image {image} lacks its blob {digest} of {size} bytes"),
                format!("pull or build {image} again"),
            )
        }
        Damage::Document { image, source } => (
            format!("image {image}: {}", with_causes(source)),
            format!("pull or build {image} again, or remove it with `coracle rmi`"),
        ),
        _ => return,
    };
    report.add(Place::Images, State::Remains, problem, meaning);
}

/// Says which images are unusable without a blob.
fn needed_by(users: &BTreeMap<String, BTreeSet<String>>, digest: &str) -> String {
    match users.get(digest) {
        Some(images) => {
            let images: Vec<&str> = images.iter().map(String::as_str).collect();
            format!("pull or build again: {}", images.join(", "))
        }
        None => "no image needs it".to_owned(),
    }
}

/// What killed processes leave is no damage: it takes room until somebody sweeps it.
fn add_leftovers(report: &mut CheckReport, place: Place, paths: &[PathBuf], swept: bool) {
    let Some(first) = paths.first() else {
        return;
    };
    let parent = first.parent().unwrap_or(first);
    let problem = format!(
        "{} left by killed processes, such as {}",
        match paths.len() {
            1 => "one file or folder".to_owned(),
            count => format!("{count} files and folders"),
        },
        parent.join(first.file_name().unwrap_or_default()).display()
    );
    match swept {
        true => report.add(place, State::Repaired, problem, "removed"),
        false => report.add(
            place,
            State::Note,
            problem,
            "it takes room until a later command sweeps it",
        ),
    }
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| Error::File {
            doing: "removing",
            path: path.to_owned(),
            source,
        }),
    }
}
