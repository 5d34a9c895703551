//! `coracle system install-unit`

use std::path::{Path, PathBuf};

use super::super::super::error::Failure;
use super::super::super::{Exit, ui};
use super::super::printing;
use crate::engine::Engine;

/// Have systemd start containers after a boot, as their restart policies say
///
/// Writes the unit `coracle.service`: for root the system's, for others the user's own. Prints where it is; how to switch it on
/// is told beside.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Write the unit into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write the user's unit, whoever calls
    #[arg(long)]
    user: bool,
}

const NAME: &str = "coracle.service";

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let user = args.user || !coracle_runtime::sys::is_root();
    let failed =
        |doing: String| move |source| Failure::Plain(Box::new(Failure::Io { doing, source }));
    let program = std::env::current_exe().map_err(failed("finding this program".to_owned()))?;
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None if user => user_units().ok_or_else(|| {
            Failure::usage("finding the folder of the user's units: the environment names no home")
                .with_hint("give one with --dir")
                .plainly()
        })?,
        None => PathBuf::from("/etc/systemd/system"),
    };
    let text = unit(&program, engine.root(), user)?;
    let path = dir.join(NAME);
    std::fs::create_dir_all(&dir).map_err(failed(format!("creating {}", dir.display())))?;
    let new = dir.join(".coracle.service.new");
    std::fs::write(&new, text)
        .and_then(|()| std::fs::rename(&new, &path))
        .map_err(failed(format!("writing {}", path.display())))?;
    ui::line(&super::super::super::sanitize::sanitize(
        &path.display().to_string(),
    ))
    .map_err(printing)?;
    let systemctl = if user {
        "systemctl --user"
    } else {
        "systemctl"
    };
    ui::status(&format!(
        "Switch it on with: {systemctl} daemon-reload && {systemctl} enable {NAME}"
    ));
    if user {
        ui::status("To have it started before you log in: loginctl enable-linger");
    }
    Ok(Exit::Success)
}

fn user_units() -> Option<PathBuf> {
    let set = |name| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(config.join("systemd/user"))
}

/// Writes the unit. It is over when all are started; what watches over them stays, and ends with it.
fn unit(program: &Path, root: &Path, user: bool) -> Result<String, Failure> {
    let program = quoted(program)?;
    let root = quoted(root)?;
    let (after, wanted) = if user {
        ("", "default.target")
    } else {
        (
            "After=network-online.target\nWants=network-online.target\n",
            "multi-user.target",
        )
    };
    Ok(format!(
        "[Unit]\n\
         Description=Coracle's containers that a restart policy starts\n\
         {after}\n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart={program} --root {root} start --all-policies\n\
         # One that cannot be started keeps the others running.\n\
         SuccessExitStatus=1\n\
         KillMode=mixed\n\
         TimeoutStartSec=infinity\n\
         \n\
         [Install]\n\
         WantedBy={wanted}\n"
    ))
}

/// Quotes a path as systemd.syntax(7) wants it in a command line.
fn quoted(path: &Path) -> Result<String, Failure> {
    let text = path
        .to_str()
        .filter(|text| !text.contains(char::is_control))
        .ok_or_else(|| {
            Failure::usage(format!("{} cannot be written into a unit", path.display())).plainly()
        })?;
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            // These two are expanded elsewhere in the line.
            '%' | '$' => quoted.extend([letter, letter]),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_says_what_to_start() {
        let text = unit(Path::new("/opt/a \"b\"/50%$x"), Path::new("/data"), false).ok();
        let text = text.expect("a unit");
        let start = r#"ExecStart="/opt/a \"b\"/50%%$$x" --root "/data" start --all-policies"#;
        assert!(text.lines().any(|line| line == start), "{text}");
        assert!(text.ends_with("WantedBy=multi-user.target\n"));
        let user = unit(Path::new("/c"), Path::new("/d"), true).expect("a unit");
        assert!(user.ends_with("WantedBy=default.target\n") && !user.contains("network"));
        assert!(unit(Path::new("/a\nExecStart=/b"), Path::new("/d"), true).is_err());
    }
}
