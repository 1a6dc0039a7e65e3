//! Taking a call: make the modem ready, wait until it rings, answer, and hand over a carrier.
//!
//! ```text
//! Readying (ready.rs) -> Waiting -- RING --> Ringing -- enough of them --> PickingUp (ATA)
//!                          ^  ^--- it stops ---'                             |  CONNECT
//!                          |                                                 |  (carrier.rs)
//!                          '-- Freeing (ATH0) <- NO CARRIER, or too long ----+-> Done(ConnectInfo)
//!                                |  the wait is over
//!                                '-> Done(error)
//! ```
//!
//! However it fails, the modem is left on-hook, in command mode and answering nobody by itself, or
//! [`AnswerEvent::Note`] says that it could not be made sure of.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::carrier::{Carrier, Told};
use super::codec::{CR, CallFailure, Response};
use super::connect::ConnectInfo;
use super::dial::Planned;
use super::hangup::{HANG_UP_MAX, HangUp, HangUpError, HangUpEvent};
use super::profile::{Profile, RINGS_PLACE};
use super::ready::{
    COMMAND_GAP, Command, Need, READY_MAX, Ready, ReadyError, ReadyEvent, SetUp, setup_commands,
};
use crate::machine::{Inner, Machine, Output, Transmit};

/// Waits for one call and answers it.
#[derive(Debug)]
pub struct Answer {
    profile: Profile,
    answering: Answering,
    state: State,
    carrier: Carrier,
    caller: Caller,
    /// When no call is waited for any more.
    give_up_at: Option<Instant>,
    /// What became of the last call that was not taken.
    missed: Option<AnswerError>,
    refusals: u32,
    told: usize,
    outputs: VecDeque<Output<AnswerEvent, Result<ConnectInfo, AnswerError>>>,
}

/// How a call is waited for and taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answering {
    /// How long it is waited for the first ring of a call that is then taken.
    pub wait: Duration,
    /// At which ring the call is taken, from 1. The caller's number comes behind the first.
    pub rings: u8,
    /// The modem takes the call by itself (S0), not at our command.
    pub by_modem: bool,
}

/// What happens on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerEvent {
    /// On the way to a modem that is set up.
    Ready(ReadyEvent),
    /// The modem is set up: from now on a call can come.
    Waiting,
    /// It rings for the so-many-th time.
    Rings(u32),
    /// The call is being taken; what the modem has said of the caller until now.
    Answers(Caller),
    /// Something the user may want to know: a call that was missed, a line the modem said.
    Note(String),
}

/// Who calls, as far as the network says and the modem passes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// `NMBR = 5551212`, `+CLIP: "+4912345",145`. `P` is a caller who does not want it known.
    pub number: Option<String>,
    /// `NAME = STATION`
    pub name: Option<String>,
    /// `DATE = 0321`: month and day.
    pub date: Option<String>,
    /// `TIME = 1405`
    pub time: Option<String>,
}

/// Why no call was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// There is no modem to be called on.
    #[error(transparent)]
    NotReady(#[from] ReadyError),
    /// The telephone did not ring.
    #[error("nobody called within {} s", .wait.as_secs())]
    NobodyCalled {
        /// How long was waited.
        wait: Duration,
    },
    /// It rang, not often enough, and not again.
    #[error("somebody called and gave up before the call was answered; answer after fewer `rings`")]
    StoppedRinging,
    /// The call was answered, and no modem was there.
    #[error("a call was answered, but there was no modem, or the two could not agree")]
    NoCarrier,
    /// The modem does not take the command.
    #[error("the modem answers {reply:?} to {command}: does its profile fit?")]
    Refused {
        /// The command.
        command: String,
        /// What the modem said to it.
        reply: String,
    },
    /// The port ended.
    #[error("the port was lost while waiting for a call: was the modem unplugged?")]
    PortGone,
}

#[derive(Debug)]
enum State {
    Readying(Box<Ready>),
    /// The line is quiet.
    Waiting {
        until: Instant,
    },
    Ringing {
        count: u32,
        /// With no ring until then, the caller has given up.
        until: Instant,
        /// A moment behind the last ring that is let ring.
        answer_at: Option<Instant>,
    },
    /// Off-hook: the two modems find each other.
    PickingUp {
        until: Instant,
    },
    /// The modem is put on-hook: then it ends so, or a call is waited for again.
    Freeing {
        hangup: Box<HangUp>,
        then: Option<AnswerError>,
    },
    Ended,
}

