//! Variables: what is set, and to what.

use std::collections::BTreeMap;

use super::Options;

/// The search path that Docker gives to images that start from nothing.
pub(in crate::build) const DEFAULT_PATH: &str =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Build arguments that Docker takes without an ARG: RUN sees them, and nobody is warned of them.
pub(in crate::build) const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "all_proxy",
];

/// Variables that are set at some point of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) env: Vec<String>,
    pub(super) args: BTreeMap<String, String>,
}

impl Scope {
    /// Returns a variable's value. ENV wins over ARG, whichever came first.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let set = self
            .env
            .iter()
            .find_map(|entry| match entry.split_once('=') {
                Some((key, value)) => (key == name).then_some(value),
                None => (entry == name).then_some(""),
            });
        set.or(self.args.get(name).map(String::as_str))
            .map(str::to_owned)
    }
}

/// Sets a variable in an environment, in its old place if it was set before.
pub(in crate::build) fn set_env(env: &mut Vec<String>, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    let same = |old: &&mut String| old.split('=').next() == Some(name);
    match env.iter_mut().find(same) {
        Some(old) => *old = entry,
        None => env.push(entry),
    }
}

/// <https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope>
pub(super) fn platform_args(options: Options<'_>) -> BTreeMap<String, String> {
    let mut args = BTreeMap::new();
    for (prefix, platform) in [
        ("TARGET", options.platform),
        ("BUILD", options.build_platform),
    ] {
        let mut set = |name: &str, value: &str| {
            args.insert(format!("{prefix}{name}"), value.to_owned());
        };
        set("PLATFORM", &platform.to_string());
        set("OS", platform.os());
        set("ARCH", platform.architecture());
        set("VARIANT", platform.variant().unwrap_or_default());
    }
    let stage = options.target.unwrap_or("default");
    args.insert("TARGETSTAGE".to_owned(), stage.to_owned());
    // `--build-arg TARGETARCH=…` wins, as in Docker.
    for (name, value) in options.args {
        if let Some(arg) = args.get_mut(name) {
            arg.clone_from(value);
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_keeps_its_order() {
        let mut env = vec!["A=1".to_owned(), "AB=2".to_owned()];
        set_env(&mut env, "AB", "3");
        set_env(&mut env, "B", "4");
        set_env(&mut env, "A", "");
        assert_eq!(env, ["A=", "AB=3", "B=4"]);
    }
}
