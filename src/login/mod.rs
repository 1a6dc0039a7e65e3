//! From CONNECT to a shell prompt: banners, `login:`, `Password:`, the message of the day.
//!
//! ```text
//!  bytes --> escape --> text --> prompts --> machine --> user name, password, CR
//!           (codec)   (lines)   (tables)   (states)
//! ```
//!
//! `escape` cuts terminal sequences out of the byte stream, `text` assembles lines from what is
//! left, [`prompts`] is a table of what hosts ask, `statements` of what they say, `menu` reads a menu and
//! `challenge` what a one-time code is computed from; `machine` answers. Whether a shell
//! really stands behind the last prompt is not decided here: the shell's own conversation proves it.
//! That is why this one may guess about shell prompts, and why it never guesses about the password,
//! which is typed at a password prompt and nowhere else.
//!
//! [`script`] does without guesses: there the user has written down what to wait for and what to type.

mod challenge;
mod error;
mod escape;
mod legible;
mod lines;
mod machine;
mod menu;
pub mod prompts;
pub mod script;
mod statements;
mod text;

pub use challenge::Challenge;
pub use error::{LastLines, LoginError};
pub use machine::Login;

use std::time::Duration;

use crate::secret::Secret;

/// Who is calling. Of each only the first line is ever sent.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The user name, if the host will ask for one.
    pub user: Option<String>,
    /// The password, if the host will ask for one.
    pub password: Option<Secret>,
    /// Whether one-time codes are to be had without a person: then a second password that is asked for is
    /// one, and so is a passcode.
    pub has_codes: bool,
}

/// How long a login may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginLimits {
    /// From the first poll to a shell prompt, in line time.
    pub wait_max: Duration,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self { wait_max: LOGIN_WAIT_MAX }
    }
}

/// What the login tells its owner on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginEvent {
    /// The host wrote a line: banner, news, complaint. Control characters and password are gone.
    Text(String),
    /// The host was silent or unclear, and was sent a RETURN.
    Nudged,
    /// The user name was typed.
    SentUser,
    /// The user name is typed again, because noise damaged it the first time.
    RetriedUser,
    /// The password was typed.
    SentPassword,
    /// The one-time code was typed.
    SentCode,
    /// An item was chosen from a menu, by this key.
    Chose(String),
    /// The host asked the terminal something, and had its answer.
    AnsweredTerminalQuery,
    /// The host wanted RETURN, any key, or the next page.
    PressedReturn,
    /// The host wanted to know the terminal type.
    AnsweredTerminalType,
    /// What the host sends cannot be read, and it was sent a BREAK: many change their speed then.
    SentBreak,
}

/// What the last text of the login looked like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptLook {
    /// A shell's prompt.
    Shell,
    /// The host waits behind a text of no known look.
    Unknown,
    /// The host took the login and waits without any prompt.
    Blank,
}

/// Where the login ended: probably in front of a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// The unfinished line the host waits behind.
    pub prompt: String,
    /// What that looks like.
    pub look: PromptLook,
    /// False if the shell was there without a login: a null modem, a line still logged in.
    pub login_needed: bool,
    /// True if the host sends seven bits and parity: then no byte above 127 will pass.
    pub seven_bit: bool,
}

impl LoggedIn {
    /// Whether only a shell has such a prompt. Menus and editors may have any other, `>` among them.
    pub fn is_surely_a_shell(&self) -> bool {
        self.look == PromptLook::Shell && self.prompt.trim_end().ends_with(['$', '#', '%', '❯', '➜', 'λ'])
    }
}

/// How a login ends.
pub type LoginOutcome = Result<LoggedIn, LoginError>;

/// From the first poll to a shell prompt, in line time; behind a one-time code anew, for it was waited for.
pub const LOGIN_WAIT_MAX: Duration = Duration::from_secs(120);
