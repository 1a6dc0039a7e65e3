//! What some hosts need between the first reply and an open shell: our line taken out of a history, a
//! way out of tmux, or, where there is none, an end to what was started inside.

use std::time::{Duration, Instant};

use super::quote::quote;
use super::talk::{Leave, Left, Run, Start};
use super::{Nonce, Reply, Shell, ShellError, ShellEvent, agent, forget, last_words};
use crate::machine::{Machine, Output};

/// One of these, with the shell that it is done in.
#[derive(Debug)]
pub(super) struct Aside {
    step: Step,
    pub(super) shell: Shell,
}

#[derive(Debug)]
enum Step {
    Forget(Run),
    /// tmux is told to hand the line over to a new loader.
    Handover(Start),
    /// What was started inside would outlive the call.
    Leave(Leave),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    Forgot(Result<Reply, ShellError>),
    SteppedOut(Result<(), ShellError>),
    Left(Left),
}

impl Aside {
    /// What is to be done in this shell, if anything. `typed` are the lines that were ended at the
    /// prompt; `tried` says that the way out of tmux was taken already.
    pub(super) fn needed(
        mut shell: Shell,
        nonce: Nonce,
        typed: &[String],
        tried: bool,
        silence: Duration,
    ) -> Result<Self, Box<Shell>> {
        match shell.facts.inside.as_deref() {
            Some(b"tmux") if !tried => {
                // The terminal is tmux's client's own; the shell inside has nothing more to do.
                let loader = agent::loader_for_tmux(nonce);
                let command = format!("tmux detach -E {}&&kill $$", quote(loader.as_bytes()));
                Ok(Self { step: Step::Handover(shell.start(&command, silence)), shell })
            }
            Some(_) => Ok(Self::leave(shell)),
            None if !typed.is_empty() && forget::writes_each_line(shell.facts.shell.as_deref()) => {
                let command = forget::command(typed, shell.channel.sum);
                Ok(Self { step: Step::Forget(shell.run(&command, silence)), shell })
            }
            None => Err(Box::new(shell)),
        }
    }

    /// Ends what runs inside of something that there is no way out of.
    pub(super) fn leave(mut shell: Shell) -> Self {
        Self { step: Step::Leave(shell.leave()), shell }
    }

    /// Why there is no shell although there was one.
    pub(super) fn multiplexed(&self) -> ShellError {
        let program = last_words(self.shell.facts.inside.as_deref().unwrap_or_default());
        ShellError::Multiplexed { program }
    }
}

impl Machine for Aside {
    type Event = ShellEvent;
    type Outcome = Done;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        match &mut self.step {
            Step::Forget(run) => run.handle_input(now, bytes),
            Step::Handover(start) => start.handle_input(now, bytes),
            Step::Leave(leave) => leave.handle_input(now, bytes),
        }
    }

    fn handle_hangup(&mut self, now: Instant) {
        match &mut self.step {
            Step::Forget(run) => run.handle_hangup(now),
            Step::Handover(start) => start.handle_hangup(now),
            Step::Leave(leave) => leave.handle_hangup(now),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.step {
            Step::Forget(run) => run.handle_timeout(now),
            Step::Handover(start) => start.handle_timeout(now),
            Step::Leave(leave) => leave.handle_timeout(now),
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<ShellEvent, Done> {
        match &mut self.step {
            Step::Forget(run) => ended(run.poll_output(now), Done::Forgot),
            Step::Handover(start) => ended(start.poll_output(now), Done::SteppedOut),
            Step::Leave(leave) => ended(leave.poll_output(now), Done::Left),
        }
    }
}

fn ended<O>(output: Output<ShellEvent, O>, end: impl FnOnce(O) -> Done) -> Output<ShellEvent, Done> {
    match output {
        Output::Transmit(transmit) => Output::Transmit(transmit),
        Output::Control(control) => Output::Control(control),
        Output::Event(event) => Output::Event(event),
        Output::Wait(until) => Output::Wait(until),
        Output::Done(outcome) => Output::Done(end(outcome)),
    }
}
