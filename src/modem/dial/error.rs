//! How dialling fails, and which result code says so.

use std::time::Duration;

use crate::modem::codec::CallFailure;
use crate::modem::ready::ReadyError;

/// How dialling fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// There is no modem to dial with.
    #[error(transparent)]
    NotReady(#[from] ReadyError),
    /// The modem does not take the number.
    #[error("the modem answers {reply:?} to {command}: does its profile fit?")]
    Refused {
        /// The command.
        command: String,
        /// What the modem said to it.
        reply: String,
    },
    /// The modem does not dial because somebody calls us.
    #[error("a call is coming in on this line: dial when it has stopped ringing")]
    CallComingIn,
    /// The line is busy.
    #[error("the number is busy")]
    Busy,
    /// It rang, and nobody answered.
    #[error("nobody answers at the number")]
    NoAnswer,
    /// No modem answered at the other end, or the two did not agree.
    #[error("no carrier: no modem answered at the number, or the two could not agree")]
    NoCarrier,
    /// The network or the other end does not want the call.
    #[error("the call was rejected ({reply:?}): is the number right, and may this line call it?")]
    Rejected {
        /// What the modem said.
        reply: String,
    },
    /// There is no network to call through (GSM, satellite).
    #[error("there is no network ({reply:?}): is the aerial in the open, and the SIM in its place?")]
    NoService {
        /// What the modem said.
        reply: String,
    },
    /// The telephone line is dead, or in use.
    #[error("no dial tone: is the telephone line plugged in and free?")]
    NoDialtone,
    /// A person answered.
    #[error("a person answered: check the number before dialling again")]
    Voice,
    /// A fax machine answered.
    #[error("a fax machine answered: check the number")]
    Fax,
    /// The modem refuses the number for a while, as the rules of its country demand.
    #[error("the modem refuses to dial this number again for now{}", shown(.remaining))]
    Delayed {
        /// For how long, where it said so.
        remaining: Option<Duration>,
    },
    /// The modem refuses the number for good, as the rules of its country demand.
    #[error("the modem has blacklisted this number: check it, then switch the modem off and on")]
    Blacklisted,
    /// Neither a carrier nor a reason within the wait; we broke off.
    #[error("no connection within {} s", .wait.as_secs())]
    TimedOut {
        /// How long was waited.
        wait: Duration,
    },
    /// The port ended.
    #[error("the port was lost while dialling: was the modem unplugged?")]
    PortGone,
}

/// What a result code that ends a call says of the dial. `reply` is the modem's line.
pub(super) fn call_failure(failure: CallFailure, reply: &str) -> DialError {
    match failure {
        CallFailure::NoCarrier => DialError::NoCarrier,
        CallFailure::NoDialtone => DialError::NoDialtone,
        CallFailure::Busy => DialError::Busy,
        CallFailure::NoAnswer => DialError::NoAnswer,
        CallFailure::Voice => DialError::Voice,
        CallFailure::Fax => DialError::Fax,
        CallFailure::Blacklisted => DialError::Blacklisted,
        CallFailure::Delayed(remaining) => DialError::Delayed { remaining },
        CallFailure::Rejected => DialError::Rejected { reply: reply.to_owned() },
        CallFailure::NoService => DialError::NoService { reply: reply.to_owned() },
    }
}

fn shown(remaining: &Option<Duration>) -> String {
    remaining.map_or(String::new(), |time| format!(": wait another {} s", time.as_secs()))
}
