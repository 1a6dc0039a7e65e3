//! The one-time code that a host asks for during the login: from the account's program, else from the person.

use std::time::Duration;

use super::call::CallPlan;
use super::logging_in::{PERSON_WAIT, in_time};
use super::{Ending, Failure, Stage};
use crate::config::CodeSource;
use crate::login::{Challenge, LastLines};
use crate::secret::Secret;

/// The code, or `None` where nobody can be asked for one. The host waits meanwhile, and the line is paid for.
pub(super) async fn code(
    plan: &CallPlan,
    challenge: Option<&Challenge>,
    last: &LastLines,
) -> Result<Option<Secret>, Failure> {
    let failed = |why: String| Failure::new(Ending::Config, Stage::LoggingIn, why);
    if let Some(source) = &plan.account.otp {
        return match told(source, challenge.map(Challenge::text), PERSON_WAIT).await {
            Ok(code) => Ok(Some(code)),
            Err(why) => Err(failed(format!("the host asks for a one-time code, and there is none: {why}"))),
        };
    }
    let Some(person) = &plan.ask else { return Ok(None) };
    match person.code(last.lines().join("\n")).await.filter(|code| !code.expose().is_empty()) {
        Some(code) => Ok(Some(code)),
        None => Err(failed("the host asks for a one-time code, and none was given".to_owned())),
    }
}

/// The code that a program tells within this time. Whoever stops waiting ends the program.
#[allow(clippy::disallowed_methods)] // a program runs in real time
async fn told(source: &CodeSource, challenge: Option<&str>, wait: Duration) -> Result<Secret, String> {
    let mut asked = source.ask(challenge)?;
    let ended = async {
        while !asked.has_ended() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(wait, ended).await.is_err() {
        return Err(format!("{} has told no code within {} s", asked.program(), wait.as_secs()));
    }
    let unread = || Err("its output cannot be read".to_owned());
    in_time(move || asked.code()).await.unwrap_or_else(unread)
}

/// How often the program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_never_tells_a_code_is_given_up_in_time() {
        let source: CodeSource =
            toml::from_str("command = ['sh', '-c', 'echo 1; exec sleep 100']").expect("TOML");
        let refused = told(&source, None, Duration::from_millis(300)).await.expect_err("endless");
        assert!(refused.contains("sh has told no code within"), "{refused}");
    }
}
