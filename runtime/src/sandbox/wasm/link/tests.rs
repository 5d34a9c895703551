//! Components that fit together, and those that do not.

use super::*;

/// What the host of these tests has.
fn is_hosts(import: &str) -> bool {
    import.starts_with("wasi:cli/")
}

fn linked(program: &Part, libraries: &[Part]) -> Result<Option<Linked>, LinkError> {
    link(program, libraries, "/usr/lib/wasm", &is_hosts)
}

fn part(path: &str, wat: &str) -> Part {
    Part {
        path: path.to_owned(),
        bytes: wat::parse_str(wat).expect(path),
    }
}

/// A component that exports these interfaces, each with a function that returns a number, and imports those.
fn component(path: &str, imports: &[&str], exports: &[&str]) -> Part {
    let imports: String = imports
        .iter()
        .map(|name| format!("(import \"{name}\" (instance (export \"get\" (func (result s32)))))"))
        .collect();
    let exports: String = exports
        .iter()
        .enumerate()
        .map(|(at, name)| {
            format!(
                "(core module $m{at} (func (export \"get\") (result i32) (i32.const 1)))
                 (core instance $i{at} (instantiate $m{at}))
                 (alias core export $i{at} \"get\" (core func $c{at}))
                 (func $f{at} (result s32) (canon lift (core func $c{at})))
                 (instance $x{at} (export \"get\" (func $f{at})))
                 (export \"{name}\" (instance $x{at}))"
            )
        })
        .collect();
    part(path, &format!("(component {imports} {exports})"))
}

fn error(program: &Part, libraries: &[Part]) -> String {
    linked(program, libraries)
        .expect_err("it is refused")
        .to_string()
}

/// Reads what came out: its imports and exports.
fn read(bytes: Vec<u8>) -> (Vec<String>, Vec<String>) {
    let path = "/linked".to_owned();
    let part = Part { path, bytes };
    let read = Component::read(&mut CompositionGraph::new(), 0, &part, &|_| false);
    let read = read.expect("a component");
    (read.imports, read.exports)
}

#[test]
fn what_needs_nobody_is_left_alone() {
    let other = component("/l", &[], &["acme:a/a@1.0.0"]);
    for program in [
        component("/p", &[], &[]),
        component("/p", &["wasi:cli/environment@0.2.0"], &[]),
        // The host's world, of which this host lacks a part: the start refuses it by its name.
        component("/p", &["wasi:magic/wand@0.2.0"], &[]),
        part("/p", "(module)"),
    ] {
        let made = linked(&program, std::slice::from_ref(&other)).expect("fine");
        assert!(made.is_none());
    }
}

#[test]
fn libraries_are_linked_also_with_each_other() {
    let program = component(
        "/p",
        &["acme:a/a@1.0.0", "acme:b/b@1.0.0", "wasi:magic/wand@0.2.0"],
        &["acme:p/p@1.0.0"],
    );
    let libraries = [
        component("/a", &["acme:b/b@1.0.0"], &["acme:a/a@1.0.0"]),
        component(
            "/b",
            &["wasi:cli/environment@0.2.0"],
            &[
                "acme:b/b@1.2.0",
                "wasi:cli/stdout@0.2.0",
                "wasi:magic/wand@0.2.1",
            ],
        ),
        // Nobody needs it, so nobody minds what it lacks.
        component("/c", &["acme:nobody/has@1.0.0"], &["acme:c/c@1.0.0"]),
        part("/module", "(module)"),
    ];
    let made = linked(&program, &libraries)
        .expect("they fit")
        .expect("it needs them");
    let links: Vec<String> = made
        .links
        .iter()
        .map(|link| {
            format!(
                "{} {} {} {}",
                link.importer, link.import, link.library, link.export
            )
        })
        .collect();
    assert_eq!(
        links,
        [
            "/p acme:a/a@1.0.0 /a acme:a/a@1.0.0",
            "/a acme:b/b@1.0.0 /b acme:b/b@1.2.0",
            "/p acme:b/b@1.0.0 /b acme:b/b@1.2.0",
            "/p wasi:magic/wand@0.2.0 /b wasi:magic/wand@0.2.1",
        ]
    );
    let (imports, exports) = read(made.bytes);
    assert_eq!(imports, ["wasi:cli/environment@0.2.0"]);
    assert_eq!(exports, ["acme:p/p@1.0.0"]);
}

#[test]
fn no_library_takes_the_hosts_place() {
    let program = component("/p", &["wasi:cli/stdout@0.2.0", "acme:a/a@1.0.0"], &[]);
    let libraries = [component(
        "/l",
        &[],
        &["wasi:cli/stdout@0.2.0", "acme:a/a@1.0.0"],
    )];
    let made = linked(&program, &libraries)
        .expect("fine")
        .expect("it needs one");
    assert_eq!(read(made.bytes).0, ["wasi:cli/stdout@0.2.0"]);
}

#[test]
fn what_nobody_or_too_many_have_is_refused() {
    let program = component("/p", &["acme:a/a@1.0.0"], &[]);
    let has = |path: &str, version: &str| component(path, &[], &[&format!("acme:a/a@{version}")]);
    assert_eq!(
        error(&program, &[]),
        "\"/p\" imports \"acme:a/a@1.0.0\", which no component in \"/usr/lib/wasm\" exports; there are none"
    );
    for other in ["2.0.0", "1.0.0-rc.1"] {
        assert_eq!(
            error(&program, &[has("/l", other)]),
            "\"/p\" imports \"acme:a/a@1.0.0\", which no component in \"/usr/lib/wasm\" exports; there are \"/l\""
        );
    }
    assert_eq!(
        error(&program, &[has("/l", "1.1.0"), has("/m", "1.2.0")]),
        "\"/p\" imports \"acme:a/a@1.0.0\", which \"/l\" exports as \"acme:a/a@1.1.0\" and \"/m\" as \"acme:a/a@1.2.0\""
    );
    // The exact version is preferred.
    assert!(linked(&program, &[has("/l", "1.0.0"), has("/m", "1.2.0")]).is_ok());
    // A library's need is named as well.
    let needy = component("/l", &["acme:b/b@0.1.0"], &["acme:a/a@1.0.0"]);
    assert!(error(&program, &[needy]).starts_with("\"/l\" imports \"acme:b/b@0.1.0\", which no"));
}

#[test]
fn circles_and_other_types_are_refused() {
    let program = component("/p", &["acme:a/a@1.0.0"], &[]);
    let circle = [
        component("/a", &["acme:b/b@1.0.0"], &["acme:a/a@1.0.0"]),
        component("/b", &["acme:a/a@1.0.0"], &["acme:b/b@1.0.0"]),
    ];
    assert_eq!(
        error(&program, &circle),
        "components import from each other in a circle: \"/a\", \"/b\", \"/a\""
    );
    let own = [component("/a", &["acme:a/a@1.0.0"], &["acme:a/a@1.0.0"])];
    assert!(error(&program, &own).ends_with("in a circle: \"/a\", \"/a\""));
    let other = part(
        "/l",
        "(component (instance $i) (export \"acme:a/a@1.0.0\" (instance $i)))",
    );
    let mismatch = error(&program, &[other]);
    assert!(
        mismatch.starts_with("linking \"/l\": mismatched instantiation argument"),
        "{mismatch}"
    );
    let broken = Part {
        path: "/l".to_owned(),
        bytes: b"\0asm\x0d\0\x01\0\x01\x02rubbish".to_vec(),
    };
    assert!(error(&program, &[broken]).starts_with("linking \"/l\": "));
}

#[test]
fn count_and_depth_are_bounded() {
    let program = component("/p", &["acme:n0/a@1.0.0"], &[]);
    let chain = |length: usize| -> Vec<Part> {
        (0..length)
            .map(|at| {
                let next = format!("acme:n{}/a@1.0.0", at + 1);
                let imports: &[&str] = if at + 1 < length { &[&next] } else { &[] };
                component(
                    &format!("/{at}"),
                    imports,
                    &[&format!("acme:n{at}/a@1.0.0")],
                )
            })
            .collect()
    };
    assert!(linked(&program, &chain(LONGEST_CHAIN)).is_ok());
    assert!(
        error(&program, &chain(LONGEST_CHAIN + 1)).starts_with("\"/32\" is the end of a chain")
    );
    let many: Vec<Part> = (0..=MOST_LIBRARIES)
        .map(|at| component(&format!("/{at}"), &[], &[]))
        .collect();
    assert!(error(&program, &many).contains("more than 100 files in \"/usr/lib/wasm\""));
}

#[test]
fn a_key_tells_content_and_nothing_else() {
    let (a, b, c) = ([1; 32], [2; 32], [3; 32]);
    assert_eq!(key(&a, [b, c]), key(&a, [c, b, c]));
    assert_ne!(key(&a, [b]), key(&b, [a]));
    assert_ne!(key(&a, [b]), key(&a, [b, c]));
    assert_ne!(key(&a, []), a);
}
