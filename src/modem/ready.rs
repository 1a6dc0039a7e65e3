//! From an open port to a modem that is set up: let what was under way go by, wake the modem, hang up
//! an old call, find the rate at which it answers, send the settings one by one.
//!
//! ```text
//! Drain -> Wake -> Gap -> Setup -> Gap -> .. -> Done(Awake)
//!           |  silent: an old call may be up
//!           +-> Freeing (DTR, or +++ and ATH0) -> Wake
//!           +-> Retune (the next rate) -> Wake ..  none answers: back to the first, Done(error)
//! ```
//!
//! Every conversation with a modem in command mode begins so: [`super::Dial`], [`super::Answer`] and
//! [`super::Ask`] hold one of these.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::codec::{CallFailure, Heard, Reader, Response, error_words};
use super::commands::share_out;
use super::hangup::{HANG_UP_MAX, HangUp, HangUpEvent, QUIET};
use super::profile::{Choices, Profile, Setting, WAIT_MS_MAX, WAIT_PLACE};
use crate::machine::{Control, Inner, Machine, Output, Transmit};

/// Makes a modem ready for a command.
#[derive(Debug)]
pub struct Ready {
    profile: Profile,
    setup: Vec<Command>,
    has_dtr: bool,
    /// Rates still to be tried.
    speeds: VecDeque<u32>,
    /// The rate that the port has, where known.
    speed: Option<u32>,
    /// The rate that the port had at first.
    speed_at_first: Option<u32>,
    state: State,
    reader: Reader,
    /// Whether the modem's last OK was in numbers.
    numeric: Option<bool>,
    /// What was said where only OK was expected.
    garbled: Option<String>,
    /// An old call has been looked for already.
    freed: bool,
    refused: Vec<String>,
    rang: bool,
    setup_until: Option<Instant>,
    outputs: VecDeque<Output<ReadyEvent, Result<Awake, ReadyError>>>,
}

/// What happens on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyEvent {
    /// The modem answers.
    Awake,
    /// The modem does not answer; perhaps an old call is still up, and it is hung up first.
    HangingUpOldCall,
    /// The modem answers, but at this rate and not at the port's own, in bit/s.
    FoundAtSpeed(u32),
    /// Something the user may want to know: options refused, a line the modem said in between.
    Note(String),
}

/// A modem that is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awake {
    /// Whether it answers in numbers, whatever it was told. Where it answers in words, a number is
    /// no result.
    pub numeric: bool,
    /// The port's rate now, in bit/s, where known.
    pub speed: Option<u32>,
    /// A call was coming in while the modem was set up.
    pub rang: bool,
}

/// Why there is no modem to speak to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadyError {
    /// Not a byte came back.
    #[error("the modem does not answer: is it on, and is this its port and speed?")]
    Silent,
    /// Something came back, but no answer to `AT`.
    #[error("no modem answers, though the port says {}: is this the modem's port and speed?", shortened(.heard))]
    Garbled {
        /// The first line that came.
        heard: String,
    },
    /// A setting that is needed was not accepted.
    #[error("the modem answers {} to {command}, which the setting `{setting}` needs: does its profile fit?", explained(.reply))]
    Refused {
        /// The key that asks for it, in the profile or in the line's configuration.
        setting: &'static str,
        /// The command.
        command: String,
        /// What the modem said to it.
        reply: String,
    },
    /// The port ended.
    #[error("the port was lost: was the modem unplugged?")]
    PortGone,
}

/// How a modem is to be set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetUp {
    /// What the line's configuration chooses.
    pub choices: Choices,
    /// The port's rate, in bit/s.
    pub speed: Option<u32>,
    /// Whether rates beside the port's are tried when the modem does not answer.
    pub tries_speeds: bool,
    /// Whether the port has a DTR lead.
    pub has_dtr: bool,
}

/// A command of the setup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What stands behind `AT`.
    pub text: String,
    /// The key that asks for it.
    pub setting: &'static str,
    /// What becomes of an ERROR.
    pub need: Need,
    /// The longest wait for the answer.
    pub wait: Duration,
}

