//! One call: open a line, dial, log in, get a shell, do the work, log out, hang up.
//!
//! However the work ends (done, failed, a signal, a panic), the way out is the same: the shell is
//! left, and a modem that was dialled is brought on-hook and asked whether it is.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::calling::{at_the_end, reach};
use super::dialling::{end_call, never_dialled, told_afterwards};
use super::hunt::{self, Says};
pub(super) use super::link::wall_now as now;
use super::link::{LineEnd, Link};
use super::logging_in::AskPerson;
use super::opening::open_unless;
use super::transcript::Transcript;
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::config::{AccountConfig, Config, LineConfig};
use crate::login::{LoggedIn, PromptLook};
use crate::machine::Machine;
use crate::modem::{ConnectInfo, Said};
use crate::secret::{Masks, Secret};
use crate::shell::{HostFacts, Open, OpenOptions, REPLY_BYTES_MAX, Reply, Shell, ShellError};
use crate::store::dials::Dials;
use crate::store::troubles::Troubles;

/// Everything a call needs to know before it begins.
#[derive(Debug)]
pub struct CallPlan {
    /// Lines in the order in which they are tried, with their names.
    pub lines: Vec<(String, LineConfig)>,
    /// The account: numbers, user, mailbox.
    pub account: AccountConfig,
    /// The password, fetched before line time is paid for.
    pub password: Option<Secret>,
    /// Marks this call's replies, so that nothing else on the terminal is taken for one.
    pub nonce: u32,
    /// What became of earlier dials; `None` remembers nothing.
    pub dials: Option<Dials>,
    /// Which lines failed lately; `None` remembers nothing.
    pub troubles: Option<Troubles>,
    /// Who is asked whether a host's key is right; `None` where nobody is there.
    pub ask: Option<AskPerson>,
}

impl CallPlan {
    /// A plan for `account` as configured.
    pub fn new(config: &Config, account: &AccountConfig, password: Option<Secret>, nonce: u32) -> Self {
        let lines = account
            .lines
            .iter()
            .filter_map(|name| config.lines.get(name).map(|line| (name.clone(), line.clone())))
            .collect();
        Self { lines, account: account.clone(), password, nonce, dials: None, troubles: None, ask: None }
    }
}

/// What a call cost, however it ended.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct CallReport {
    /// The line that was used; `None` if none of several could be.
    pub line: Option<String>,
    /// What the modem said on connecting.
    pub connect: Option<ConnectInfo>,
    /// What the modem said about the call once it was over, where its profile asks.
    pub statistics: Vec<Said>,
    /// Numbers dialled.
    pub dials: u32,
    /// Of these, the ones that met no carrier.
    pub no_carriers: Vec<String>,
    /// For how long the modem refuses to dial, where it said so.
    pub delayed: Option<Duration>,
    /// All bytes received, from the modem's first answer to its last.
    pub bytes_down: u64,
    /// All bytes sent.
    pub bytes_up: u64,
    /// From carrier (or the start of the command) to its loss or to on-hook, over all calls made.
    pub call_time: Duration,
    /// Why the modem may still be off-hook.
    pub off_hook: Option<String>,
}

impl CallReport {
    /// Adds what came next: another line, another call. What only the last can say is the last's.
    pub fn add(&mut self, next: &Self) {
        self.line.clone_from(&next.line);
        self.dials += next.dials;
        self.no_carriers.extend_from_slice(&next.no_carriers);
        self.delayed = next.delayed;
        self.bytes_down += next.bytes_down;
        self.bytes_up += next.bytes_up;
        self.call_time += next.call_time;
        // Of the last call that connected.
        if next.connect.is_some() {
            self.connect.clone_from(&next.connect);
            self.statistics.clone_from(&next.statistics);
        }
        self.off_hook.clone_from(&next.off_hook);
    }
}

