//! What ZMODEM says: frame types, headers, subpacket ends and the file information of ZFILE.

use super::crc::crc16;

/// A frame's type byte (section 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the standard's
#[rustfmt::skip]
pub enum FrameType {
    Zrqinit, Zrinit, Zsinit, Zack, Zfile, Zskip, Znak, Zabort, Zfin, Zrpos,
    Zdata, Zeof, Zferr, Zcrc, Zchallenge, Zcompl, Zcan, Zfreecnt, Zcommand, Zstderr,
    /// A type that the standard does not know.
    Unknown(u8),
}

impl FrameType {
    /// The type with this number.
    pub fn from_byte(byte: u8) -> Self {
        NUMBERED.get(usize::from(byte)).copied().unwrap_or(Self::Unknown(byte))
    }

    /// The number on the line.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Unknown(byte) => byte,
            known => NUMBERED.iter().position(|&kind| kind == known).map_or(0, |index| index as u8),
        }
    }

    /// Whether data subpackets follow this header.
    pub fn carries_data(self) -> bool {
        matches!(self, Self::Zsinit | Self::Zfile | Self::Zdata | Self::Zcommand | Self::Zstderr)
    }
}

use FrameType as T;
const NUMBERED: [FrameType; 20] = [
    T::Zrqinit,
    T::Zrinit,
    T::Zsinit,
    T::Zack,
    T::Zfile,
    T::Zskip,
    T::Znak,
    T::Zabort,
    T::Zfin,
    T::Zrpos,
    T::Zdata,
    T::Zeof,
    T::Zferr,
    T::Zcrc,
    T::Zchallenge,
    T::Zcompl,
    T::Zcan,
    T::Zfreecnt,
    T::Zcommand,
    T::Zstderr,
];

/// How a header is written, and with it the CRC of the subpackets behind it (section 7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// ZHEX: hexadecimal digits, CRC-16.
    Hex,
    /// ZBIN: binary, CRC-16.
    Bin16,
    /// ZBIN32: binary, CRC-32.
    Bin32,
}

/// A header: a type and four bytes, which are flags (ZF3..ZF0) or a position (ZP0..ZP3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What kind of frame it opens.
    pub kind: FrameType,
    /// The four bytes in line order: ZP0..ZP3, which is ZF3..ZF0.
    pub bytes: [u8; 4],
    /// How it came; [`Header::to_hex`] does not look at it.
    pub encoding: Encoding,
}

impl Header {
    /// A header that carries a file position or another number.
    pub fn with_position(kind: FrameType, position: u32) -> Self {
        Self { kind, bytes: position.to_le_bytes(), encoding: Encoding::Hex }
    }

    /// A header that carries flags in ZF0 and zeros otherwise.
    pub fn with_flags(kind: FrameType, zf0: u8) -> Self {
        Self { kind, bytes: [0, 0, 0, zf0], encoding: Encoding::Hex }
    }

    /// The four bytes as a file position.
    pub fn position(&self) -> u32 {
        u32::from_le_bytes(self.bytes)
    }

    /// The five bytes that a CRC is taken over.
    pub fn checked_bytes(&self) -> [u8; 5] {
        let [p0, p1, p2, p3] = self.bytes;
        [self.kind.to_byte(), p0, p1, p2, p3]
    }

    /// As a hex header, the only kind a receiver sends (section 7.3.3). CR LF is behind it, and XON
    /// to free a sender that noise had stopped, except behind ZACK and ZFIN.
    pub fn to_hex(&self) -> Vec<u8> {
        let checked = self.checked_bytes();
        let mut line = vec![ZPAD, ZPAD, ZDLE, ZHEX];
        for byte in checked.into_iter().chain(crc16(&checked).to_be_bytes()) {
            line.push(DIGITS[usize::from(byte >> 4)]);
            line.push(DIGITS[usize::from(byte & 15)]);
        }
        line.extend(b"\r\n");
        if !matches!(self.kind, FrameType::Zack | FrameType::Zfin) {
            line.push(XON);
        }
        line
    }
}

