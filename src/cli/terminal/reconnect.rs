//! `--reconnect`: whether a session that was lost is begun again, and when. Rules without I/O.
//!
//! Where a number is dialled, the rules are those of [`crate::session::retry`]: what they hold back, no
//! option lets through. Elsewhere nobody is rung, and the waits grow to a minute.

use std::time::Duration;

use crate::cli::redial::Run;
use crate::config::Redial;
use crate::session::call::CallReport;
use crate::session::terminal::Left;
use crate::session::{Ending, Failure, Stage};

/// What a run of sessions has been through.
pub(super) struct Reconnect {
    /// The least wait; `None` is not to reconnect at all.
    least: Option<Duration>,
    numbers: Vec<String>,
    patience: Redial,
    /// Where numbers are dialled.
    run: Option<Run>,
    was_up: bool,
    failures: u32,
}

/// What comes after a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It was the last one, for this reason if there is one to tell.
    Over(Option<String>),
    /// Another, after this time, because of this.
    After(Duration, String),
}

impl Reconnect {
    /// `numbers` are what is dialled; where nothing is, they are none.
    pub(super) fn new(least: Option<Duration>, numbers: Vec<String>, patience: Option<Redial>) -> Self {
        let patience = patience.unwrap_or_default();
        let run = (!numbers.is_empty()).then(|| Run::new(numbers.clone(), Some(patience)));
        Self { least, numbers, patience, run, was_up: false, failures: 0 }
    }

    /// The numbers that may be dialled next.
    pub(super) fn numbers(&self) -> Vec<String> {
        self.run.as_ref().map_or_else(Vec::new, Run::numbers)
    }

    /// A session went so.
    pub(super) fn next(&mut self, went: &Result<Left, Failure>, report: &CallReport) -> Next {
        let lost = match went {
            Ok(Left::LineEnded { why, well: false }) => {
                self.was_up = true;
                Failure::new(Ending::CarrierLost, Stage::Terminal, why)
            }
            Ok(_) => return Next::Over(None), // as somebody wanted it
            Err(failure) => failure.clone(),
        };
        let Some(least) = self.least else { return Next::Over(None) };
        if report.call_time >= LONG_CALL {
            self.failures = 0;
            if let Some(run) = &mut self.run {
                *run = Run::new(self.numbers.clone(), Some(self.patience));
            }
        }
        self.failures = self.failures.saturating_add(1);
        let growing = FIRST_WAIT.saturating_mul(1 << (self.failures - 1).min(MOST_DOUBLINGS)).max(least);
        let is_away = lost.stage == Stage::Opening
            && matches!(lost.ending, Ending::NoSuchPort | Ending::PortLocked | Ending::NoCarrier);
        match &mut self.run {
            // The port itself is not there: nothing was dialled, and nothing is as long as it stays away.
            _ if is_away && self.was_up => Next::After(growing, lost.to_string()),
            Some(run) => match run.next(&lost, report) {
                Ok(wait) => Next::After(wait.max(least), lost.to_string()),
                Err(why) => Next::Over(Some(why).filter(|why| !why.is_empty())),
            },
            None if self.was_up && may_pass(lost.ending) => Next::After(growing, lost.to_string()),
            None => Next::Over(None),
        }
    }
}

/// What may be otherwise the next time, on a line that rings nobody.
fn may_pass(ending: Ending) -> bool {
    match ending {
        Ending::CarrierLost
        | Ending::NoCarrier
        | Ending::NoSuchPort
        | Ending::PortLocked
        | Ending::LoginTimeout
        | Ending::TooManySessions
        | Ending::LoginsClosed
        | Ending::TransferFailed => true,
        Ending::Done
        | Ending::Usage
        | Ending::BadData
        | Ending::ModemSilent
        | Ending::Bug
        | Ending::LocalDisk
        | Ending::Busy
        | Ending::NoAnswer
        | Ending::NoDialtone
        | Ending::Delayed
        | Ending::Voice
        | Ending::Fax
        | Ending::MailboxLocked
        | Ending::Interrupted
        | Ending::PeerMisbehaved
        | Ending::HostLacks
        | Ending::LoginRefused
        | Ending::LoginExpired
        | Ending::AccountLocked
        | Ending::Blacklisted
        | Ending::Rejected
        | Ending::NoPermission
        | Ending::Config
        | Ending::NoMailbox => false,
    }
}

