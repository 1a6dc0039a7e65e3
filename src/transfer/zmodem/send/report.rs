//! What a sender is told beforehand, what it tells and asks on the way, and how it ends.

use std::time::Duration;

use super::super::report::quoted;
use crate::machine::Answer;

/// How to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendOptions {
    /// Bytes that may be under way unacknowledged. After damage all of them are sent in vain.
    pub window: u64,
    /// The longest subpacket. The standard has 1,024; the `rz` of lrzsz takes 8,192.
    pub block_max: usize,
    /// Escape all control characters, for a line that swallows some, whatever the receiver asks for.
    pub escape_controls: bool,
    /// The longest round trip to reckon with.
    pub rtt: Duration,
    /// How long the receiver may take to say its first word.
    pub first_header: Duration,
    /// What the shell prints when the receiver has exited, if it may be gone without a word. It and
    /// what follows is left on the line.
    pub end_marker: Option<Vec<u8>>,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            window: WINDOW_DEFAULT,
            block_max: BLOCK_DEFAULT,
            escape_controls: false,
            rtt: Duration::from_secs(3),
            first_header: Duration::from_secs(30),
            end_marker: None,
        }
    }
}

impl SendOptions {
    /// For a line of this rate (bits a second, if known) and this round trip: twice what the line
    /// holds may be under way, lest we wait for the receiver.
    pub fn for_line(bits_per_second: Option<u32>, rtt: Duration) -> Self {
        let in_flight = bits_per_second
            .map(|rate| u128::from(rate / crate::machine::BITS_PER_BYTE) * rtt.as_millis() / 1_000)
            .and_then(|bytes| u64::try_from(bytes).ok());
        let window =
            in_flight.map_or(WINDOW_MAX, |bytes| bytes.saturating_mul(2).clamp(WINDOW_MIN, WINDOW_MAX));
        Self { window, rtt, ..Self::default() }
    }
}

/// What happens on the way. Two of these ask: the owner answers before it polls on.
#[derive(Debug)]
pub enum SendEvent {
    /// The file's bytes are wanted.
    Wants(Want),
    /// The receiver asks whether what it has is the file's beginning.
    WantsCrc(WantCrc),
    /// A file is offered to the receiver.
    Offered {
        /// Its place in the list.
        file: usize,
    },
    /// The receiver has all up to here.
    Received {
        /// The file's place in the list.
        file: usize,
        /// The offset behind the last byte.
        offset: u64,
    },
    /// The next file comes, or there is none.
    Finished {
        /// The file's place in the list.
        file: usize,
        /// What became of it.
        how: FileEnd,
    },
}

/// Asks for the next bytes of a file. No answer, or fewer bytes than asked for, says that the file does
/// not have them: it was cut, or cannot be read.
#[derive(Debug)]
pub struct Want {
    /// The file's place in the list.
    pub file: usize,
    /// Where they begin.
    pub offset: u64,
    /// How many.
    pub length: usize,
    /// Takes them.
    pub answer: Answer<Vec<u8>>,
}

/// Asks for the CRC-32 of a file's first bytes (section 11.14).
#[derive(Debug)]
pub struct WantCrc {
    /// The file's place in the list.
    pub file: usize,
    /// How many bytes.
    pub length: u64,
    /// Takes it.
    pub answer: Answer<u32>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileEnd {
    /// The receiver has it and says so.
    Sent,
    /// The receiver does not want it: lrzsz says so of a file that is there already.
    Skipped,
    /// It is larger than ZMODEM's positions reach, and was not offered.
    TooLarge,
}

/// What has been sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Files that the receiver has.
    pub files: usize,
    /// Files that it did not take.
    pub skipped: usize,
    /// What it took.
    pub stats: SendStats,
}

/// What a sender had to cope with. Noise is counted, it is no error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendStats {
    /// Subpackets sent.
    pub subpackets: u64,
    /// Times we went back because the receiver asked for it.
    pub went_back: u64,
    /// ZRPOS that said again what was answered already.
    pub zrpos_ignored: u64,
    /// Times nothing came in time and we spoke again.
    pub timeouts: u64,
    /// Headers that arrived damaged.
    pub damaged_headers: u64,
    /// Headers that made no sense where they came.
    pub unexpected_headers: u64,
}

/// How sending can fail. What the receiver has confirmed was told before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// We were asked to stop.
    #[error("the transfer was cancelled")]
    Cancelled,
    /// The line is gone.
    #[error("the line was lost in mid-transfer")]
    CarrierLost,
    /// The receiver cancelled: it was killed, or may not write there.
    #[error("the host's receiver cancelled the transfer{}; see whether it may write there", quoted(said))]
    PeerCancelled {
        /// Its last words, made harmless to print; empty if it said none.
        said: String,
    },
    /// The receiver says that it cannot write.
    #[error("the host could not write the file; look at the host's disk")]
    PeerWriteFailed,
    /// The receiver ended the session before we did.
    #[error("the host's receiver ended the session at byte {at} of a file")]
    EndedEarly {
        /// What it had confirmed of the file under way.
        at: u64,
    },
    /// The receiver is no longer there: the shell's own end marker came, or the host echoes us.
    #[error(
        "the host's receiver has exited{}; see whether it is installed and may write there",
        quoted(said)
    )]
    ReceiverGone {
        /// What stood on the line before, made harmless to print.
        said: String,
    },
    /// Nothing came, however often we asked.
    #[error("the host's receiver has gone silent at byte {at}: no answer to {tries} requests")]
    Silent {
        /// What it had confirmed of the file under way.
        at: u64,
        /// Requests since it was heard last.
        tries: u32,
    },
    /// It answers, and nothing comes through.
    #[error(
        "no part of the file has come through unharmed at byte {at} for {tries} tries; the line is too noisy, \
         or something on the way changes bytes"
    )]
    NoProgress {
        /// What it had confirmed of the file under way.
        at: u64,
        /// How often it was tried.
        tries: u32,
    },
    /// The file is shorter than it was when it was offered, or cannot be read any more.
    #[error("the file cannot be read any further than byte {at}: it was cut meanwhile, or the disk fails")]
    Unreadable {
        /// The file's place in the list.
        file: usize,
        /// How far.
        at: u64,
    },
    /// The receiver asks for what no known ZMODEM has.
    #[error("the host's receiver wants the eighth bit escaped, which ZMODEM does not describe")]
    WantsEighthBitEscaped,
}

/// The window on a line of unknown rate and round trip, in bytes.
const WINDOW_DEFAULT: u64 = 16_384;
/// The smallest window, in bytes: a few subpackets.
const WINDOW_MIN: u64 = 4_096;
/// The largest, in bytes: what a cancel leaves behind in a network is to be bounded too.
const WINDOW_MAX: u64 = 131_072;
/// Bytes of a subpacket (section 7.4).
const BLOCK_DEFAULT: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_fits_the_line() {
        let window = |rate, millis| SendOptions::for_line(rate, Duration::from_millis(millis)).window;
        assert_eq!(window(Some(2_400), 200), WINDOW_MIN);
        assert_eq!(window(Some(57_600), 1_000), 11_520);
        assert_eq!(window(Some(u32::MAX), 30_000), WINDOW_MAX);
        assert_eq!(window(None, 100), WINDOW_MAX);
    }
}
