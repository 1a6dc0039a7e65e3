//! What the agent on the host says, cut out of whatever else is on the line.
//!
//! A frame begins with `~` and three letters drawn for this call, and ends with the line. It may
//! stand anywhere: behind a prompt, in the middle of a `wall`, after noise. Behind the letters:
//!
//! | text | says |
//! | --- | --- |
//! | nothing | the loader waits for a line (or the last one was damaged) |
//! | `-7` | a line was damaged; the last command taken was number 7 |
//! | `+7` | command 7 takes the line over now |
//! | `7 2/9 dGV4dA== 1234567890 17` | block 2 of 9 of reply 7, with its checksum |
//! | `:` and more | belongs to a transfer |

use super::checksum::Checksum;

/// The letters that mark this call's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; Nonce::LEN]);

impl Nonce {
    const LEN: usize = 3;

    /// Letters from any number; the caller draws a new one for each call.
    pub fn new(seed: u32) -> Self {
        let mut rest = seed;
        Self(std::array::from_fn(|_| {
            let letter = LETTERS[(rest % LETTERS.len() as u32) as usize];
            rest /= LETTERS.len() as u32;
            letter
        }))
    }

    /// The mark as the host's shell is told to print it: split by quotes, so that the echo of what
    /// we type never looks like a frame.
    pub fn split_for_shell(self) -> String {
        let [a, b, c] = self.0.map(char::from);
        format!("~{a}\"\"{b}{c}")
    }

    fn mark(self) -> [u8; Nonce::LEN + 1] {
        let [a, b, c] = self.0;
        [b'~', a, b, c]
    }
}

impl std::fmt::Display for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|&letter| write!(f, "{}", char::from(letter)))
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The loader waits for a line.
    Loader,
    /// A line was damaged, or there was none.
    Nak {
        /// The last command taken.
        last: String,
    },
    /// A command takes the line over.
    Ack {
        /// Its number.
        seq: String,
    },
    /// A block of a reply that arrived whole.
    Block {
        /// The command's number.
        seq: String,
        /// Which block, counted from 1.
        index: usize,
        /// How many the reply has.
        total: usize,
        /// The output's text, still encoded.
        text: Vec<u8>,
    },
    /// A transfer's frame: the text behind the colon, unchecked.
    Transfer(Vec<u8>),
    /// Something with our mark that noise has hit.
    Damaged,
}

/// Finds frames in a stream of bytes.
#[derive(Debug, Clone)]
pub struct FrameReader {
    nonce: Nonce,
    sum: Checksum,
    line: Vec<u8>,
}

impl FrameReader {
    /// A reader at the beginning of a line.
    pub fn new(nonce: Nonce, sum: Checksum) -> Self {
        Self { nonce, sum, line: Vec::new() }
    }

    /// Which checksum the host answers with from now on.
    pub fn set_checksum(&mut self, sum: Checksum) {
        self.sum = sum;
    }

    /// Takes one byte; at the end of a line gives the frames that stood in it. Usually there is one
    /// at most; a line whose end was hit runs into the next.
    pub fn push(&mut self, byte: u8) -> Vec<Frame> {
        // The eighth bit is parity or noise: frames are plain ASCII.
        match byte & 0x7f {
            b'\n' => {
                let line = std::mem::take(&mut self.line);
                self.frames_in(&line)
            }
            b'\r' => Vec::new(),
            byte if self.line.len() < LINE_BYTES_MAX => {
                self.line.push(byte);
                Vec::new()
            }
            byte => {
                // Longer than any frame: only a mark at its very end can still matter.
                let keep = self.line.len() - Nonce::LEN;
                self.line.drain(..keep);
                self.line.push(byte);
                Vec::new()
            }
        }
    }

    fn frames_in(&self, line: &[u8]) -> Vec<Frame> {
        let mark = self.nonce.mark();
        let starts: Vec<usize> = memchr::memmem::find_iter(line, &mark).collect();
        let ends = starts.iter().skip(1).copied().chain([line.len()]);
        starts.iter().zip(ends).map(|(&start, end)| self.parse(&line[start + mark.len()..end])).collect()
    }

