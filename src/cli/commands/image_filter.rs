//! `images --filter`: Docker's filters.

use coracle_packager::reference::Reference;
use coracle_packager::store::StoredImage;

use super::super::error::Failure;
use super::super::filters::{Filters, fits};
use crate::engine::{Engine, ImageSummary};

const KNOWN: [&str; 5] = ["before", "dangling", "label", "reference", "since"];

/// Which images are wanted.
pub(super) struct ImageFilter {
    filters: Filters,
    dangling: Option<bool>,
    before: Option<i64>,
    since: Option<i64>,
}

impl ImageFilter {
    pub(super) fn parse(engine: &Engine, typed: &[String]) -> Result<Self, Failure> {
        let filters = Filters::parse(typed, &KNOWN)?;
        let time = |key: &str| -> Result<Option<i64>, Failure> {
            let Some(text) = filters.values(key).last() else {
                return Ok(None);
            };
            let named = engine.find_image(text)?;
            let all = engine.list_images()?.into_iter();
            let mut same =
                all.filter(|(other, _)| other.descriptor.digest() == named.descriptor.digest());
            Ok(same.find_map(|(_, summary)| summary.ok()?.created))
        };
        Ok(Self {
            dangling: filters.switch("dangling")?,
            before: time("before")?,
            since: time("since")?,
            filters,
        })
    }

    pub(super) fn admits(
        &self,
        engine: &Engine,
        named: &StoredImage,
        image: &ImageSummary,
    ) -> bool {
        let created = image.created.unwrap_or(0);
        let filters = &self.filters;
        self.dangling
            .is_none_or(|dangling| dangling == named.name.is_none())
            && self.before.is_none_or(|time| created < time)
            && self.since.is_none_or(|time| created > time)
            && filters.any("reference", |pattern| {
                named
                    .name
                    .as_ref()
                    .is_some_and(|name| fits_pattern(name, pattern))
            })
            && (!filters.has("label")
                || engine
                    .open_any(&named.descriptor)
                    .is_ok_and(|image| filters.labels(&image.config.config.labels)))
    }
}

/// Does an image's name fit a pattern, as people write it, with or without the tag, or whole?
pub(super) fn fits_pattern(name: &Reference, pattern: &str) -> bool {
    let forms = [
        name.familiar(),
        name.familiar_name(),
        name.name().to_string(),
        name.to_string(),
    ];
    forms.iter().any(|form| fits(form, pattern))
}
