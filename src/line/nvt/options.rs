//! Which options are in effect, and what to answer: the Q method (RFC 1143), which cannot loop.
//!
//! Beyond the RFC, a side of an option is answered [`ANSWERS_MAX`] times and then no more: a peer that
//! toggles it for ever, or offers for ever what is refused, gets silence. From then on it can only be off.

use super::Verb;

/// Whose behaviour an option is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Ours: we say WILL and WONT, the peer DO and DONT.
    Us,
    /// The peer's.
    Him,
}

/// What to do after a negotiation was heard or begun. The answer is sent first, then the change is made:
/// the command stands in the stream where it takes effect (RFC 854, page 3).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Reply {
    /// To be sent: a verb and the option's code.
    pub send: Option<(Verb, u8)>,
    /// What is in effect now, and was not before, or the other way round.
    pub change: Option<Change>,
}

/// An option that has come into effect or gone out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub side: Side,
    /// Its code.
    pub option: u8,
    /// In effect now.
    pub on: bool,
}

/// All options, both sides. At first each is off and would be refused.
#[derive(Debug, Clone)]
pub struct Options {
    us: Box<[Half; OPTIONS]>,
    him: Box<[Half; OPTIONS]>,
}

impl Default for Options {
    fn default() -> Self {
        Self { us: Box::new([Half::default(); OPTIONS]), him: Box::new([Half::default(); OPTIONS]) }
    }
}

impl Options {
    /// From now on the peer gets it if it asks.
    pub fn allow(&mut self, side: Side, option: u8) {
        self.half_mut(side, option).allowed = true;
    }

    /// From now on the peer is refused it. What is in effect stays so; [`Options::ask`] ends it.
    pub fn refuse(&mut self, side: Side, option: u8) {
        self.half_mut(side, option).allowed = false;
    }

    /// Begins to have the option on or off.
    pub fn ask(&mut self, side: Side, option: u8, on: bool) -> Reply {
        self.step(side, option, |half| half.ask(on))
    }

    /// Takes what the peer negotiates.
    pub fn hear(&mut self, verb: Verb, option: u8) -> Reply {
        let (side, on) = match verb {
            Verb::Will => (Side::Him, true),
            Verb::Wont => (Side::Him, false),
            Verb::Do => (Side::Us, true),
            Verb::Dont => (Side::Us, false),
        };
        self.step(side, option, |half| half.hear(on))
    }

    /// Whether it is in effect.
    pub fn is_on(&self, side: Side, option: u8) -> bool {
        self.half(side, option).is_on(side)
    }

    /// Whether the peer still owes an answer to what we asked.
    pub fn is_asked(&self, side: Side, option: u8) -> bool {
        matches!(self.half(side, option).state, State::WantNo(_) | State::WantYes(_))
    }

    fn step(&mut self, side: Side, option: u8, step: impl FnOnce(&mut Half) -> Option<bool>) -> Reply {
        let half = self.half_mut(side, option);
        let before = half.is_on(side);
        let say = step(half);
        let on = half.is_on(side);
        let verb = |on| match (side, on) {
            (Side::Us, true) => Verb::Will,
            (Side::Us, false) => Verb::Wont,
            (Side::Him, true) => Verb::Do,
            (Side::Him, false) => Verb::Dont,
        };
        Reply {
            send: say.map(|on| (verb(on), option)),
            change: (before != on).then_some(Change { side, option, on }),
        }
    }

    fn half(&self, side: Side, option: u8) -> &Half {
        match side {
            Side::Us => &self.us[usize::from(option)],
            Side::Him => &self.him[usize::from(option)],
        }
    }

    fn half_mut(&mut self, side: Side, option: u8) -> &mut Half {
        match side {
            Side::Us => &mut self.us[usize::from(option)],
            Side::Him => &mut self.him[usize::from(option)],
        }
    }
}

/// One side of one option.
#[derive(Debug, Default, Clone, Copy)]
struct Half {
    state: State,
    allowed: bool,
    answers: u8,
}

/// RFC 1143, section 7: `him` and `himq`, or `us` and `usq`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    No,
    Yes,
    WantNo(Queue),
    WantYes(Queue),
}

/// What is asked for next, once the peer has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Empty,
    Opposite,
}

impl Half {
    /// We end ours by saying so, the peer ends its own: between our DONT and its WONT it is still on.
    fn is_on(&self, side: Side) -> bool {
        match self.state {
            State::Yes => true,
            State::WantNo(_) => side == Side::Him,
            State::No | State::WantYes(_) => false,
        }
    }

    /// The peer says on or off; answers what we say to that.
    fn hear(&mut self, on: bool) -> Option<bool> {
        let (state, answer) = match (self.state, on) {
            (State::No, true) if self.allowed => (State::Yes, Some(true)),
            (State::No, true) => (State::No, Some(false)),
            (State::No, false) => (State::No, None),
            (State::Yes, true) => (State::Yes, None),
            (State::Yes, false) => (State::No, Some(false)),
            // DONT answered by WILL is a fault of the peer's; so it is on or off as we want it.
            (State::WantNo(Queue::Empty), _) => (State::No, None),
            (State::WantNo(Queue::Opposite), true) => (State::Yes, None),
            (State::WantNo(Queue::Opposite), false) => (State::WantYes(Queue::Empty), Some(true)),
            (State::WantYes(Queue::Empty), true) => (State::Yes, None),
            (State::WantYes(Queue::Opposite), true) => (State::WantNo(Queue::Empty), Some(false)),
            (State::WantYes(_), false) => (State::No, None),
        };
        match answer {
            Some(_) if self.answers >= ANSWERS_MAX => {
                self.state = State::No;
                None
            }
            Some(say) => {
                self.answers += 1;
                self.state = state;
                Some(say)
            }
            None => {
                self.state = state;
                None
            }
        }
    }

    /// We want it on or off; answers what is to be said now.
    fn ask(&mut self, on: bool) -> Option<bool> {
        let (state, say) = match (self.state, on) {
            (State::No, true) if self.answers >= ANSWERS_MAX => (State::No, None),
            (State::No, true) => (State::WantYes(Queue::Empty), Some(true)),
            (State::Yes, false) => (State::WantNo(Queue::Empty), Some(false)),
            (State::No, false) | (State::Yes, true) => (self.state, None),
            (State::WantNo(_), true) => (State::WantNo(Queue::Opposite), None),
            (State::WantNo(_), false) => (State::WantNo(Queue::Empty), None),
            (State::WantYes(_), true) => (State::WantYes(Queue::Empty), None),
            (State::WantYes(_), false) => (State::WantYes(Queue::Opposite), None),
        };
        self.state = state;
        say
    }
}

/// Answers to the peer's asking, each side of each option.
pub const ANSWERS_MAX: u8 = 16;
/// An option's code is a byte.
const OPTIONS: usize = 256;