/// How a data subpacket ends (section 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubpacketEnd {
    /// ZCRCE: the frame ends, a header follows.
    EndFrame,
    /// ZCRCG: the frame goes on, no answer wanted.
    Go,
    /// ZCRCQ: the frame goes on, ZACK wanted.
    Query,
    /// ZCRCW: the frame ends, ZACK wanted.
    Wait,
}

impl SubpacketEnd {
    /// The end that this byte behind a ZDLE says.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'h' => Some(Self::EndFrame),
            b'i' => Some(Self::Go),
            b'j' => Some(Self::Query),
            b'k' => Some(Self::Wait),
            _ => None,
        }
    }

    /// The byte behind the ZDLE, which the CRC covers too.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::EndFrame => b'h',
            Self::Go => b'i',
            Self::Query => b'j',
            Self::Wait => b'k',
        }
    }

    /// Whether a header comes next, rather than another subpacket.
    pub fn ends_frame(self) -> bool {
        matches!(self, Self::EndFrame | Self::Wait)
    }
}

/// What ZFILE's subpacket says (section 13): good for display, never for a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// The name, made harmless to print.
    pub name: String,
    /// The name as it came, any bytes but NUL: a path, perhaps, and perhaps a trap.
    pub name_bytes: Vec<u8>,
    /// The length in bytes, if the sender gave one. The file may have grown since.
    pub size: Option<u64>,
    /// When it was changed last, in seconds since 1970, if the sender gave that.
    pub mtime: Option<u64>,
    /// Its Unix mode with the permission bits, if the sender gave one.
    pub mode: Option<u32>,
}

impl FileInfo {
    /// Reads `name NUL length mtime mode ...`; whatever cannot be read is left out.
    pub fn parse(data: &[u8]) -> Self {
        let end = memchr::memchr(0, data).unwrap_or(data.len());
        let rest = data.get(end + 1..).unwrap_or_default();
        let rest = &rest[..memchr::memchr(0, rest).unwrap_or(rest.len())];
        let mut numbers = rest.split(|&byte| byte == b' ').map(|word| {
            let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
            std::str::from_utf8(&word[..digits]).unwrap_or_default() // digits are UTF-8
        });
        let size = numbers.next().and_then(|decimal| decimal.parse().ok());
        // Zero stands for "not known" (section 13).
        let mtime = numbers.next().and_then(|octal| u64::from_str_radix(octal, 8).ok());
        let mode = numbers.next().and_then(|octal| u32::from_str_radix(octal, 8).ok());
        Self {
            name: printable(&data[..end.min(NAME_BYTES_MAX)]),
            name_bytes: data[..end].to_vec(),
            size,
            mtime: mtime.filter(|&mtime| mtime != 0),
            mode: mode.filter(|&mode| mode != 0),
        }
    }

    /// Writes the same: `files` and `bytes` are how many of either are still to come, this file among
    /// them (section 13).
    pub fn write(&self, files: usize, bytes: u64) -> Vec<u8> {
        let mut data: Vec<u8> = self.name_bytes.iter().copied().filter(|&byte| byte != 0).collect();
        data.push(0);
        let (size, mtime, mode) = (self.size.unwrap_or(0), self.mtime.unwrap_or(0), self.mode.unwrap_or(0));
        data.extend(format!("{size} {mtime:o} {mode:o} 0 {files} {bytes}").into_bytes());
        data.push(0);
        data
    }
}

