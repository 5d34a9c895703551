//! What Docker's command line has and this one has not yet, so that who asks for it is told.

/// Commands and flags, and what they are for.
const FEATURES: [(&[&str], &str); 5] = [
    (
        &["--dns", "network"],
        "the network is granted with --allow-connect and --publish",
    ),
    (
        &["search"],
        "registries have no common way to search; look on their web pages",
    ),
    (
        &["container"],
        "leave the word out: `coracle ps`, `coracle rm`",
    ),
    (
        &["prune", "builder", "buildx", "compose", "serve"],
        "see `coracle --help` for what there is",
    ),
    (
        &["--secret", "--ssh", "--cache-from", "--cache-to"],
        "a build reads its folder and makes an image",
    ),
];

/// Says what instead, for a word that Docker would understand.
pub(super) fn feature(word: &str) -> Option<&'static str> {
    let flag = word.split([' ', '=']).next().unwrap_or(word);
    FEATURES
        .iter()
        .find(|(words, _)| words.contains(&flag))
        .map(|(_, feature)| *feature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_words_are_known() {
        for word in ["builder", "--ssh", "search", "--dns=1.1.1.1"] {
            assert!(feature(word).is_some(), "{word}");
        }
        assert!(feature("--nonsense").is_none());
    }

    #[test]
    fn what_is_there_is_not_called_missing() {
        use clap::CommandFactory;
        let cli = super::super::Cli::command();
        for command in cli.get_subcommands() {
            assert!(
                feature(command.get_name()).is_none(),
                "{}",
                command.get_name()
            );
            for flag in command
                .get_arguments()
                .filter_map(|argument| argument.get_long())
            {
                // A flag of one command may be missing in another.
                let known = feature(&format!("--{flag}"));
                assert!(known.is_none() || command.get_name() != "run", "{flag}");
            }
        }
    }
}
