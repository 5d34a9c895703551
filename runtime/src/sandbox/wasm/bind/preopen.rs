//! Where a guest's paths start: its root, and its working directory.
//!
//! WASI before 0.3 has no working directory of its own; what there is, programs make of the directories that they find
//! open, by name. With `/` as the working directory one directory named `/` is right for all of them. With another one:
//!
//! | programs | what they do | what they get |
//! |---|---|---|
//! | wasi-libc since 2020 (C, C++, Rust, Python, Ruby, PHP) | starts every relative path at `/`, drops the leading `/` of all paths, and takes the directory named `/` or `.` that came last | [`Start::Guess`], below |
//! | Go | takes `PWD`, then the directory named `/` | the root |
//! | Zig without libc | takes the first directory | the working directory |
//!
//! So there are three: `.` as it is, `/` as it is, and `.` once more, where `x` may mean `/x` as well as `x`. That one
//! finds what exists, first from the root, then from the working directory; and makes new things in the working
//! directory, unless only the root has the directory that is to hold them. `.` itself is the working directory.

use std::borrow::Cow;

use crate::vfs::{Directory, Errno, GuestFs, Node, OpenOptions, Result};

/// Where relative paths of one open directory start.
#[derive(Clone)]
pub(in super::super) enum Start {
    /// In this directory.
    At(Directory),
    /// In the root or in the working directory: nobody can tell.
    Guess(Box<Guess>),
}

/// A root and a working directory that a program can't tell apart.
#[derive(Clone)]
pub(in super::super) struct Guess {
    root: Directory,
    cwd: Directory,
    /// The working directory's path from the root, without `/` at either end.
    prefix: Vec<u8>,
}

impl Start {
    /// Returns the directory itself.
    pub(super) fn directory(&self) -> &Directory {
        match self {
            Self::At(directory) => directory,
            Self::Guess(guess) => &guess.cwd,
        }
    }

    /// Returns the directory that a path is relative to, and the path from there.
    pub(super) fn place<'a>(&'a self, path: &'a [u8]) -> (&'a Directory, Cow<'a, [u8]>) {
        match self {
            Self::At(directory) => (directory, Cow::Borrowed(path)),
            Self::Guess(guess) => guess.place(path),
        }
    }
}

impl Guess {
    fn place<'a>(&'a self, path: &'a [u8]) -> (&'a Directory, Cow<'a, [u8]>) {
        let from_root = |path: Cow<'a, [u8]>| (&self.root, path);
        // Below the root, so that `..` can lead out of the working directory, as it does for other programs.
        let in_cwd = || Cow::Owned([&self.prefix[..], b"/", path].concat());
        let exists = |path: &[u8]| self.root.stat_at(path, false).is_ok();
        if path.starts_with(b"/") {
            // The file system refuses it, in the words of WASI.
            return from_root(Cow::Borrowed(path));
        }
        let mut names = path
            .split(|&byte| byte == b'/')
            .filter(|name| !matches!(*name, b"" | b"."));
        if names.next().is_none() {
            return from_root(in_cwd());
        }
        if exists(path) {
            return from_root(Cow::Borrowed(path));
        }
        let end = path.iter().rposition(|&byte| byte != b'/').unwrap_or(0);
        let parent = path[..end]
            .iter()
            .rposition(|&byte| byte == b'/')
            .map(|slash| &path[..slash]);
        match parent {
            Some(parent) if exists(parent) && self.root.stat_at(&in_cwd(), false).is_err() => {
                from_root(Cow::Borrowed(path))
            }
            _ => from_root(in_cwd()),
        }
    }
}

/// Opens the directories that a guest starts with, by name.
pub(in super::super) fn preopens(fs: &GuestFs, cwd: &str) -> Result<Vec<(&'static str, Start)>> {
    let root = fs.root();
    let prefix = from_root("/", cwd);
    if prefix.is_empty() {
        return Ok(vec![("/", Start::At(root))]);
    }
    let options = OpenOptions {
        read: true,
        directory: true,
        follow: true,
        ..OpenOptions::default()
    };
    let Node::Directory(cwd) = root.open(&prefix, &options)? else {
        return Err(Errno::NotDir);
    };
    let guess = Guess {
        root: root.clone(),
        cwd: cwd.clone(),
        prefix,
    };
    Ok(vec![
        (".", Start::At(cwd)),
        ("/", Start::At(root)),
        (".", Start::Guess(Box::new(guess))),
    ])
}

/// Turns a guest path, absolute or relative to `cwd`, into one relative to the root. Empty for the root itself.
pub(in super::super) fn from_root(cwd: &str, path: &str) -> Vec<u8> {
    let base = if path.starts_with('/') { "" } else { cwd };
    let mut names: Vec<&str> = Vec::new();
    for name in base.split('/').chain(path.split('/')) {
        match name {
            "" | "." => {}
            // Only a plain name can be taken back; behind a link, `..` is where the file system says it is.
            ".." if names.is_empty() => {}
            name => names.push(name),
        }
    }
    names.join("/").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_from_the_root() {
        let cases = [
            ("/", "/", ""),
            ("/", "app", "app"),
            ("/app", "x.wasm", "app/x.wasm"),
            ("/app/", "./bin//x.wasm", "app/bin/x.wasm"),
            ("/app", "/x.wasm", "x.wasm"),
            ("/app", "../x.wasm", "app/../x.wasm"),
            ("/", "/../../etc/passwd", "etc/passwd"),
            ("", "", ""),
        ];
        for (cwd, path, want) in cases {
            assert_eq!(from_root(cwd, path), want.as_bytes(), "{cwd} {path}");
        }
    }
}
