//! The checksums a host can compute, on our side: POSIX `cksum`, `md5sum`, and Adler-32 in plain sh.

use md5::{Digest, Md5};

/// What the host proves an unharmed line with. The names are the host's commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// POSIX `cksum`: CRC-32 with the length behind the text.
    Cksum,
    /// `md5sum`, where a small BusyBox has no `cksum`.
    Md5sum,
    /// The two halves of Adler-32 (RFC 1950 section 8.2), which sh and `od` can compute.
    Adler,
}

impl Checksum {
    /// The first word the host prints for `bytes`.
    pub fn of(self, bytes: &[u8]) -> String {
        match self {
            Self::Cksum => posix_cksum(bytes).to_string(),
            Self::Md5sum => data_encoding::HEXLOWER.encode(&Md5::digest(bytes)),
            Self::Adler => {
                let (low, high) = adler_halves(bytes);
                format!("{high}.{low}")
            }
        }
    }

    /// Whether `word` is what the host prints for `bytes`.
    pub fn proves(self, bytes: &[u8], word: &[u8]) -> bool {
        self.of(bytes).as_bytes() == word
    }
}

/// The CRC of POSIX.1-2017 `cksum`: polynomial 0x04C11DB7, most significant bit first, the length
/// appended low byte first without its leading zeroes, the result inverted.
pub fn posix_cksum(bytes: &[u8]) -> u32 {
    let mut length = bytes.len();
    let length_bytes = std::iter::from_fn(move || {
        let low = (length & 0xff) as u8;
        let more = length > 0;
        length >>= 8;
        more.then_some(low)
    });
    !bytes.iter().copied().chain(length_bytes).fold(0, |crc: u32, byte| {
        let index = (crc >> 24) as u8 ^ byte;
        (crc << 8) ^ CRC_TABLE[usize::from(index)]
    })
}

fn adler_halves(bytes: &[u8]) -> (u32, u32) {
    bytes.iter().fold((1, 0), |(low, high), &byte| {
        let low = (low + u32::from(byte)) % ADLER_MODULUS;
        (low, (high + low) % ADLER_MODULUS)
    })
}

const ADLER_MODULUS: u32 = 65_521;

const CRC_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 == 0 { crc << 1 } else { (crc << 1) ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cksum_gives_what_the_command_prints() {
        // As printed by GNU and BusyBox cksum.
        assert_eq!(posix_cksum(b""), 4_294_967_295);
        assert_eq!(posix_cksum(b"123456789"), 930_766_865);
        assert_eq!(posix_cksum(&[b'a'; 300]), host_cksum_of_300_a());
    }

    /// The same sum bit by bit, with no table, over a message whose length takes two bytes.
    fn host_cksum_of_300_a() -> u32 {
        let message: Vec<u8> = std::iter::repeat_n(b'a', 300).chain([0x2c, 0x01]).collect();
        let mut crc = 0u32;
        for byte in message {
            for bit in (0..8).rev() {
                let carry = (crc >> 31) ^ u32::from(byte >> bit & 1);
                crc = (crc << 1) ^ if carry == 1 { 0x04c1_1db7 } else { 0 };
            }
        }
        !crc
    }

    #[test]
    fn md5_is_that_of_rfc_1321() {
        assert_eq!(Checksum::Md5sum.of(b"message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
    }

    #[test]
    fn adler_is_that_of_rfc_1950() {
        // Adler-32 of "Wikipedia" is 0x11e60398.
        assert_eq!(Checksum::Adler.of(b"Wikipedia"), format!("{}.{}", 0x11e6, 0x0398));
    }

    #[test]
    fn one_flipped_bit_is_always_noticed() {
        let text = b"12 99 rm -f /tmp/x".to_vec();
        for sum in [Checksum::Cksum, Checksum::Md5sum, Checksum::Adler] {
            let word = sum.of(&text);
            assert!(sum.proves(&text, word.as_bytes()));
            for bit in 0..text.len() * 8 {
                let mut hit = text.clone();
                hit[bit / 8] ^= 1 << (bit % 8);
                assert!(!sum.proves(&hit, word.as_bytes()), "{sum:?}, bit {bit}");
            }
        }
    }
}
