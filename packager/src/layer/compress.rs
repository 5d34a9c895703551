//! Takes the compression off a layer blob.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use crate::media_type::Compression;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Last three bytes of the magic of a skippable zstd frame; the first is 0x50 to 0x5f.
const ZSTD_SKIPPABLE_MAGIC: &[u8] = &[0x2a, 0x4d, 0x18];

/// Largest zstd window, as a power of two: 128 MiB, what the `zstd` program accepts. It is held in memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

type Peeked<R> = Chain<Cursor<Vec<u8>>, BufReader<R>>;

/// The uncompressed bytes of a blob. All gzip members and zstd frames are read.
pub(super) enum Decoder<R: Read> {
    Plain(Peeked<R>),
    Gzip(Box<MultiGzDecoder<Peeked<R>>>),
    Zstd(zstd::stream::read::Decoder<'static, Peeked<R>>),
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of a blob and tells how it is compressed.
    pub(super) fn new(reader: R) -> io::Result<(Self, Compression)> {
        let mut reader = BufReader::with_capacity(64 << 10, reader);
        let mut head = Vec::new();
        reader.by_ref().take(4).read_to_end(&mut head)?;
        let compression = detect(&head);
        let reader = Cursor::new(head).chain(reader);
        let decoder = match compression {
            Compression::None => Self::Plain(reader),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(reader))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Self::Zstd(decoder)
            }
        };
        Ok((decoder, compression))
    }

    /// Reads what is left of the blob, so that its digest is checked up to the last byte. Returns whether there was anything.
    pub(super) fn drain(self) -> io::Result<bool> {
        let mut rest = match self {
            Self::Plain(reader) => reader,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        };
        let any = !rest.fill_buf()?.is_empty();
        io::copy(&mut rest, &mut io::sink())?;
        Ok(any)
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

fn detect(head: &[u8]) -> Compression {
    let skippable = matches!(head, [0x50..=0x5f, rest @ ..] if rest == ZSTD_SKIPPABLE_MAGIC);
    if head.starts_with(GZIP_MAGIC) {
        Compression::Gzip
    } else if head.starts_with(ZSTD_MAGIC) || skippable {
        Compression::Zstd
    } else {
        Compression::None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn decode(bytes: &[u8]) -> io::Result<(Vec<u8>, Compression, bool)> {
        let (mut decoder, compression) = Decoder::new(bytes)?;
        let mut content = Vec::new();
        decoder.read_to_end(&mut content)?;
        Ok((content, compression, decoder.drain()?))
    }

    #[test]
    fn all_members_and_frames() {
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).expect("memory");
        let skippable = [
            &[0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..],
            &zstd(b"one"),
        ]
        .concat();
        for (blob, want, compression) in [
            (b"plain".to_vec(), &b"plain"[..], Compression::None),
            (Vec::new(), b"", Compression::None),
            (b"ab".to_vec(), b"ab", Compression::None),
            (gzip(b"one"), b"one", Compression::Gzip),
            (
                [gzip(b"one"), gzip(b"two")].concat(),
                b"onetwo",
                Compression::Gzip,
            ),
            (zstd(b"one"), b"one", Compression::Zstd),
            (
                [zstd(b"one"), zstd(b"two")].concat(),
                b"onetwo",
                Compression::Zstd,
            ),
            (skippable, b"one", Compression::Zstd),
        ] {
            assert_eq!(
                decode(&blob).expect("valid"),
                (want.to_vec(), compression, false)
            );
        }
    }

    #[test]
    fn cut_blobs() {
        let content = b"some content that does not compress away: 8f2k1x";
        for blob in [
            gzip(content),
            zstd::encode_all(&content[..], 1).expect("memory"),
        ] {
            for cut in 4..blob.len() {
                assert!(decode(&blob[..cut]).is_err(), "cut at {cut}");
            }
        }
    }
}
