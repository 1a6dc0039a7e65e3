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
pub(super) use super::link::wall_now as now;
use super::link::{LineEnd, Link};
use super::opening::open;
use super::transcript::Transcript;
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::config::{AccountConfig, Config, LineConfig};
use crate::login::{Credentials, Login, LoginError, LoginLimits, PromptLook};
use crate::machine::Machine;
use crate::modem::{ConnectInfo, Said};
use crate::secret::Secret;
use crate::shell::{HostFacts, Open, OpenOptions, REPLY_BYTES_MAX, Reply, Shell, ShellError};
use crate::store::dials::Dials;

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
}

impl CallPlan {
    /// A plan for `account` as configured.
    pub fn new(config: &Config, account: &AccountConfig, password: Option<Secret>, nonce: u32) -> Self {
        let lines = account
            .lines
            .iter()
            .filter_map(|name| config.lines.get(name).map(|line| (name.clone(), line.clone())))
            .collect();
        Self { lines, account: account.clone(), password, nonce, dials: None }
    }
}

/// What a call cost, however it ended.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct CallReport {
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

    /// Bits a second that the line carries from the host, as far as known.
    pub fn rate(&self) -> Option<u32> {
        self.link.rate_down()
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

/// Makes a whole call: to a shell, `work` in it, and back to on-hook.
///
/// `interrupted` answers with a signal's name when the user wants to stop; asked a second time while
/// the modem is being hung up, it ends that too.
pub async fn call<T>(
    plan: &CallPlan,
    transcript: Transcript,
    watch: Watch<'_>,
    mut interrupted: impl AsyncFnMut() -> &'static str,
    work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, Failure>,
) -> (Result<T, Failure>, CallReport) {
    let mut report = CallReport::default();
    let (mut link, line) = match open_first_free(plan, transcript, watch).await {
        Ok(opened) => opened,
        Err(failure) => return (Err(failure), report),
    };
    let mut carrier_since = line.modem.is_none().then(now);
    // Whatever breaks the call off, it is told where that happened.
    let stage = Cell::new(Stage::Opening);
    let mut noting = |progress: Progress| {
        if let Progress::Stage(begun, _) = &progress {
            stage.set(*begun);
        }
        watch(progress);
    };
    let mut went = {
        let going =
            to_the_shell_and_back(plan, line, &mut link, &mut noting, &mut report, &mut carrier_since, work);
        // A panic must not leave the modem off-hook: it ends the call as any failure does.
        let going = AssertUnwindSafe(going).catch_unwind();
        tokio::select! {
            went = going => went.unwrap_or_else(|panic| Err(Failure::new(Ending::Bug, stage.get(), what_panicked(&*panic)))),
            signal = interrupted() => Err(Failure::new(Ending::Interrupted, stage.get(), format!("ended by {signal}"))),
        }
    };
    let idle = never_dialled(&went, &report);
    if let Some(profile) = line.modem.as_ref().filter(|_| !idle) {
        watch(Progress::Stage(Stage::HangingUp, String::new()));
        let carrier_until = link.ended_at();
        let profile = at_the_end(plan, profile);
        let up = carrier_since.is_some();
        report.off_hook = end_call(&mut interrupted, &mut link, &profile, up, &went).await.err();
        report.call_time += between(carrier_since, carrier_until.unwrap_or_else(now));
        told_afterwards(&mut interrupted, &mut link, &profile, &mut went, &mut report).await;
    } else {
        report.call_time += between(carrier_since, now());
    }
    report.bytes_down = link.bytes_down;
    report.bytes_up = link.bytes_up;
    (went, report)
}

fn between(since: Option<Instant>, until: Instant) -> Duration {
    since.map_or(Duration::ZERO, |since| until.saturating_duration_since(since))
}

/// Opens the first line that no other program has.
async fn open_first_free<'a>(
    plan: &'a CallPlan,
    transcript: Transcript,
    watch: Watch<'_>,
) -> Result<(Link, &'a LineConfig), Failure> {
    let mut locked = None;
    for (name, config) in &plan.lines {
        watch(Progress::Stage(Stage::Opening, name.clone()));
        match open(config).await {
            Ok(line) => {
                for warning in line.warnings() {
                    watch(Progress::Note(warning.clone()));
                }
                return Ok((Link::new(line, transcript), config));
            }
            Err(failure) if failure.ending == Ending::PortLocked => locked = Some(failure),
            Err(failure) => return Err(failure),
        }
    }
    Err(locked.unwrap_or_else(|| Failure::new(Ending::Config, Stage::Opening, "the account names no line")))
}

