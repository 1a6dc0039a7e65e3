//! Dialling: wake the modem, set it up, dial, and tell apart the ways in which that ends.
//!
//! ```text
//! Drain -> Wake -> Setup -> Gap -> Setup -> .. -> Dialling -> LineFeed -> Done(ConnectInfo)
//!           |  silent: an old call may be up       | BUSY, .. -> Freeing (ATH0) -> Done(error)
//!           +-> Freeing (+++, ATH0) -> Wake        | too long -> Aborting (CR) --^
//! ```
//!
//! However it fails, the modem is left on-hook and in command mode, or [`DialEvent::Note`] says that
//! it could not be made sure of.

mod error;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use self::error::DialError;
use self::error::call_failure;
use super::codec::{CR, ConnectInfo, Heard, LF, Reader, Report, Response};
use super::hangup::{HANG_UP_MAX, HangUp, HangUpError, HangUpEvent, QUIET};
use super::number::{BadNumber, DialRules, dial_string, dial_strings};
use super::profile::{Profile, WAIT_MS_MAX, WAIT_PLACE};
use crate::machine::{Machine, Output, Transmit};

/// Dials one number once.
#[derive(Debug)]
pub struct Dial {
    profile: Profile,
    number: String,
    setup: Vec<Command>,
    /// The dial commands: several where the modem's command line is short of the number.
    commands: Vec<String>,
    /// Index of the one that is out.
    piece: usize,
    wait: Duration,
    state: State,
    reader: Reader,
    /// Whether the modem's last OK was in numbers. Behind an OK in words, a number is no result.
    numeric: Option<bool>,
    /// What was said where only OK was expected.
    garbled: Option<String>,
    /// An old call has been looked for already.
    freed: bool,
    rang: bool,
    reports: Vec<(Report, String)>,
    setup_until: Option<Instant>,
    told: usize,
    outputs: VecDeque<Output<DialEvent, Result<ConnectInfo, DialError>>>,
}

/// What happens on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialEvent {
    /// The modem answers.
    Awake,
    /// The modem does not answer; perhaps an old call is still up, and it is hung up first.
    HangingUpOldCall,
    /// The number is being dialled, as it was given to the modem.
    Dialling(String),
    /// It rings at the other end.
    Ringing,
    /// Something the user may want to know: an option refused, a line the modem said in between.
    Note(String),
}

/// A command that will be sent, as [`Dial::plan`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The whole command line.
    pub command: String,
    /// The longest wait for an answer.
    pub wait: Duration,
    /// Whether the modem must accept it.
    pub needed: bool,
}

#[derive(Debug)]
enum State {
    Start,
    /// What was under way before us goes by.
    Drain {
        until: Instant,
        limit: Instant,
    },
    /// `AT` is out; `quiet` is when an answer to it counts, if nothing follows it until then.
    Wake {
        tries: u32,
        until: Instant,
        quiet: Option<Instant>,
    },
    /// A moment of silence before the command with this index.
    Gap {
        next: usize,
        until: Instant,
    },
    /// The command with this index is out.
    Setup {
        index: usize,
        repeated: bool,
        until: Instant,
    },
    Dialling {
        until: Instant,
    },
    /// A character breaks the dialling off (V.250 §5.6.1).
    Aborting {
        until: Instant,
    },
    /// CONNECT has come, and the LF that ends its line has not.
    LineFeed {
        info: ConnectInfo,
        until: Instant,
    },
    /// The modem is put on-hook: then dialling begins, or fails so.
    Freeing {
        hangup: Box<HangUp>,
        then: Option<DialError>,
    },
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Without an answer the next command settles it.
    Reset,
    Needed,
    Optional,
}

#[derive(Debug)]
struct Command {
    text: String,
    need: Need,
}

