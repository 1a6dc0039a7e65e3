//! What a host that is known is asked in one go, right behind the agent, where a host that is not is asked
//! one thing after the other.
//!
//! ```text
//! agent | 1: functions; is this host as it was? what of the mailbox? | 2: the answers | 3: what follows
//! ```
//!
//! Each line is proven by its checksum as any other. The first keeps the answers in variables, so that they
//! can be asked for twice; the third runs only if the host finds by the answers that it is worth running.
//! All of it together is less than what a tty holds that nobody has read yet.

use std::time::Duration;

use super::agent::Request;
use super::checksum::Checksum;
use super::exchange::blocks_for;
use super::forget;
use super::probe::HostFacts;
use super::quote::one_line;
use super::{ANSWER_BYTES_MAX, COMMAND_BYTES_MAX};

/// What is known of a host beforehand, and what it is asked first.
#[derive(Debug, Clone)]
pub struct Known {
    /// What it had.
    pub facts: HostFacts,
    /// What it proves lines with.
    pub sum: Checksum,
    /// How long the line took from sending to hearing.
    pub round_trip: Duration,
    /// The line hits so little that nothing has to be looked at before it is acted upon.
    pub clean: bool,
    /// Its line editor scrolls a long line sideways, so that its echo says nothing.
    pub scrolls: bool,
    /// Evaluated in the agent before anything is asked: functions. May be empty.
    pub functions: String,
    /// A command whose output, one line of sh words at most a few, is the first answer. May be empty.
    pub question: String,
    /// Runs behind the answers, if there is something.
    pub then: Option<Then>,
}

/// What runs behind the answers, with the line as its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Then {
    /// What the first answer must match, as a pattern of sh's `case`.
    pub pattern: String,
    /// Runs if it does; finds the answer's words in `$1`, `$2` and so on.
    pub command: String,
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Foreseen {
    /// Nothing was asked.
    #[default]
    Nothing,
    /// The host is what it was.
    AsKnown {
        /// What the question printed.
        answer: Vec<u8>,
        /// What follows has not begun to come before the answers were here, so that none of it was missed.
        then_is_whole: bool,
    },
    /// The host is not what it was, or the line hit too much: it was asked as any other.
    Otherwise,
}

/// The lines behind the agent.
pub(super) struct Burst {
    /// Goes out first.
    pub(super) prepare: Vec<u8>,
    /// The request that is waited for.
    pub(super) ask: Vec<u8>,
    /// What follows, if there is something.
    pub(super) then: Option<Vec<u8>>,
}

impl Known {
    /// The lines, where these were typed at the prompt, or `None` if they are too long to be sent in one go.
    pub(super) fn burst(&self, typed: &[String]) -> Option<Burst> {
        let here = |seq: &str, command: &str| Request::Here { command }.line(self.sum, seq);
        let functions = match self.functions.as_str() {
            "" => String::new(),
            some => format!("{some};"),
        };
        // In a shell of its own, for it has variables of ours.
        let forget = match forget::writes_each_line(self.facts.shell.as_deref()) {
            true => format!(";({})>/dev/null", forget::command(typed, self.sum)),
            false => String::new(),
        };
        // `u` and `v` are the agent's to keep: it uses neither itself.
        let prepare = one_line(&format!(
            "{functions}v=`{}`;u=$({{ {};}}|k);u=${{u%% *}}{forget}",
            self.question,
            self.facts.proof_command()
        ));
        let ask = Request::Capture { command: ASK, blocks: blocks_for(ANSWER_BYTES_MAX, true) };
        let then = self.then.as_ref().map(|then| {
            let proof = self.proof();
            one_line(&format!("set -- $v;case $u:$v in {proof}:{}){};;esac", then.pattern, then.command))
        });
        let burst = Burst {
            prepare: here(PREPARE_SEQ, &prepare),
            ask: ask.line(self.sum, ASK_SEQ),
            then: then.map(|then| here(&format!("{THEN_SEQ}.1"), &then)),
        };
        let then_len = burst.then.as_ref().map_or(0, Vec::len);
        (burst.prepare.len() + burst.ask.len() + then_len <= BURST_BYTES_MAX).then_some(burst)
    }

    /// The answers, if they are those of the host that is known.
    pub(super) fn answer(&self, reply: &[u8]) -> Option<Vec<u8>> {
        let rest = reply.strip_prefix(self.proof().as_bytes())?.strip_prefix(b"\n")?;
        Some(rest.to_vec())
    }

    fn proof(&self) -> String {
        self.sum.of(&self.facts.proof())
    }
}

const ASK: &str = "printf '%s\\n' \"$u\" \"$v\"";
const PREPARE_SEQ: &str = "1";
pub(super) const ASK_SEQ: &str = "2";
/// The number under which what follows was started; its requests are counted behind a full stop.
pub const THEN_SEQ: u32 = 3;
/// Together with the agent less than [`COMMAND_BYTES_MAX`].
const BURST_BYTES_MAX: usize = COMMAND_BYTES_MAX - 1_000;
