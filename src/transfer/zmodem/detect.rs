//! Finds in what a host prints that its `sz` or `rz` has begun to speak.
//!
//! A sender says ZRQINIT and a receiver ZRINIT, both as hexadecimal headers (section 7.3.3). Their CRC is
//! looked at, so a file that is shown on the screen does not begin a transfer by chance.

use std::time::{Duration, Instant};

use super::crc::crc16;
use super::frame::{FrameType, ZDLE, ZHEX, ZPAD};

/// Watches a stream of bytes for the beginning of a transfer. It changes nothing and delays nothing but
/// what may be the rest of a header, and that for a moment.
#[derive(Debug, Default)]
pub struct Detector {
    /// What has come of a header.
    begun: Vec<u8>,
    /// How much of that has been passed on already.
    passed: usize,
    hold_until: Option<Instant>,
}

/// Which program on the host speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Its `sz`: ZRQINIT.
    HostSends,
    /// Its `rz`: ZRINIT.
    HostReceives,
}

/// What became of bytes that were fed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fed {
    /// For the screen, at once.
    pub show: Vec<u8>,
    /// A transfer begins; what is to be given to the machine, the header first.
    pub begins: Option<(Found, Vec<u8>)>,
}

impl Detector {
    /// A detector that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes as they came, split anywhere.
    pub fn feed(&mut self, now: Instant, bytes: &[u8]) -> Fed {
        let mut show = Vec::new();
        for (place, &byte) in bytes.iter().enumerate() {
            self.begun.push(byte);
            match look(&self.begun) {
                Look::Begun => {}
                Look::Is(found) => {
                    let mut header = self.reset();
                    header.extend_from_slice(&bytes[place + 1..]);
                    return Fed { show, begins: Some((found, header)) };
                }
                Look::Not => self.let_go(&mut show),
            }
        }
        // A star may be anybody's: it waits for nothing. What stands behind it in a header is nobody's.
        if self.begun.len() < HELD_FROM {
            show.extend_from_slice(&self.begun[self.passed..]);
            self.passed = self.begun.len();
            self.hold_until = None;
        } else if self.passed < self.begun.len() {
            self.hold_until.get_or_insert(now + HOLD_MAX);
        }
        Fed { show, begins: None }
    }

    /// When [`Self::release`] is due; `None` when nothing is held back.
    pub fn deadline(&self) -> Option<Instant> {
        self.hold_until
    }

    /// What was held back for long enough and is shown now. It may still turn out to be a header's
    /// beginning, on a slow line: then that is found all the same.
    pub fn release(&mut self, now: Instant) -> Vec<u8> {
        if self.hold_until.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.hold_until = None;
        let held = self.begun[self.passed..].to_vec();
        self.passed = self.begun.len();
        held
    }

    /// Forgets what has come, and gives it.
    fn reset(&mut self) -> Vec<u8> {
        self.passed = 0;
        self.hold_until = None;
        std::mem::take(&mut self.begun)
    }

