//! What a receive tells its owner: events on the way, how it ended, and what it had to cope with.

use super::frame::printable;

/// What happens on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZmodemEvent {
    /// The sender has named its file and is asked to begin.
    Started {
        /// Its name for the file, made harmless to print. Good for nothing else.
        name: String,
        /// The file's length, if the sender knows it. The file may grow or shrink meanwhile.
        size: Option<u64>,
    },
    /// Bytes of the file whose CRC holds, in order, without gap or overlap.
    Data {
        /// Where in the file they belong.
        offset: u64,
        /// The bytes, never none.
        bytes: Vec<u8>,
    },
}

/// What has been received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// The file offset behind the last byte delivered.
    pub end: u64,
    /// The length that the sender announced.
    pub announced: Option<u64>,
    /// The sender confirmed that the file ends here. False also when we stopped at the limit.
    pub complete: bool,
    /// What it took.
    pub stats: Stats,
}

/// What a receive had to cope with. Noise is counted, it is no error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Subpackets that arrived unharmed.
    pub subpackets: u64,
    /// Subpackets that did not.
    pub damaged_subpackets: u64,
    /// Headers that did not arrive unharmed.
    pub damaged_headers: u64,
    /// Times we asked for the stream to begin again.
    pub zrpos_sent: u64,
    /// Times nothing came in time and we spoke again.
    pub timeouts: u64,
    /// Bytes of the file that came again though they were here.
    pub duplicate_bytes: u64,
    /// Bytes that belonged to no frame we could use.
    pub garbage_bytes: u64,
    /// Headers that made no sense where they came.
    pub unexpected_headers: u64,
    /// Files offered behind ours and declined.
    pub files_skipped: u64,
}

/// How a receive can fail. Every byte proven good has been delivered before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZmodemError {
    /// We were asked to stop.
    #[error("the transfer was cancelled; call again to go on from byte {end}")]
    Cancelled {
        /// The file offset to go on from.
        end: u64,
    },
    /// The line is gone.
    #[error("the line was lost in mid-transfer; call again to go on from byte {}", received.end)]
    CarrierLost {
        /// What had arrived.
        received: Received,
    },
    /// The sender cancelled: it was killed, or could not open the file.
    #[error("the host's sender cancelled the transfer{}; see whether it may read the file", quoted(said))]
    PeerCancelled {
        /// Its last words, made harmless to print; empty if it said none.
        said: String,
    },
    /// The sender says that it cannot read on.
    #[error("the host could not read its file any further; look at the host's disk")]
    PeerReadFailed,
    /// The sender ended the session before the file did.
    #[error(
        "the host's sender stopped at byte {end}, before the end of the file; call again to go on from there"
    )]
    EndedEarly {
        /// The file offset to go on from.
        end: u64,
    },
    /// The sender had no file for us.
    #[error("the host's sender had nothing to send{}; see whether the file is there", quoted(said))]
    NothingSent {
        /// What stood on the line before, made harmless to print.
        said: String,
    },
    /// The sender is no longer there: the shell's own end marker came, or the host echoes us.
    #[error(
        "the host's sender has exited{}; see whether it is installed and may read the file",
        quoted(said)
    )]
    SenderGone {
        /// What stood on the line before, made harmless to print.
        said: String,
    },
    /// Nothing came, however often we asked.
    #[error("the host has gone silent at byte {end}: nothing came in answer to {tries} requests; call again")]
    Silent {
        /// The file offset to go on from.
        end: u64,
        /// Requests since the last byte came.
        tries: u32,
    },
    /// Much came, and for a long time nothing of use.
    #[error(
        "no part of the file has come through unharmed at byte {end} for {tries} tries; the line is too noisy, \
         or something on the way changes bytes: try the text transfer"
    )]
    NoProgress {
        /// The file offset to go on from.
        end: u64,
        /// Requests since the last good part.
        tries: u32,
    },
    /// ZMODEM's offsets have 32 bits.
    #[error(
        "ZMODEM cannot reach behind 4 GiB of a file, and this one reaches to {size}; use the text transfer"
    )]
    TooLarge {
        /// How far it reaches.
        size: u64,
    },
    /// The file is shorter than the part we have.
    #[error(
        "the host's file has {size} bytes, fewer than the {resume_at} already here: it is not the file it was"
    )]
    ResumePastEnd {
        /// The host's length.
        size: u64,
        /// What we have.
        resume_at: u64,
    },
}

/// The last line of what was no frame: a program's last words, perhaps.
pub(super) fn last_said(text: &[u8]) -> String {
    let text = text.trim_ascii();
    let line = text.rsplit(|&byte| byte == b'\n' || byte == b'\r').next().unwrap_or_default().trim_ascii();
    // Not the rest of a broken frame, nor what sz says to start a receiver by hand.
    let is_text = std::str::from_utf8(line).is_ok_and(|line| !line.chars().any(char::is_control));
    if is_text && line != b"rz" { printable(line) } else { String::new() }
}

pub(super) fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" ({said:?})") }
}