impl Answer {
    /// Prepares to wait for a call. `answering` is held within [`ANSWER_WAIT_LIMIT`] and
    /// [`ANSWER_RINGS_MAX`].
    pub fn new(profile: Profile, set_up: &SetUp, answering: Answering) -> Self {
        let answering = Answering {
            wait: answering.wait.clamp(Duration::from_secs(1), ANSWER_WAIT_LIMIT),
            rings: answering.rings.clamp(1, ANSWER_RINGS_MAX),
            ..answering
        };
        let mut setup = setup_commands(&profile, &set_up.choices, MODEMS_CARRIER_WAIT);
        let (rings, need) =
            if answering.by_modem { (answering.rings, Need::Needed) } else { (0, Need::Optional) };
        let text = answer_after(&profile, rings);
        // Most profiles have S0=0 among their options.
        if answering.by_modem || !setup.iter().any(|command| command.text.contains(&text)) {
            setup.push(Command { text, setting: "answer_after", need, wait: profile.command_wait });
        }
        let ready = Ready::new(&profile, set_up, setup);
        Self {
            carrier: Carrier::new(&profile),
            profile,
            answering,
            state: State::Readying(Box::new(ready)),
            caller: Caller::default(),
            give_up_at: None,
            missed: None,
            refusals: 0,
            told: 0,
            outputs: VecDeque::new(),
        }
    }

    /// What will be sent, if nothing goes wrong, and how long an answer to each may take. The command
    /// that takes the call comes last, and only where the modem does not take it by itself.
    pub fn plan(&self) -> Vec<Planned> {
        let setup = match &self.state {
            State::Readying(ready) => ready.setup(),
            State::Waiting { .. }
            | State::Ringing { .. }
            | State::PickingUp { .. }
            | State::Freeing { .. }
            | State::Ended => &[],
        };
        let takes = (!self.answering.by_modem).then(|| Planned {
            command: self.command(),
            wait: ANSWER_CARRIER_WAIT,
            needed: true,
        });
        Planned::setting_up(setup).chain(takes).collect()
    }

    /// Makes the transition that is due, if one is.
    fn advance(&mut self, now: Instant) {
        if let Some(info) = self.carrier.overdue(now) {
            return self.end(Ok(info));
        }
        match self.state {
            State::Readying(_) | State::Freeing { .. } | State::Ended => {}
            _ if self.until().is_none_or(|until| now < until) => {}
            State::Waiting { .. } => {
                let wait = self.answering.wait;
                let error = self.missed.take().unwrap_or(AnswerError::NobodyCalled { wait });
                self.free(Some(error));
            }
            State::Ringing { answer_at: Some(_), .. } => self.pick_up(now),
            State::Ringing { answer_at: None, .. } => self.stopped_ringing(now),
            State::PickingUp { .. } => {
                self.transmit([CR]); // a character breaks it off (V.250 §5.6.1)
                self.missed = Some(AnswerError::NoCarrier);
                self.free(None);
            }
        }
    }

    fn until(&self) -> Option<Instant> {
        match self.state {
            State::Readying(_) | State::Freeing { .. } | State::Ended => None,
            State::Waiting { until } | State::PickingUp { until } => self.carrier.until().or(Some(until)),
            State::Ringing { until, answer_at, .. } => {
                self.carrier.until().or(Some(answer_at.map_or(until, |at| at.min(until))))
            }
        }
    }

    fn wait(&mut self, now: Instant) {
        self.caller = Caller::default();
        self.carrier.forget();
        let until = *self.give_up_at.get_or_insert(now + self.answering.wait);
        self.state = State::Waiting { until };
    }

    fn rings(&mut self, now: Instant, count: u32) {
        self.tell(AnswerEvent::Rings(count));
        // An old modem loses a command that comes right behind what it says.
        let answer_at = (count >= self.answering.rings.into()).then(|| now + COMMAND_GAP);
        self.state = State::Ringing { count, until: now + RING_GAP_MAX, answer_at };
    }

    fn pick_up(&mut self, now: Instant) {
        let caller = std::mem::take(&mut self.caller);
        // Beyond the limit for events: there are few of these.
        self.outputs.push_back(Output::Event(AnswerEvent::Answers(caller)));
        if !self.answering.by_modem {
            let command = self.command();
            self.carrier.asked(&command);
            self.transmit(format!("{command}\r"));
        }
        self.state = State::PickingUp { until: now + ANSWER_CARRIER_WAIT };
    }

    fn command(&self) -> String {
        format!("AT{}", self.profile.answer)
    }

