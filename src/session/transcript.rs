//! The dialogue as a person may see it: time-stamped, escaped, secrets masked.
//!
//! A password is masked in what is sent (its machine says so) and in what arrives (a host may echo
//! it), also when it arrives in pieces: by [`Masks`], and behind a secret that was typed up to the end of
//! the line, whatever stands there. During a transfer only byte counts are shown.

use std::time::{Duration, Instant};

use crate::machine::Transmit;
use crate::secret::{MASK, Masks, Secret, WipedQueue};

/// Takes the transcript's lines.
pub type Sink = Box<dyn FnMut(&str) + Send>;

/// Writes the dialogue line by line to whoever asked for it.
pub struct Transcript {
    sink: Option<Sink>,
    masks: Masks,
    detailed: bool,
    began: Option<Instant>,
    direction: Option<Direction>,
    pending: WipedQueue,
    /// Bytes at the front of `pending` that stand where a secret was typed.
    typed: usize,
    /// What arrives stands behind a secret that was typed, and may be so many bytes long.
    behind_typed: usize,
    pending_since: Duration,
    payload: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Sent,
    Received,
}

impl Transcript {
    /// A transcript that nobody reads.
    pub fn silent() -> Self {
        Self::new(None)
    }

    /// A transcript whose lines go to `sink`.
    pub fn new(sink: Option<Sink>) -> Self {
        Self {
            sink,
            masks: Masks::default(),
            detailed: false,
            began: None,
            direction: None,
            pending: WipedQueue::default(),
            typed: 0,
            behind_typed: 0,
            pending_since: Duration::ZERO,
            payload: None,
        }
    }

    /// The same; [`Transcript::detail`] is shown too.
    pub fn detailed(self) -> Self {
        Self { detailed: true, ..self }
    }

    /// From now on this text is masked wherever it appears: here, and in all that is masked by
    /// [`Transcript::masks`].
    pub fn hide(&mut self, secret: &Secret) {
        self.masks.hide(secret.expose());
    }

    /// What is hidden in this call, for whoever shows what a host has said.
    pub fn masks(&self) -> Masks {
        self.masks.clone()
    }

    /// Bytes that were sent. Those of a secret are hidden from now on.
    pub fn sent(&mut self, now: Instant, transmit: &Transmit) {
        if transmit.secret {
            self.masks.hide_keys(&transmit.bytes);
        }
        if self.sink.is_none() {
            return;
        }
        if transmit.secret {
            self.flush(true);
            self.write(now, Direction::Sent, MASK);
            self.behind_typed = ECHO_MAX;
        } else {
            self.add(now, Direction::Sent, &transmit.bytes);
            self.behind_typed = 0;
        }
    }

    /// Bytes that arrived.
    pub fn received(&mut self, now: Instant, bytes: &[u8]) {
        if self.sink.is_some() {
            self.add(now, Direction::Received, bytes);
        }
    }

    /// A remark of ours between the lines.
    pub fn note(&mut self, now: Instant, text: &str) {
        self.flush(true);
        let at = self.at(now);
        if let Some(sink) = &mut self.sink {
            sink(&format!("{} -- {text}", stamp(at)));
        }
    }

    /// A remark that only who looks closely wants.
    pub fn detail(&mut self, now: Instant, text: &str) {
        if self.detailed {
            self.note(now, text);
        }
    }

    /// Payload begins: bytes are counted, not shown.
    pub fn begin_payload(&mut self, now: Instant) {
        self.flush(true);
        let _ = self.at(now);
        self.payload = Some((0, 0));
    }

    /// Payload has ended: says how much it was.
    pub fn end_payload(&mut self, now: Instant) {
        if let Some((down, up)) = self.payload.take() {
            self.note(now, &format!("transfer: {down} bytes received, {up} bytes sent"));
        }
    }

    /// The line is quiet: what is held back is shown.
    pub fn quiet(&mut self) {
        self.flush(false);
    }

    fn add(&mut self, now: Instant, direction: Direction, bytes: &[u8]) {
        if let Some((down, up)) = &mut self.payload {
            let count = if direction == Direction::Received { down } else { up };
            *count += bytes.len() as u64;
            return;
        }
        if self.direction != Some(direction) {
            self.flush(true);
            self.direction = Some(direction);
        }
        for &byte in bytes {
            if self.pending.is_empty() {
                self.pending_since = self.at(now);
            }
            self.pending.extend_from_slice(&[byte]);
            if direction == Direction::Received && self.behind_typed > 0 {
                self.behind_typed = if byte == b'\n' { 0 } else { self.behind_typed - 1 };
                self.typed = self.pending.len();
            }
            let ends_line = byte == b'\n' || (byte == b'\r' && direction == Direction::Sent);
            if ends_line || self.pending.len() >= SHOWN_LINE_MAX {
                self.flush(false); // a host may have wrapped a secret
            }
        }
    }

