//! Logging in, and the questions on the way that only a person can answer: is this the host's key, and what is
//! the one-time code?

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::by_script::by_script;
use super::call::{CallPlan, line_failure, now};
use super::link::{LineEnd, Link};
use super::{Ending, Failure, Progress, Stage, Watch, second_factor};
use crate::login::{Credentials, LoggedIn, Login, LoginError, LoginEvent, LoginLimits, LoginOutcome};
use crate::machine::{Machine, Output, Transmit};
use crate::secret::Secret;
use crate::shell::refusal::no_shell_given;

/// Asks a person what only a person can tell. It may block for as long as the person likes.
#[derive(Clone)]
pub struct AskPerson {
    says_yes: Ask<bool>,
    code: Ask<Option<Secret>>,
}

type Ask<T> = Arc<dyn Fn(&str) -> T + Send + Sync>;

impl AskPerson {
    /// Asks in these ways: shows a question of `ssh` about a host's key, and says whether the answer was yes;
    /// shows what the host says of a one-time code, and gives the code.
    pub fn new(
        says_yes: impl Fn(&str) -> bool + Send + Sync + 'static,
        code: impl Fn(&str) -> Option<Secret> + Send + Sync + 'static,
    ) -> Self {
        Self { says_yes: Arc::new(says_yes), code: Arc::new(code) }
    }

    /// The answer, or no if there is none in time: `ssh` has connected, and the host does not wait.
    async fn says_yes(&self, question: String) -> bool {
        let ask = Arc::clone(&self.says_yes);
        in_time(move || ask(&question)).await == Some(true)
    }

    /// The code, if it comes in time.
    pub(super) async fn code(&self, question: String) -> Option<Secret> {
        let ask = Arc::clone(&self.code);
        in_time(move || ask(&question)).await.flatten()
    }
}

/// What somebody tells who may block, or `None` if the host would not have waited for it.
///
/// He has a thread of his own, which nobody waits for: a call that is interrupted ends meanwhile.
pub(super) async fn in_time<T: Send + 'static>(asks: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let asking = std::thread::Builder::new().name("question".into()).spawn(move || {
        let _ = answer.send(asks()); // the call may be over
    });
    asking.ok()?;
    tokio::time::timeout(PERSON_WAIT, answered).await.ok()?.ok()
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
    said: &mut dyn FnMut(LoginEvent),
) -> Result<LoggedIn, Failure> {
    let user = user.map(str::to_owned);
    watch(Progress::Stage(Stage::LoggingIn, user.clone().unwrap_or_default()));
    let has_codes = plan.account.otp.is_some();
    let credentials = Credentials { user, password: plan.password.clone(), has_codes };
    if let Some(script) = &plan.account.login
        && let Some(logged_in) = by_script(script, &credentials, link, watch, said).await?
    {
        return Ok(noting_parity(logged_in, link, watch));
    }
    let mut password_sent = false;
    let said: &mut dyn FnMut(LoginEvent) = &mut |event: LoginEvent| {
        password_sent |= event == LoginEvent::SentPassword;
        said(event);
    };
    let outcome = answering(plan, &credentials, link, said).await?;
    let logged_in = outcome.map_err(|error| failure(error, password_sent, link))?;
    Ok(noting_parity(logged_in, link, watch))
}

fn noting_parity(logged_in: LoggedIn, link: &mut Link, watch: Watch<'_>) -> LoggedIn {
    if logged_in.seven_bit {
        link.host_sends_seven_bits();
        watch(Progress::Note("the host sends seven bits and parity".to_owned()));
    }
    logged_in
}

