//! The calls of one account's run: one, or as many as its patience allows, with the waits between.
//!
//! No port is open during a wait, passwords were read before the first call, and a signal ends a wait
//! as it ends a call.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Global;
use super::at_mailbox::at_mailbox_heeding;
use super::fetch::{Call, Ready, runtime};
use super::interrupt::Signals;
use super::progress::Display;
use crate::config::{Calling, Config, Redial, Way};
use crate::session::call::CallReport;
use crate::session::fetch::{Fetched, store_failure};
use crate::session::memory::{local_time, now};
use crate::session::retry::{self, Last, Next, Stop, Tries};
use crate::session::work::Fetch;
use crate::session::{Ending, Failure, Progress, Stage};

/// How all calls together went, and what they cost.
pub(super) type Went = (Result<Fetched, Failure>, CallReport);

/// Fetches one account's mail.
pub(super) fn fetch_account(
    global: &Global,
    config: &Config,
    name: &str,
    ready: Ready,
    patience: Option<Redial>,
) -> Went {
    match runtime() {
        Ok(runtime) => runtime.block_on(calls(global, config, name, ready, patience)),
        Err(failure) => (Err(failure), CallReport::default()),
    }
}

async fn calls(global: &Global, config: &Config, name: &str, ready: Ready, patience: Option<Redial>) -> Went {
    let Ready { mut account, password, mut store } = ready;
    let mut total = CallReport::default();
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => return (Err(Failure::new(Ending::Bug, Stage::Preparing, error)), total),
    };
    // Where the host calls, or nobody does, nothing is dialled, so nothing is dialled again.
    let dials = account.way == Way::Line && !matches!(account.calling, Calling::HostCalls { .. });
    let patience = patience.filter(|_| dials);
    let mut run = Run::new(account.phones.clone(), patience);
    loop {
        account.phones = run.numbers();
        let work = Fetch { store: &mut store, keep: account.keep };
        let call = Call { global, config, name, account: &account, password: password.clone() };
        let (went, report) = at_mailbox_heeding(&mut signals, call, work).await;
        // Ended by a signal or a failure: what had come is kept, on disk.
        let kept = store.sync_part().map_err(|error| store_failure(Stage::Transfer, &error));
        let went = went.and_then(|fetched| kept.map(|()| fetched));
        total.add(&report);
        let failure = match went {
            Ok(fetched) => return (Ok(fetched), total),
            Err(failure) => failure,
        };
        let wait = match run.next(&failure, &report) {
            Ok(wait) => wait,
            Err(why) => return (Err(Failure { message: failure.message + &why, ..failure }), total),
        };
        if let Err(interrupted) = wait_out(global, name, &mut signals, wait, &failure).await {
            return (Err(interrupted), total);
        }
    }
}

/// What a run has been through, and what is left of it.
pub(super) struct Run {
    patience: Option<Redial>,
    tries: Tries,
    /// All the account's numbers, with the NO CARRIERs that each has met.
    numbers: Vec<String>,
    no_carriers: BTreeMap<String, u32>,
}

impl Run {
    pub(super) fn new(numbers: Vec<String>, patience: Option<Redial>) -> Self {
        Self { patience, tries: Tries::default(), numbers, no_carriers: BTreeMap::new() }
    }

    /// The numbers of the next pass.
    pub(super) fn numbers(&self) -> Vec<String> {
        let Some(patience) = self.patience else { return self.numbers.clone() };
        let left = patience.dials.saturating_sub(self.tries.dials);
        let worth = self.numbers.iter().filter(|number| self.met(number) <= retry::NO_CARRIER_AGAIN);
        worth.take(left as usize).cloned().collect()
    }

    fn met(&self, number: &str) -> u32 {
        self.no_carriers.get(number).copied().unwrap_or(0)
    }

