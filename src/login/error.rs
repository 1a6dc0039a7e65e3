//! How a login ends without a shell.

use std::fmt;
use std::time::Duration;

use super::challenge::Challenge;

/// The last lines a host said, for people to read: no control characters, no password.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LastLines(pub(super) Vec<String>);

impl LastLines {
    /// The lines, the latest last.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for LastLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("it said nothing");
        }
        write!(f, "its last words: \"{}\"", self.0.join(" / "))
    }
}

/// How a login ends without a shell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The host does not take this user name with this password. Never to be retried unasked: hosts
    /// lock accounts.
    #[error("the host refused the login: \"{said}\" ({last}); check the account's user and password")]
    Refused {
        /// The host's own words.
        said: String,
        /// What it said last.
        last: LastLines,
    },
    /// The host took name and password, as far as it says, and not the one-time code.
    #[error(
        "the host refused the login behind the one-time code: \"{said}\" ({last}); check what `otp` prints, \
         and the clock of this machine"
    )]
    CodeRefused {
        /// The host's own words.
        said: String,
        /// What it said last.
        last: LastLines,
    },
    /// The host refused, but the line had damaged the user name on its way, each time. The user name
    /// and the password may be right; a new call may show it.
    #[error(
        "the host refused the login, but noise on the line had damaged the user name ({last}); \
         call again, or on a slower or cleaner line"
    )]
    Garbled {
        /// The host's own words.
        said: String,
        /// What it said last.
        last: LastLines,
    },
    /// The password must be changed first, and only its owner should choose a new one.
    #[error(
        "the host wants the password changed: \"{said}\" ({last}); log in by hand, choose a new one, \
         and put it into the account's configuration"
    )]
    Expired {
        /// The host's own words.
        said: String,
        /// What it said last.
        last: LastLines,
    },
    /// The account is locked, switched off or has run out, whatever the password is.
    #[error("the host has locked this account: \"{said}\" ({last}); only its keeper can mend that")]
    Locked {
        /// The host's own words.
        said: String,
        /// What it said last.
        last: LastLines,
    },
    /// So many are logged in, or this user so often, that nobody more is let in.
    #[error("the host lets nobody more in: \"{said}\" ({last})")]
    TooManySessions {
        /// The host's own words.
        said: String,
        /// What it said last.
        last: LastLines,
    },
    /// Nobody is let in for the time being.
    #[error("the host lets nobody in for now: \"{said}\" ({last})")]
    Closed {
        /// The host's own words.
        said: String,
        /// What it said last.
        last: LastLines,
    },
    /// The host asks for a one-time code. [`Login::give_code`](super::Login::give_code) goes on from here.
    #[error(
        "the host asks for a one-time code: \"{prompt}\" ({last}); add otp = {{ command = [..] }} to the \
         account, or call from a terminal, where you are asked for it"
    )]
    CodeWanted {
        /// Its question.
        prompt: String,
        /// What the code is to be computed from, where the host says so.
        challenge: Option<Challenge>,
        /// What it said last: there may be something to choose from.
        last: LastLines,
    },
    /// The host shows a menu in which not exactly one item gives a shell.
    #[error(
        "the host shows a menu, and not just one item of it gives a shell ({last}); say what to answer in a \
         script: login = [ {} ] in the account",
        script_for(prompt, *behind_login)
    )]
    Menu {
        /// What it waits behind.
        prompt: String,
        /// A user name was typed before, which a script has to do as well.
        behind_login: bool,
        /// What it said last: the menu.
        last: LastLines,
    },
    /// The host asks who is calling.
    #[error("the host asks for a user name ({last}); give the account a user")]
    NoUser {
        /// What it said last.
        last: LastLines,
    },
    /// The host asks for a password.
    #[error("the host asks for a password ({last}); give the account a password")]
    NoPassword {
        /// What it said last.
        last: LastLines,
    },
    /// Nothing that could be answered came in time.
    #[error(
        "no prompt that could be answered came within {} s ({last}); is this a host to log in to, at \
         this speed and parity?",
        waited.as_secs()
    )]
    NoPrompt {
        /// Since the start of the login.
        waited: Duration,
        /// What it said last.
        last: LastLines,
    },
    /// What the host sends is not text at this speed and framing, whatever BREAKs it was sent.
    #[error(
        "what the host sends cannot be read ({last}), and {breaks} BREAKs changed nothing: are the line's \
         `speed`, `data_bits` and `parity` the host's?"
    )]
    Illegible {
        /// How many it was sent.
        breaks: u32,
        /// What it said last.
        last: LastLines,
    },
    /// `ssh` does not know the host, and wants to know from a person whether this is its key.
    #[error(
        "ssh does not know this host and asks whether its key is right ({last}): connect once by hand and \
         compare the fingerprint, or put \"-o\", \"StrictHostKeyChecking=accept-new\" into the line's command"
    )]
    HostKeyUnknown {
        /// Its question, with the fingerprint.
        last: LastLines,
    },
    /// `ssh` refuses the host, whose key is not the one it had.
    #[error("ssh refuses this host: \"{said}\" ({last}); somebody may be listening in")]
    HostKeyRefused {
        /// Its own words.
        said: String,
        /// What it said last.
        last: LastLines,
    },
    /// `ssh` asks for what opens a key of this machine, which is not the account's password.
    #[error(
        "ssh asks for what opens a key on this machine: \"{said}\"; load the key into an agent first \
         (ssh-add), or name another one in the line's command"
    )]
    KeyLocked {
        /// Its own words.
        said: String,
        /// What it said last.
        last: LastLines,
    },
    /// The line went dead on the way.
    #[error("the line was lost while logging in ({last})")]
    CarrierLost {
        /// What it said last.
        last: LastLines,
    },
}

