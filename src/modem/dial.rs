//! Dialling: make the modem ready, dial, and tell apart the ways in which that ends.
//!
//! ```text
//! Readying (ready.rs) -> Dialling -- CONNECT (carrier.rs) -> Done(ConnectInfo)
//!                          | BUSY, .. -> Freeing (ATH0) -> Done(error)
//!                          | too long -> Aborting (CR) --^
//! ```
//!
//! However it fails, the modem is left on-hook and in command mode, or [`DialEvent::Note`] says that
//! it could not be made sure of.

mod error;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use self::error::DialError;
use self::error::call_failure;
use super::carrier::{Carrier, Told};
use super::codec::{CR, CallFailure, Response};
use super::connect::ConnectInfo;
use super::hangup::{HANG_UP_MAX, HangUp, HangUpError, HangUpEvent};
use super::number::{BadNumber, DialRules, dial_string, dial_strings};
use super::profile::Profile;
use super::ready::{Command, Need, READY_MAX, Ready, ReadyEvent, S7_MAX, SetUp, WAKE_WAIT, setup_commands};
use crate::machine::{Inner, Machine, Output, Transmit};

/// Dials one number once.
#[derive(Debug)]
pub struct Dial {
    profile: Profile,
    number: String,
    /// The dial commands: several where the modem's command line is short of the number.
    commands: Vec<String>,
    /// Index of the one that is out.
    piece: usize,
    wait: Duration,
    state: State,
    carrier: Carrier,
    rang: bool,
    /// A call came in.
    called: bool,
    told: usize,
    outputs: VecDeque<Output<DialEvent, Result<ConnectInfo, DialError>>>,
}

/// What happens on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialEvent {
    /// On the way to a modem that is set up.
    Ready(ReadyEvent),
    /// The number is being dialled, as it was given to the modem.
    Dialling(String),
    /// It rings at the other end.
    Ringing,
    /// Something the user may want to know: a line the modem said in between.
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

impl Planned {
    fn of(command: &str, wait: Duration, needed: bool) -> Self {
        Self { command: format!("AT{command}"), wait, needed }
    }

    /// Waking the modem and setting it up.
    pub(super) fn setting_up(setup: &[Command]) -> impl Iterator<Item = Self> {
        let setting = |command: &Command| Self::of(&command.text, command.wait, command.need == Need::Needed);
        std::iter::once(Self::of("", WAKE_WAIT, true)).chain(setup.iter().map(setting))
    }
}

#[derive(Debug)]
enum State {
    Readying(Box<Ready>),
    Dialling {
        until: Instant,
    },
    /// A character breaks the dialling off (V.250 §5.6.1).
    Aborting {
        until: Instant,
    },
    /// The modem is put on-hook: then dialling fails so.
    Freeing {
        hangup: Box<HangUp>,
        then: Option<DialError>,
    },
    Ended,
}

impl Dial {
    /// Prepares to dial `number` by the rules of a line and its place, and to wait for a carrier no
    /// longer than `wait`, which is held between a second and [`DIAL_WAIT_LIMIT`].
    pub fn new(
        profile: Profile,
        set_up: &SetUp,
        rules: &DialRules,
        number: &str,
        wait: Duration,
    ) -> Result<Self, BadNumber> {
        let commands = dial_strings(&profile, rules, number)?;
        let number = dial_string(&profile, rules, number)?;
        let wait = wait.clamp(Duration::from_secs(1), DIAL_WAIT_LIMIT);
        // The modem should give up first: then it hangs up by itself and says why.
        let modems = if wait > 2 * DIAL_WAIT_MARGIN { wait - DIAL_WAIT_MARGIN } else { wait };
        let setup = setup_commands(&profile, &set_up.choices, modems);
        let ready = Ready::new(&profile, set_up, setup);
        Ok(Self {
            carrier: Carrier::new(&profile),
            profile,
            number,
            commands,
            piece: 0,
            wait,
            state: State::Readying(Box::new(ready)),
            rang: false,
            called: false,
            told: 0,
            outputs: VecDeque::new(),
        })
    }

    /// What will be sent, if nothing goes wrong, and how long an answer to each may take.
    pub fn plan(&self) -> Vec<Planned> {
        let setup = match &self.state {
            State::Readying(ready) => ready.setup(),
            State::Dialling { .. } | State::Aborting { .. } | State::Freeing { .. } | State::Ended => &[],
        };
        let dial = self.commands.iter().map(|command| Planned::of(command, self.wait, true));
        Planned::setting_up(setup).chain(dial).collect()
    }

