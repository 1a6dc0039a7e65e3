//! How dialling fails, and which result code says so.

use std::time::Duration;

use crate::modem::codec::Response;

/// How dialling fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Not a byte came back.
    #[error("the modem does not answer: is it on, and is this its port and speed?")]
    ModemSilent,
    /// Something came back, but no answer to `AT`.
    #[error("no modem answers, though the port says {heard:?}: is this the modem's port and speed?")]
    Garbled {
        /// The first line that came.
        heard: String,
    },
    /// A command that is needed was not accepted.
    #[error("the modem answers {reply:?} to {command}: does its profile fit?")]
    Refused {
        /// The command.
        command: String,
        /// What the modem said to it.
        reply: String,
    },
    /// The line is busy.
    #[error("the number is busy")]
    Busy,
    /// It rang, and nobody answered.
    #[error("nobody answers at the number")]
    NoAnswer,
    /// No modem answered at the other end, or the two did not agree.
    #[error("no carrier: no modem answered at the number, or the two could not agree")]
    NoCarrier,
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
pub(super) fn call_failure(response: &Response) -> Option<DialError> {
    match response {
        Response::NoCarrier => Some(DialError::NoCarrier),
        Response::NoDialtone => Some(DialError::NoDialtone),
        Response::Busy => Some(DialError::Busy),
        Response::NoAnswer => Some(DialError::NoAnswer),
        Response::Voice => Some(DialError::Voice),
        Response::Fax => Some(DialError::Fax),
        Response::Blacklisted => Some(DialError::Blacklisted),
        Response::Delayed(remaining) => Some(DialError::Delayed { remaining: *remaining }),
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