    fn parse(&self, body: &[u8]) -> Frame {
        match body.split_first() {
            None => Frame::Loader,
            Some((b'-', last)) => word(last).map_or(Frame::Damaged, |last| Frame::Nak { last }),
            Some((b'+', seq)) => word(seq).map_or(Frame::Damaged, |seq| Frame::Ack { seq }),
            Some((b':', text)) => Frame::Transfer(text.to_vec()),
            Some(_) => self.parse_block(body).unwrap_or(Frame::Damaged),
        }
    }

    fn parse_block(&self, body: &[u8]) -> Option<Frame> {
        let mut words = body.split(|&byte| byte == b' ');
        let (seq, place, text, sum) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let covered = seq.len() + place.len() + text.len() + 2;
        if !self.sum.proves(&body[..covered], sum) {
            return None;
        }
        let (index, total) = std::str::from_utf8(place).ok()?.split_once('/')?;
        let (index, total) = (index.parse().ok()?, total.parse().ok()?);
        let fits = (1..=total).contains(&index) && total <= BLOCKS_MAX;
        fits.then(|| Some(Frame::Block { seq: word(seq)?, index, total, text: text.to_vec() }))?
    }
}

/// More blocks than any reply may have; the agent is never told to keep more.
pub const BLOCKS_MAX: usize = 20_000;

/// Longer than any frame, in bytes.
const LINE_BYTES_MAX: usize = 2_048;

const LETTERS: &[u8] = b"bcdfghjkmnpqrtvwxyzBCDFGHJKLMNPQRTVWXYZ";

fn word(bytes: &[u8]) -> Option<String> {
    let fits = (1..=SEQ_BYTES_MAX).contains(&bytes.len())
        && bytes.iter().all(|&byte| byte.is_ascii_digit() || byte == b'.');
    fits.then(|| bytes.iter().map(|&byte| char::from(byte)).collect())
}

const SEQ_BYTES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<Frame> {
        let mut reader = FrameReader::new(Nonce(*b"k7Q"), Checksum::Cksum);
        bytes.iter().flat_map(|&byte| reader.push(byte)).collect()
    }

    fn block(body: &str) -> String {
        format!("~k7Q{body} {} {}\n", posix(body), body.len())
    }

    fn posix(body: &str) -> String {
        Checksum::Cksum.of(body.as_bytes())
    }

    #[test]
    fn frames_are_found_among_prompts_and_messages() {
        let said = format!("$ ~k7Q\r\nBroadcast message\r\nxx~k7Q-0\n{}~k7Q+3\n", block("1 1/2 aGk="));
        let found = read(said.as_bytes());
        let block = Frame::Block { seq: "1".into(), index: 1, total: 2, text: b"aGk=".to_vec() };
        let expected =
            [Frame::Loader, Frame::Nak { last: "0".into() }, block, Frame::Ack { seq: "3".into() }];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_end_that_was_hit_costs_only_the_frame_before_it() {
        let first = block("1 1/2 YWFh");
        let found = read(format!("{}X{}", first.trim_end(), block("1 2/2 YmJi")).as_bytes());
        assert_eq!(found.len(), 2);
        assert!(matches!(&found[1], Frame::Block { index: 2, .. }), "{found:?}");
    }

    #[test]
    fn a_block_with_one_bit_hit_is_never_taken() {
        let whole = block("12 3/4 dGV4dA==").into_bytes();
        for bit in 0..(whole.len() - 1) * 8 {
            if bit % 8 == 7 {
                continue; // the eighth bit is set aside
            }
            let mut hit = whole.clone();
            hit[bit / 8] ^= 1 << (bit % 8);
            let taken = read(&hit).into_iter().any(|frame| match frame {
                Frame::Block { text, index, .. } => text != b"dGV4dA==" || index != 3,
                _ => false,
            });
            assert!(!taken, "bit {bit}");
        }
    }

    #[test]
    fn a_frame_behind_a_very_long_line_is_still_found() {
        let mut said = vec![b'x'; 3 * LINE_BYTES_MAX];
        said.extend_from_slice(b"~k7Q-4\n");
        assert_eq!(read(&said), [Frame::Nak { last: "4".into() }]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_bytes_are_read_without_panic_and_in_bounded_memory(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'~'), Just(b'k'), Just(b'7'), Just(b'Q'), Just(b'/')], 0..5_000)
        ) {
            let mut reader = FrameReader::new(Nonce(*b"k7Q"), Checksum::Adler);
            for byte in bytes {
                reader.push(byte);
                prop_assert!(reader.line.len() <= LINE_BYTES_MAX);
            }
        }
    }
}
