//! A process that is killed while it writes.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Tells the child where the store is.
const ROOT: &str = "CORACLE_TEST_KILLED_STORE";

/// Writes images of some size and names them until it is killed.
#[test]
#[ignore = "the child of `a_killed_writer_leaves_only_whole_images`, which starts and kills it"]
fn writes_until_it_is_killed() {
    let root = std::env::var_os(ROOT).expect("the parent's folder");
    let store = Store::open(Path::new(&root)).expect("a store");
    let end = Instant::now() + Duration::from_secs(60);
    let mut round = 0_u64;
    while Instant::now() < end {
        let _lease = store.lease().expect("a lease");
        let image = put_image(
            &store,
            "wasi/wasm",
            &format!("{}-{round}-{}", std::process::id(), "x".repeat(100_000)),
        );
        let mut half = store.blob_writer(None).expect("a writer");
        half.write_all(&[1; 300_000]).expect("a write");
        store
            .set_name(&name(&format!("x:{round}")), &image, 0)
            .expect("a name");
        round += 1;
    }
}

#[test]
fn a_killed_writer_leaves_only_whole_images() {
    let (_folder, store) = store();
    let test_binary = std::env::current_exe().expect("this test's path");
    for round in 0..8 {
        let before = store.names().expect("names");
        let mut child = Command::new(&test_binary)
            .args(["--exact", "store::tests::killed::writes_until_it_is_killed"])
            .args(["--ignored", "--test-threads", "1"])
            .env(ROOT, store.root())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        // Wait for its first name, then strike at some instant of its work.
        let deadline = Instant::now() + Duration::from_secs(30);
        while store.names().expect("names") == before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(round * 3));
        child.kill().expect("a kill");
        child.wait().expect("an end");

        let names = store.names().expect("names");
        assert_ne!(names, before, "the child did its work");
        for image in &names {
            store
                .image(&image.descriptor, None, &host())
                .expect("a whole image");
        }
        for file in files(&store.root().join("blobs/sha256")) {
            let digest = Digest::parse(&format!("sha256:{file}")).expect("a digest");
            store.read_blob(&digest, 1 << 20).expect("a whole blob");
        }
        // Its locks went with it, and what it left half-written goes now.
        let freed = store.collect_garbage(&[]).expect("a collection");
        assert!(!freed.busy);
        assert_eq!(files(&store.root().join(".ingest")), Vec::<String>::new());
        assert_eq!(store.names().expect("names"), names);
    }
}
