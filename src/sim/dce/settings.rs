//! The modem's settings, its S registers, and how its results are spelt.

use std::time::Duration;

use super::Answer;
use crate::sim::at::REGISTERS;

/// What commands can change.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) echo: bool,
    pub(super) verbose: bool,
    pub(super) quiet: bool,
    pub(super) result_level: u8,
    pub(super) dtr_action: u8,
    pub(super) registers: [u8; REGISTERS as usize],
}

impl Default for Settings {
    fn default() -> Self {
        let mut registers = [0; REGISTERS as usize];
        for (register, value) in REGISTER_DEFAULTS {
            registers[usize::from(register)] = value;
        }
        Self { echo: true, verbose: true, quiet: false, result_level: 4, dtr_action: 2, registers }
    }
}

impl Settings {
    /// 0 for a register that does not exist; the parser lets none through.
    pub(super) fn register(&self, register: u8) -> u8 {
        self.registers.get(usize::from(register)).copied().unwrap_or(0)
    }

    pub(super) fn guard_time(&self) -> Duration {
        Duration::from_millis(20) * u32::from(self.register(S_GUARD)) // fiftieths of a second
    }

    pub(super) fn carrier_wait(&self) -> Duration {
        Duration::from_secs(self.register(S_CARRIER_WAIT).into())
    }

    /// What X lets the DTE be told (V.250 6.2.7): the less, the more is NO CARRIER.
    pub(super) fn result_of(&self, answer: Answer) -> ResultCode {
        let hears_dialtone = matches!(self.result_level, 2 | 4);
        let hears_busy = matches!(self.result_level, 3 | 4);
        match answer {
            Answer::Connect => ResultCode::Connect,
            Answer::Busy if hears_busy => ResultCode::Busy,
            Answer::NoDialtone if hears_dialtone => ResultCode::NoDialtone,
            Answer::Busy | Answer::NoDialtone | Answer::NoCarrier => ResultCode::NoCarrier,
            Answer::NoAnswer => ResultCode::NoAnswer,
            Answer::Voice => ResultCode::Voice,
            Answer::Delayed => ResultCode::Delayed,
            Answer::Blacklisted => ResultCode::Blacklisted,
        }
    }
}

/// A result code (V.250 5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultCode {
    Ok,
    Connect,
    Ring,
    NoCarrier,
    Error,
    NoDialtone,
    Busy,
    NoAnswer,
    Voice,
    Delayed,
    Blacklisted,
}

impl ResultCode {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Connect => "CONNECT",
            Self::Ring => "RING",
            Self::NoCarrier => "NO CARRIER",
            Self::Error => "ERROR",
            Self::NoDialtone => "NO DIALTONE",
            Self::Busy => "BUSY",
            Self::NoAnswer => "NO ANSWER",
            Self::Voice => "VOICE",
            Self::Delayed => "DELAYED",
            Self::Blacklisted => "BLACKLISTED",
        }
    }

    /// V.250 table 1 up to 8; the others as common chip sets number them.
    pub(super) fn digits(self) -> &'static str {
        match self {
            Self::Ok => "0",
            Self::Connect => "1",
            Self::Ring => "2",
            Self::NoCarrier => "3",
            Self::Error => "4",
            Self::NoDialtone => "6",
            Self::Busy => "7",
            Self::NoAnswer => "8",
            Self::Voice => "12",
            Self::Delayed => "24",
            Self::Blacklisted => "32",
        }
    }
}

pub(super) const S_ANSWER_AFTER: u8 = 0; // rings; 0 = never
pub(super) const S_ESCAPE: u8 = 2;
pub(super) const S_CR: u8 = 3;
pub(super) const S_LF: u8 = 4;
pub(super) const S_BACKSPACE: u8 = 5;
pub(super) const S_CARRIER_WAIT: u8 = 7; // seconds
pub(super) const S_GUARD: u8 = 12; // fiftieths of a second
const REGISTER_DEFAULTS: [(u8, u8); 11] = [
    (S_ESCAPE, b'+'),
    (S_CR, b'\r'),
    (S_LF, b'\n'),
    (S_BACKSPACE, 8),
    (6, 2),
    (S_CARRIER_WAIT, 60),
    (8, 2),
    (9, 6),
    (10, 14),
    (11, 95),
    (S_GUARD, 50),
];
