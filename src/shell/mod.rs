//! A quiet POSIX `sh` on the host, reached from whatever login shell there is, that runs commands
//! and gives back their exact output and exit status over a noisy line.
//!
//! [`Open`] types one line at the prompt and compares its echo before it ends the line. That line is
//! a loader ([`agent`]): it evaluates nothing that a checksum does not prove. Through it comes the
//! agent, which takes numbered, proven commands and keeps each reply until the next command, so that
//! what noise hit is sent again and nothing is ever run twice. [`Shell`] then hands out a machine for
//! each thing to do:
//!
//! ```text
//! Open ──> Shell ── run ──> Reply           a command's output and status
//!                ── start ─> (the line belongs to the command: ZMODEM ...) ── finish ──> status
//!                ── leave ─> Left           the host hangs up
//! ```
//!
//! Commands run in a subshell (`cd` does not last), with no input; what they write to standard error
//! is dropped unless they say `2>&1`.

pub mod agent;
mod aside;
pub mod checksum;
pub mod echo;
pub(crate) mod exchange;
#[cfg(test)]
pub(crate) mod fake_host;
pub mod forget;
pub mod frame;
mod open;
pub mod probe;
pub mod quote;
pub mod refusal;
mod talk;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use exchange::decode;
pub use frame::Nonce;
pub use open::{Open, OpenOptions};
pub use probe::HostFacts;
pub use talk::{Finish, Leave, Left, Run, Start};

use checksum::Checksum;

/// An open shell: what is needed to speak with the agent.
#[derive(Debug, Clone)]
pub struct Shell {
    channel: Channel,
    seq: u32,
    facts: HostFacts,
}

impl Shell {
    /// What the host has.
    pub fn facts(&self) -> &HostFacts {
        &self.facts
    }

    /// The time from sending to hearing that was measured on this line.
    pub fn round_trip(&self) -> Duration {
        self.channel.round_trip
    }

    /// Runs a command; its output may be [`REPLY_BYTES_DEFAULT`] long. `deadline` is how long the
    /// host may be silent: it starts anew with every block that arrives.
    pub fn run(&mut self, command: &str, deadline: Duration) -> Run {
        self.run_limited(command, deadline, REPLY_BYTES_DEFAULT)
    }

    /// Runs a command whose output may be `limit` bytes long, [`REPLY_BYTES_MAX`] at most.
    pub fn run_limited(&mut self, command: &str, deadline: Duration, limit: usize) -> Run {
        let seq = self.next_seq();
        Run::new(self.channel, seq, command, deadline, limit)
    }

    /// Gives the line to a command (`sz`): the machine is done when the host is about to run it, and
    /// the next bytes are the command's own. [`Shell::finish`] comes afterwards.
    pub fn start(&mut self, command: &str, deadline: Duration) -> Start {
        let seq = self.next_seq();
        Start::new(self.channel, seq, command, deadline)
    }

    /// How the reply begins that follows when the command that was started has ended: a receiver that
    /// sees it knows that the sender is gone.
    pub fn end_mark(&self) -> Vec<u8> {
        format!("~{}{} 1/", self.channel.nonce, self.seq).into_bytes()
    }

    /// Waits for the end of the command that was started, whatever it left on the line.
    pub fn finish(&mut self, deadline: Duration) -> Finish {
        Finish::new(self.channel, self.seq, deadline)
    }

    /// Ends the login session, so that the host hangs up.
    pub fn leave(&mut self) -> Leave {
        let seq = self.next_seq();
        Leave::new(self.channel, seq)
    }

    /// Evaluates definitions in the agent itself, where they stay.
    pub(crate) fn load(&mut self, definitions: &str, deadline: Duration) -> Run {
        let seq = self.next_seq();
        Run::load(self.channel, seq, definitions, deadline)
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel
    }

    pub(crate) fn next_seq(&mut self) -> u32 {
        self.seq += 1;
        self.seq
    }
}

/// How frames and checksums look on this call, and how long the line takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channel {
    pub(crate) nonce: Nonce,
    pub(crate) sum: Checksum,
    pub(crate) round_trip: Duration,
    /// The host has no base64 of any kind.
    pub(crate) hex: bool,
}

impl Channel {
    /// Silence after which something that was under way must have been lost.
    pub(crate) fn gap(&self) -> Duration {
        2 * self.round_trip + GAP_BEYOND_ROUND_TRIPS
    }
}

/// What a command gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its exit status, as the host's sh has it (128 and the number of a signal; ksh93: 256).
    pub status: i32,
    /// Exactly what it wrote to standard output.
    pub bytes: Vec<u8>,
}