/// What becomes of an ERROR to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: without an answer the next command settles it.
    Reset,
    /// It ends the conversation.
    Needed,
    /// It is noted and passed over.
    Optional,
}

#[derive(Debug)]
enum State {
    Start,
    /// What was under way before us goes by.
    Drain {
        until: Instant,
        limit: Instant,
    },
    /// The port's rate has changed; a modem's UART needs a moment.
    Retuned {
        until: Instant,
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
    /// An old call is hung up.
    Freeing(Box<HangUp>),
    Ended,
}

impl Ready {
    /// Wakes the modem and sends `setup`.
    pub fn new(profile: &Profile, set_up: &SetUp, setup: Vec<Command>) -> Self {
        let speeds = profile.speeds.iter().copied().filter(|&speed| Some(speed) != set_up.speed);
        Self {
            profile: profile.clone(),
            setup,
            has_dtr: set_up.has_dtr,
            speeds: if set_up.tries_speeds { speeds.collect() } else { VecDeque::new() },
            speed: set_up.speed,
            speed_at_first: set_up.speed,
            state: State::Start,
            reader: Reader::new(profile.codes.clone()),
            numeric: None,
            garbled: None,
            freed: false,
            refused: Vec::new(),
            rang: false,
            setup_until: None,
            outputs: VecDeque::new(),
        }
    }

    /// The commands that will be sent.
    pub fn setup(&self) -> &[Command] {
        &self.setup
    }

    /// Makes the transition that is due, if one is.
    fn advance(&mut self, now: Instant) {
        match self.state {
            State::Start => {
                self.state = State::Drain { until: now + DRAIN_QUIET, limit: now + DRAIN_MAX };
            }
            State::Freeing(_) | State::Ended => {}
            _ if self.until().is_none_or(|until| now < until) => {}
            State::Drain { .. } | State::Retuned { .. } => self.wake(now, 1),
            State::Wake { quiet: Some(quiet), .. } if quiet <= now && !self.reader.is_mid_line() => {
                self.awake(now);
            }
            // The answer was an old call's data, which goes on: it has the rest of the time.
            State::Wake { tries, until, quiet: Some(_) } if now < until => {
                self.state = State::Wake { tries, until, quiet: None };
            }
            State::Wake { tries, .. } if tries < self.wake_tries() => self.wake(now, tries + 1),
            State::Wake { .. } => self.unwoken(now),
            State::Gap { next, .. } => self.send_command(now, next, false),
            State::Setup { index, repeated, .. } => self.unanswered(now, index, repeated),
        }
    }

    fn until(&self) -> Option<Instant> {
        match self.state {
            State::Start | State::Freeing(_) | State::Ended => None,
            State::Drain { until, limit } => Some(until.min(limit)),
            State::Wake { until, quiet, .. } => Some(quiet.map_or(until, |quiet| quiet.min(until))),
            State::Retuned { until } | State::Gap { until, .. } | State::Setup { until, .. } => Some(until),
        }
    }

    fn wake(&mut self, now: Instant, tries: u32) {
        // A modem whose stored settings are quiet (Q1) hears the first try and says nothing.
        self.transmit(if tries == 1 { "AT" } else { "ATQ0" });
        let wait = if self.is_retuned() { RETUNED_WAKE_WAIT } else { WAKE_WAIT };
        self.state = State::Wake { tries, until: now + wait, quiet: None };
    }

    fn wake_tries(&self) -> u32 {
        if self.is_retuned() { RETUNED_WAKE_TRIES } else { WAKE_TRIES }
    }

    fn is_retuned(&self) -> bool {
        self.speed != self.speed_at_first
    }

    fn awake(&mut self, now: Instant) {
        self.garbled = None;
        self.tell(ReadyEvent::Awake);
        if let Some(speed) = self.speed.filter(|_| self.is_retuned()) {
            self.tell(ReadyEvent::FoundAtSpeed(speed));
        }
        self.send_command(now, 0, false);
    }

