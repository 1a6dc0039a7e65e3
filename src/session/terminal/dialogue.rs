//! What is sent and waited for by itself before a person, or a pipe, has the line: `--send-on-connect`,
//! `--expect` and `--send`. Told what the host says and what time it is; no I/O.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A text to send, with what is not text in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    Pause,
    Break,
}

impl Text {
    /// Reads `\r \n \t \e \\ \xHH`, `\p` for a pause of a second and `\K` for a BREAK.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut bytes = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let byte = match (c, if c == '\\' { rest.next() } else { None }) {
                ('\\', Some('r')) => b'\r',
                ('\\', Some('n')) => b'\n',
                ('\\', Some('t')) => b'\t',
                ('\\', Some('e')) => 0x1b,
                ('\\', Some('\\')) => b'\\',
                ('\\', Some('x')) => {
                    let digits: String = rest.by_ref().take(2).collect();
                    match u8::from_str_radix(&digits, 16) {
                        Ok(byte) if digits.len() == 2 && !digits.starts_with('+') => byte,
                        _ => {
                            return Err(format!(
                                "\\x{digits} in {text:?} is no byte: two hex digits make one"
                            ));
                        }
                    }
                }
                ('\\', Some(special @ ('p' | 'K'))) => {
                    pieces.push(Piece::Bytes(std::mem::take(&mut bytes)));
                    pieces.push(if special == 'p' { Piece::Pause } else { Piece::Break });
                    continue;
                }
                ('\\', other) => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(format!(
                        "\\{other} in {text:?} means nothing; there are \\r \\n \\t \\e \\\\ \\xHH, \\p (a pause) and \\K \
                         (BREAK)"
                    ));
                }
                (c, _) => {
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
            };
            bytes.push(byte);
        }
        pieces.push(Piece::Bytes(bytes));
        pieces.retain(|piece| *piece != Piece::Bytes(Vec::new()));
        Ok(Self(pieces))
    }

    /// The bytes, if it is nothing but bytes.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [Piece::Bytes(bytes)] => Some(bytes),
            _ => None,
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Wait until the host says this.
    Expect(Vec<u8>),
    /// Send this.
    Send(Text),
}

/// The steps, and how far they have come.
#[derive(Debug, Clone)]
pub struct Dialogue {
    steps: VecDeque<Step>,
    patience: Duration,
    /// What the host has said and no step has taken.
    heard: Vec<u8>,
    waiting_since: Option<Instant>,
    pause_until: Option<Instant>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send this.
    Send(Vec<u8>),
    /// Send a BREAK.
    Break,
    /// Wait, until this time at the longest.
    Wait(Instant),
    /// What was expected has not come.
    Late {
        /// What it was.
        expected: Vec<u8>,
        /// What the host said last.
        heard: Vec<u8>,
    },
    /// All is done.
    Over,
}

impl Dialogue {
    /// Steps, each expectation with so much patience.
    pub fn new(steps: Vec<Step>, patience: Duration) -> Self {
        Self { steps: steps.into(), patience, heard: Vec::new(), waiting_since: None, pause_until: None }
    }

    /// Whether there is nothing to do any more.
    pub fn is_over(&self) -> bool {
        self.steps.is_empty() && self.pause_until.is_none()
    }

    /// What is waited for now, if anything is.
    pub fn expected(&self) -> Option<&[u8]> {
        match self.steps.front() {
            Some(Step::Expect(pattern)) => Some(pattern),
            Some(Step::Send(_)) | None => None,
        }
    }

    /// Takes what the host says.
    pub fn hear(&mut self, bytes: &[u8]) {
        if self.is_over() {
            return;
        }
        self.heard.extend_from_slice(bytes);
        // Not while it may still be found: what comes at once may be long, and is looked through next.
        if self.heard.len() > HEARD_MAX + bytes.len() {
            let excess = self.heard.len() - HEARD_MAX - bytes.len();
            self.heard.drain(..excess);
        }
    }

    /// What to do next. To be asked until it answers `Wait`, `Late` or `Over`.
    pub fn next(&mut self, now: Instant) -> Next {
        if let Some(until) = self.pause_until {
            if until > now {
                return Next::Wait(until);
            }
            self.pause_until = None;
        }
        loop {
            match self.steps.front_mut() {
                None => {
                    self.heard = Vec::new();
                    return Next::Over;
                }
                Some(Step::Expect(pattern)) => {
                    if let Some(at) = memchr::memmem::find(&self.heard, pattern) {
                        self.heard.drain(..at + pattern.len());
                        self.waiting_since = None;
                        self.steps.pop_front();
                        continue;
                    }
                    let until = *self.waiting_since.get_or_insert(now) + self.patience;
                    if until > now {
                        return Next::Wait(until);
                    }
                    let from = self.heard.len().saturating_sub(SHOWN_MAX);
                    let (expected, heard) = (pattern.clone(), self.heard[from..].to_vec());
                    self.steps.clear();
                    return Next::Late { expected, heard };
                }
                Some(Step::Send(Text(pieces))) => {
                    if pieces.is_empty() {
                        self.steps.pop_front();
                        continue;
                    }
                    match pieces.remove(0) {
                        Piece::Bytes(bytes) => return Next::Send(bytes),
                        Piece::Break => return Next::Break,
                        Piece::Pause => {
                            let until = now + PAUSE;
                            self.pause_until = Some(until);
                            return Next::Wait(until);
                        }
                    }
                }
            }
        }
    }
}

