//! Progress of transfers: bars on a terminal, plain lines otherwise.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use coracle_packager::digest::Digest;
use coracle_packager::registry::TransferEvent;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::sanitize::sanitize;
use super::ui;

/// How progress is shown.
pub(super) enum Progress {
    /// Not at all.
    Quiet,
    /// A line for each blob.
    Plain,
    /// Bars that move.
    Bars(Bars),
}

/// The bars on a terminal.
pub(super) struct Bars {
    all: MultiProgress,
    /// One for each blob on its way.
    blobs: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Progress {
    /// Chooses how to show progress on this standard error.
    pub(super) fn choose(quiet: bool) -> Self {
        if quiet {
            Self::Quiet
        } else if ui::is_watched() {
            Self::Bars(Bars {
                all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
                blobs: Mutex::default(),
            })
        } else {
            Self::Plain
        }
    }

    /// Shows one event of a transfer.
    pub(super) fn transfer(&self, event: &TransferEvent) {
        match (self, event) {
            (Self::Bars(bars), event) => bars.transfer(event),
            (Self::Plain, TransferEvent::Done { digest }) => {
                ui::status(&format!("{}: done", digest.short()));
            }
            (Self::Plain, TransferEvent::Skipped { digest }) => {
                ui::status(&format!("{}: already there", digest.short()));
            }
            _ => {}
        }
    }
}

impl Bars {
    fn transfer(&self, event: &TransferEvent) {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            TransferEvent::Started { digest, size, .. } => {
                let bar = blobs.entry(digest.clone()).or_insert_with(|| {
                    let bar = self.add(
                        *size,
                        "{prefix} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}",
                    );
                    bar.set_prefix(sanitize(digest.short()));
                    bar
                });
                // A transfer may start anew.
                bar.set_position(0);
            }
            TransferEvent::Bytes { digest, count } => {
                if let Some(bar) = blobs.get(digest) {
                    bar.inc(*count);
                }
            }
            // Skipped after it was begun: the registry has it from elsewhere.
            TransferEvent::Done { digest } | TransferEvent::Skipped { digest } => {
                if let Some(bar) = blobs.remove(digest) {
                    bar.finish();
                }
            }
            _ => {}
        }
    }

    fn add(&self, length: u64, template: &str) -> ProgressBar {
        let style = ProgressStyle::with_template(template);
        let style = style
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        self.all.add(ProgressBar::new(length)).with_style(style)
    }
}