    /// Makes the transition that is due, if one is.
    fn advance(&mut self, now: Instant) {
        match self.state {
            State::Readying(_) | State::Freeing { .. } | State::Ended => return,
            State::Dialling { .. } | State::Aborting { .. } => {}
        }
        if let Some(info) = self.carrier.overdue(now) {
            return self.end(Ok(info));
        }
        match self.state {
            State::Readying(_) | State::Freeing { .. } | State::Ended => {}
            _ if self.until().is_none_or(|until| now < until) => {}
            State::Dialling { .. } => {
                self.transmit([CR]);
                self.state = State::Aborting { until: now + ABORT_WAIT };
            }
            State::Aborting { .. } => self.fail(self.too_late()),
        }
    }

    fn until(&self) -> Option<Instant> {
        match self.state {
            State::Readying(_) | State::Freeing { .. } | State::Ended => None,
            State::Dialling { until } | State::Aborting { until } => self.carrier.until().or(Some(until)),
        }
    }

    fn dial(&mut self, now: Instant) {
        // Beyond the limit for events, because whoever counts dials must hear of this one.
        self.outputs.push_back(Output::Event(DialEvent::Dialling(self.number.clone())));
        self.send_piece(now, 0);
    }

    fn send_piece(&mut self, now: Instant, piece: usize) {
        self.piece = piece;
        let command = self.dial_command();
        self.carrier.asked(&command);
        self.transmit(format!("{command}\r"));
        self.state = State::Dialling { until: now + self.wait };
    }

    fn dial_command(&self) -> String {
        format!("AT{}", self.commands.get(self.piece).map_or("D", String::as_str))
    }

    fn freed(&mut self, then: Option<DialError>, outcome: Result<(), HangUpError>) {
        if let Err(trouble) = outcome {
            // Beyond the limit for events, because this one may cost money.
            self.outputs.push_back(Output::Event(DialEvent::Note(trouble.to_string())));
        }
        self.end(Err(then.unwrap_or(DialError::PortGone))); // it was set with the state
    }

    fn hear(&mut self, now: Instant, told: Told) {
        match (&self.state, told) {
            (State::Dialling { .. } | State::Aborting { .. }, Told::Connected(info)) => self.end(Ok(info)),
            (State::Dialling { .. }, Told::Digits(text)) => self.note(format!("the modem says {text:?}")),
            (State::Dialling { .. }, Told::Line(response, text)) => self.hear_dialling(now, response, text),
            (State::Aborting { .. }, Told::Line(response, text)) => self.hear_aborting(&response, &text),
            (State::Aborting { .. }, Told::Digits(_)) => {}
            // These read no lines.
            (State::Readying(_) | State::Freeing { .. } | State::Ended, _) => {}
        }
    }

    fn hear_dialling(&mut self, now: Instant, response: Response, text: String) {
        self.called |= response == Response::Ring;
        match response {
            // V.250 leaves open what a modem says to D while it rings; iaxmodem says ERROR.
            Response::Error if self.called => self.fail(DialError::CallComingIn),
            Response::Error => {
                self.fail(DialError::Refused { command: self.dial_command(), reply: text });
            }
            Response::Ringing => {
                self.rang = true;
                self.tell(DialEvent::Ringing);
            }
            Response::Echo => {}
            // This piece of the number is dialled; the modem waits for the next.
            Response::Ok if self.piece + 1 < self.commands.len() => self.send_piece(now, self.piece + 1),
            // A late OK is to an earlier command; CONNECT or a reason is still to come.
            Response::Ok | Response::Ring | Response::CallerId | Response::Text => {
                self.note(format!("the modem says {text:?}"));
            }
            Response::Failed(failure) => self.fail(call_failure(failure, &text)),
            // What carries the connection has these.
            Response::Connect(_) | Response::Report(_) => {}
        }
    }

    /// What comes behind the CR that broke off may still be the real end of the call.
    fn hear_aborting(&mut self, response: &Response, text: &str) {
        match response {
            Response::Ok | Response::Error | Response::Failed(CallFailure::NoCarrier) => {
                self.fail(self.too_late())
            }
            Response::Failed(failure) => self.fail(call_failure(*failure, text)),
            Response::Echo | Response::Text | Response::Ring | Response::CallerId => {}
            Response::Ringing | Response::Report(_) | Response::Connect(_) => {}
        }
    }

