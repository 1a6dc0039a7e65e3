//! What can be wrong with a login script as written, and how one ends without a shell.

use std::time::Duration;

use super::super::error::LastLines;
use super::{ABORTS_MAX, PatternError, STEPS_MAX};

/// What is wrong with a script as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptProblem {
    /// Nothing stands in it.
    #[error("the script is empty; leave `login` out for the automatic login")]
    Empty,
    /// More than [`STEPS_MAX`].
    #[error("the script has more than {STEPS_MAX} steps")]
    TooManySteps,
    /// More than [`ABORTS_MAX`].
    #[error("the script has more than {ABORTS_MAX} abort strings")]
    TooManyAborts,
    /// Something stands behind `automatic`.
    #[error("`automatic` is the last step: the automatic login does all the rest")]
    AutomaticNotLast,
    /// What is waited for cannot be.
    #[error("word {word} of the script, which is waited for: {problem}")]
    Pattern {
        /// Which word, from 1.
        word: usize,
        /// What is wrong with it.
        problem: PatternError,
    },
    /// A word is not understood here.
    #[error("word {word} of the script: {why}")]
    Word {
        /// Which word, from 1.
        word: usize,
        /// What is wrong, and what would be right. Nothing that may be secret.
        why: String,
    },
}

/// How a script ends without a shell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// What a step waits for did not come.
    #[error("step {step} of the login script waited {} s for \"{wanted}\" in vain ({last})", waited.as_secs())]
    TimedOut {
        /// Which step, from 1.
        step: usize,
        /// What it waited for.
        wanted: String,
        /// How long, all its tries together.
        waited: Duration,
        /// What the host said last.
        last: LastLines,
    },
    /// The host does not echo what the script wants echoed.
    #[error("step {step} of the login script typed something that was not echoed within {} s ({last})", waited.as_secs())]
    NotEchoed {
        /// Which step, from 1.
        step: usize,
        /// How long the echo was waited for.
        waited: Duration,
        /// What the host said last.
        last: LastLines,
    },
    /// The host said what ends the script.
    #[error("the login script was ended in step {step} by \"{said}\", as it asks for ({last})")]
    Aborted {
        /// Which step, from 1.
        step: usize,
        /// The abort string.
        said: String,
        /// What the host said last.
        last: LastLines,
    },
    /// The script is through, and the host asks again or says no.
    #[error("the host refused the login: \"{said}\" ({last}); check what the login script sends")]
    Refused {
        /// The host's own words.
        said: String,
        /// What it said last.
        last: LastLines,
    },
    /// The script is through, and the host wants a new password.
    #[error("the host wants the password changed: \"{said}\" ({last}); log in by hand and choose a new one")]
    Expired {
        /// The host's own words.
        said: String,
        /// What it said last.
        last: LastLines,
    },
    /// The script is through, and there is no end to what the host says.
    #[error("no prompt came within {} s behind the login script ({last})", waited.as_secs())]
    NoPrompt {
        /// Since the last step.
        waited: Duration,
        /// What the host said last.
        last: LastLines,
    },
    /// The script takes too long as a whole.
    #[error("the login script was still at step {step} after {} s ({last})", waited.as_secs())]
    TookTooLong {
        /// Which step, from 1.
        step: usize,
        /// Since its first.
        waited: Duration,
        /// What the host said last.
        last: LastLines,
    },
    /// The script types the user, and there is none.
    #[error("step {step} of the login script types the user's name: give the account a user")]
    NoUser {
        /// Which step, from 1.
        step: usize,
    },
    /// The script types the password, and there is none.
    #[error("step {step} of the login script types the password: give the account a password")]
    NoPassword {
        /// Which step, from 1.
        step: usize,
    },
    /// The line went dead on the way.
    #[error("the line was lost in step {step} of the login script{} ({last})", waiting_for(wanted))]
    CarrierLost {
        /// Which step, from 1.
        step: usize,
        /// What it waited for, if anything.
        wanted: Option<String>,
        /// What the host said last.
        last: LastLines,
    },
}

fn waiting_for(wanted: &Option<String>) -> String {
    wanted.as_ref().map_or_else(String::new, |wanted| format!(", which waited for \"{wanted}\""))
}