/// Logs in, and on the way gets the answers that only a person, or a program of the account, can give.
async fn answering(
    plan: &CallPlan,
    credentials: &Credentials,
    link: &mut Link,
    said: &mut dyn FnMut(LoginEvent),
) -> Result<LoginOutcome, Failure> {
    let new = || Login::new(credentials.clone(), LoginLimits::default());
    let mut login = new();
    let mut outcome = pump(&mut login, link, said).await?;
    // A host that is reached through another is asked about too, and has codes of its own.
    for _ in 0..QUESTIONS_MAX {
        match (&outcome, &plan.ask) {
            (Err(LoginError::HostKeyUnknown { last }), Some(person)) => {
                if !person.says_yes(last.lines().join("\n")).await {
                    let message = "the host's key was not said to be right";
                    return Err(Failure::new(Ending::Config, Stage::LoggingIn, message));
                }
                say(YES, link).await?;
                login = new();
            }
            (Err(LoginError::CodeWanted { challenge, last, .. }), _) => {
                let Some(code) = second_factor::code(plan, challenge.as_ref(), last).await? else { break };
                link.transcript.hide(&code);
                login.give_code(code);
            }
            (_, _) => break,
        }
        outcome = pump(&mut login, link, said).await?;
    }
    Ok(outcome)
}

async fn pump(
    login: &mut Login,
    link: &mut Link,
    said: &mut dyn FnMut(LoginEvent),
) -> Result<LoginOutcome, Failure> {
    let masks = link.transcript.masks();
    let told = link.drive(login, |link, event| {
        match event {
            LoginEvent::Text(line) => said(LoginEvent::Text(masks.text(&line))),
            act => {
                link.transcript.detail(now(), &masks.text(&format!("login: {act:?}")));
                said(act);
            }
        }
        Ok::<_, Failure>(())
    });
    Ok(match told.await? {
        Ok(logged_in) => Ok(LoggedIn { prompt: masks.text(&logged_in.prompt), ..logged_in }),
        Err(error) => Err(error.masked(|words| masks.text(words))),
    })
}

fn failure(error: LoginError, password_sent: bool, link: &Link) -> Failure {
    if let LoginError::CarrierLost { last } | LoginError::Refused { last, .. } = &error
        && let Some(said) = no_shell_given(last.lines().iter().map(String::as_str))
    {
        let message = format!(
            "the host lets this user in, but not to a shell: \"{said}\". Ask its keeper for an ordinary login shell"
        );
        return Failure::new(Ending::HostLacks, Stage::LoggingIn, message);
    }
    let ending = match &error {
        LoginError::Refused { .. } => Ending::LoginRefused,
        LoginError::Expired { .. } => Ending::LoginExpired,
        LoginError::Locked { .. } => Ending::AccountLocked,
        LoginError::TooManySessions { .. } => Ending::TooManySessions,
        LoginError::Closed { .. } => Ending::LoginsClosed,
        LoginError::CodeWanted { .. }
        | LoginError::Menu { .. }
        | LoginError::NoUser { .. }
        | LoginError::NoPassword { .. }
        | LoginError::HostKeyUnknown { .. }
        | LoginError::KeyLocked { .. } => Ending::Config,
        LoginError::HostKeyRefused { .. } => Ending::PeerMisbehaved,
        LoginError::CarrierLost { .. } => Ending::CarrierLost,
        LoginError::NoPrompt { .. } | LoginError::Garbled { .. } | LoginError::Illegible { .. } => {
            Ending::LoginTimeout
        }
    };
    let mut failure = match (&error, link.end()) {
        // A command's own last status says more than that its line is gone.
        (LoginError::CarrierLost { last }, Some(LineEnd::PortGone(why))) => {
            let message = format!("{} has ended: {why} ({last})", link.name());
            Failure { message, ..line_failure(Stage::LoggingIn, link) }
        }
        (error, _) => Failure::new(ending, Stage::LoggingIn, error),
    };
    if password_sent && ending == Ending::CarrierLost {
        failure.message += "; so it looks too where an account's login shell ends at once";
    }
    failure
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
/// Questions that are answered in one login.
const QUESTIONS_MAX: usize = 6;
/// sshd's LoginGraceTime is 120 s unless its keeper has set another.
pub(super) const PERSON_WAIT: Duration = Duration::from_secs(100);
