//! Calls that come in: when each begins to ring, how often, and who is calling.

use std::time::{Duration, Instant};

/// A call that comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// When it begins to ring; a line that is in use then is rung as soon as it is free.
    pub when: RingsWhen,
    /// How often it rings before the caller gives up.
    pub rings: u32,
    /// What the modem says about the caller behind the first ring: `NMBR = 5551212`.
    pub caller: Vec<String>,
}

/// When a call comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingsWhen {
    /// So long after the modem was switched on.
    At(Duration),
    /// So long after the host has hung up a call that was made to it, every time.
    Back(Duration),
}

impl Incoming {
    /// Rings for a minute, and says nothing of the caller.
    pub fn new(when: RingsWhen) -> Self {
        Self { when, rings: RINGS_DEFAULT, caller: Vec::new() }
    }
}

/// The exchange's end of the subscriber line.
#[derive(Debug)]
pub(super) struct Exchange {
    calls: Vec<Incoming>,
    switched_on: bool,
    /// Calls that will ring, with the moment.
    due: Vec<(Instant, Incoming)>,
    ringing: Option<Ringing>,
}

#[derive(Debug)]
struct Ringing {
    call: Incoming,
    rung: u32,
    next: Instant,
}

/// What the modem notices of a call that comes in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bell {
    /// It rings for the so-many-th time.
    Rings { count: u32, caller: Vec<String> },
    /// The caller has given up.
    Stops,
}

impl Exchange {
    pub(super) fn new(calls: Vec<Incoming>) -> Self {
        Self { calls, switched_on: false, due: Vec::new(), ringing: None }
    }

    /// The host has hung up a call that was made to it.
    pub(super) fn host_hung_up(&mut self, now: Instant) {
        for call in &self.calls {
            if let RingsWhen::Back(delay) = call.when {
                self.due.push((now + delay, call.clone()));
            }
        }
    }

    /// What the bell does now. A line that is taken does not ring.
    pub(super) fn poll(&mut self, now: Instant, line_is_free: bool) -> Option<Bell> {
        if !std::mem::replace(&mut self.switched_on, true) {
            for call in &self.calls {
                if let RingsWhen::At(delay) = call.when {
                    self.due.push((now + delay, call.clone()));
                }
            }
        }
        if !line_is_free {
            self.ringing = None;
            return None;
        }
        if self.ringing.is_none()
            && let Some(next) = self.due.iter().position(|&(at, _)| at <= now)
        {
            let (_, call) = self.due.remove(next);
            self.ringing = Some(Ringing { call, rung: 0, next: now });
        }
        let ringing = self.ringing.as_mut().filter(|ringing| ringing.next <= now)?;
        if ringing.rung == ringing.call.rings {
            self.ringing = None;
            return Some(Bell::Stops);
        }
        ringing.rung += 1;
        ringing.next = now + RING_EVERY;
        let caller = if ringing.rung == 1 { ringing.call.caller.clone() } else { Vec::new() };
        Some(Bell::Rings { count: ringing.rung, caller })
    }

    /// When the bell does something next, on a free line.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.ringing {
            Some(ringing) => Some(ringing.next),
            None => self.due.iter().map(|&(at, _)| at).min(),
        }
    }

    /// Takes the call that rings; false when none does.
    pub(super) fn pick_up(&mut self) -> bool {
        self.ringing.take().is_some()
    }

    /// V.24 circuit 125: on while the bell rings, off in the silence between.
    pub(super) fn ring_indicator(&self, now: Instant) -> bool {
        self.ringing.as_ref().is_some_and(|ringing| {
            ringing.rung > 0 && now < ringing.next && ringing.next - now > RING_EVERY - RING_LENGTH
        })
    }
}

/// The cadence of North America and much of the world: two seconds of ringing, four of silence.
const RING_LENGTH: Duration = Duration::from_secs(2);
const RING_EVERY: Duration = Duration::from_secs(6);
/// A caller's patience.
const RINGS_DEFAULT: u32 = 10;