    fn stopped_ringing(&mut self, now: Instant) {
        self.missed = Some(AnswerError::StoppedRinging);
        self.note("a call was missed: it stopped ringing".to_owned());
        self.wait(now);
    }

    fn hear(&mut self, now: Instant, told: Told) {
        let (response, text) = match told {
            // Whatever we think that the modem does: it is on-line.
            Told::Connected(info) => return self.end(Ok(info)),
            Told::Digits(text) => return self.note(format!("the modem says {text:?}")),
            Told::Line(response, text) => (response, text),
        };
        match self.state {
            State::Waiting { .. } => self.hear_waiting(now, 0, response, text),
            State::Ringing { count, .. } => self.hear_waiting(now, count, response, text),
            State::PickingUp { .. } => self.hear_picking_up(response, text),
            // These read no lines.
            State::Readying(_) | State::Freeing { .. } | State::Ended => {}
        }
    }

    /// `rung` is how often it has rung.
    fn hear_waiting(&mut self, now: Instant, rung: u32, response: Response, text: String) {
        match response {
            Response::Ring => self.rings(now, rung.saturating_add(1)),
            Response::CallerId => self.caller.note(&text),
            Response::Text if self.caller.note_clip(&text) => {}
            // So some modems say that the caller has given up.
            Response::Failed(CallFailure::NoCarrier | CallFailure::NoAnswer) if rung > 0 => {
                self.stopped_ringing(now)
            }
            Response::Echo | Response::Ok | Response::Report(_) => {}
            Response::Connect(_)
            | Response::Failed(_)
            | Response::Error
            | Response::Ringing
            | Response::Text => self.note(format!("the modem says {text:?}")),
        }
    }

    fn hear_picking_up(&mut self, response: Response, text: String) {
        match response {
            Response::Error if self.answering.by_modem => self.note(format!("the modem says {text:?}")),
            Response::Error => {
                self.refusals += 1;
                let refused = AnswerError::Refused { command: self.command(), reply: text };
                if self.refusals < REFUSALS_MAX {
                    // Some say so where the caller has given up in this very moment.
                    self.missed = Some(refused);
                    self.free(None);
                } else {
                    self.free(Some(refused));
                }
            }
            Response::Failed(_) => {
                self.missed = Some(AnswerError::NoCarrier);
                self.note(format!("a call was answered, and the modem says {text:?}"));
                self.free(None);
            }
            // A ring may cross with our ATA.
            Response::Ring | Response::CallerId | Response::Echo => {}
            Response::Connect(_)
            | Response::Ok
            | Response::Ringing
            | Response::Report(_)
            | Response::Text => {
                self.note(format!("the modem says {text:?}"));
            }
        }
    }

    /// What the modem does is made sure of, and then it ends so, or a call is waited for again.
    fn free(&mut self, then: Option<AnswerError>) {
        let ends = then.is_some() && self.answering.by_modem;
        let profile = if ends { &answering_no_more(&self.profile) } else { &self.profile };
        self.state = State::Freeing { hangup: Box::new(HangUp::make_sure(profile)), then };
    }

    fn freed(&mut self, now: Instant, then: Option<AnswerError>, outcome: Result<(), HangUpError>) {
        match (outcome, then) {
            (Ok(()), Some(error)) => self.end(Err(error)),
            (Ok(()), None) => self.wait(now),
            (Err(trouble), then) => {
                // Beyond the limit for events, because this one may cost money.
                self.outputs.push_back(Output::Event(AnswerEvent::Note(trouble.to_string())));
                let error = then.or_else(|| self.missed.take());
                self.end(Err(error.unwrap_or(AnswerError::NoCarrier))); // one was set with the state
            }
        }
    }

    fn end(&mut self, outcome: Result<ConnectInfo, AnswerError>) {
        self.state = State::Ended;
        self.outputs.push_back(Output::Done(outcome));
    }

    fn transmit(&mut self, bytes: impl Into<Vec<u8>>) {
        self.outputs.push_back(Output::Transmit(Transmit::plain(bytes)));
    }

    fn note(&mut self, text: String) {
        self.tell(AnswerEvent::Note(text));
    }

    /// A modem, or whatever is on the port, may say more than anyone wants to read.
    fn tell(&mut self, event: AnswerEvent) {
        if self.told < EVENTS_MAX {
            self.told += 1;
            self.outputs.push_back(Output::Event(event));
        }
    }
}

