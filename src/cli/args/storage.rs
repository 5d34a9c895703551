//! The flags about files: what is mounted, and how large the container's own may be.

use std::path::Path;

use coracle_runtime::container::MountConfig;
use coracle_runtime::policy::quantity::Size;

use super::super::error::Failure;
use super::{mount, mount_list, tmpfs};

/// What files there are besides the image's.
#[derive(clap::Args)]
#[command(next_help_heading = "Files")]
pub(in super::super) struct StorageArgs {
    /// Let the guest use a host folder or file
    #[arg(short, long = "volume", value_name = "HOST:GUEST[:ro]")]
    volumes: Vec<String>,
    /// Mount as in Docker: type=bind,source=HOST,target=GUEST[,readonly] or type=tmpfs,target=GUEST
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
        volumes.chain(mounts).chain(memory).collect()
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

    #[test]
    fn only_a_size_is_an_option() {
        let resolve = |options: &[&str]| {
            let options = options.iter().map(|text| (*text).to_owned()).collect();
            let args = StorageArgs {
                volumes: Vec::new(),
                mounts: Vec::new(),
                tmpfs: Vec::new(),
                options,
            };
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
