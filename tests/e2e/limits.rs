//! Limits: for each a guest that stays within, one that does not, and what is said and recorded of it.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::world::{Output, Running, World, wait_until};

/// What the host may need beside a guest's memory, in KiB.
const HOST_ROOM: u64 = 16 << 10;

fn inspect(world: &World, name: &str) -> Value {
    world.json(&["inspect", name])[0].clone()
}

/// Runs a guest that is to be ended, and returns what it left and what is recorded of it.
fn ended(world: &World, flags: &[&str], command: &[&str], code: i32) -> (Output, Value) {
    let arguments = [&["run", "--name", "ended"], flags, command].concat();
    let output = world.run(&arguments).expect_code(code, &arguments);
    let container = inspect(world, "ended");
    assert_eq!(container["State"]["ExitCode"], code);
    world.ok(&["rm", "ended"]);
    (output, container)
}

/// The most memory that a process has had, in KiB, with the pages of its program file.
fn peak(running: &Running) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", running.0.id())).expect("its status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("the kernel counts it");
    let number = line.trim().trim_end_matches(" kB");
    number.parse().expect("a number")
}

#[test]
fn memory() {
    let world = World::new();
    world.guest_image("grow");
    assert_eq!(
        world.ok(&["run", "--rm", "-m", "64m", "grow", "32"]),
        "got all\n"
    );
    // Who copes with it goes on, and ends as it likes.
    let reason = "the guest needed more memory than its limit";
    for (then, code) in [("exit", 3), ("abort", 137)] {
        let (output, container) = ended(&world, &["-m", "64m"], &["grow", "200", then], code);
        assert_eq!(output.text(), "refused\n");
        assert!(
            output.errors().ends_with(&format!("coracle: {reason}\n")),
            "{}",
            output.errors()
        );
        assert_eq!(container["State"]["OOMKilled"], true);
        assert_eq!(container["State"]["Error"], reason);
        assert_eq!(container["HostConfig"]["Memory"], 64 << 20);
    }
    let (_, container) = ended(&world, &[], &["grow", "1"], 0);
    assert_eq!(container["State"]["OOMKilled"], false);
    assert_eq!(container["HostConfig"]["Memory"], 0);

    let output = world.run(&["run", "--rm", "-m", "64k", "grow"]);
    let output = output.expect_code(126, &["-m", "64k"]);
    assert_eq!(
        output.errors(),
        "coracle: program \"/grow.wasm\" needs more memory to start than its limit of 64k\n\
         Hint: give it more with --memory\n"
    );
}

#[test]
fn a_memory_bomb_takes_no_more_of_the_host_than_its_limit_and_some_room() {
    let world = World::new();
    world.guest_image("grow");
    let mut command = world.command(&["run", "--rm", "-i", "-m", "64m", "grow", "4000", "wait"]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut said = [0; 8];
    let stdout = running.0.stdout.as_mut().expect("a pipe");
    stdout.read_exact(&mut said).expect("it says how it went");
    assert_eq!(&said, b"refused\n");
    let peak = peak(&running);
    assert!(peak > 60 << 10, "{peak} KiB: it did not use its memory");
    assert!(peak <= (64 << 10) + HOST_ROOM, "{peak} KiB");
}

#[test]
fn a_flood_into_a_pipe_that_nobody_reads_is_not_kept() {
    let world = World::new();
    world.guest_image("spew");
    let running = Running::start(&mut world.command(&["run", "--rm", "spew"]));
    let stat = format!("/proc/{}/stat", running.0.id());
    // Asleep with its name still Coracle's: it waits in a write.
    let mut asleep = 0;
    wait_until("it fills the pipe", || {
        let text = fs::read_to_string(&stat).expect("it runs");
        let sleeps = text
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" S "));
        asleep = if sleeps { asleep + 1 } else { 0 };
        asleep == 10
    });
    let peak = peak(&running);
    assert!(peak <= HOST_ROOM, "{peak} KiB");
}

