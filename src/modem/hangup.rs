//! Hanging up, and knowing that it worked: DTR where there is DTR, else guard time, `+++`, `ATH`.
//!
//! It may start at any moment, in the middle of a transfer with data streaming in. What counts as an
//! answer is therefore not a line `OK`, which a mail may hold as well, but a line `OK` with silence
//! behind it: a modem in command mode passes no data on. A host that knows this and means harm can
//! still play a modem; against that only DTR helps.
//!
//! ```text
//! has DTR:  DtrLow -> DtrUp -> Asked
//! else:     Guard -> Escaped -> Asked -> Ended     Asked unanswered: Greeted
//!           Guard -- NO CARRIER --> Asked          the host had hung up already
//!           Greeted -- OK --> Asked once more      unanswered: Guard again, three times in all
//! ```
//!
//! Greeted is for a modem that has nothing to say to the command while it is on-hook: it says OK to
//! AT alone, which a modem that is on-line does not. The command is sent once more then, lest the
//! first was lost; if that, too, brings nothing but an OK to AT, the modem is believed to be on-hook.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::codec::{CallFailure, Heard, Reader, Response};
use super::profile::{GUARD_MS_MAX, Profile};
use crate::machine::{Control, Machine, Output, Transmit};

/// Puts the modem on-hook and in command mode.
#[derive(Debug)]
pub struct HangUp {
    profile: Profile,
    begin: Begin,
    state: State,
    reader: Reader,
    verdict: Option<Verdict>,
    quiet_at: Option<Instant>,
    carrier_lost: bool,
    /// It has said OK to AT, and nothing to the command to hang up.
    greeted: bool,
    tries: u32,
    tries_max: u32,
    give_up_at: Option<Instant>,
    outputs: VecDeque<Output<HangUpEvent, Result<HungUp, HangUpError>>>,
}

/// What happens on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HangUpEvent {
    /// DTR is low for a second.
    DroppingDtr,
    /// The escape sequence is tried, for the nth time.
    Escaping(u32),
    /// The modem said that the carrier is gone.
    NoCarrier,
}

/// How sure it is that the line is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HungUp {
    /// The modem answers commands and has obeyed the one to hang up.
    OnHook,
    /// The modem said NO CARRIER and has not answered since.
    CarrierLost,
    /// The line itself ended: DCD lost, or the port closed. Nothing could be asked.
    LineGone,
    /// There is no modem on this line.
    NoModem,
}

/// The call may still be up, and may still cost money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HangUpError {
    /// Nothing that was tried brought an answer.
    #[error("the modem could not be hung up: no command was obeyed")]
    StillUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    Dtr,
    Guard,
    Ask,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    /// DTR is low.
    DtrLow {
        until: Instant,
    },
    /// DTR is high again, and the modem may be resetting itself.
    DtrUp {
        until: Instant,
    },
    /// A result has just come, or is about to; old modems lose a command that follows too soon.
    Pause {
        until: Instant,
    },
    /// We are silent. What the other side sends does not matter: the guard time is about us.
    Guard {
        until: Instant,
    },
    /// `+++` is out and we are silent.
    Escaped {
        guard: Instant,
        until: Instant,
    },
    /// The command to hang up is out.
    Asked {
        again: bool,
        until: Instant,
    },
    /// `AT` is out, because the command to hang up brought no answer.
    Greeted {
        until: Instant,
    },
    Ended,
}

/// The latest result code behind which nothing else has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    NoCarrier,
    Error,
}

impl HangUp {
    /// Hangs up a call. With `has_dtr` the port has a DTR lead that reaches the modem.
    pub fn new(profile: &Profile, has_dtr: bool) -> Self {
        Self::begin(profile, Self::first(profile, has_dtr), TRIES_MAX)
    }

    fn first(profile: &Profile, has_dtr: bool) -> Begin {
        // Without a modem, DTR low is all that tells the other end; with one that ignores DTR
        // (&D0) it would cost a second for nothing.
        if has_dtr && (profile.dtr_hangs_up || !profile.dials()) { Begin::Dtr } else { Begin::Guard }
    }

