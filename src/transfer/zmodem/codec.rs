//! From bytes on the line to headers and subpackets, however the bytes are split.
//!
//! The decoder finds headers in whatever surrounds them, undoes the link escapes and checks the
//! CRCs. It never holds more than one subpacket and one header.

use super::crc::{crc16, crc16_byte};
use super::frame::{
    CANS_TO_CANCEL, Encoding, FrameType, Header, SubpacketEnd, ZBIN, ZBIN32, ZDLE, ZHEX, ZPAD, ZRUB0, ZRUB1,
};

/// What the decoder found.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A header whose CRC holds.
    Header(Header),
    /// A data subpacket whose CRC holds.
    Subpacket {
        /// The bytes, escapes undone.
        data: Vec<u8>,
        /// What comes next.
        end: SubpacketEnd,
    },
    /// Something that was meant to be one of these and arrived otherwise. The decoder looks for the
    /// next header.
    Damaged(Damage),
    /// Five CANs in a row: the peer ends the session (section 8.4).
    Cancel,
}

/// What arrived damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// A header.
    Header,
    /// A subpacket: its CRC, an escape or its length is wrong.
    Subpacket,
}

/// Takes bytes in, gives [`Item`]s out.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    unescape: Unescape,
    /// The subpacket under way.
    data: Vec<u8>,
    /// The bytes of the header under way, behind its format byte.
    header: Vec<u8>,
    /// The same before escapes were undone. If the header turns out damaged they are looked at
    /// again, for the real one may have begun among them.
    raw: Vec<u8>,
    /// Bytes to look at again before any new one.
    replay: Vec<u8>,
    garbage: u64,
    text: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Looking for ZPAD, and counting CANs.
    Hunt { cans: u8 },
    /// ZPADs have come.
    Pad,
    /// ZPAD ZDLE has come, the format byte is next.
    Format,
    /// In a header.
    Header(Encoding),
    /// Behind a hex header: CR LF, or LF alone.
    HexTail { then: Option<Check>, cr: bool },
    /// In the body of a subpacket.
    Body(Check),
    /// In the CRC of a subpacket.
    Trailer { check: Check, end: SubpacketEnd, got: [u8; 4], count: usize },
}

/// The CRC of the subpackets in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Crc16,
    Crc32,
}

