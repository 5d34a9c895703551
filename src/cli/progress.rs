//! Progress of transfers and builds: bars on a terminal, plain lines otherwise.

use std::collections::HashMap;
use std::sync::Mutex;

use coracle_packager::build::BuildEvent;
use coracle_packager::digest::Digest;
use coracle_packager::registry::TransferEvent;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::sanitize::sanitize;
use super::ui;

/// How progress is shown.
pub(super) enum Progress {
    /// Not at all.
    Quiet,
    /// A line for each blob or step, when it is done.
    Plain,
    /// Bars that move.
    Bars(Box<Bars>),
}

pub(super) struct Bars {
    all: MultiProgress,
    each: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Progress {
    /// Chooses how to show progress on this standard error.
    pub(super) fn choose(quiet: bool) -> Self {
        if quiet {
            Self::Quiet
        } else if ui::is_watched() {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            Self::Bars(Box::new(Bars {
                all,
                each: Mutex::new(HashMap::new()),
            }))
        } else {
            Self::Plain
        }
    }

    /// Shows one event of a transfer.
    pub(super) fn transfer(&self, event: &TransferEvent) {
        match self {
            Self::Quiet => {}
            Self::Plain => match event {
                TransferEvent::Done { digest } => ui::status(&format!("{}: done", digest.short())),
                TransferEvent::Skipped { digest } => {
                    ui::status(&format!("{}: already there", digest.short()))
                }
                _ => {}
            },
            Self::Bars(bars) => bars.show(event),
        }
    }

    /// Shows one event of a build.
    pub(super) fn build(&self, event: &BuildEvent) {
        if let (
            Self::Plain | Self::Bars(_),
            BuildEvent::Step {
                number,
                total,
                text,
            },
        ) = (self, event)
        {
            ui::status(&format!("[{number}/{total}] {text}"));
        }
    }
}

impl Bars {
    fn show(&self, event: &TransferEvent) {
        // A panic elsewhere cannot spoil a map of bars.
        let mut each = self
            .each
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            TransferEvent::Started { digest, size, .. } => {
                // A transfer that starts anew keeps its bar.
                if let Some(bar) = each.get(digest) {
                    bar.set_position(0);
                    return;
                }
                let style = ProgressStyle::with_template(
                    "{prefix} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}",
                );
                let style = style
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("=> ");
                let bar = self.all.add(ProgressBar::new(*size)).with_style(style);
                bar.set_prefix(sanitize(digest.short()));
                each.insert(digest.clone(), bar);
            }
            TransferEvent::Bytes { digest, count } => {
                if let Some(bar) = each.get(digest) {
                    bar.inc(*count);
                }
            }
            TransferEvent::Done { digest } => {
                if let Some(bar) = each.remove(digest) {
                    bar.finish();
                }
            }
            _ => {}
        }
    }
}