impl Dial {
    /// Prepares to dial `number` by no rules but the profile's, and to wait for a carrier no longer
    /// than `wait`, which is held between a second and [`DIAL_WAIT_LIMIT`].
    pub fn new(profile: Profile, number: &str, wait: Duration) -> Result<Self, BadNumber> {
        Self::by_rules(profile, &DialRules::default(), number, wait)
    }

    /// The same by the rules of a line and its place.
    pub fn by_rules(
        profile: Profile,
        rules: &DialRules,
        number: &str,
        wait: Duration,
    ) -> Result<Self, BadNumber> {
        let commands = dial_strings(&profile, rules, number)?;
        let number = dial_string(&profile, rules, number)?;
        let wait = wait.clamp(Duration::from_secs(1), DIAL_WAIT_LIMIT);
        let setup = setup_commands(&profile, wait);
        Ok(Self {
            profile,
            number,
            setup,
            commands,
            piece: 0,
            wait,
            state: State::Start,
            reader: Reader::default(),
            numeric: None,
            garbled: None,
            freed: false,
            rang: false,
            reports: Vec::new(),
            setup_until: None,
            told: 0,
            outputs: VecDeque::new(),
        })
    }

    /// What will be sent, if nothing goes wrong, and how long an answer to each may take.
    pub fn plan(&self) -> Vec<Planned> {
        let planned = |command: &str, wait, needed| Planned { command: format!("AT{command}"), wait, needed };
        let setup = self.setup.iter();
        let setup = setup.map(|command| {
            planned(&command.text, self.command_wait(command.need), command.need == Need::Needed)
        });
        let dial = self.commands.iter().map(|command| planned(command, self.wait, true));
        std::iter::once(planned("", WAKE_WAIT, true)).chain(setup).chain(dial).collect()
    }

    fn command_wait(&self, need: Need) -> Duration {
        match need {
            Need::Reset => self.profile.reset_wait,
            Need::Needed | Need::Optional => self.profile.command_wait,
        }
    }

    /// Makes the transition that is due, if one is.
    fn advance(&mut self, now: Instant) {
        match self.state {
            State::Start => {
                self.state = State::Drain { until: now + DRAIN_QUIET, limit: now + DRAIN_MAX };
            }
            State::Freeing { .. } | State::Ended => {}
            _ if self.until().is_none_or(|until| now < until) => {}
            State::Drain { .. } => self.wake(now, 1),
            State::Wake { quiet: Some(quiet), .. } if quiet <= now && !self.reader.is_mid_line() => {
                self.garbled = None;
                self.tell(DialEvent::Awake);
                self.send_command(now, 0, false);
            }
            // The answer was an old call's data, which goes on: it has the rest of the time.
            State::Wake { tries, until, quiet: Some(_) } if now < until => {
                self.state = State::Wake { tries, until, quiet: None };
            }
            State::Wake { tries, .. } if tries < WAKE_TRIES => self.wake(now, tries + 1),
            State::Wake { .. } => self.free_or_fail(),
            State::Gap { next, .. } => self.send_command(now, next, false),
            State::Setup { index, repeated, .. } => self.unanswered(now, index, repeated),
            State::Dialling { .. } => {
                self.transmit([CR]);
                self.state = State::Aborting { until: now + ABORT_WAIT };
            }
            State::Aborting { .. } => self.fail(self.too_late()),
            State::LineFeed { .. } => self.connected(),
        }
    }

    fn until(&self) -> Option<Instant> {
        match self.state {
            State::Start | State::Freeing { .. } | State::Ended => None,
            State::Drain { until, limit } => Some(until.min(limit)),
            State::Wake { until, quiet, .. } => Some(quiet.map_or(until, |quiet| quiet.min(until))),
            State::Gap { until, .. }
            | State::Setup { until, .. }
            | State::Dialling { until }
            | State::Aborting { until }
            | State::LineFeed { until, .. } => Some(until),
        }
    }

