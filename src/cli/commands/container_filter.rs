//! `ps --filter`: Docker's filters, as far as they mean something here.

use coracle_runtime::container::State;

use super::super::error::Failure;
use super::super::filters::{Filters, contains};
use super::ps;
use crate::engine::{ContainerSummary, Engine};

const KNOWN: [&str; 13] = [
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "name",
    "publish", "since", "status", "volume",
];

/// Which containers are wanted.
pub(super) struct ContainerFilter {
    filters: Filters,
    exited: Vec<u8>,
    before: Option<(i64, String)>,
    since: Option<(i64, String)>,
    /// IDs and digests of the images whose containers are wanted.
    images: Vec<String>,
}

impl ContainerFilter {
    pub(super) fn parse(engine: &Engine, typed: &[String]) -> Result<Self, Failure> {
        let filters = Filters::parse(typed, &KNOWN)?;
        let wrong = |problem: String| Failure::Plain(Box::new(Failure::usage(problem)));
        for status in filters.values("status") {
            if ![
                "created",
                "running",
                "paused",
                "restarting",
                "removing",
                "exited",
                "dead",
            ]
            .contains(&status.as_str())
            {
                return Err(wrong(format!("there is no status {status:?}")));
            }
        }
        filters.switch("is-task")?;
        let mut exited = Vec::new();
        for code in filters.values("exited") {
            let code = code
                .parse()
                .map_err(|_| wrong(format!("{code:?} is no exit code")))?;
            exited.push(code);
        }
        let place = |key: &str| -> Result<Option<(i64, String)>, Failure> {
            let Some(text) = filters.values(key).last() else {
                return Ok(None);
            };
            let config = engine.find_container(text)?.container.config;
            Ok(Some((config.created, config.id.to_string())))
        };
        let mut images = Vec::new();
        for text in filters.values("ancestor") {
            images.push(text.clone());
            if let Ok(image) = engine.find_image(text)
                && let Ok(image) = engine.inspect_image(&image)
            {
                images.push(image.image.config_digest.to_string());
            }
        }
        let (before, since) = (place("before")?, place("since")?);
        Ok(Self {
            filters,
            exited,
            before,
            since,
            images,
        })
    }

    /// Are containers wanted that do not run, without `--all`?
    pub(super) fn wants_ended(&self) -> bool {
        self.filters.has("status") || self.filters.has("exited")
    }

    pub(super) fn admits(&self, summary: &ContainerSummary) -> bool {
        let config = &summary.container.config;
        let filters = &self.filters;
        // Of those made in one second, the list has the smaller id first.
        let is_before = |(created, id): &(i64, String)| {
            config.created < *created
                || (config.created == *created && config.id.as_str() > id.as_str())
        };
        let is_since = |(created, id): &(i64, String)| {
            config.created > *created
                || (config.created == *created && config.id.as_str() < id.as_str())
        };
        let code = match &summary.state {
            State::Exited { exit, .. } => Some(exit.as_ref().map_or(137, |exit| exit.code)),
            _ => None,
        };
        filters.any("id", |id| {
            config.id.as_str().starts_with(id.trim_start_matches('^'))
        }) && filters.any("name", |name| {
            // Docker's names begin with a slash inside.
            contains(config.name.as_str(), name) || contains(&format!("/{}", config.name), name)
        }) && filters.labels(&config.labels)
            && filters.any("status", |status| status == ps::state(&summary.state))
            && (self.exited.is_empty() || code.is_some_and(|code| self.exited.contains(&code)))
            && self.before.as_ref().is_none_or(is_before)
            && self.since.as_ref().is_none_or(is_since)
            && filters.any("is-task", |text| {
                !matches!(text.as_str(), "true" | "1" | "t")
            })
            && filters.any("volume", |wanted| {
                config.mounts.iter().any(|mount| {
                    let name = mount.volume.as_ref().map(|volume| volume.name.as_str());
                    name == Some(wanted.as_str())
                        || mount.source == *wanted
                        || mount.target == *wanted
                })
            })
            && filters.any("health", |wanted| health(summary) == wanted.as_str())
            && filters.any("publish", |port| self.has_port(summary, port, true))
            && filters.any("expose", |port| self.has_port(summary, port, false))
            && (!filters.has("ancestor")
                || self
                    .images
                    .iter()
                    .any(|image| *image == config.image || *image == config.image_id))
    }

    /// Does the container have this port, such as `80`, `80/tcp` or `80-90/udp`?
    fn has_port(&self, summary: &ContainerSummary, text: &str, published: bool) -> bool {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
            return false;
        };
        summary.container.config.ports.iter().any(|port| {
            let number = match port.host {
                Some(host) if published => host.port(),
                None if published => return false,
                _ => port.guest,
            };
            port.protocol == protocol && (first..=last).contains(&number)
        })
    }
}

/// Returns Docker's word for how well a container is.
fn health(summary: &ContainerSummary) -> &'static str {
    if summary.container.config.health.is_none() {
        return "none";
    }
    match summary.container.watched().health {
        Some(health) => health.status.word(),
        None => "starting",
    }
}
