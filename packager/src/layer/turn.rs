use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use crate::digest::Digest;

/// Bytes of a digest as text, and more: a sha512 has 135.
const MAX_BYTES: u64 = 256;

/// The right to pack one blob, as long as it lives. Its file remembers as what the blob was packed: a hint, which who takes it
/// checks.
#[derive(Debug)]
pub(super) struct Turn {
    file: File,
}

impl Turn {
    /// Takes a file that is locked.
    pub(super) fn new(file: File) -> Self {
        Self { file }
    }

    /// Returns the diff ID that the blob had when it was packed, if anybody said.
    pub(super) fn packed_as(&mut self) -> Option<Digest> {
        let mut text = String::new();
        self.file.seek(SeekFrom::Start(0)).ok()?;
        (&self.file)
            .take(MAX_BYTES)
            .read_to_string(&mut text)
            .ok()?;
        Digest::parse(&text).ok()
    }

    /// Says as what the blob was packed. If that fails, somebody packs it once more.
    pub(super) fn set_packed_as(&mut self, diff_id: &Digest) {
        let written = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.set_len(0))
            .and_then(|()| self.file.write_all(diff_id.to_string().as_bytes()));
        drop(written);
    }
}
