//! What can be done with an open shell: run a command, give the line to one, leave.

use std::time::{Duration, Instant};

use super::agent::Request;
use super::exchange::{Exchange, Heard, Wanted, blocks_for};
use super::quote::{one_line, quote};
use super::{COMMAND_BYTES_MAX, Channel, REPLY_BYTES_MAX, Reply, ShellError, ShellEvent};
use crate::machine::{Machine, Output};

/// Runs one command ([`super::Shell::run`]).
#[derive(Debug)]
pub struct Run(Exchange);

impl Run {
    pub(crate) fn new(channel: Channel, seq: u32, command: &str, deadline: Duration, limit: usize) -> Self {
        let limit = limit.min(REPLY_BYTES_MAX);
        let blocks = blocks_for(limit, channel.hex);
        let wanted = Wanted::Reply { limit };
        Self(begin(channel, seq, command, wanted, deadline, "running a command", |command| {
            Request::Capture { command, blocks }
        }))
    }
}

impl Run {
    pub(crate) fn load(channel: Channel, seq: u32, definitions: &str, deadline: Duration) -> Self {
        let wanted = Wanted::Reply { limit: 0 };
        let doing = "loading a transfer";
        Self(begin(channel, seq, definitions, wanted, deadline, doing, |command| Request::Here { command }))
    }
}

/// Gives the line to a command ([`super::Shell::start`]).
#[derive(Debug)]
pub struct Start(Exchange);

impl Start {
    pub(crate) fn new(channel: Channel, seq: u32, command: &str, deadline: Duration) -> Self {
        // Said three times, for a repetition would go to the command; and the command in a subshell
        // of its own eval, for a mistake in it must not end the agent.
        let mark = format!("echo {}+{seq};", channel.nonce.split_for_shell());
        let command = format!("{mark}{mark}{mark}(eval {})", quote(one_line(command).as_bytes()));
        Self(begin(channel, seq, &command, Wanted::TakeOver, deadline, "starting a transfer", |command| {
            Request::Here { command }
        }))
    }
}

/// Waits for a command that had the line ([`super::Shell::finish`]).
#[derive(Debug)]
pub struct Finish(Exchange);

impl Finish {
    pub(crate) fn new(channel: Channel, seq: u32, deadline: Duration) -> Self {
        let wanted = Wanted::Reply { limit: 0 };
        Self(Exchange::new(channel, &seq.to_string(), wanted, deadline, "waiting for a transfer to end"))
    }
}

/// Ends the session ([`super::Shell::leave`]).
#[derive(Debug)]
pub struct Leave(Exchange);

/// How the session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The host hung up.
    HungUp,
    /// The session is told to end, but the line is still there: hang up.
    StillConnected,
}

impl Leave {
    pub(crate) fn new(channel: Channel, seq: u32) -> Self {
        Self(begin(channel, seq, "exit", Wanted::End, LEAVE_MAX, "logging out", |command| Request::Here {
            command,
        }))
    }
}

fn begin(
    channel: Channel,
    seq: u32,
    command: &str,
    wanted: Wanted,
    deadline: Duration,
    doing: &'static str,
    request: impl FnOnce(&str) -> Request<'_>,
) -> Exchange {
    let command = one_line(command);
    if command.len() > COMMAND_BYTES_MAX {
        return Exchange::failed(channel, ShellError::CommandTooLong { bytes: command.len() });
    }
    let seq = seq.to_string();
    let line = request(&command).line(channel.sum, &seq);
    Exchange::new(channel, &seq, wanted, deadline, doing).with_request(line)
}

/// The four are one exchange each; only what its end means differs.
macro_rules! exchange_machine {
    ($machine:ty, $outcome:ty, $end:expr) => {
        impl Machine for $machine {
            type Event = ShellEvent;
            type Outcome = $outcome;

            fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
                self.0.handle_input(now, bytes)
            }

            fn handle_hangup(&mut self, now: Instant) {
                self.0.handle_hangup(now);
            }

            fn handle_timeout(&mut self, now: Instant) {
                self.0.handle_timeout(now);
            }

            fn poll_output(&mut self, now: Instant) -> Output<ShellEvent, $outcome> {
                match self.0.poll_output(now) {
                    Output::Transmit(transmit) => Output::Transmit(transmit),
                    Output::Control(control) => Output::Control(control),
                    Output::Event(event) => Output::Event(event),
                    Output::Wait(until) => Output::Wait(until),
                    Output::Done(outcome) => Output::Done($end(outcome)),
                }
            }
        }
    };
}

exchange_machine!(Run, Result<Reply, ShellError>, |outcome: Result<Heard, ShellError>| {
    outcome.map(|heard| match heard {
        Heard::Reply { status, bytes } => Reply { status, bytes },
        Heard::TakeOver | Heard::NextLogin => Reply { status: 0, bytes: Vec::new() },
    })
});
exchange_machine!(Start, Result<(), ShellError>, |outcome: Result<Heard, ShellError>| outcome.map(|_| ()));
exchange_machine!(Finish, Result<i32, ShellError>, |outcome: Result<Heard, ShellError>| {
    outcome.map(|heard| match heard {
        Heard::Reply { status, .. } => status,
        Heard::TakeOver | Heard::NextLogin => 0,
    })
});
exchange_machine!(Leave, Left, |outcome: Result<Heard, ShellError>| match outcome {
    Err(ShellError::CarrierLost { .. }) => Left::HungUp,
    // Whatever else was heard: the line is still there, and whoever owns it hangs it up.
    Ok(_) | Err(_) => Left::StillConnected,
});

/// How long a host may take to hang up.
const LEAVE_MAX: Duration = Duration::from_secs(8);
