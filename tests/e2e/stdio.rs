//! Standard input, output and error pass through byte for byte.

use std::io::{Read, Write};
use std::process::Stdio;

use crate::fixtures::noise;
use crate::world::World;

#[test]
fn stdin_arrives_only_with_the_flag() {
    let world = World::new();
    world.guest_image("cat");
    let with = world
        .run_with(&["run", "--rm", "-i", "cat"], b"hello\n")
        .expect_code(0, &["run -i"]);
    assert_eq!(with.stdout, b"hello\n");
    let without = world
        .run_with(&["run", "--rm", "cat"], b"hello\n")
        .expect_code(0, &["run"]);
    assert_eq!(without.stdout, b"");
}

#[test]
fn bytes_are_not_text() {
    let world = World::new();
    world.guest_image("cat");
    let mut bytes: Vec<u8> = (0..=255).collect();
    bytes.extend_from_slice(b"\r\n\0\x1b[31m\xff\xfe\r\n");
    // More than any pipe holds.
    bytes.extend(noise(3 << 20, 1));
    let output = world
        .run_with(&["run", "--rm", "-i", "cat"], &bytes)
        .expect_code(0, &["run -i cat"]);
    assert!(
        output.stdout == bytes,
        "{} of {} bytes",
        output.stdout.len(),
        bytes.len()
    );
    assert_eq!(output.errors(), "");
}

#[test]
fn what_is_written_arrives_before_the_end() {
    let world = World::new();
    world.guest_image("cat");
    let mut child = world
        .command(&["run", "--rm", "-i", "cat"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = child.stdout.take().expect("a pipe");
    for question in [b"first\n", b"again\n"] {
        input.write_all(question).expect("the guest reads");
        let mut answer = [0; 6];
        output.read_exact(&mut answer).expect("the guest answers");
        assert_eq!(&answer, question);
    }
    drop(input);
    assert_eq!(child.wait().expect("the command's end").code(), Some(0));
}