    /// Shows what is pending. Unless `all`, what may be the beginning of a secret is held back.
    fn flush(&mut self, all: bool) {
        let Some(direction) = self.direction else { return };
        let text = self.masks.stream(&mut self.pending, &mut self.typed, all);
        if text.is_empty() {
            return;
        }
        let at = self.pending_since;
        let line = format!("{} {} {}", stamp(at), arrow(direction), shown(&text));
        if let Some(sink) = &mut self.sink {
            sink(&line);
        }
    }

    fn write(&mut self, now: Instant, direction: Direction, text: &str) {
        let at = self.at(now);
        if let Some(sink) = &mut self.sink {
            sink(&format!("{} {} {text}", stamp(at), arrow(direction)));
        }
    }

    /// Time since the transcript's first line.
    fn at(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.began.get_or_insert(now))
    }
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcript").field("shown", &self.sink.is_some()).finish_non_exhaustive()
    }
}

fn arrow(direction: Direction) -> char {
    if direction == Direction::Sent { '>' } else { '<' }
}

fn stamp(at: Duration) -> String {
    format!("{:8.3}", at.as_secs_f64())
}

/// Control characters and what is not ASCII are escaped; quotes, which scripts are full of, are not.
fn shown(text: &[u8]) -> String {
    let mut shown = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'"' | b'\'' => shown.push(char::from(byte)),
            _ => shown.extend(std::ascii::escape_default(byte).map(char::from)),
        }
    }
    shown
}

/// A line of the dialogue longer than this is shown in pieces.
const SHOWN_LINE_MAX: usize = 400;
/// Bytes behind a secret that was typed which may be its echo, unless the line ends before.
const ECHO_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::sim::converse::epoch;

    fn recorder() -> (Transcript, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let transcript =
            Transcript::new(Some(Box::new(move |line| sink.lock().unwrap().push(line.to_owned()))));
        (transcript, lines)
    }

    #[test]
    fn lines_are_stamped_and_escaped() {
        let (mut transcript, lines) = recorder();
        transcript.sent(epoch(), &Transmit::plain("ATZ\r"));
        transcript.received(epoch() + Duration::from_millis(1_500), b"\x1b[0mOK\r\n");
        assert_eq!(*lines.lock().unwrap(), ["   0.000 > ATZ\\r", "   1.500 < \\x1b[0mOK\\r\\n"]);
    }

    #[test]
    fn a_password_is_masked_in_both_directions_however_it_is_split() {
        for split in 0.."hunter2\r\n".len() {
            let (mut transcript, lines) = recorder();
            transcript.hide(&Secret::new("hunter2".into()));
            transcript.sent(epoch(), &Transmit::secret("hunter2\r"));
            let (one, two) = b"hunter2\r\n".split_at(split);
            transcript.received(epoch(), one);
            transcript.quiet();
            transcript.received(epoch(), two);
            let shown = lines.lock().unwrap().concat();
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("< ********") || split > 0, "{shown}");
        }
    }

    #[test]
    fn what_stands_behind_a_secret_that_was_typed_is_masked_to_the_end_of_the_line() {
        for echo in ["*******", "hunxer2", "ab"] {
            let (mut transcript, lines) = recorder();
            transcript.sent(epoch(), &Transmit::secret("hunter2\r"));
            transcript.received(epoch(), echo.as_bytes());
            transcript.quiet();
            transcript.received(epoch(), b"\r\nab: hunter2?\r\n$ ");
            transcript.quiet();
            let shown = lines.lock().unwrap().clone();
            let expected = ["> ********", "< ********", "< \\r\\n", "< ab: ********?\\r\\n", "< $ "];
            let ends: Vec<&str> = shown.iter().map(|line| &line[9..]).collect();
            assert_eq!(ends, expected, "{echo}");
        }
    }

    #[test]
    fn details_are_shown_to_who_wants_them() {
        for (detailed, expected) in [(false, 0), (true, 1)] {
            let (transcript, lines) = recorder();
            let mut transcript = if detailed { transcript.detailed() } else { transcript };
            transcript.detail(epoch(), "the password was typed");
            assert_eq!(lines.lock().unwrap().len(), expected);
        }
    }

    #[test]
    fn payload_is_counted_and_not_shown() {
        let (mut transcript, lines) = recorder();
        transcript.begin_payload(epoch());
        transcript.received(epoch(), b"the mail itself");
        transcript.end_payload(epoch());
        assert_eq!(*lines.lock().unwrap(), ["   0.000 -- transfer: 15 bytes received, 0 bytes sent"]);
    }
}