/// The wait after the first loss, and how often it doubles: to 64 s.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MOST_DOUBLINGS: u32 = 6;
/// A call of this length was worth it: what came before it is forgotten.
const LONG_CALL: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Result<Left, Failure> {
        Ok(Left::LineEnded { why: "cut off".into(), well: false })
    }

    fn failed(ending: Ending, stage: Stage) -> Result<Left, Failure> {
        Err(Failure::new(ending, stage, "x"))
    }

    fn call(seconds: u64, dials: u32) -> CallReport {
        CallReport { call_time: Duration::from_secs(seconds), dials, ..CallReport::default() }
    }

    fn wait(next: Next) -> Option<u64> {
        match next {
            Next::After(wait, _) => Some(wait.as_secs()),
            Next::Over(_) => None,
        }
    }

    #[test]
    fn a_line_that_rings_nobody_is_tried_again_with_waits_that_grow_and_begin_anew_after_a_long_session() {
        let mut reconnect = Reconnect::new(Some(Duration::ZERO), Vec::new(), None);
        let mut after = |went: &Result<Left, Failure>, seconds| wait(reconnect.next(went, &call(seconds, 0)));
        assert_eq!([1; 8].map(|seconds| after(&lost(), seconds)), [1, 2, 4, 8, 16, 32, 64, 64].map(Some));
        assert_eq!(after(&lost(), 100), Some(1));
        let away = failed(Ending::NoSuchPort, Stage::Opening);
        assert_eq!([after(&away, 0), after(&away, 0)], [Some(2), Some(4)]);
        assert_eq!(after(&failed(Ending::LoginRefused, Stage::LoggingIn), 0), None);
    }

    #[test]
    fn what_somebody_wanted_and_what_never_was_are_not_begun_again() {
        let mut reconnect = Reconnect::new(Some(Duration::ZERO), Vec::new(), None);
        let well = Left::LineEnded { why: "exit status 0".into(), well: true };
        for left in [Left::ByKey, Left::StaysUp, Left::KeyboardGone, Left::InputEnded, Left::ScreenGone, well]
        {
            assert_eq!(reconnect.next(&Ok(left), &call(1, 0)), Next::Over(None));
        }
        let never = failed(Ending::NoSuchPort, Stage::Opening);
        assert_eq!(reconnect.next(&never, &call(0, 0)), Next::Over(None), "a mistake in its name");
        let mut once = Reconnect::new(None, Vec::new(), None);
        assert_eq!(once.next(&lost(), &call(1, 0)), Next::Over(None), "nobody asked for it");
    }

    #[test]
    fn a_number_is_dialled_again_as_often_as_the_rules_of_redialling_allow() {
        let mut reconnect = Reconnect::new(Some(Duration::from_secs(7)), vec!["1".into()], None);
        let after = |reconnect: &mut Reconnect, seconds| wait(reconnect.next(&lost(), &call(seconds, 1)));
        assert_eq!(after(&mut reconnect, 1), Some(7), "the rules say 5");
        assert_eq!(after(&mut reconnect, 1), Some(10));
        assert_eq!(after(&mut reconnect, 1), None, "three connections are enough for one run");
        assert_eq!(after(&mut reconnect, 3_600), Some(7), "but an hour of work begins another");
        let voice = failed(Ending::Voice, Stage::Dialling);
        assert_eq!(reconnect.next(&voice, &call(0, 1)), Next::Over(None));
    }

    #[test]
    fn an_adapter_that_was_pulled_out_is_waited_for_without_a_dial() {
        let mut reconnect = Reconnect::new(Some(Duration::ZERO), vec!["1".into()], None);
        assert_eq!(wait(reconnect.next(&lost(), &call(1, 1))), Some(5));
        let away = failed(Ending::NoSuchPort, Stage::Opening);
        assert!((0..20).all(|_| wait(reconnect.next(&away, &call(0, 0))).is_some()));
    }
}
