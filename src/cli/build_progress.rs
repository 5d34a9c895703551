//! Progress of builds, in BuildKit's shapes: a live list of steps with their times on a terminal, plain lines in a log, or its
//! JSON. The last lines of a failed step's output are repeated at the end.

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use coracle_packager::build::BuildEvent;
use coracle_packager::digest::Digest;
use coracle_packager::registry::TransferEvent;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::progress::Progress;
use super::sanitize::sanitize;
use super::ui;

/// Lines of a failed step's output that are repeated.
const REPEATED: usize = 25;
/// Bytes of one line of output; the rest of it is dropped.
const LINE: usize = 4096;
/// How often the times on a terminal move.
const TICK: Duration = Duration::from_millis(100);

/// How the progress of a build is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Style {
    /// A live list on a terminal, else plain lines
    Auto,
    /// Plain lines
    Plain,
    /// A live list
    Tty,
    /// One JSON document a line, as BuildKit writes them
    Rawjson,
    /// Nothing but what a failed step said
    Quiet,
}

/// Shows how a build goes, on standard error.
pub(super) struct BuildProgress {
    style: Style,
    transfers: Progress,
    bars: Option<MultiProgress>,
    steps: Mutex<HashMap<usize, Step>>,
}

/// A step that has begun.
struct Step {
    /// `[build 2/4] COPY . .`
    name: String,
    began: Instant,
    /// When it began, for people's calendars.
    began_at: String,
    bar: Option<ProgressBar>,
    /// What it said last, without the line that is not whole yet.
    said: VecDeque<String>,
    line: Vec<u8>,
    failed: bool,
}

impl BuildProgress {
    pub(super) fn new(style: Style) -> Self {
        let style = match style {
            Style::Auto if ui::is_watched() => Style::Tty,
            Style::Auto => Style::Plain,
            style => style,
        };
        let bars = (style == Style::Tty)
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self {
            transfers: match style {
                Style::Quiet | Style::Rawjson => Progress::Quiet,
                Style::Plain | Style::Auto => Progress::Plain,
                Style::Tty => Progress::choose(false),
            },
            style,
            bars,
            steps: Mutex::default(),
        }
    }

    /// Shows one event of a transfer.
    pub(super) fn transfer(&self, event: &TransferEvent) {
        self.transfers.transfer(event);
    }

    fn steps(&self) -> MutexGuard<'_, HashMap<usize, Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows one event of a build.
    pub(super) fn event(&self, event: &BuildEvent) {
        match event {
            BuildEvent::Step {
                id,
                stage,
                number,
                total,
                text,
            } => {
                // A here-document may have many lines; its first one names the step.
                let text = text.lines().next().unwrap_or_default();
                let name = match stage {
                    Some(stage) => format!("[{stage} {number}/{total}] {text}"),
                    None => format!("[{number}/{total}] {text}"),
                };
                self.begin(*id, sanitize(&name));
            }
            BuildEvent::Output { id, error, bytes } => self.output(*id, *error, bytes),
            BuildEvent::Done { id, cached } => self.end(*id, *cached, None),
            BuildEvent::Failed { id, message } => self.end(*id, false, Some(message)),
            _ => {}
        }
    }

