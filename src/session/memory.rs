//! One number's turn: asked of the memory, counted before it is dialled, and its end written down.
//!
//! [`super::retry`] has the rules, [`crate::store::dials`] the file; here is the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use super::fetch::store_failure;
use super::retry::{self, Reach, Verdict, Why};
use super::{Ending, Failure, Stage};
use crate::modem::{Location, number_key};
use crate::store::StoreError;
use crate::store::dials::{Dials, History, HowEnded};

/// A number that is about to be dialled, or is being dialled. Dropped in the middle (a signal, a panic),
/// it writes down that the dial was broken off.
pub(super) struct Turn<'a> {
    /// `None` where nothing is remembered: a test, a line of its own.
    dials: Option<&'a Dials>,
    /// As the user wrote it.
    number: &'a str,
    key: String,
    reach: Reach,
    begun: Option<u64>,
    /// What is worth telling, once.
    note: Option<String>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        dials: Option<&'a Dials>,
        location: Option<&Location>,
        number: &'a str,
        reach: Reach,
    ) -> Self {
        let key = number_key(location, number);
        Self { dials, number, key, reach, begun: None, note: None }
    }

    /// Under what the number is remembered.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Whether the number may be dialled now; if not, the failure that says why and what to do.
    pub(super) fn ask(&mut self) -> Result<(), Failure> {
        let Some(dials) = self.dials else { return Ok(()) };
        let history = dials.look(&self.key).map_err(|error| store_failure(Stage::Dialling, &error))?;
        if retry::settled(history.clone(), now()) == history {
            let verdict = retry::may_dial(&history, self.reach, now());
            return refusal(self.number, &verdict).map_or(Ok(()), Err);
        }
        // Written down, so that a rest which a clock had put into the future begins now, and once.
        self.change(|history, now, reach| {
            *history = retry::settled(history.clone(), now);
            retry::may_dial(history, reach, now)
        })?;
        Ok(())
    }

    /// Counts the dial, unless another run has changed what may be done. Comes before the first digit.
    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        let at = self.change(|history, now, reach| {
            let verdict = retry::may_dial(history, reach, now);
            if verdict == Verdict::Dial {
                *history = retry::begun(history.clone(), now);
            }
            verdict
        })?;
        self.begun = Some(at);
        Ok(())
    }

    /// There is a carrier: the number is a modem's.
    pub(super) fn connected(&mut self) {
        self.end(retry::connected);
    }

    /// The dial ended so.
    pub(super) fn failed(&mut self, how: HowEnded) {
        let begun = self.begun;
        self.end(|history, now| retry::failed(history, begun.unwrap_or(now), how));
    }

    /// What to tell whoever watches.
    pub(super) fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// Answers the time at which it was done.
    fn change(&mut self, change: impl FnOnce(&mut History, u64, Reach) -> Verdict) -> Result<u64, Failure> {
        let now = now();
        let Some(dials) = self.dials else { return Ok(now) };
        let changed = dials
            .change(&self.key, |history| change(history, now, self.reach))
            .map_err(|error| store_failure(Stage::Dialling, &error))?;
        if let Some(path) = changed.set_aside {
            self.note = Some(format!(
                "the memory of earlier dials was damaged; what could be read is kept, the rest is in {}",
                path.display()
            ));
        }
        refusal(self.number, &changed.found).map_or(Ok(now), Err)
    }

    /// A call that is up, or has failed already, is not harmed by a disk that is full.
    fn end(&mut self, change: impl FnOnce(History, u64) -> History) {
        let (Some(dials), Some(_)) = (self.dials, self.begun.take()) else { return };
        let ended = dials.change(&self.key, |history| *history = change(std::mem::take(history), now()));
        if let Err(error) = ended {
            self.note = Some(format!("how this dial ended could not be remembered: {error}"));
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.begun.is_some() {
            self.failed(HowEnded::Interrupted);
        }
    }
}

