//! Paths inside a layer: bytes, relative to the root, without `.` and `..`.

use super::error::TarError;
use super::limits::{MAX_NAME_LEN, MAX_PATH_LEN};

/// Splits the path of a tar entry into its components.
///
/// `./x`, `/x` and `x//` are all `x`, as for Docker. `..` is resolved by the text alone; a path that would leave the root is
/// refused. The root itself has no components.
pub(super) fn components(path: &[u8]) -> Result<Vec<&[u8]>, TarError> {
    if path.len() > MAX_PATH_LEN {
        return Err(TarError::PathTooLong {
            path: text(path.get(..64).unwrap_or(path)),
            len: path.len(),
        });
    }
    if path.contains(&0) {
        return Err(TarError::NulInPath { path: text(path) });
    }
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    return Err(TarError::Outside { path: text(path) });
                }
            }
            _ if part.len() > MAX_NAME_LEN => {
                return Err(TarError::NameTooLong {
                    path: text(path),
                    len: part.len(),
                });
            }
            _ => parts.push(part),
        }
    }
    Ok(parts)
}

/// Returns a path as text for a message; bytes that are no UTF-8 are replaced.
pub(super) fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(path: &[u8]) -> Vec<u8> {
        components(path).expect("valid path").join(&b'/')
    }

    #[test]
    fn spellings_of_one_path() {
        for path in [
            "a/b",
            "./a/b",
            "/a/b",
            "a//b/",
            "./a/./b/.",
            "a/x/../b",
            "//a/b",
        ] {
            assert_eq!(joined(path.as_bytes()), b"a/b", "{path}");
        }
        assert_eq!(joined(b"./"), b"");
        assert_eq!(joined(b"/"), b"");
        assert_eq!(joined(b"a/.."), b"");
        assert_eq!(joined(b"\xff\xfe/..."), b"\xff\xfe/...");
    }

    #[test]
    fn paths_that_leave_the_root() {
        for path in ["..", "../x", "a/../../x", "/../etc/passwd", "./.."] {
            let error = components(path.as_bytes()).expect_err("leaves");
            assert!(matches!(error, TarError::Outside { .. }), "{path}: {error}");
            assert!(error.to_string().contains(path), "{error}");
        }
    }

    #[test]
    fn lengths() {
        let name = [b'n'; MAX_NAME_LEN];
        assert_eq!(joined(&name), name);
        assert!(matches!(
            components(&[b'n'; MAX_NAME_LEN + 1]),
            Err(TarError::NameTooLong { len: 256, .. })
        ));
        let long = b"d/".repeat(MAX_PATH_LEN / 2);
        assert_eq!(components(&long).expect("just fits").len(), 2048);
        assert!(matches!(
            components(&[&long[..], b"x"].concat()),
            Err(TarError::PathTooLong { len: 4097, .. })
        ));
        assert!(matches!(
            components(b"a\0b"),
            Err(TarError::NulInPath { .. })
        ));
    }
}