    /// Makes sure of a modem that should be in command mode already: dialling has failed, or it has
    /// said NO CARRIER to someone else. That takes a third of a second where it is so.
    pub fn make_sure(profile: &Profile) -> Self {
        Self::begin(profile, Begin::Ask, TRIES_MAX)
    }

    /// One attempt at a modem that may be on-line, or may not be there at all.
    pub(super) fn once(profile: &Profile, has_dtr: bool) -> Self {
        Self::begin(profile, Self::first(profile, has_dtr), 1)
    }

    fn begin(profile: &Profile, begin: Begin, tries_max: u32) -> Self {
        Self {
            profile: profile.clone(),
            begin,
            state: State::Start,
            reader: Reader::new(profile.codes.clone()),
            verdict: None,
            quiet_at: None,
            carrier_lost: false,
            greeted: false,
            tries: 0,
            tries_max,
            give_up_at: None,
            outputs: VecDeque::new(),
        }
    }

    fn start(&mut self, now: Instant) {
        self.give_up_at = Some(now + HANG_UP_MAX);
        self.outputs.push_back(Output::Control(Control::DiscardOutput));
        match self.begin {
            Begin::Dtr => {
                self.outputs.push_back(Output::Event(HangUpEvent::DroppingDtr));
                self.outputs.push_back(Output::Control(Control::Dtr(false)));
                self.state = State::DtrLow { until: now + DTR_LOW };
            }
            // Without a modem and without DTR there is nothing that could hang up.
            Begin::Guard | Begin::Ask if !self.profile.dials() => self.end(Ok(HungUp::NoModem)),
            Begin::Guard => self.try_escape(now),
            Begin::Ask => self.state = State::Pause { until: now + PAUSE },
        }
    }

    /// What a line means: `ATH0OK` is our own command, echoed without its CR, and the answer to it.
    fn meant(&self, heard: &Heard) -> Response {
        let asked = match self.state {
            State::Asked { .. } => format!("AT{}", self.profile.hangup),
            State::Greeted { .. } => "AT".to_owned(),
            State::Start
            | State::DtrLow { .. }
            | State::DtrUp { .. }
            | State::Pause { .. }
            | State::Guard { .. }
            | State::Escaped { .. }
            | State::Ended => return heard.response.clone(),
        };
        let glued = heard.glued().filter(|_| heard.text.starts_with(&asked));
        glued.unwrap_or_else(|| heard.response.clone())
    }

    fn hear(&mut self, heard: &Heard) {
        match self.meant(heard) {
            Response::Ok => self.verdict = Some(Verdict::Ok),
            Response::Failed(CallFailure::NoCarrier) => self.verdict = Some(Verdict::NoCarrier),
            Response::Error => self.verdict = Some(Verdict::Error),
            // A modem may say these between a result and the silence behind it.
            Response::Ring | Response::CallerId | Response::Ringing | Response::Report(_) => {}
            // Data behind NO CARRIER: those words were data too.
            Response::Connect(_) | Response::Text => {
                self.verdict = None;
                self.carrier_lost = false;
            }
            // Echoes, and results of something else: what came before was no answer to us.
            Response::Failed(_) | Response::Echo => self.verdict = None,
        }
    }

    /// When what was heard counts, if nothing more comes.
    fn verdict_at(&self) -> Option<(Verdict, Instant)> {
        let verdict = self.verdict.filter(|_| !self.reader.is_mid_line())?;
        let quiet_at = self.quiet_at?;
        match (self.state, verdict) {
            (State::Guard { .. }, Verdict::NoCarrier) => Some((verdict, quiet_at)),
            (State::Guard { .. }, Verdict::Ok | Verdict::Error) => None,
            // To send before the guard time is over would undo the escape.
            (State::Escaped { guard, .. }, _) => Some((verdict, quiet_at.max(guard))),
            (State::Asked { .. } | State::Greeted { .. }, _) => Some((verdict, quiet_at)),
            (
                State::Start
                | State::DtrLow { .. }
                | State::DtrUp { .. }
                | State::Pause { .. }
                | State::Ended,
                _,
            ) => None,
        }
    }

