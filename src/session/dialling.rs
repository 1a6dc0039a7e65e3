//! The part of a call in which a modem is spoken to: dialling an account's numbers, and bringing the
//! modem back on-hook.

use std::time::Duration;

use super::call::{CallPlan, CallReport};
use super::link::{LineEnd, Link};
use super::memory::Turn;
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::modem::{Dial, DialError, DialEvent, DialRules, HangUp, Profile};
use crate::store::dials::HowEnded;

/// Dials the account's numbers in turn until one connects.
pub(super) async fn dial(
    plan: &CallPlan,
    (profile, rules): &(Profile, DialRules),
    link: &mut Link,
    watch: Watch<'_>,
    report: &mut CallReport,
) -> Result<(), Failure> {
    let mut last = None;
    for number in &plan.account.phones {
        let location = rules.location.as_ref();
        let mut turn = Turn::new(plan.dials.as_ref(), location, number, rings_people(profile));
        let asked = turn.ask();
        turn.take_note().into_iter().for_each(|note| watch(Progress::Note(note)));
        if let Err(failure) = asked {
            // What was dialled in this pass says more than what was not.
            if report.dials == 0 {
                last = Some(failure);
            } else {
                watch(Progress::Note(failure.message));
            }
            continue;
        }
        watch(Progress::Stage(Stage::Dialling, number.clone()));
        let mut dial = Dial::by_rules(profile.clone(), rules, number, DIAL_WAIT)
            .map_err(|bad| Failure::new(Ending::Config, Stage::Dialling, bad))?;
        let outcome = link
            .drive(&mut dial, |_, event| {
                match event {
                    // Comes out before the command that dials, and is on disk before it.
                    DialEvent::Dialling(_) => {
                        turn.begin()?;
                        report.dials += 1;
                    }
                    DialEvent::Note(note) => watch(Progress::Note(note)),
                    DialEvent::Awake | DialEvent::Ringing => {}
                    DialEvent::HangingUpOldCall => {
                        watch(Progress::Note(
                            "the modem was still on-line; hanging that call up first".to_owned(),
                        ));
                    }
                }
                Ok::<_, Failure>(())
            })
            .await?;
        match &outcome {
            Ok(_) => turn.connected(),
            Err(error) => turn.failed(how_ended(error)),
        }
        turn.take_note().into_iter().for_each(|note| watch(Progress::Note(note)));
        let error = match outcome {
            Ok(connect) => {
                link.connected(connect.rate);
                watch(Progress::Note(connect.text.clone()));
                report.connect = Some(connect.text);
                return Ok(());
            }
            Err(error) => error,
        };
        if error == DialError::NoCarrier {
            report.no_carriers.push(number.clone());
        }
        if let DialError::Delayed { remaining } = error {
            report.delayed = remaining;
        }
        let failure = dial_failure(number, &error, link);
        let another_may_do = matches!(failure.ending, Ending::Busy | Ending::NoAnswer | Ending::NoCarrier);
        last = Some(failure);
        if !another_may_do {
            break; // another number would meet the same end
        }
    }
    let no_number = || Failure::new(Ending::Config, Stage::Dialling, "the account has no number to dial");
    Err(last.unwrap_or_else(no_number))
}

/// Whether a call of this kind can make a person's telephone ring. Every modem that is built in calls
/// over the telephone network.
pub fn rings_people(_profile: &Profile) -> bool {
    true
}

fn how_ended(error: &DialError) -> HowEnded {
    match error {
        DialError::Busy => HowEnded::Busy,
        DialError::NoAnswer | DialError::TimedOut { .. } => HowEnded::NoAnswer,
        DialError::NoCarrier => HowEnded::NoCarrier,
        DialError::NoDialtone => HowEnded::NoDialtone,
        DialError::Voice => HowEnded::Voice,
        DialError::Fax => HowEnded::Fax,
        DialError::Delayed { .. } => HowEnded::Delayed,
        DialError::Blacklisted => HowEnded::Blacklisted,
        DialError::ModemSilent
        | DialError::Garbled { .. }
        | DialError::Refused { .. }
        | DialError::PortGone => HowEnded::Failed,
    }
}

fn dial_failure(number: &str, error: &DialError, link: &Link) -> Failure {
    let ending = match error {
        DialError::ModemSilent | DialError::Garbled { .. } => Ending::ModemSilent,
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
pub const DIAL_WAIT: Duration = Duration::from_secs(90);
