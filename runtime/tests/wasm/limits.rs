//! What a guest may use up: memory in all its forms, instructions, and what the host keeps for it.

use coracle_runtime::policy::quantity::Size;
use coracle_runtime::sandbox::wasm::{Outcome, WasmEngine};
use coracle_runtime::spec::ContainerSpec;

use crate::guest::*;
use crate::world::World;

const PAGE: u64 = 64 << 10;

fn limited(pages: u64) -> impl FnOnce(&mut ContainerSpec) {
    move |spec| spec.limits.memory = Some(Size::from_bytes(pages * PAGE))
}

/// A module that exits with 0 if the expression is zero, else with 1.
fn zero(fields: &str, expression: &str) -> String {
    format!(
        "(module (import \"{PREVIEW1}\" \"proc_exit\" (func $exit (param i32))) {fields}
         (func (export \"_start\") (call $exit (i32.ne (i32.const 0) {expression}))))"
    )
}

#[test]
fn tables_count_as_memory() {
    let world = World::new();
    // A page of memory holds 8,192 elements.
    let grow = |elements: u64| {
        zero(
            "(memory (export \"memory\") 1) (table $t 0 funcref)",
            &format!("(table.grow $t (ref.null func) (i32.const {elements}))"),
        )
    };
    assert_eq!(world.run(grow(8192), limited(2)).code(), 0);
    let ran = world.run(grow(8193), limited(2));
    assert_eq!(
        ran.result.expect("it ran"),
        Outcome::OutOfMemory { code: 1 }
    );
    // And without a limit they have one of their own.
    assert_eq!(world.run(grow(8193), |_| {}).code(), 0);
    assert_eq!(world.run(grow(20_000_000), |_| {}).code(), 1);
}

#[test]
fn several_memories_share_the_limit() {
    let world = World::new();
    let both = zero(
        "(memory (export \"memory\") 2) (memory $b 2)",
        "(i32.const 0)",
    );
    assert_eq!(world.run(&both, limited(4)).code(), 0);
    assert_eq!(
        world.run(&both, limited(3)).refusal(),
        "program \"/program.wasm\" needs more memory to start than its limit of 192k"
    );
    let grow = zero(
        "(memory (export \"memory\") 2) (memory $b 1)",
        "(i32.eq (i32.const -1) (memory.grow $b (i32.const 1)))",
    );
    assert_eq!(world.run(&grow, limited(4)).code(), 0);
    let ran = world.run(&grow, limited(3));
    assert_eq!(
        ran.result.expect("it ran"),
        Outcome::OutOfMemory { code: 1 }
    );
}

#[test]
fn garbage_collected_objects_count_as_memory() {
    let world = World::new();
    // Arrays of 64 KiB in a list, so that none of them is garbage.
    let wat = |count: u32| {
        format!(
            "(module (type $bytes (array (mut i8))) (type $node (struct (field (ref $bytes)) (field (ref null $node))))
             (memory (export \"memory\") 1) (global $list (mut (ref null $node)) (ref.null $node))
             (func (export \"_start\") (local $n i32)
                (loop $more
                    (global.set $list (struct.new $node (array.new_default $bytes (i32.const 65536)) (global.get $list)))
                    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {count}))))))"
        )
    };
    assert_eq!(world.run(wat(2), limited(64)).code(), 0);
    let ran = world.run(wat(1000), limited(64));
    assert_eq!(ran.result.expect("it ran").code(), 137);
}

#[test]
fn instructions_are_counted_only_if_they_are_limited() {
    let world = World::new();
    let engine = WasmEngine::metered(&world.path("cache")).expect("an engine");
    let count = "(module (memory (export \"memory\") 1) (func (export \"_start\") (local $n i32)
        (loop $more (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000))))))";
    let run = |fuel| {
        world
            .run_on(&engine, count, |spec| spec.limits.fuel = Some(fuel))
            .result
            .expect("it ran")
    };
    // To the instruction: the least that is enough stays enough, and one less is not.
    let (mut too_few, mut enough) = (1, 100_000);
    while enough - too_few > 1 {
        let middle = (too_few + enough) / 2;
        match run(middle) {
            Outcome::Exited(0) => enough = middle,
            Outcome::OutOfFuel => too_few = middle,
            other => panic!("{other:?}"),
        }
    }
    assert!((5000..10_000).contains(&enough), "{enough}");
    for _ in 0..3 {
        assert_eq!(run(enough), Outcome::Exited(0));
        assert_eq!(run(enough - 1), Outcome::OutOfFuel);
    }
    // The usual code does not count, and says so instead of running without the limit.
    let refusal = world
        .run(count, |spec| spec.limits.fuel = Some(1))
        .refusal();
    assert!(refusal.contains("fuel"), "{refusal}");
}

