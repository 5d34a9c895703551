//! Streams on files: a file and a place in it. They never wait, so they are always ready.

use bytes::{Bytes, BytesMut};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use crate::sandbox::wasm::stdio::CHUNK;
use crate::vfs::{Errno, File};

/// Reads a file from a position on.
pub(super) struct FileInput {
    pub(super) file: File,
    pub(super) position: u64,
}

#[wasmtime_wasi::async_trait]
impl Pollable for FileInput {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl InputStream for FileInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buffer = BytesMut::zeroed(size.min(CHUNK));
        let count = self
            .file
            .read_at(&mut buffer, self.position)
            .map_err(failed)?;
        if count == 0 {
            return Err(StreamError::Closed);
        }
        self.position = self.position.saturating_add(count as u64);
        buffer.truncate(count);
        Ok(buffer.freeze())
    }
}

/// Writes a file from a position on, or at its end.
pub(super) struct FileOutput {
    pub(super) file: File,
    /// `None` for the end.
    pub(super) position: Option<u64>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for FileOutput {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for FileOutput {
    fn write(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        while !bytes.is_empty() {
            let count = match self.position {
                Some(position) => self.file.write_at(&bytes, position),
                None => self.file.append(&bytes),
            };
            let count = count.map_err(failed)?;
            if count == 0 {
                return Err(failed(Errno::Io));
            }
            self.position = self
                .position
                .map(|position| position.saturating_add(count as u64));
            bytes = bytes.split_off(count.min(bytes.len()));
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

fn failed(errno: Errno) -> StreamError {
    StreamError::LastOperationFailed(errno.into())
}