/// What is told on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellEvent {
    /// The loader is typed at the prompt.
    Typing,
    /// The agent is sent.
    Loading,
    /// A line of ours arrived damaged and is sent again.
    SentAgain,
    /// Blocks of a reply arrived damaged and are asked for again.
    AskedAgain {
        /// How many; none means that nothing at all had arrived.
        blocks: usize,
    },
}

/// Why there is no shell, or no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShellError {
    /// No POSIX sh came up behind the prompt.
    #[error(
        "the host does not offer a shell: after logging in it shows {last:?}. Log in by hand once and see what it asks for; a script in `login` can answer it"
    )]
    NotAShell {
        /// What it showed last.
        last: String,
    },
    /// The login shell lets no `sh` be run.
    #[error(
        "the host's login shell does not let mailcall run `sh`, which it needs; it says \"{said}\". Ask the host's keeper for an ordinary shell, or for `sh` in this one's PATH"
    )]
    NoSh {
        /// The shell's own words.
        said: String,
    },
    /// A program that draws screens stands between the shell and the line.
    #[error(
        "after logging in, the host starts {program}, which draws its screen anew and so changes what passes. Let the profile there start it for people only: not where `tty` names this line"
    )]
    Multiplexed {
        /// `tmux` or `screen`.
        program: String,
    },
    /// The host stopped answering.
    #[error(
        "the host went silent while {doing}; the last it said was {last:?}. Try again, or allow more time"
    )]
    Silent {
        /// What was being waited for.
        doing: &'static str,
        /// What it showed last.
        last: String,
    },
    /// The line is gone.
    #[error("the carrier was lost while {doing}")]
    CarrierLost {
        /// What was under way.
        doing: &'static str,
    },
    /// Too much is damaged on the way.
    #[error(
        "the line is too noisy: {tries} tries while {doing}. Hang up and dial again, or use a lower speed"
    )]
    TooNoisy {
        /// How often it was tried.
        tries: u32,
        /// What was under way.
        doing: &'static str,
    },
    /// A command printed more than was allowed.
    #[error("a command on the host printed more than {limit} bytes")]
    ReplyTooLarge {
        /// What was allowed, in bytes.
        limit: usize,
    },
    /// A command is longer than one line may be.
    #[error("a command for the host is {bytes} bytes long; {COMMAND_BYTES_MAX} are possible")]
    CommandTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The host lacks something that cannot be done without.
    #[error("the host has no {what}")]
    HostLacks {
        /// What it lacks.
        what: &'static str,
    },
}

impl ShellError {
    /// The same with the host's own words as `mask` leaves them.
    pub fn masked(mut self, mask: impl Fn(&str) -> String) -> Self {
        match &mut self {
            Self::NotAShell { last: said } | Self::Silent { last: said, .. } | Self::NoSh { said } => {
                *said = mask(said)
            }
            Self::CarrierLost { .. }
            | Self::TooNoisy { .. }
            | Self::ReplyTooLarge { .. }
            | Self::CommandTooLong { .. }
            | Self::Multiplexed { .. }
            | Self::HostLacks { .. } => {}
        }
        self
    }
}

/// Output that [`Shell::run`] allows, in bytes.
pub const REPLY_BYTES_DEFAULT: usize = 64 * 1024;

/// Output that any command may have, in bytes: it is kept in a variable of the host's sh.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024;

/// A command's length once it is one line, in bytes: a tty holds 4,096 that nobody has read yet.
pub const COMMAND_BYTES_MAX: usize = 3_500;

const GAP_BEYOND_ROUND_TRIPS: Duration = Duration::from_millis(1_500);

/// The end of what the host said, fit for an error message.
pub(crate) fn last_words(said: &[u8]) -> String {
    let tail = &said[said.len().saturating_sub(LAST_WORDS_BYTES)..];
    let mut text = String::new();
    let mut bytes = tail.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            // A control sequence (ECMA-48 section 5.4) says nothing to a reader.
            0x1b if bytes.as_slice().first() == Some(&b'[') => {
                bytes.by_ref().skip(1).find(|byte| matches!(byte, b'@'..=b'~'));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _control_or_beyond_ascii => text.push(' '),
        }
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() && !said.is_empty() { "no text".into() } else { words.join(" ") }
}

/// Remembers the end of what the host said.
pub(crate) fn remember(said: &mut Vec<u8>, byte: u8) {
    if said.len() >= 2 * LAST_WORDS_BYTES {
        said.drain(..LAST_WORDS_BYTES);
    }
    said.push(byte);
}

const LAST_WORDS_BYTES: usize = 240;
