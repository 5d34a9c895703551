//! Where the bytes of an uncompressed archive come from.

use std::io::{self, BufRead, BufReader, Read, Seek};

/// An uncompressed archive from its first byte on.
pub(super) trait Source: Read {
    /// Passes over `len` bytes. A source that can seek may go beyond its end.
    fn skip(&mut self, len: u64) -> io::Result<()>;
}

/// A source that can only be read.
pub(super) struct Stream<R>(BufReader<R>);

impl<R: Read> Stream<R> {
    pub(super) fn new(reader: R) -> Self {
        Self(BufReader::with_capacity(256 << 10, reader))
    }

    pub(super) fn get_mut(&mut self) -> &mut R {
        self.0.get_mut()
    }

    pub(super) fn into_inner(self) -> R {
        self.0.into_inner()
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Source for Stream<R> {
    fn skip(&mut self, mut len: u64) -> io::Result<()> {
        while len > 0 {
            let available = match self.0.fill_buf() {
                Ok(bytes) => bytes.len(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let step = usize::try_from(len).map_or(available, |len| len.min(available));
            self.0.consume(step);
            len -= step as u64;
        }
        Ok(())
    }
}

/// A file of ours, whose contents need not be read to be passed over.
pub(super) struct Seekable<R>(BufReader<R>);

impl<R: Read + Seek> Seekable<R> {
    pub(super) fn new(file: R) -> Self {
        Self(BufReader::new(file))
    }
}

impl<R: Read> Read for Seekable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read + Seek> Source for Seekable<R> {
    fn skip(&mut self, len: u64) -> io::Result<()> {
        let len = i64::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.0.seek_relative(len)
    }
}
