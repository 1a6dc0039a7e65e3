//! The part of a call in which a modem is spoken to: dialling an account's numbers, and bringing the
//! modem back on-hook.

use std::collections::BTreeSet;
use std::pin::pin;

use super::call::CallReport;
use super::link::{LineEnd, Link};
use super::memory::Turn;
use super::retry::Reach;
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::config::{LineConfig, ModemUse};
use crate::line::tcp::says_in_use;
use crate::modem::{
    Answer, Answering, Ask, ConnectInfo, Dial, DialError, DialEvent, HangUp, HungUp, Planned, Profile,
    ReadyError, ReadyEvent, Said, SetUp, is_host,
};
use crate::store::dials::{Dials, HowEnded};

/// Dials the numbers in turn until one connects.
pub(super) async fn dial(
    numbers: &[String],
    dials: Option<&Dials>,
    line: &LineConfig,
    link: &mut Link,
    watch: Watch<'_>,
    report: &mut CallReport,
) -> Result<(), Failure> {
    let Some(profile) = &line.modem else {
        return Err(Failure::new(Ending::Config, Stage::Dialling, "this line has no modem to dial with"));
    };
    let mut last = None;
    let mut asked_for = BTreeSet::new();
    for number in numbers {
        let location = line.rules.location.as_ref();
        let mut turn = Turn::new(dials, location, number, reach(profile, number));
        // Written twice, or in two ways: one telephone rings once in a pass.
        if !asked_for.insert(turn.key().to_owned()) {
            continue;
        }
        let asked = turn.ask();
        turn.take_note().into_iter().for_each(|note| watch(Progress::Note(note)));
        if let Err(failure) = asked {
            // What was dialled in this pass says more than what was not, which is noted.
            let noted = if report.dials == 0 { last.replace(failure) } else { Some(failure) };
            noted.into_iter().for_each(|held| watch(Progress::Note(held.message)));
            continue;
        }
        if report.dials == 0 {
            last.take().into_iter().for_each(|held: Failure| watch(Progress::Note(held.message)));
        }
        watch(Progress::Stage(Stage::Dialling, number.clone()));
        let set_up = set_up(link, &line.modem_use);
        let mut dial = Dial::new(profile.clone(), &set_up, &line.rules, number, line.modem_use.dial_wait)
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
                    DialEvent::Ringing => {}
                    DialEvent::Ready(event) => tell_ready(watch, event),
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
                connected(connect, link, watch, report);
                return Ok(());
            }
            Err(error) => error,
        };
        if how_ended(&error) == HowEnded::NoCarrier {
            report.no_carriers.push(number.clone());
        }
        if let DialError::Delayed { remaining } = error {
            report.delayed = remaining;
        }
        let mut failure = dial_failure(number, &error, link);
        if let Some(cause) = cause(link, profile, &error).await {
            failure.message = format!("{} (the modem adds: {cause})", failure.message);
        }
        let another_may_do = matches!(failure.ending, Ending::Busy | Ending::NoAnswer | Ending::NoCarrier);
        last = Some(failure);
        if !another_may_do {
            break; // another number would meet the same end
        }
    }
    let no_number = || Failure::new(Ending::Config, Stage::Dialling, "the account has no number to dial");
    Err(last.unwrap_or_else(no_number))
}

/// What a call to this number can make ring.
pub fn reach(profile: &Profile, number: &str) -> Reach {
    match profile.data_bearer {
        false => Reach::Telephones,
        true if is_host(number) => Reach::Host,
        true => Reach::Bearer,
    }
}

fn how_ended(error: &DialError) -> HowEnded {
    match error {
        DialError::Busy => HowEnded::Busy,
        DialError::NoAnswer => HowEnded::NoAnswer,
        // Nothing was heard of it ringing: somebody may have answered, and waited as we did.
        DialError::NoCarrier | DialError::TimedOut { .. } => HowEnded::NoCarrier,
        // Nobody knows how it went on.
        DialError::PortGone => HowEnded::Unknown,
        DialError::NoDialtone => HowEnded::NoDialtone,
        DialError::Voice => HowEnded::Voice,
        DialError::Fax => HowEnded::Fax,
        DialError::Delayed { .. } => HowEnded::Delayed,
        DialError::Blacklisted => HowEnded::Blacklisted,
        DialError::NotReady(_)
        | DialError::CallComingIn
        | DialError::Refused { .. }
        | DialError::Rejected { .. }
        | DialError::NoService { .. } => HowEnded::Failed,
    }
}

