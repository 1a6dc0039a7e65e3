//! Which of an account's lines is taken: rules without I/O, as tables, and the clock and the memory
//! that they are asked with.
//!
//! Lines are tried in the order in which they stand, as a switchboard hunts through its trunks for a
//! free one. One that failed goes to the end for a while. In one call the next line is tried as long as
//! nothing was dialled on the last: what became of a dial is the number's matter, not the line's.

use std::time::Duration;

use super::call::{CallPlan, CallReport};
use super::memory::now;
use super::retry::UnixSeconds;
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::config::LineConfig;
use crate::store::troubles::{How, Trouble, Troubles};

/// The places of these lines in the order in which they are tried. Those that failed lately go last,
/// the one that failed longest ago before the others.
pub fn order(troubles: &[Trouble], now: UnixSeconds) -> Vec<usize> {
    let mut places: Vec<usize> = (0..troubles.len()).collect();
    places.sort_by_key(|&place| at_the_end_until(&troubles[place], now).map(|_| troubles[place].at));
    places
}

/// Until when a line stands at the end; `None` = it is in its place. A failure that lies in the future
/// was written down by a clock that was wrong, and is not believed.
pub fn at_the_end_until(trouble: &Trouble, now: UnixSeconds) -> Option<UnixSeconds> {
    let doublings = trouble.failures.checked_sub(1)?;
    let rest = REST.saturating_mul(1 << doublings.min(DOUBLINGS_MAX)).min(REST_MAX);
    let until = trouble.at.saturating_add(rest.as_secs());
    (trouble.at <= now && now < until).then_some(until)
}

/// What a call that ended so says of the line that it was made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// It works, whatever else went wrong.
    Works,
    /// It failed.
    Fails(How),
    /// Nothing: another program has it, or it was not come to that.
    Nothing,
}

/// How far one call came on a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    /// There is a modem on it.
    pub modem: bool,
    /// Numbers dialled.
    pub dials: u32,
    /// Bytes sent.
    pub bytes_up: u64,
}

impl Trial {
    pub(super) fn new(line: &LineConfig, report: &CallReport) -> Self {
        Self { modem: line.modem.is_some(), dials: report.dials, bytes_up: report.bytes_up }
    }

    /// A command or a connection that ended before anything was said: `ssh` did not reach its host.
    fn ended_at_once(self, failure: &Failure) -> bool {
        let before_a_word = failure.stage == Stage::LoggingIn && self.bytes_up == 0;
        before_a_word && !self.modem && failure.ending == Ending::CarrierLost
    }
}

/// What this end says of the line.
pub(super) fn says(failure: &Failure, trial: Trial) -> Says {
    match failure.stage {
        Stage::Opening => match failure.ending {
            Ending::NoSuchPort => Says::Fails(How::NoPort),
            Ending::NoCarrier => Says::Fails(How::NotReached),
            _ => Says::Nothing, // in use, no right to it, set up wrongly, a signal
        },
        Stage::Dialling | Stage::AwaitingCall => match failure.ending {
            Ending::NoSuchPort => Says::Fails(How::NoPort),
            Ending::ModemSilent => Says::Fails(How::Silent),
            Ending::NoDialtone => Says::Fails(How::NoDialtone),
            Ending::PeerMisbehaved if trial.dials == 0 => Says::Fails(How::NotReady),
            Ending::PortLocked | Ending::Interrupted | Ending::Bug | Ending::LocalDisk | Ending::Config => {
                Says::Nothing
            }
            // The modem has dialled, or was ready to be called.
            _ if trial.dials > 0 || failure.stage == Stage::AwaitingCall => Says::Works,
            _ => Says::Nothing, // held back by the memory of dials
        },
        Stage::HangingUp if failure.ending == Ending::ModemSilent => Says::Fails(How::Silent),
        Stage::LoggingIn if trial.ended_at_once(failure) => Says::Fails(How::Ended),
        Stage::Preparing => Says::Nothing,
        Stage::LoggingIn
        | Stage::Shell
        | Stage::Terminal
        | Stage::Files
        | Stage::Survey
        | Stage::Transfer
        | Stage::Delivery
        | Stage::Removal
        | Stage::HangingUp => Says::Works,
    }
}

/// Whether another line may be tried in the same call: nothing was dialled on this one, and another may
/// do better.
pub(super) fn passes_on(failure: &Failure, trial: Trial) -> bool {
    match failure.stage {
        Stage::Opening => matches!(
            failure.ending,
            Ending::PortLocked
                | Ending::NoSuchPort
                | Ending::NoPermission
                | Ending::NoCarrier
                | Ending::Config
        ),
        Stage::Dialling | Stage::AwaitingCall => match failure.ending {
            Ending::NoSuchPort
            | Ending::ModemSilent
            | Ending::PeerMisbehaved
            | Ending::PortLocked
            | Ending::Busy => trial.dials == 0, // busy before a dial: a call is coming in
            // Without a dial tone no digit was dialled; but a number before this one may have been.
            Ending::NoDialtone => trial.dials == 1,
            _ => false, // the number's matter
        },
        Stage::LoggingIn => trial.ended_at_once(failure),
        Stage::Preparing
        | Stage::Shell
        | Stage::Terminal
        | Stage::Files
        | Stage::Survey
        | Stage::Transfer
        | Stage::Delivery
        | Stage::Removal
        | Stage::HangingUp => false,
    }
}