/// A call with a shell at the other end.
pub struct Session<'a> {
    link: &'a mut Link,
    /// The shell on the host.
    pub shell: Shell,
    /// What the host has.
    pub facts: HostFacts,
    watch: Watch<'a>,
}

impl Session<'_> {
    /// Tells whoever watches.
    pub fn tell(&mut self, progress: Progress) {
        (self.watch)(progress);
    }

    /// What is hidden in this call, for whoever shows what the host has said.
    pub fn masks(&self) -> Masks {
        self.link.transcript.masks()
    }

    /// Bits a second that the line carries from the host, as far as known.
    pub fn rate(&self) -> Option<u32> {
        self.link.rate_down()
    }

    /// Bits a second that the line carries to the host, as far as known.
    pub fn rate_up(&self) -> Option<u32> {
        self.link.rate()
    }

    /// Whether the line is still there.
    pub fn is_up(&self) -> bool {
        self.link.end().is_none()
    }

    /// Whether only seven bits of a byte pass for sure.
    pub fn cuts_eighth_bit(&self) -> bool {
        self.link.cuts_eighth_bit()
    }

    /// Whether bytes above 127 pass on this line, both ways. Where they do not, the other end is asked to
    /// let them, if there is one to ask.
    pub async fn passes_eight_bits(&mut self, stage: Stage) -> Result<bool, Failure> {
        if !self.link.eight_bit() && self.link.ask_eight_bit() {
            self.run(":", stage, 0).await?; // what was asked before it is answered before it
        }
        Ok(self.link.eight_bit())
    }

    /// Runs one command and gives what it printed and how it ended.
    ///
    /// The host may be silent while it reads `bytes` of a file, and no longer.
    pub async fn run(&mut self, command: &str, stage: Stage, bytes: u64) -> Result<Reply, Failure> {
        self.run_beyond(Duration::ZERO, command, stage, bytes).await
    }

    /// The same for a command that may be silent for `more` beside.
    pub(super) async fn run_beyond(
        &mut self,
        more: Duration,
        command: &str,
        stage: Stage,
        bytes: u64,
    ) -> Result<Reply, Failure> {
        let wait = RUN_WAIT + more + Duration::from_secs(bytes / HOST_READS_PER_SECOND);
        let mut run = self.shell.run_limited(command, wait, REPLY_BYTES_MAX);
        let outcome = self.link.drive(&mut run, |_, _| Ok::<_, Failure>(())).await?;
        outcome.map_err(|error| shell_failure(stage, &error, self.link))
    }

    /// Pumps a machine that carries payload; its events are told to `on_event`.
    pub async fn carry<M: Machine, E>(
        &mut self,
        machine: &mut M,
        mut on_event: impl FnMut(&mut dyn FnMut(Progress), M::Event) -> Result<(), E>,
    ) -> Result<M::Outcome, E> {
        self.link.transcript.begin_payload(now());
        let watch = &mut *self.watch;
        let outcome = self.link.drive(machine, |_, event| on_event(watch, event)).await;
        self.link.transcript.end_payload(now());
        outcome
    }

    /// Pumps a machine whose events nobody needs.
    pub async fn drive<M: Machine>(&mut self, machine: &mut M) -> M::Outcome {
        let outcome = self.link.drive(machine, |_, _| Ok::<_, std::convert::Infallible>(())).await;
        outcome.unwrap_or_else(|never| match never {})
    }

    /// What a shell's error means for the call.
    pub fn failure(&self, stage: Stage, error: &ShellError) -> Failure {
        shell_failure(stage, error, self.link)
    }
}

/// Makes a whole call: to a shell, `work` in it, and back to on-hook. The account's lines are tried in
/// turn as long as nothing was dialled (see [`super::hunt`]).
///
/// `interrupted` answers with a signal's name when the user wants to stop; asked a second time while
/// the modem is being hung up, it ends that too.
pub async fn call<T>(
    plan: &CallPlan,
    transcript: Transcript,
    watch: Watch<'_>,
    interrupted: impl AsyncFnMut() -> &'static str,
    work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, Failure>,
) -> (Result<T, Failure>, CallReport) {
    let mut work = Some(work);
    let what = async |mut on: OnLine<'_>| to_the_shell_and_back(&mut on, &mut work).await;
    on_a_line(plan, transcript, watch, interrupted, what).await
}

