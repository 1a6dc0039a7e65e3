//! Proof that two ends hold the same first so-many bytes of a mailbox, with whatever tool a host has.
//!
//! [`PrefixDigest`] keeps the POSIX cksum, the MD5 and the SHA-256 of a growing prefix all at once,
//! and can be laid aside as text between two calls: delivered mail need not be read again to say what
//! `head -c N mailbox | cksum` must print.

use data_encoding::HEXLOWER;
use md5::{
    Md5,
    digest::{
        Digest,
        common::hazmat::{SerializableState, SerializedState},
    },
};
use sha2::Sha256;

/// Three running checksums over the same bytes.
#[derive(Clone)]
pub struct PrefixDigest {
    len: u64,
    crc: u32,
    md5: Md5,
    sha256: Sha256,
}

/// The saved text of a [`PrefixDigest`] is damaged, or was written by a version that kept it otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the saved checksums of the mailbox cannot be read")]
pub struct DamagedState;

impl PrefixDigest {
    /// Of no bytes yet.
    pub fn new() -> Self {
        Self { len: 0, crc: 0, md5: Md5::new(), sha256: Sha256::new() }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.crc = bytes.iter().fold(self.crc, |crc, &byte| cksum_step(crc, byte));
        self.md5.update(bytes);
        self.sha256.update(bytes);
    }

    /// How many bytes were taken.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if none were.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first number that POSIX `cksum` prints (XCU, cksum: the CRC, then the length's octets,
    /// least significant first, then the complement).
    pub fn cksum(&self) -> u32 {
        let mut crc = self.crc;
        let mut len = self.len;
        while len > 0 {
            crc = cksum_step(crc, len as u8);
            len >>= 8;
        }
        !crc
    }

    /// What `md5sum` prints, 32 hexadecimal digits in lower case.
    pub fn md5_hex(&self) -> String {
        HEXLOWER.encode(&self.md5.clone().finalize())
    }

    /// What `sha256sum` prints, 64 hexadecimal digits in lower case.
    pub fn sha256_hex(&self) -> String {
        HEXLOWER.encode(&self.sha256.clone().finalize())
    }

    /// The running state as one word of text, for [`Self::restore`].
    pub fn save(&self) -> String {
        let md5 = HEXLOWER.encode(&self.md5.serialize());
        let sha256 = HEXLOWER.encode(&self.sha256.serialize());
        let outcome = self.outcome();
        let saved = format!("{VERSION},{},{:08x},{md5},{sha256},{outcome}", self.len, self.crc);
        let seal = seal(&saved);
        format!("{saved},{seal}")
    }

    /// The state that [`Self::save`] wrote.
    pub fn restore(text: &str) -> Result<Self, DamagedState> {
        Self::parse(text).ok_or(DamagedState)
    }

    fn parse(text: &str) -> Option<Self> {
        // First the seal: the hashes may panic on a state that was never theirs.
        let (saved, sealed) = text.rsplit_once(',')?;
        if seal(saved) != sealed {
            return None;
        }
        let mut words = saved.split(',');
        let version = words.next()?;
        let len = words.next()?.parse().ok()?;
        let crc = u32::from_str_radix(words.next()?, 16).ok()?;
        let md5 = state::<Md5>(words.next()?)?;
        let sha256 = state::<Sha256>(words.next()?)?;
        let outcome = words.next()?;
        let restored = Self { len, crc, md5, sha256 };
        let whole = version == VERSION && words.next().is_none() && restored.outcome() == outcome;
        whole.then_some(restored)
    }

    /// What the hashes come out as. It finds out a later library that reads their state otherwise
    /// than the one that wrote it.
    fn outcome(&self) -> String {
        seal(&(self.md5_hex() + &self.sha256_hex()))
    }
}

impl Default for PrefixDigest {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for PrefixDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrefixDigest({} bytes, cksum {})", self.len, self.cksum())
    }
}

fn seal(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text)[..SEAL_LEN])
}

fn state<T: SerializableState>(hex: &str) -> Option<T> {
    let bytes = HEXLOWER.decode(hex.as_bytes()).ok()?;
    let serialized = SerializedState::<T>::try_from(&bytes[..]).ok()?;
    T::deserialize(&serialized).ok()
}

fn cksum_step(crc: u32, byte: u8) -> u32 {
    (crc << 8) ^ CKSUM_TABLE[usize::from((crc >> 24) as u8 ^ byte)]
}

/// ISO/IEC 8802-3's generator polynomial, most significant bit first.
const CKSUM_POLYNOMIAL: u32 = 0x04c1_1db7;

const CKSUM_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc >> 31 == 1 { (crc << 1) ^ CKSUM_POLYNOMIAL } else { crc << 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

const VERSION: &str = "1";
/// Bytes of a check value in the saved text.
const SEAL_LEN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(bytes: &[u8]) -> PrefixDigest {
        let mut digest = PrefixDigest::new();
        digest.update(bytes);
        digest
    }

    #[test]
    fn the_values_are_the_tools_own() {
        // printf 123456789 | cksum; md5sum; sha256sum
        let digest = of(b"123456789");
        assert_eq!(digest.cksum(), 930_766_865);
        assert_eq!(digest.md5_hex(), "25f9e794323b453885f5181f1b624d0b");
        assert_eq!(digest.sha256_hex(), "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
        assert_eq!(of(b"").cksum(), 4_294_967_295);
        assert_eq!(of(&[b'a'; 70_000]).cksum(), 3_508_083_167);
        assert_eq!((digest.len(), digest.is_empty()), (9, false));
    }

    #[test]
    fn damage_to_the_saved_text_is_noticed() {
        let saved = of(b"some mail").save();
        for at in 0..saved.len() {
            let mut damaged = saved.clone().into_bytes();
            damaged[at] = if damaged[at] == b'0' { b'1' } else { b'0' };
            let damaged = String::from_utf8(damaged).expect("ASCII");
            assert!(PrefixDigest::restore(&damaged).is_err(), "byte {at} of {saved}");
            assert!(PrefixDigest::restore(&saved[..at]).is_err(), "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn saved_and_restored_anywhere_it_goes_on_as_if_nothing_had_been(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            at in 0usize..400,
        ) {
            let (a, b) = bytes.split_at(at.min(bytes.len()));
            let mut restored = PrefixDigest::restore(&of(a).save()).expect("just saved");
            restored.update(b);
            prop_assert_eq!(restored.save(), of(&bytes).save());
        }
    }
}
