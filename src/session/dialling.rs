//! The part of a call in which a modem is spoken to: dialling an account's numbers, and bringing the
//! modem back on-hook.

use super::call::{CallPlan, CallReport};
use super::link::{LineEnd, Link};
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::config::ModemUse;
use crate::modem::{Ask, Dial, DialError, DialEvent, HangUp, Profile, ReadyError, ReadyEvent, Said, SetUp};

/// Dials the account's numbers in turn until one connects.
pub(super) async fn dial(
    plan: &CallPlan,
    profile: &Profile,
    modem_use: &ModemUse,
    link: &mut Link,
    watch: Watch<'_>,
    report: &mut CallReport,
) -> Result<(), Failure> {
    let mut last = Failure::new(Ending::Config, Stage::Dialling, "the account has no number to dial");
    for number in &plan.account.phones {
        watch(Progress::Stage(Stage::Dialling, number.clone()));
        let mut dial = Dial::new(profile.clone(), &set_up(link, modem_use), number, modem_use.dial_wait)
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
                link.connected(&connect);
                watch(Progress::Note(connect.sentence()));
                report.connect = Some(connect);
                return Ok(());
            }
            Err(error) => {
                last = dial_failure(number, &error, link);
                if let Some(cause) = cause(link, profile, &error).await {
                    last.message = format!("{} (the modem adds: {cause})", last.message);
                }
            }
        }
        if !matches!(last.ending, Ending::Busy | Ending::NoAnswer | Ending::NoCarrier) {
            break; // another number would meet the same end
        }
    }
    Err(last)
}

/// What happens on the way to a modem that is set up.
fn tell_ready(watch: Watch<'_>, event: ReadyEvent) {
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

fn dial_failure(number: &str, error: &DialError, link: &Link) -> Failure {
    let ending = match error {
        DialError::NotReady(ReadyError::Silent | ReadyError::Garbled { .. }) => Ending::ModemSilent,
        DialError::NotReady(ReadyError::Refused { .. }) => Ending::PeerMisbehaved,
        DialError::NotReady(ReadyError::PortGone) => Ending::NoSuchPort,
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

/// How the modem on this line is to be set up.
pub(super) fn set_up(link: &Link, modem_use: &ModemUse) -> SetUp {
    SetUp {
        choices: modem_use.choices.clone(),
        speed: link.port_speed(),
        tries_speeds: modem_use.find_speed,
        has_dtr: link.leads_known(),
    }
}

/// What the modem says about why the call failed, where its profile asks and the failure is one that
/// a network explains (`AT+CEER`, 3GPP TS 27.007 §6.10).
async fn cause(link: &mut Link, profile: &Profile, error: &DialError) -> Option<String> {
    match error {
        DialError::NotReady(_) | DialError::PortGone => return None,
        DialError::Refused { .. }
        | DialError::Busy
        | DialError::NoAnswer
        | DialError::NoCarrier
        | DialError::NoDialtone
        | DialError::Voice
        | DialError::Fax
        | DialError::Delayed { .. }
        | DialError::Blacklisted
        | DialError::Rejected { .. }
        | DialError::NoService { .. }
        | DialError::TimedOut { .. } => {}
    }
    let said = ask(link, profile, &profile.cause).await;
    let lines: Vec<String> = said.into_iter().flat_map(|said| said.lines).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// What the modem says about the call that is over (`ATI6`, `AT&V1`), where its profile asks.
pub(super) async fn statistics(link: &mut Link, profile: &Profile) -> Vec<Said> {
    let said = ask(link, profile, &profile.statistics).await;
    said.into_iter().filter(|said| said.ok && !said.lines.is_empty()).collect()
}

/// Puts questions to a modem that is on-hook. It need not answer: the call is over.
async fn ask(link: &mut Link, profile: &Profile, questions: &[String]) -> Vec<Said> {
    if questions.is_empty() || link.end().is_some() {
        return Vec::new();
    }
    let mut ask = Ask::of_awake(profile, questions);
    let outcome = link.drive(&mut ask, |_, _| Ok::<_, std::convert::Infallible>(())).await;
    outcome.unwrap_or_else(|never| match never {}).unwrap_or_default()
}
