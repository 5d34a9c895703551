//! Moving names.
//!
//! A directory that shows anything of the lower is copied into the upper whole and marked opaque first, then it is
//! the upper's alone and moves as one name. The order of steps: copies; the whiteout at the old name, without effect
//! while the entry is there; the move, which is atomic; at the new name the whiteout's removal, without effect since
//! the entry is there. So a kill leaves the old names or the new ones.

use super::copy_up::{times, unchanged};
use super::directory::Handle;
use super::errno::{Errno, Result};
use super::guest_fs::Fs;
use super::host::HostDir;
use super::limits::{MAX_COPIED_TREE, MAX_TREE_DEPTH};
use super::lower::NodeId;
use super::node::FileKind;
use super::place::{Body, Entry, Place};
use super::quota::ENTRY_COST;
use super::upper::{
    Guard, clear_whiteout, is_opaque, is_whited_out, set_opaque, set_whiteout, whited_out,
};
use super::walk::{Follow, Found};

impl Fs {
    pub(super) fn rename(&self, from: (&Handle, &[u8]), to: (&Handle, &[u8])) -> Result<()> {
        if let Some(()) = self.rename_directly(from, to)? {
            return Ok(());
        }
        let guard = self.guard()?;
        let old = self.resolve(from.0, from.1, Follow::Never)?;
        let new = self.resolve(to.0, to.1, Follow::Never)?;
        // Between two mounts nothing moves, and that is said first, as Linux does.
        if old.dir().mount() != new.dir().mount() {
            return Err(Errno::CrossDevice);
        }
        let name = old.name(Errno::Busy, Errno::Busy)?;
        let new_name = new.name(Errno::Busy, Errno::Busy)?;
        self.check_writable(old.dir())?;
        if !self.check_rename(&old, &new)? {
            return Ok(());
        }
        match (&old.dir().body, &new.dir().body, &guard) {
            (
                Body::Mounted { dir: Some(dir), .. },
                Body::Mounted {
                    dir: Some(new_dir), ..
                },
                _,
            ) => dir.rename(name, new_dir, new_name),
            (Body::Own { .. }, Body::Own { .. }, Some(guard)) => match &old.entry {
                Entry::Directory(place) => self.rename_dir(guard, &old, place, &new),
                _ => self.rename_file(guard, &old, &new),
            },
            _ => Err(Errno::ReadOnly),
        }
    }

    /// POSIX' rules, in Linux' order. `false` if there is nothing to do.
    fn check_rename(&self, old: &Found, new: &Found) -> Result<bool> {
        let is_dir = match old.entry {
            Entry::Absent => return Err(Errno::NoEntry),
            Entry::Directory(_) => true,
            _ => false,
        };
        if !is_dir && (old.slash || new.slash) {
            return Err(Errno::NotDir);
        }
        // Where the paths are not known for sure, the host finds out when it moves the directory.
        if old.path_is_true() && new.path_is_true() {
            let (old_path, new_path) = (old.path(), new.path());
            let inside = |inner: &[Vec<u8>], outer: &[Vec<u8>]| {
                inner.len() > outer.len() && inner.starts_with(outer)
            };
            if is_dir && inside(&new_path, &old_path) {
                return Err(Errno::Invalid);
            }
            if inside(&old_path, &new_path) {
                return Err(Errno::NotEmpty);
            }
        }
        let target = match &new.entry {
            Entry::Absent => None,
            entry => Some((self.entry_stat(entry)?, entry)),
        };
        match &target {
            None => self.check_new_name(new.dir(), new.name(Errno::Busy, Errno::Busy)?)?,
            Some((stat, entry)) => {
                let source = self.entry_stat(&old.entry)?;
                if (source.dev, source.ino) == (stat.dev, stat.ino) {
                    return Ok(false);
                }
                match (is_dir, stat.kind == FileKind::Directory) {
                    (true, false) => return Err(Errno::NotDir),
                    (false, true) => return Err(Errno::IsDir),
                    _ => {}
                }
                if entry.holds_mount() {
                    return Err(Errno::Busy);
                }
            }
        }
        if old.entry.holds_mount() {
            return Err(Errno::Busy);
        }
        if let Some((_, Entry::Directory(place))) = &target
            && !self.is_empty(place)?
        {
            return Err(Errno::NotEmpty);
        }
        Ok(true)
    }

    fn rename_file(&self, guard: &Guard<'_>, old: &Found, new: &Found) -> Result<()> {
        let name = old.name(Errno::Busy, Errno::Busy)?;
        let new_name = new.name(Errno::Busy, Errno::Busy)?;
        let dir = self.bring_up(guard, &old.dirs, name, &old.entry)?;
        let new_dir = self.ensure_upper(guard, &new.dirs)?;
        if self.lower_child(own_lower(old.dir()), name)?.is_some() {
            set_whiteout(&dir, name, guard)?;
        }
        let moving = || dir.rename(name, &new_dir, new_name);
        match new.entry {
            Entry::Upper(_) => guard.giving(&new_dir, new_name, moving)?,
            _ => moving()?,
        }
        self.uncover(guard, &new_dir, own_lower(new.dir()), new_name)
    }

