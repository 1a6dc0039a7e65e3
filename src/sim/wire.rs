//! One direction of a line: a bit rate, a latency and bit errors, in whatever time it is told.
//!
//! Ten bits a byte (start, eight data, stop), as an asynchronous line has. The same model runs in
//! real time behind `mailcall sim` and in virtual time under the tests.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use crate::machine::BITS_PER_BYTE;

/// What a line is like, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineQuality {
    /// Bits a second; `None` is a line without limit.
    pub bps: Option<u32>,
    /// One way, from the last bit sent to its arrival.
    pub latency: Duration,
    /// The chance that a data bit arrives inverted.
    pub bit_error_rate: f64,
}

impl LineQuality {
    /// A line that delivers everything at once.
    pub const PERFECT: Self = Self { bps: None, latency: Duration::ZERO, bit_error_rate: 0.0 };

    /// How long one byte occupies the line.
    pub fn byte_time(&self) -> Duration {
        self.bps.map_or(Duration::ZERO, |bps| Duration::from_secs(BITS_PER_BYTE.into()) / bps.max(1))
    }
}

/// Bytes under way in one direction.
#[derive(Debug)]
pub struct Wire {
    quality: LineQuality,
    rng: fastrand::Rng,
    free_at: Option<Instant>,
    under_way: VecDeque<(Instant, u8)>,
    good_bits_left: u64,
    /// Bytes that arrived other than they were sent.
    pub damaged: u64,
    /// Bytes put onto the line.
    pub carried: u64,
}

impl Wire {
    /// An idle line; the seed decides which bits are hit.
    pub fn new(quality: LineQuality, seed: u64) -> Self {
        let mut wire = Self {
            quality,
            rng: fastrand::Rng::with_seed(seed),
            free_at: None,
            under_way: VecDeque::new(),
            good_bits_left: 0,
            damaged: 0,
            carried: 0,
        };
        wire.good_bits_left = wire.draw_gap();
        wire
    }

    /// Puts bytes onto the line behind those already there.
    pub fn push(&mut self, now: Instant, bytes: &[u8]) {
        for &byte in bytes {
            let start = self.free_at.map_or(now, |free| free.max(now));
            let sent = start + self.quality.byte_time();
            self.free_at = Some(sent);
            let arrived = self.damage(byte);
            self.damaged += u64::from(arrived != byte);
            self.carried += 1;
            self.under_way.push_back((sent + self.quality.latency, arrived));
        }
    }

    /// Takes off what has arrived by `now`.
    pub fn poll(&mut self, now: Instant) -> Vec<u8> {
        let arrived = self.under_way.partition_point(|&(at, _)| at <= now);
        self.under_way.drain(..arrived).map(|(_, byte)| byte).collect()
    }

    /// When the next byte arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.front().map(|&(at, _)| at)
    }

    /// When the last byte pushed has left the sender, or `None` when it has.
    pub fn sending_until(&self, now: Instant) -> Option<Instant> {
        self.free_at.filter(|&free| free > now)
    }

    /// Carrier lost: what was under way never arrives.
    pub fn cut(&mut self) {
        self.under_way.clear();
        self.free_at = None;
    }

    fn damage(&mut self, byte: u8) -> u8 {
        let mut arrived = byte;
        let mut bit = self.good_bits_left;
        while bit < 8 {
            arrived ^= 1 << bit;
            bit += 1 + self.draw_gap();
        }
        self.good_bits_left = bit - 8;
        arrived
    }

    /// Unharmed bits until the next error: the geometric distribution by inversion.
    fn draw_gap(&mut self) -> u64 {
        let rate = self.quality.bit_error_rate;
        if rate <= 0.0 {
            return u64::MAX >> 1;
        }
        let uniform = 1.0 - self.rng.f64(); // (0, 1]
        (uniform.ln() / (1.0 - rate.min(0.999_999)).ln()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::converse::epoch;

    #[test]
    fn bytes_arrive_at_the_line_rate_and_after_the_latency() {
        let quality =
            LineQuality { bps: Some(2_400), latency: Duration::from_millis(600), ..LineQuality::PERFECT };
        let mut wire = Wire::new(quality, 1);
        let t0 = epoch();
        wire.push(t0, &[b'x'; 240]); // one second of line time
        assert!(wire.poll(t0 + Duration::from_millis(600)).is_empty());
        assert_eq!(wire.poll(t0 + Duration::from_millis(1_101)).len(), 120);
        assert_eq!(wire.poll(t0 + Duration::from_millis(1_601)).len(), 120);
    }

    #[test]
    fn bit_errors_come_at_the_rate_asked_for_and_from_the_seed() {
        let quality = LineQuality { bit_error_rate: 1e-3, ..LineQuality::PERFECT };
        let run = |seed| {
            let mut wire = Wire::new(quality, seed);
            wire.push(epoch(), &vec![0; 100_000]);
            wire.poll(epoch())
        };
        let ones: u32 = run(7).iter().map(|byte| byte.count_ones()).sum();
        assert!((600..1_000).contains(&ones), "{ones} of 800,000 bits were hit");
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
