//! The one-time code that a host asks for during the login: from the account's program, else from the person.

use super::call::CallPlan;
use super::logging_in::{PERSON_WAIT, in_time};
use super::{Ending, Failure, Stage};
use crate::login::{Challenge, LastLines};
use crate::secret::Secret;

/// The code, or `None` where nobody can be asked for one. The host waits meanwhile, and the line is paid for.
pub(super) async fn code(
    plan: &CallPlan,
    challenge: Option<&Challenge>,
    last: &LastLines,
) -> Result<Option<Secret>, Failure> {
    let failed = |why: String| Failure::new(Ending::Config, Stage::LoggingIn, why);
    if let Some(source) = plan.account.otp.clone() {
        let challenge = challenge.map(|challenge| challenge.text().to_owned());
        let told = in_time(move || source.code(challenge.as_deref(), PERSON_WAIT)).await;
        let why = || "the command of `otp` has told no code in time".to_owned();
        return match told.unwrap_or_else(|| Err(why())) {
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