impl Check {
    fn len(self) -> usize {
        match self {
            Self::Crc16 => 2,
            Self::Crc32 => 4,
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder that looks for a header.
    pub fn new() -> Self {
        Self {
            state: State::Hunt { cans: 0 },
            unescape: Unescape::default(),
            data: Vec::new(),
            header: Vec::new(),
            raw: Vec::new(),
            replay: Vec::new(),
            garbage: 0,
            text: Vec::new(),
        }
    }

    /// Takes bytes from the front until it has found something, and says how many. Without an item
    /// all of them were taken.
    pub fn decode(&mut self, bytes: &[u8]) -> (usize, Option<Item>) {
        while !self.replay.is_empty() {
            let again = std::mem::take(&mut self.replay);
            let (taken, item) = self.decode_new(&again);
            // A header that failed within `again` has put its own bytes into `replay`; what is
            // left comes behind them. Each failure drops a byte, so this ends.
            self.replay.extend_from_slice(&again[taken..]);
            if item.is_some() {
                return (0, item);
            }
        }
        self.decode_new(bytes)
    }

    /// Forgets the frame under way and looks for the next header.
    pub fn hunt(&mut self) {
        self.state = State::Hunt { cans: 0 };
        self.data.clear();
    }

    /// Bytes that belonged to no header and no frame.
    pub fn garbage(&self) -> u64 {
        self.garbage
    }

    /// The last of those bytes: a shell's or the sender's own words, perhaps.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether nothing of a header or subpacket has begun.
    pub fn is_between(&self) -> bool {
        match self.state {
            State::Hunt { .. } | State::HexTail { .. } => true,
            State::Body(_) => self.data.is_empty() && !self.unescape.pending,
            State::Pad | State::Format | State::Header(_) | State::Trailer { .. } => false,
        }
    }

    /// Whether subpackets are coming, rather than a header.
    pub fn is_in_frame(&self) -> bool {
        matches!(self.state, State::Body(_) | State::Trailer { .. })
    }

    /// Whether the subpacket under way may be a binary header. lrzsz says ZNAK in the middle of a
    /// frame when a header of ours reached it damaged, and then waits. Only the pause behind it can
    /// tell the two apart: the bytes alone may be a file's.
    pub fn may_hold_header(&self) -> bool {
        let longest = self.data.len() <= HELD_HEADER_MAX;
        let begins =
            self.data.starts_with(&[ZPAD, ZBIN ^ 0x40]) || self.data.starts_with(&[ZPAD, ZBIN32 ^ 0x40]);
        matches!(self.state, State::Body(_)) && longest && begins
    }

    fn decode_new(&mut self, bytes: &[u8]) -> (usize, Option<Item>) {
        let mut at = 0;
        while at < bytes.len() {
            let (taken, item) = match self.state {
                State::Hunt { cans: 0 } => (self.skip_garbage(&bytes[at..]), None),
                State::Body(_) if !self.unescape.pending => self.run(&bytes[at..]),
                State::Hunt { .. }
                | State::Pad
                | State::Format
                | State::Header(_)
                | State::HexTail { .. }
                | State::Body(_)
                | State::Trailer { .. } => self.step(bytes[at]),
            };
            at += taken;
            if item.is_some() {
                return (at, item);
            }
        }
        (at, None)
    }

    /// Skips to the next ZPAD or CAN.
    fn skip_garbage(&mut self, bytes: &[u8]) -> usize {
        let run = memchr::memchr2(ZPAD, ZDLE, bytes).unwrap_or(bytes.len());
        self.note_garbage(&bytes[..run]);
        let Some(&first) = bytes.get(run) else { return run };
        self.state = if first == ZPAD { State::Pad } else { State::Hunt { cans: 1 } };
        run + 1
    }

    /// Takes a run of body bytes that need no unescaping, and the ZDLE that ends it.
    fn run(&mut self, bytes: &[u8]) -> (usize, Option<Item>) {
        let run = memchr::memchr(ZDLE, bytes).unwrap_or(bytes.len());
        let plain = &bytes[..run];
        if self.data.len() + run > SUBPACKET_MAX {
            return (run, Some(self.damaged(Damage::Subpacket)));
        }
        if plain.iter().fold(false, |any, &byte| any | is_flow(byte)) {
            self.data.extend(plain.iter().filter(|&&byte| !is_flow(byte)));
        } else {
            self.data.extend_from_slice(plain);
        }
        self.unescape.start(run < bytes.len());
        ((run + 1).min(bytes.len()), None)
    }

    /// Takes one byte, or none if the state it leads to is to look at it.
    fn step(&mut self, byte: u8) -> (usize, Option<Item>) {
        match self.state {
            State::Hunt { cans } => return self.step_hunt(byte, cans),
            State::Pad => match byte {
                ZPAD => {}
                ZDLE => self.state = State::Format,
                _ if is_flow(byte) => {}
                _ => return self.not_a_header(b"*", 0),
            },
            State::Format => match byte {
                ZBIN => self.begin_header(Encoding::Bin16),
                ZHEX => self.begin_header(Encoding::Hex),
                ZBIN32 => self.begin_header(Encoding::Bin32),
                _ if is_flow(byte) => {}
                // ZDLE is CAN: this may be the second of five.
                _ => return self.not_a_header(b"*", 1),
            },
            State::Header(encoding) => return (1, self.step_header(byte, encoding)),
            State::HexTail { then, cr } => return (self.step_tail(byte, then, cr), None),
            State::Body(check) => return (1, self.step_body(byte, check)),
            State::Trailer { check, end, got, count } => {
                return (1, self.step_trailer(byte, check, end, got, count));
            }
        }
        (1, None)
    }

    fn step_hunt(&mut self, byte: u8, cans: u8) -> (usize, Option<Item>) {
        if byte == ZDLE {
            self.state = State::Hunt { cans: cans + 1 };
            if cans + 1 == CANS_TO_CANCEL {
                self.state = State::Hunt { cans: 0 };
                return (1, Some(Item::Cancel));
            }
            return (1, None);
        }
        self.note_garbage(&[ZDLE; CANS_TO_CANCEL as usize][..usize::from(cans)]);
        self.state = State::Hunt { cans: 0 };
        (0, None)
    }

    fn not_a_header(&mut self, seen: &[u8], cans: u8) -> (usize, Option<Item>) {
        self.note_garbage(seen);
        self.state = State::Hunt { cans };
        (0, None)
    }

    fn begin_header(&mut self, encoding: Encoding) {
        self.state = State::Header(encoding);
        self.header.clear();
        self.raw.clear();
        self.unescape = Unescape::default();
    }

    fn step_header(&mut self, byte: u8, encoding: Encoding) -> Option<Item> {
        if is_flow(byte) {
            return None;
        }
        self.raw.push(byte);
        let length = match encoding {
            // The hex header routine ignores parity (section 7.3.3).
            Encoding::Hex => match char::from(byte & 0x7f).to_digit(16) {
                Some(digit) => {
                    self.header.push(digit as u8);
                    14
                }
                None => return Some(self.damaged(Damage::Header)),
            },
            Encoding::Bin16 | Encoding::Bin32 => {
                match self.unescape.feed(byte) {
                    Unescaped::Byte(byte) => self.header.push(byte),
                    Unescaped::Nothing => {}
                    Unescaped::Cancel => return Some(self.cancelled()),
                    Unescaped::End(_) | Unescaped::Bad => return Some(self.damaged(Damage::Header)),
                }
                if encoding == Encoding::Bin16 { 7 } else { 9 }
            }
        };
        if self.header.len() < length {
            return None;
        }
        let Some(header) = read_header(&self.header, encoding) else {
            return Some(self.damaged(Damage::Header));
        };
        let check = if encoding == Encoding::Bin32 { Check::Crc32 } else { Check::Crc16 };
        let then = header.kind.carries_data().then_some(check);
        self.data.clear();
        self.unescape = Unescape::default();
        self.state = match (encoding, then) {
            (Encoding::Hex, then) => State::HexTail { then, cr: false },
            (Encoding::Bin16 | Encoding::Bin32, Some(check)) => State::Body(check),
            (Encoding::Bin16 | Encoding::Bin32, None) => State::Hunt { cans: 0 },
        };
        Some(Item::Header(header))
    }

    /// Takes no more than one CR and one LF: the next may be the first byte of data. lrzsz sends LF
    /// with its high bit set.
    fn step_tail(&mut self, byte: u8, then: Option<Check>, cr: bool) -> usize {
        if is_flow(byte) {
            return 1;
        }
        if byte & 0x7f == b'\r' && !cr {
            self.state = State::HexTail { then, cr: true };
            return 1;
        }
        self.state = then.map_or(State::Hunt { cans: 0 }, State::Body);
        usize::from(byte & 0x7f == b'\n')
    }

    fn step_body(&mut self, byte: u8, check: Check) -> Option<Item> {
        match self.unescape.feed(byte) {
            Unescaped::Byte(_) if self.data.len() == SUBPACKET_MAX => Some(self.damaged(Damage::Subpacket)),
            Unescaped::Byte(byte) => {
                self.data.push(byte);
                None
            }
            Unescaped::Nothing => None,
            Unescaped::End(end) => {
                self.state = State::Trailer { check, end, got: [0; 4], count: 0 };
                None
            }
            Unescaped::Bad => Some(self.damaged(Damage::Subpacket)),
            Unescaped::Cancel => Some(self.cancelled()),
        }
    }

    fn step_trailer(
        &mut self,
        byte: u8,
        check: Check,
        end: SubpacketEnd,
        mut got: [u8; 4],
        mut count: usize,
    ) -> Option<Item> {
        match self.unescape.feed(byte) {
            Unescaped::Byte(byte) => got[count] = byte,
            Unescaped::Nothing => return None,
            Unescaped::End(_) | Unescaped::Bad => return Some(self.damaged(Damage::Subpacket)),
            Unescaped::Cancel => return Some(self.cancelled()),
        }
        count += 1;
        if count < check.len() {
            self.state = State::Trailer { check, end, got, count };
            return None;
        }
        let holds = match check {
            Check::Crc16 => crc16_byte(crc16(&self.data), end.to_byte()).to_be_bytes() == got[..2],
            Check::Crc32 => {
                let mut crc = crc32fast::Hasher::new();
                crc.update(&self.data);
                crc.update(&[end.to_byte()]);
                crc.finalize().to_le_bytes() == got
            }
        };
        if !holds {
            return Some(self.damaged(Damage::Subpacket));
        }
        self.state = if end.ends_frame() { State::Hunt { cans: 0 } } else { State::Body(check) };
        let room = Vec::with_capacity(self.data.len());
        Some(Item::Subpacket { data: std::mem::replace(&mut self.data, room), end })
    }

    fn damaged(&mut self, what: Damage) -> Item {
        if what == Damage::Header {
            self.raw.append(&mut self.replay);
            std::mem::swap(&mut self.raw, &mut self.replay);
        }
        self.hunt();
        Item::Damaged(what)
    }

    fn cancelled(&mut self) -> Item {
        self.hunt();
        Item::Cancel
    }

    fn note_garbage(&mut self, bytes: &[u8]) {
        self.garbage += bytes.iter().filter(|&&byte| !is_flow(byte)).count() as u64;
        let last = &bytes[bytes.len().saturating_sub(TEXT_MAX)..];
        self.text.extend(last.iter().filter(|&&byte| !is_flow(byte)));
        let over = self.text.len().saturating_sub(TEXT_MAX);
        self.text.drain(..over);
    }
}

fn read_header(decoded: &[u8], encoding: Encoding) -> Option<Header> {
    let mut bytes = [0u8; 9];
    if encoding == Encoding::Hex {
        for (byte, digits) in bytes.iter_mut().zip(decoded.chunks_exact(2)) {
            *byte = digits[0] << 4 | digits[1];
        }
    } else {
        bytes[..decoded.len().min(9)].copy_from_slice(&decoded[..decoded.len().min(9)]);
    }
    let (checked, crc) = bytes.split_at(5);
    let holds = match encoding {
        Encoding::Hex | Encoding::Bin16 => crc16(checked).to_be_bytes() == crc[..2],
        Encoding::Bin32 => crc32fast::hash(checked).to_le_bytes() == crc,
    };
    holds.then(|| Header {
        kind: FrameType::from_byte(checked[0]),
        bytes: [checked[1], checked[2], checked[3], checked[4]],
        encoding,
    })
}

/// Undoes the link escapes (section 7.2), a byte at a time.
#[derive(Debug, Default)]
struct Unescape {
    pending: bool,
    cans: u8,
}

enum Unescaped {
    Byte(u8),
    End(SubpacketEnd),
    Nothing,
    Bad,
    Cancel,
}

impl Unescape {
    fn start(&mut self, pending: bool) {
        *self = Self { pending, cans: 1 };
    }

    fn feed(&mut self, byte: u8) -> Unescaped {
        if is_flow(byte) {
            return Unescaped::Nothing;
        }
        if !self.pending {
            if byte != ZDLE {
                return Unescaped::Byte(byte);
            }
            self.start(true);
            return Unescaped::Nothing;
        }
        if byte == ZDLE {
            self.cans += 1;
            return if self.cans == CANS_TO_CANCEL { Unescaped::Cancel } else { Unescaped::Nothing };
        }
        self.pending = false;
        match byte {
            ZRUB0 => Unescaped::Byte(0x7f),
            ZRUB1 => Unescaped::Byte(0xff),
            _ if byte & 0x60 == 0x40 => Unescaped::Byte(byte ^ 0x40),
            _ => SubpacketEnd::from_byte(byte).map_or(Unescaped::Bad, Unescaped::End),
        }
    }
}

/// XON and XOFF, with either parity: flow control's, never the sender's (section 7.2).
fn is_flow(byte: u8) -> bool {
    byte & 0x7d == 0x11
}

/// The longest subpacket taken, in bytes. The standard has 1,024; `sz -8` sends 8,192.
pub const SUBPACKET_MAX: usize = 8_192;
/// The bytes of a binary header with CRC-32, read as a subpacket's.
const HELD_HEADER_MAX: usize = 11;
/// Bytes kept of what was no frame.
const TEXT_MAX: usize = 256;
