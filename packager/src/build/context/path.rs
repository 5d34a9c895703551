//! Paths of the build context, as text and step by step.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path};

use super::ContextError;

/// Is it a relative path that does not climb?
pub(in crate::build) fn is_inside(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Does a link in a directory of the context lead to a place in the context, by its text?
pub(in crate::build) fn stays_below(directory: &Path, target: &Path) -> bool {
    let mut depth = directory.components().count();
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

/// Pushes the parts of a relative path so that the first one is popped first.
pub(in crate::build) fn push_parts(stack: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    stack.extend(parts);
}

pub(in crate::build) fn or_dot(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

/// A path of the context with slashes, for messages and for ignore rules.
pub(in crate::build) fn shown(path: &Path) -> String {
    let parts: Vec<_> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    }
}

/// The bytes of a name as they go into the image. Unix names may hold any bytes; elsewhere they must be Unicode.
pub(in crate::build) fn bytes(name: &OsStr, path: &Path) -> Result<Vec<u8>, ContextError> {
    if cfg!(unix) || name.to_str().is_some() {
        Ok(name.as_encoded_bytes().to_vec())
    } else {
        let path = shown(path);
        Err(ContextError::Name { path })
    }
}

/// The bytes of a path as they go into the image.
pub(in crate::build) fn slashed(path: &Path) -> Result<Vec<u8>, ContextError> {
    let parts = path.iter().map(|part| bytes(part, path));
    Ok(parts.collect::<Result<Vec<_>, _>>()?.join(&b'/'))
}