    fn begin(&self, id: usize, name: String) {
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template(" => {wide_msg} {elapsed:>6}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = bars.add(ProgressBar::new_spinner()).with_style(style);
            bar.set_message(name.clone());
            bar.enable_steady_tick(TICK);
            bar
        });
        if self.style == Style::Plain {
            ui::status(&format!("#{id} {name}"));
        }
        let step = Step {
            name,
            began: Instant::now(),
            began_at: now(),
            bar,
            said: VecDeque::new(),
            line: Vec::new(),
            failed: false,
        };
        if self.style == Style::Rawjson {
            vertex(id, &step, None, false, None);
        }
        self.steps().insert(id, step);
    }

    fn output(&self, id: usize, error: bool, bytes: &[u8]) {
        let mut steps = self.steps();
        let Some(step) = steps.get_mut(&id) else {
            return;
        };
        if self.style == Style::Rawjson {
            log(id, step, error, bytes);
        }
        for byte in bytes {
            if *byte != b'\n' {
                if step.line.len() < LINE {
                    step.line.push(*byte);
                }
                continue;
            }
            let line = std::mem::take(&mut step.line);
            self.line(id, step, &line);
        }
    }

    fn line(&self, id: usize, step: &mut Step, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        // A program that draws a bar writes over its own line: the last state counts.
        let text = text.trim_end_matches('\r');
        let text = text.rsplit('\r').next().unwrap_or(text);
        let text = sanitize(&text.replace('\t', "    "));
        let text = format!("{:.3} {text}", step.began.elapsed().as_secs_f64());
        match (&step.bar, self.style) {
            (Some(bar), _) => bar.set_message(format!("{}: {text}", step.name)),
            (None, Style::Plain) => ui::status(&format!("#{id} {text}")),
            _ => {}
        }
        if step.said.len() >= REPEATED {
            step.said.pop_front();
        }
        step.said.push_back(text);
    }

    fn end(&self, id: usize, cached: bool, failure: Option<&str>) {
        let mut steps = self.steps();
        let Some(step) = steps.get_mut(&id) else {
            return;
        };
        if !step.line.is_empty() {
            let line = std::mem::take(&mut step.line);
            self.line(id, step, &line);
        }
        step.failed = failure.is_some();
        let seconds = step.began.elapsed().as_secs_f64();
        match self.style {
            Style::Plain => match (failure, cached) {
                (Some(message), _) => ui::status(&format!("#{id} ERROR: {message}")),
                (None, true) => ui::status(&format!("#{id} CACHED")),
                (None, false) => ui::status(&format!("#{id} DONE {seconds:.1}s")),
            },
            Style::Rawjson => vertex(id, step, Some(now()), cached, failure),
            _ => {}
        }
        if let Some(bar) = step.bar.take() {
            let word = match (failure, cached) {
                (Some(_), _) => "ERROR ",
                (None, true) => "CACHED ",
                (None, false) => "",
            };
            bar.finish_with_message(format!("{word}{}", step.name));
        }
        if failure.is_none() {
            steps.remove(&id);
        }
    }

    /// Ends the show, and repeats what a failed step said last.
    pub(super) fn finish(&self, failed: bool) {
        let mut steps = self.steps();
        for step in steps.values_mut() {
            if let Some(bar) = step.bar.take() {
                bar.abandon();
            }
        }
        if !failed || self.style == Style::Rawjson {
            return;
        }
        for step in steps
            .values()
            .filter(|step| step.failed && !step.said.is_empty())
        {
            ui::status("------");
            ui::status(&format!(" > {}:", step.name));
            for line in &step.said {
                ui::status(line);
            }
            ui::status("------");
        }
    }
}

/// The time, as BuildKit writes it.
fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn digest(id: usize, step: &Step) -> String {
    Digest::sha256_of(format!("{id} {}", step.name).as_bytes()).to_string()
}

fn vertex(id: usize, step: &Step, ended: Option<String>, cached: bool, failure: Option<&str>) {
    let mut vertex = serde_json::json!({
        "digest": digest(id, step),
        "name": step.name,
        "started": step.began_at,
    });
    if let Some(ended) = ended {
        vertex["completed"] = ended.into();
    }
    if cached {
        vertex["cached"] = true.into();
    }
    if let Some(failure) = failure {
        vertex["error"] = failure.into();
    }
    tell(&serde_json::json!({ "vertexes": [vertex] }));
}

fn log(id: usize, step: &Step, error: bool, bytes: &[u8]) {
    tell(&serde_json::json!({ "logs": [{
        "vertex": digest(id, step),
        "stream": if error { 2 } else { 1 },
        "data": base64::engine::general_purpose::STANDARD.encode(bytes),
        "timestamp": now(),
    }]}));
}

fn tell(document: &serde_json::Value) {
    // Nowhere is left to report that standard error is gone.
    drop(writeln!(std::io::stderr().lock(), "{document}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_said_last_is_kept() {
        let progress = BuildProgress::new(Style::Quiet);
        let text = "RUN x".to_owned();
        progress.event(&BuildEvent::Step {
            id: 1,
            stage: None,
            number: 1,
            total: 1,
            text,
        });
        for number in 0..100 {
            let bytes = format!("half {number}").into_bytes();
            progress.event(&BuildEvent::Output {
                id: 1,
                error: false,
                bytes,
            });
            progress.event(&BuildEvent::Output {
                id: 1,
                error: true,
                bytes: b" whole\n".to_vec(),
            });
        }
        let message = "no".to_owned();
        progress.event(&BuildEvent::Failed { id: 1, message });
        let steps = progress.steps();
        let step = steps.get(&1).expect("kept, since it failed");
        assert_eq!(step.said.len(), REPEATED);
        assert!(
            step.said
                .back()
                .expect("the last")
                .ends_with(" half 99 whole")
        );
    }
}