    fn wake(&mut self, now: Instant, tries: u32) {
        // A modem whose stored settings are quiet (Q1) hears the first try and says nothing.
        let command: &[u8] = if tries == 1 { b"AT\r" } else { b"ATQ0\r" };
        self.transmit(command);
        self.state = State::Wake { tries, until: now + WAKE_WAIT, quiet: None };
    }

    fn send_command(&mut self, now: Instant, index: usize, repeated: bool) {
        let setup_until = *self.setup_until.get_or_insert(now + SETUP_MAX);
        let command = self.setup.get(index);
        if now >= setup_until && command.is_some_and(|command| command.need != Need::Optional) {
            self.end(Err(self.silent()));
        } else if let Some(command) = command.filter(|_| now < setup_until) {
            let wait = self.command_wait(command.need);
            let line = format!("AT{}\r", command.text);
            self.transmit(line);
            self.state = State::Setup { index, repeated, until: now + wait };
        } else {
            // The options that are left when the time for them is over are not worth more of it.
            // Beyond the limit for events, because whoever counts dials must hear of this one.
            self.outputs.push_back(Output::Event(DialEvent::Dialling(self.number.clone())));
            self.send_piece(now, 0);
        }
    }

    fn send_piece(&mut self, now: Instant, piece: usize) {
        self.piece = piece;
        let line = format!("{}\r", self.dial_command());
        self.transmit(line);
        self.state = State::Dialling { until: now + self.wait };
    }

    fn dial_command(&self) -> String {
        format!("AT{}", self.commands.get(self.piece).map_or("D", String::as_str))
    }

    /// No answer to a command of the setup.
    fn unanswered(&mut self, now: Instant, index: usize, repeated: bool) {
        let Some(command) = self.setup.get(index) else { return };
        match command.need {
            Need::Needed if !repeated => self.send_command(now, index, true),
            Need::Needed => self.free_or_fail(),
            Need::Reset | Need::Optional => {
                self.note(format!("the modem does not answer to AT{}", command.text));
                self.gap(now, index + 1, COMMAND_GAP);
            }
        }
    }

    /// The modem has not answered: it may be on-line from a call that was never hung up.
    fn free_or_fail(&mut self) {
        if self.freed {
            self.end(Err(self.silent()));
        } else {
            self.freed = true;
            self.tell(DialEvent::HangingUpOldCall);
            let hangup = Box::new(HangUp::once(&self.profile));
            self.state = State::Freeing { hangup, then: None };
        }
    }

    fn silent(&self) -> DialError {
        match self.garbled.clone().or_else(|| self.reader.unfinished()) {
            Some(heard) => DialError::Garbled { heard },
            None => DialError::ModemSilent,
        }
    }

    fn freed(&mut self, now: Instant, then: Option<DialError>, outcome: Result<(), HangUpError>) {
        match (then, outcome) {
            (None, Ok(())) => self.wake(now, 1),
            (None, Err(_)) => self.end(Err(self.silent())),
            (Some(error), Ok(())) => self.end(Err(error)),
            (Some(error), Err(trouble)) => {
                // Beyond the limit for events, because this one may cost money.
                self.outputs.push_back(Output::Event(DialEvent::Note(trouble.to_string())));
                self.end(Err(error));
            }
        }
    }

    fn gap(&mut self, now: Instant, next: usize, gap: Duration) {
        self.state = State::Gap { next, until: now + gap };
    }

    fn hear(&mut self, now: Instant, heard: Heard) {
        if heard.response == Response::Ok {
            self.numeric = Some(heard.numeric);
        }
        match self.state {
            State::Wake { tries, until, quiet } => {
                let quiet = self.hear_awake(now, heard, quiet);
                self.state = State::Wake { tries, until, quiet };
            }
            State::Setup { index, .. } => self.hear_setup(now, index, heard),
            State::Dialling { .. } => self.hear_dialling(now, heard),
            State::Aborting { .. } => self.hear_aborting(now, heard),
            // Nothing was asked, so nothing is an answer.
            State::Start | State::Drain { .. } | State::Gap { .. } => {}
            // These read no lines.
            State::LineFeed { .. } | State::Freeing { .. } | State::Ended => {}
        }
    }

