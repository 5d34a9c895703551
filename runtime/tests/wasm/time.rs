//! Clocks, waiting, random numbers.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coracle_runtime::spec::Stdin;

use crate::guest::*;
use crate::world::World;

/// A subscription of preview 1 to a clock.
fn clock(userdata: u64, id: u32, timeout: Duration, flags: u16) -> [u8; 48] {
    let mut record = [0; 48];
    record[0..8].copy_from_slice(&userdata.to_le_bytes());
    record[16..20].copy_from_slice(&id.to_le_bytes());
    record[24..32].copy_from_slice(
        &u64::try_from(timeout.as_nanos())
            .expect("this century")
            .to_le_bytes(),
    );
    record[40..42].copy_from_slice(&flags.to_le_bytes());
    record
}

/// A subscription to a descriptor: `kind` 1 to read, 2 to write.
fn descriptor(userdata: u64, kind: u8, fd: u32) -> [u8; 48] {
    let mut record = [0; 48];
    record[0..8].copy_from_slice(&userdata.to_le_bytes());
    record[8] = kind;
    record[16..20].copy_from_slice(&fd.to_le_bytes());
    record
}

/// Polls, and shows how many events there are and the first of them.
fn poll(subscriptions: &[[u8; 48]]) -> Guest {
    let count = i64::try_from(subscriptions.len()).expect("few");
    Guest::new()
        .data(512, &subscriptions.concat())
        .call("poll_oneoff", &[512, 1024, count, 700])
        .show(700, 4)
        .show(1024, 128)
}

fn event(bytes: &[u8], index: usize) -> (u64, u16, u8) {
    let event = &bytes[index * 32..];
    (
        u64::from_le_bytes(event[0..8].try_into().expect("eight")),
        u16::from_le_bytes([event[8], event[9]]),
        event[10],
    )
}

#[test]
fn clocks_tell_the_time() {
    let guest = Guest::new()
        .call("clock_time_get", &[0, 0, 512])
        .show(512, 8)
        .call("clock_time_get", &[1, 0, 512])
        .show(512, 8)
        .call("clock_time_get", &[1, 0, 512])
        .show(512, 8)
        .call("clock_time_get", &[2, 0, 512])
        .call("clock_res_get", &[0, 512])
        .show(512, 8);
    let before = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_nanos();
    let mut shown = guest.run(&World::new());
    let after = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_nanos();
    assert_eq!(shown.errno(), OK);
    assert!((before..=after).contains(&shown.long().into()));
    assert_eq!(shown.errno(), OK);
    let first = shown.long();
    assert_eq!(shown.errno(), OK);
    assert!(shown.long() > first);
    assert_eq!(shown.errnos(2), [OK, OK]);
    assert!(shown.long() > 0);
}

#[test]
fn a_guest_sleeps_as_long_as_it_says() {
    let world = World::new();
    let engine = world.engine();
    for (id, flags) in [(1, 0), (0, 0)] {
        for sleep in [
            Duration::ZERO,
            Duration::from_micros(300),
            Duration::from_millis(25),
        ] {
            let guest = poll(&[
                clock(7, id, sleep, flags),
                clock(8, id, Duration::from_secs(3600), flags),
            ]);
            let start = Instant::now();
            let ran = world.run_on(&engine, guest.wat(), |_| {});
            assert_eq!(ran.code(), 0);
            assert!(start.elapsed() >= sleep);
            assert_eq!(&ran.stdout[0..6], [0, 0, 1, 0, 0, 0], "one event");
            assert_eq!(event(&ran.stdout[6..], 0), (7, OK, 0));
        }
    }
    // A point in time that is past, on both clocks; one that never comes is not in the way.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    for (id, due) in [(0, now), (1, Duration::from_nanos(1))] {
        let mut shown = poll(&[
            clock(9, id, due, 1),
            clock(1, 1, Duration::from_nanos(u64::MAX), 0),
        ])
        .run(&world);
        assert_eq!((shown.errno(), shown.word()), (OK, 1));
        assert_eq!(event(&shown.bytes(), 0), (9, OK, 0));
    }
}

#[test]
fn a_guest_waits_for_input_or_a_clock() {
    let world = World::new();
    let input = || {
        let (pipe, writer) = std::io::pipe().expect("a pipe");
        (
            Stdin::File(Arc::new(File::from(OwnedFd::from(pipe)))),
            writer,
        )
    };
    let (pipe, writer) = input();
    let mut shown = poll(&[
        descriptor(1, 1, 0),
        clock(2, 1, Duration::from_millis(20), 0),
    ])
    .run_with(&world, |spec| spec.stdin = pipe);
    assert_eq!((shown.errno(), shown.word()), (OK, 1));
    assert_eq!(event(&shown.bytes(), 0), (2, OK, 0), "nothing came");
    drop(writer);

    let (pipe, mut writer) = input();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        writer.write_all(b"x").expect("the guest waits");
        writer
    });
    let start = Instant::now();
    let mut shown = poll(&[clock(2, 1, Duration::from_secs(60), 0), descriptor(1, 1, 0)])
        .run_with(&world, |spec| spec.stdin = pipe);
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!((shown.errno(), shown.word()), (OK, 1));
    assert_eq!(event(&shown.bytes(), 0), (1, OK, 1));
    drop(thread.join().expect("the writer"));
}

#[test]
fn what_is_ready_is_told_at_once() {
    let world = World::new().file("f", "12345");
    let subscriptions = [
        descriptor(1, 1, 4),
        descriptor(2, 2, 1),
        descriptor(3, 1, 99),
        descriptor(4, 2, 4),
        clock(5, 3, Duration::ZERO, 0),
        clock(6, 1, Duration::from_secs(3600), 0),
    ];
    let guest = Guest::new()
        .data(512, &subscriptions.concat())
        .open(3, "f", 0, READ)
        .call("poll_oneoff", &[512, 1024, 6, 700])
        .show(700, 4)
        .show(1024, 160);
    let mut shown = guest.run(&world);
    assert_eq!((shown.errno(), shown.errno(), shown.word()), (OK, OK, 5));
    let events = shown.bytes();
    let all: Vec<_> = (0..5).map(|index| event(&events, index)).collect();
    assert_eq!(
        all,
        [
            (1, OK, 1),
            (2, OK, 2),
            (3, BADF, 1),
            (4, BADF, 2),
            (5, INVAL, 0)
        ]
    );
    assert_eq!(events[16..24], 5_u64.to_le_bytes(), "bytes in the file");
}

#[test]
fn random_bytes_are_random() {
    let guest = Guest::new()
        .call("random_get", &[512, 32])
        .show(512, 32)
        .call("random_get", &[512, 32])
        .show(512, 32)
        .call("random_get", &[512, 0]);
    let mut shown = guest.run(&World::new());
    let mut seen = Vec::new();
    for _ in 0..2 {
        assert_eq!(shown.errno(), OK);
        seen.push(shown.bytes());
    }
    assert_eq!(shown.errno(), OK);
    assert_ne!(seen[0], seen[1]);
    assert!(seen.iter().all(|bytes| bytes.iter().any(|byte| *byte != 0)));
}
