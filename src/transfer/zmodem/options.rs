//! What a receive is told beforehand, and what to tell the host's `sz`.

use std::time::Duration;

/// How to receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveOptions {
    /// The file offset to begin at: what is here already is not sent again.
    pub resume_at: u64,
    /// The file offset to stop at, if the file goes on behind it. Nothing behind it is delivered.
    pub limit: Option<u64>,
    /// Offer no CRC-32. Only for a sender whose CRC-32 is broken.
    pub crc16_only: bool,
    /// Ask the sender to escape all control characters, for a line that swallows some.
    pub escape_controls: bool,
    /// The longest round trip to reckon with. Too long only delays recovery from a lost header; too
    /// short makes the sender repeat what was already on its way.
    pub rtt: Duration,
    /// How long the sender may take to say its first word.
    pub first_header: Duration,
    /// How long a stream may pause before we ask where it is (a modem's retrain takes seconds).
    pub silence: Duration,
    /// What the shell prints when the sender has exited, if the sender may be gone without a word.
    /// It must not occur in the file: give it a random part. It and what follows is left on the line.
    pub end_marker: Option<Vec<u8>>,
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        Self {
            resume_at: 0,
            limit: None,
            crc16_only: false,
            escape_controls: false,
            rtt: Duration::from_secs(3),
            first_header: Duration::from_secs(30),
            silence: Duration::from_secs(10),
            end_marker: None,
        }
    }
}

impl ReceiveOptions {
    /// The flags for the host's `sz` on a line of this rate (bits a second, if known).
    ///
    /// `-b` binary, `-q` no progress report between the frames. `-w`: how much may be under way
    /// unacknowledged; that, not the block length, is what makes noise expensive, since after each
    /// damaged block everything under way is sent in vain. It is at least [`WINDOW_MIN`], and twice
    /// what the line holds in a round trip, lest the sender wait for us. On a line too fast or too
    /// long for a window, none is set.
    pub fn sz_flags(&self, bits_per_second: Option<u32>) -> String {
        let mut flags = String::from("-b -q");
        let in_flight = bits_per_second
            .map(|rate| u128::from(rate / BITS_PER_BYTE) * self.rtt.as_millis() / 1_000)
            .and_then(|bytes| u64::try_from(bytes).ok());
        if let Some(bytes) = in_flight {
            let window = bytes.saturating_mul(2).max(WINDOW_MIN).next_multiple_of(WINDOW_STEP);
            if window <= WINDOW_MAX {
                flags.push_str(&format!(" -w {window}"));
            }
        }
        if self.crc16_only {
            flags.push_str(" -o");
        }
        if self.escape_controls {
            flags.push_str(" -e");
        }
        flags
    }
}

/// The smallest window asked for, in bytes.
pub const WINDOW_MIN: u64 = 2_048;
/// A larger window, in bytes, is none at all.
pub const WINDOW_MAX: u64 = 65_536;
/// Windows are asked for in steps of this many bytes.
const WINDOW_STEP: u64 = 64;
const BITS_PER_BYTE: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sz_gets_a_window_that_fits_the_line() {
        let fast = ReceiveOptions { rtt: Duration::from_millis(200), ..ReceiveOptions::default() };
        assert_eq!(fast.sz_flags(Some(33_600)), "-b -q -w 2048");
        let satellite = ReceiveOptions { rtt: Duration::from_secs(3), ..ReceiveOptions::default() };
        assert_eq!(satellite.sz_flags(Some(2_400)), "-b -q -w 2048");
        assert_eq!(satellite.sz_flags(Some(57_600)), "-b -q -w 34560");
        assert_eq!(satellite.sz_flags(Some(u32::MAX)), "-b -q");
        assert_eq!(satellite.sz_flags(None), "-b -q");
    }

    #[test]
    fn sz_is_told_of_a_line_that_swallows_bytes() {
        let options = ReceiveOptions { crc16_only: true, escape_controls: true, ..ReceiveOptions::default() };
        assert_eq!(options.sz_flags(None), "-b -q -o -e");
    }
}