    /// Until when it must be quiet now for the modem to be awake. On-line to an old call, a line OK
    /// may be data, but then more follows.
    fn hear_awake(&mut self, now: Instant, heard: Heard, quiet: Option<Instant>) -> Option<Instant> {
        match heard.response {
            // An ERROR is to what stood in the command line before our AT; the modem lives.
            Response::Ok | Response::Error => Some(now + QUIET),
            Response::Echo | Response::Ring | Response::CallerId | Response::NoCarrier => quiet,
            Response::Ringing | Response::Report(_) => quiet,
            Response::Text => {
                self.garbled.get_or_insert(heard.text);
                None
            }
            Response::Connect(_)
            | Response::NoDialtone
            | Response::Busy
            | Response::NoAnswer
            | Response::Voice
            | Response::Fax
            | Response::Blacklisted
            | Response::Delayed(_) => None,
        }
    }

    fn hear_setup(&mut self, now: Instant, index: usize, heard: Heard) {
        let Some(command) = self.setup.get(index) else { return };
        match (accepted(&heard.response), command.need) {
            // An echo, a call coming in, or a line of text: the answer is still to come.
            (None, _) => {}
            (Some(true), Need::Reset) => self.gap(now, index + 1, self.profile.settle),
            (Some(true), Need::Needed | Need::Optional) => self.gap(now, index + 1, COMMAND_GAP),
            (Some(false), Need::Needed) => {
                let command = format!("AT{}", command.text);
                self.end(Err(DialError::Refused { command, reply: heard.text }));
            }
            (Some(false), Need::Reset | Need::Optional) => {
                self.note(format!("the modem answers {:?} to AT{}", heard.text, command.text));
                self.gap(now, index + 1, COMMAND_GAP);
            }
        }
    }

    fn hear_dialling(&mut self, now: Instant, heard: Heard) {
        if heard.numeric && self.numeric == Some(false) {
            self.note(format!("the modem says {:?}", heard.text));
            return;
        }
        match heard.response {
            Response::Connect(info) => self.carrier(now, info, heard.numeric || heard.ended_by == LF),
            Response::Error => {
                self.fail(DialError::Refused { command: self.dial_command(), reply: heard.text });
            }
            Response::Ringing => {
                self.rang = true;
                self.tell(DialEvent::Ringing);
            }
            Response::Report(report) => {
                if self.reports.len() < REPORTS_MAX {
                    self.reports.push((report, heard.text));
                }
            }
            Response::Echo => {}
            // This piece of the number is dialled; the modem waits for the next.
            Response::Ok if self.piece + 1 < self.commands.len() => self.send_piece(now, self.piece + 1),
            // A late OK is to an earlier command; CONNECT or a reason is still to come.
            Response::Ok | Response::Ring | Response::CallerId | Response::Text => {
                self.note(format!("the modem says {:?}", heard.text));
            }
            other => {
                if let Some(error) = call_failure(&other) {
                    self.fail(error);
                }
            }
        }
    }

    /// What comes behind the CR that broke off may still be the real end of the call.
    fn hear_aborting(&mut self, now: Instant, heard: Heard) {
        if heard.numeric && self.numeric == Some(false) {
            return;
        }
        match heard.response {
            Response::Connect(info) => self.carrier(now, info, heard.numeric || heard.ended_by == LF),
            Response::Ok | Response::Error | Response::NoCarrier => self.fail(self.too_late()),
            Response::Echo | Response::Text | Response::Ring | Response::CallerId => {}
            Response::Ringing | Response::Report(_) => {}
            other => {
                if let Some(error) = call_failure(&other) {
                    self.fail(error);
                }
            }
        }
    }

