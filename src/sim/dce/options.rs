//! What a simulated modem, its line and the far end are to be like.

use std::time::Duration;

use super::Incoming;
use crate::sim::wire::LineQuality;

/// What the modem, the line behind it and the people at its far end are like.
#[derive(Debug, Clone, PartialEq)]
pub struct DceOptions {
    /// Rate, latency and bit errors of the line.
    pub quality: LineQuality,
    /// Decides which bits are hit, call by call.
    pub seed: u64,
    /// The whole text at carrier: `CONNECT 57600/ARQ/V34/LAPM`.
    pub connect_text: String,
    /// What happens at a number, by its digits; other numbers get `answers`.
    pub phone_book: Vec<(String, Answer)>,
    /// What happens call by call; the last one stays. Empty = everybody answers.
    pub answers: Vec<Answer>,
    /// From the end of dialling to the outcome, and from answering to the carrier.
    pub ring_delay: Duration,
    /// The carrier is lost after so many bytes to the DTE, one value a call; later calls are unharmed.
    pub drop_after: Vec<u64>,
    /// The line goes deaf after so many bytes to the DTE, one value a call.
    pub silent_after: Vec<u64>,
    /// Calls that come in.
    pub incoming: Vec<Incoming>,
    /// In what the modem is unlike others.
    pub quirks: Vec<Quirk>,
}

impl Default for DceOptions {
    fn default() -> Self {
        Self {
            quality: LineQuality::PERFECT,
            seed: 1,
            connect_text: "CONNECT 33600".into(),
            phone_book: Vec::new(),
            answers: Vec::new(),
            ring_delay: Duration::from_secs(2),
            drop_after: Vec::new(),
            silent_after: Vec::new(),
            incoming: Vec::new(),
            quirks: Vec::new(),
        }
    }
}

/// How a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// By a modem.
    Connect,
    /// By the engaged tone.
    Busy,
    /// Not at all.
    NoAnswer,
    /// By something that is no modem.
    NoCarrier,
    /// There is no line on our side.
    NoDialtone,
    /// By a person, on modems that can tell.
    Voice,
    /// The modem itself refuses for a while (redial rules of some countries).
    Delayed,
    /// The modem itself refuses for good.
    Blacklisted,
}

impl std::str::FromStr for Answer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ANSWERS.iter().find(|(name, _)| *name == text).map(|&(_, answer)| answer).ok_or_else(|| {
            let names: Vec<_> = ANSWERS.iter().map(|&(name, _)| name).collect();
            format!("`{text}` is no answer; choose one of {}", names.join(", "))
        })
    }
}

/// What some modems do and others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quirk {
    /// Commands are echoed whatever E0 says.
    StuckEcho,
    /// Results are numbers whatever V1 says.
    Numeric,
    /// Results follow the echo without a line end between.
    Glued,
    /// DTR is not looked at, whatever &D says.
    NoDtr,
    /// Only what comes at this many bit/s is understood.
    PortSpeed(u32),
}

impl std::str::FromStr for Quirk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("port-speed=").map(str::parse)) {
            ("stuck-echo", _) => Ok(Self::StuckEcho),
            ("numeric", _) => Ok(Self::Numeric),
            ("glued", _) => Ok(Self::Glued),
            ("no-dtr", _) => Ok(Self::NoDtr),
            (_, Some(Ok(speed))) => Ok(Self::PortSpeed(speed)),
            (_, Some(Err(_)) | None) => Err(format!(
                "`{text}` is no quirk; choose from stuck-echo, numeric, glued, no-dtr, port-speed=9600"
            )),
        }
    }
}

impl DceOptions {
    pub(super) fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// The only rate that is understood, if there is one, in bit/s.
    pub(super) fn port_speed(&self) -> Option<u32> {
        self.quirks.iter().find_map(|quirk| match quirk {
            Quirk::PortSpeed(speed) => Some(*speed),
            Quirk::StuckEcho | Quirk::Numeric | Quirk::Glued | Quirk::NoDtr => None,
        })
    }

    /// What happens at `number`, after so many dials.
    pub(super) fn answer_to(&self, number: &str, dials_before: usize) -> Answer {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let listed = self.phone_book.iter().find(|(listed, _)| digits(listed) == digits(number));
        let in_turn = self.answers.get(dials_before).or(self.answers.last());
        listed.map(|(_, answer)| answer).or(in_turn).copied().unwrap_or(Answer::Connect)
    }
}

/// The answers' names, as options spell them.
pub(super) const ANSWERS: [(&str, Answer); 8] = [
    ("connect", Answer::Connect),
    ("busy", Answer::Busy),
    ("no-answer", Answer::NoAnswer),
    ("no-carrier", Answer::NoCarrier),
    ("no-dialtone", Answer::NoDialtone),
    ("voice", Answer::Voice),
    ("delayed", Answer::Delayed),
    ("blacklisted", Answer::Blacklisted),
];
