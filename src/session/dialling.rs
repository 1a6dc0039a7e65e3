//! The part of a call in which a modem is spoken to: dialling an account's numbers, and bringing the
//! modem back on-hook.

use std::time::Duration;

use super::call::{CallPlan, CallReport};
use super::link::{LineEnd, Link};
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::modem::{ConnectInfo, Dial, DialError, DialEvent, HangUp, Profile, ReadyError, ReadyEvent, SetUp};

/// Dials the account's numbers in turn until one connects.
pub(super) async fn dial(
    plan: &CallPlan,
    profile: &Profile,
    link: &mut Link,
    watch: Watch<'_>,
    report: &mut CallReport,
) -> Result<(), Failure> {
    let mut last = Failure::new(Ending::Config, Stage::Dialling, "the account has no number to dial");
    for number in &plan.account.phones {
        watch(Progress::Stage(Stage::Dialling, number.clone()));
        let set_up = SetUp { has_dtr: link.leads_known(), ..SetUp::default() };
        let mut dial = Dial::new(profile.clone(), &set_up, number, DIAL_WAIT)
            .map_err(|bad| Failure::new(Ending::Config, Stage::Dialling, bad))?;
        let outcome = link
            .drive(&mut dial, |_, event| {
                match event {
                    DialEvent::Dialling(_) => report.dials += 1,
                    DialEvent::Note(note) => watch(Progress::Note(note)),
                    DialEvent::Ringing => {}
                    DialEvent::Ready(event) => tell_ready(watch, event),
                }
                Ok::<_, Failure>(())
            })
            .await?;
        match outcome {
            Ok(connect) => {
                connected(connect, link, watch, report);
                return Ok(());
            }
            Err(error) => last = dial_failure(number, &error, link),
        }
        if !matches!(last.ending, Ending::Busy | Ending::NoAnswer | Ending::NoCarrier) {
            break; // another number would meet the same end
        }
    }
    Err(last)
}

/// There is a carrier, whoever called.
pub(super) fn connected(connect: ConnectInfo, link: &mut Link, watch: Watch<'_>, report: &mut CallReport) {
    link.connected(connect.rate);
    watch(Progress::Note(connect.text.clone()));
    report.connect = Some(connect.text);
}

/// What happens on the way to a modem that is set up.
pub(super) fn tell_ready(watch: Watch<'_>, event: ReadyEvent) {
    match event {
        ReadyEvent::Awake => {}
        ReadyEvent::HangingUpOldCall => {
            watch(Progress::Note("the modem was still on-line; hanging that call up first".to_owned()));
        }
        ReadyEvent::FoundAtSpeed(speed) => {
            watch(Progress::Note(format!("the modem answers at {speed} bit/s, not at the line's `speed`")));
        }
        ReadyEvent::Note(note) => watch(Progress::Note(note)),
    }
}

/// The kind of end where there is no modem to speak to.
pub(super) fn not_ready(error: &ReadyError) -> Ending {
    match error {
        ReadyError::Silent | ReadyError::Garbled { .. } => Ending::ModemSilent,
        ReadyError::Refused { .. } => Ending::PeerMisbehaved,
        ReadyError::PortGone => Ending::NoSuchPort,
    }
}

fn dial_failure(number: &str, error: &DialError, link: &Link) -> Failure {
    let ending = match error {
        DialError::NotReady(error) => not_ready(error),
        DialError::Rejected { .. } => Ending::Rejected,
        DialError::NoService { .. } => Ending::NoDialtone,
        DialError::Busy => Ending::Busy,
        DialError::NoAnswer | DialError::TimedOut { .. } => Ending::NoAnswer,
        DialError::NoCarrier => Ending::NoCarrier,
        DialError::NoDialtone => Ending::NoDialtone,
        DialError::Voice => Ending::Voice,
        DialError::Fax => Ending::Fax,
        DialError::Delayed { .. } => Ending::Delayed,
        DialError::Blacklisted => Ending::Blacklisted,
        DialError::Refused { .. } => Ending::PeerMisbehaved,
        DialError::PortGone => Ending::NoSuchPort,
    };
    Failure::new(ending, Stage::Dialling, format!("{number} on {}: {error}", link.name()))
}

/// Brings the modem on-hook. The port may have ended; then there is nothing to speak to.
pub(super) async fn hang_up(link: &mut Link, profile: &Profile, was_connected: bool) -> Result<(), String> {
    link.disconnected();
    if let Some(LineEnd::PortGone(why)) = link.end() {
        return Err(why.clone());
    }
    let mut hang_up =
        if was_connected { HangUp::new(profile, link.leads_known()) } else { HangUp::make_sure(profile) };
    let outcome = link.drive(&mut hang_up, |_, _| Ok::<_, std::convert::Infallible>(())).await;
    outcome.unwrap_or_else(|never| match never {}).map(|_| ()).map_err(|error| error.to_string())
}

/// From ATD to CONNECT: a far modem's answer and a long training on a bad line.
const DIAL_WAIT: Duration = Duration::from_secs(90);