/// A person says that the number, written in any way, may be dialled again. Answers whether there was
/// anything to forget. `location` is the configuration's: with and without it a number has two keys.
pub fn release(dials: &Dials, location: Option<&Location>, number: &str) -> Result<bool, StoreError> {
    let (here, anywhere) = (number_key(location, number), number_key(None, number));
    let released = dials.release(&here)?;
    Ok((here != anywhere && dials.release(&anywhere)?) || released)
}

/// What is remembered about a number, in a sentence, and whether it may be dialled now.
pub fn told(number: &str, history: &History, reach: Reach) -> String {
    let connected = match history.connected {
        Some(at) => format!("last connected {}", local_time(at)),
        None => "never connected".to_owned(),
    };
    let row = match (history.unconnected, history.last()) {
        (0, _) | (_, None) => String::new(),
        (1, Some(last)) => format!("; 1 dial since, at {} ({})", local_time(last.at), last.how),
        (many, Some(last)) => {
            format!("; {many} dials since, the last at {} ({})", local_time(last.at), last.how)
        }
    };
    match refusal(number, &retry::may_dial(history, reach, now())) {
        Some(failure) => format!("{connected}{row}; {}", failure.message),
        None => format!("{connected}{row}"),
    }
}

/// A number that is not dialled, now or ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// How a call ends that would dial it.
    pub ending: Ending,
    /// Until when, and why.
    pub why: String,
    /// What a person can do.
    pub remedy: String,
}

/// Whether what is remembered keeps the number from being dialled now.
pub fn held_back(number: &str, history: &History, reach: Reach) -> Option<HeldBack> {
    let now = now();
    verdict_told(number, &retry::may_dial(&retry::settled(history.clone(), now), reach, now))
}

fn refusal(number: &str, verdict: &Verdict) -> Option<Failure> {
    let HeldBack { ending, why, remedy } = verdict_told(number, verdict)?;
    Some(Failure::new(ending, Stage::Dialling, format!("{why}. {remedy}")))
}

fn verdict_told(number: &str, verdict: &Verdict) -> Option<HeldBack> {
    let release = format!("mailcall modem release {number:?}");
    match verdict {
        Verdict::Dial => None,
        Verdict::Rest { until, why } => {
            let why = match why {
                Why::NeverAModem(times) => format!(
                    "{times} dials met no carrier and none ever has, so a person may be answering: \
                     check the number"
                ),
                Why::NoCarrier(times) => format!("{times} dials in a row met no carrier"),
                Why::Unanswered(times) => format!(
                    "{times} dials were not answered and none ever by a modem, so a person's telephone \
                     may be ringing: check the number"
                ),
                Why::Answered(how) => format!("{} answered instead of a modem", answerer(*how)),
                Why::TooMany(times) => format!("{times} dials in a row have not connected"),
            };
            let until = local_time(*until);
            Some(HeldBack {
                ending: Ending::Delayed,
                why: format!("{number} is not dialled before {until}: {why}"),
                remedy: format!("If it is right: {release}"),
            })
        }
        Verdict::Barred(how) => {
            let why = match how {
                HowEnded::Voice | HowEnded::Fax => format!("{} answered", answerer(*how)),
                _ => "its last dials have all met no modem".to_owned(),
            };
            Some(HeldBack {
                ending: Ending::Blacklisted,
                why: format!("{number} is not dialled any more, because {why}: check the number"),
                remedy: format!("If it is a modem's: {release}"),
            })
        }
    }
}

fn answerer(how: HowEnded) -> &'static str {
    if how == HowEnded::Fax { "a fax machine" } else { "a person" }
}

/// A time of day here, and the day.
pub fn local_time(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let here = at.map(|at| jiff::tz::TimeZone::system().to_datetime(at));
    here.map_or_else(|| "a time unknown".to_owned(), |here| here.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Seconds since 1970, now.
#[allow(clippy::disallowed_methods)] // the session is where the clock is read
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
