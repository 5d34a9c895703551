//! How a container is asked whether it is well: what its image says, and what its user says instead.

use coracle_packager::image::{ContainerConfig as ImageDefaults, Healthcheck};
use coracle_runtime::container::{HealthCheck, Probe};

/// What the user says of it. What is absent is the image's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthRequest {
    /// Is it not asked at all?
    pub none: bool,
    /// What is asked.
    pub probe: Option<Probe>,
    /// A command for the image's shell, which is asked.
    pub shell: Option<String>,
    /// Time between two checks, in nanoseconds.
    pub interval: Option<u64>,
    /// Time that one may take, in nanoseconds.
    pub timeout: Option<u64>,
    /// So many failures one after the other make it unhealthy.
    pub retries: Option<u32>,
    /// For so long after a start failures do not count, in nanoseconds.
    pub start_period: Option<u64>,
    /// Time between two checks meanwhile, in nanoseconds.
    pub start_interval: Option<u64>,
}

/// Decides how a container of an image is asked; `None`: it is not.
pub(super) fn check(image: &ImageDefaults, request: HealthRequest) -> Option<HealthCheck> {
    if request.none {
        return None;
    }
    let theirs = image.healthcheck.as_ref();
    let probe = request
        .probe
        .or_else(|| request.shell.map(|command| in_shell(image, command)))
        .or_else(|| theirs.and_then(|theirs| of_image(image, theirs)))?;
    let mut check = HealthCheck::new(probe);
    // Zero and less mean the default, as in Docker.
    let image_time = |time: Option<i64>| {
        time.and_then(|time| u64::try_from(time).ok())
            .filter(|time| *time > 0)
    };
    let other = |name: &str| {
        let value = theirs.and_then(|theirs| theirs.other.get(name));
        image_time(value.and_then(serde_json::Value::as_i64))
    };
    let set = |place: &mut u64, asked: Option<u64>, image: Option<u64>| {
        *place = asked.or(image).unwrap_or(*place);
    };
    set(
        &mut check.interval,
        request.interval,
        image_time(theirs.and_then(|theirs| theirs.interval)),
    );
    set(
        &mut check.timeout,
        request.timeout,
        image_time(theirs.and_then(|theirs| theirs.timeout)),
    );
    set(
        &mut check.start_period,
        request.start_period,
        other("StartPeriod"),
    );
    set(
        &mut check.start_interval,
        request.start_interval,
        other("StartInterval"),
    );
    // An image could ask to be asked without a pause.
    check.interval = check.interval.max(HealthCheck::SHORTEST);
    check.start_interval = check.start_interval.max(HealthCheck::SHORTEST);
    let retries = theirs.and_then(|theirs| theirs.retries);
    let retries = retries.and_then(|retries| u32::try_from(retries).ok());
    if let Some(retries) = request.retries.or(retries).filter(|retries| *retries > 0) {
        check.retries = retries;
    }
    Some(check)
}

fn of_image(image: &ImageDefaults, theirs: &Healthcheck) -> Option<Probe> {
    let (kind, rest) = theirs.test.as_deref()?.split_first()?;
    match kind.as_str() {
        "CMD" if !rest.is_empty() => Some(Probe::Command(rest.to_vec())),
        "CMD-SHELL" => Some(in_shell(image, rest.first()?.clone())),
        // NONE, and what nobody knows.
        _ => None,
    }
}

/// Has the image's shell run a command; Docker's if the image names none.
fn in_shell(image: &ImageDefaults, command: String) -> Probe {
    let shell = match &image.shell {
        Some(shell) if !shell.is_empty() => shell.clone(),
        _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
    };
    Probe::Shell { shell, command }
}

/// Cuts a command into words as a shell would that knows spaces, quotes and backslashes, and nothing else. Few WebAssembly images
/// have a shell, and most checks need none.
pub fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == letter => quote = None,
            (None | Some('"'), '\\') => {
                word.get_or_insert_default().extend(letters.next());
            }
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_words() {
        for (command, want) in [
            ("", &[][..]),
            ("  /a  -b\tc\n", &["/a", "-b", "c"]),
            ("a 'b c' \"d 'e\" f\\ g", &["a", "b c", "d 'e", "f g"]),
            ("a '' \"\\\"\" '\\'", &["a", "", "\"", "\\"]),
            ("un'closed", &["unclosed"]),
            ("end\\", &["end"]),
        ] {
            assert_eq!(words(command), want, "{command}");
        }
    }

    fn image(test: &[&str]) -> ImageDefaults {
        let config = serde_json::json!({
            "Healthcheck": { "Test": test, "Interval": 7_000_000_000_i64, "Retries": 5, "StartPeriod": 9_000_000_000_i64, "Timeout": -1 },
        });
        serde_json::from_value(config).expect("an image's defaults")
    }

    #[test]
    fn the_image_says_how_and_the_user_otherwise() {
        let of = |test: &[&str], request| check(&image(test), request);
        let theirs = of(&["CMD", "/check", "-q"], HealthRequest::default()).expect("a check");
        assert_eq!(
            theirs.probe,
            Probe::Command(vec!["/check".to_owned(), "-q".to_owned()])
        );
        assert_eq!(
            (
                theirs.interval,
                theirs.timeout,
                theirs.retries,
                theirs.start_period
            ),
            (7_000_000_000, 30_000_000_000, 5, 9_000_000_000)
        );
        let request = HealthRequest {
            probe: Some(Probe::Tcp { port: 80 }),
            retries: Some(1),
            interval: Some(1_000_000),
            ..HealthRequest::default()
        };
        let ours = of(&["CMD", "/check"], request).expect("a check");
        assert_eq!(
            (ours.probe, ours.retries, ours.interval),
            (Probe::Tcp { port: 80 }, 1, 1_000_000)
        );
        let shell = of(&["CMD-SHELL", "a | b"], HealthRequest::default()).expect("a check");
        let want = Probe::Shell {
            shell: vec!["/bin/sh".to_owned(), "-c".to_owned()],
            command: "a | b".to_owned(),
        };
        assert_eq!(shell.probe, want);
        assert_eq!(of(&["NONE"], HealthRequest::default()), None);
        let none = HealthRequest {
            none: true,
            ..HealthRequest::default()
        };
        assert_eq!(of(&["CMD", "/check"], none), None);
    }
}
