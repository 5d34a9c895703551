//! What is allowed in a Dockerfile and hardly meant: BuildKit's build checks, under their names.
//!
//! <https://docs.docker.com/reference/build-checks/>

use std::collections::BTreeSet;

use super::{CommandLine, Containerfile, Instruction, Kind, Place, Stage};

/// Something that the author of the file should look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Where it stands.
    pub place: Place,
    /// BuildKit's name of the rule.
    pub rule: &'static str,
    /// What is meant, for people.
    pub text: String,
}

/// Warnings of one file. Generated files repeat themselves.
const MAX_WARNINGS: usize = 500;

/// Names that are no secrets though a part of them looks like one.
const PUBLIC: &str = "PUBLIC";

/// Parts of the names of secrets, between underscores.
const SECRETS: [&str; 11] = [
    "APIKEY",
    "AUTH",
    "CREDENTIAL",
    "CREDENTIALS",
    "KEY",
    "PASSWORD",
    "PASSWD",
    "PWORD",
    "SECRET",
    "TOKEN",
    "PASS",
];

impl Containerfile {
    /// Looks at the file as it is written. `undefined` are variables that are not set where they are used.
    ///
    /// What `# check=skip=…` names is left out.
    pub fn warnings(&self, undefined: &[(Place, String)]) -> Vec<Warning> {
        let mut checks = Checks::default();
        let (mut upper, mut lower) = (0usize, 0usize);
        for word in self.words() {
            let is_upper = word.chars().all(|c| c.is_ascii_uppercase());
            let is_lower = word.chars().all(|c| c.is_ascii_lowercase());
            upper += usize::from(is_upper);
            lower += usize::from(is_lower);
        }
        for place in &self.empty_continuations {
            let text = "Empty continuation line".to_owned();
            checks.add(*place, "NoEmptyContinuation", text);
        }
        let mut names = BTreeSet::new();
        for stage in &self.stages {
            checks.casing(stage.from.place, &stage.word, upper >= lower);
            checks.from(stage);
            if let Some(name) = &stage.from.stage
                && !names.insert(name.name.clone())
            {
                let text = format!(
                    "Duplicate stage name `{}`, stage names should be unique",
                    name.word.text
                );
                checks.add(name.word.place, "DuplicateStageName", text);
            }
            checks.stage(stage, upper >= lower);
        }
        let froms: BTreeSet<Place> = self.stages.iter().map(|s| s.from.image.place).collect();
        for (place, name) in undefined {
            if froms.contains(place) {
                let text = format!("FROM argument `{name}` is not declared");
                checks.add(*place, "UndefinedArgInFrom", text);
            } else {
                let text = format!("Usage of undefined variable `${name}`");
                checks.add(*place, "UndefinedVar", text);
            }
        }
        let skip = self.directive("skip").unwrap_or_default();
        let mut warnings = checks.0;
        warnings.retain(|warning| {
            !skip
                .split(',')
                .any(|rule| rule.trim() == "all" || rule.trim() == warning.rule)
        });
        warnings.sort();
        warnings
    }

    /// Does `# check=error=true` make warnings errors?
    pub fn warnings_are_errors(&self) -> bool {
        self.directive("error").as_deref() == Some("true")
    }

    fn directive(&self, key: &str) -> Option<String> {
        let (text, _) = self.check.as_ref()?;
        let mut fields = text.split(';').filter_map(|field| field.split_once('='));
        let found = fields.find(|(name, _)| name.trim() == key)?;
        Some(found.1.trim().to_owned())
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().flat_map(|stage| {
            let words = stage.instructions.iter().map(|one| one.word.as_str());
            std::iter::once(stage.word.as_str()).chain(words)
        })
    }
}

#[derive(Default)]
struct Checks(Vec<Warning>);

impl Checks {
    fn add(&mut self, place: Place, rule: &'static str, text: String) {
        if self.0.len() < MAX_WARNINGS {
            self.0.push(Warning { place, rule, text });
        }
    }

    fn casing(&mut self, place: Place, word: &str, upper: bool) {
        let fits = word.chars().all(|c| c.is_ascii_uppercase() == upper);
        if !fits {
            let case = if upper { "uppercase" } else { "lowercase" };
            let text =
                format!("Command `{word}` should match the case of the command majority ({case})");
            self.add(place, "ConsistentInstructionCasing", text);
        }
    }