/// A line that is open, and what belongs to the call on it.
pub(super) struct OnLine<'a> {
    pub(super) plan: &'a CallPlan,
    pub(super) line: &'a LineConfig,
    pub(super) link: &'a mut Link,
    pub(super) watch: Watch<'a>,
    pub(super) report: &'a mut CallReport,
    /// From when on a call is up.
    pub(super) carrier_since: &'a mut Option<Instant>,
    /// What the call is for has begun: from now on no other line is tried.
    pub(super) begun: &'a mut bool,
}

/// Opens the account's lines in turn until `what` can be done on one, and brings each modem on-hook,
/// however that ended.
pub(super) async fn on_a_line<T>(
    plan: &CallPlan,
    mut transcript: Transcript,
    watch: Watch<'_>,
    mut interrupted: impl AsyncFnMut() -> &'static str,
    mut what: impl AsyncFnMut(OnLine<'_>) -> Result<T, Failure>,
) -> (Result<T, Failure>, CallReport) {
    let mut total = CallReport::default();
    let mut begun = false;
    let mut failed = Vec::new();
    let lines = hunt::in_order(plan, watch);
    for (place, (name, line)) in lines.iter().enumerate() {
        let (went, report) =
            on_line(plan, (name, line), &mut transcript, watch, &mut interrupted, &mut what, &mut begun)
                .await;
        total.add(&report);
        total.line = Some(name.clone());
        let failure = match went {
            Ok(done) => {
                hunt::remember(plan, name, Says::Works, watch);
                return (Ok(done), total);
            }
            Err(failure) => failure,
        };
        let trial = hunt::Trial::new(line, &report);
        hunt::remember(plan, name, hunt::says(&failure, trial), watch);
        // A modem that is not on-hook wants a person first; so does a signal that came meanwhile.
        if begun || report.off_hook.is_some() || !hunt::passes_on(&failure, trial) {
            return (Err(failure), total);
        }
        if let Some((next, _)) = lines.get(place + 1) {
            watch(Progress::Note(format!("line {name} cannot be used, so {next} is tried. {failure}")));
        }
        failed.push((name.clone(), failure));
    }
    total.line = total.line.filter(|_| failed.len() == 1);
    let no_line = || Failure::new(Ending::Config, Stage::Opening, "the account names no line");
    (Err(hunt::says_most(failed).unwrap_or_else(no_line)), total)
}

/// The same on one line.
#[allow(clippy::too_many_arguments)] // what outlives the single line, each borrowed for it
async fn on_line<T>(
    plan: &CallPlan,
    (name, line): (&str, &LineConfig),
    transcript: &mut Transcript,
    watch: Watch<'_>,
    interrupted: &mut impl AsyncFnMut() -> &'static str,
    what: &mut impl AsyncFnMut(OnLine<'_>) -> Result<T, Failure>,
    begun: &mut bool,
) -> (Result<T, Failure>, CallReport) {
    let mut report = CallReport::default();
    watch(Progress::Stage(Stage::Opening, name.to_owned()));
    let opened = match open_unless(line, plan.account.user.as_deref(), interrupted, watch).await {
        Ok(opened) => opened,
        Err(failure) => return (Err(failure), report),
    };
    let mut link = Link::new(opened, std::mem::replace(transcript, Transcript::silent()));
    if let Some(password) = &plan.password {
        link.transcript.hide(password);
    }
    let masks = link.transcript.masks();
    let mut carrier_since = line.modem.is_none().then(now);
    // Whatever breaks the call off, it is told where that happened.
    let stage = Cell::new(Stage::Opening);
    let mut noting = |progress: Progress| {
        if let Progress::Stage(begun, _) = &progress {
            stage.set(*begun);
        }
        watch(match progress {
            Progress::Note(note) => Progress::Note(masks.message(&note)),
            other @ (Progress::Stage(..) | Progress::Bytes { .. }) => other,
        });
    };
    let mut went = {
        let going = what(OnLine {
            plan,
            line,
            link: &mut link,
            watch: &mut noting,
            report: &mut report,
            carrier_since: &mut carrier_since,
            begun,
        });
        // A panic must not leave the modem off-hook: it ends the call as any failure does.
        let going = AssertUnwindSafe(going).catch_unwind();
        tokio::select! {
            went = going => went.unwrap_or_else(|panic| Err(Failure::new(Ending::Bug, stage.get(), what_panicked(&*panic)))),
            signal = interrupted() => Err(Failure::new(Ending::Interrupted, stage.get(), format!("ended by {signal}"))),
        }
    };
    let idle = never_dialled(&went, &report) || link.stays_up();
    if let Some(profile) = line.modem.as_ref().filter(|_| !idle) {
        watch(Progress::Stage(Stage::HangingUp, String::new()));
        let carrier_until = link.ended_at();
        let profile = at_the_end(plan, profile);
        let up = carrier_since.is_some();
        report.off_hook = end_call(interrupted, &mut link, &profile, up, &mut went).await.err();
        report.call_time += between(carrier_since, carrier_until.unwrap_or_else(now));
        told_afterwards(interrupted, &mut link, &profile, &mut went, &mut report).await;
    } else {
        report.call_time += between(carrier_since, now());
    }
    if went.is_ok() && line.modem.is_none() {
        // The last word to the shell is out before DTR falls.
        link.drain(LAST_WORD_MAX).await;
    }
    link.close().await;
    report.bytes_down = link.bytes_down;
    report.bytes_up = link.bytes_up;
    *transcript = link.transcript;
    hide_in_report(&masks, &mut report);
    let hidden = |failure: Failure| Failure { message: masks.message(&failure.message), ..failure };
    (went.map_err(hidden), report)
}

/// A modem may say what it still has of another call, and so may who is in its way.
fn hide_in_report(masks: &Masks, report: &mut CallReport) {
    for said in &mut report.statistics {
        said.lines.iter_mut().for_each(|line| *line = masks.text(line));
    }
    if let Some(connect) = &mut report.connect {
        connect.text = masks.text(&connect.text);
    }
    report.off_hook = report.off_hook.as_deref().map(|why| masks.message(why));
}

fn between(since: Option<Instant>, until: Instant) -> Duration {
    since.map_or(Duration::ZERO, |since| until.saturating_duration_since(since))
}

async fn to_the_shell_and_back<T>(
    on: &mut OnLine<'_>,
    work: &mut Option<impl AsyncFnOnce(&mut Session<'_>) -> Result<T, Failure>>,
) -> Result<T, Failure> {
    let shell = reach(on).await?;
    let facts = shell.facts().clone();
    let mut session = Session { link: on.link, shell, facts, watch: on.watch };
    *on.begun = true;
    let Some(work) = work.take() else {
        let message = "this program has a defect: the work of a call was begun twice";
        return Err(Failure::new(Ending::Bug, Stage::Shell, message));
    };
    let worked = work(&mut session).await;
    // The host hangs up when its session ends, which is the quickest way off the line.
    if worked.is_ok() {
        session.link.leaving();
        let mut leave = session.shell.leave();
        let _ = session.drive(&mut leave).await; // the modem is hung up in any case
    }
    worked
}

pub(super) async fn open_shell(
    plan: &CallPlan,
    link: &mut Link,
    watch: Watch<'_>,
    logged_in: &LoggedIn,
) -> Result<Shell, Failure> {
    watch(Progress::Stage(Stage::Shell, String::new()));
    // Behind a prompt that the login knew, the line has been quiet for long enough already.
    let at_prompt = logged_in.look == PromptLook::Shell;
    let settle = if at_prompt { SETTLE_AT_PROMPT } else { OpenOptions::default().settle };
    let careful = !logged_in.is_surely_a_shell();
    let mut open = Open::new(plan.nonce, OpenOptions { settle, careful, ..OpenOptions::default() });
    let outcome = link.drive(&mut open, |_, _| Ok::<_, Failure>(())).await?;
    outcome.map_err(|error| shell_failure(Stage::Shell, &error, link))
}

fn shell_failure(stage: Stage, error: &ShellError, link: &Link) -> Failure {
    let ending = match (link.end(), error) {
        // The line that it refused may have logged us out.
        (_, ShellError::NoSh { .. } | ShellError::Multiplexed { .. }) => Ending::HostLacks,
        (Some(_), _) | (None, ShellError::CarrierLost { .. }) => return line_failure(stage, link),
        (None, ShellError::NotAShell { .. } | ShellError::Silent { .. }) if stage == Stage::Shell => {
            Ending::LoginTimeout
        }
        // It answered before and does not now: as good as cut off, and as worth another call.
        (None, ShellError::Silent { .. }) => Ending::CarrierLost,
        (None, ShellError::HostLacks { .. }) => Ending::HostLacks,
        (None, ShellError::TooNoisy { .. }) => Ending::TransferFailed,
        (
            None,
            ShellError::NotAShell { .. }
            | ShellError::ReplyTooLarge { .. }
            | ShellError::CommandTooLong { .. },
        ) => Ending::PeerMisbehaved,
    };
    let masks = link.transcript.masks();
    Failure::new(ending, stage, error.clone().masked(|said| masks.text(said)))
}

/// The line ended under us.
pub(super) fn line_failure(stage: Stage, link: &Link) -> Failure {
    let message = match link.end() {
        Some(LineEnd::PortGone(why)) => match link.last_words() {
            Some(said) => format!("{} has ended: {why}; the last it said: \"{said}\"", link.name()),
            None => format!("{} has ended: {why}", link.name()),
        },
        Some(LineEnd::CarrierLost) | None => "carrier lost: the call was cut off".to_owned(),
    };
    Failure::new(Ending::CarrierLost, stage, message)
}

impl Session<'_> {
    /// The line ended under us: the failure that says so.
    pub fn carrier_lost(&self, stage: Stage) -> Failure {
        line_failure(stage, self.link)
    }
}

pub(super) fn what_panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("this program has a defect: {}", text.unwrap_or("it panicked"))
}

/// The longest that the host may be silent over one command, beside what it takes to read a file.
const RUN_WAIT: Duration = Duration::from_secs(60);
/// Silence behind a known prompt before the shell is typed at.
const SETTLE_AT_PROMPT: Duration = Duration::from_millis(50);
/// How long the last bytes may take to leave the port: a modem may hold them back for ever.
const LAST_WORD_MAX: Duration = Duration::from_secs(2);
/// Bytes a second that the slowest host digests (an old disk on NFS).
const HOST_READS_PER_SECOND: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_calls_cost_is_added_up() {
        let call = CallReport {
            connect: Some(ConnectInfo::read("CONNECT")),
            statistics: vec![Said { command: "ATI6".into(), lines: vec!["x".into()], ok: true }],
            dials: 1,
            bytes_down: 10,
            bytes_up: 5,
            call_time: Duration::from_secs(2),
            off_hook: Some("silent".into()),
            ..CallReport::default()
        };
        let mut total = CallReport::default();
        total.add(&call);
        total.add(&CallReport { dials: 1, ..CallReport::default() });
        let expected = CallReport { dials: 2, off_hook: None, ..call };
        assert_eq!(total, expected);
    }
}
