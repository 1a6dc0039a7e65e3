//! From CONNECT to a shell prompt: banners, `login:`, `Password:`, the message of the day.
//!
//! ```text
//!  bytes --> escape --> text --> prompts --> machine --> user name, password, CR
//!           (codec)   (lines)   (a table)   (states)
//! ```
//!
//! [`escape`] cuts terminal sequences out of the byte stream, [`text`] assembles lines from what is
//! left, [`prompts`] is a table of what hosts ask and say, and [`machine`] answers. Whether a shell
//! really stands behind the last prompt is not decided here: the shell's own conversation proves it.
//! That is why this one may guess about shell prompts, and why it never guesses about the password,
//! which is typed at a password prompt and nowhere else.

mod error;
mod escape;
mod machine;
pub mod prompts;
mod text;

pub use error::{LastLines, LoginError};
pub use machine::{
    Credentials, LOGIN_WAIT_MAX, LoggedIn, Login, LoginEvent, LoginLimits, LoginOutcome, PromptLook,
};
