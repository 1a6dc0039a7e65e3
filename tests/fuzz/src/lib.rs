//! What the fuzz targets share: a machine fed by a schedule in virtual time.

use std::time::Duration;

use mailcall::machine::{Machine, Output};
use mailcall::sim::converse::epoch;

/// Cuts fuzzed bytes into arrivals: a pause, a length, as many bytes.
pub fn arrivals(mut bytes: &[u8]) -> Vec<(Duration, &[u8])> {
    let mut arrivals = Vec::new();
    while let [pause, length, rest @ ..] = bytes {
        let (now, later) = rest.split_at(usize::from(*length).min(rest.len()));
        // Up to 10 s, short pauses finely: 0, 1, 4, .. ms.
        let pause = u64::from(*pause).pow(2) / 6;
        arrivals.push((Duration::from_millis(pause), now));
        bytes = later;
    }
    arrivals
}

/// Feeds the machine, then nothing more. Panics if it runs past its limit, waits for ever, or takes more
/// than it was offered.
pub fn drive<M: Machine>(machine: &mut M, arrivals: &[(Duration, &[u8])], limit: Duration) {
    let start = epoch();
    let mut now = start;
    let mut at = start;
    let mut arrivals = arrivals.iter();
    let mut next = arrivals.next();
    let mut held = Vec::new();
    for _ in 0..STEPS_MAX {
        let due = match machine.poll_output(now) {
            Output::Done(_) => return,
            Output::Transmit(_) | Output::Control(_) | Output::Event(_) => continue,
            Output::Wait(due) => due,
        };
        assert!(now - start <= limit, "still going after {:?}", now - start);
        match next {
            Some((pause, bytes)) if due.is_none_or(|due| at + *pause <= due) => {
                at += *pause;
                now = now.max(at);
                held.extend_from_slice(bytes);
                let taken = machine.handle_input(now, &held);
                assert!(taken <= held.len(), "it took {taken} of {} bytes", held.len());
                held.drain(..taken);
                next = arrivals.next();
            }
            Some(_) | None => {
                now = now.max(due.expect("it waits for ever"));
                machine.handle_timeout(now);
            }
        }
    }
    panic!("the machine never ends");
}

/// More outputs and waits than any machine has within its time.
const STEPS_MAX: usize = 200_000;