    fn rename_dir(&self, guard: &Guard<'_>, old: &Found, place: &Place, new: &Found) -> Result<()> {
        let name = old.name(Errno::Busy, Errno::Busy)?;
        let new_name = new.name(Errno::Busy, Errno::Busy)?;
        let Body::Own { upper, lower } = &place.body else {
            return Err(Errno::Busy);
        };
        if let Some(lower) = lower {
            self.count_tree(*lower, 0, &mut 0)?;
        }
        let dir = self.ensure_upper(guard, &old.dirs)?;
        let new_dir = self.ensure_upper(guard, &new.dirs)?;
        let moving = match upper {
            Some(upper) => upper.clone(),
            None => self.copy_up_dir(guard, &dir, name, *lower)?,
        };
        if let Some(lower) = lower {
            self.copy_tree(guard, &moving, *lower)?;
        }
        let hides = self.lower_child(own_lower(new.dir()), new_name)?.is_some();
        if hides {
            unchanged(&moving, || set_opaque(&moving, guard))?;
        }
        if self.lower_child(own_lower(old.dir()), name)?.is_some() {
            set_whiteout(&dir, name, guard)?;
        }
        match &new.entry {
            Entry::Directory(Place {
                body:
                    Body::Own {
                        upper: Some(target),
                        ..
                    },
                ..
            }) if !target.list()?.is_empty() => {
                // Empty for the guest, but with marks in it, so the host won't replace it.
                set_opaque(target, guard)?;
                match dir.exchange(name, &new_dir, new_name) {
                    Ok(()) => self.writable_upper()?.discard_dir(guard, &dir, name)?,
                    Err(Errno::NotSupported) => {
                        if hides {
                            set_whiteout(&new_dir, new_name, guard)?;
                        }
                        self.writable_upper()?
                            .discard_dir(guard, &new_dir, new_name)?;
                        dir.rename(name, &new_dir, new_name)?;
                    }
                    Err(error) => return Err(error),
                }
            }
            _ => dir.rename(name, &new_dir, new_name)?,
        }
        if let Entry::Directory(Place {
            body: Body::Own { upper: Some(_), .. },
            ..
        }) = &new.entry
        {
            guard.give(ENTRY_COST);
        }
        if hides {
            clear_whiteout(&new_dir, new_name, guard)?;
        }
        Ok(())
    }

    /// `CrossDevice` for a tree that is not copied: too large, or with devices or pipes in it.
    fn count_tree(&self, dir: NodeId, depth: usize, count: &mut usize) -> Result<()> {
        let mut below = Vec::new();
        self.each_lower(dir, |_, node, kind| {
            *count += 1;
            match kind {
                _ if *count > MAX_COPIED_TREE || depth >= MAX_TREE_DEPTH => {
                    return Err(Errno::CrossDevice);
                }
                FileKind::Directory => below.push(node),
                FileKind::File | FileKind::Symlink => {}
                _ => return Err(Errno::CrossDevice),
            }
            Ok(())
        })?;
        below
            .into_iter()
            .try_for_each(|node| self.count_tree(node, depth + 1, count))
    }

    /// Copies what a merged directory shows of the lower, then marks it opaque: the guest sees no difference.
    fn copy_tree(&self, guard: &Guard<'_>, dir: &HostDir, lower: NodeId) -> Result<()> {
        let mut nodes = Vec::new();
        self.each_lower(lower, |name, node, kind| {
            nodes.push((name.to_vec(), node, kind));
            Ok(())
        })?;
        let before = dir.stat()?;
        for (name, node, kind) in nodes {
            match (dir.stat_at(&name)?.map(|stat| stat.kind), kind) {
                (Some(FileKind::Directory), FileKind::Directory) => {
                    let inside = dir.open_dir(&name)?;
                    if !is_opaque(&inside)? {
                        self.copy_tree(guard, &inside, node)?;
                    }
                }
                (Some(_), _) => {}
                (None, _) if is_whited_out(dir, &name)? => {}
                (None, FileKind::Directory) => {
                    let inside = self.copy_up_dir(guard, dir, &name, Some(node))?;
                    self.copy_tree(guard, &inside, node)?;
                }
                (None, _) => self.copy_up(guard, dir, &name, node, &self.lower_stat(node)?)?,
            }
        }
        set_opaque(dir, guard)?;
        // They have nothing left to hide.
        for entry in dir.list()? {
            if let Some(hidden) = whited_out(dir, &entry.name) {
                clear_whiteout(dir, &hidden, guard)?;
            }
        }
        dir.set_times(times(&before))
    }
}

fn own_lower(place: &Place) -> Option<NodeId> {
    match place.body {
        Body::Own { lower, .. } => lower,
        Body::Mounted { .. } => None,
    }
}
