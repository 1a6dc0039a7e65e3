//! Logging in, and the one question on the way that only a person can answer: is this the host's key?

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::{CallPlan, line_failure};
use super::link::{LineEnd, Link};
use super::recall::Recall;
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::login::{Credentials, LoggedIn, Login, LoginError, LoginEvent, LoginLimits};
use crate::machine::{Machine, Output, Transmit};

/// Shows a person a question of `ssh` about a host's key, and says whether the answer was yes. It may
/// block for as long as the person likes.
#[derive(Clone)]
pub struct AskPerson(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl AskPerson {
    /// Asks in this way.
    pub fn new(ask: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// The answer, or no if there is none in time: `ssh` has connected, and the host does not wait.
    async fn says_yes(&self, question: String) -> bool {
        let ask = Arc::clone(&self.0);
        let (answer, answered) = tokio::sync::oneshot::channel();
        // A thread of its own, which nobody waits for: a call that is interrupted ends while it reads.
        let asking = std::thread::Builder::new().name("question".into()).spawn(move || {
            let _ = answer.send(ask(&question)); // the call may be over
        });
        asking.is_ok() && matches!(tokio::time::timeout(PERSON_WAIT, answered).await, Ok(Ok(true)))
    }
}

impl std::fmt::Debug for AskPerson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AskPerson")
    }
}

pub(super) async fn log_in(
    plan: &CallPlan,
    user: Option<&str>,
    link: &mut Link,
    watch: Watch<'_>,
    recall: &mut Recall,
    said: &mut dyn FnMut(LoginEvent),
) -> Result<LoggedIn, Failure> {
    let user = user.map(str::to_owned);
    watch(Progress::Stage(Stage::LoggingIn, user.clone().unwrap_or_default()));
    if let Some(password) = &plan.password {
        link.transcript.hide(password.clone());
    }
    let credentials = Credentials { user, password: plan.password.clone() };
    let mut outcome = try_once(&credentials, link, recall, said).await?;
    // A host that is reached through another is asked about too.
    for _ in 0..HOST_KEYS_MAX {
        let (Err(LoginError::HostKeyUnknown { last }), Some(person)) = (&outcome, &plan.ask) else { break };
        if !person.says_yes(last.lines().join("\n")).await {
            let message = "the host's key was not said to be right";
            return Err(Failure::new(Ending::Config, Stage::LoggingIn, message));
        }
        say(YES, link).await?;
        outcome = try_once(&credentials, link, recall, said).await?;
    }
    let logged_in = outcome.map_err(|error| failure(error, link))?;
    if logged_in.seven_bit {
        link.host_sends_seven_bits();
        watch(Progress::Note("the host sends seven bits and parity".to_owned()));
    }
    Ok(logged_in)
}

async fn try_once(
    credentials: &Credentials,
    link: &mut Link,
    recall: &mut Recall,
    said: &mut dyn FnMut(LoginEvent),
) -> Result<Result<LoggedIn, LoginError>, Failure> {
    let login = Login::new(credentials.clone(), LoginLimits::default());
    let mut login = login.knowing_prompt(recall.prompt());
    let told = link.drive(&mut login, |_, event| {
        if event == LoginEvent::SentPassword {
            recall.password_sent();
        }
        said(event);
        Ok::<_, Failure>(())
    });
    told.await
}

fn failure(error: LoginError, link: &Link) -> Failure {
    let ending = match &error {
        LoginError::Refused { .. } => Ending::LoginRefused,
        LoginError::Expired { .. } => Ending::LoginExpired,
        LoginError::NoUser { .. }
        | LoginError::NoPassword { .. }
        | LoginError::HostKeyUnknown { .. }
        | LoginError::KeyLocked { .. } => Ending::Config,
        LoginError::HostKeyRefused { .. } => Ending::PeerMisbehaved,
        LoginError::CarrierLost { .. } => Ending::CarrierLost,
        LoginError::NoPrompt { .. } | LoginError::Garbled { .. } | LoginError::Illegible { .. } => {
            Ending::LoginTimeout
        }
    };
    match (&error, link.end()) {
        // A command's own last status says more than that its line is gone.
        (LoginError::CarrierLost { last }, Some(LineEnd::PortGone(why))) => {
            let message = format!("{} has ended: {why} ({last})", link.name());
            Failure { message, ..line_failure(Stage::LoggingIn, link) }
        }
        (_, _) => Failure::new(ending, Stage::LoggingIn, error),
    }
}

/// Sends a line.
async fn say(line: &'static [u8], link: &mut Link) -> Result<(), Failure> {
    link.drive(&mut Say { line: Some(line) }, |_, never: std::convert::Infallible| match never {}).await
}

struct Say {
    line: Option<&'static [u8]>,
}

impl Machine for Say {
    type Event = std::convert::Infallible;
    type Outcome = ();

    fn handle_input(&mut self, _now: Instant, _bytes: &[u8]) -> usize {
        0 // for who comes next
    }

    fn handle_hangup(&mut self, _now: Instant) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<Self::Event, Self::Outcome> {
        self.line.take().map_or(Output::Done(()), |line| Output::Transmit(Transmit::plain(line)))
    }
}

const YES: &[u8] = b"yes\r";
/// Host keys that a person is asked about in one login.
const HOST_KEYS_MAX: usize = 4;
/// sshd's LoginGraceTime is 120 s unless its keeper has set another.
const PERSON_WAIT: Duration = Duration::from_secs(100);