impl LoginError {
    /// The same with the host's own words as `mask` leaves them.
    pub fn masked(mut self, mask: impl Fn(&str) -> String) -> Self {
        let (said, last) = match &mut self {
            Self::Refused { said, last }
            | Self::Garbled { said, last }
            | Self::Expired { said, last }
            | Self::Locked { said, last }
            | Self::TooManySessions { said, last }
            | Self::Closed { said, last }
            | Self::CodeRefused { said, last }
            | Self::HostKeyRefused { said, last }
            | Self::KeyLocked { said, last } => (Some(said), last),
            Self::Menu { prompt, last, .. } | Self::CodeWanted { prompt, last, .. } => (Some(prompt), last),
            Self::NoUser { last }
            | Self::NoPassword { last }
            | Self::NoPrompt { last, .. }
            | Self::Illegible { last, .. }
            | Self::HostKeyUnknown { last }
            | Self::CarrierLost { last } => (None, last),
        };
        said.into_iter().chain(&mut last.0).for_each(|words| *words = mask(words));
        self
    }

    /// What the host said last.
    pub fn last_lines(&self) -> &LastLines {
        match self {
            Self::Refused { last, .. }
            | Self::CodeRefused { last, .. }
            | Self::Garbled { last, .. }
            | Self::Expired { last, .. }
            | Self::Locked { last, .. }
            | Self::TooManySessions { last, .. }
            | Self::Closed { last, .. }
            | Self::CodeWanted { last, .. }
            | Self::Menu { last, .. }
            | Self::NoUser { last }
            | Self::NoPassword { last }
            | Self::NoPrompt { last, .. }
            | Self::Illegible { last, .. }
            | Self::HostKeyUnknown { last }
            | Self::HostKeyRefused { last, .. }
            | Self::KeyLocked { last, .. }
            | Self::CarrierLost { last } => last,
        }
    }
}

/// The steps of a script that answers this prompt, as TOML. A script does the whole login, so the answer alone
/// would not do.
fn script_for(prompt: &str, behind_login: bool) -> String {
    let expected = match prompt.contains('\'') {
        false => format!("'{prompt}'"),
        true => format!("\"{}\"", prompt.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    let answer = format!("{{ expect = {expected}, send = '..' }}");
    if behind_login {
        format!(
            "{{ expect = 'ogin:', send = '{{user}}' }}, {{ expect = 'ssword:', send = '{{password}}' }}, {answer}"
        )
    } else {
        format!("{answer}, {{ automatic = true }}")
    }
}
