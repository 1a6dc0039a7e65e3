//! One simulated call while its carrier lasts: a wire each way with a bounded queue in front, the
//! fate that was planned for the call, and the watch for the escape sequence.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::wire::{LineQuality, Wire};

/// The two directions of a call and what is to become of it.
#[derive(Debug)]
pub struct Call {
    /// Which call this is, from 1.
    pub number: u64,
    /// From the DTE to the host.
    up: Pipe,
    /// From the host to the DTE.
    down: Pipe,
    /// Arrived from the DTE, not yet taken by the host.
    pub for_host: VecDeque<u8>,
    /// Payload given to the DTE.
    pub delivered: u64,
    fate: Fate,
    deaf: bool,
    host_ended: bool,
}

/// What happens to a call on its way, counted in bytes given to the DTE.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fate {
    /// The carrier is lost after this many.
    pub drop_after: Option<u64>,
    /// Nothing passes any more, either way, after this many; the carrier stays.
    pub silent_after: Option<u64>,
}

impl Call {
    /// A fresh carrier. Seed and call number decide together which bits are hit.
    pub fn new(number: u64, quality: LineQuality, seed: u64, fate: Fate) -> Self {
        let seed = seed.wrapping_add(number.wrapping_mul(CALL_SEED_STEP));
        Self {
            number,
            up: Pipe::new(quality, seed ^ UP_SEED),
            down: Pipe::new(quality, seed),
            for_host: VecDeque::new(),
            delivered: 0,
            fate,
            deaf: false,
            host_ended: false,
        }
    }

    /// How many more bytes the DTE may send now.
    pub fn room_up(&self) -> usize {
        self.up.room(self.for_host.len())
    }

    /// How many more bytes the host may send now, while the DTE has yet to take `waiting`.
    pub fn room_down(&self, waiting: usize) -> usize {
        self.down.room(waiting)
    }

    /// Sends towards the host.
    pub fn push_up(&mut self, now: Instant, bytes: &[u8]) {
        self.up.push(now, bytes);
    }

    /// Sends towards the DTE, where `waiting` bytes have not been taken yet; returns how many fit.
    pub fn push_down(&mut self, now: Instant, bytes: &[u8], waiting: usize) -> usize {
        let taken = bytes.len().min(self.room_down(waiting));
        self.down.push(now, &bytes[..taken]);
        taken
    }

    /// The host has said its last byte.
    pub fn end_host(&mut self) {
        self.host_ended = true;
    }

    /// Moves what has arrived at the host's end.
    pub fn advance_up(&mut self, now: Instant) {
        let arrived = self.up.take(now);
        if !self.deaf {
            self.for_host.extend(arrived);
        }
    }

    /// Moves what has arrived at the DTE's end; false = the carrier has just been lost by plan.
    pub fn advance_down(&mut self, now: Instant, for_dte: &mut VecDeque<u8>) -> bool {
        let mut arrived = self.down.take(now);
        if self.deaf {
            return true;
        }
        let reached = |limit: Option<u64>, count: usize, delivered: u64| {
            limit.map(|limit| limit.saturating_sub(delivered)).filter(|&left| left <= count as u64)
        };
        if let Some(left) = reached(self.fate.silent_after, arrived.len(), self.delivered) {
            arrived.truncate(left as usize); // `left` is at most the length
            self.deaf = true;
            self.for_host.clear();
        }
        let lost = reached(self.fate.drop_after, arrived.len(), self.delivered);
        if let Some(left) = lost {
            arrived.truncate(left as usize);
        }
        self.delivered += arrived.len() as u64;
        for_dte.extend(arrived);
        lost.is_none()
    }

    /// Whether the host is gone and all it said has arrived. A deaf line does not show it.
    pub fn host_gone(&self) -> bool {
        self.host_ended && !self.deaf && self.down.wire.next_arrival().is_none()
    }