/// There is a carrier, whoever called.
pub(super) fn connected(connect: ConnectInfo, link: &mut Link, watch: Watch<'_>, report: &mut CallReport) {
    link.connected(&connect);
    watch(Progress::Note(connect.sentence()));
    report.connect = Some(connect);
}

/// What happens on the way to a modem that is set up.
pub(super) fn tell_ready(watch: Watch<'_>, event: ReadyEvent) {
    match event {
        ReadyEvent::Awake => {}
        ReadyEvent::HangingUpOldCall => {
            let note = "the modem does not answer; perhaps an old call is still up: hanging it up first";
            watch(Progress::Note(note.to_owned()));
        }
        ReadyEvent::FoundAtSpeed(speed) => {
            let note =
                format!("the modem answers at {speed} bit/s: with speed = {speed} it is found at once");
            watch(Progress::Note(note));
        }
        ReadyEvent::Note(note) => watch(Progress::Note(note)),
    }
}

/// The kind of end that it is when there is no modem to speak to.
pub(super) fn not_ready(error: &ReadyError, link: &Link) -> Ending {
    match error {
        ReadyError::Silent | ReadyError::Garbled { .. } => Ending::ModemSilent,
        ReadyError::Refused { .. } => Ending::PeerMisbehaved,
        ReadyError::PortGone => port_gone(link),
    }
}

/// The kind of end that it is when the port went while the modem was spoken to.
pub(super) fn port_gone(link: &Link) -> Ending {
    match link.end() {
        // A terminal server takes the connection, says so, and hangs up.
        Some(LineEnd::PortGone(why)) if says_in_use(why) => Ending::PortLocked,
        Some(_) | None => Ending::NoSuchPort,
    }
}

fn dial_failure(number: &str, error: &DialError, link: &Link) -> Failure {
    let ending = match error {
        DialError::NotReady(error) => not_ready(error, link),
        DialError::Rejected { .. } => Ending::Rejected,
        DialError::NoService { .. } => Ending::NoDialtone,
        DialError::Busy | DialError::CallComingIn => Ending::Busy,
        DialError::NoAnswer | DialError::TimedOut { .. } => Ending::NoAnswer,
        DialError::NoCarrier => Ending::NoCarrier,
        DialError::NoDialtone => Ending::NoDialtone,
        DialError::Voice => Ending::Voice,
        DialError::Fax => Ending::Fax,
        DialError::Delayed { .. } => Ending::Delayed,
        DialError::Blacklisted => Ending::Blacklisted,
        DialError::Refused { .. } => Ending::PeerMisbehaved,
        DialError::PortGone => port_gone(link),
    };
    let why = match (error, link.end()) {
        (DialError::NotReady(ReadyError::PortGone) | DialError::PortGone, Some(LineEnd::PortGone(why))) => {
            why.clone()
        }
        (_, _) => error.to_string(),
    };
    Failure::new(ending, Stage::Dialling, format!("{number} on {}: {why}", link.name()))
}

/// Brings the modem on-hook. The port may have ended; then there is nothing to speak to.
pub(super) async fn hang_up(link: &mut Link, profile: &Profile, was_connected: bool) -> Result<(), String> {
    link.set_host_parity(None);
    link.disconnected();
    if let Some(LineEnd::PortGone(why)) = link.end() {
        return Err(why.clone());
    }
    let mut hang_up =
        if was_connected { HangUp::new(profile, link.leads_known()) } else { HangUp::make_sure(profile) };
    let outcome = link.drive(&mut hang_up, |_, _| Ok::<_, std::convert::Infallible>(())).await;
    match (outcome.unwrap_or_else(|never| match never {}), link.end()) {
        // It went away while it was told: nobody obeyed.
        (Ok(HungUp::LineGone), Some(LineEnd::PortGone(why))) => Err(why.clone()),
        (Ok(_), _) => Ok(()),
        (Err(error), _) => Err(error.to_string()),
    }
}

/// Whether a call that ended so leaves nothing to hang up: no number was dialled. (A modem that was not
/// heard from was tried to be hung up while it was woken.)
pub(super) fn never_dialled<T>(went: &Result<T, Failure>, report: &CallReport) -> bool {
    let Err(failure) = went else { return false };
    report.dials == 0
        && match failure.ending {
            Ending::ModemSilent => true,
            Ending::Interrupted => false,
            _ => failure.stage == Stage::Dialling,
        }
}

