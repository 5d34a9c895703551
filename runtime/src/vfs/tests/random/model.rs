//! The simplest file system that follows POSIX' rules: a tree in memory.

use super::*;

type Id = usize;

enum Content {
    Directory(BTreeMap<String, Id>),
    File(Vec<u8>),
    Symlink(String),
}

pub(super) struct Model {
    nodes: Vec<Content>,
    held: Option<Id>,
    remembered: Option<Id>,
}

/// Where a path leads: the directories from the root, the last name, and what it stands for.
struct Target<'a> {
    dirs: Vec<Id>,
    /// `None` for a path that ends in `.` or `..`, which is then the last of `dirs`.
    name: Option<String>,
    dot_dot: bool,
    node: Option<Id>,
    slash: bool,
    model: &'a Model,
}

impl Target<'_> {
    fn dir(&self) -> Id {
        *self.dirs.last().expect("at least the root")
    }

    fn is_dir(&self) -> bool {
        self.node
            .is_some_and(|node| matches!(self.model.nodes[node], Content::Directory(_)))
    }

    /// For calls that need it to be there.
    fn existing(&self) -> Result<Id> {
        match self.node {
            None => Err(Errno::NoEntry),
            Some(_) if self.slash && !self.is_dir() => Err(Errno::NotDir),
            Some(node) => Ok(node),
        }
    }

    /// For calls that need it not to be there.
    fn free(&self) -> Result<(Id, String)> {
        match (&self.name, self.node) {
            (Some(name), None) => Ok((self.dir(), name.clone())),
            _ => Err(Errno::Exist),
        }
    }
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Content::Directory(BTreeMap::new())],
            held: None,
            remembered: None,
        }
    }

    /// `follow`: what to do with a symlink at the end, and what if a slash comes after it.
    fn find(&self, path: &str, follow: bool, follow_slash: bool) -> Result<Target<'_>> {
        let mut dirs = vec![0];
        let mut rest = path.to_owned();
        let mut links = 0;
        loop {
            let trimmed = rest.trim_start_matches('/').to_owned();
            let (name, after) = match trimmed.find('/') {
                Some(at) => (trimmed[..at].to_owned(), trimmed[at..].to_owned()),
                None => (trimmed, String::new()),
            };
            let is_last = after.trim_matches('/').is_empty();
            let here = *dirs.last().expect("at least the root");
            if matches!(name.as_str(), "" | "." | "..") {
                if name == ".." && dirs.len() > 1 {
                    dirs.pop();
                }
                if is_last {
                    let node = dirs.last().copied();
                    return Ok(Target {
                        dirs,
                        name: None,
                        dot_dot: name == "..",
                        node,
                        slash: false,
                        model: self,
                    });
                }
                rest = after;
                continue;
            }
            let Content::Directory(children) = &self.nodes[here] else {
                return Err(Errno::NotDir);
            };
            let node = children.get(&name).copied();
            let slash = is_last && !after.is_empty();
            if let Some(Content::Symlink(target)) = node.map(|node| &self.nodes[node])
                && (!is_last || follow || slash && follow_slash)
            {
                links += 1;
                if links > 40 {
                    return Err(Errno::Loop);
                }
                if target.starts_with('/') {
                    dirs.truncate(1);
                }
                rest = format!("{target}{after}");
                continue;
            }
            if is_last {
                return Ok(Target {
                    dirs,
                    name: Some(name),
                    dot_dot: false,
                    node,
                    slash,
                    model: self,
                });
            }
            match node {
                None => return Err(Errno::NoEntry),
                Some(node) if matches!(self.nodes[node], Content::Directory(_)) => dirs.push(node),
                Some(_) => return Err(Errno::NotDir),
            }
            rest = after;
        }
    }

    fn children(&mut self, dir: Id) -> &mut BTreeMap<String, Id> {
        match &mut self.nodes[dir] {
            Content::Directory(children) => children,
            _ => unreachable!("only directories are walked through"),
        }
    }

    fn add(&mut self, (dir, name): (Id, String), content: Content) {
        let id = self.nodes.len();
        self.nodes.push(content);
        self.children(dir).insert(name, id);
    }

    /// The file that an open yields.
    fn open(&mut self, path: &str, create: bool, exclusive: bool) -> Result<Id> {
        let slash = path.ends_with('/');
        let target = self.find(path, !(exclusive || create && slash), !create)?;
        if create && target.slash {
            return Err(Errno::IsDir);
        }
        match target.node {
            None if create => {
                let place = target.free()?;
                self.add(place, Content::File(Vec::new()));
                Ok(self.nodes.len() - 1)
            }
            None => Err(Errno::NoEntry),
            Some(_) if exclusive => Err(Errno::Exist),
            Some(_) if target.is_dir() => Err(Errno::IsDir),
            Some(node) => target.existing().map(|_| node),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let (old, new) = (self.find(from, false, false)?, self.find(to, false, false)?);
        let (Some(name), Some(new_name)) = (old.name.clone(), new.name.clone()) else {
            return Err(Errno::Busy);
        };
        let node = old.node.ok_or(Errno::NoEntry)?;
        if !old.is_dir() && (old.slash || new.slash) {
            return Err(Errno::NotDir);
        }
        if old.is_dir() && new.dirs.contains(&node) {
            return Err(Errno::Invalid);
        }
        if let Some(target) = new.node {
            if old.dirs.contains(&target) {
                return Err(Errno::NotEmpty);
            }
            if target == node {
                return Ok(());
            }
            match (old.is_dir(), new.is_dir()) {
                (true, false) => return Err(Errno::NotDir),
                (false, true) => return Err(Errno::IsDir),
                _ => {}
            }
            if matches!(&self.nodes[target], Content::Directory(children) if !children.is_empty()) {
                return Err(Errno::NotEmpty);
            }
        }
        let (dir, new_dir) = (old.dir(), new.dir());
        self.children(dir).remove(&name);
        self.children(new_dir).insert(new_name, node);
        Ok(())
    }

    fn kind(&self, node: Id) -> FileKind {
        match self.nodes[node] {
            Content::Directory(_) => FileKind::Directory,
            Content::File(_) => FileKind::File,
            Content::Symlink(_) => FileKind::Symlink,
        }
    }

    fn call_in_held(&mut self, verb: Verb, name: &str) -> Outcome {
        let dir = self.held.ok_or(Errno::BadFd)?;
        // What was removed has no name any more, and nothing in it.
        let is_there = dir == 0 || self.links(dir) > 0;
        let found = self.children(dir).get(name).copied();
        let new = |content| match found {
            Some(_) => Err(Errno::Exist),
            None if is_there => Ok(content),
            None => Err(Errno::NoEntry),
        };
        match verb {
            Verb::Create => {
                let content = new(Content::File(Vec::new()))?;
                self.add((dir, name.to_owned()), content);
            }
            Verb::Mkdir => {
                let content = new(Content::Directory(BTreeMap::new()))?;
                self.add((dir, name.to_owned()), content);
            }
            Verb::Unlink => {
                if self.kind(found.ok_or(Errno::NoEntry)?) == FileKind::Directory {
                    return Err(Errno::IsDir);
                }
                self.children(dir).remove(name);
            }
            Verb::Rmdir => {
                match &self.nodes[found.ok_or(Errno::NoEntry)?] {
                    Content::Directory(children) if children.is_empty() => {}
                    Content::Directory(_) => return Err(Errno::NotEmpty),
                    _ => return Err(Errno::NotDir),
                }
                self.children(dir).remove(name);
            }
            Verb::Kind => return Ok(Answer::Kind(self.kind(found.ok_or(Errno::NoEntry)?))),
        }
        Ok(Answer::Done)
    }

    fn links(&self, node: Id) -> u64 {
        let directories = self.nodes.iter().filter_map(|content| match content {
            Content::Directory(children) => Some(children),
            _ => None,
        });
        directories
            .flat_map(BTreeMap::values)
            .filter(|&&child| child == node)
            .count() as u64
    }
}

