//! How dialling fails, and which result code says so.

use std::time::Duration;

use crate::modem::codec::Response;
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

/// The result codes that end a call before it began.
pub(super) fn call_failure(response: &Response, reply: &str) -> Option<DialError> {
    match response {
        Response::NoCarrier => Some(DialError::NoCarrier),
        Response::NoDialtone => Some(DialError::NoDialtone),
        Response::Busy => Some(DialError::Busy),
        Response::NoAnswer => Some(DialError::NoAnswer),
        Response::Voice => Some(DialError::Voice),
        Response::Fax => Some(DialError::Fax),
        Response::Blacklisted => Some(DialError::Blacklisted),
        Response::Delayed(remaining) => Some(DialError::Delayed { remaining: *remaining }),
        Response::Rejected => Some(DialError::Rejected { reply: reply.to_owned() }),
        Response::NoService => Some(DialError::NoService { reply: reply.to_owned() }),
        Response::Ok
        | Response::Connect(_)
        | Response::Ring
        | Response::CallerId
        | Response::Error
        | Response::Ringing
        | Response::Report(_)
        | Response::Echo
        | Response::Text => None,
    }
}

fn shown(remaining: &Option<Duration>) -> String {
    remaining.map_or(String::new(), |time| format!(": wait another {} s", time.as_secs()))
}
