//! WebAssembly's proposals: what wasmtime has on by default is on.

use crate::world::World;

#[test]
fn what_is_on_by_default_is_on() {
    let world = World::new();
    for (proposal, module) in [
        (
            "garbage collection",
            "(module (type $pair (struct (field i32) (field i64)))
                (func (export \"_start\") (drop (struct.get $pair 0 (struct.new $pair (i32.const 1) (i64.const 2))))))",
        ),
        (
            "exceptions",
            "(module (tag $e)
                (func (export \"_start\") (block $caught (try_table (catch $e $caught) (throw $e)) unreachable)))",
        ),
        (
            "tail calls",
            "(module (func $loop (param i32)
                    (if (i32.eqz (local.get 0)) (then (return)))
                    (return_call $loop (i32.sub (local.get 0) (i32.const 1))))
                (func (export \"_start\") (call $loop (i32.const 10000000))))",
        ),
        (
            "typed function references",
            "(module (type $f (func)) (func $g (type $f)) (elem declare func $g)
                (func (export \"_start\") (call_ref $f (ref.func $g))))",
        ),
        (
            "several memories, of 64 bits",
            "(module (memory i64 1) (memory $second 1)
                (func (export \"_start\") (i64.store (i64.const 8) (i64.const 1))
                    (i32.store $second (i32.const 8) (i32.const 1))))",
        ),
        (
            "vectors, relaxed",
            "(module (func (export \"_start\") (drop (i32x4.relaxed_trunc_f32x4_s (f32x4.splat (f32.const 1))))))",
        ),
        (
            "atomics",
            "(module (memory 1) (func (export \"_start\") (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))))",
        ),
    ] {
        assert_eq!(world.run(module, |_| {}).code(), 0, "{proposal}");
    }
}

#[test]
fn memory_for_several_threads_is_refused() {
    let ran = World::new().run(
        "(module (memory 1 1 shared) (func (export \"_start\")))",
        |_| {},
    );
    let refusal = ran.refusal();
    assert!(refusal.contains("shared"), "{refusal}");
}
