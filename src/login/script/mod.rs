//! A login by a script of the user's own, where the automatic one does not know the host.
//!
//! ```text
//!  `login = [ { expect = .. } ]` ── crate::config ─┐
//!  `login = "ogin:--ogin: \\L .."` ── chat ────────┴─▶ Script ──▶ machine ──▶ prompt, or ScriptError
//!                                                       pattern ─▶ (states)
//!                                       bytes ─▶ hearing ─▶
//! ```
//!
//! Both forms become the same steps. What a step sends may be secret: by its escape (`\q`), its key
//! (`secret`), or because it answers a question for a password. Then it is shown nowhere.

pub mod chat;
mod error;
mod hearing;
mod machine;
mod pattern;

pub use error::{ScriptError, ScriptProblem};
pub use machine::ScriptLogin;
pub use pattern::{Pattern, PatternError};

use std::time::Duration;

use super::prompts::{Prompt, prompt_look};
use super::{LoggedIn, LoginEvent};
use crate::secret::Secret;

/// Steps that are done in turn.
#[derive(Debug, Clone)]
pub struct Script {
    steps: Vec<Step>,
}

/// One thing to do.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which step of the script it belongs to, as its writer counts, from 1.
    pub number: usize,
    /// What is to be done.
    pub action: Action,
}

/// What can be done.
#[derive(Debug, Clone)]
pub enum Action {
    /// Wait until the host says something.
    Expect(Expect),
    /// Type.
    Send(Keys),
    /// From here on these end the script.
    Abort(Vec<Pattern>),
    /// From here on the pattern of this look does not end it any more.
    ClearAbort(String),
    /// Tell the person.
    Say(String),
    /// Leave the rest to the automatic login.
    Automatic,
}

/// What is waited for.
#[derive(Debug, Clone)]
pub struct Expect {
    /// Tried in turn, until one of them is met.
    pub tries: Vec<Try>,
    /// These end the script, during this step.
    pub aborts: Vec<Pattern>,
    /// If nothing comes the script goes on with the step of the next number.
    pub optional: bool,
}

/// One wait.
#[derive(Debug, Clone)]
pub struct Try {
    /// Typed first, because the try before it was in vain.
    pub first: Keys,
    /// What is to come; `None` waits for nothing.
    pub pattern: Option<Pattern>,
    /// How long it may take, in line time.
    pub wait: Duration,
}

/// What is typed.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// One after the other.
    pub strokes: Vec<Stroke>,
    /// No transcript, log or error may show it.
    pub hidden: bool,
}

/// A part of what is typed.
#[derive(Debug, Clone)]
pub enum Stroke {
    /// This text. It may be a password, whatever the script's writer thinks of it.
    Text(Secret),
    /// A byte that is no text: RETURN, a control character.
    Byte(u8),
    /// The account's user.
    User,
    /// The account's password.
    Password,
    /// Nothing for so long.
    Pause(Duration),
    /// The spacing state for so long.
    Break(Duration),
    /// From here on, to the end of these keys, each byte must be echoed before the next, or no longer.
    Echo(bool),
}

impl Keys {
    /// Nothing at all.
    pub fn is_empty(&self) -> bool {
        self.strokes.is_empty()
    }

    fn texts(&self) -> impl Iterator<Item = &Secret> {
        self.strokes.iter().filter_map(|stroke| match stroke {
            Stroke::Text(text) => Some(text),
            Stroke::Byte(_)
            | Stroke::User
            | Stroke::Password
            | Stroke::Pause(_)
            | Stroke::Break(_)
            | Stroke::Echo(_) => None,
        })
    }
}

impl Script {
    /// A script of these steps.
    pub fn new(mut steps: Vec<Step>) -> Result<Self, ScriptProblem> {
        if steps.is_empty() {
            return Err(ScriptProblem::Empty);
        }
        if steps.len() > STEPS_MAX {
            return Err(ScriptProblem::TooManySteps);
        }
        let aborts = steps.iter().map(|step| match &step.action {
            Action::Abort(patterns) => patterns.len(),
            Action::Expect(expect) => expect.aborts.len(),
            Action::Send(_) | Action::ClearAbort(_) | Action::Say(_) | Action::Automatic => 0,
        });
        if aborts.sum::<usize>() > ABORTS_MAX {
            return Err(ScriptProblem::TooManyAborts);
        }
        let automatic = steps.iter().position(|step| matches!(step.action, Action::Automatic));
        if automatic.is_some_and(|at| at + 1 < steps.len()) {
            return Err(ScriptProblem::AutomaticNotLast);
        }
        hide_answers(&mut steps);
        Ok(Self { steps })
    }

