//! `coracle completion`

use clap_complete::Shell;

use super::super::error::Failure;
use super::super::{Exit, ui};
use super::printing;

/// Print a script that lets a shell complete what is typed
///
/// For bash: `source <(coracle completion bash)`; for zsh the same, after `compinit`; for fish: `coracle completion fish | source`; for
/// PowerShell: `coracle completion powershell | Out-String | Invoke-Expression`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Known,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Known {
    Bash,
    Fish,
    Powershell,
    Zsh,
}

pub(in super::super) fn run(mut command: clap::Command, args: &Args) -> Result<Exit, Failure> {
    let shell = match args.shell {
        Known::Bash => Shell::Bash,
        Known::Fish => Shell::Fish,
        Known::Powershell => Shell::PowerShell,
        Known::Zsh => Shell::Zsh,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "coracle", &mut script);
    if shell == Shell::Bash {
        script.extend_from_slice(BASH_NAMES.as_bytes());
    }
    ui::raw(&script).map_err(printing)?;
    Ok(Exit::Success)
}

/// Names of containers, images and volumes, where one of them is wanted.
const BASH_NAMES: &str = r#"
_coracle_with_names() {
    _coracle "$@"
    local typed="${COMP_WORDS[COMP_CWORD]}" names=""
    if [[ ${COMP_CWORD} -lt 2 || $typed == -* ]]; then
        return 0
    fi
    case "${COMP_WORDS[1]} ${COMP_WORDS[2]}" in
        "volume inspect" | "volume rm")
            names="$("$1" volume ls --quiet 2>/dev/null)"
            ;;
        commit\ * | cp\ * | diff\ * | exec\ * | export\ * | kill\ * | logs\ * | pause\ * | rename\ * | restart\ * | rm\ * | start\ * | \
            stop\ * | unpause\ * | wait\ *)
            names="$("$1" ps --all --format '{{.Names}}' 2>/dev/null)"
            ;;
        create\ * | history\ * | push\ * | rmi\ * | run\ * | save\ * | tag\ * | "image inspect" | "image rm")
            names="$("$1" images --filter dangling=false --format '{{.Repository}}:{{.Tag}}' 2>/dev/null)"
            ;;
        inspect\ *)
            names="$("$1" ps --all --format '{{.Names}}' 2>/dev/null)
$("$1" images --filter dangling=false --format '{{.Repository}}:{{.Tag}}' 2>/dev/null)"
            ;;
        *)
            return 0
            ;;
    esac
    local name
    while read -r name; do
        if [[ -n $name && $name == "$typed"* ]]; then
            COMPREPLY+=("$name")
        fi
    done <<<"$names"
    # A colon parts words: what stands before it is typed already.
    if declare -F __ltrim_colon_completions >/dev/null; then
        __ltrim_colon_completions "$typed"
    fi
}
complete -F _coracle_with_names -o bashdefault -o default coracle
"#;
