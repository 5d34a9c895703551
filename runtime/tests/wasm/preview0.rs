//! `wasi_unstable`: the same functions, with four differences.

use crate::guest::*;
use crate::world::World;

const PREVIEW0: &str = "wasi_unstable";

#[test]
fn records_and_constants_are_those_of_preview_0() {
    let world = World::new().file("f", "12345");
    let mut clock = [0; 56];
    clock[0] = 7;
    clock[24] = 1;
    let guest = Guest::of(PREVIEW0)
        .data(1024, &clock)
        .data(744, &[0xee; 8])
        .open(3, "f", 0, READ)
        .call("fd_seek", &[4, 0, 1, 700])
        .show(700, 8)
        .call("fd_seek", &[4, -2, 0, 700])
        .show(700, 8)
        .call("fd_seek", &[4, 1, 2, 700])
        .show(700, 8)
        .call("fd_filestat_get", &[4, 688])
        .show(704, 16)
        .show(744, 8)
        .call("poll_oneoff", &[1024, 1100, 1, 700])
        .show(1100, 8);
    let mut shown = guest.run(&world);
    assert_eq!(shown.errno(), OK);
    for want in [5, 3, 1] {
        assert_eq!(
            (shown.errno(), shown.long()),
            (OK, want),
            "0 is from here, 1 from the end, 2 from the start"
        );
    }
    assert_eq!(shown.errno(), OK);
    let stat = shown.bytes();
    assert_eq!(
        (stat[0], stat[4], stat[8]),
        (4, 1, 5),
        "type, links in 32 bits, size"
    );
    assert_eq!(shown.bytes(), [0xee; 8], "56 bytes are written, not 64");
    assert_eq!((shown.errno(), shown.long()), (OK, 7));
}

#[test]
fn sock_accept_came_later() {
    let guest = Guest::of(PREVIEW0).call("sock_accept", &[0, 0, 512]);
    let ran = World::new().run(guest.wat(), |_| {});
    assert_eq!(
        ran.refusal(),
        "program \"/program.wasm\" imports what no WASI host has: \"wasi_unstable.sock_accept\""
    );
}
