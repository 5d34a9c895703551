//! The flags about files: what is mounted, and how large the container's own may be.

use std::collections::BTreeSet;
use std::path::Path;

use coracle_runtime::container::MountConfig;
use coracle_runtime::policy::quantity::Size;

use super::super::error::Failure;
use super::{mount, mount_list, tmpfs};
use crate::engine::VolumesFrom;

/// What files there are besides the image's.
#[derive(clap::Args)]
#[command(next_help_heading = "Files")]
pub(in super::super) struct StorageArgs {
    /// Let the guest use a host folder or file; or a volume, which is made if it is not there: NAME:GUEST, or GUEST for a new one
    #[arg(short, long = "volume", value_name = "HOST:GUEST[:ro]")]
    volumes: Vec<String>,
    /// Mount what another container has mounted
    #[arg(long, value_name = "CONTAINER[:ro]")]
    volumes_from: Vec<String>,
    /// Mount as in Docker: type=volume,source=NAME,target=GUEST, type=bind,source=HOST,target=GUEST[,readonly] or type=tmpfs,target=GUEST
    #[arg(long = "mount", value_name = "KEY=VALUE,…")]
    mounts: Vec<String>,
    /// Mount memory, 256 MiB at most unless size= says otherwise
    #[arg(long, value_name = "GUEST[:size=SIZE,mode=MODE,ro]")]
    tmpfs: Vec<String>,
    /// Bound the container's own files, as size=SIZE, such as size=1g
    #[arg(long = "storage-opt", value_name = "size=SIZE")]
    options: Vec<String>,
}

impl StorageArgs {
    /// Returns what is mounted. Relative host paths count from `here`.
    pub(in super::super) fn mounts(&self, here: &Path) -> Result<Vec<MountConfig>, Failure> {
        let volumes = self.volumes.iter().map(|text| mount::parse(text, here));
        let mounts = self.mounts.iter().map(|text| mount_list::parse(text, here));
        let memory = self.tmpfs.iter().map(|text| tmpfs::parse(text));
        let all: Vec<MountConfig> = volumes
            .chain(mounts)
            .chain(memory)
            .collect::<Result<_, _>>()?;
        let mut places = BTreeSet::new();
        for mount in &all {
            if !places.insert(parts(&mount.target)) {
                return Err(
                    Failure::usage(format!("duplicate mount point: {}", mount.target))
                        .with_hint("mount one thing at each path of the container"),
                );
            }
        }
        Ok(all)
    }

    /// Returns the containers whose mounts are wanted as well.
    pub(in super::super) fn volumes_from(&self) -> Result<Vec<VolumesFrom>, Failure> {
        let one = |text: &String| {
            let (container, mode) = text.split_once(':').unwrap_or((text, "rw"));
            let read_only = match mode {
                "ro" => true,
                "rw" => false,
                _ => {
                    return Err(Failure::usage(format!(
                        "parsing --volumes-from {text:?}: unknown mode `{mode}`, want `ro` or `rw`"
                    )));
                }
            };
            if container.is_empty() {
                return Err(Failure::usage(format!(
                    "parsing --volumes-from {text:?}: no container is named"
                )));
            }
            Ok(VolumesFrom {
                container: container.to_owned(),
                read_only,
            })
        };
        self.volumes_from.iter().map(one).collect()
    }

    /// Returns the bound on the container's own files in bytes, if there is one. The last one counts.
    pub(in super::super) fn limit(&self) -> Result<Option<u64>, Failure> {
        let mut limit = None;
        for text in &self.options {
            let wrong = |problem: String| {
                Failure::usage(format!("parsing --storage-opt {text:?}: {problem}"))
            };
            let size = text
                .strip_prefix("size=")
                .ok_or_else(|| wrong("only size=SIZE is known".to_owned()))?;
            limit = Some(bytes(size).map_err(wrong)?);
        }
        Ok(limit)
    }
}

/// Returns the names that a path is made of.
fn parts(path: &str) -> Vec<&str> {
    path.split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect()
}

/// Reads a size in which something fits.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    match text.parse::<Size>() {
        Ok(size) if size.bytes() == 0 => Err("nothing fits into 0 bytes".to_owned()),
        Ok(size) => Ok(size.bytes()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> StorageArgs {
        StorageArgs {
            volumes: Vec::new(),
            volumes_from: Vec::new(),
            mounts: Vec::new(),
            tmpfs: Vec::new(),
            options: Vec::new(),
        }
    }

    #[test]
    fn one_place_is_mounted_once() {
        let args = StorageArgs {
            volumes: vec!["db:/a/b".to_owned()],
            tmpfs: vec!["/a//b/".to_owned()],
            ..args()
        };
        assert!(args.mounts(Path::new("/")).is_err());
        let args = StorageArgs {
            tmpfs: vec!["/a".to_owned()],
            ..args
        };
        assert_eq!(args.mounts(Path::new("/")).expect("two places").len(), 2);
    }

    #[test]
    fn mounts_of_others() {
        let resolve = |text: &str| {
            let args = StorageArgs {
                volumes_from: vec![text.to_owned()],
                ..args()
            };
            let from = args.volumes_from().ok()?.pop()?;
            Some((from.container, from.read_only))
        };
        assert_eq!(resolve("db"), Some(("db".to_owned(), false)));
        assert_eq!(resolve("db:ro"), Some(("db".to_owned(), true)));
        assert_eq!(resolve("db:z"), None);
        assert_eq!(resolve(":ro"), None);
    }

    #[test]
    fn only_a_size_is_an_option() {
        let resolve = |options: &[&str]| {
            let options = options.iter().map(|text| (*text).to_owned()).collect();
            let args = StorageArgs { options, ..args() };
            args.limit().ok()
        };
        assert_eq!(resolve(&[]), Some(None));
        assert_eq!(resolve(&["size=64m"]), Some(Some(64 << 20)));
        assert_eq!(resolve(&["size=1g", "size=1k"]), Some(Some(1024)));
        for bad in ["64m", "size", "size=", "size=0", "size=x", "inodes=5", ""] {
            assert_eq!(resolve(&[bad]), None, "{bad}");
        }
    }
}