impl Subject for Model {
    fn run(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Mkdir(path) => {
                let place = self.find(path, false, false)?.free()?;
                self.add(place, Content::Directory(BTreeMap::new()));
            }
            Op::Rmdir(path) => {
                let target = self.find(path, false, false)?;
                let Some(name) = target.name.clone() else {
                    return Err(if target.dot_dot {
                        Errno::NotEmpty
                    } else {
                        Errno::Invalid
                    });
                };
                let dir = target.dir();
                match &self.nodes[target.node.ok_or(Errno::NoEntry)?] {
                    Content::Directory(children) if children.is_empty() => {}
                    Content::Directory(_) => return Err(Errno::NotEmpty),
                    _ => return Err(Errno::NotDir),
                }
                self.children(dir).remove(&name);
            }
            Op::Unlink(path) => {
                let target = self.find(path, false, false)?;
                let name = target.name.clone().ok_or(Errno::IsDir)?;
                let dir = target.dir();
                if target.is_dir() {
                    return Err(Errno::IsDir);
                }
                target.existing()?;
                self.children(dir).remove(&name);
            }
            Op::Create { path, exclusive } => drop(self.open(path, true, *exclusive)?),
            Op::Write { path, truncate } => {
                let file = self.open(path, false, false)?;
                if let Content::File(content) = &mut self.nodes[file] {
                    if *truncate {
                        content.clear();
                    }
                    content.extend_from_slice(b"yz");
                }
            }
            Op::Read(path) => {
                let file = self.open(path, false, false)?;
                return match &self.nodes[file] {
                    Content::File(content) => Ok(Answer::Bytes(content.clone())),
                    _ => Err(Errno::IsDir),
                };
            }
            Op::Rename(from, to) => self.rename(from, to)?,
            Op::Link(from, to) => {
                let source = self.find(from, false, true)?;
                let node = source.existing()?;
                let target = self.find(to, false, false)?;
                let place = target.free()?;
                if target.slash {
                    return Err(Errno::NoEntry);
                }
                if source.is_dir() {
                    return Err(Errno::NotPermitted);
                }
                self.children(place.0).insert(place.1, node);
            }
            Op::Symlink { target, path } => {
                let place = self.find(path, false, false)?;
                let slash = place.slash;
                let place = place.free()?;
                if slash {
                    return Err(Errno::NoEntry);
                }
                self.add(place, Content::Symlink(target.clone()));
            }
            Op::ReadLink(path) => {
                return match &self.nodes[self.find(path, false, true)?.existing()?] {
                    Content::Symlink(target) => Ok(Answer::Bytes(target.clone().into_bytes())),
                    _ => Err(Errno::Invalid),
                };
            }
            Op::Stat { path, follow } => {
                let node = self.find(path, *follow, true)?.existing()?;
                let (kind, size) = match &self.nodes[node] {
                    Content::Directory(_) => (FileKind::Directory, 0),
                    Content::File(content) => (FileKind::File, content.len()),
                    Content::Symlink(target) => (FileKind::Symlink, target.len()),
                };
                let nlink = if kind == FileKind::Directory {
                    0
                } else {
                    self.links(node)
                };
                return Ok(Answer::Stat {
                    kind,
                    nlink,
                    size: size as u64,
                    touched: false,
                });
            }
            Op::List(path) => {
                let node = self.find(path, true, true)?.existing()?;
                let Content::Directory(children) = &self.nodes[node] else {
                    return Err(Errno::NotDir);
                };
                let kind = |id: Id| match self.nodes[id] {
                    Content::Directory(_) => FileKind::Directory,
                    Content::File(_) => FileKind::File,
                    Content::Symlink(_) => FileKind::Symlink,
                };
                return Ok(Answer::Names(
                    children
                        .iter()
                        .map(|(name, &id)| (name.clone(), kind(id)))
                        .collect(),
                ));
            }
            Op::Touch { path, follow } => drop(self.find(path, *follow, true)?.existing()?),
            Op::Hold(path) => {
                let found = self
                    .find(path, true, true)
                    .and_then(|found| found.existing());
                self.held = found
                    .ok()
                    .filter(|&node| self.kind(node) == FileKind::Directory);
            }
            Op::Held(verb, name) => return self.call_in_held(*verb, name),
            Op::Remember(path) => {
                let found = self
                    .find(path, false, true)
                    .and_then(|found| found.existing());
                self.remembered = found
                    .ok()
                    .filter(|&node| self.kind(node) != FileKind::Symlink);
            }
            Op::IsRemembered(path) => {
                let known = self.remembered.ok_or(Errno::BadFd)?;
                let node = self.find(path, false, true)?.existing()?;
                return Ok(Answer::IsRemembered(node == known));
            }
        }
        Ok(Answer::Done)
    }
}
