//! What a guest or an image can make the host do at most.

/// Bytes in one name, as on Linux. A longer one can't be stored on common host file systems.
pub(super) const MAX_NAME: usize = 255;

/// Bytes in a path or a symlink's target, as on Linux (`PATH_MAX`).
pub(super) const MAX_PATH: usize = 4096;

/// What the path of an open directory may take, in bytes: its names, and [`NAME_COST`] for each. A guest can go deeper than
/// [`MAX_PATH`] through handles, some thousand levels, and have thousands of handles.
pub(super) const MAX_HANDLE_PATH: usize = 64 * 1024;

/// What one name in memory takes besides its bytes.
pub(super) const NAME_COST: usize = 56;

/// Symlinks that one path may lead through, as on Linux. Ends loops.
pub(super) const MAX_LINKS: usize = 40;

/// Entries of one directory that a listing holds in memory; about 100 MiB of names.
pub(super) const MAX_LISTED: usize = 1 << 20;

/// Entries that the rename of a directory from the image copies at most, about half a second's work. Beyond, the
/// answer is `CrossDevice`, as the kernel's overlayfs gives always: programs then copy and delete by themselves.
pub(super) const MAX_COPIED_TREE: usize = 16 * 1024;

/// Levels of directories that such a copy, or a clean-up, descends: each holds a descriptor.
pub(super) const MAX_TREE_DEPTH: usize = 128;

/// Directories of the upper that are looked through for one that another process moved; some 50 milliseconds.
pub(super) const MAX_SEARCHED: usize = 16 * 1024;

/// How often a call starts anew because another process changed the names under it.
pub(super) const MAX_RACES: usize = 64;