/// A component that runs `body` with `$subscribe`, which makes a pollable for a time.
fn polling(body: &str) -> String {
    format!(
        "(component
            (import \"wasi:io/poll@0.2.0\" (instance $polls
                (export \"pollable\" (type $pollable (sub resource)))))
            (alias export $polls \"pollable\" (type $pollable))
            (import \"wasi:clocks/monotonic-clock@0.2.0\" (instance $clock
                (alias outer 1 $pollable (type $pollable))
                (export \"subscribe-duration\" (func (param \"when\" u64) (result (own $pollable))))))
            (core func $subscribe (canon lower (func $clock \"subscribe-duration\")))
            (core module $main
                (import \"host\" \"subscribe\" (func $subscribe (param i64) (result i32)))
                (func (export \"run\") (result i32) (local $n i32) {body}))
            (core instance $main (instantiate $main
                (with \"host\" (instance (export \"subscribe\" (func $subscribe))))))
            (func $run (result (result)) (canon lift (core func $main \"run\")))
            (component $wrap (import \"run\" (func $run (result (result)))) (export \"run\" (func $run)))
            (instance $wrapped (instantiate $wrap (with \"run\" (func $run))))
            (export \"wasi:cli/run@0.2.0\" (instance $wrapped)))"
    )
}

#[test]
fn what_the_host_keeps_for_a_component_is_bounded() {
    let world = World::new();
    let hoard = |count: u32| {
        polling(&format!(
            "(loop $more
                (drop (call $subscribe (i64.const 1000000000)))
                (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {count}))))
             (i32.const 0)"
        ))
    };
    assert_eq!(world.run(hoard(20_000), |_| {}).code(), 0);
    assert_eq!(world.run(hoard(4_000), limited(400)).code(), 0);
    for (count, limit) in [(20_000, Some(400)), (300_000, None)] {
        let ran = world.run(hoard(count), |spec| {
            spec.limits.memory = limit.map(|pages| Size::from_bytes(pages * PAGE));
        });
        assert!(ran.trap().contains("resource"), "{}", ran.trap());
    }
}

#[test]
fn what_a_component_hands_over_in_one_call_is_bounded() {
    let world = World::new();
    let write = |count: u32| {
        format!(
            "(component
                (import \"wasi:io/error@0.2.0\" (instance $errors (export \"error\" (type (sub resource)))))
                (alias export $errors \"error\" (type $error))
                (import \"wasi:io/streams@0.2.0\" (instance $streams
                    (export \"output-stream\" (type $stream (sub resource)))
                    (alias outer 1 $error (type $error))
                    (type $failed (variant (case \"last-operation-failed\" (own $error)) (case \"closed\")))
                    (export \"stream-error\" (type $stream-error (eq $failed)))
                    (export \"[method]output-stream.write\" (func
                        (param \"self\" (borrow $stream)) (param \"contents\" (list u8))
                        (result (result (error $stream-error)))))))
                (alias export $streams \"output-stream\" (type $stream))
                (import \"wasi:cli/stdout@0.2.0\" (instance $cli
                    (alias outer 1 $stream (type $stream))
                    (export \"get-stdout\" (func (result (own $stream))))))
                (core module $libc (memory (export \"memory\") 200))
                (core instance $libc (instantiate $libc))
                (core func $stdout (canon lower (func $cli \"get-stdout\")))
                (core func $write (canon lower (func $streams \"[method]output-stream.write\")
                    (memory (core memory $libc \"memory\"))))
                (core module $main
                    (import \"host\" \"stdout\" (func $stdout (result i32)))
                    (import \"host\" \"write\" (func $write (param i32 i32 i32 i32)))
                    (func (export \"run\") (result i32)
                        (call $write (call $stdout) (i32.const 0) (i32.const {count}) (i32.const 13000000))
                        (i32.const 0)))
                (core instance $main (instantiate $main (with \"host\" (instance
                    (export \"stdout\" (func $stdout)) (export \"write\" (func $write))))))
                (func $run (result (result)) (canon lift (core func $main \"run\")))
                (component $wrap (import \"run\" (func $run (result (result)))) (export \"run\" (func $run)))
                (instance $wrapped (instantiate $wrap (with \"run\" (func $run))))
                (export \"wasi:cli/run@0.2.0\" (instance $wrapped)))"
        )
    };
    for (count, limit) in [(3 << 20, Some(400)), (8 << 20, None)] {
        let ran = world.run(write(count), |spec| {
            spec.limits.memory = limit.map(|pages| Size::from_bytes(pages * PAGE));
        });
        assert_eq!((ran.code(), ran.stdout.len()), (0, count as usize));
    }
    let ran = world.run(write(8 << 20), limited(400));
    assert!(ran.trap().contains("fuel"), "{}", ran.trap());
}
