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
            DceEvent::Dialled { .. }
            | DceEvent::Refused { .. }
            | DceEvent::Rings
            | DceEvent::CallerGaveUp => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Machine, Output, Transmit};
    use crate::sim::converse::{Conversation, converse};
    use crate::sim::dce::HangUpBy;
    use crate::sim::wire::LineQuality;

    /// Sends each text once the one to be awaited before it has come; done when all have come.
    struct Chat {
        steps: VecDeque<(&'static str, &'static str)>,
        heard: Vec<u8>,
        waits: Option<Duration>,
        due: Option<Instant>,
        hung_up: bool,
    }

    impl Chat {
        fn new(steps: &[(&'static str, &'static str)]) -> Self {
            let steps = steps.iter().copied().collect();
            Self { steps, heard: Vec::new(), waits: None, due: None, hung_up: false }
        }

        /// Stays silent for so long before its first text.
        fn after(mut self, wait: Duration) -> Self {
            self.waits = Some(wait);
            self
        }
    }

    impl Machine for Chat {
        type Event = ();
        type Outcome = Result<String, String>;

        fn handle_input(&mut self, _now: Instant, bytes: &[u8]) -> usize {
            self.heard.extend_from_slice(bytes);
            bytes.len()
        }

        fn handle_hangup(&mut self, _now: Instant) {
            self.hung_up = true;
        }

        fn handle_timeout(&mut self, _now: Instant) {
            self.due = None;
        }

        fn poll_output(&mut self, now: Instant) -> Output<(), Self::Outcome> {
            if let Some(wait) = self.waits.take() {
                self.due = Some(now + wait);
            }
            if self.due.is_some() {
                return Output::Wait(self.due);
            }
            let heard = String::from_utf8_lossy(&self.heard).into_owned();
            match self.steps.front() {
                None => Output::Done(Ok(heard)),
                Some((awaited, text)) if heard.contains(awaited) => {
                    let text = *text;
                    self.steps.pop_front();
                    Output::Transmit(Transmit::plain(text))
                }
                Some(_) if self.hung_up => Output::Done(Err(heard)),
                Some(_) => Output::Wait(None),
            }
        }
    }

    /// Greets, answers every line with its length, and hangs up at `bye`.
    struct Counter {
        line: Vec<u8>,
        say: VecDeque<PeerStep>,
    }

    impl Peer for Counter {
        fn handle_input(&mut self, _now: Instant, bytes: &[u8]) {
            for &byte in bytes {
                if byte != b'\r' {
                    self.line.push(byte);
                } else if self.line == b"bye" {
                    self.say.extend([PeerStep::Transmit(b"farewell".to_vec()), PeerStep::HangUp]);
                } else {
                    let answer = format!("<{}>", std::mem::take(&mut self.line).len());
                    self.say.push_back(PeerStep::Transmit(answer.into_bytes()));
                }
            }
        }

        fn poll(&mut self, _now: Instant) -> PeerStep {
            self.say.pop_front().unwrap_or(PeerStep::Wait(None))
        }
    }

    fn peer(options: DceOptions) -> DialledPeer {
        let host_for: HostFor = Box::new(|number| {
            let greeting = PeerStep::Transmit(format!("host of {number}: ").into_bytes());
            Box::new(Counter { line: Vec::new(), say: [greeting].into() })
        });
        DialledPeer::new(options, host_for)
    }

    fn talk(chat: &mut Chat, peer: &mut DialledPeer) -> Conversation<(), Result<String, String>> {
        converse(chat, peer, LineQuality::PERFECT, 1, Duration::from_secs(3_600))
    }

    #[test]
    fn a_whole_call_runs_in_virtual_time_over_several_machines() {
        let quality =
            LineQuality { bps: Some(2_400), latency: Duration::from_millis(600), bit_error_rate: 0.0 };
        let mut peer = peer(DceOptions { quality, ..DceOptions::default() });
        let dialled =
            talk(&mut Chat::new(&[("", "ATE0\r"), ("OK", "ATDT5\r"), ("CONNECT 33600\r\n", "")]), &mut peer);
        assert_eq!(dialled.elapsed, Duration::from_secs(2), "it rang");
        // A second machine on the same call: 480 bytes up take 2 s, and 600 ms each way.
        let long: &'static str = Box::leak(format!("{}\r", "x".repeat(479)).into_boxed_str());
        let asked = talk(&mut Chat::new(&[("host of 5: ", long), ("<479>", "")]), &mut peer);
        assert!(matches!(asked.outcome, Some(Ok(_))), "{asked:?}");
        assert!(
            asked.elapsed > Duration::from_millis(3_800) && asked.elapsed < Duration::from_secs(4),
            "{asked:?}"
        );
        let second = Duration::from_millis(1_100);
        talk(&mut Chat::new(&[("", "+++"), ("OK", "ATH\r"), ("OK\r\n\r\nOK", "")]).after(second), &mut peer);
        assert_eq!(peer.hook(), Hook::OnHook);
        assert!(matches!(peer.events().last(), Some(DceEvent::HungUp { by: HangUpBy::Command, .. })));
    }

    #[test]
    fn the_hosts_hangup_ends_the_conversation_only_where_leads_show_it() {
        let steps = [("", "ATDT5\r"), ("CONNECT", ""), ("host of 5", "bye\r"), ("never", "")];
        let mut with = peer(DceOptions::default()).with_leads();
        let heard = talk(&mut Chat::new(&steps), &mut with).outcome;
        assert!(
            matches!(&heard, Some(Err(text)) if text.ends_with("farewell\r\nNO CARRIER\r\n")),
            "{heard:?}"
        );
        let mut without = peer(DceOptions::default());
        assert!(talk(&mut Chat::new(&steps), &mut without).outcome.is_none(), "NO CARRIER is all there is");
        assert_eq!(without.hook(), Hook::OnHook);
    }

    #[test]
    fn a_lost_carrier_leaves_a_modem_that_dials_again() {
        let mut peer = peer(DceOptions { drop_after: vec![4], ..DceOptions::default() });
        let mut chat = Chat::new(&[
            ("", "ATDT5\r"),
            ("host\r\nNO CARRIER\r\n", "ATDT5\r"),
            ("host of 5: ", "abc\r"),
            ("<3>", ""),
        ]);
        assert!(matches!(talk(&mut chat, &mut peer).outcome, Some(Ok(_))));
    }

    #[test]
    fn one_seed_damages_the_same_bytes_every_time() {
        let noisy = |seed| {
            let quality = LineQuality { bit_error_rate: 0.01, ..LineQuality::PERFECT };
            let mut peer = peer(DceOptions { quality, seed, ..DceOptions::default() });
            let steps = [("", "ATDT5\r"), ("CONNECT", "0123456789\r0123456789\r0123456789\r"), ("never", "")];
            let mut chat = Chat::new(&steps);
            talk(&mut chat, &mut peer);
            chat.heard
        };
        assert_eq!(noisy(3), noisy(3));
        assert!((4..10).any(|seed| noisy(seed) != noisy(3)));
    }
}
