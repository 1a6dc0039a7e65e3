//! From the prompt of whatever login shell there is to the agent: types the loader, compares its
//! echo, loads the agent through it and asks the host what it has.
//!
//! ```text
//! Settle ──quiet──> Echo ──the line stands there──> Marker ──loader waits──> Load ──facts──> done
//!    ^                │ other than typed               │ nothing comes, or a refusal
//!    └──── Cleared <──┴────────────────────────────────┘
//! ```
//!
//! Where the prompt may be that of something else, a menu or an editor, that acts upon single keys,
//! `Key` comes first: one `;`, which stands for nothing in any of them, has to show as what it is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::agent::{self, Request};
use super::aside::{Aside, Done};
use super::checksum::Checksum;
use super::echo::Screen;
use super::exchange::{Exchange, Heard, Wanted, blocks_for};
use super::frame::{Frame, FrameReader, Nonce};
use super::probe::{HostFacts, probe_command};
use super::refusal::{Answer, Refusal};
use super::{Channel, Reply, Shell, ShellError, ShellEvent, last_words, remember};
use crate::machine::{Machine, Output, Transmit};

/// How patient [`Open`] is.
#[derive(Debug, Clone, Copy)]
pub struct OpenOptions {
    /// Silence that means the login has come to its prompt.
    pub settle: Duration,
    /// Silence of the loader or the agent that means they are gone.
    pub silence: Duration,
    /// What waits may be no shell: nothing is typed before a key that does no harm has shown.
    pub careful: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { settle: Duration::from_millis(600), silence: Duration::from_secs(45), careful: false }
    }
}

/// Opens a shell ([`Shell`]) at a prompt.
#[derive(Debug)]
pub struct Open {
    nonce: Nonce,
    options: OpenOptions,
    state: State,
    wake: Option<Instant>,
    give_up_at: Option<Instant>,
    screen: Screen,
    reader: FrameReader,
    said: Vec<u8>,
    round_trip: Duration,
    /// Lines typed so far, and what the one before looked like.
    typed: u32,
    echo_before: Option<Vec<u8>>,
    /// Times that a line was ended and no loader came up.
    refused: u32,
    /// What the host says to the line that was ended.
    answer: Answer,
    /// Keys typed to see whether they show.
    keys: u32,
    /// Lines that were ended at the shell's prompt: its history may have them.
    ended: Vec<Line>,
    /// The shell inside of tmux that was told to let us out.
    inside: Option<Shell>,
    output: VecDeque<Output<ShellEvent, Result<Shell, ShellError>>>,
}

#[derive(Debug)]
enum State {
    /// Waiting for the prompt: until nothing has come for a while.
    Settle {
        latest: Option<Instant>,
    },
    /// A key that does no harm was typed.
    Key,
    /// A line stands typed and not ended.
    Echo {
        line: Line,
        since: Instant,
    },
    /// The line was cleared away; waiting for the prompt to come back.
    Cleared {
        next: Line,
        latest: Instant,
    },
    /// The first of two lines was ended; its sh reads the second.
    FirstOfTwo {
        latest: Instant,
    },
    /// The loader was started and has not said so yet.
    Marker {
        line: Line,
        nudges: u32,
    },
    /// The agent and the first command are on their way.
    Load(Box<Load>),
    /// There is a shell, and something to be done in it first.
    Aside(Box<Aside>),
    Over,
}

/// Which line is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Whole,
    First,
    Second,
    /// For a shell that may not be replaced.
    WithoutExec,
    /// None: tmux starts the loader.
    Outside,
}

#[derive(Debug)]
struct Load {
    exchange: Exchange,
    loads: u32,
    /// What is left according to the host's complaints.
    complaint: Option<Checksum>,
    /// Loader frames that a load brings when all goes well.
    waits_due: u32,
    /// The load failed; once the host has been quiet it is sent again.
    again_at: Option<Instant>,
}

