//! What the modem tells whoever runs it.

use std::time::Instant;

/// What is told to whoever runs the modem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DceEvent {
    /// A number was dialled.
    Dialled {
        /// As dialled, without separators.
        number: String,
    },
    /// The call came to nothing.
    Refused {
        /// The modem's word for it.
        result: &'static str,
    },
    /// A call comes in: the first ring.
    Rings,
    /// The caller has given up.
    CallerGaveUp,
    /// Carrier: the host begins now.
    Connected {
        /// Which call, from 1.
        call: u64,
        /// The number it was made to; empty for a call that came in.
        number: String,
    },
    /// Carrier gone: the host ends now.
    HungUp {
        /// Which call.
        call: u64,
        /// Whose doing it was.
        by: HangUpBy,
        /// Payload to the DTE.
        bytes_down: u64,
        /// Payload from the DTE.
        bytes_up: u64,
        /// Bytes that the line damaged, both ways.
        damaged: u64,
    },
}

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUpBy {
    /// The DTE, by a command (ATH, ATZ).
    Command,
    /// The DTE, by dropping DTR.
    Dtr,
    /// The host.
    Host,
    /// The line, as planned.
    Line,
}

/// What the modem wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DceStep {
    /// Hear this.
    Event(DceEvent),
    /// Nothing until bytes come or, if given, this moment.
    Wait(Option<Instant>),
}

/// Where the modem stands, for tests and status lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// On-hook: no call.
    OnHook,
    /// Off-hook without a call (ATH1).
    OffHook,
    /// Dialling or waiting for an answer.
    Dialling,
    /// A call, in data state.
    Online,
    /// A call, in command state.
    OnlineCommand,
}
