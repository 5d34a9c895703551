use std::io::{ErrorKind, Read as _, Write as _};

use super::*;

fn blob_file(store: &Store, digest: &Digest) -> PathBuf {
    store.root().join("blobs/sha256").join(digest.hex())
}

#[test]
fn a_blob_is_there_only_after_commit() {
    let (_folder, store) = store();
    let digest = Digest::sha256_of(b"hello");
    let mut writer = store.blob_writer(Some((&digest, 5))).expect("a writer");
    writer.write_all(b"hel").expect("a write");
    writer.write_all(b"lo").expect("a write");
    assert_eq!(writer.written(), 5);
    assert!(!store.has_blob(&digest, 5).expect("an answer"));
    assert_eq!(writer.commit().expect("a blob"), (digest.clone(), 5));
    assert!(store.has_blob(&digest, 5).expect("an answer"));
    assert!(!store.has_blob(&digest, 6).expect("an answer"));
    assert_eq!(store.read_blob(&digest, 5).expect("bytes"), b"hello");
    assert_eq!(
        files(store.root()),
        [
            format!("blobs/sha256/{}", digest.hex()),
            "index.json".to_owned(),
            "oci-layout".to_owned()
        ]
    );
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let (_folder, store) = store();
    let mut writer = store.blob_writer(None).expect("a writer");
    writer.write_all(&[7; 1 << 20]).expect("a write");
    assert_eq!(
        files(store.root()).len(),
        3,
        "a temporary file and the layout's two"
    );
    drop(writer);
    assert_eq!(files(store.root()), ["index.json", "oci-layout"]);
}

#[test]
fn wrong_bytes_never_enter() {
    let (_folder, store) = store();
    let digest = Digest::sha256_of(b"hello");
    let write = |bytes: &[u8], size: u64| {
        let mut writer = store.blob_writer(Some((&digest, size))).expect("a writer");
        writer.write_all(bytes).map(|()| writer.commit())
    };
    let short = write(b"hell", 5).expect("a write").expect_err("too short");
    assert!(
        matches!(
            short,
            StoreError::WrongSize {
                got: 4,
                want: 5,
                ..
            }
        ),
        "{short}"
    );
    let other = write(b"hellO", 5)
        .expect("a write")
        .expect_err("another digest");
    assert!(matches!(other, StoreError::WrongDigest { .. }), "{other}");
    let lying = write(b"hello", 4).expect_err("too long");
    assert_eq!(lying.kind(), ErrorKind::InvalidData);
    // An endless body is stopped at its announced size, not when the disk is full.
    let mut writer = store.blob_writer(Some((&digest, 5))).expect("a writer");
    let endless = std::io::copy(&mut std::io::repeat(0), &mut writer).expect_err("too long");
    assert_eq!(endless.kind(), ErrorKind::InvalidData);
    drop(writer);
    assert_eq!(files(store.root()), ["index.json", "oci-layout"]);
}

#[test]
fn damage_is_found_when_it_is_read() {
    let (_folder, store) = store();
    let (digest, _) = store.put_blob(b"hello").expect("a blob");
    let file = blob_file(&store, &digest);
    std::fs::write(&file, "hellO").expect("a write");
    let error = store.read_blob(&digest, 100).expect_err("damaged");
    assert!(matches!(error, StoreError::WrongDigest { .. }), "{error}");
    let mut reader = store.open_blob(&digest).expect("a reader");
    let mut bytes = Vec::new();
    assert!(reader.read_to_end(&mut bytes).is_err());
    assert!(reader.read(&mut [0]).is_err(), "it stays an error");

    std::fs::write(&file, "hell").expect("a write");
    assert!(!store.has_blob(&digest, 5).expect("an answer"));
    // A file of another size is not trusted: writing the blob again heals it.
    store.put_blob(b"hello").expect("a blob");
    assert_eq!(store.read_blob(&digest, 100).expect("bytes"), b"hello");
}

#[test]
fn a_blob_that_changes_while_it_is_read_is_an_error() {
    let (_folder, store) = store();
    let (digest, _) = store.put_blob(b"hello").expect("a blob");
    let mut reader = store.open_blob(&digest).expect("a reader");
    assert_eq!(reader.size(), 5);
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(blob_file(&store, &digest))
        .expect("a file");
    file.write_all(b"!").expect("a write");
    assert!(reader.read_to_end(&mut Vec::new()).is_err());

    let mut reader = store.open_blob(&digest).expect("a reader");
    file.set_len(2).expect("a cut");
    assert!(reader.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn reading_is_bounded_and_absence_is_named() {
    let (_folder, store) = store();
    let (digest, _) = store.put_blob(b"hello").expect("a blob");
    let error = store.read_blob(&digest, 4).expect_err("too large");
    assert!(
        matches!(
            error,
            StoreError::TooLarge {
                got: 5,
                limit: 4,
                ..
            }
        ),
        "{error}"
    );
    let absent = Digest::sha256_of(b"absent");
    let error = store.open_blob(&absent).expect_err("absent");
    assert!(error.to_string().contains(&absent.to_string()), "{error}");
    // A directory in a blob's place is no blob.
    std::fs::create_dir(blob_file(&store, &absent)).expect("a directory");
    assert_eq!(store.blob_size(&absent).expect("an answer"), None);
    assert!(store.read_blob(&absent, 10).is_err());
}

#[test]
fn an_empty_blob_and_a_sha512_blob() {
    let (_folder, store) = store();
    let (digest, size) = store.put_blob(b"").expect("a blob");
    assert_eq!(size, 0);
    assert_eq!(store.read_blob(&digest, 0).expect("bytes"), b"");
    let sha512 = Digest::parse("sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f").expect("a digest");
    let mut writer = store.blob_writer(Some((&sha512, 3))).expect("a writer");
    writer.write_all(b"abc").expect("a write");
    writer.commit().expect("a blob");
    assert_eq!(store.read_blob(&sha512, 3).expect("bytes"), b"abc");
    assert!(
        store
            .root()
            .join("blobs/sha512")
            .join(sha512.hex())
            .is_file()
    );
}

#[test]
fn many_writers_of_one_blob() {
    let (_folder, store) = store();
    let content = vec![42; 300_000];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut writer = store.blob_writer(None).expect("a writer");
                writer.write_all(&content).expect("a write");
                writer.commit().expect("a blob");
            });
        }
    });
    let digest = Digest::sha256_of(&content);
    assert_eq!(store.read_blob(&digest, 1 << 20).expect("bytes"), content);
    assert_eq!(files(store.root()).len(), 3);
}