    /// How many steps there are, as the script's writer counts.
    pub fn len(&self) -> usize {
        self.steps.last().map_or(0, |step| step.number)
    }

    /// No script is empty.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// True if the automatic login takes over at its end.
    pub fn ends_automatic(&self) -> bool {
        matches!(self.steps.last().map(|step| &step.action), Some(Action::Automatic))
    }

    /// True if the account's user is typed by the script itself.
    pub fn types_user(&self) -> bool {
        self.strokes().any(|stroke| matches!(stroke, Stroke::User))
    }

    /// True if the account's password is typed by the script itself.
    pub fn types_password(&self) -> bool {
        self.strokes().any(|stroke| matches!(stroke, Stroke::Password))
    }

    /// True if a call by this script can need the account's password.
    pub fn wants_password(&self) -> bool {
        self.types_password() || self.ends_automatic()
    }

    /// Texts of the script itself that nobody may see.
    pub fn secrets(&self) -> impl Iterator<Item = Secret> {
        let hidden = self.keys().filter(|keys| keys.hidden).flat_map(Keys::texts);
        let texts = hidden.map(|text| text.expose().trim_end_matches(['\r', '\n']));
        texts.filter(|text| !text.trim().is_empty()).map(|text| Secret::new(text.to_owned()))
    }

    fn strokes(&self) -> impl Iterator<Item = &Stroke> {
        self.keys().flat_map(|keys| &keys.strokes)
    }

    fn keys(&self) -> impl Iterator<Item = &Keys> {
        self.steps.iter().flat_map(|step| match &step.action {
            Action::Send(keys) => vec![keys],
            Action::Expect(expect) => expect.tries.iter().map(|tried| &tried.first).collect(),
            Action::Abort(_) | Action::ClearAbort(_) | Action::Say(_) | Action::Automatic => Vec::new(),
        })
    }
}

/// What answers a question for a password is one.
fn hide_answers(steps: &mut [Step]) {
    let mut asked = false;
    let hide = |keys: &mut Keys, asked: bool| {
        let is_typed = keys.texts().any(|text| !text.expose().trim().is_empty());
        keys.hidden |= asked && is_typed;
    };
    for step in steps {
        match &mut step.action {
            Action::Expect(expect) => {
                asked = false;
                for tried in &mut expect.tries {
                    hide(&mut tried.first, asked);
                    asked |= tried.pattern.as_ref().is_some_and(|pattern| asks_for_secret(pattern.shown()));
                }
            }
            Action::Send(keys) => hide(keys, asked),
            Action::Abort(_) | Action::ClearAbort(_) | Action::Say(_) | Action::Automatic => {}
        }
    }
}

/// True for `ssword:` and the like. One too many costs nothing but a mask in the transcript.
fn asks_for_secret(pattern: &str) -> bool {
    let text = pattern.to_lowercase();
    matches!(prompt_look(&text), Some(Prompt::Password | Prompt::ChangePassword))
        || SECRET_WORDS.iter().any(|word| text.contains(word))
}

/// How a script went, where it went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptEnd {
    /// It is through, probably in front of a shell.
    LoggedIn(LoggedIn),
    /// The automatic login is to do the rest.
    Automatic,
}

/// How a script ends.
pub type ScriptOutcome = Result<ScriptEnd, ScriptError>;

/// What a script tells its owner on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptEvent {
    /// What any login tells.
    Login(LoginEvent),
    /// The script has this to say to the person.
    Say(String),
}

/// How long a wait may be at most, in a step.
pub const WAIT_LIMIT: Duration = Duration::from_secs(600);
/// How long a pause may be.
pub const PAUSE_LIMIT: Duration = Duration::from_secs(60);
/// How long a BREAK may be; a longer one some hosts take for a hang-up.
pub const BREAK_LIMIT: Duration = Duration::from_secs(2);
/// A BREAK that a getty takes for one, at 50 bit/s too.
pub const BREAK_LENGTH: Duration = Duration::from_millis(300);
/// How long a wait is if nothing else is said, as chat(8) has it.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(45);
/// Steps of a script, its directives counted.
const STEPS_MAX: usize = 200;
/// Abort strings of a script, as chat(8) has it.
const ABORTS_MAX: usize = 50;

/// What stands in a question for what nobody may see.
const SECRET_WORDS: &[&str] = &["word", "pass", "wort", "pwd", "code", "secret", "token", "phrase"];

#[cfg(test)]
mod any_bytes;
