//! How an image came to be.

use coracle_packager::digest::Digest;
use coracle_packager::image::Image;

use super::{Engine, Error};

/// One step, which may have made a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryStep {
    /// The image's ID, for the last step only: the others' images are not kept.
    pub id: Option<Digest>,
    /// When, in seconds since 1970; `None` where it is not told.
    pub created: Option<i64>,
    /// The command.
    pub created_by: String,
    /// A remark.
    pub comment: String,
    /// Bytes of the step's layer, as a registry keeps it; 0 for none.
    pub size: u64,
}

impl Engine {
    /// Returns the steps by which an image came to be, the last one first.
    ///
    /// # Errors
    ///
    /// As [`Engine::find_image`], or if the image is damaged.
    pub fn history(&self, text: &str) -> Result<Vec<HistoryStep>, Error> {
        let found = self.find_image(text)?;
        Ok(steps(&self.open_any(&found.descriptor)?))
    }
}

fn steps(image: &Image) -> Vec<HistoryStep> {
    let mut layers = image.manifest.layers().iter();
    let mut steps = Vec::new();
    for step in &image.config.history {
        let layer = match step.empty_layer {
            true => None,
            false => layers.next(),
        };
        let created = step.created.as_deref();
        let created = created.and_then(|time| time.parse::<jiff::Timestamp>().ok());
        steps.push(HistoryStep {
            id: None,
            // A reproducible image says 1970, which tells a person nothing.
            created: created
                .map(jiff::Timestamp::as_second)
                .filter(|seconds| *seconds > 0),
            created_by: step.created_by.clone().unwrap_or_default(),
            comment: step.comment.clone().unwrap_or_default(),
            size: layer.map_or(0, |layer| layer.size()),
        });
    }
    // Artifacts have no history, and some tools write less than there is.
    for layer in layers {
        steps.push(HistoryStep {
            comment: layer.media_type().to_string(),
            size: layer.size(),
            ..HistoryStep::default()
        });
    }
    if let Some(last) = steps.last_mut() {
        last.id = Some(image.config_digest.clone());
    }
    steps.reverse();
    steps
}