    /// What has come is no header: it goes to the screen, but for its end, if that begins another one.
    fn let_go(&mut self, show: &mut Vec<u8>) {
        let keep = (1..self.begun.len())
            .find(|&from| look(&self.begun[from..]) == Look::Begun)
            .unwrap_or(self.begun.len());
        if keep > self.passed {
            show.extend_from_slice(&self.begun[self.passed..keep]);
        }
        self.begun.drain(..keep);
        self.passed = self.passed.saturating_sub(keep);
        if self.passed == self.begun.len() {
            self.hold_until = None;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// More is needed.
    Begun,
    Is(Found),
    Not,
}

/// Whether these bytes are a header's beginning, or all of it: `** ZDLE B`, then in hexadecimal the
/// type, four bytes and the CRC.
fn look(bytes: &[u8]) -> Look {
    let lead = [ZPAD, ZPAD, ZDLE, ZHEX];
    if bytes.len() <= lead.len() {
        return if lead.starts_with(bytes) { Look::Begun } else { Look::Not };
    }
    let Some(digits) = bytes.strip_prefix(&lead) else { return Look::Not };
    let mut header = [0u8; HEADER_BYTES];
    for (place, &digit) in digits.iter().enumerate() {
        let (Some(value), true) = (char::from(digit).to_digit(16), place < 2 * HEADER_BYTES) else {
            return Look::Not;
        };
        header[place / 2] = header[place / 2] << 4 | value as u8; // a digit is below 16
    }
    if digits.len() >= 2 && kind(header[0]).is_none() || digits[0] != b'0' {
        return Look::Not;
    }
    if digits.len() < 2 * HEADER_BYTES {
        return Look::Begun;
    }
    let (checked, crc) = header.split_at(HEADER_BYTES - 2);
    match kind(header[0]) {
        Some(found) if crc16(checked).to_be_bytes() == crc => Look::Is(found),
        Some(_) | None => Look::Not,
    }
}

fn kind(byte: u8) -> Option<Found> {
    if byte == FrameType::Zrqinit.to_byte() {
        Some(Found::HostSends)
    } else if byte == FrameType::Zrinit.to_byte() {
        Some(Found::HostReceives)
    } else {
        None
    }
}

/// Type, four bytes, CRC-16.
const HEADER_BYTES: usize = 7;
/// From so many bytes of a header on it is held back: two stars and a CAN are nothing a person types.
const HELD_FROM: usize = 3;
/// How long the rest of a header may take before what has come of it is shown.
const HOLD_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sim::converse::epoch;

    /// As lrzsz says it, with what stands in front and behind.
    const SZ: &[u8] = b"rz\r**\x18B00000000000000\r\x8a\x11";
    const RZ: &[u8] = b"rz waiting to receive.**\x18B0100000023be50\r\x8a\x11";

    /// Everything shown, and what was found with what goes to the machine.
    fn fed(pieces: &[&[u8]]) -> (Vec<u8>, Option<(Found, Vec<u8>)>) {
        let mut detector = Detector::new();
        let mut show = Vec::new();
        for (place, piece) in pieces.iter().enumerate() {
            let fed = detector.feed(epoch(), piece);
            show.extend(fed.show);
            if let Some((found, mut rest)) = fed.begins {
                rest.extend(pieces[place + 1..].concat());
                return (show, Some((found, rest)));
            }
        }
        show.extend(detector.release(epoch() + HOLD_MAX));
        (show, None)
    }

    #[test]
    fn sz_and_rz_are_found_however_their_words_are_split() {
        for (said, found) in [(SZ, Found::HostSends), (RZ, Found::HostReceives)] {
            let header = memchr::memmem::find(said, b"**").expect("a header");
            let (show, begins) = fed(&[said]);
            assert_eq!(show, said[..header], "nothing of the header is shown");
            assert_eq!(begins, Some((found, said[header..].to_vec())));
            for at in 0..said.len() {
                let (show, begins) = fed(&[&said[..at], &said[at..]]);
                let stars = if (1..=2).contains(&at.saturating_sub(header)) { at - header } else { 0 };
                assert_eq!(show, said[..header + stars], "split at {at}: the stars alone may be shown");
                assert_eq!(begins, Some((found, said[header..].to_vec())), "split at {at}");
            }
            let bytes: Vec<&[u8]> = said.chunks(1).collect();
            assert_eq!(fed(&bytes).1, Some((found, said[header..].to_vec())));
        }
    }

    #[test]
    fn what_only_looks_like_a_header_is_shown_whole() {
        for text in [
            &b"**\x18B00000000000001\r\n"[..], // its CRC is wrong
            b"**\x18B0800000000022d\r\n",      // ZFIN
            b"**\x18B01zz",
            b"2**3 = 8 ***\x18\x18\x18\x18\x18",
            b"**\x18A\x00\x00",
        ] {
            assert_eq!(fed(&[text]), (text.to_vec(), None));
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            assert_eq!(fed(&bytes), (text.to_vec(), None));
        }
    }

    #[test]
    fn a_star_is_shown_at_once_and_half_a_header_after_a_moment() {
        let now = epoch();
        let mut detector = Detector::new();
        assert_eq!(detector.feed(now, b"a*").show, b"a*");
        assert_eq!(detector.deadline(), None);
        assert_eq!(detector.feed(now, b"*").show, b"*");
        assert_eq!(detector.feed(now, b"\x18B0").show, b"");
        assert_eq!(detector.deadline(), Some(now + HOLD_MAX));
        assert_eq!(detector.release(now), b"", "not yet");
        assert_eq!(detector.release(now + HOLD_MAX), b"\x18B0");
        assert_eq!(detector.deadline(), None);
        // It was one after all, at 300 bit/s.
        let fed = detector.feed(now + 2 * HOLD_MAX, b"0000000000000\r");
        assert_eq!(fed.show, b"");
        assert_eq!(fed.begins, Some((Found::HostSends, b"**\x18B00000000000000\r".to_vec())));
    }

    #[test]
    fn a_third_star_in_front_hides_no_header() {
        let said = b"***\x18B00000000000000";
        let (show, begins) = fed(&[said]);
        assert_eq!(show, b"*");
        assert_eq!(begins, Some((Found::HostSends, said[1..].to_vec())));
    }

    proptest! {
        /// From the bytes that headers are made of, so that many begin.
        #[test]
        fn no_byte_is_lost_or_changed(
            pieces in prop::collection::vec(prop::collection::vec(prop::sample::select(b"**\x18B00001\r".to_vec()), 0..12), 0..12),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let (mut show, begins) = fed(&pieces);
            if let Some((_, rest)) = begins {
                // Stars that were shown already go to the machine as well.
                let whole = pieces.concat();
                let begin = whole.len() - rest.len();
                prop_assert!(show.len() >= begin && show.len() <= begin + 2);
                show.truncate(begin);
                show.extend(rest);
            }
            prop_assert_eq!(show, pieces.concat());
        }
    }
}