#[test]
fn time() {
    let world = World::new();
    for guest in ["loop", "sleep", "exit7", "spew"] {
        world.guest_image(guest);
    }
    world
        .run(&["run", "--rm", "--timeout", "1h", "exit7"])
        .expect_code(7, &["exit7"]);
    let reason = "the guest's time of 200ms is over";
    for guest in [&["loop"][..], &["sleep", "60"]] {
        let (output, container) = ended(&world, &["--timeout", "200ms"], guest, 124);
        assert_eq!(output.errors(), format!("coracle: {reason}\n"));
        assert_eq!(container["State"]["Error"], reason);
        assert_eq!(container["State"]["Status"], "exited");
        assert_eq!(container["Coracle"]["Limits"]["timeout"], "200ms");
    }
    // It waits in a write, and even the pipe for messages is full.
    let mut command = world.command(&["run", "--rm", "--timeout", "200ms", "spew"]);
    let mut running = Running::start(&mut command);
    let mut code = None;
    wait_until("it is ended", || {
        code = running
            .0
            .try_wait()
            .expect("a child")
            .map(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(Some(124)));
}

#[test]
fn a_time_limit_holds_where_the_caller_blocks_and_ignores_its_signal() {
    let world = World::new();
    world.guest_image("loop");
    let coracle = env!("CARGO_BIN_EXE_coracle");
    let script = format!("trap '' ALRM; exec {coracle} run --rm --timeout 100ms loop");
    let output = crate::world::finish(world.tool("sh", &["-c", &script]), b"");
    output.expect_code(124, &["loop"]);
}

#[test]
fn instructions() {
    let world = World::new();
    world.guest_image("exit7");
    world.guest_image("spew");
    world
        .run(&["run", "--rm", "--fuel", "10000000", "exit7"])
        .expect_code(7, &["exit7"]);
    let reason = "the guest has used up the instructions it was given";
    let run = || ended(&world, &["--fuel", "100000"], &["spew"], 152);
    let (first, container) = run();
    assert_eq!(first.errors(), format!("coracle: {reason}\n"));
    assert_eq!(container["State"]["Error"], reason);
    assert_eq!(container["State"]["OOMKilled"], false);
    assert_eq!(container["Coracle"]["Limits"]["fuel"], 100_000);
    assert!(!first.stdout.is_empty());
    assert_eq!(
        first.stdout.len(),
        run().0.stdout.len(),
        "the same each time"
    );
}

#[test]
fn processor_time() {
    let world = World::new();
    world.guest_image("loop");
    // The shell tells what its children have used, and they can only have had less on a busy machine.
    let coracle = env!("CARGO_BIN_EXE_coracle");
    let script = format!("{coracle} run --rm --cpus 0.2 --timeout 2s loop >/dev/null 2>&1; times");
    let text = crate::world::finish(world.tool("bash", &["-c", &script]), b"").text();
    let children = text.lines().last().expect("two lines");
    let seconds: f64 = children
        .split_whitespace()
        .map(|time| {
            let (minutes, seconds) = time
                .trim_end_matches('s')
                .split_once('m')
                .expect("0m0.000s");
            minutes.parse::<f64>().expect("minutes") * 60.0
                + seconds.parse::<f64>().expect("seconds")
        })
        .sum();
    assert!(
        seconds < 0.2 * 2.0 * 1.25,
        "{seconds} s of processor time in 2 s"
    );
    assert!(seconds > 0.0, "{text}");
}

#[test]
fn open_files() {
    let world = World::new();
    world.guest_image("openall");
    // Three standard streams and the root are open from the start.
    assert_eq!(
        world.ok(&["run", "--rm", "--ulimit", "nofile=20:40", "openall"]),
        "16: No file descriptors available\n"
    );
    let (_, container) = ended(
        &world,
        &["--ulimit", "nofile=3000", "--pids-limit", "7"],
        &["openall"],
        0,
    );
    assert_eq!(
        container["HostConfig"]["Ulimits"],
        json!([{ "Name": "nofile", "Soft": 3000, "Hard": 3000 }])
    );
    assert_eq!(container["HostConfig"]["PidsLimit"], 7);
}

#[test]
fn what_has_no_meaning_is_refused_with_the_reason() {
    let world = World::new();
    world.guest_image("openall");
    for (flag, reason) in [
        (
            &["--memory-swap", "1g"][..],
            "`--memory-swap` has no meaning here: what a guest has is limited by --memory",
        ),
        (
            &["--oom-kill-disable"],
            "is refused memory beyond --memory, and not killed",
        ),
        (&["--cpu-quota", "1000"], "give the quotient, with --cpus"),
        (&["--cpuset-cpus=0"], "a guest has one thread"),
        (&["--shm-size", "64m"], "--shm-size has no meaning"),
        (&["--ulimit", "core=0"], "--ulimit has no meaning"),
        (&["--ulimit", "bogus=0"], "there is no limit `bogus`"),
        (&["-m", "1b"], "one page of WebAssembly has 64k"),
    ] {
        let message = world.refused(&[&["run"], flag, &["openall"]].concat());
        assert!(message.contains(reason), "{message}");
    }
    assert!(!world.root().join("containers").exists());
}