    /// How long to wait before the next pass, or what there is to say about there being none.
    pub(super) fn next(&mut self, failure: &Failure, report: &CallReport) -> Result<Duration, String> {
        for number in &report.no_carriers {
            *self.no_carriers.entry(number.clone()).or_default() += 1;
        }
        let last = Last {
            ending: failure.ending,
            dials: report.dials,
            connected: report.connect.is_some() || !report.call_time.is_zero(),
            call_time: report.call_time,
            delayed: report.delayed,
        };
        let fewest = self.numbers.iter().map(|number| self.met(number)).min().unwrap_or(0);
        self.tries = self.tries.with(&last, fewest);
        let Some(patience) = self.patience else { return Err(String::new()) };
        match retry::next(&patience, self.tries, &last) {
            Next::After(wait) => Ok(wait),
            Next::Stop(Stop::Final | Stop::Protected) => Err(String::new()),
            Next::Stop(Stop::DialsUsed) => {
                Err(format!("; dialled {} times, which is enough for one run", self.tries.dials))
            }
            Next::Stop(Stop::ConnectsUsed) => {
                Err(format!("; connected {} times, which is enough for one run", self.tries.connects))
            }
        }
    }
}

/// Waits for the next pass, and shows that it does.
async fn wait_out(
    global: &Global,
    name: &str,
    signals: &mut Signals,
    wait: Duration,
    failure: &Failure,
) -> Result<(), Failure> {
    let display = Display::new(global, name);
    let at = local_time(now() + wait.as_secs());
    display.show(Progress::Note(format!("{failure}; dialling again at {at}, in {} s", wait.as_secs())));
    let mut left = wait;
    let waited = loop {
        if left.is_zero() {
            break Ok(());
        }
        display.countdown(&format!("dialling again in {} s", left.as_secs()));
        let step = left.min(COUNT);
        #[allow(clippy::disallowed_methods)] // the time between two calls passes in the world
        let slept = tokio::time::sleep(step);
        tokio::select! {
            () = slept => left -= step,
            signal = signals.next() => {
                let message = format!("ended by {signal} while waiting to dial again (before that: {failure})");
                break Err(Failure::new(Ending::Interrupted, Stage::Dialling, message));
            }
        }
    };
    display.finish();
    waited
}

/// How often the countdown moves.
const COUNT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn no_carrier(numbers: &[&str]) -> (Failure, CallReport) {
        let no_carriers: Vec<String> = numbers.iter().map(|number| (*number).to_owned()).collect();
        let report = CallReport { dials: numbers.len() as u32, no_carriers, ..CallReport::default() };
        (Failure::new(Ending::NoCarrier, Stage::Dialling, "no carrier"), report)
    }

    #[test]
    fn a_number_that_met_no_carrier_twice_is_left_out_and_the_others_go_on() {
        let mut run = Run::new(vec!["1".into(), "2".into()], Some(Redial::default()));
        for (met, left) in [(&["1"][..], &["1", "2"][..]), (&["1", "2"], &["2"]), (&["2"], &[])] {
            let (failure, report) = no_carrier(met);
            let next = run.next(&failure, &report);
            assert_eq!(next.is_ok(), !left.is_empty(), "{met:?}");
            assert_eq!(run.numbers(), left, "{met:?}");
        }
    }

    #[test]
    fn a_pass_dials_no_more_numbers_than_the_run_has_left() {
        let patience = Redial { dials: 3, ..Redial::default() };
        let mut run = Run::new(vec!["1".into(), "2".into()], Some(patience));
        assert_eq!(run.numbers(), ["1", "2"]);
        let busy = Failure::new(Ending::Busy, Stage::Dialling, "busy");
        let report = CallReport { dials: 2, ..CallReport::default() };
        assert_eq!(run.next(&busy, &report), Ok(patience.busy_wait));
        assert_eq!(run.numbers(), ["1"]);
        let report = CallReport { dials: 1, ..CallReport::default() };
        assert_eq!(run.next(&busy, &report), Err("; dialled 3 times, which is enough for one run".into()));
    }

    #[test]
    fn without_redial_there_is_one_pass() {
        let mut run = Run::new(vec!["1".into()], None);
        let busy = Failure::new(Ending::Busy, Stage::Dialling, "busy");
        assert_eq!(run.next(&busy, &CallReport::default()), Err(String::new()));
    }
}
