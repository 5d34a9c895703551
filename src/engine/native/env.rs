//! The environment of a Linux program.

use coracle_runtime::container::ContainerConfig;

/// Where programs are looked for unless the image says otherwise: Docker's.
pub(super) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns the environment of the container's first program: as in Docker, a search path, the host name, a terminal's kind where
/// there is one, then what the image and the user set, and a home where nobody did.
pub(super) fn of_container(config: &ContainerConfig, hostname: &str, home: &str) -> Vec<String> {
    complete(&config.env, hostname, home, config.tty)
}

/// The same for any program.
pub(super) fn complete(env: &[String], hostname: &str, home: &str, tty: bool) -> Vec<String> {
    let mut all = vec![
        format!("PATH={DEFAULT_PATH}"),
        format!("HOSTNAME={hostname}"),
    ];
    if tty {
        all.push("TERM=xterm".to_owned());
    }
    for pair in env {
        let name = name_of(pair);
        match all.iter_mut().find(|known| name_of(known) == name) {
            Some(known) => known.clone_from(pair),
            None => all.push(pair.clone()),
        }
    }
    if !all.iter().any(|pair| name_of(pair) == "HOME") {
        all.push(format!("HOME={home}"));
    }
    all
}

fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_holds() {
        let env = |env: &[&str], tty| {
            let env: Vec<String> = env.iter().map(|pair| (*pair).to_owned()).collect();
            complete(&env, "box", "/root", tty).join(" ")
        };
        let path = format!("PATH={DEFAULT_PATH}");
        assert_eq!(env(&[], false), format!("{path} HOSTNAME=box HOME=/root"));
        assert_eq!(
            env(&["A=b=c", "HOME=", "PATH=/x", "TERM=vt100"], true),
            "PATH=/x HOSTNAME=box TERM=vt100 A=b=c HOME="
        );
    }
}