/// Text of the peer's, with everything that could steer a terminal replaced.
pub(super) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() || is_format(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// Invisible characters that reorder or hide text (Unicode's bidirectional and zero-width controls).
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Opens a header; twice before a hex one.
pub const ZPAD: u8 = b'*';
/// Link escape, which is CAN.
pub const ZDLE: u8 = 0x18;
/// Behind ZPAD ZDLE: a binary header with CRC-16.
pub const ZBIN: u8 = b'A';
/// Behind ZPAD ZDLE: a hex header.
pub const ZHEX: u8 = b'B';
/// Behind ZPAD ZDLE: a binary header with CRC-32.
pub const ZBIN32: u8 = b'C';
/// Behind ZDLE: the byte 0x7f.
pub const ZRUB0: u8 = b'l';
/// Behind ZDLE: the byte 0xff.
pub const ZRUB1: u8 = b'm';
/// Flow control: go on.
pub const XON: u8 = 0x11;

/// ZRINIT: we can send and receive at once.
pub const CANFDX: u8 = 0x01;
/// ZRINIT: we can receive while writing to disk.
pub const CANOVIO: u8 = 0x02;
/// ZRINIT: we can check a CRC-32.
pub const CANFC32: u8 = 0x20;
/// ZRINIT: control characters are to be escaped.
pub const ESCCTL: u8 = 0x40;
/// ZRINIT: the eighth bit is to be escaped, which the standard names and does not describe.
pub const ESC8: u8 = 0x80;
/// ZFILE: the bytes as they are, no conversion (section 11.9).
pub const ZCBIN: u8 = 1;

/// Ends a session at once: eight CANs, and backspaces that erase them if a shell gets them instead
/// (section 8.4).
pub const CANCEL: [u8; 18] = *b"\x18\x18\x18\x18\x18\x18\x18\x18\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08";
/// CANs in a row that mean the peer cancels (section 8.4).
pub const CANS_TO_CANCEL: u8 = 5;

/// Bytes of a file name that are shown.
const NAME_BYTES_MAX: usize = 255;
/// Lower case only: upper case sets off XMODEM programs (section 7.3.3).
const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_headers_are_what_lrzsz_and_the_standard_write() {
        // Captured from rz and sz of lrzsz, whose CR is followed by LF with its high bit set.
        let zrqinit = Header::with_position(FrameType::Zrqinit, 0).to_hex();
        assert_eq!(zrqinit, b"**\x18B00000000000000\r\n\x11");
        let zrinit = Header::with_flags(FrameType::Zrinit, CANFDX | CANOVIO | CANFC32).to_hex();
        assert_eq!(zrinit, b"**\x18B0100000023be50\r\n\x11");
        let zfin = Header::with_position(FrameType::Zfin, 0).to_hex();
        assert_eq!(zfin, b"**\x18B0800000000022d\r\n", "no XON behind ZFIN");
        let zrpos = Header::with_position(FrameType::Zrpos, 0).to_hex();
        assert_eq!(zrpos, b"**\x18B0900000000a87c\r\n\x11");
    }

    #[test]
    fn frame_types_have_the_numbers_of_section_11() {
        for byte in 0..=255 {
            assert_eq!(FrameType::from_byte(byte).to_byte(), byte);
        }
        assert_eq!(FrameType::from_byte(9), FrameType::Zrpos);
        assert_eq!(FrameType::from_byte(18), FrameType::Zcommand);
        assert_eq!(FrameType::from_byte(20), FrameType::Unknown(20));
    }

    #[test]
    fn a_file_name_cannot_steer_the_terminal() {
        let info = FileInfo::parse(b"a\x1b]0;pwned\x07\xe2\x80\xaeb\x00123 14 100644");
        assert_eq!(info.size, Some(123));
        assert_eq!(info.name, "a\u{fffd}]0;pwned\u{fffd}\u{fffd}b");
        assert_eq!(FileInfo::parse(b"x").size, None);
        assert_eq!(FileInfo::parse(b"x\0").size, None);
        assert_eq!(FileInfo::parse(b"x\0999999999999999999999999 1").size, None);
        assert_eq!(FileInfo::parse(&[b'x'; 9_000]).name.len(), NAME_BYTES_MAX);
    }

    #[test]
    fn time_and_mode_are_octal_and_zero_is_unknown() {
        let info = FileInfo::parse(b"a b\x0012 14000000000 100644 0 2 24\0");
        assert_eq!((info.size, info.mtime, info.mode), (Some(12), Some(0o14_000_000_000), Some(0o100_644)));
        assert_eq!(info.write(2, 24), b"a b\x0012 14000000000 100644 0 2 24\0");
        let info = FileInfo::parse(b"a\x0012 0 0\0");
        assert_eq!((info.size, info.mtime, info.mode), (Some(12), None, None));
        let info = FileInfo::parse(b"a\x0012 99 x");
        assert_eq!((info.mtime, info.mode), (None, None), "9 is no octal digit");
    }
}