    fn until(&self) -> Option<Instant> {
        match self.state {
            State::Start | State::Ended => None,
            State::DtrLow { until }
            | State::DtrUp { until }
            | State::Pause { until }
            | State::Guard { until }
            | State::Escaped { until, .. }
            | State::Asked { until, .. }
            | State::Greeted { until } => Some(until),
        }
    }

    /// Makes the transitions that are due.
    fn advance(&mut self, now: Instant) {
        if self.state == State::Start {
            self.start(now);
        } else if let Some((verdict, _)) = self.verdict_at().filter(|&(_, at)| at <= now) {
            self.judge(now, verdict);
        } else if self.until().is_some_and(|until| until <= now) {
            self.expire(now);
        }
        if self.give_up_at.is_some_and(|at| at <= now) && self.state != State::Ended {
            self.give_up();
        }
    }

    fn judge(&mut self, now: Instant, verdict: Verdict) {
        if verdict == Verdict::NoCarrier && !self.carrier_lost {
            self.carrier_lost = true;
            self.outputs.push_back(Output::Event(HangUpEvent::NoCarrier));
        }
        match (self.state, verdict) {
            (State::Guard { .. }, _) | (State::Escaped { .. }, Verdict::Ok) => self.ask(now, true),
            (State::Escaped { .. }, Verdict::NoCarrier | Verdict::Error) => self.clear_line(now),
            (State::Asked { .. } | State::Greeted { .. }, Verdict::NoCarrier)
            | (State::Asked { .. }, Verdict::Ok) => self.end(Ok(HungUp::OnHook)),
            // The command may have been lost on its way; if it is unheeded again, it is this modem's way.
            (State::Greeted { .. }, Verdict::Ok) if !self.greeted => {
                self.greeted = true;
                self.ask(now, true);
            }
            (State::Greeted { .. }, Verdict::Ok) => self.end(Ok(HungUp::OnHook)),
            // Something else stood in the modem's command line before ours; that is gone now.
            (State::Asked { again: true, .. }, Verdict::Error) => self.ask(now, false),
            (State::Asked { again: false, .. } | State::Greeted { .. }, Verdict::Error) => {
                self.try_escape(now)
            }
            (
                State::Start
                | State::DtrLow { .. }
                | State::DtrUp { .. }
                | State::Pause { .. }
                | State::Ended,
                _,
            ) => {}
        }
    }

    fn expire(&mut self, now: Instant) {
        match self.state {
            State::DtrLow { .. } => {
                self.outputs.push_back(Output::Control(Control::Dtr(true)));
                self.state = State::DtrUp { until: now + DTR_SETTLE };
            }
            State::DtrUp { .. } if !self.profile.dials() => self.end(Ok(HungUp::NoModem)),
            State::DtrUp { .. } | State::Pause { .. } => self.ask(now, true),
            State::Guard { .. } => {
                let mut escape = vec![self.profile.escape; 3];
                if self.profile.escape_with_at {
                    escape.extend_from_slice(b"AT\r");
                }
                self.outputs.push_back(Output::Transmit(Transmit::plain(escape)));
                self.verdict = None;
                let guard = now + self.profile.guard;
                self.state = State::Escaped { guard, until: guard + ESCAPE_WAIT };
            }
            // In command mode already, `+++` brings no answer and the command does.
            State::Escaped { .. } => self.clear_line(now),
            State::Asked { .. } => self.greet(now),
            State::Greeted { .. } => self.try_escape(now),
            State::Start | State::Ended => {}
        }
    }

    /// The modem was not on-line when `+++` came: what of it stands in its command line goes first.
    fn clear_line(&mut self, now: Instant) {
        self.outputs.push_back(Output::Transmit(Transmit::plain(b"\r")));
        self.verdict = None;
        self.state = State::Pause { until: now + PAUSE };
    }

    fn ask(&mut self, now: Instant, again: bool) {
        self.send(&format!("AT{}", self.profile.hangup));
        self.verdict = None;
        self.state = State::Asked { again, until: now + ASK_WAIT };
    }

    fn greet(&mut self, now: Instant) {
        self.send("AT");
        self.verdict = None;
        self.state = State::Greeted { until: now + GREET_WAIT };
    }