    fn too_late(&self) -> DialError {
        if self.rang { DialError::NoAnswer } else { DialError::TimedOut { wait: self.wait } }
    }

    fn carrier(&mut self, now: Instant, info: ConnectInfo, line_is_over: bool) {
        let info = info.with_reports(std::mem::take(&mut self.reports));
        self.state = State::LineFeed { info, until: now + LINE_FEED_WAIT };
        if line_is_over {
            self.connected();
        }
    }

    fn connected(&mut self) {
        if let State::LineFeed { info, .. } = std::mem::replace(&mut self.state, State::Ended) {
            self.outputs.push_back(Output::Done(Ok(info)));
        }
    }

    /// The call has failed; what the modem does is made sure of before that is said.
    fn fail(&mut self, error: DialError) {
        let hangup = Box::new(HangUp::make_sure(&self.profile));
        self.state = State::Freeing { hangup, then: Some(error) };
    }

    fn end(&mut self, outcome: Result<ConnectInfo, DialError>) {
        self.state = State::Ended;
        self.outputs.push_back(Output::Done(outcome));
    }

    fn transmit(&mut self, bytes: impl Into<Vec<u8>>) {
        self.outputs.push_back(Output::Transmit(Transmit::plain(bytes)));
    }

    fn note(&mut self, text: String) {
        self.tell(DialEvent::Note(text));
    }

    /// A modem, or whatever is on the port, may say more than anyone wants to read.
    fn tell(&mut self, event: DialEvent) {
        if self.told < EVENTS_MAX {
            self.told += 1;
            self.outputs.push_back(Output::Event(event));
        }
    }
}

