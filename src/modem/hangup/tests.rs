//! Hanging up against a scripted modem, in virtual time.

use proptest::prelude::*;

use super::*;
use crate::modem::scripted::{Scripted, generic, ms};
use crate::sim::converse::{Conversation, converse, epoch};
use crate::sim::wire::LineQuality;

type Ended = Conversation<HangUpEvent, Result<HungUp, HangUpError>>;

fn hang_up(modem: &mut Scripted, has_dtr: bool) -> Ended {
    let mut machine = HangUp::new(&generic(), has_dtr);
    converse(&mut machine, modem, LineQuality::PERFECT, 1, Duration::from_secs(1_000))
}

#[test]
fn a_call_is_hung_up_by_dtr_in_two_seconds() {
    for numeric in [false, true] {
        let mut modem = Scripted { numeric, ..Scripted::in_call() };
        let ended = hang_up(&mut modem, true);
        assert_eq!(ended.outcome, Some(Ok(HungUp::OnHook)));
        assert!(!modem.call);
        assert!(ended.elapsed < Duration::from_secs(2), "{:?}", ended.elapsed);
        let controls: Vec<Control> = ended.controls.iter().map(|&(_, control)| control).collect();
        assert_eq!(controls, [Control::DiscardOutput, Control::Dtr(false), Control::Dtr(true)]);
    }
}

#[test]
fn an_answer_that_stands_right_behind_the_echo_is_an_answer() {
    for answer in [&b"ATH0OK\r\n"[..], b"ATH0NO CARRIER\r\n"] {
        let mut modem = Scripted { answers: vec![("H0", answer)], ..Scripted::in_call() };
        let ended = hang_up(&mut modem, false);
        assert_eq!(ended.outcome, Some(Ok(HungUp::OnHook)), "{}", answer.escape_ascii());
        assert!(ended.elapsed < Duration::from_secs(4), "{:?}", ended.elapsed);
    }
    let mut modem = Scripted { answers: vec![("H0", b"ATDT5OK\r\n"), ("", b"")], ..Scripted::in_call() };
    let ended = hang_up(&mut modem, false);
    assert_eq!(ended.outcome, Some(Err(HangUpError::StillUp)), "that was another command");
}

#[test]
fn a_call_is_hung_up_without_dtr_in_less_than_four_seconds() {
    for (echo, numeric) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut modem = Scripted { echo, numeric, ..Scripted::in_call() };
        let ended = hang_up(&mut modem, false);
        assert_eq!(ended.outcome, Some(Ok(HungUp::OnHook)), "echo {echo}, numeric {numeric}");
        assert!(!modem.call);
        assert!(ended.elapsed < Duration::from_secs(4), "{:?}", ended.elapsed);
        assert!(ended.sent.starts_with(b"+++ATH0"));
    }
}

#[test]
fn a_host_that_keeps_sending_does_not_keep_the_call() {
    let floods: [&[u8]; 6] = [
        b"**\x18B0900000000a87c\r\x8a",
        b"\r\nOK\r\n",
        b"\r\nNO CARRIER\r\n",
        b"\r\nCONNECT 2400\r\n0\r3\r",
        b"no line ever ends",
        b"\r\nATH0\r\n\r\nOK\r\nlogin: ",
    ];
    for flood in floods {
        for has_dtr in [false, true] {
            let mut modem = Scripted { flood: flood.repeat(30), ..Scripted::in_call() };
            let ended = hang_up(&mut modem, has_dtr);
            assert_eq!(ended.outcome, Some(Ok(HungUp::OnHook)), "{}", flood.escape_ascii());
            assert!(!modem.call, "{}", flood.escape_ascii());
            assert!(ended.elapsed < Duration::from_secs(4), "{:?}", ended.elapsed);
        }
    }
}