    fn from(&mut self, stage: &Stage) {
        let from = &stage.from;
        if let Some(name) = &from.stage {
            if name.word.text != name.name {
                let text = format!("Stage name `{}` should be lowercase", name.word.text);
                self.add(name.word.place, "StageNameCasing", text);
            }
            if matches!(name.name.as_str(), "scratch" | "context") {
                let text = format!(
                    "Stage name should not use the reserved name `{}`",
                    name.name
                );
                self.add(name.word.place, "ReservedStageName", text);
            }
            let upper = |text: &str| text.chars().all(|c| c.is_ascii_uppercase());
            if upper(&stage.word) != upper(&name.keyword) {
                let text = format!(
                    "`{}` and `{}` keywords' casing do not match",
                    name.keyword, stage.word
                );
                self.add(from.place, "FromAsCasing", text);
            }
        }
        if let Some(platform) = &from.platform {
            match platform.text.trim_matches(['"', '{', '}', '$']) {
                "TARGETPLATFORM" => {
                    let text = "Setting platform to the predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior".to_owned();
                    self.add(platform.place, "RedundantTargetPlatform", text);
                }
                // A stage that is WebAssembly wherever it is built is what this builder is for.
                "wasi/wasm" => {}
                text if !platform.text.contains('$') => {
                    let text =
                        format!("FROM --platform flag should not use constant value `{text}`");
                    self.add(platform.place, "FromPlatformFlagConstDisallowed", text);
                }
                _ => {}
            }
        }
    }

    fn stage(&mut self, stage: &Stage, upper: bool) {
        let mut own_shell = false;
        let mut workdir = false;
        let last = |name: &str| {
            stage
                .instructions
                .iter()
                .rposition(|one| one.kind.name() == name)
        };
        for (index, instruction) in stage.instructions.iter().enumerate() {
            let place = instruction.place;
            let name = instruction.kind.name();
            self.casing(place, &instruction.word, upper);
            if matches!(name, "CMD" | "ENTRYPOINT" | "HEALTHCHECK") && last(name) != Some(index) {
                let text = format!(
                    "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
                );
                self.add(place, "MultipleInstructionsDisallowed", text);
            }
            self.instruction(instruction, own_shell);
            match &instruction.kind {
                Kind::Shell(_) => own_shell = true,
                Kind::Workdir(path) => {
                    if !workdir && !path.text.starts_with(['/', '$', '"', '\'']) {
                        let text = format!(
                            "Relative workdir `{}` can have unexpected results if the base image changes",
                            path.text
                        );
                        self.add(place, "WorkdirRelativePath", text);
                    }
                    workdir = true;
                }
                _ => {}
            }
        }
    }

    fn instruction(&mut self, instruction: &Instruction, own_shell: bool) {
        let place = instruction.place;
        match &instruction.kind {
            Kind::Cmd(CommandLine::Shell(_)) | Kind::Entrypoint(CommandLine::Shell(_))
                if !own_shell =>
            {
                let text = format!(
                    "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                    instruction.kind.name()
                );
                self.add(place, "JSONArgsRecommended", text);
            }
            Kind::Maintainer(_) => {
                let text =
                    "Maintainer instruction is deprecated in favor of using label".to_owned();
                self.add(place, "MaintainerDeprecated", text);
            }
            Kind::Env(pairs) | Kind::Label(pairs) => {
                if pairs.old_form {
                    let text = format!(
                        "\"{0} key=value\" should be used instead of legacy \"{0} key value\" format",
                        instruction.kind.name()
                    );
                    self.add(place, "LegacyKeyValueFormat", text);
                }
                if matches!(instruction.kind, Kind::Env(_)) {
                    for pair in &pairs.pairs {
                        self.secret(place, "ENV", &pair.name.text);
                    }
                }
            }
            Kind::Arg(arguments) => {
                for argument in arguments {
                    self.secret(place, "ARG", &argument.name);
                }
            }
            Kind::Expose(ports) => {
                for port in ports {
                    if let Some((_, protocol)) = port.text.split_once('/')
                        && !protocol.contains('$')
                        && protocol.chars().any(|c| c.is_ascii_uppercase())
                    {
                        let text = format!(
                            "Defined protocol `{protocol}` in EXPOSE instruction should be lowercase"
                        );
                        self.add(place, "ExposeProtoCasing", text);
                    }
                }
            }
            _ => {}
        }
    }