/// As chat(8) has it.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of what the host said that are looked through; no prompt is longer.
const HEARD_MAX: usize = 64 * 1024;
/// Bytes of them that stand in a message.
const SHOWN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::converse::epoch;

    fn text(text: &str) -> Text {
        Text::parse(text).unwrap()
    }

    fn step(expect: &str, send: &str) -> [Step; 2] {
        [Step::Expect(expect.into()), Step::Send(text(send))]
    }

    #[test]
    fn escapes_stand_for_bytes_pauses_and_breaks() {
        assert_eq!(
            text("a\\r\\n\\t\\e\\\\\\x00\\xfF\u{e4}").bytes(),
            Some(&b"a\r\n\t\x1b\\\x00\xff\xc3\xa4"[..])
        );
        let pieces = vec![Piece::Break, Piece::Pause, Piece::Bytes(b"x".to_vec())];
        assert_eq!(text("\\K\\px"), Text(pieces));
        for bad in ["\\", "\\q", "\\x1", "\\xgg", "\\x+1"] {
            assert!(Text::parse(bad).unwrap_err().contains("means nothing") || bad.contains('x'), "{bad}");
        }
    }

    #[test]
    fn each_step_waits_for_its_pattern_however_what_comes_is_split() {
        let said = b"Welcome\r\nlogin: mary\r\nPassword: ";
        for split in 0..=said.len() {
            let steps = [step("ogin:", "mary\\r"), step("ssword:", "x\\r")].concat();
            let mut dialogue = Dialogue::new(steps, Duration::from_secs(30));
            let mut sent = Vec::new();
            for piece in [&said[..split], &said[split..]] {
                dialogue.hear(piece);
                while let Next::Send(bytes) = dialogue.next(epoch()) {
                    sent.push(bytes);
                }
            }
            assert_eq!(sent, [&b"mary\r"[..], b"x\r"], "split at {split}");
            assert!(dialogue.is_over());
        }
    }

    #[test]
    fn what_came_before_a_pattern_that_was_found_is_not_looked_at_again() {
        let mut dialogue = Dialogue::new([step("$ ", "a"), step("$ ", "b")].concat(), Duration::from_secs(9));
        dialogue.hear(b"$ ");
        assert_eq!(dialogue.next(epoch()), Next::Send(b"a".to_vec()));
        assert_eq!(dialogue.next(epoch()), Next::Wait(epoch() + Duration::from_secs(9)));
        dialogue.hear(b"$ ");
        assert_eq!(dialogue.next(epoch()), Next::Send(b"b".to_vec()));
        assert_eq!(dialogue.next(epoch()), Next::Over);
    }

    #[test]
    fn a_pattern_that_does_not_come_in_time_is_late_and_what_came_is_told() {
        let mut dialogue = Dialogue::new(step("ogin:", "x").to_vec(), Duration::from_secs(5));
        dialogue.hear(b"NO CARRIER");
        let until = epoch() + Duration::from_secs(5);
        assert_eq!(dialogue.next(epoch()), Next::Wait(until));
        let late = Next::Late { expected: b"ogin:".to_vec(), heard: b"NO CARRIER".to_vec() };
        assert_eq!(dialogue.next(until), late);
        assert_eq!(dialogue.next(until), Next::Over);
    }

    #[test]
    fn a_pause_lasts_a_second_and_holds_what_stands_behind_it() {
        let mut dialogue = Dialogue::new(vec![Step::Send(text("a\\pb"))], Duration::ZERO);
        assert_eq!(dialogue.next(epoch()), Next::Send(b"a".to_vec()));
        let until = epoch() + PAUSE;
        assert_eq!(dialogue.next(epoch()), Next::Wait(until));
        assert_eq!(dialogue.next(epoch()), Next::Wait(until));
        assert!(!dialogue.is_over());
        assert_eq!(dialogue.next(until), Next::Send(b"b".to_vec()));
    }

    #[test]
    fn a_flood_is_looked_through_and_not_kept() {
        let mut dialogue = Dialogue::new(step("needle", "x").to_vec(), Duration::from_secs(5));
        for _ in 0..100 {
            dialogue.hear(&[b'x'; 16 * 1024]);
            assert!(matches!(dialogue.next(epoch()), Next::Wait(_)));
        }
        assert!(dialogue.heard.len() <= HEARD_MAX + 16 * 1024);
        dialogue.hear(b"needle");
        assert_eq!(dialogue.next(epoch()), Next::Send(b"x".to_vec()));
    }
}