    /// Whether the host is gone, whatever is still under way.
    pub fn host_ended(&self) -> bool {
        self.host_ended && !self.deaf
    }

    /// When the next byte reaches the host.
    pub fn next_up(&self) -> Option<Instant> {
        self.up.wire.next_arrival()
    }

    /// When the next byte reaches the DTE.
    pub fn next_down(&self) -> Option<Instant> {
        self.down.wire.next_arrival()
    }

    /// Bytes the DTE sent.
    pub fn sent_up(&self) -> u64 {
        self.up.wire.carried
    }

    /// Bytes damaged in both directions.
    pub fn damaged(&self) -> u64 {
        self.up.wire.damaged + self.down.wire.damaged
    }
}

/// A wire that takes only as much as it can send soon, so that whoever feeds it feels its rate.
#[derive(Debug)]
struct Pipe {
    wire: Wire,
    taken: u64,
    limit: usize,
}

impl Pipe {
    fn new(quality: LineQuality, seed: u64) -> Self {
        Self { wire: Wire::new(quality, seed), taken: 0, limit: queue_limit(quality) }
    }

    /// Room for more, given what has arrived at the far end and waits there.
    fn room(&self, waiting: usize) -> usize {
        let under_way = self.wire.carried - self.taken;
        self.limit.saturating_sub(waiting).saturating_sub(usize::try_from(under_way).unwrap_or(usize::MAX))
    }

    fn push(&mut self, now: Instant, bytes: &[u8]) {
        self.wire.push(now, bytes);
    }

    fn take(&mut self, now: Instant) -> Vec<u8> {
        let arrived = self.wire.poll(now);
        self.taken += arrived.len() as u64;
        arrived
    }
}

/// A second of line time, and what is in flight beside it.
fn queue_limit(quality: LineQuality) -> usize {
    let Some(bps) = quality.bps else { return QUEUE_MAX };
    let bytes_a_second = u64::from(bps.max(1)) / u64::from(super::wire::BITS_PER_BYTE);
    let in_flight = u128::from(bytes_a_second) * quality.latency.as_millis() / 1_000;
    let limit = u128::from(bytes_a_second) + in_flight;
    usize::try_from(limit).unwrap_or(QUEUE_MAX).clamp(QUEUE_MIN, QUEUE_MAX)
}

/// Watches the DTE's data for three escape characters (S2) between two guard times (S12).
#[derive(Debug)]
pub struct EscapeWatch {
    last_byte: Instant,
    seen: u8,
}

impl EscapeWatch {
    /// The silence before the first escape character may begin at CONNECT.
    pub fn new(now: Instant) -> Self {
        Self { last_byte: now, seen: 0 }
    }

    /// Notes a data byte. A byte after a silence can only be a first one, a byte without can only
    /// be a later one; with a guard time of 0 silence does not count.
    pub fn handle_byte(&mut self, now: Instant, byte: u8, escape: u8, guard: Duration) {
        let silence = now.saturating_duration_since(self.last_byte) >= guard;
        self.last_byte = now;
        self.seen = match (self.seen, byte == escape && escape < 128) {
            (0, true) if silence => 1,
            (1 | 2, true) if !silence || guard.is_zero() => self.seen + 1,
            (1 | 2, true) => 1,
            (_, true | false) => 0,
        };
    }

    /// When the sequence is complete if nothing more is said.
    pub fn due(&self, guard: Duration) -> Option<Instant> {
        (self.seen == 3).then(|| self.last_byte + guard)
    }
}

/// The most a direction holds: a line without a rate still must not swallow a whole mailbox.
const QUEUE_MAX: usize = 65_536; // bytes
/// The least a direction holds, at 75 bit/s.
const QUEUE_MIN: usize = 16; // bytes
/// Keeps the errors of the two directions apart.
const UP_SEED: u64 = 0x5eed;
/// Keeps the errors of one call and the next apart: 2^64 over the golden ratio.
const CALL_SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;
