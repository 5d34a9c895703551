//! Our own file system as a subject.

use super::*;

pub(super) struct Guest(pub(super) Directory);

impl Subject for Guest {
    fn run(&mut self, op: &Op) -> Outcome {
        let root = &self.0;
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
        }
        Ok(Answer::Done)
    }
}