/// All lines failed: the end that says most, with what was wrong with each. What may pass by itself is
/// more use to know than what will not, and of such ends the one that came furthest.
pub(super) fn says_most(mut failed: Vec<(String, Failure)>) -> Option<Failure> {
    let weight = |ending: Ending| match ending {
        Ending::NoDialtone => 9,
        Ending::CarrierLost | Ending::NoCarrier | Ending::Busy => 8,
        Ending::PortLocked => 7,
        Ending::PeerMisbehaved => 6,
        Ending::ModemSilent => 5,
        Ending::NoPermission => 4,
        Ending::NoSuchPort => 3,
        _ => 2,
    };
    // The first of several that say as much.
    let most = (0..failed.len()).rev().max_by_key(|&place| weight(failed[place].1.ending))?;
    if failed.len() == 1 {
        return failed.pop().map(|(_, failure)| failure);
    }
    let each = failed.iter().map(|(line, failure)| {
        let told = format!("{line}: {failure}");
        if told.ends_with(['.', '?', '!']) { told } else { told + "." } // some end with a question
    });
    let message = format!("no line could be used. {}", each.collect::<Vec<_>>().join(" "));
    let (_, most) = failed.swap_remove(most);
    // Where it happened stands in front of each.
    Some(Failure { stage: Stage::Preparing, message, ..most })
}

/// A call's lines in the order in which they are tried.
pub(super) fn in_order<'a>(plan: &'a CallPlan, watch: Watch<'_>) -> Vec<&'a (String, LineConfig)> {
    let remembered = match plan.troubles.as_ref().filter(|_| plan.lines.len() > 1).map(Troubles::all) {
        None => return plan.lines.iter().collect(),
        Some(Ok(remembered)) => remembered,
        Some(Err(error)) => {
            watch(Progress::Note(format!("lines that failed lately are not known: {error}")));
            return plan.lines.iter().collect();
        }
    };
    let of = |(name, _): &(String, LineConfig)| remembered.get(name).copied().unwrap_or_default();
    let troubles: Vec<Trouble> = plan.lines.iter().map(of).collect();
    order(&troubles, now()).into_iter().map(|place| &plan.lines[place]).collect()
}

/// Writes down what a call has shown of a line. A disk that is full harms no call.
pub(super) fn remember(plan: &CallPlan, line: &str, says: Says, watch: Watch<'_>) {
    let Some(troubles) = &plan.troubles else { return };
    let written = match says {
        Says::Nothing => return,
        Says::Works => troubles.forget(line),
        Says::Fails(how) => {
            let failures = |before: u32| before.saturating_add(1);
            let failed = troubles.change(line, |trouble| {
                *trouble = Trouble { failures: failures(trouble.failures), at: now(), how };
            });
            failed.map(|_| ())
        }
    };
    if let Err(error) = written {
        watch(Progress::Note(format!("how line {line} did could not be remembered: {error}")));
    }
}