#[test]
fn a_modem_that_ignores_dtr_is_escaped_from() {
    let mut modem = Scripted { obeys_dtr: false, flood: b"OK\r\n".to_vec(), ..Scripted::in_call() };
    let ended = hang_up(&mut modem, true);
    assert_eq!(ended.outcome, Some(Ok(HungUp::OnHook)));
    assert!(!modem.call);
    assert!(ended.events.contains(&HangUpEvent::Escaping(1)));
}

#[test]
fn a_call_that_the_host_ended_is_done_in_a_second() {
    let mut machine = HangUp::new(&generic(), false);
    let mut modem = HostGone { modem: Scripted::new(), at: None };
    let ended = converse(&mut machine, &mut modem, LineQuality::PERFECT, 1, Duration::from_secs(60));
    assert_eq!(ended.outcome, Some(Ok(HungUp::OnHook)));
    assert_eq!(ended.sent, b"ATH0\r");
    assert!(ended.elapsed < Duration::from_secs(1), "{:?}", ended.elapsed);
}

#[test]
fn a_modem_on_hook_already_is_made_sure_of() {
    let mut modem = Scripted::new();
    let ended = hang_up(&mut modem, false);
    assert_eq!(ended.outcome, Some(Ok(HungUp::OnHook)));
    assert!(ended.elapsed < Duration::from_secs(5), "{:?}", ended.elapsed);
}

#[test]
fn a_modem_that_is_dialling_stops() {
    let mut modem = Scripted::new();
    let command = b"ATDT5551212\r";
    crate::sim::converse::Peer::handle_input(&mut modem, epoch(), command);
    let ended = hang_up(&mut modem, false);
    assert_eq!(ended.outcome, Some(Ok(HungUp::OnHook)));
}

#[test]
fn what_cannot_be_hung_up_is_said_within_the_limit() {
    for has_dtr in [false, true] {
        for flood in [&b""[..], b"data\r\n", b"OK\r\n", b"NO CARRIER\r\n", b"ERROR\r"] {
            let mut modem =
                Scripted { deaf: true, obeys_dtr: false, flood: flood.to_vec(), ..Scripted::in_call() };
            let ended = hang_up(&mut modem, has_dtr);
            assert_eq!(ended.outcome, Some(Err(HangUpError::StillUp)), "{}", flood.escape_ascii());
            assert!(ended.elapsed <= HANG_UP_MAX, "{:?}", ended.elapsed);
        }
    }
}

#[test]
fn no_carrier_from_a_modem_that_then_says_nothing_counts() {
    let mut modem = HostGone { modem: Scripted { deaf: true, ..Scripted::new() }, at: None };
    let mut machine = HangUp::new(&generic(), false);
    let ended = converse(&mut machine, &mut modem, LineQuality::PERFECT, 1, Duration::from_secs(60));
    assert_eq!(ended.outcome, Some(Ok(HungUp::CarrierLost)));
}

#[test]
fn the_end_of_the_line_ends_it() {
    let mut machine = HangUp::new(&generic(), false);
    let now = epoch();
    while !matches!(machine.poll_output(now), Output::Wait(_)) {}
    machine.handle_hangup(now);
    let end = loop {
        match machine.poll_output(now) {
            Output::Done(outcome) => break outcome,
            Output::Wait(_) => panic!("it does not end"),
            Output::Transmit(_) | Output::Control(_) | Output::Event(_) => {}
        }
    };
    assert_eq!(end, Ok(HungUp::LineGone));
}

#[test]
fn a_modem_that_should_be_on_hook_is_made_sure_of_quickly_or_hung_up() {
    for (in_call, most) in [(false, 500), (true, 7_000)] {
        let mut modem = if in_call { Scripted::in_call() } else { Scripted::new() };
        let mut machine = HangUp::make_sure(&generic());
        let ended = converse(&mut machine, &mut modem, LineQuality::PERFECT, 1, Duration::from_secs(60));
        assert_eq!(ended.outcome, Some(Ok(HungUp::OnHook)));
        assert!(!modem.call);
        assert!(ended.elapsed < ms(most), "{:?}", ended.elapsed);
    }
}

