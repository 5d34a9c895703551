//! `completion`: what a real bash offers.

use crate::world::World;

/// Asks bash what it would offer for a line; the words after its beginning, and the last one is to be completed.
fn offered(world: &World, words: &[&str]) -> Vec<String> {
    let coracle = env!("CARGO_BIN_EXE_coracle");
    let script = r#"
        source <("$0" completion bash) || exit 3
        complete -p coracle >/dev/null || exit 4
        COMP_WORDS=("$0" "$@"); COMP_CWORD=$#; COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
        function="$(complete -p coracle | sed 's/.*-F \([^ ]*\).*/\1/')"
        "$function" "$0" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let arguments = [&["-c", script, coracle], words].concat();
    let text = world.tool_ok("bash", &arguments);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_names() {
    let world = World::new();
    world.guest_image("hello");
    world.ok(&["create", "--name", "boat", "hello"]);
    world.ok(&["volume", "create", "hold"]);
    let commands = offered(&world, &["vol"]);
    assert_eq!(commands, ["volume"]);
    let flags = offered(&world, &["ps", "--no"]);
    assert_eq!(flags, ["--no-trunc"]);
    assert!(offered(&world, &["rm", "bo"]).contains(&"boat".to_owned()));
    assert!(offered(&world, &["run", "hel"]).contains(&"hello:latest".to_owned()));
    assert!(offered(&world, &["inspect", ""]).contains(&"boat".to_owned()));
    assert!(offered(&world, &["volume", "rm", "h"]).contains(&"hold".to_owned()));
    assert!(!offered(&world, &["rm", "x"]).contains(&"boat".to_owned()));
}

#[test]
fn each_shell_gets_a_script() {
    let world = World::new();
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef coracle"),
        ("fish", "complete -c coracle"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = world.ok(&["completion", shell]);
        assert!(script.contains(sign), "{shell}");
    }
    let script = world.write("script", world.ok(&["completion", "bash"]));
    world.tool_ok("bash", &["-n", script.to_str().expect("UTF-8")]);
    world.refused(&["completion", "tcsh"]);
    assert!(!world.root().exists(), "it needs no data folder");
}
