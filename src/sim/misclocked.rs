//! What a UART makes of characters that were sent at another speed: bits, sampled by the wrong clock.

/// What a receiver of 8N1 at `ours` bit/s makes of `bytes` that are sent without pause as 8N1 at
/// `theirs`. A framing error does not drop a byte, as ports are set here.
pub fn misclocked(bytes: &[u8], theirs: u32, ours: u32) -> Vec<u8> {
    let line = Levels { bits: bytes.iter().flat_map(|&byte| framed(byte)).collect(), theirs, ours };
    let mut heard = Vec::new();
    let mut at = 0;
    // Time is counted in halves of our bit.
    while let Some(start) = (at..line.end()).find(|&half| !line.is_mark(half)) {
        if line.is_mark(start + 1) {
            at = start + 1; // too short for a start bit
            continue;
        }
        let data = (0..8).filter(|bit| line.is_mark(start + 3 + 2 * bit));
        heard.push(data.fold(0, |byte, bit| byte | 1 << bit));
        at = start + 19;
        // Behind a framing error the line is watched for a mark first, then for a new start bit.
        while at < line.end() && !line.is_mark(at) {
            at += 1;
        }
    }
    heard
}

/// The level of a line over time.
struct Levels {
    bits: Vec<bool>,
    theirs: u32,
    ours: u32,
}

impl Levels {
    /// The level at the end of this half of a bit of ours.
    fn is_mark(&self, half: usize) -> bool {
        self.bits.get(self.their_bit(half)).copied().unwrap_or(true)
    }

    fn their_bit(&self, half: usize) -> usize {
        half * self.theirs as usize / (2 * self.ours as usize)
    }

    fn end(&self) -> usize {
        self.bits.len() * 2 * self.ours as usize / self.theirs as usize + 1
    }
}

/// Start bit, eight data bits with the least first, stop bit.
fn framed(byte: u8) -> impl Iterator<Item = bool> {
    let data = (0..8).map(move |bit| byte >> bit & 1 == 1);
    std::iter::once(false).chain(data).chain(std::iter::once(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_same_speed_all_bytes_are_heard() {
        let all: Vec<u8> = (0..=255).collect();
        for speed in [300, 9_600, 57_600] {
            assert_eq!(misclocked(&all, speed, speed), all);
        }
    }

    #[test]
    fn a_slow_sender_is_heard_as_more_bytes_and_a_fast_one_as_fewer() {
        let prompt = b"\r\nlogin: ";
        assert!(misclocked(prompt, 300, 2_400).len() > prompt.len());
        let heard = misclocked(prompt, 9_600, 2_400).len();
        assert!(heard > 0 && heard < prompt.len() / 2);
    }
}