    /// The modem has not answered: it may be on-line from a call that was never hung up, or it may
    /// listen at another rate.
    fn unwoken(&mut self, now: Instant) {
        if !self.freed {
            self.freed = true;
            self.tell(ReadyEvent::HangingUpOldCall);
            self.state = State::Freeing(Box::new(HangUp::once(&self.profile, self.has_dtr)));
        } else if let Some(speed) = self.speeds.pop_front() {
            self.retune(now, speed);
        } else {
            if let Some(speed) = self.speed_at_first.filter(|_| self.is_retuned()) {
                self.outputs.push_back(Output::Control(Control::Speed(speed)));
            }
            self.end(Err(self.silent()));
        }
    }

    fn retune(&mut self, now: Instant, speed: u32) {
        self.speed = Some(speed);
        self.reader = Reader::new(self.profile.codes.clone());
        self.outputs.push_back(Output::Control(Control::Speed(speed)));
        self.state = State::Retuned { until: now + RETUNE_SETTLE };
    }

    fn send_command(&mut self, now: Instant, index: usize, repeated: bool) {
        let setup_until = *self.setup_until.get_or_insert(now + SETUP_MAX);
        let Some(command) = self.setup.get(index) else { return self.ready() };
        if now < setup_until {
            let line = format!("AT{}", command.text);
            let until = now + command.wait;
            self.transmit(&line);
            self.state = State::Setup { index, repeated, until };
        } else if command.need == Need::Optional {
            self.ready(); // the options that are left are not worth more time
        } else {
            self.end(Err(self.silent()));
        }
    }

    /// No answer to a command of the setup.
    fn unanswered(&mut self, now: Instant, index: usize, repeated: bool) {
        let Some(command) = self.setup.get(index) else { return };
        match command.need {
            Need::Needed if !repeated => self.send_command(now, index, true),
            Need::Needed => self.unwoken(now),
            Need::Reset | Need::Optional => {
                let note = format!("the modem does not answer to AT{}", command.text);
                self.tell(ReadyEvent::Note(note));
                self.gap(now, index + 1, COMMAND_GAP);
            }
        }
    }

    fn silent(&self) -> ReadyError {
        match self.garbled.clone().or_else(|| self.reader.unfinished()) {
            Some(heard) => ReadyError::Garbled { heard },
            None => ReadyError::Silent,
        }
    }

    fn ready(&mut self) {
        if !self.refused.is_empty() {
            let refused = std::mem::take(&mut self.refused).join(", ");
            self.tell(ReadyEvent::Note(format!("the modem passes over {refused}")));
        }
        let numeric = self.numeric.unwrap_or(false);
        self.end(Ok(Awake { numeric, speed: self.speed, rang: self.rang }));
    }

    fn gap(&mut self, now: Instant, next: usize, gap: Duration) {
        self.state = State::Gap { next, until: now + gap };
    }

    fn hear(&mut self, now: Instant, heard: Heard) {
        if heard.response == Response::Ok {
            self.numeric = Some(heard.numeric);
        }
        self.rang |= heard.response == Response::Ring;
        match self.state {
            State::Wake { tries, until, quiet } => {
                let quiet = self.hear_awake(now, heard, quiet);
                self.state = State::Wake { tries, until, quiet };
            }
            State::Setup { index, .. } => self.hear_setup(now, index, heard),
            // Nothing was asked, so nothing is an answer.
            State::Start | State::Drain { .. } | State::Retuned { .. } | State::Gap { .. } => {}
            // These read no lines.
            State::Freeing(_) | State::Ended => {}
        }
    }

