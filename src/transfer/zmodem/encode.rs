//! The sending half of the codec: binary headers and subpackets, escaped as section 7.2 asks.

use super::crc::{crc16, crc16_byte};
use super::frame::{Encoding, Header, SubpacketEnd, ZBIN, ZBIN32, ZDLE, ZPAD, ZRUB0, ZRUB1};

/// A header in this encoding.
pub fn header(header: &Header, encoding: Encoding) -> Vec<u8> {
    header_escaped(header, encoding, false)
}

/// The same; with `controls` every control character in a binary header is escaped too.
pub fn header_escaped(header: &Header, encoding: Encoding, controls: bool) -> Vec<u8> {
    let checked = header.checked_bytes();
    let mut line = vec![ZPAD, ZDLE];
    match encoding {
        Encoding::Hex => return header.to_hex(),
        Encoding::Bin16 => {
            line.push(ZBIN);
            escape(&checked, controls, &mut line);
            escape(&crc16(&checked).to_be_bytes(), controls, &mut line);
        }
        Encoding::Bin32 => {
            line.push(ZBIN32);
            escape(&checked, controls, &mut line);
            escape(&crc32fast::hash(&checked).to_le_bytes(), controls, &mut line);
        }
    }
    line
}

/// A subpacket behind a header in this encoding.
pub fn subpacket(data: &[u8], end: SubpacketEnd, encoding: Encoding, controls: bool) -> Vec<u8> {
    let mut line = Vec::with_capacity(data.len() + data.len() / 16 + 8);
    escape(data, controls, &mut line);
    line.extend([ZDLE, end.to_byte()]);
    match encoding {
        Encoding::Hex | Encoding::Bin16 => {
            escape(&crc16_byte(crc16(data), end.to_byte()).to_be_bytes(), controls, &mut line);
        }
        Encoding::Bin32 => {
            let mut crc = crc32fast::Hasher::new();
            crc.update(data);
            crc.update(&[end.to_byte()]);
            escape(&crc.finalize().to_le_bytes(), controls, &mut line);
        }
    }
    line
}

/// Escapes what must be escaped; with `controls` every control character and both rubouts.
fn escape(bytes: &[u8], controls: bool, line: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            0x7f if controls => line.extend([ZDLE, ZRUB0]),
            0xff if controls => line.extend([ZDLE, ZRUB1]),
            _ if matches!(byte & 0x7f, 0x10 | 0x11 | 0x13) || byte == ZDLE => {
                line.extend([ZDLE, byte ^ 0x40]);
            }
            // Telenet takes CR @ CR for itself (section 7.2).
            b'\r' | 0x8d if line.last().is_some_and(|last| last & 0x7f == b'@') => {
                line.extend([ZDLE, byte ^ 0x40]);
            }
            _ if controls && byte & 0x60 == 0 => line.extend([ZDLE, byte ^ 0x40]),
            _ => line.push(byte),
        }
    }
}