impl Open {
    /// Begins at a prompt, or a little before it. The nonce marks this call's frames: draw a new one
    /// for each call.
    pub fn new(nonce: u32, options: OpenOptions) -> Self {
        let nonce = Nonce::new(nonce);
        Self {
            nonce,
            options,
            state: State::Settle { latest: None },
            wake: None,
            give_up_at: None,
            screen: Screen::default(),
            reader: FrameReader::new(nonce, Checksum::Cksum),
            said: Vec::new(),
            round_trip: ROUND_TRIP_ASSUMED,
            typed: 0,
            echo_before: None,
            refused: 0,
            answer: Answer::default(),
            keys: 0,
            ended: Vec::new(),
            inside: None,
            output: VecDeque::new(),
        }
    }

    fn handle_byte(&mut self, now: Instant, byte: u8) {
        remember(&mut self.said, byte);
        if let Some(answer) = self.screen.push(byte) {
            self.transmit(answer.to_vec());
        }
        self.answer.push(byte);
        let loader_waits = self.reader.push(byte).contains(&Frame::Loader);
        match &self.state {
            State::Settle { latest } => {
                self.wake = Some(earlier(now + self.options.settle, *latest));
            }
            State::Cleared { latest, .. } => self.wake = Some(earlier(now + CLEAR_QUIET, Some(*latest))),
            State::FirstOfTwo { latest } => {
                self.wake = Some(earlier(now + self.options.settle, Some(*latest)));
            }
            State::Echo { line, since } => {
                let (line, since) = (*line, *since);
                if self.screen.shows(&self.text(line)) {
                    self.round_trip = now.saturating_duration_since(since).min(ROUND_TRIP_MAX);
                    self.end_line(now, line);
                } else {
                    self.wake = Some(earlier(now + ECHO_GAP, Some(since + ECHO_MAX)));
                }
            }
            State::Key => self.wake = Some(now + KEY_QUIET),
            State::Marker { .. } if loader_waits => self.load(now),
            State::Marker { line, .. } if byte == b'\n' => {
                let line = *line;
                self.heed_refusal(now, line);
            }
            State::Marker { .. } => self.answer_correction(),
            State::Load(_) | State::Aside(_) | State::Over => {}
        }
    }

    /// zsh and tcsh may ask whether a word was meant otherwise. It was not.
    fn answer_correction(&mut self) {
        if self.answer.asks_whether_it_is_right() {
            self.answer.clear();
            self.transmit(vec![NO]);
        }
    }

    /// Types a key that no shell, menu, pager or editor acts upon.
    fn type_key(&mut self, now: Instant) {
        self.keys += 1;
        self.output.push_back(Output::Event(ShellEvent::Typing));
        self.screen.clear();
        self.transmit(vec![HARMLESS_KEY]);
        self.state = State::Key;
        self.wake = Some(now + ECHO_FIRST);
    }

    /// The host has had its time to show the key.
    fn judge_key(&mut self, now: Instant) {
        if self.screen.shows_key(HARMLESS_KEY) {
            self.type_line(now, Line::Whole);
        } else if self.keys < KEYS_MAX {
            self.type_key(now);
        } else {
            self.end(Err(ShellError::NotAShell { last: last_words(&self.said) }));
        }
    }

    /// The shell says itself what it does not do.
    fn heed_refusal(&mut self, now: Instant, line: Line) {
        match (self.answer.refusal(), line) {
            (Some(Refusal::Exec { .. }), Line::Whole | Line::First) => {
                self.refused += 1;
                self.state = State::Cleared { next: Line::WithoutExec, latest: now + CLEAR_MAX };
                self.wake = Some(now + CLEAR_QUIET);
            }
            (Some(Refusal::Sh { said }), Line::Whole | Line::First | Line::WithoutExec) => {
                self.end(Err(ShellError::NoSh { said }));
            }
            (Some(Refusal::Exec { .. }), Line::WithoutExec | Line::Second | Line::Outside)
            | (Some(Refusal::Sh { .. }), Line::Second | Line::Outside)
            | (None, _) => {}
        }
    }