#[allow(clippy::too_many_arguments)] // the parts of one call, each borrowed for its length only
async fn to_the_shell_and_back<T>(
    plan: &CallPlan,
    line: &LineConfig,
    link: &mut Link,
    watch: Watch<'_>,
    report: &mut CallReport,
    carrier_since: &mut Option<Instant>,
    work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let shell = reach(plan, line, link, watch, report, carrier_since).await?;
    let facts = shell.facts().clone();
    let mut session = Session { link, shell, facts, watch };
    let worked = work(&mut session).await;
    // The host hangs up when its session ends, which is the quickest way off the line.
    if worked.is_ok() {
        session.link.leaving();
        let mut leave = session.shell.leave();
        let _ = session.drive(&mut leave).await; // the modem is hung up in any case
    }
    worked
}

pub(super) async fn log_in(
    plan: &CallPlan,
    user: Option<&str>,
    link: &mut Link,
    watch: Watch<'_>,
) -> Result<PromptLook, Failure> {
    let user = user.map(str::to_owned);
    watch(Progress::Stage(Stage::LoggingIn, user.clone().unwrap_or_default()));
    if let Some(password) = &plan.password {
        link.transcript.hide(password.clone());
    }
    let credentials = Credentials { user, password: plan.password.clone() };
    let mut login = Login::new(credentials, LoginLimits::default());
    // What it tells on the way stands in the transcript already.
    let outcome = link.drive(&mut login, |_, _| Ok::<_, Failure>(())).await?;
    outcome.map(|logged_in| logged_in.look).map_err(|error| {
        let ending = match &error {
            LoginError::Refused { .. } => Ending::LoginRefused,
            LoginError::Expired { .. } => Ending::LoginExpired,
            LoginError::NoUser { .. } | LoginError::NoPassword { .. } => Ending::Config,
            LoginError::CarrierLost { .. } => Ending::CarrierLost,
            LoginError::NoPrompt { .. } | LoginError::Garbled { .. } => Ending::LoginTimeout,
        };
        match (&error, link.end()) {
            // A command's own last status says more than that its line is gone.
            (LoginError::CarrierLost { last }, Some(LineEnd::PortGone(_))) => {
                let gone = line_failure(Stage::LoggingIn, link);
                Failure { message: format!("{} ({last})", gone.message), ..gone }
            }
            (_, _) => Failure::new(ending, Stage::LoggingIn, error),
        }
    })
}

pub(super) async fn open_shell(
    plan: &CallPlan,
    link: &mut Link,
    watch: Watch<'_>,
    look: PromptLook,
) -> Result<Shell, Failure> {
    watch(Progress::Stage(Stage::Shell, String::new()));
    // Behind a prompt that the login knew, the line has been quiet for long enough already.
    let settle = if look == PromptLook::Shell { SETTLE_AT_PROMPT } else { OpenOptions::default().settle };
    let mut open = Open::new(plan.nonce, OpenOptions { settle, ..OpenOptions::default() });
    let outcome = link.drive(&mut open, |_, _| Ok::<_, Failure>(())).await?;
    outcome.map_err(|error| shell_failure(Stage::Shell, &error, link))
}

fn shell_failure(stage: Stage, error: &ShellError, link: &Link) -> Failure {
    let ending = match (link.end(), error) {
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
    Failure::new(ending, stage, error)
}

/// The line ended under us.
pub(super) fn line_failure(stage: Stage, link: &Link) -> Failure {
    let message = match link.end() {
        Some(LineEnd::PortGone(why)) => format!("{} has ended: {why}", link.name()),
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
/// Bytes a second that the slowest host digests (an old disk on NFS).
const HOST_READS_PER_SECOND: u64 = 4 * 1024 * 1024;
