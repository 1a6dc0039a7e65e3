//! Byte pipes: whatever carries a call's bytes, behind one trait.
//!
//! A line moves bytes and works the few leads of a port (V.24); it knows nothing of modems, shells
//! or mail. The session pumps machines over a `Box<dyn Line>` and does not care which kind it is.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

pub mod exec;
pub mod pty;
pub mod serial;

/// A pipe to a modem, or to a host that is already connected.
///
/// Reading gives end of file once the line is gone, and goes on giving it. `flush` never waits for
/// the wire (a UART drains at line speed and would hold up the executor): ask [`Line::unsent`].
pub trait Line: AsyncRead + AsyncWrite + Unpin + Send {
    /// Whether the modem leads mean anything here: false on a PTY, whose ioctls answer ENOTTY.
    fn leads_known(&self) -> bool;

    /// Raises or drops Data Terminal Ready (V.24 circuit 108/2); `Ok(false)` = there is no such lead.
    fn set_dtr(&mut self, on: bool) -> io::Result<bool>;

    /// Data Carrier Detect (V.24 circuit 109) now; `None` = unknown.
    ///
    /// A cable with three wires reads "off" for ever, so only a fall from on to off means that a
    /// call was lost. Ports are opened with CLOCAL: nothing tells of the fall, it has to be polled.
    fn carrier(&mut self) -> io::Result<Option<bool>>;

    /// Starts or ends a BREAK; `Ok(false)` = this line has none, or none while the modem holds CTS low.
    /// What was written and has not yet left is thrown away. The caller does the waiting (see
    /// [`send_break`]), because `tcsendbreak` would hold up the executor.
    fn set_break(&mut self, on: bool) -> io::Result<bool>;

    /// Throws away what was written and has not yet left.
    fn discard_output(&mut self) -> io::Result<()>;

    /// How many written bytes the system still holds; `None` = unknown.
    fn unsent(&mut self) -> io::Result<Option<usize>>;

    /// The configured bit rate, which the session paces by; `None` = no limit worth pacing.
    fn speed(&self) -> Option<u32>;

    /// What to call this line in messages: a device or a command.
    fn name(&self) -> String;

    /// Why the line ended, where something is known: `ssh: exit status 255`.
    fn why_ended(&mut self) -> Option<String> {
        None
    }
}

/// Holds the line in the spacing state for `duration`; `Ok(false)` = there was none.
/// Ends the BREAK as well when the future is dropped half-way.
#[allow(clippy::disallowed_methods)] // the line is where the world begins: a BREAK lasts in real time
pub async fn send_break(line: &mut dyn Line, duration: Duration) -> io::Result<bool> {
    struct Held<'a>(&'a mut dyn Line);
    impl Drop for Held<'_> {
        fn drop(&mut self) {
            let _ = self.0.set_break(false); // a line that is gone needs no end of BREAK
        }
    }
    if !line.set_break(true)? {
        return Ok(false);
    }
    let held = Held(line);
    tokio::time::sleep(duration.min(BREAK_MAX)).await;
    held.0.set_break(false)
}

/// The longest BREAK held: a space of 4 s already makes old modems hang up (long space disconnect).
pub const BREAK_MAX: Duration = Duration::from_secs(5);