    /// Types a line without ending it.
    fn type_line(&mut self, now: Instant, line: Line) {
        self.typed += 1;
        let refused = self.refused >= if self.options.careful { CAREFUL_REFUSED_MAX } else { REFUSED_MAX };
        if refused || self.typed > TYPED_MAX || self.give_up_at.is_some_and(|at| now > at) {
            return self.end(Err(ShellError::NotAShell { last: last_words(&self.said) }));
        }
        self.output.push_back(Output::Event(ShellEvent::Typing));
        self.screen.clear();
        let text = self.text(line);
        // Whatever noise may have typed before us goes first.
        self.transmit([&[KILL_LINE], text.as_bytes()].concat());
        self.state = State::Echo { line, since: now };
        self.wake = Some(now + ECHO_FIRST);
    }

    /// The echo has come to a stop and is not what was typed.
    fn judge_echo(&mut self, now: Instant, line: Line) {
        let echo = self.screen.visible().to_vec();
        // The same twice is no noise: it is how this editor shows the line, or there is no echo.
        if self.echo_before.as_ref() == Some(&echo) {
            return self.end_line(now, line);
        }
        self.echo_before = Some(echo);
        self.clear_line(now, line);
    }

    fn clear_line(&mut self, now: Instant, line: Line) {
        let scrolls = self.typed >= TYPED_WHOLE_MAX;
        let next = match line {
            // This sh has no prompt to come back to: an interrupt would end it.
            Line::Second => {
                self.transmit(vec![KILL_LINE]);
                Line::Second
            }
            // tmux is older than 2.4, or its client did not let go: back to the shell inside, and out.
            Line::Outside => {
                match self.inside.take() {
                    Some(shell) => self.state = State::Aside(Box::new(Aside::leave(shell))),
                    None => self.end(Err(ShellError::NotAShell { last: last_words(&self.said) })),
                }
                return;
            }
            Line::Whole | Line::First | Line::WithoutExec => {
                // What read the line and is no shell might take an interrupt for the wish to leave.
                self.transmit(if self.options.careful { NUDGE.to_vec() } else { vec![INTERRUPT] });
                match self.refused % 2 {
                    // Refused in words that nobody here knows: perhaps it was `exec` that was.
                    1 => Line::WithoutExec,
                    _ if scrolls => Line::First,
                    _ => Line::Whole,
                }
            }
        };
        if next != line {
            self.echo_before = None;
        }
        self.state = State::Cleared { next, latest: now + CLEAR_MAX };
        self.wake = Some(now + self.gap());
    }

    fn end_line(&mut self, now: Instant, line: Line) {
        // A terminal sends CR; a tty that does not map it wants LF.
        self.transmit(if self.refused.is_multiple_of(2) { b"\r".to_vec() } else { b"\n".to_vec() });
        self.echo_before = None;
        self.answer.clear();
        if line != Line::Second {
            self.ended.push(line);
        }
        if line == Line::First {
            self.state = State::FirstOfTwo { latest: now + CLEAR_MAX };
            self.wake = Some(now + self.gap());
        } else {
            self.state = State::Marker { line, nudges: 0 };
            self.wake = Some(now + self.gap() + MARKER_BEYOND_GAP);
        }
    }

    /// The loader waits: sends the agent, and the first command right behind it.
    fn load(&mut self, now: Instant) {
        let silence = self.options.silence;
        let channel =
            Channel { nonce: self.nonce, sum: Checksum::Cksum, round_trip: self.round_trip, hex: true };
        let wanted = Wanted::Reply { limit: PROBE_BYTES_MAX };
        let exchange = Exchange::new(channel, PROBE_SEQ, wanted, silence, "loading the agent");
        let mut load = Load { exchange, loads: 0, complaint: None, waits_due: 0, again_at: None };
        self.output.push_back(Output::Event(ShellEvent::Loading));
        load.send(self.nonce);
        self.state = State::Load(Box::new(load));
        self.wake = Some(now);
    }