impl Caller {
    /// One line of caller identification, as Bellcore's and V.253's.
    fn note(&mut self, line: &str) {
        let Some((tag, value)) = line.split_once('=') else { return };
        let place = match tag.trim().to_ascii_uppercase().as_str() {
            "NMBR" | "DDN_NMBR" => &mut self.number,
            "NAME" => &mut self.name,
            "DATE" => &mut self.date,
            "TIME" => &mut self.time,
            _ => return, // MESG is for telephones with a screen
        };
        *place = Some(value.trim().to_owned());
    }

    /// GSM's form (3GPP TS 27.007 §7.11); false for any other line.
    fn note_clip(&mut self, line: &str) -> bool {
        let Some(rest) = line.strip_prefix("+CLIP:") else { return false };
        let number = rest.split('"').nth(1).filter(|number| !number.is_empty());
        self.number = number.map(str::to_owned).or_else(|| self.number.take());
        true
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.number, &self.name) {
            (Some(number), Some(name)) => write!(f, "{number} ({name})"),
            (Some(one), None) | (None, Some(one)) => f.write_str(one),
            (None, None) => f.write_str("somebody"),
        }
    }
}

impl Machine for Answer {
    type Event = AnswerEvent;
    type Outcome = Result<ConnectInfo, AnswerError>;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            match &mut self.state {
                State::Ended => break,
                State::Readying(ready) => return taken + ready.handle_input(now, rest),
                State::Freeing { hangup, .. } => return taken + hangup.handle_input(now, rest),
                State::Waiting { .. } | State::Ringing { .. } | State::PickingUp { .. } => {
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
            self.end(Err(AnswerError::PortGone));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        match &mut self.state {
            State::Readying(ready) => ready.handle_timeout(now),
            State::Freeing { hangup, .. } => hangup.handle_timeout(now),
            State::Waiting { .. } | State::Ringing { .. } | State::PickingUp { .. } | State::Ended => {}
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
                    Err(Inner::Event(event)) => self.tell(AnswerEvent::Ready(event)),
                    Err(Inner::Done(Ok(awake))) => {
                        self.carrier.expect(awake);
                        self.wait(now);
                        self.outputs.push_back(Output::Event(AnswerEvent::Waiting));
                    }
                    Err(Inner::Done(Err(ReadyError::PortGone))) => self.end(Err(AnswerError::PortGone)),
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
                        self.freed(now, then, outcome.map(|_| ()));
                    }
                },
                State::Waiting { .. } | State::Ringing { .. } | State::PickingUp { .. } | State::Ended => {
                    return Output::Wait(self.until());
                }
            }
        }
    }
}

/// The profile with a command for hanging up that also makes the modem answer no more calls by itself.
pub fn answering_no_more(profile: &Profile) -> Profile {
    Profile { hangup: format!("{}{}", profile.hangup, answer_after(profile, 0)), ..profile.clone() }
}

fn answer_after(profile: &Profile, rings: u8) -> String {
    profile.answer_after.replacen(RINGS_PLACE, &rings.to_string(), 1)
}

/// The longest wait for a call that can be asked for.
pub const ANSWER_WAIT_LIMIT: Duration = Duration::from_secs(24 * 3_600);

/// The most rings that can be waited for before answering.
pub const ANSWER_RINGS_MAX: u8 = 20;

/// From answering to the carrier: V.34 training on a bad line.
pub const ANSWER_CARRIER_WAIT: Duration = Duration::from_secs(90);

/// The longest that [`Answer`] takes beside the wait for a call, whatever the port says: making the
/// modem ready, a call that comes in at the last moment, and hanging up.
pub const ANSWER_OVERHEAD_MAX: Duration = Duration::from_secs(620);

/// S7 of the modem: it should give up before we do.
const MODEMS_CARRIER_WAIT: Duration = Duration::from_secs(85);
/// No ring for so long: the caller has given up. The longest cadence has 6 s from ring to ring.
const RING_GAP_MAX: Duration = Duration::from_secs(10);
/// Refusals of the command that answers until the profile is thought wrong.
const REFUSALS_MAX: u32 = 3;
/// Events told by one machine; what a babbling port says beyond that is passed over.
const EVENTS_MAX: usize = 40;

const _: () = assert!(
    READY_MAX.as_secs()
        + ANSWER_RINGS_MAX as u64 * RING_GAP_MAX.as_secs()
        + ANSWER_CARRIER_WAIT.as_secs()
        + 2 * HANG_UP_MAX.as_secs()
        <= ANSWER_OVERHEAD_MAX.as_secs()
);

#[cfg(test)]
mod tests;
