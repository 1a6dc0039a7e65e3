//! Drives a machine against a peer over a simulated line in virtual time.
//!
//! No clock is read: an hour of line time passes in as long as its bytes take to compute.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::wire::{LineQuality, Wire};
use crate::machine::{Control, LineClock, Machine, Output};

/// The other end of a simulated line.
pub trait Peer {
    /// Bytes that arrived.
    fn handle_input(&mut self, now: Instant, bytes: &[u8]);
    /// What our side did to its port (DTR, BREAK).
    fn handle_control(&mut self, _now: Instant, _control: Control) {}
    /// What to do next. Called until it answers `Wait` or `HangUp`; a deadline that has passed is
    /// noticed here, by looking at `now`.
    fn poll(&mut self, now: Instant) -> PeerStep;
}

/// What a peer wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum PeerStep {
    /// Send these bytes.
    Transmit(Vec<u8>),
    /// End the line once what was sent has arrived.
    HangUp,
    /// Nothing until input comes or, if given, this moment.
    Wait(Option<Instant>),
}

/// How a conversation went.
#[derive(Debug)]
pub struct Conversation<E, O> {
    /// How the machine ended; `None` if it was still going at the limit.
    pub outcome: Option<O>,
    /// What it said on the way.
    pub events: Vec<E>,
    /// Virtual time from the first poll to the end.
    pub elapsed: Duration,
    /// Bytes that arrived and that the machine left for whoever speaks next.
    pub left: Vec<u8>,
    /// Bytes the machine sent.
    pub sent: Vec<u8>,
    /// What the machine did to the port.
    pub controls: Vec<(Duration, Control)>,
}

/// Runs `machine` against `peer` until it is done or `limit` of virtual time has passed.
pub fn converse<M: Machine>(
    machine: &mut M,
    peer: &mut dyn Peer,
    quality: LineQuality,
    seed: u64,
    limit: Duration,
) -> Conversation<M::Event, M::Outcome> {
    let start = epoch();
    let mut now = start;
    let mut down = Wire::new(quality, seed);
    let mut up = Wire::new(quality, seed ^ 0x5eed);
    let mut clock = LineClock::default();
    let mut input = Vec::new();
    let mut peer_hung_up = false;
    let mut told_hangup = false;
    let mut log = Conversation {
        outcome: None,
        events: Vec::new(),
        elapsed: Duration::ZERO,
        left: Vec::new(),
        sent: Vec::new(),
        controls: Vec::new(),
    };
    loop {
        // The peer's side.
        let arrived = up.poll(now);
        if !arrived.is_empty() {
            peer.handle_input(now, &arrived);
        }
        let peer_deadline = loop {
            match peer.poll(now) {
                PeerStep::Transmit(bytes) => down.push(now, &bytes),
                PeerStep::HangUp => {
                    peer_hung_up = true;
                    break None;
                }
                PeerStep::Wait(at) => break at,
            }
        };
        // Our side: input first, then output until it waits.
        input.extend(down.poll(now));
        clock.set_sending(now, up.sending_until(now).is_some());
        let line_now = clock.line_time(now);
        let deadline = loop {
            let taken = if input.is_empty() { 0 } else { machine.handle_input(line_now, &input) };
            input.drain(..taken);
            if input.is_empty() && peer_hung_up && down.next_arrival().is_none() && !told_hangup {
                told_hangup = true;
                machine.handle_hangup(line_now);
            }
            match poll_until_wait(
                machine,
                line_now,
                now - start,
                &mut log,
                &mut |bytes| up.push(now, bytes),
                peer,
                now,
            ) {
                Polled::Done(outcome) => {
                    log.outcome = Some(outcome);
                    log.elapsed = now - start;
                    log.left = input;
                    return log;
                }
                Polled::Wait(deadline) if taken == 0 || input.is_empty() => break deadline,
                Polled::Wait(_) => {}
            }
        };
        clock.set_sending(now, up.sending_until(now).is_some());
        // The next thing that happens.
        let sending_until = up.sending_until(now);
        let due = deadline.filter(|_| sending_until.is_none()).map(|at| clock.wall_time(at));
        let next = [down.next_arrival(), up.next_arrival(), peer_deadline, due, sending_until]
            .into_iter()
            .flatten()
            .min();
        let Some(next) = next.filter(|&at| at - start <= limit) else {
            log.elapsed = now - start;
            log.left = input;
            return log;
        };
        if next <= now && due.is_some_and(|at| at <= now) {
            machine.handle_timeout(clock.line_time(now));
        } else if next > now {
            now = next;
            clock.set_sending(now, up.sending_until(now).is_some());
            if sending_until.is_none() && due.is_some_and(|at| at <= now) {
                machine.handle_timeout(clock.line_time(now));
            }
        }
    }
}

/// The moment at which virtual time begins.
#[allow(clippy::disallowed_methods)] // an `Instant` can only be made by the clock; its value never matters
pub fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

enum Polled<O> {
    Wait(Option<Instant>),
    Done(O),
}

fn poll_until_wait<M: Machine>(
    machine: &mut M,
    line_now: Instant,
    at: Duration,
    log: &mut Conversation<M::Event, M::Outcome>,
    send: &mut dyn FnMut(&[u8]),
    peer: &mut dyn Peer,
    now: Instant,
) -> Polled<M::Outcome> {
    for _ in 0..OUTPUTS_PER_WAKE_MAX {
        match machine.poll_output(line_now) {
            Output::Transmit(transmit) => {
                log.sent.extend_from_slice(&transmit.bytes);
                send(&transmit.bytes);
            }
            Output::Control(control) => {
                log.controls.push((at, control));
                peer.handle_control(now, control);
            }
            Output::Event(event) => log.events.push(event),
            Output::Wait(deadline) => return Polled::Wait(deadline),
            Output::Done(outcome) => return Polled::Done(outcome),
        }
    }
    panic!("a machine gave {OUTPUTS_PER_WAKE_MAX} outputs without waiting: it never would");
}

/// More outputs than any machine has for one wake-up.
const OUTPUTS_PER_WAKE_MAX: usize = 1_000_000;