    fn handle_quiet(&mut self, now: Instant) {
        match &mut self.state {
            State::Settle { .. } if self.options.careful => self.type_key(now),
            State::Settle { .. } => self.type_line(now, Line::Whole),
            State::Key => self.judge_key(now),
            State::Cleared { next, .. } => {
                let next = *next;
                self.type_line(now, next);
            }
            State::FirstOfTwo { .. } => self.type_line(now, Line::Second),
            State::Echo { line, .. } => {
                let line = *line;
                self.judge_echo(now, line);
            }
            State::Marker { line: Line::Whole | Line::First | Line::WithoutExec | Line::Outside, nudges }
                if *nudges < NUDGES_MAX =>
            {
                // The loader answers any line; at a prompt nothing is left of ours to be run, should
                // its end have been hit. An empty line might be a menu's default.
                *nudges += 1;
                self.transmit(NUDGE.to_vec());
                self.wake = Some(now + self.gap() + MARKER_BEYOND_GAP);
            }
            State::Marker { line, .. } => {
                let line = *line;
                self.refused += 1;
                self.clear_line(now, line);
            }
            State::Load(_) | State::Aside(_) | State::Over => {}
        }
    }

    /// There is a shell. Usually that is all.
    fn opened(&mut self, shell: Shell) {
        let typed: Vec<String> = self.ended.iter().map(|&line| self.text(line)).collect();
        self.ended.clear();
        match Aside::needed(shell, self.nonce, &typed, self.inside.is_some(), self.options.silence) {
            Ok(aside) => self.state = State::Aside(Box::new(aside)),
            Err(shell) => self.end(Ok(*shell)),
        }
    }

    fn aside_is_done(&mut self, now: Instant, mut aside: Aside, done: Done) {
        match done {
            Done::Forgot(Ok(Reply { bytes, .. })) => {
                aside.shell.facts.wrote_history = !bytes.is_empty();
                self.end(Ok(aside.shell));
            }
            Done::SteppedOut(Ok(())) => {
                self.inside = Some(aside.shell);
                self.reader = FrameReader::new(self.nonce, Checksum::Cksum);
                self.state = State::Marker { line: Line::Outside, nudges: 0 };
                self.wake = Some(now + self.gap() + MARKER_BEYOND_GAP);
            }
            Done::Left(_) => self.end(Err(aside.multiplexed())),
            Done::Forgot(Err(error)) | Done::SteppedOut(Err(error)) => self.end(Err(error)),
        }
    }

    fn text(&self, line: Line) -> String {
        match line {
            Line::Whole => agent::loader(self.nonce),
            Line::First => agent::loader_in_two(self.nonce).0,
            Line::Second => agent::loader_in_two(self.nonce).1,
            Line::WithoutExec => agent::loader_without_exec(self.nonce),
            Line::Outside => String::new(),
        }
    }

    fn gap(&self) -> Duration {
        2 * self.round_trip + CLEAR_QUIET
    }

    fn transmit(&mut self, bytes: Vec<u8>) {
        self.output.push_back(Output::Transmit(Transmit::plain(bytes)));
    }

    fn end(&mut self, outcome: Result<Shell, ShellError>) {
        self.state = State::Over;
        self.output.push_back(Output::Done(outcome));
    }
}

impl Load {
    /// Sends the agent under the checksum whose turn it is.
    fn send(&mut self, nonce: Nonce) {
        let sum = self.checksum();
        let mut bytes = Vec::new();
        self.waits_due = 0;
        if sum == Checksum::Adler {
            bytes = agent::adler_definition();
            self.waits_due = 1;
        }
        bytes.extend(agent::agent(nonce, sum));
        let command = probe_command();
        let probe = Request::Capture { command: &command, blocks: blocks_for(PROBE_BYTES_MAX, true) };
        self.exchange.take_loader_waits();
        // Where the agent was hit once, it goes alone.
        self.exchange.send_behind(bytes, sum, probe.line(sum, PROBE_SEQ), self.loads == 0);
        self.loads += 1;
        self.again_at = None;
    }

