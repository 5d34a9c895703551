//! Files in memory.

use std::sync::Arc;

use super::tree::{Content, Node, Pages, Tree};
use super::{Held, PAGE};
use crate::vfs::errno::{Errno, Result};
use crate::vfs::node::{SetTimes, Stat};

/// The longest file, as on the host: beyond, an offset is no number for many programs.
const MAX_LEN: u64 = i64::MAX as u64;

/// A handle on a file in memory. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::vfs) struct TmpFile(Arc<Held>);

/// One page's number, where in it, and how much of it is meant.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let page = PAGE as u64;
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        // Below PAGE, so it fits.
        let start = (at % page) as usize;
        let count = (PAGE - start).min(len - done);
        done += count;
        (count > 0).then_some((at / page, start, count))
    })
}

impl TmpFile {
    pub(super) fn new(held: Held) -> Self {
        Self(Arc::new(held))
    }

    fn node<T>(&self, call: impl FnOnce(&mut Node) -> Result<T>) -> Result<T> {
        call(self.0.shared.lock().node_mut(self.0.ino)?)
    }

    pub(in crate::vfs) fn stat(&self) -> Result<Stat> {
        self.node(|node| Ok(self.0.stat(node, self.0.ino)))
    }

    pub(in crate::vfs) fn set_times(&self, times: SetTimes) -> Result<()> {
        self.node(|node| node.set_times(times))
    }

    pub(in crate::vfs) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.node(|node| {
            let Content::File(file) = &node.content else {
                return Err(Errno::Io);
            };
            let left = usize::try_from(file.len.saturating_sub(offset)).unwrap_or(usize::MAX);
            let buffer = &mut buffer[..];
            let len = left.min(buffer.len());
            let mut rest = &mut buffer[..len];
            for (number, start, count) in pieces(offset, len) {
                let (part, after) = rest.split_at_mut(count);
                match file.pages.get(&number) {
                    Some(page) => part.copy_from_slice(&page[start..start + count]),
                    None => part.fill(0),
                }
                rest = after;
            }
            Ok(len)
        })
    }

    /// Writes as much as there is room for; `NoSpace` if that is nothing.
    pub(in crate::vfs) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        self.write(bytes, |_| offset)
    }

    pub(in crate::vfs) fn append(&self, bytes: &[u8]) -> Result<usize> {
        self.write(bytes, |len| len)
    }

    fn write(&self, bytes: &[u8], offset: impl FnOnce(u64) -> u64) -> Result<usize> {
        let mut tree = self.0.shared.lock();
        let mut room = tree.left() / PAGE as u64;
        let node = tree.node_mut(self.0.ino)?;
        let Content::File(file) = &mut node.content else {
            return Err(Errno::Io);
        };
        if bytes.is_empty() {
            return Ok(0);
        }
        let offset = offset(file.len);
        if offset >= MAX_LEN {
            return Err(Errno::FileTooLarge);
        }
        let most = usize::try_from(MAX_LEN - offset).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(most)];
        let (mut done, mut added) = (0, 0);
        for (number, start, count) in pieces(offset, bytes.len()) {
            let page = match file.pages.get_mut(&number) {
                Some(page) => page,
                None if room == 0 => break,
                None => {
                    room -= 1;
                    added += 1;
                    file.pages
                        .entry(number)
                        .or_insert_with(|| Box::new([0; PAGE]))
                }
            };
            page[start..start + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        if done > 0 {
            file.len = file.len.max(offset + done as u64);
            node.touch();
        }
        tree.take(added * PAGE as u64)?;
        if done == 0 {
            return Err(Errno::NoSpace);
        }
        Ok(done)
    }

    pub(in crate::vfs) fn set_len(&self, len: u64) -> Result<()> {
        self.change(|tree, ino| {
            let node = tree.node_mut(ino)?;
            let Content::File(file) = &mut node.content else {
                return Err(Errno::Io);
            };
            if len > MAX_LEN {
                return Err(Errno::FileTooLarge);
            }
            let freed = cut(file, len);
            file.len = len;
            node.touch();
            tree.give(freed);
            Ok(())
        })
    }

    /// Makes all pages of a range.
    pub(in crate::vfs) fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset
            .checked_add(len)
            .filter(|&end| end <= MAX_LEN)
            .ok_or(Errno::FileTooLarge)?;
        self.change(|tree, ino| {
            let left = tree.left();
            let node = tree.node_mut(ino)?;
            let Content::File(file) = &mut node.content else {
                return Err(Errno::Io);
            };
            let page = PAGE as u64;
            let numbers = offset / page..end.div_ceil(page);
            let there = file.pages.range(numbers.clone()).count() as u64;
            let cost = (numbers.end - numbers.start - there)
                .checked_mul(page)
                .filter(|&cost| cost <= left)
                .ok_or(Errno::NoSpace)?;
            for number in numbers {
                file.pages
                    .entry(number)
                    .or_insert_with(|| Box::new([0; PAGE]));
            }
            file.len = file.len.max(end);
            node.ctime = super::tree::now();
            tree.take(cost)
        })
    }

    fn change<T>(&self, call: impl FnOnce(&mut Tree, u64) -> Result<T>) -> Result<T> {
        call(&mut self.0.shared.lock(), self.0.ino)
    }
}

/// Drops what is beyond `len`; yields how many bytes that frees.
fn cut(file: &mut Pages, len: u64) -> u64 {
    let page = PAGE as u64;
    let dropped = file.pages.split_off(&len.div_ceil(page));
    if let Some(last) = file.pages.get_mut(&(len / page)) {
        last[(len % page) as usize..].fill(0);
    }
    dropped.len() as u64 * page
}