impl Machine for Dial {
    type Event = DialEvent;
    type Outcome = Result<ConnectInfo, DialError>;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            match &mut self.state {
                State::Ended => break,
                State::LineFeed { .. } => {
                    taken += usize::from(rest[0] == LF);
                    self.connected();
                }
                State::Start | State::Drain { .. } => {
                    if let State::Drain { until, .. } = &mut self.state {
                        *until = now + DRAIN_QUIET;
                    }
                    return bytes.len();
                }
                State::Freeing { hangup, .. } => return taken + hangup.handle_input(now, rest),
                State::Wake { .. }
                | State::Gap { .. }
                | State::Setup { .. }
                | State::Dialling { .. }
                | State::Aborting { .. } => {
                    let (length, heard) = self.reader.hear(rest);
                    taken += length;
                    if let Some(heard) = heard {
                        self.hear(now, heard);
                    }
                }
            }
        }
        taken
    }

    fn handle_hangup(&mut self, _now: Instant) {
        if !matches!(self.state, State::Ended) {
            self.end(Err(DialError::PortGone));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        if let State::Freeing { hangup, .. } = &mut self.state {
            hangup.handle_timeout(now);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<Self::Event, Self::Outcome> {
        loop {
            self.advance(now);
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            let State::Freeing { hangup, then } = &mut self.state else {
                return Output::Wait(self.until());
            };
            match hangup.poll_output(now) {
                Output::Transmit(transmit) => return Output::Transmit(transmit),
                Output::Control(control) => return Output::Control(control),
                Output::Wait(until) => return Output::Wait(until),
                Output::Event(
                    HangUpEvent::DroppingDtr | HangUpEvent::Escaping(_) | HangUpEvent::NoCarrier,
                ) => {}
                Output::Done(outcome) => {
                    let then = then.take();
                    self.freed(now, then, outcome.map(|_| ()));
                }
            }
        }
    }
}

fn setup_commands(profile: &Profile, wait: Duration) -> Vec<Command> {
    // The modem should give up first: then it hangs up by itself and says why.
    let ours = if wait > 2 * DIAL_WAIT_MARGIN { wait - DIAL_WAIT_MARGIN } else { wait };
    let seconds = ours.as_secs().clamp(1, S7_MAX).to_string();
    let command = |text: &String, need| Command { text: text.replacen(WAIT_PLACE, &seconds, 1), need };
    let reset = profile.reset.iter().map(|text| command(text, Need::Reset));
    let init = profile.init.iter().map(|text| command(text, Need::Needed));
    let options = profile.options.iter().map(|text| command(text, Need::Optional));
    reset.chain(init).chain(options).collect()
}

/// Whether a command was accepted, if this is an answer to one.
fn accepted(response: &Response) -> Option<bool> {
    match response {
        Response::Ok => Some(true),
        Response::Error => Some(false),
        Response::Connect(_)
        | Response::Ring
        | Response::CallerId
        | Response::NoCarrier
        | Response::NoDialtone
        | Response::Busy
        | Response::NoAnswer
        | Response::Voice
        | Response::Fax
        | Response::Blacklisted
        | Response::Delayed(_)
        | Response::Ringing
        | Response::Report(_)
        | Response::Echo
        | Response::Text => None,
    }
}

/// How long to wait for a carrier when nobody says otherwise: ringing, answering and V.34 training.
pub const DIAL_WAIT_MAX: Duration = Duration::from_secs(90);

/// The longest wait for a carrier that can be asked for; S7 holds no more.
pub const DIAL_WAIT_LIMIT: Duration = Duration::from_secs(S7_MAX);

/// The longest that [`Dial`] takes beside the wait for the carrier, whatever the port says: draining,
/// waking twice with an old call hung up in between, setting up, breaking off and hanging up.
pub const DIAL_OVERHEAD_MAX: Duration = Duration::from_secs(120);

/// The longest that a port takes on which nothing ever answers AT, with the generic profile.
pub const MODEM_SILENT_MAX: Duration = Duration::from_secs(15);

/// How long the line must be silent before the modem is woken.
const DRAIN_QUIET: Duration = Duration::from_millis(200);
/// How long it is waited for that; an old call may never be silent.
const DRAIN_MAX: Duration = Duration::from_secs(1);
/// How long the modem may take to say OK to AT, and be quiet then.
const WAKE_WAIT: Duration = Duration::from_millis(1_250);
/// How often it is asked; the first may be lost to finding the port's rate.
const WAKE_TRIES: u32 = 3;
/// Silence between an answer and the next command: old modems lose what comes sooner.
const COMMAND_GAP: Duration = Duration::from_millis(50);
/// All of reset, init and options together.
const SETUP_MAX: Duration = Duration::from_secs(30);
/// How long the modem may take to answer when dialling is broken off.
const ABORT_WAIT: Duration = Duration::from_secs(5);
/// How long the LF behind CONNECT's CR may take; at 300 bit/s it takes 33 ms.
const LINE_FEED_WAIT: Duration = Duration::from_millis(50);
/// By how much the modem's own wait, S7, is shorter than ours.
const DIAL_WAIT_MARGIN: Duration = Duration::from_secs(5);
/// The largest value of S7, in seconds.
const S7_MAX: u64 = 255;
/// Events told by one machine; what a babbling port says beyond that is passed over.
const EVENTS_MAX: usize = 40;
/// Lines kept that tell about the connection.
const REPORTS_MAX: usize = 16;

// The needed commands that overrun the setup's time are one, sent twice.
const _: () = assert!(
    DRAIN_MAX.as_secs()
        + 2 * WAKE_TRIES as u64 * (WAKE_WAIT.as_secs() + 1)
        + SETUP_MAX.as_secs()
        + 2 * WAIT_MS_MAX / 1_000
        + ABORT_WAIT.as_secs()
        + HANG_UP_MAX.as_secs()
        + MODEM_SILENT_MAX.as_secs() // one escape, and all the gaps
        <= DIAL_OVERHEAD_MAX.as_secs()
);

#[cfg(test)]
mod tests;