/// How long a line that failed stands at the end; each further failure doubles it.
const REST: Duration = Duration::from_secs(10 * 60);
/// The longest.
const REST_MAX: Duration = Duration::from_secs(4 * 60 * 60);
/// Doublings after which [`REST_MAX`] has long been reached.
const DOUBLINGS_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn failed(failures: u32, seconds_ago: i64) -> Trouble {
        Trouble { failures, at: NOW.saturating_add_signed(-seconds_ago), how: How::Silent }
    }

    #[test]
    fn a_line_that_failed_goes_to_the_end_and_comes_back() {
        let works = Trouble::default();
        for (troubles, expected) in [
            (vec![], vec![]),
            (vec![works; 3], vec![0, 1, 2]),
            (vec![failed(1, 0), works, works], vec![1, 2, 0]),
            (vec![failed(1, 599), works], vec![1, 0]),
            (vec![failed(1, 600), works], vec![0, 1]),
            (vec![failed(2, 600), works], vec![1, 0]),
            (vec![failed(2, 1_200), works], vec![0, 1]),
            // All failed: the one that had the longest time to recover is tried first.
            (vec![failed(1, 10), failed(1, 300), failed(1, 20)], vec![1, 2, 0]),
            (vec![failed(1, 10), failed(1, 10)], vec![0, 1]),
            // However often, after four hours it has its place again.
            (vec![failed(u32::MAX, 4 * 3_600 - 1), works], vec![1, 0]),
            (vec![failed(u32::MAX, 4 * 3_600), works], vec![0, 1]),
            // A clock that was wrong keeps no line away.
            (vec![failed(1, -1), works], vec![0, 1]),
            (vec![failed(9, -1_000_000_000), works], vec![0, 1]),
        ] {
            assert_eq!(order(&troubles, NOW), expected, "{troubles:?}");
        }
        assert_eq!(order(&[Trouble { at: u64::MAX, ..failed(1, 0) }, works], u64::MAX), [0, 1]);
    }

    #[test]
    fn the_next_line_is_taken_as_long_as_nothing_was_dialled() {
        use Ending::*;
        use Stage::{AwaitingCall, Dialling, LoggingIn, Opening};
        let modem = |dials| Trial { modem: true, dials, bytes_up: 100 };
        let none = |bytes_up| Trial { modem: false, dials: 0, bytes_up };
        let fails = Says::Fails;
        for (ending, stage, trial, passes, says_of_line) in [
            (PortLocked, Opening, modem(0), true, Says::Nothing),
            (NoPermission, Opening, modem(0), true, Says::Nothing),
            (NoSuchPort, Opening, modem(0), true, fails(How::NoPort)),
            (NoCarrier, Opening, none(0), true, fails(How::NotReached)),
            (Interrupted, Opening, none(0), false, Says::Nothing),
            (ModemSilent, Dialling, modem(0), true, fails(How::Silent)),
            (ModemSilent, AwaitingCall, modem(0), true, fails(How::Silent)),
            (PortLocked, Dialling, modem(0), true, Says::Nothing),
            (NoSuchPort, Dialling, modem(0), true, fails(How::NoPort)),
            (NoSuchPort, Dialling, modem(1), false, fails(How::NoPort)),
            (PeerMisbehaved, Dialling, modem(0), true, fails(How::NotReady)),
            (PeerMisbehaved, Dialling, modem(1), false, Says::Works),
            (NoDialtone, Dialling, modem(1), true, fails(How::NoDialtone)),
            (NoDialtone, Dialling, modem(2), false, fails(How::NoDialtone)),
            (Busy, Dialling, modem(0), true, Says::Nothing),
            (Busy, Dialling, modem(1), false, Says::Works),
            (NoAnswer, Dialling, modem(1), false, Says::Works),
            (NoCarrier, Dialling, modem(1), false, Says::Works),
            (NoAnswer, AwaitingCall, modem(0), false, Says::Works),
            // Held back by the memory of dials, or by a signal: nothing was seen of the modem.
            (Delayed, Dialling, modem(0), false, Says::Nothing),
            (Blacklisted, Dialling, modem(0), false, Says::Nothing),
            (Interrupted, Dialling, modem(1), false, Says::Nothing),
            (LoginRefused, LoggingIn, modem(1), false, Says::Works),
            (CarrierLost, LoggingIn, modem(1), false, Says::Works),
            (CarrierLost, LoggingIn, none(0), true, fails(How::Ended)),
            // Perhaps a password was sent, and that is not tried on every line there is.
            (CarrierLost, LoggingIn, none(5), false, Says::Works),
            (LoginTimeout, LoggingIn, none(0), false, Says::Works),
            (CarrierLost, Stage::Transfer, modem(1), false, Says::Works),
            (ModemSilent, Stage::HangingUp, modem(1), false, fails(How::Silent)),
        ] {
            let failure = Failure::new(ending, stage, "");
            let case = format!("{ending:?} at {stage:?}, {trial:?}");
            assert_eq!(passes_on(&failure, trial), passes, "{case}");
            assert_eq!(says(&failure, trial), says_of_line, "{case}");
        }
    }

    #[test]
    fn of_lines_that_all_fail_the_one_that_says_most_is_reported_with_the_others() {
        use Ending::{ModemSilent, NoDialtone, NoSuchPort, PortLocked};
        for (endings, most) in [
            (&[PortLocked, PortLocked][..], PortLocked),
            // It is free again later, which a port that is not there will not be.
            (&[NoSuchPort, PortLocked], PortLocked),
            (&[NoSuchPort, ModemSilent], ModemSilent),
            (&[PortLocked, NoDialtone, ModemSilent], NoDialtone),
        ] {
            let failed = endings.iter().zip(["usr", "bank1", "bank2"]);
            let failed = failed.map(|(&ending, line)| {
                (line.to_owned(), Failure::new(ending, Stage::Opening, format!("{ending:?}")))
            });
            let failure = says_most(failed.collect()).expect("one");
            assert_eq!(failure.ending, most);
            for (ending, line) in endings.iter().zip(["usr", "bank1", "bank2"]) {
                let told = format!("{line}: opening the line: {ending:?}");
                assert!(failure.message.contains(&told), "{}", failure.message);
            }
        }
        let alone = Failure::new(PortLocked, Stage::Opening, "in use");
        assert_eq!(says_most(vec![("usr".to_owned(), alone.clone())]), Some(alone));
        assert_eq!(says_most(Vec::new()), None);
    }
}
