//! From an image's config and a request to what the runtime is told. Pure functions.

use std::collections::BTreeMap;

use coracle_packager::image::ContainerConfig as ImageDefaults;
use coracle_runtime::spec::World;

/// Where Docker looks for a program that is named without a slash.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns the program and its arguments as Docker combines them: an entrypoint that was chosen drops the image's CMD, and
/// arguments replace it.
pub(super) fn args(
    image: &ImageDefaults,
    entrypoint: Option<&str>,
    args: &[String],
) -> Vec<String> {
    let own = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let mut all = match entrypoint {
        Some("") => Vec::new(),
        Some(chosen) => vec![chosen.to_owned()],
        None => own(&image.entrypoint),
    };
    if args.is_empty() && entrypoint.is_none() {
        all.extend(own(&image.cmd));
    } else {
        all.extend_from_slice(args);
    }
    all
}

/// Returns the program and the arguments of a function in it: nothing of the image's own arguments means them.
pub(super) fn function_args(
    image: &ImageDefaults,
    entrypoint: Option<&str>,
    given: &[String],
) -> Vec<String> {
    let program = args(image, entrypoint, &[]).into_iter().take(1);
    program.chain(given.iter().cloned()).collect()
}

/// Returns what is made of the program; the first of `args` is its name.
pub(super) fn world(invoke: Option<String>, args: &[String]) -> World {
    match invoke {
        Some(export) => World::Invoke {
            export,
            args: args.iter().skip(1).cloned().collect(),
        },
        None => World::Main,
    }
}

/// Returns the environment: the image's, then the user's; a later value of a name replaces the earlier in its place.
pub(super) fn env(image: &ImageDefaults, user: &[String]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for pair in image.env.iter().flatten().chain(user) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => all.push((name.to_owned(), value.to_owned())),
        }
    }
    all
}

/// Returns an environment with more variables; a later value of a name replaces the earlier in its place.
pub(super) fn merge_env(own: &[String], more: &[String]) -> Vec<String> {
    let image = ImageDefaults {
        env: Some(own.to_vec()),
        ..ImageDefaults::default()
    };
    env(&image, more)
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// Returns the working directory.
pub(super) fn cwd(image: &ImageDefaults, user: Option<&str>) -> String {
    let chosen = user
        .or(image.working_dir.as_deref())
        .filter(|dir| !dir.is_empty());
    chosen.unwrap_or("/").to_owned()
}

/// Returns the labels: the image's, then the user's.
pub(super) fn labels(
    image: &ImageDefaults,
    user: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = image.labels.clone();
    all.extend(user.iter().map(|(key, value)| (key.clone(), value.clone())));
    all
}

/// Returns the guest paths where a program may lie, in the order in which to look. A name with a slash is a path from the
/// working directory. A bare name is looked for along `PATH`, and then in the working directory, since images made for
/// other Wasm engines say `ENTRYPOINT ["app.wasm"]`.
pub(super) fn program_candidates(
    program: &str,
    env: &[(String, String)],
    cwd: &str,
) -> Vec<String> {
    let below = |dir: &str| format!("{}/{program}", dir.trim_end_matches('/'));
    if program.starts_with('/') {
        return vec![program.to_owned()];
    }
    if program.contains('/') {
        return vec![below(cwd)];
    }
    let path = env
        .iter()
        .find(|(name, _)| name == "PATH")
        .map_or(DEFAULT_PATH, |(_, value)| value);
    let dirs = path.split(':').filter(|dir| dir.starts_with('/'));
    dirs.map(below).chain([below(cwd)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entrypoint: &[&str], cmd: &[&str]) -> ImageDefaults {
        let list = |items: &[&str]| {
            (!items.is_empty()).then(|| items.iter().map(|item| (*item).to_owned()).collect())
        };
        ImageDefaults {
            entrypoint: list(entrypoint),
            cmd: list(cmd),
            ..ImageDefaults::default()
        }
    }

    #[test]
    fn arguments_combine_as_in_docker() {
        type Case<'a> = (
            &'a [&'a str],
            &'a [&'a str],
            Option<&'a str>,
            &'a [&'a str],
            &'a [&'a str],
        );
        let table: [Case<'_>; 8] = [
            (&["/e"], &["c"], None, &[], &["/e", "c"]),
            (&["/e"], &["c"], None, &["a"], &["/e", "a"]),
            (&[], &["/c", "1"], None, &[], &["/c", "1"]),
            (&[], &["/c", "1"], None, &["/a"], &["/a"]),
            (&["/e"], &["c"], Some("/x"), &[], &["/x"]),
            (&["/e"], &["c"], Some("/x"), &["a"], &["/x", "a"]),
            (&["/e"], &["c"], Some(""), &["a"], &["a"]),
            (&[], &[], None, &[], &[]),
        ];
        for (entrypoint, cmd, chosen, given, want) in table {
            let given: Vec<String> = given.iter().map(|arg| (*arg).to_owned()).collect();
            assert_eq!(
                args(&image(entrypoint, cmd), chosen, &given),
                want,
                "{entrypoint:?} {cmd:?}"
            );
        }
    }

    #[test]
    fn a_functions_arguments_are_those_given() {
        let given = ["1".to_owned()];
        for (entrypoint, cmd, chosen, want) in [
            (&["/e", "x"][..], &["c"][..], None, &["/e", "1"][..]),
            (&[], &["/c", "x"], None, &["/c", "1"]),
            (&["/e"], &[], Some("/x"), &["/x", "1"]),
        ] {
            assert_eq!(function_args(&image(entrypoint, cmd), chosen, &given), want);
        }
    }

    #[test]
    fn a_later_variable_replaces_the_earlier() {
        let image = ImageDefaults {
            env: Some(vec!["A=1".into(), "B=2".into()]),
            ..ImageDefaults::default()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let user = ["A=x=y".to_owned(), "C=".to_owned()];
        assert_eq!(
            env(&image, &user),
            [pair("A", "x=y"), pair("B", "2"), pair("C", "")]
        );
    }

    #[test]
    fn a_program_is_looked_for_where_docker_looks() {
        let with_path = [("PATH".to_owned(), "/a:rel::/b/".to_owned())];
        assert_eq!(program_candidates("/x", &with_path, "/w"), ["/x"]);
        assert_eq!(program_candidates("./x", &with_path, "/w"), ["/w/./x"]);
        assert_eq!(
            program_candidates("x", &with_path, "/"),
            ["/a/x", "/b/x", "/x"]
        );
        assert_eq!(program_candidates("x", &[], "/w").len(), 7);
    }
}