#[test]
fn a_modem_that_says_nothing_to_the_command_while_on_hook_is_known_by_its_ok_to_at() {
    let mut modem = Scripted { answers: vec![("H0", b"")], ..Scripted::new() };
    let mut machine = HangUp::make_sure(&generic());
    let ended = converse(&mut machine, &mut modem, LineQuality::PERFECT, 1, Duration::from_secs(60));
    assert_eq!(ended.outcome, Some(Ok(HungUp::OnHook)));
    assert_eq!(ended.sent, b"ATH0\rAT\rATH0\rAT\r", "the first could have been lost");
    assert!(ended.elapsed < ms(8_000), "{:?}", ended.elapsed);
}

#[test]
fn carrier_lost_while_dtr_is_low_raises_it_again() {
    let mut machine = HangUp::new(&generic(), true);
    let now = epoch();
    while !matches!(machine.poll_output(now), Output::Wait(_)) {}
    machine.handle_hangup(now);
    assert!(matches!(machine.poll_output(now), Output::Control(Control::Dtr(true))));
    assert!(matches!(machine.poll_output(now), Output::Done(Ok(HungUp::LineGone))));
}

#[test]
fn a_line_without_a_modem_has_its_dtr_dropped_and_nothing_sent() {
    let none = Profile::builtin("none").expect("none is built in");
    for (has_dtr, controls) in [(true, 3), (false, 1)] {
        let mut machine = HangUp::new(&none, has_dtr);
        let ended =
            converse(&mut machine, &mut Scripted::new(), LineQuality::PERFECT, 1, Duration::from_secs(60));
        assert_eq!(ended.outcome, Some(Ok(HungUp::NoModem)));
        assert_eq!(ended.controls.len(), controls);
        assert!(ended.sent.is_empty());
    }
}

/// A modem that says NO CARRIER soon after the start.
struct HostGone {
    modem: Scripted,
    at: Option<Instant>,
}

impl crate::sim::converse::Peer for HostGone {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.modem.handle_input(now, bytes);
    }

    fn poll(&mut self, now: Instant) -> crate::sim::converse::PeerStep {
        use crate::sim::converse::PeerStep;
        match self.at {
            None => {
                self.at = Some(now + ms(200));
                PeerStep::Wait(self.at)
            }
            Some(at) if at > now => PeerStep::Wait(Some(at)),
            Some(at) if at == now => {
                self.at = Some(now - ms(1));
                PeerStep::Transmit(b"\r\nNO CARRIER\r\n".to_vec())
            }
            Some(_) => self.modem.poll(now),
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_at_any_time_end_within_the_limit(
        has_dtr in any::<bool>(),
        chunks in proptest::collection::vec(
            (0u64..2_000, prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                proptest::sample::select(vec![&b"\r\nOK\r\n"[..], b"0\r", b"\r\nERROR\r\n", b"\r\nNO CARRIER\r\n", b"x"])
                    .prop_map(<[u8]>::to_vec),
            ]), 0..60),
    ) {
        let mut machine = HangUp::new(&generic(), has_dtr);
        let mut now = epoch();
        let mut arrives = now;
        let mut chunks = chunks.into_iter();
        for _ in 0..10_000 {
            match machine.poll_output(now) {
                Output::Done(_) => {
                    prop_assert!(now - epoch() <= HANG_UP_MAX + ms(2_000));
                    return Ok(());
                }
                Output::Transmit(_) | Output::Control(_) | Output::Event(_) => {}
                Output::Wait(due) => {
                    if let Some((after, bytes)) = chunks.next() {
                        arrives += ms(after);
                        now = now.max(arrives);
                        prop_assert!(machine.handle_input(now, &bytes) <= bytes.len());
                    } else {
                        now = now.max(due.expect("hanging up always has a deadline"));
                        machine.handle_timeout(now);
                    }
                }
            }
        }
        prop_assert!(false, "the machine never ends");
    }
}