    /// Until when it must be quiet now for the modem to be awake. On-line to an old call, a line OK
    /// may be data, but then more follows.
    fn hear_awake(&mut self, now: Instant, heard: Heard, quiet: Option<Instant>) -> Option<Instant> {
        match heard.response {
            // An ERROR is to what stood in the command line before our AT; the modem lives.
            Response::Ok | Response::Error => Some(now + QUIET),
            // `ATOK`: its echo ends without CR.
            Response::Echo if heard.glued().as_ref().is_some_and(|answer| accepted(answer).is_some()) => {
                Some(now + QUIET)
            }
            Response::Echo | Response::Ring | Response::CallerId => quiet,
            Response::Failed(CallFailure::NoCarrier) => quiet,
            Response::Ringing | Response::Report(_) => quiet,
            Response::Text => {
                self.garbled.get_or_insert(heard.text);
                None
            }
            Response::Connect(_) | Response::Failed(_) => None,
        }
    }

    fn hear_setup(&mut self, now: Instant, index: usize, heard: Heard) {
        let Some(command) = self.setup.get(index) else { return };
        let answer = heard.glued().unwrap_or_else(|| heard.response.clone());
        match (accepted(&answer), command.need) {
            // An echo, a call coming in, or a line of text: the answer is still to come.
            (None, _) => {}
            (Some(true), Need::Reset) => self.gap(now, index + 1, self.profile.settle),
            (Some(true), Need::Needed | Need::Optional) => self.gap(now, index + 1, COMMAND_GAP),
            (Some(false), Need::Needed) => {
                let command_line = format!("AT{}", command.text);
                let setting = command.setting;
                self.end(Err(ReadyError::Refused { setting, command: command_line, reply: heard.text }));
            }
            (Some(false), Need::Reset | Need::Optional) => {
                let refused = format!("AT{} ({}: {:?})", command.text, command.setting, heard.text);
                if self.refused.len() < REFUSED_MAX {
                    self.refused.push(refused);
                }
                self.gap(now, index + 1, COMMAND_GAP);
            }
        }
    }

    fn end(&mut self, outcome: Result<Awake, ReadyError>) {
        self.state = State::Ended;
        self.outputs.push_back(Output::Done(outcome));
    }

    fn transmit(&mut self, command: &str) {
        self.reader.asked(command);
        self.outputs.push_back(Output::Transmit(Transmit::plain(format!("{command}\r"))));
    }