    fn send(&mut self, command: &str) {
        self.reader.asked(command);
        self.outputs.push_back(Output::Transmit(Transmit::plain(format!("{command}\r"))));
    }

    fn try_escape(&mut self, now: Instant) {
        if self.tries == self.tries_max {
            self.give_up();
            return;
        }
        self.tries += 1;
        self.outputs.push_back(Output::Event(HangUpEvent::Escaping(self.tries)));
        self.verdict = None;
        self.state = State::Guard { until: now + self.profile.guard };
    }

    fn give_up(&mut self) {
        let lost = self.carrier_lost && !self.reader.is_mid_line();
        self.end(if lost { Ok(HungUp::CarrierLost) } else { Err(HangUpError::StillUp) });
    }

    fn end(&mut self, outcome: Result<HungUp, HangUpError>) {
        self.state = State::Ended;
        self.outputs.push_back(Output::Done(outcome));
    }
}

impl Machine for HangUp {
    type Event = HangUpEvent;
    type Outcome = Result<HungUp, HangUpError>;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        if self.state == State::Ended {
            return 0;
        }
        // An answer that has been followed by silence stands, whatever comes behind it now.
        self.advance(now);
        let mut taken = 0;
        while taken < bytes.len() && self.state != State::Ended {
            let (length, heard) = self.reader.hear(&bytes[taken..]);
            taken += length;
            if let Some(heard) = heard {
                self.hear(&heard);
            }
        }
        self.quiet_at = Some(now + QUIET);
        taken
    }

    fn handle_hangup(&mut self, _now: Instant) {
        match self.state {
            State::Ended => {}
            State::DtrLow { .. } => {
                self.outputs.push_back(Output::Control(Control::Dtr(true))); // the next call needs it
                self.end(Ok(HungUp::LineGone));
            }
            State::Start
            | State::DtrUp { .. }
            | State::Pause { .. }
            | State::Guard { .. }
            | State::Escaped { .. }
            | State::Asked { .. }
            | State::Greeted { .. } => self.end(Ok(HungUp::LineGone)),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<Self::Event, Self::Outcome> {
        self.advance(now);
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        let verdict_at = self.verdict_at().map(|(_, at)| at);
        Output::Wait([self.until(), verdict_at, self.give_up_at].into_iter().flatten().min())
    }
}

/// The longest that hanging up takes, whatever the modem does: DTR tried first, then three escapes.
/// A modem that obeys takes 1.5 s with DTR and 3 s without.
pub const HANG_UP_MAX: Duration = Duration::from_secs(50);

/// How long DTR is held low. `S25` asks for 50 ms as a rule; old modems look more rarely.
const DTR_LOW: Duration = Duration::from_secs(1);
/// How long a modem is deaf behind DTR, with `&D3` (a reset).
const DTR_SETTLE: Duration = Duration::from_millis(300);
/// Silence between a result and the command behind it.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the line must be silent behind a result code for it to be the modem's.
pub(super) const QUIET: Duration = Duration::from_millis(250);
/// How long behind the guard time the modem may take to say OK to `+++`.
const ESCAPE_WAIT: Duration = Duration::from_secs(1);
/// How long the modem may take to disconnect and say OK; V.42 modems tell the other side first.
const ASK_WAIT: Duration = Duration::from_secs(3);
/// How long it may take to say OK to AT.
const GREET_WAIT: Duration = Duration::from_secs(1);
/// How often the escape sequence is tried.
const TRIES_MAX: u32 = 3;

// The last try is not cut off: DTR and asking first, each answered late; then a guard time twice a try,
// ERROR and OK to what is asked, and the one more time that a modem gets which greets us.
const _: () = assert!(
    DTR_LOW.as_millis()
        + DTR_SETTLE.as_millis()
        + 2 * (ASK_WAIT.as_millis() + GREET_WAIT.as_millis())
        + TRIES_MAX as u128
            * (2 * GUARD_MS_MAX as u128
                + ESCAPE_WAIT.as_millis()
                + PAUSE.as_millis()
                + 2 * ASK_WAIT.as_millis()
                + GREET_WAIT.as_millis())
        <= HANG_UP_MAX.as_millis()
);

#[cfg(test)]
mod tests;
