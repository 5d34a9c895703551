//! `coracle events`

use std::io;

use coracle_runtime::events::Event;
use jiff::Timestamp;
use serde_json::json;

use super::super::error::Failure;
use super::super::sanitize::sanitize;
use super::super::{Exit, ui};
use super::logs::time;
use super::start::plain;
use crate::engine::Engine;

/// Show what happens to containers and images
///
/// Goes on until it is interrupted, or until the time of --until. A run in the foreground is told of by itself and not here.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Show what happened since then as well: a time such as 2026-01-31T12:00:00Z, or how long ago, such as 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show what happened before that time, and end then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show only what fits: container=, image=, event=, type= or label=; one of several with the same name is enough
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<Filter>,
    /// Print a line for people, or JSON, one object per line
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One JSON object per line
    Json,
}

/// One condition.
#[derive(Clone, Debug)]
struct Filter {
    name: Name,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Container,
    Image,
    Event,
    Type,
    Label,
}

impl std::str::FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| "a NAME=VALUE is wanted".to_owned())?;
        let name = match name {
            "container" => Name::Container,
            "image" => Name::Image,
            "event" => Name::Event,
            "type" => Name::Type,
            "label" => Name::Label,
            _ => return Err(format!("invalid filter '{name}'")),
        };
        Ok(Self {
            name,
            value: value.to_owned(),
        })
    }
}

impl Filter {
    fn holds(&self, event: &Event) -> bool {
        let attribute = |name: &str| event.attributes.get(name).map(String::as_str);
        let value = self.value.as_str();
        match self.name {
            Name::Container => {
                event.kind == "container"
                    && (attribute("name") == Some(value)
                        || (!value.is_empty() && event.id.starts_with(value)))
            }
            Name::Image => {
                let image = if event.kind == "image" {
                    Some(event.id.as_str())
                } else {
                    attribute("image")
                };
                image.is_some_and(|image| image == value || image.split(':').next() == Some(value))
            }
            // `health_status` means all of its kinds, as `exec_start` means all programs.
            Name::Event => event.action == value || event.action.split(':').next() == Some(value),
            Name::Type => event.kind == value,
            Name::Label => match value.split_once('=') {
                Some((name, wanted)) => attribute(name) == Some(wanted),
                None => attribute(value).is_some(),
            },
        }
    }
}

/// Do all names hold? For each name one of its values is enough.
fn all_hold(filters: &[Filter], event: &Event) -> bool {
    filters.iter().all(|filter| {
        filters
            .iter()
            .filter(|other| other.name == filter.name)
            .any(|other| other.holds(event))
    })
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let wrong = |failure| Failure::Plain(Box::new(failure));
    let moment = |text: &Option<String>| text.as_deref().map(time).transpose().map_err(wrong);
    let until = moment(&args.until)?;
    let since = moment(&args.since)?.unwrap_or_else(Timestamp::now);
    let mut more = || until.is_none_or(|until| Timestamp::now() < until);
    let mut closed = false;
    let mut show = |event: Event| {
        let fits = event.time >= since && until.is_none_or(|until| event.time < until);
        if !fits || !all_hold(&args.filter, &event) {
            return Ok(());
        }
        let printed = match args.format {
            Some(Format::Json) => ui::json_line(&to_json(&event)),
            None => ui::line(&to_line(&event)),
        };
        printed.inspect_err(|error| closed = error.kind() == io::ErrorKind::BrokenPipe)
    };
    match engine.events(&mut more, &mut show) {
        // Nobody reads on.
        Err(_) if closed => Ok(Exit::Success),
        shown => shown.map(|()| Exit::Success).map_err(plain),
    }
}

/// Returns an event as Docker prints it.
fn to_line(event: &Event) -> String {
    let pairs = event.attributes.iter();
    let attributes: Vec<String> = pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let more = if attributes.is_empty() {
        String::new()
    } else {
        format!(" ({})", attributes.join(", "))
    };
    let line = format!(
        "{:.9} {} {} {}{more}",
        event.time, event.kind, event.action, event.id
    );
    sanitize(&line)
}

/// Returns an event in Docker's form.
fn to_json(event: &Event) -> serde_json::Value {
    let from = event.attributes.get("image");
    let mut value = json!({
        "status": event.action,
        "id": event.id,
        "Type": event.kind,
        "Action": event.action,
        "Actor": { "ID": event.id, "Attributes": event.attributes },
        "scope": "local",
        "time": event.time.as_second(),
        "timeNano": i64::try_from(event.time.as_nanosecond()).unwrap_or(i64::MAX),
    });
    if let Some(from) = from {
        value["from"] = json!(from);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_one_name_are_alternatives() {
        let event = Event {
            time: Timestamp::UNIX_EPOCH,
            kind: "container".to_owned(),
            action: "health_status: healthy".to_owned(),
            id: "abcd".to_owned(),
            attributes: [("name", "web"), ("image", "app:1"), ("tier", "front")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let holds = |filters: &[&str]| {
            let filters: Vec<Filter> = filters
                .iter()
                .map(|text| text.parse().expect("a filter"))
                .collect();
            all_hold(&filters, &event)
        };
        assert!(holds(&[]) && holds(&["container=web"]) && holds(&["container=ab"]));
        assert!(holds(&["image=app"]) && holds(&["image=app:1"]) && !holds(&["image=app:2"]));
        assert!(holds(&[
            "event=die",
            "event=health_status",
            "type=container"
        ]));
        assert!(holds(&["label=tier"]) && holds(&["label=tier=front"]));
        assert!(!holds(&["label=tier=back"]) && !holds(&["container="]));
        assert!(!holds(&["event=die"]) && !holds(&["container=web", "type=image"]));
        assert!("colour=red".parse::<Filter>().is_err() && "web".parse::<Filter>().is_err());
    }
}
