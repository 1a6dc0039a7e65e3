//! Any bytes from a ZMODEM receiver: the sender ends within stated time, and the detector loses none.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use mailcall::machine::{Inner, Machine, Output};
use mailcall::sim::converse::epoch;
use mailcall::transfer::zmodem::detect::Detector;
use mailcall::transfer::zmodem::frame::FileInfo;
use mailcall::transfer::zmodem::{Send, SendError, SendEvent, SendOptions, Sent};
use mailcall_fuzz::{arrivals, drive};

fuzz_target!(|data: &[u8]| {
    let mut detector = Detector::new();
    let mut shown = Vec::new();
    let mut found = false;
    for piece in data.chunks(7) {
        let fed = detector.feed(epoch(), piece);
        shown.extend(fed.show);
        if fed.begins.is_some() {
            found = true;
            break;
        }
    }
    if !found {
        shown.extend(detector.release(epoch() + Duration::from_secs(1)));
        assert_eq!(shown, data);
    }
    let info = |size| FileInfo { name: "f".into(), name_bytes: b"f".to_vec(), size: Some(size), mtime: None, mode: None };
    let mut owner = Owner(Send::new(vec![info(5_000), info(0)], SendOptions::default()));
    drive(&mut owner, &arrivals(data), Duration::from_secs(7_200));
});

/// Gives zeros for whatever is wanted.
struct Owner(Send);

impl Machine for Owner {
    type Event = ();
    type Outcome = Result<Sent, SendError>;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.0.handle_input(now, bytes)
    }
    fn handle_hangup(&mut self, now: Instant) {
        self.0.handle_hangup(now);
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }
    fn poll_output(&mut self, now: Instant) -> Output<(), Self::Outcome> {
        match self.0.poll_output(now).passed_on() {
            Ok(output) => output,
            Err(Inner::Done(outcome)) => Output::Done(outcome),
            Err(Inner::Event(SendEvent::Wants(want))) => {
                want.answer.give(vec![0; want.length]);
                Output::Event(())
            }
            Err(Inner::Event(SendEvent::WantsCrc(want))) => {
                want.answer.give(0);
                Output::Event(())
            }
            Err(Inner::Event(_)) => Output::Event(()),
        }
    }
}
