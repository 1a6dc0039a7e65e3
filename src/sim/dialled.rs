//! A modem with a line and a host behind it, as the peer of a machine in virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::converse::{Peer, PeerStep};
use super::dce::{Dce, DceEvent, DceOptions, DceStep, Hook};
use crate::machine::Control;

/// Makes the host for each call, given the number dialled.
pub type HostFor = Box<dyn FnMut(&str) -> Box<dyn Peer> + Send>;

/// The DCE, and whoever answers it.
///
/// Every `converse` begins at the same epoch; this peer's own time runs on from one to the next, so
/// that dialling, logging in and hanging up can be one call.
pub struct DialledPeer {
    dce: Dce,
    host_for: HostFor,
    host: Option<Box<dyn Peer>>,
    /// The host has hung up; the modem is told once it has taken all the host said.
    host_ended: bool,
    from_dte: VecDeque<u8>,
    from_host: VecDeque<u8>,
    events: Vec<DceEvent>,
    leads: bool,
    lost: bool,
    latest: Option<Instant>,
    ahead: Duration,
}

impl DialledPeer {
    /// A modem whose calls are answered by what `host_for` makes. The DTE sees no leads, as on a PTY.
    pub fn new(options: DceOptions, host_for: HostFor) -> Self {
        Self {
            dce: Dce::new(options),
            host_for,
            host: None,
            host_ended: false,
            from_dte: VecDeque::new(),
            from_host: VecDeque::new(),
            events: Vec::new(),
            leads: false,
            lost: false,
            latest: None,
            ahead: Duration::ZERO,
        }
    }

    /// The DTE sees DCD: the end of a call ends the conversation behind NO CARRIER.
    pub fn with_leads(mut self) -> Self {
        self.leads = true;
        self
    }

    /// What has happened so far.
    pub fn events(&self) -> &[DceEvent] {
        &self.events
    }

    /// Where the modem stands.
    pub fn hook(&self) -> Hook {
        self.dce.hook()
    }

    /// The peer's own time.
    fn time(&mut self, now: Instant) -> Instant {
        let mut time = now + self.ahead;
        if let Some(latest) = self.latest.filter(|&latest| latest > time) {
            self.ahead += latest - time;
            time = latest;
        }
        self.latest = Some(time);
        time
    }

    fn handle_event(&mut self, event: DceEvent) {
        match &event {
            DceEvent::Connected { number, .. } => {
                self.host = Some((self.host_for)(number));
                self.host_ended = false;
                self.lost = false;
            }
            DceEvent::HungUp { .. } => {
                self.host = None;
                self.from_host.clear();
                self.lost = true;
            }
            DceEvent::Dialled { .. } | DceEvent::Refused { .. } => {}
        }
        self.events.push(event);
    }

    /// Moves bytes until nothing moves any more; returns the next moment at which something will.
    fn pump(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let taken = self.dce.handle_dte(now, self.from_dte.make_contiguous());
            self.from_dte.drain(..taken);
            let mut moved = taken > 0;
            let dce_deadline = loop {
                match self.dce.poll(now) {
                    DceStep::Event(event) => {
                        moved = true;
                        self.handle_event(event);
                    }
                    DceStep::Wait(at) => break at,
                }
            };
            let host_deadline = self.pump_host(now, &mut moved);
            if !moved {
                return [dce_deadline, host_deadline].into_iter().flatten().min();
            }
        }
    }

    fn pump_host(&mut self, now: Instant, moved: &mut bool) -> Option<Instant> {
        let host = self.host.as_mut()?;
        let mut deadline = None;
        let arrived = self.dce.output_for_host().len();
        if arrived > 0 {
            *moved = true;
            host.handle_input(now, self.dce.output_for_host());
            self.dce.sent_to_host(arrived);
        }
        // A host is polled only while the modem has taken what it said before.
        while self.from_host.is_empty() && !self.host_ended {
            match host.poll(now) {
                PeerStep::Transmit(bytes) => {
                    *moved = true;
                    self.from_host.extend(bytes);
                }
                PeerStep::HangUp => self.host_ended = true,
                PeerStep::Wait(at) => {
                    deadline = at.filter(|&at| at > now);
                    break;
                }
            }
        }
        let taken = self.dce.handle_host(now, self.from_host.make_contiguous());
        self.from_host.drain(..taken);
        *moved |= taken > 0;
        if self.host_ended && self.from_host.is_empty() {
            self.dce.handle_host_end(now);
            self.host = None;
            *moved = true;
        }
        deadline
    }
}

impl Peer for DialledPeer {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        let now = self.time(now);
        self.from_dte.extend(bytes);
        self.pump(now);
    }

    fn handle_control(&mut self, now: Instant, control: Control) {
        let now = self.time(now);
        self.dce.handle_control(now, control);
        self.pump(now);
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        let now = self.time(now);
        let deadline = self.pump(now);
        let output = self.dce.output_for_dte().to_vec();
        if !output.is_empty() {
            self.dce.sent_to_dte(output.len());
            return PeerStep::Transmit(output);
        }
        if self.leads && std::mem::take(&mut self.lost) {
            return PeerStep::HangUp;
        }
        PeerStep::Wait(deadline.map(|at| at - self.ahead))
    }
}