    fn too_late(&self) -> DialError {
        if self.rang { DialError::NoAnswer } else { DialError::TimedOut { wait: self.wait } }
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
                State::Readying(ready) => return taken + ready.handle_input(now, rest),
                State::Freeing { hangup, then } => {
                    let length = hangup.handle_input(now, rest);
                    // Whose answer it was may come late, behind our breaking off.
                    let answered = answered_by(&mut self.carrier, now, &rest[..length]);
                    *then = answered.or_else(|| then.take());
                    return taken + length;
                }
                State::Dialling { .. } | State::Aborting { .. } => {
                    let (length, told) = self.carrier.hear(now, rest);
                    taken += length;
                    if let Some(told) = told {
                        self.hear(now, told);
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
        match &mut self.state {
            State::Readying(ready) => ready.handle_timeout(now),
            State::Freeing { hangup, .. } => hangup.handle_timeout(now),
            State::Dialling { .. } | State::Aborting { .. } | State::Ended => {}
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<Self::Event, Self::Outcome> {
        loop {
            self.advance(now);
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            match &mut self.state {
                State::Readying(ready) => match ready.poll_output(now).passed_on() {
                    Ok(output) => return output,
                    Err(Inner::Event(event)) => self.tell(DialEvent::Ready(event)),
                    Err(Inner::Done(Ok(awake))) => {
                        self.called = awake.rang;
                        self.carrier.expect(awake);
                        self.dial(now);
                    }
                    Err(Inner::Done(Err(error))) => self.end(Err(error.into())),
                },
                State::Freeing { hangup, then } => match hangup.poll_output(now).passed_on() {
                    Ok(output) => return output,
                    // DTR, escaping, NO CARRIER: steps of hanging up, of interest to nobody here.
                    Err(Inner::Event(
                        HangUpEvent::DroppingDtr | HangUpEvent::Escaping(_) | HangUpEvent::NoCarrier,
                    )) => {}
                    Err(Inner::Done(outcome)) => {
                        let then = then.take();
                        self.freed(then, outcome.map(|_| ()));
                    }
                },
                State::Dialling { .. } | State::Aborting { .. } | State::Ended => {
                    return Output::Wait(self.until());
                }
            }
        }
    }
}

/// A person or a fax, if these bytes say so.
fn answered_by(carrier: &mut Carrier, now: Instant, bytes: &[u8]) -> Option<DialError> {
    let (mut taken, mut answered) = (0, None);
    while taken < bytes.len() {
        let (length, told) = carrier.hear(now, &bytes[taken..]);
        taken += length.max(1);
        match told {
            Some(Told::Line(Response::Failed(CallFailure::Voice), _)) => answered = Some(DialError::Voice),
            Some(Told::Line(Response::Failed(CallFailure::Fax), _)) => answered = Some(DialError::Fax),
            Some(Told::Line(..) | Told::Connected(_) | Told::Digits(_)) | None => {}
        }
    }
    answered
}

/// How long to wait for a carrier when nobody says otherwise: ringing, answering and V.34 training.
pub const DIAL_WAIT_MAX: Duration = Duration::from_secs(90);

/// The longest wait for a carrier that can be asked for; S7 holds no more.
pub const DIAL_WAIT_LIMIT: Duration = Duration::from_secs(S7_MAX);

/// The longest that [`Dial`] takes beside the wait for the carrier, whatever the port says: making the
/// modem ready, breaking off and hanging up.
pub const DIAL_OVERHEAD_MAX: Duration = Duration::from_secs(240);

/// How long the modem may take to answer when dialling is broken off.
const ABORT_WAIT: Duration = Duration::from_secs(5);
/// By how much the modem's own wait, S7, is shorter than ours.
const DIAL_WAIT_MARGIN: Duration = Duration::from_secs(5);
/// Events told by one machine; what a babbling port says beyond that is passed over.
const EVENTS_MAX: usize = 40;

const _: () = assert!(
    READY_MAX.as_secs() + ABORT_WAIT.as_secs() + HANG_UP_MAX.as_secs() <= DIAL_OVERHEAD_MAX.as_secs()
);

#[cfg(test)]
mod tests;