    fn secret(&mut self, place: Place, instruction: &str, name: &str) {
        let upper = name.to_ascii_uppercase();
        let mut parts = upper.split('_');
        if parts.clone().any(|part| part == PUBLIC) || !parts.any(|part| SECRETS.contains(&part)) {
            return;
        }
        let text = format!(
            "Do not use ARG or ENV instructions for sensitive data ({instruction} \"{name}\")"
        );
        self.add(place, "SecretsUsedInArgOrEnv", text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn rules(text: &str) -> Vec<String> {
        let file = parse("Dockerfile", text).expect(text);
        let warnings = file.warnings(&[]);
        let lines = warnings
            .iter()
            .map(|w| format!("{} {}", w.place.line, w.rule));
        lines.collect()
    }

    #[test]
    fn what_is_hardly_meant_is_told() {
        for (text, want) in [
            ("FROM scratch AS Build\n", &["1 StageNameCasing"][..]),
            ("FROM scratch as a\n", &["1 FromAsCasing"]),
            ("FROM scratch AS context\n", &["1 ReservedStageName"]),
            (
                "FROM scratch AS a\nFROM scratch AS a\n",
                &["2 DuplicateStageName"],
            ),
            (
                "FROM scratch\nENV a=1 \\\n\n b=2\n",
                &["3 NoEmptyContinuation"],
            ),
            (
                "FROM scratch\nUSER a\nuser b\n",
                &["3 ConsistentInstructionCasing"],
            ),
            ("FROM a\nCMD x\n", &["2 JSONArgsRecommended"]),
            ("FROM a\nSHELL [\"x\"]\nCMD x\n", &[]),
            ("FROM scratch\nMAINTAINER me\n", &["2 MaintainerDeprecated"]),
            (
                "FROM scratch\nWORKDIR a\nWORKDIR b\n",
                &["2 WorkdirRelativePath"],
            ),
            (
                "FROM scratch\nCMD [\"a\"]\nCMD [\"b\"]\n",
                &["2 MultipleInstructionsDisallowed"],
            ),
            ("FROM scratch\nENV a b\n", &["2 LegacyKeyValueFormat"]),
            (
                "FROM --platform=$TARGETPLATFORM a\n",
                &["1 RedundantTargetPlatform"],
            ),
            (
                "FROM --platform=linux/amd64 a\n",
                &["1 FromPlatformFlagConstDisallowed"],
            ),
            ("FROM --platform=wasi/wasm a\n", &[]),
            (
                "FROM a\nARG DB_PASSWORD\nENV API_KEY=x PUBLIC_KEY=y MONKEY=z\n",
                &["2 SecretsUsedInArgOrEnv", "3 SecretsUsedInArgOrEnv"],
            ),
            ("FROM a\nEXPOSE 80/TCP\n", &["2 ExposeProtoCasing"]),
            ("# check=skip=all\nFROM scratch as A\nMAINTAINER x\n", &[]),
            (
                "# check=skip=StageNameCasing,FromAsCasing;error=true\nFROM scratch as A\nMAINTAINER x\n",
                &["3 MaintainerDeprecated"],
            ),
        ] {
            assert_eq!(rules(text), want, "{text}");
        }
    }

    #[test]
    fn undefined_variables_are_told_by_where_they_are() {
        let file = parse("Dockerfile", "FROM $x\nLABEL a=$y\n").expect("parses");
        let at = |line, column| Place { line, column };
        let undefined = [(at(1, 6), "x".to_owned()), (at(2, 7), "y".to_owned())];
        let warnings = file.warnings(&undefined);
        let rules: Vec<&str> = warnings.iter().map(|warning| warning.rule).collect();
        assert_eq!(rules, ["UndefinedArgInFrom", "UndefinedVar"]);
        assert!(!file.warnings_are_errors());
        let strict = parse("Dockerfile", "# check=error=true\nFROM a\n").expect("parses");
        assert!(strict.warnings_are_errors());
    }
}
