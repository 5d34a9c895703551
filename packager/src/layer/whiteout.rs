//! Whiteouts: names that stand for what a layer removes.
//!
//! OCI image specification, layer.md, "Whiteouts" and "Opaque Whiteout".

/// Starts the name of every whiteout.
pub(super) const PREFIX: &[u8] = b".wh.";

/// Name that hides all that lower layers have in its directory.
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";

/// Starts the names of aufs' own files (`.wh..wh.plnk`, `.wh..wh.aufs`), which old Docker layers still carry.
const AUFS: &[u8] = b".wh..wh.";

/// What a name means in a layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// The name itself.
    Plain,
    /// The name removed from lower layers.
    Whiteout(&'a [u8]),
    /// Everything that lower layers have in this directory is hidden.
    Opaque,
    /// aufs' book-keeping: no part of the file system.
    Ignored,
    /// A whiteout of nothing, or of `.` or `..`.
    Invalid,
}

/// Returns what `name`, one component of a path, means.
pub(super) fn meaning(name: &[u8]) -> Meaning<'_> {
    if name == OPAQUE {
        return Meaning::Opaque;
    }
    if name.starts_with(AUFS) {
        return Meaning::Ignored;
    }
    match name.strip_prefix(PREFIX) {
        None => Meaning::Plain,
        Some(b"" | b"." | b"..") => Meaning::Invalid,
        Some(hidden) => Meaning::Whiteout(hidden),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, want) in [
            (&b"x"[..], Meaning::Plain),
            (b".wh", Meaning::Plain),
            (b"x.wh.y", Meaning::Plain),
            (b".wh.x", Meaning::Whiteout(b"x")),
            (b".wh..x", Meaning::Whiteout(b".x")),
            (b".wh..wh..opq", Meaning::Opaque),
            (b".wh..wh.plnk", Meaning::Ignored),
            (b".wh..wh.", Meaning::Ignored),
            (b".wh.", Meaning::Invalid),
            (b".wh..", Meaning::Invalid),
            (b".wh...", Meaning::Invalid),
            (b".wh....", Meaning::Whiteout(b"...")),
        ] {
            assert_eq!(meaning(name), want, "{}", name.escape_ascii());
        }
    }
}
