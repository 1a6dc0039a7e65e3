//! Progress as a person sees it: a bar on a terminal, plain lines elsewhere, nothing with `--quiet`.
//!
//! All of it goes to standard error; standard output is for what was asked for.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use super::{Global, person};
use crate::machine::BITS_PER_BYTE;
use crate::session::transcript::Transcript;
use crate::session::{AskPerson, Progress, Stage};

/// Shows one call's progress.
pub(super) struct Display {
    shown: Arc<Mutex<Shown>>,
}

enum Shown {
    Bar { bar: ProgressBar, account: String },
    Lines { account: String, tenths: u64 },
    Nothing,
}

impl Display {
    /// For the call of `account`.
    pub(super) fn new(global: &Global, account: &str) -> Self {
        let account = account.to_owned();
        let shown = if global.quiet || global.json && global.verbose == 0 {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() && global.verbose == 0 {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(TICK);
            Shown::Bar { bar, account }
        } else {
            Shown::Lines { account, tenths: 0 }
        };
        Self { shown: Arc::new(Mutex::new(shown)) }
    }

    /// Takes one step of the call.
    pub(super) fn show(&self, progress: Progress) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).show(progress);
    }

    /// Shows what changes every second while nothing else happens; elsewhere than on a terminal that
    /// would be a line a second, and is left out.
    pub(super) fn countdown(&self, text: &str) {
        if let Shown::Bar { bar, account } = &*self.shown.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.set_style(spinner());
            bar.set_message(format!("{account}: {text}"));
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn finish(&self) {
        person::show_typing();
        if let Shown::Bar { bar, .. } = &*self.shown.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.finish_and_clear();
        }
    }

    /// The person at the terminal, if there is one: asked there, with the bar out of the way.
    pub(super) fn person(&self) -> Option<AskPerson> {
        let is_there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let shown = Arc::clone(&self.shown);
        let bar = move || match &*shown.lock().unwrap_or_else(PoisonError::into_inner) {
            Shown::Bar { bar, .. } => Some(bar.clone()),
            Shown::Lines { .. } | Shown::Nothing => None,
        };
        let code_bar = bar.clone();
        let says_yes = move |question: &str| aside(&bar, || person::says_yes(question));
        let code = move |question: &str| aside(&code_bar, || person::code(question));
        is_there.then(|| AskPerson::new(says_yes, code))
    }

    /// The dialogue, when it was asked for.
    pub(super) fn transcript(&self, global: &Global) -> Transcript {
        if global.verbose == 0 {
            return Transcript::silent();
        }
        let transcript = Transcript::new(Some(Box::new(|line| eprintln!("{line}"))));
        if global.verbose > 1 { transcript.detailed() } else { transcript }
    }
}

/// Asks with the bar out of the way.
fn aside<T>(bar: &impl Fn() -> Option<ProgressBar>, ask: impl FnOnce() -> T) -> T {
    if let Some(bar) = bar() {
        bar.disable_steady_tick();
        bar.finish_and_clear();
    }
    let answer = ask();
    if let Some(bar) = bar() {
        bar.reset();
        bar.enable_steady_tick(TICK);
    }
    answer
}

impl Shown {
    fn show(&mut self, progress: Progress) {
        match (&mut *self, progress) {
            (Self::Nothing, _) => {}
            (Self::Bar { bar, account }, Progress::Stage(stage, detail)) => {
                bar.set_style(spinner());
                bar.set_message(format!("{account}: {}", told(stage, &detail)));
            }
            (Self::Lines { account, tenths }, Progress::Stage(stage, detail)) => {
                *tenths = 0;
                eprintln!("{account}: {}", told(stage, &detail));
            }
            (_, Progress::Note(note)) => self.line(&note),
            (Self::Bar { bar, account }, Progress::Bytes { done, total, rate }) => {
                if bar.length() != Some(total) || done == 0 {
                    bar.set_style(transfer_bar(rate));
                    bar.set_message(account.clone());
                    bar.set_length(total);
                }
                if done == 0 {
                    bar.reset_eta();
                }
                bar.set_position(done);
            }
            (Self::Lines { account, tenths }, Progress::Bytes { done, total, rate }) => {
                if let (0, Some(rate)) = (done, rate) {
                    let seconds = time_left(0, total, 0.0, Some(rate)).as_secs();
                    eprintln!("{account}: {total} bytes to carry, up to {seconds} s at {rate} bit/s");
                }
                let now = done.saturating_mul(10).checked_div(total).unwrap_or(10);
                if now > *tenths {
                    *tenths = now;
                    eprintln!("{account}: {done} of {total} bytes");
                }
            }
        }
    }

