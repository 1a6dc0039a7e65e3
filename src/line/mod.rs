//! Byte pipes: whatever carries a call's bytes, behind one trait.
//!
//! A line moves bytes and works the few leads of a port (V.24); it knows nothing of modems, shells
//! or mail. The session pumps machines over a `Box<dyn Line>` and does not care which kind it is.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::machine::BITS_PER_BYTE;

pub mod address;
pub mod exec;
pub mod framing;
pub mod holder;
pub mod lock;
pub mod nvt;
pub mod permission;
pub mod ports;
pub mod pty;
pub mod rfc2217;
pub mod serial;
pub mod seven_bit;
pub mod tcp;
pub mod telnet;

pub use address::Address;
pub use framing::{DataBits, Framing, Parity, StopBits};
pub use seven_bit::SevenBit;

/// A pipe to a modem, or to a host that is already connected.
///
/// Reading gives end of file once the line is gone, and goes on giving it. `flush` never waits for
/// the wire (a UART drains at line speed and would hold up the executor): ask [`Line::unsent`].
///
/// A line has no leads, no rate and no BREAK unless it says so.
pub trait Line: AsyncRead + AsyncWrite + Unpin + Send {
    /// Whether the modem leads mean anything here: false on a PTY, whose ioctls answer ENOTTY.
    fn leads_known(&self) -> bool {
        false
    }

    /// Raises or drops Data Terminal Ready (V.24 circuit 108/2); `Ok(false)` = there is no such lead.
    fn set_dtr(&mut self, _on: bool) -> io::Result<bool> {
        Ok(false)
    }

    /// Raises or drops Request To Send (V.24 circuit 105); `Ok(false)` = there is no such lead, or flow
    /// control works it.
    fn set_rts(&mut self, _on: bool) -> io::Result<bool> {
        Ok(false)
    }

    /// From now on closing the line ends no call: DTR stays as it is, and so do the port's settings.
    /// `Ok(false)` = closing this line ends whatever is on it.
    fn keep_up(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    /// Rate, framing and flow control in words, where the line is a port: `57600 bit/s 8N1, RTS/CTS`.
    fn port_settings(&self) -> Option<String> {
        None
    }

    /// All leads now; `None` = unknown.
    fn leads(&mut self) -> io::Result<Option<Leads>> {
        Ok(None)
    }

    /// Data Carrier Detect (V.24 circuit 109) now; `None` = unknown.
    ///
    /// A cable with three wires reads "off" for ever, so only a fall from on to off means that a
    /// call was lost. Ports are opened with CLOCAL: nothing tells of the fall, it has to be polled.
    fn carrier(&mut self) -> io::Result<Option<bool>> {
        Ok(self.leads()?.map(|leads| leads.dcd))
    }

    /// Starts or ends a BREAK; `Ok(false)` = this line has none, or none while the modem holds CTS low.
    /// What was written and has not yet left is thrown away. The caller does the waiting (see
    /// [`send_break`]), because `tcsendbreak` would hold up the executor.
    fn set_break(&mut self, _on: bool) -> io::Result<bool> {
        Ok(false)
    }

    /// Throws away what was written and has not yet left.
    fn discard_output(&mut self) -> io::Result<()>;

    /// How many written bytes the system still holds; `None` = unknown.
    fn unsent(&mut self) -> io::Result<Option<usize>> {
        Ok(None)
    }

    /// The port's bit rate, which the session paces by; `None` = no limit worth pacing.
    fn speed(&self) -> Option<u32> {
        None
    }

    /// Changes the port's bit rate at once, also for bytes that are still queued; `Ok(false)` = this
    /// line has none. A rate that the port does not take is an error of the kind `InvalidInput`, and
    /// the port keeps the one it had.
    fn set_speed(&mut self, _bits: u32) -> io::Result<bool> {
        Ok(false)
    }

    /// Bits that a byte takes on the wire, from start bit to stop bit.
    fn bits_per_byte(&self) -> u32 {
        BITS_PER_BYTE
    }

    /// Whether bytes above 127 pass, both ways, as far as it is known by now.
    fn eight_bit(&self) -> bool {
        true
    }

    /// Whether the eighth bit is cut off for sure, and not only unagreed upon.
    fn cuts_eighth_bit(&self) -> bool {
        !self.eight_bit()
    }

    /// Asks the other end to let eight bits pass; false = there is nobody to ask. The answer is in
    /// [`Line::eight_bit`] once something sent afterwards has been answered.
    fn ask_eight_bit(&mut self) -> bool {
        false
    }

    /// Tells the other end how large the screen here is; `Ok(false)` = this line cannot tell.
    fn set_window(&mut self, _rows: u16, _cols: u16) -> io::Result<bool> {
        Ok(false)
    }

    /// What to call this line in messages: a device or a command.
    fn name(&self) -> String;

    /// What the other end says it is, where it says so, harmless to print.
    fn peer(&self) -> Option<String> {
        None
    }

    /// Why the line ended, where something is known: `ssh: exit status 255`.
    fn why_ended(&mut self) -> Option<String> {
        None
    }

    /// Whether what was on the line came to its end by itself, and well: a command that ended with status 0.
    fn ended_well(&mut self) -> bool {
        false
    }

    /// What the line's own program said last, where it is one: `Connection closed by remote host.`
    fn last_words(&self) -> Option<String> {
        None
    }

    /// What went not quite as it should when the line was opened, each worth a line to the user.
    fn warnings(&self) -> &[String] {
        &[]
    }
}

/// The leads of a port, by their names on the computer's side (V.24 circuit numbers).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Leads {
    /// Data Terminal Ready (108/2): ours.
    pub dtr: bool,
    /// Request To Send, as flow control Ready For Receiving (105, 133): ours.
    pub rts: bool,
    /// Clear To Send (106): the modem's.
    pub cts: bool,
    /// Data Set Ready (107): the modem's.
    pub dsr: bool,
    /// Data Carrier Detect (109): the modem's.
    pub dcd: bool,
    /// Ring Indicator (125): the modem's.
    pub ri: bool,
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