/// Ends what was begun with the modem, unless the user does not want to wait for that either, and has
/// asked twice. `up`: there was a carrier.
///
/// A terminal that goes away fails the call by what cannot be written to it, and sends SIGHUP a moment
/// later: the first signal that comes in here must not leave the modem off-hook. It is not forgotten: a
/// call that has failed was then ended by it, so that none is made after it.
pub(super) async fn end_call<T>(
    interrupted: &mut impl AsyncFnMut() -> &'static str,
    link: &mut Link,
    profile: &Profile,
    up: bool,
    went: &mut Result<T, Failure>,
) -> Result<(), String> {
    // A dial that was broken off half-way may have connected all the same.
    let in_call = link.end().is_none() && (up || ended_as(went, Ending::Interrupted));
    let mut asked = ended_as(went, Ending::Interrupted);
    let mut hanging_up = pin!(hang_up(link, profile, in_call));
    loop {
        let signal = tokio::select! {
            hung_up = &mut hanging_up => return hung_up,
            signal = interrupted() => signal,
        };
        if asked {
            return Err(format!("{signal} came while hanging up"));
        }
        asked = true;
        if let Err(failure) = went {
            *failure = Failure::new(Ending::Interrupted, failure.stage, format!("ended by {signal}"));
        }
    }
}

/// What the modem tells of a call that is over, where there was one and the modem is on-hook. Whoever
/// wants to stop does not wait for it.
pub(super) async fn told_afterwards<T>(
    interrupted: &mut impl AsyncFnMut() -> &'static str,
    link: &mut Link,
    profile: &Profile,
    went: &mut Result<T, Failure>,
    report: &mut CallReport,
) {
    if report.off_hook.is_some() || report.connect.is_none() || ended_as(went, Ending::Interrupted) {
        return;
    }
    let was_lost = ended_as(went, Ending::CarrierLost);
    report.statistics = tokio::select! {
        said = statistics(link, profile, was_lost) => said,
        _ = interrupted() => Vec::new(),
    };
    if let (true, Err(failure)) = (was_lost, went)
        && let Some(reason) = reason(profile, &report.statistics)
    {
        failure.message = format!("{} (the modem adds: {reason})", failure.message);
    }
}

fn ended_as<T>(went: &Result<T, Failure>, ending: Ending) -> bool {
    matches!(went, Err(failure) if failure.ending == ending)
}

/// The command lines that dialling `number` sends, in their order, each with the longest wait for its
/// answer.
pub fn plan(profile: &Profile, line: &LineConfig, number: &str) -> Result<Vec<Planned>, Failure> {
    let set_up = SetUp { choices: line.modem_use.choices.clone(), ..SetUp::default() };
    let dial = Dial::new(profile.clone(), &set_up, &line.rules, number, line.modem_use.dial_wait)
        .map_err(|bad| Failure::new(Ending::Config, Stage::Preparing, bad))?;
    Ok(dial.plan())
}

/// The same for waiting for a call and taking it.
pub fn plan_to_answer(profile: &Profile, line: &LineConfig, answering: Answering) -> Vec<Planned> {
    let set_up = SetUp { choices: line.modem_use.choices.clone(), ..SetUp::default() };
    Answer::new(profile.clone(), &set_up, answering).plan()
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
        DialError::NotReady(_) | DialError::CallComingIn | DialError::PortGone => return None,
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

/// What the modem says about the call that is over (`ATI6`, `AT&V1`), where its profile asks, and why
/// it ended (`AT+CEER`) if nobody here wanted that.
async fn statistics(link: &mut Link, profile: &Profile, was_lost: bool) -> Vec<Said> {
    let cause = if was_lost { &profile.cause[..] } else { &[] };
    let questions: Vec<String> = profile.statistics.iter().chain(cause).cloned().collect();
    let said = ask(link, profile, &questions).await;
    said.into_iter().filter(|said| said.ok && !said.lines.is_empty()).collect()
}

/// The lines of a modem's statistics that say why a call ended.
fn reason(profile: &Profile, statistics: &[Said]) -> Option<String> {
    let is_cause = |said: &Said| profile.cause.iter().any(|cause| said.command == format!("AT{cause}"));
    let says_why = |line: &&String| line.to_ascii_lowercase().contains("reason");
    let lines = statistics
        .iter()
        .flat_map(|said| said.lines.iter().filter(move |line| is_cause(said) || says_why(line)));
    let lines: Vec<&str> = lines.take(REASON_LINES_MAX).map(|line| line.trim()).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
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

/// Lines of a modem's statistics that stand in a failure's message.
const REASON_LINES_MAX: usize = 3;