    fn tell(&mut self, event: ReadyEvent) {
        self.outputs.push_back(Output::Event(event));
    }
}

impl Machine for Ready {
    type Event = ReadyEvent;
    type Outcome = Result<Awake, ReadyError>;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            match &mut self.state {
                State::Ended => break,
                State::Start | State::Drain { .. } | State::Retuned { .. } => {
                    if let State::Drain { until, .. } = &mut self.state {
                        *until = now + DRAIN_QUIET;
                    }
                    return bytes.len();
                }
                State::Freeing(hangup) => return taken + hangup.handle_input(now, rest),
                State::Wake { .. } | State::Gap { .. } | State::Setup { .. } => {
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
            self.end(Err(ReadyError::PortGone));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        if let State::Freeing(hangup) = &mut self.state {
            hangup.handle_timeout(now);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<Self::Event, Self::Outcome> {
        loop {
            self.advance(now);
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            let State::Freeing(hangup) = &mut self.state else {
                return Output::Wait(self.until());
            };
            match hangup.poll_output(now).passed_on() {
                Ok(output) => return output,
                // DTR, escaping, NO CARRIER: steps of hanging up, of interest to nobody here.
                Err(Inner::Event(
                    HangUpEvent::DroppingDtr | HangUpEvent::Escaping(_) | HangUpEvent::NoCarrier,
                )) => {}
                Err(Inner::Done(Ok(_))) => self.wake(now, 1),
                Err(Inner::Done(Err(_))) => self.unwoken(now),
            }
        }
    }
}

/// The commands that set a modem up: the profile's, those that `choices` picks, the user's own.
/// `wait` is how long the modem is to wait for a carrier.
pub fn setup_commands(profile: &Profile, choices: &Choices, wait: Duration) -> Vec<Command> {
    let seconds = wait.as_secs().clamp(1, S7_MAX).to_string();
    let mut commands = Vec::new();
    let mut add = |setting: &Setting, key, need| {
        let usual = if need == Need::Reset { profile.reset_wait } else { profile.command_wait };
        let body = setting.text.replacen(WAIT_PLACE, &seconds, 1);
        for text in share_out(&body, profile.line_max) {
            commands.push(Command { text, setting: key, need, wait: setting.wait.unwrap_or(usual) });
        }
    };
    profile.reset.iter().for_each(|setting| add(setting, "reset", Need::Reset));
    profile.init.iter().for_each(|setting| add(setting, "init", Need::Needed));
    profile.options.iter().for_each(|setting| add(setting, "options", Need::Optional));
    profile.chosen(choices).iter().for_each(|(key, setting)| add(setting, key, Need::Optional));
    for text in &choices.init {
        add(&Setting { text: text.clone(), wait: None }, "init of the line", Need::Needed);
    }
    commands
}

/// Whether a command was accepted, if this is an answer to one.
pub(super) fn accepted(response: &Response) -> Option<bool> {
    match response {
        Response::Ok => Some(true),
        Response::Error | Response::Failed(CallFailure::NoService) => Some(false),
        Response::Connect(_)
        | Response::Ring
        | Response::CallerId
        | Response::Failed(_)
        | Response::Ringing
        | Response::Report(_)
        | Response::Echo
        | Response::Text => None,
    }
}

/// As much of a line as a sentence bears.
fn shortened(heard: &str) -> String {
    match heard.char_indices().nth(HEARD_SHOWN_MAX) {
        Some((at, _)) => format!("{:?}..", &heard[..at]),
        None => format!("{heard:?}"),
    }
}

/// A refusal as the modem said it, with the words for a number.
fn explained(reply: &str) -> String {
    match error_words(reply) {
        Some(words) => format!("{reply:?} ({words})"),
        None => format!("{reply:?}"),
    }
}

/// The longest that a port takes on which nothing ever answers AT, with the generic profile.
pub const MODEM_SILENT_MAX: Duration = Duration::from_secs(30);

/// The longest that [`Ready`] takes, whatever the port says.
pub const READY_MAX: Duration = Duration::from_secs(180);

/// How long the line must be silent before the modem is woken.
const DRAIN_QUIET: Duration = Duration::from_millis(200);
/// How long it is waited for that; an old call may never be silent.
const DRAIN_MAX: Duration = Duration::from_secs(1);
/// How long the modem may take to say OK to AT, and be quiet then.
pub(super) const WAKE_WAIT: Duration = Duration::from_millis(1_250);
/// How often it is asked; the first may be lost to finding the port's rate.
const WAKE_TRIES: u32 = 3;
/// The same at another rate than the port's own, where nothing is expected.
const RETUNED_WAKE_WAIT: Duration = Duration::from_millis(700);
const RETUNED_WAKE_TRIES: u32 = 2;
/// How long a UART may need after a change of rate.
const RETUNE_SETTLE: Duration = Duration::from_millis(100);
/// Silence between an answer and the next command: old modems lose what comes sooner.
pub(super) const COMMAND_GAP: Duration = Duration::from_millis(50);
/// All of reset, init and options together.
pub(super) const SETUP_MAX: Duration = Duration::from_secs(30);
/// The largest value of S7, in seconds.
pub(super) const S7_MAX: u64 = 255;
/// Characters of a strange line that are shown.
const HEARD_SHOWN_MAX: usize = 60;
/// Refused settings that are named.
const REFUSED_MAX: usize = 16;

// A needed command that overruns the setup's time is sent twice; each rate is tried once.
const _: () = assert!(
    DRAIN_MAX.as_secs()
        + 2 * WAKE_TRIES as u64 * (WAKE_WAIT.as_secs() + 1)
        + 10 * 2 * (RETUNED_WAKE_WAIT.as_secs() + 1)
        + SETUP_MAX.as_secs()
        + 2 * WAIT_MS_MAX / 1_000
        + HANG_UP_MAX.as_secs() // of an old call, once
        <= READY_MAX.as_secs()
);
