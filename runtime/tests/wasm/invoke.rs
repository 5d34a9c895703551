//! Calling one exported function.

use coracle_runtime::sandbox::wasm::Outcome;
use coracle_runtime::spec::{ContainerSpec, World as Made};

use crate::world::{Ran, World};

const MODULE: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (global $ready (mut i32) (i32.const 0))
    (func (export "_initialize") (global.set $ready (i32.add (global.get $ready) (i32.const 1))))
    (func (export "ready") (result i32) (global.get $ready))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "swap") (param i64 f64) (result f64 i64) (local.get 1) (local.get 0))
    (func (export "nothing"))
    (func (export "trap") unreachable)
    (func (export "exit") (call $exit (i32.const 7))))"#;

/// Two interfaces with a function of the same name, and one function outside.
const COMPONENT: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "not") (param i32) (result i32) (i32.eqz (local.get 0)))
        (func (export "echo") (param i32 i32) (result i32)
            (i32.store (i32.const 16) (local.get 0))
            (i32.store (i32.const 20) (local.get 1))
            (i32.const 16)))
    (core instance $i (instantiate $m))
    (alias core export $i "memory" (core memory $memory))
    (alias core export $i "realloc" (core func $realloc))
    (alias core export $i "echo" (core func $core-echo))
    (alias core export $i "not" (core func $core-not))
    (func $not (param "value" bool) (result bool) (canon lift (core func $core-not)))
    (func $echo (param "text" string) (result string)
        (canon lift (core func $core-echo) (memory $memory) (realloc $realloc)))
    (func $list (param "text" string) (result (list u8))
        (canon lift (core func $core-echo) (memory $memory) (realloc $realloc)))
    (instance $one (export "echo" (func $echo)) (export "bytes" (func $list)))
    (instance $two (export "echo" (func $echo)))
    (export "not" (func $not))
    (export "acme:lib/one@1.0.0" (instance $one))
    (export "acme:lib/two@1.0.0" (instance $two)))"#;

fn call(program: &str, export: &str, args: &[&str]) -> Ran {
    World::new().run(program, |spec: &mut ContainerSpec| {
        spec.world = Made::Invoke {
            export: export.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        };
    })
}

fn printed(program: &str, export: &str, args: &[&str]) -> String {
    let ran = call(program, export, args);
    assert_eq!(ran.code(), 0);
    String::from_utf8(ran.stdout).expect("text")
}

#[test]
fn a_modules_function_gets_numbers_and_gives_numbers() {
    assert_eq!(printed(MODULE, "add", &["2", "40"]), "42\n");
    assert_eq!(printed(MODULE, "add", &["-1", "4294967295"]), "-2\n");
    assert_eq!(printed(MODULE, "swap", &["-9", "0.5"]), "0.5\n-9\n");
    assert_eq!(printed(MODULE, "nothing", &[]), "");
}

#[test]
fn a_library_is_initialized_once_before_the_call() {
    assert_eq!(printed(MODULE, "ready", &[]), "1\n");
    assert_eq!(printed(MODULE, "_initialize", &[]), "");
}

#[test]
fn a_function_ends_as_a_program_does() {
    assert_eq!(call(MODULE, "exit", &[]).code(), 7);
    assert_eq!(
        call(MODULE, "trap", &[]).result.expect("it ran"),
        Outcome::Trapped {
            message: "wasm `unreachable` instruction executed".to_owned()
        }
    );
}

#[test]
fn a_components_function_is_found_by_its_name() {
    assert_eq!(printed(COMPONENT, "not", &["true"]), "false\n");
    assert_eq!(
        printed(COMPONENT, "acme:lib/two@1.0.0#echo", &["a \"b\""]),
        "a \"b\"\n"
    );
    assert_eq!(printed(COMPONENT, "bytes", &["AB"]), "[65, 66]\n");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_runs() {
    let of = "of program \"/program.wasm\"";
    for (program, export, args, want) in [
        (MODULE, "add", &["1"][..], format!("calling \"add\" {of}: got 1 arguments, want 2")),
        (MODULE, "add", &["1", "x"], format!("calling \"add\" {of}: argument 2: got \"x\", want i32")),
        (
            MODULE,
            "sub",
            &[],
            "program \"/program.wasm\" has no function \"sub\"; it has ready, add, swap, nothing, trap, exit".to_owned(),
        ),
        (MODULE, "memory", &[], "program \"/program.wasm\" has no function \"memory\"; it has ready, add, swap, nothing, trap, exit".to_owned()),
        (COMPONENT, "not", &["maybe"], format!("calling \"not\" {of}: argument 1: got \"maybe\", want bool")),
        (
            COMPONENT,
            "echo",
            &["x"],
            format!("calling \"echo\" {of}: it may be \"acme:lib/one@1.0.0#echo\" or \"acme:lib/two@1.0.0#echo\""),
        ),
        (
            COMPONENT,
            "no",
            &[],
            "program \"/program.wasm\" has no function \"no\"; it has not, acme:lib/one@1.0.0#echo, \
             acme:lib/one@1.0.0#bytes, acme:lib/two@1.0.0#echo"
                .to_owned(),
        ),
    ] {
        let ran = call(program, export, args);
        assert_eq!(ran.refusal(), want);
        assert!(ran.stdout.is_empty());
    }
}
