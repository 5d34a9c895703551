//! What an upper says of the image's files: read by those who list or pack a container's changes.

use cap_std::fs::Dir;

use super::errno::{Errno, Result};
use super::host::HostDir;
use super::upper::{is_opaque_mark, is_reserved, whited_out};

/// A directory of an upper.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedDir {
    /// Does it hide all that the image has there?
    pub opaque: bool,
    /// Names that the container has made or changed, and directories above such; sorted.
    pub present: Vec<Vec<u8>>,
    /// Names of the image that the container has removed; sorted.
    pub removed: Vec<Vec<u8>>,
}

/// Reads one directory of an upper. `path` has names from the root, without `.` and `..`, parted by slashes; no link is followed.
/// Without such a directory there, nothing in it has changed.
///
/// # Errors
/// When it cannot be read.
pub fn changed(upper: &Dir, path: &[u8]) -> Result<ChangedDir> {
    let mut dir = HostDir::from(upper.try_clone().map_err(|_| Errno::Io)?);
    for name in path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
    {
        if is_reserved(name) {
            return Ok(ChangedDir::default());
        }
        dir = match dir.open_dir(name) {
            Ok(dir) => dir,
            Err(Errno::NoEntry | Errno::NotDir | Errno::Loop) => return Ok(ChangedDir::default()),
            Err(error) => return Err(error),
        };
    }
    let mut found = ChangedDir::default();
    for entry in dir.list()? {
        if is_opaque_mark(&entry.name) {
            found.opaque = true;
        } else if !is_reserved(&entry.name) {
            found.present.push(entry.name);
        } else if let Some(name) = whited_out(&dir, &entry.name) {
            found.removed.push(name);
        }
    }
    // Beside an entry, a whiteout has no effect.
    found.present.sort_unstable();
    found.removed.sort_unstable();
    found
        .removed
        .retain(|name| found.present.binary_search(name).is_err());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn an_upper_is_read_as_it_is_written() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let upper = Dir::open_ambient_dir(temp.path(), ambient_authority()).expect("the upper");
        for dir in ["a", "a/new"] {
            upper.create_dir(dir).expect(dir);
        }
        for file in [
            "a/f",
            "a/.wh.gone",
            "a/.wh.f",
            "a/new/.wh..wh..opq",
            "a/new/g",
        ] {
            upper.write(file, "").expect(file);
        }
        let names = |names: &[&str]| -> Vec<Vec<u8>> {
            names.iter().map(|name| name.as_bytes().to_vec()).collect()
        };
        let root = changed(&upper, b"").expect("the root");
        assert_eq!(
            (root.opaque, root.present, root.removed),
            (false, names(&["a"]), names(&[]))
        );
        let a = changed(&upper, b"a").expect("a");
        assert_eq!(
            (a.present, a.removed),
            (names(&["f", "new"]), names(&["gone"]))
        );
        let new = changed(&upper, b"a/new").expect("new");
        assert_eq!((new.opaque, new.present), (true, names(&["g"])));
        for none in ["b", "a/f", "a/.wh.gone", "a/f/g"] {
            assert_eq!(
                changed(&upper, none.as_bytes()).expect(none),
                ChangedDir::default()
            );
        }
    }
}
