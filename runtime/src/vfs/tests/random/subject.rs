//! Our own file system as a subject.

use super::*;

pub(super) struct Guest {
    root: Directory,
    held: Option<Directory>,
    remembered: Option<(Stat, Option<Node>)>,
}

impl Guest {
    pub(super) fn new(root: Directory) -> Self {
        Self {
            root,
            held: None,
            remembered: None,
        }
    }
}

impl Subject for Guest {
    fn run(&mut self, op: &Op) -> Outcome {
        let root = &self.root;
        match op {
            Op::Mkdir(path) => root.create_dir(path.as_bytes())?,
            Op::Rmdir(path) => root.remove_dir(path.as_bytes())?,
            Op::Unlink(path) => root.remove_file(path.as_bytes())?,
            Op::Create { path, exclusive } => {
                file(
                    root,
                    path,
                    &OpenOptions {
                        exclusive: *exclusive,
                        ..CREATE
                    },
                )
                .map(drop)?;
            }
            Op::Write {
                path,
                truncate: true,
            } => {
                file(root, path, &TRUNCATE)?.write_at(b"yz", 0)?;
            }
            Op::Write {
                path,
                truncate: false,
            } => {
                file(root, path, &APPEND)?.append(b"yz")?;
            }
            Op::Read(path) => return Ok(Answer::Bytes(read_all(&file(root, path, &READ)?)?)),
            Op::Rename(from, to) => root.rename(from.as_bytes(), root, to.as_bytes())?,
            Op::Link(from, to) => root.hard_link(from.as_bytes(), false, root, to.as_bytes())?,
            Op::Symlink { target, path } => root.symlink(target.as_bytes(), path.as_bytes())?,
            Op::ReadLink(path) => return root.read_link(path.as_bytes()).map(Answer::Bytes),
            Op::Stat { path, follow } => {
                let stat = root.stat_at(path.as_bytes(), *follow)?;
                let (nlink, size) = match stat.kind {
                    FileKind::Directory => (0, 0),
                    _ => (stat.nlink, stat.size),
                };
                return Ok(Answer::Stat {
                    kind: stat.kind,
                    nlink,
                    size,
                    touched: stat.mtime.sec == TOUCHED,
                });
            }
            Op::List(path) => {
                let entries = directory(root, path)?.read_dir()?;
                let name = |entry: DirEntry| {
                    (
                        String::from_utf8(entry.name).expect("a plain name"),
                        entry.kind,
                    )
                };
                return Ok(Answer::Names(entries.into_iter().map(name).collect()));
            }
            Op::Touch { path, follow } => {
                let time = SetTime::At(Timestamp {
                    sec: TOUCHED,
                    nsec: 0,
                });
                root.set_times_at(
                    path.as_bytes(),
                    *follow,
                    SetTimes {
                        atime: time,
                        mtime: time,
                    },
                )?;
            }
            Op::Hold(path) => self.held = directory(root, path).ok(),
            Op::Held(verb, name) => {
                let dir = self.held.as_ref().ok_or(Errno::BadFd)?;
                match verb {
                    Verb::Create => drop(file(dir, name, &NEW)?),
                    Verb::Mkdir => dir.create_dir(name.as_bytes())?,
                    Verb::Unlink => dir.remove_file(name.as_bytes())?,
                    Verb::Rmdir => dir.remove_dir(name.as_bytes())?,
                    Verb::Kind => {
                        return dir
                            .stat_at(name.as_bytes(), false)
                            .map(|stat| Answer::Kind(stat.kind));
                    }
                }
            }
            Op::Remember(path) => {
                let stat = root.stat_at(path.as_bytes(), false);
                self.remembered = match stat {
                    Ok(stat) if stat.kind != FileKind::Symlink => {
                        Some((stat, root.open(path.as_bytes(), &READ).ok()))
                    }
                    _ => None,
                };
            }
            Op::IsRemembered(path) => {
                let Some((known, _)) = &self.remembered else {
                    return Err(Errno::BadFd);
                };
                let stat = root.stat_at(path.as_bytes(), false)?;
                return Ok(Answer::IsRemembered(
                    (stat.dev, stat.ino) == (known.dev, known.ino),
                ));
            }
        }
        Ok(Answer::Done)
    }
}
