//! A tar as one of the sides.

use std::io::{self, BufWriter, Read, Write};

use coracle_packager::layer::{Attributes, MemberType, NewMember, TarWriter, for_each_member};

use super::{CopiedFiles, CopyError, Item, Sink, failed};

/// Hands over what is in a tar, plain or compressed.
pub(super) fn members(
    stream: &mut dyn Read,
    sink: &mut dyn Sink,
    copied: &mut CopiedFiles,
) -> Result<(), CopyError> {
    for_each_member::<CopyError>(stream, &mut |head, content| {
        let shown = String::from_utf8_lossy(&head.path).into_owned();
        let path = inner_path(&head.path).map_err(failed(&shown))?;
        let put = match &head.kind {
            MemberType::File => {
                copied.bytes = copied.bytes.saturating_add(head.size);
                sink.put(&path, &head.attributes, Item::File(head.size, content))
            }
            MemberType::Directory => sink.put(&path, &head.attributes, Item::Directory),
            MemberType::Symlink(target) => sink.put(&path, &head.attributes, Item::Symlink(target)),
            MemberType::HardLink(target) => {
                let target = inner_path(target).map_err(failed(&shown))?;
                sink.put(&path, &head.attributes, Item::HardLink(&target))
            }
            MemberType::Other => {
                copied
                    .left
                    .push(format!("{shown}: neither a file, a directory nor a link"));
                Ok(())
            }
        };
        put.map_err(failed(&shown))
    })
}

/// Returns a path of an archive without what leads nowhere; `..` is refused.
fn inner_path(path: &[u8]) -> io::Result<Vec<u8>> {
    let names = path
        .split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."));
    let names: Vec<&[u8]> = names.collect();
    if names.contains(&&b".."[..]) {
        let problem = "the path leads out of the archive";
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(names.join(&b'/'))
}

/// Writes a tar.
pub(super) struct TarSink<'a>(Option<TarWriter<BufWriter<&'a mut dyn Write>>>);

impl<'a> TarSink<'a> {
    pub(super) fn new(stream: &'a mut dyn Write) -> Self {
        Self(Some(TarWriter::new(BufWriter::with_capacity(
            256 << 10,
            stream,
        ))))
    }
}

impl Sink for TarSink<'_> {
    fn put(&mut self, path: &[u8], attributes: &Attributes, item: Item<'_>) -> io::Result<()> {
        let Some(tar) = &mut self.0 else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        // The directory whose content is meant.
        let path = if path.is_empty() { b"." } else { path };
        match item {
            Item::Directory => tar.member(path, attributes, NewMember::Directory),
            Item::File(size, content) => {
                tar.member(path, attributes, NewMember::File(size, content))
            }
            Item::Symlink(target) => tar.member(path, attributes, NewMember::Symlink(target)),
            Item::HardLink(target) => tar.member(path, attributes, NewMember::HardLink(target)),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self.0.take() {
            Some(tar) => tar.finish().map(drop),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_an_archive_stays_in_it() {
        for (path, want) in [("/a//./b/", "a/b"), ("./", ""), ("a", "a")] {
            assert_eq!(inner_path(path.as_bytes()).expect(path), want.as_bytes());
        }
        for bad in ["..", "../a", "a/../../b", "/.."] {
            assert!(inner_path(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
