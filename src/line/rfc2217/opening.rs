//! Opening a port over the network: negotiating, setting it up, and reading back what became of that.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::port::Refused;
use super::{RemoteSettings, Rfc2217Line};
use crate::line::Framing;
use crate::line::nvt::{Side, option};

/// Why a port could not be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Whoever took the connection has said nothing at all.
    #[error("{name} takes the connection and says nothing: has its port another user, or does it hang?")]
    Silent {
        /// The server.
        name: String,
    },
    /// Whoever answers there does not negotiate.
    #[error("{name} does not speak TELNET: use kind = \"tcp\", or the server's port for RFC 2217")]
    NotTelnet {
        /// The server.
        name: String,
    },
    /// COM-PORT-OPTION was refused or passed over.
    #[error("{name} speaks TELNET but not RFC 2217: use kind = \"tcp\" or \"telnet\"")]
    NoComPort {
        /// The server.
        name: String,
    },
    /// COM-PORT-OPTION was agreed on, and then nothing was answered.
    #[error("{name} agrees to RFC 2217 and then answers no request: is its port in order?")]
    NoAnswer {
        /// The server.
        name: String,
    },
    /// Somebody else has the port.
    #[error("{name} is in use: it says {said:?}")]
    Busy {
        /// The server.
        name: String,
        /// Its words.
        said: String,
    },
    /// The server hung up.
    #[error("{name} closed the connection{}", behind_closing(.said))]
    Closed {
        /// The server.
        name: String,
        /// Its words, if it had any.
        said: String,
    },
    /// The rate is none of the port's.
    #[error("{name} does not take {asked} bit/s: its port has {has}; try another speed")]
    Speed {
        /// The server.
        name: String,
        /// What was wanted, in bit/s.
        asked: u32,
        /// What the port has.
        has: u32,
    },
    /// The port does not frame characters so.
    #[error("{name} does not take {asked}: its port has {has}")]
    Framing {
        /// The server.
        name: String,
        /// What was wanted.
        asked: Framing,
        /// What the port has.
        has: String,
    },
    /// The connection broke.
    #[error("the connection to {name} was lost: {source}")]
    Io {
        /// The server.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

impl<S: AsyncRead + AsyncWrite + Unpin> Rfc2217Line<S> {
    /// Takes over a connection that is up, agrees on COM-PORT-OPTION, and sets the port up: DTR is on
    /// then. `name` is what the server is called in messages.
    #[allow(clippy::disallowed_methods)] // a line is where the world begins: a server answers in real time
    pub async fn open(stream: S, name: String, settings: RemoteSettings) -> Result<Self, OpenError> {
        let mut line = Self::new(stream, name, settings);
        line.negotiate();
        let until = Instant::now() + NEGOTIATION_WAIT;
        let agreed = |line: &Self| line.agreed || line.refused;
        line.until(until, agreed).await?;
        if !line.agreed {
            let name = line.name.clone();
            return Err(match (line.negotiated, line.heard) {
                (true, _) => OpenError::NoComPort { name },
                (false, true) => OpenError::NotTelnet { name },
                (false, false) => OpenError::Silent { name },
            });
        }
        for request in line.port.requests() {
            line.request(&request);
        }
        let until = Instant::now() + ANSWER_WAIT;
        line.until(until, |line| line.port.has_answered() || line.refused).await?;
        // Some requests may stay without an answer, so that the end of the answers does not show.
        let until = until.min(Instant::now() + SETTLE_WAIT);
        line.until(until, |line| line.port.is_read_back() || line.refused).await?;
        line.judge()?;
        Ok(line)
    }

    /// What the port has become, against what was wanted.
    fn judge(&mut self) -> Result<(), OpenError> {
        let name = self.name.clone();
        let wanted = self.port.wanted;
        if self.refused {
            return Err(OpenError::NoComPort { name });
        }
        if !self.port.has_answered() {
            return Err(OpenError::NoAnswer { name });
        }
        match self.port.as_wanted() {
            Ok(()) => {}
            Err(Refused::Speed(has)) => return Err(OpenError::Speed { name, asked: wanted.speed, has }),
            Err(Refused::Framing(has)) => {
                return Err(OpenError::Framing { name, asked: wanted.framing, has });
            }
        }
        self.warnings = self.port.warnings(&name);
        if self.port.wanted.framing.is_eight_bit() && !self.is_binary() {
            self.warnings.push(format!("{name} refuses 8-bit data (BINARY, RFC 856)"));
        }
        Ok(())
    }

    /// Takes what comes until `done` holds, or it is `until`. The clock is looked at too, because a timer
    /// has no turn beside a server that never stops sending.
    #[allow(clippy::disallowed_methods)] // a line is where the world begins: a server answers in real time
    async fn until(&mut self, until: Instant, done: impl Fn(&Self) -> bool) -> Result<(), OpenError> {
        while !done(self) && !self.ended && Instant::now() < until {
            let heard = poll_fn(|cx| self.poll_hear(cx));
            match timeout_at(until, heard).await {
                // What a modem has said before it was asked is of no use beyond the end of it.
                Ok(Ok(())) => {
                    let excess = self.received.len().saturating_sub(RECEIVED_MAX);
                    self.received.drain(..excess);
                }
                Ok(Err(source)) => return Err(OpenError::Io { name: self.name.clone(), source }),
                Err(_elapsed) => return Ok(()),
            }
        }
        if self.ended { Err(self.hung_up()) } else { Ok(()) }
    }

    /// The server closed the connection before there was a port; what it said on the way tells why.
    fn hung_up(&self) -> OpenError {
        let heard = String::from_utf8_lossy(&self.received);
        let words = heard.lines().map(str::trim).filter(|line| !line.is_empty());
        let said: String = words.collect::<Vec<_>>().join(" ").chars().take(SAID_MAX).collect();
        let name = self.name.clone();
        let lower = said.to_lowercase();
        // ser2net's words are "Port already in use" and "Port's device already in use".
        if BUSY_WORDS.iter().any(|words| lower.contains(words)) {
            OpenError::Busy { name, said }
        } else {
            OpenError::Closed { name, said }
        }
    }

    /// What is wanted of TELNET: eight bits both ways, no go-aheads, and the port.
    fn negotiate(&mut self) {
        for (side, code) in [(Side::Him, option::COM_PORT), (Side::Him, option::ECHO)] {
            self.options.allow(side, code);
        }
        for (side, code) in [
            (Side::Us, option::COM_PORT),
            (Side::Us, option::BINARY),
            (Side::Him, option::BINARY),
            (Side::Us, option::SGA),
            (Side::Him, option::SGA),
        ] {
            self.options.allow(side, code);
            let reply = self.options.ask(side, code, true);
            self.answer(reply);
        }
    }
}

fn behind_closing(said: &str) -> String {
    match said {
        "" => " before its port was set up: is the port in use?".to_owned(),
        said => format!(": it says {said:?}"),
    }
}

/// What servers say of a port that is not free.
const BUSY_WORDS: [&str; 2] = ["in use", "busy"];
/// How long a server may take to agree to COM-PORT-OPTION.
pub const NEGOTIATION_WAIT: Duration = Duration::from_secs(10);
/// How long it may then take to answer the first request.
pub const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// How long the other answers may take, where the last of them does not come.
pub const SETTLE_WAIT: Duration = Duration::from_secs(2);
/// Bytes that the port may have sent by the time it is set up; what came first is dropped.
const RECEIVED_MAX: usize = 64 * 1024;
/// Characters of a server's words that are shown.
const SAID_MAX: usize = 120;
