//! What the tests put into images: the tiny guests, the real interpreters, and bytes that do not compress.

use std::fs;
use std::path::PathBuf;

use crate::world::World;

/// The compiled program of `tests/guests/NAME.c`.
pub(crate) fn guest(name: &str) -> PathBuf {
    prepared("CORACLE_TEST_GUESTS", &format!("{name}.wasm"))
}

/// A real interpreter: `python.wasm` or `ruby.wasm`.
pub(crate) fn application(name: &str) -> PathBuf {
    prepared("CORACLE_TEST_APPLICATIONS", name)
}

fn prepared(variable: &str, name: &str) -> PathBuf {
    let folder = std::env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} is not set; run the tests through ./tests/run.sh"));
    let path = PathBuf::from(folder).join(name);
    assert!(path.is_file(), "{path:?} is not there; run ./tests/run.sh");
    path
}

impl World {
    /// Builds an image from a Dockerfile and the guest programs and files that it copies.
    pub(crate) fn build(
        &self,
        tag: &str,
        dockerfile: &str,
        guests: &[&str],
        files: &[(&str, &[u8])],
    ) -> String {
        let context = self.context(
            &format!("context-{}", tag.replace(['/', ':'], "-")),
            dockerfile,
            guests,
            files,
        );
        self.ok(&["build", "-q", "-t", tag, &context])
            .trim_end()
            .to_owned()
    }

    /// Makes a build context and returns its path.
    pub(crate) fn context(
        &self,
        name: &str,
        dockerfile: &str,
        guests: &[&str],
        files: &[(&str, &[u8])],
    ) -> String {
        self.write(&format!("{name}/Dockerfile"), dockerfile);
        for guest_name in guests {
            fs::copy(
                guest(guest_name),
                self.path(&format!("{name}/{guest_name}.wasm")),
            )
            .expect("the guest is copied");
        }
        for (file, bytes) in files {
            self.write(&format!("{name}/{file}"), bytes);
        }
        self.path(name)
            .into_os_string()
            .into_string()
            .expect("a path of text")
    }

    /// Builds an image that has one guest and nothing else, named like the guest, and returns its ID.
    pub(crate) fn guest_image(&self, name: &str) -> String {
        self.build(name, &only(name), &[name], &[])
    }
}

/// The Dockerfile of an image that has one guest and nothing else.
pub(crate) fn only(guest_name: &str) -> String {
    format!("FROM scratch\nCOPY {guest_name}.wasm /\nENTRYPOINT [\"/{guest_name}.wasm\"]\n")
}

/// The variable that every image built from scratch has, as those that Docker builds.
pub(crate) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes that no compressor makes smaller, the same in every run.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    // Xorshift; 0 would stay 0.
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A Linux root file system as a tar, made by `tests/lib/native.sh`.
pub(crate) fn native(name: &str) -> PathBuf {
    prepared("CORACLE_TEST_NATIVE", name)
}
