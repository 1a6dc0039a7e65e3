//! Getting to a shell on the host, whoever makes the call: we dial, the host calls back, or the host
//! calls by itself.

use std::time::{Duration, Instant};

use super::call::{CallPlan, CallReport, OnLine, now, open_shell};
use super::dialling::{connected, dial, hang_up, not_ready, port_gone, set_up, tell_ready};
use super::link::{LineEnd, Link};
use super::logging_in::log_in;
use super::recall::Recall;
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::config::{Calling, ModemUse};
use crate::login::{LoginEvent, PromptLook};
use crate::machine::{Machine, Output};
use crate::modem::answer::answering_no_more;
use crate::modem::{Answer, AnswerError, AnswerEvent, Answering, Profile};
use crate::shell::Shell;

/// From a line just opened to a shell.
pub(super) async fn reach(on: &mut OnLine<'_>) -> Result<Shell, Failure> {
    if let Some(shell) = connect(on).await? {
        return Ok(shell);
    }
    let user = on.plan.account.user.as_deref();
    let logged_in = log_in(on.plan, user, on.link, on.watch, on.recall, &mut in_transcript).await?;
    open_shell(on.plan, on.link, on.watch, &logged_in, on.recall).await
}

/// From a line just opened to a host that waits for a login. A shell, if a host that was to call back has
/// given one instead.
pub(super) async fn connect(on: &mut OnLine<'_>) -> Result<Option<Shell>, Failure> {
    let OnLine { plan, line, link, watch, report, carrier_since, begun: _, recall: _ } = on;
    let user = plan.account.user.as_deref();
    let (numbers, dials) = (&plan.account.phones, plan.dials.as_ref());
    match (&line.modem, &plan.account.calling) {
        (None, _) => {}
        (Some(_), Calling::WeCall) => dial(numbers, dials, line, link, watch, report).await?,
        (Some(profile), &Calling::HostCalls { wait, rings, by_modem }) => {
            let answering = Answering { wait, rings, by_modem };
            await_call(answering, profile, &line.modem_use, link, watch, report)
                .await?
                .map_err(|error| answer_failure(&error, link, None))?;
        }
        (Some(profile), Calling::HostCallsBack { wait, user: first_user, rings }) => {
            dial(numbers, dials, line, link, watch, report).await?;
            **carrier_since = Some(now());
            let first_user = first_user.as_deref().or(user);
            if let Some(shell) = ask_to_call_back(plan, first_user, link, watch).await? {
                watch(Progress::Note(
                    "the host has not hung up to call back; going on with this call".into(),
                ));
                return Ok(Some(shell));
            }
            end_first_call(profile, link, watch, report, carrier_since).await?;
            let answering = Answering { wait: *wait, rings: *rings, by_modem: false };
            await_call(answering, profile, &line.modem_use, link, watch, report)
                .await?
                .map_err(|error| answer_failure(&error, link, Some(*wait)))?;
        }
    }
    carrier_since.get_or_insert_with(now);
    Ok(None)
}

/// The profile by which a call is hung up at its end: a modem that answered by itself is to stop it.
pub(super) fn at_the_end(plan: &CallPlan, profile: &Profile) -> Profile {
    match plan.account.calling {
        Calling::HostCalls { by_modem: true, .. } => answering_no_more(profile),
        Calling::HostCalls { by_modem: false, .. } | Calling::HostCallsBack { .. } | Calling::WeCall => {
            profile.clone()
        }
    }
}