    /// What the host complained about says what it lacks; if it did not complain, noise is likelier
    /// than a host without `cksum`, but the others get their turn.
    fn checksum(&mut self) -> Checksum {
        let complains = |name: &[u8]| memchr::memmem::find(self.exchange.said(), name).is_some();
        if complains(b"md5sum") {
            self.complaint = Some(Checksum::Adler);
        } else if complains(b"cksum") {
            self.complaint = self.complaint.or(Some(Checksum::Md5sum));
        }
        self.complaint.unwrap_or(CHECKSUM_TURNS[self.loads as usize % CHECKSUM_TURNS.len()])
    }

    /// Looks at what the loader said, if it is still the loader that speaks.
    fn notice_loader(&mut self, now: Instant) {
        let waits = self.exchange.take_loader_waits();
        if self.exchange.agent_up() {
            self.again_at = None;
        } else if waits > self.waits_due {
            // The lines behind the damaged one are refused as well: wait until all of them are.
            let gap = CLEAR_QUIET;
            self.again_at = Some(now + gap);
        }
        self.waits_due = self.waits_due.saturating_sub(waits);
    }
}

impl Machine for Open {
    type Event = ShellEvent;
    type Outcome = Result<Shell, ShellError>;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        for (position, &byte) in bytes.iter().enumerate() {
            if let State::Load(load) = &mut self.state {
                let taken = load.exchange.handle_input(now, &bytes[position..]);
                load.notice_loader(now);
                return position + taken;
            }
            if let State::Aside(aside) = &mut self.state {
                return position + aside.handle_input(now, &bytes[position..]);
            }
            self.handle_byte(now, byte);
        }
        bytes.len()
    }

    fn handle_hangup(&mut self, now: Instant) {
        match &mut self.state {
            State::Load(load) => load.exchange.handle_hangup(now),
            State::Aside(aside) => aside.handle_hangup(now),
            State::Over => {}
            _ => self.end(Err(ShellError::CarrierLost { doing: "looking for the shell" })),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let State::Load(load) = &mut self.state {
            match load.again_at {
                Some(at) if at > now => {}
                Some(_) if load.loads >= LOADS_MAX => {
                    load.exchange.fail(ShellError::TooNoisy { tries: LOADS_MAX, doing: "loading the agent" });
                }
                Some(_) => {
                    load.send(self.nonce);
                    self.output.push_back(Output::Event(ShellEvent::SentAgain));
                }
                None => load.exchange.handle_timeout(now),
            }
        } else if let State::Aside(aside) = &mut self.state {
            aside.handle_timeout(now);
        } else if self.wake.is_some_and(|wake| wake <= now) {
            self.handle_quiet(now);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<ShellEvent, Result<Shell, ShellError>> {
        if let State::Settle { latest: latest @ None } = &mut self.state {
            *latest = Some(now + SETTLE_MAX);
            self.give_up_at = Some(now + TYPING_MAX);
            self.wake.get_or_insert(now + self.options.settle);
        }
        if let Some(output) = self.output.pop_front() {
            return output;
        }
        let load = match &mut self.state {
            State::Load(load) => load,
            State::Aside(_) => return self.poll_aside(now),
            _typing => return Output::Wait(self.wake),
        };
        match load.exchange.poll_output(now) {
            Output::Transmit(transmit) => Output::Transmit(transmit),
            Output::Control(control) => Output::Control(control),
            Output::Event(event) => Output::Event(event),
            Output::Wait(until) => Output::Wait(load.again_at.or(until)),
            Output::Done(outcome) => {
                let (channel, hex) = (load.exchange.channel(), load.exchange.came_in_hex());
                match outcome.map(|heard| opened(channel, hex, heard)) {
                    Ok(shell) => self.opened(shell),
                    Err(error) => self.end(Err(error)),
                }
                self.poll_output(now)
            }
        }
    }
}

impl Open {
    fn poll_aside(&mut self, now: Instant) -> Output<ShellEvent, Result<Shell, ShellError>> {
        let State::Aside(mut aside) = std::mem::replace(&mut self.state, State::Over) else {
            return Output::Wait(None);
        };
        let output = match aside.poll_output(now) {
            Output::Transmit(transmit) => Output::Transmit(transmit),
            Output::Control(control) => Output::Control(control),
            Output::Event(event) => Output::Event(event),
            Output::Wait(until) => Output::Wait(until),
            Output::Done(done) => {
                self.aside_is_done(now, *aside, done);
                return self.poll_output(now);
            }
        };
        self.state = State::Aside(aside);
        output
    }
}

fn opened(channel: Channel, hex: bool, heard: Heard) -> Shell {
    let mut facts = match heard {
        Heard::Reply { bytes, .. } => HostFacts::parse(&bytes),
        Heard::TakeOver | Heard::NextLogin => HostFacts::default(),
    };
    facts.hex = hex;
    Shell { channel: Channel { hex, ..channel }, seq: 1, facts }
}

fn earlier(at: Instant, limit: Option<Instant>) -> Instant {
    limit.map_or(at, |limit| at.min(limit))
}

const KILL_LINE: u8 = 0x15;
const INTERRUPT: u8 = 0x03;
/// To zsh's `[nyae]?` and tcsh's `(y|n|e|a)?`.
const NO: u8 = b'n';
/// A comment, behind whatever noise may have typed.
const NUDGE: [u8; 3] = [KILL_LINE, b'#', b'\n'];
/// Separates commands in a shell. No key in the menus, pagers and editors that one may land in, or
/// (vi) one that repeats a search which there was not.
const HARMLESS_KEY: u8 = b';';

/// The first command's number.
const PROBE_SEQ: &str = "1";
/// What the host's answer about itself may have, in bytes.
const PROBE_BYTES_MAX: usize = 4_096;
/// Which checksum is tried at which load, as long as the host does not say what it lacks.
const CHECKSUM_TURNS: [Checksum; 10] = {
    use Checksum::{Adler, Cksum, Md5sum};
    [Cksum, Cksum, Cksum, Cksum, Md5sum, Cksum, Cksum, Cksum, Cksum, Adler]
};

/// A login that prints for longer than this gets our line in between.
const SETTLE_MAX: Duration = Duration::from_secs(20);
/// Until the first of an echo comes: a slow host over two satellite hops.
const ECHO_FIRST: Duration = Duration::from_secs(6);
/// Silence in which an echo has come to its end.
const ECHO_GAP: Duration = Duration::from_millis(1_500);
/// An echo that goes on for longer is something else.
const ECHO_MAX: Duration = Duration::from_secs(30);
/// No line is typed any more after this; the one before ends within [`ECHO_MAX`].
const TYPING_MAX: Duration = Duration::from_secs(180);
/// Silence after which a prompt has come back.
const CLEAR_QUIET: Duration = Duration::from_millis(800);
/// A host that still prints after this gets the next line all the same.
const CLEAR_MAX: Duration = Duration::from_secs(10);
/// Time for the host to start sh and stty.
const MARKER_BEYOND_GAP: Duration = Duration::from_secs(3);
/// Assumed until an echo has been timed.
const ROUND_TRIP_ASSUMED: Duration = Duration::from_secs(1);
/// A round trip beyond this was a busy host.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(5);
/// Empty lines sent to a loader that may be there.
const NUDGES_MAX: u32 = 2;
/// Silence in which a key has shown, and nothing was said to it.
const KEY_QUIET: Duration = Duration::from_millis(400);
/// Keys typed before the host is believed to show none.
const KEYS_MAX: u32 = 3;
/// Lines that were ended and ran no loader: with and without `exec`, and by both line ends.
const REFUSED_MAX: u32 = 4;
/// The same where it may be no shell that reads them.
const CAREFUL_REFUSED_MAX: u32 = 2;
/// Lines typed at the prompt, in all.
const TYPED_MAX: u32 = 12;
/// Of these, so many before the short first line is tried.
const TYPED_WHOLE_MAX: u32 = 4;
/// Times the agent is sent.
const LOADS_MAX: u32 = 30;
