//! Logging in by the account's own script.

use super::call::line_failure;
use super::link::{LineEnd, Link};
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::login::script::{Script, ScriptEnd, ScriptError, ScriptEvent, ScriptLogin};
use crate::login::{Credentials, LoggedIn, LoginEvent};

/// Runs the script. `None` where it leaves the rest to the automatic login.
pub(super) async fn by_script(
    script: &Script,
    credentials: &Credentials,
    link: &mut Link,
    watch: Watch<'_>,
    said: &mut dyn FnMut(LoginEvent),
) -> Result<Option<LoggedIn>, Failure> {
    for secret in script.secrets() {
        link.transcript.hide(&secret);
    }
    let mut login = ScriptLogin::new(script.clone(), credentials.clone());
    let masks = link.transcript.masks();
    let told = link.drive(&mut login, |_, event| {
        match event {
            ScriptEvent::Login(LoginEvent::Text(line)) => said(LoginEvent::Text(masks.text(&line))),
            ScriptEvent::Login(event) => said(event),
            ScriptEvent::Say(text) => watch(Progress::Note(text)),
        }
        Ok::<_, Failure>(())
    });
    match told.await? {
        Ok(ScriptEnd::LoggedIn(logged_in)) => {
            Ok(Some(LoggedIn { prompt: masks.text(&logged_in.prompt), ..logged_in }))
        }
        Ok(ScriptEnd::Automatic) => Ok(None),
        Err(error) => Err(failure(&error, link)),
    }
}

fn failure(error: &ScriptError, link: &Link) -> Failure {
    let ending = match error {
        // The modem's own word, which is in many a script.
        ScriptError::Aborted { said, .. } if said == NO_CARRIER => Ending::CarrierLost,
        ScriptError::Aborted { .. } | ScriptError::Refused { .. } => Ending::LoginRefused,
        ScriptError::Expired { .. } => Ending::LoginExpired,
        ScriptError::TimedOut { .. }
        | ScriptError::NotEchoed { .. }
        | ScriptError::NoPrompt { .. }
        | ScriptError::TookTooLong { .. } => Ending::LoginTimeout,
        ScriptError::NoUser { .. } | ScriptError::NoPassword { .. } => Ending::Config,
        ScriptError::CarrierLost { .. } => Ending::CarrierLost,
    };
    match (error, link.end()) {
        // A command's own last status says more than that its line is gone.
        (ScriptError::CarrierLost { .. }, Some(LineEnd::PortGone(why))) => {
            let message = format!("{error}; {} has ended: {why}", link.name());
            Failure { message, ..line_failure(Stage::LoggingIn, link) }
        }
        (_, _) => Failure::new(ending, Stage::LoggingIn, error),
    }
}

const NO_CARRIER: &str = "NO CARRIER";