    fn line(&self, text: &str) {
        let text = crate::mailbox::display::safe_line(text);
        match self {
            Self::Nothing => {}
            Self::Bar { bar, account } => bar.suspend(|| eprintln!("{account}: {text}")),
            Self::Lines { account, .. } => eprintln!("{account}: {text}"),
        }
    }
}

/// A stage in a person's words.
fn told(stage: Stage, detail: &str) -> String {
    match (stage, detail) {
        (Stage::Dialling, number) => format!("dialling {number}"),
        (Stage::LoggingIn, "") => "looking for a shell".to_owned(),
        (Stage::LoggingIn, user) => format!("logging in as {user}"),
        (Stage::Opening, line) if !line.is_empty() => format!("opening line {line}"),
        (Stage::Transfer, protocol) => format!("carrying mail ({protocol})"),
        // Names of the host's are in it.
        (Stage::Files, detail) if !detail.is_empty() => crate::mailbox::display::safe_line(detail),
        (Stage::Survey, detail) if !detail.is_empty() => detail.to_owned(),
        (stage, _) => stage.to_string(),
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg} [{elapsed}]")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn transfer_bar(rate: Option<u32>) -> ProgressStyle {
    let eta = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let left = time_left(state.pos(), state.len().unwrap_or_default(), state.per_sec(), rate);
        let _ = write!(out, "{}", HumanDuration(left)); // a progress bar has nobody to tell
    };
    ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} ETA {left}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("left", eta)
}

/// How long the rest will take: by the bytes a second that were measured, or, as long as little has
/// come, by the rate that the modem told. Compression between the modems makes it less, noise more.
fn time_left(done: u64, total: u64, measured: f64, rate: Option<u32>) -> Duration {
    let left = total.saturating_sub(done) as f64;
    let told = rate.filter(|&rate| rate > 0).map(|rate| f64::from(rate) / f64::from(BITS_PER_BYTE));
    let per_second = match told {
        Some(told) if measured <= 0.0 || (done as f64) < told * MEASURED_ENOUGH => told,
        Some(_) | None if measured > 0.0 => measured,
        Some(_) | None => return Duration::ZERO,
    };
    Duration::from_secs_f64((left / per_second).min(TIME_LEFT_MAX)) // which panics beyond its range
}

const TICK: Duration = Duration::from_millis(200);
/// Seconds of line time: before so much has come, the modem's word is better than what was measured.
const MEASURED_ENOUGH: f64 = 5.0;
/// Seconds beyond which nobody counts.
const TIME_LEFT_MAX: f64 = 10_000_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_goes_by_the_modems_rate_first_and_by_what_came_then() {
        let seconds = |done, measured, rate| time_left(done, 24_000, measured, rate).as_secs();
        assert_eq!(seconds(0, 0.0, Some(2_400)), 100);
        assert_eq!(seconds(1_000, 5_000.0, Some(2_400)), 95, "1,000 bytes say little");
        assert_eq!(seconds(4_000, 400.0, Some(2_400)), 50, "compression");
        assert_eq!(seconds(4_000, 400.0, None), 50);
        assert_eq!(seconds(0, 0.0, None), 0);
        assert_eq!(seconds(0, f64::MIN_POSITIVE, None), 10_000_000);
        assert_eq!(seconds(24_000, 3.0, Some(0)), 0);
    }
}