/// Logs in on a host that is to hang up then. A shell if it does not, and `None` once the first call
/// has done its work.
///
/// Loss of the carrier is what is hoped for here, at any moment: some hosts know the caller by his
/// number and ask nothing. If the line was at fault instead, nobody calls back, and that is said.
async fn ask_to_call_back(
    plan: &CallPlan,
    user: Option<&str>,
    link: &mut Link,
    watch: Watch<'_>,
) -> Result<Option<Shell>, Failure> {
    // What is remembered is of the call that the host makes.
    let mut nothing = Recall::default();
    let logged_in = match log_in(plan, user, link, watch, &mut nothing, &mut in_transcript).await {
        Ok(logged_in) => logged_in,
        Err(_) if carrier_lost(link) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let look = logged_in.look;
    if look != PromptLook::Shell {
        // `Calling you back` and nothing behind it: whatever is typed now might stop that.
        let mut wait = UntilHungUp { wait: HOST_HANGS_UP_WAIT, until: None, over: false };
        link.drive(&mut wait, |_, never: std::convert::Infallible| -> Result<(), Failure> { match never {} })
            .await?;
        if carrier_lost(link) {
            return Ok(None);
        }
    }
    match open_shell(plan, link, watch, &logged_in, &mut nothing).await {
        Ok(shell) => Ok(Some(shell)),
        Err(_) if carrier_lost(link) => Ok(None),
        Err(failure) if failure.ending == Ending::LoginTimeout && look != PromptLook::Shell => {
            let note = "the host gives no shell and has not hung up; hanging up, so that it can call back";
            watch(Progress::Note(note.to_owned()));
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// What the login tells on the way stands in the transcript already.
fn in_transcript(_: LoginEvent) {}

fn carrier_lost(link: &Link) -> bool {
    link.end() == Some(&LineEnd::CarrierLost)
}

/// Brings the modem on-hook, so that it can be called.
async fn end_first_call(
    profile: &Profile,
    link: &mut Link,
    watch: Watch<'_>,
    report: &mut CallReport,
    carrier_since: &mut Option<Instant>,
) -> Result<(), Failure> {
    let ended_at = link.ended_at().unwrap_or_else(now);
    if let Some(since) = carrier_since.take() {
        report.call_time += ended_at.saturating_duration_since(since);
    }
    let still_up = link.end().is_none();
    if !still_up {
        watch(Progress::Note("the host has hung up".to_owned()));
    }
    hang_up(link, profile, still_up).await.map_err(|why| {
        let message = format!("the modem is not on-hook, so nobody can call it back: {why}");
        Failure::new(Ending::ModemSilent, Stage::HangingUp, message)
    })
}

/// Waits for a call and answers it.
async fn await_call(
    answering: Answering,
    profile: &Profile,
    modem_use: &ModemUse,
    link: &mut Link,
    watch: Watch<'_>,
    report: &mut CallReport,
) -> Result<Result<(), AnswerError>, Failure> {
    watch(Progress::Stage(Stage::AwaitingCall, String::new()));
    let mut answer = Answer::new(profile.clone(), &set_up(link, modem_use), answering);
    let outcome = link
        .drive(&mut answer, |_, event| {
            match event {
                AnswerEvent::Ready(event) => tell_ready(watch, event),
                AnswerEvent::Waiting => {
                    let seconds = answering.wait.as_secs();
                    watch(Progress::Note(format!("ready to be called, for {seconds} s")));
                }
                AnswerEvent::Rings(1) => watch(Progress::Note("it rings".to_owned())),
                AnswerEvent::Rings(_) => {}
                AnswerEvent::Answers(caller) => {
                    watch(Progress::Note(format!("answering; {caller} is calling")));
                }
                AnswerEvent::Note(note) => watch(Progress::Note(note)),
            }
            Ok::<_, Failure>(())
        })
        .await?;
    Ok(outcome.map(|connect| connected(connect, link, watch, report)))
}

/// `asked` is how long a host was waited for that had been asked to call back.
fn answer_failure(error: &AnswerError, link: &Link, asked: Option<Duration>) -> Failure {
    let ending = match error {
        AnswerError::NotReady(error) => not_ready(error, link),
        AnswerError::NobodyCalled { .. } | AnswerError::StoppedRinging => Ending::NoAnswer,
        AnswerError::NoCarrier => Ending::NoCarrier,
        AnswerError::Refused { .. } => Ending::PeerMisbehaved,
        AnswerError::PortGone => port_gone(link),
    };
    let message = match (error, asked) {
        (AnswerError::NobodyCalled { .. }, Some(wait)) => {
            format!("the host did not call back within {} s", wait.as_secs())
        }
        (_, _) => format!("{}: {error}", link.name()),
    };
    Failure::new(ending, Stage::AwaitingCall, message)
}

/// Waits until the host hangs up, and says nothing meanwhile.
struct UntilHungUp {
    wait: Duration,
    until: Option<Instant>,
    over: bool,
}

impl Machine for UntilHungUp {
    type Event = std::convert::Infallible;
    type Outcome = ();

    /// What the host says is for the shell, should there be one.
    fn handle_input(&mut self, _now: Instant, _bytes: &[u8]) -> usize {
        0
    }

    fn handle_hangup(&mut self, _now: Instant) {
        self.over = true;
    }

    fn handle_timeout(&mut self, _now: Instant) {
        self.over = true;
    }

    fn poll_output(&mut self, now: Instant) -> Output<Self::Event, Self::Outcome> {
        let until = *self.until.get_or_insert(now + self.wait);
        if self.over { Output::Done(()) } else { Output::Wait(Some(until)) }
    }
}

/// How long a host that has taken the login may take to hang up.
const HOST_HANGS_UP_WAIT: Duration = Duration::from_secs(20);
