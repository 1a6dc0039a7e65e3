//! Dialling against a scripted modem, in virtual time.

use proptest::prelude::*;

use super::*;
use crate::modem::carrier::LINE_FEED_WAIT;
use crate::modem::ready::{MODEM_SILENT_MAX, ReadyError, SETUP_MAX};
use crate::modem::scripted::{Scripted, generic, ms};
use crate::sim::converse::{Conversation, converse, epoch};
use crate::sim::wire::LineQuality;

type Call = Conversation<DialEvent, Result<ConnectInfo, DialError>>;

const LONG: Duration = Duration::from_secs(1_000);

fn dial(modem: &mut Scripted) -> Call {
    let mut dial =
        Dial::new(generic(), &SetUp::default(), &DialRules::default(), "555 1212", Duration::from_secs(60))
            .expect("a sound number");
    converse(&mut dial, modem, LineQuality::PERFECT, 1, LONG)
}

fn error(call: &Call) -> DialError {
    match &call.outcome {
        Some(Err(error)) => error.clone(),
        other => panic!("dialling ended as {other:?}"),
    }
}

fn info(call: Call) -> ConnectInfo {
    match call.outcome {
        Some(Ok(info)) => info,
        other => {
            panic!("dialling ended as {other:?}, having sent {:?}", call.sent.escape_ascii().to_string())
        }
    }
}

/// The whole table of ends, in words and numbers.
fn ends() -> Vec<(&'static str, Option<u8>, DialError)> {
    let minute = DialError::Delayed { remaining: Some(Duration::from_secs(60)) };
    vec![
        ("NO CARRIER", Some(3), DialError::NoCarrier),
        ("NO DIALTONE", Some(6), DialError::NoDialtone),
        ("NO DIAL TONE", None, DialError::NoDialtone),
        ("BUSY", Some(7), DialError::Busy),
        ("NO ANSWER", Some(8), DialError::NoAnswer),
        ("VOICE", None, DialError::Voice),
        ("FAX", None, DialError::Fax),
        ("BLACKLISTED", Some(32), DialError::Blacklisted),
        ("DELAYED 00:01:00", None, minute),
        ("DELAYED", Some(24), DialError::Delayed { remaining: None }),
        ("CALL REJECTED", None, DialError::Rejected { reply: "CALL REJECTED".into() }),
        ("NO SERVICE", None, DialError::NoService { reply: "NO SERVICE".into() }),
        ("ERROR", Some(4), DialError::Refused { command: "ATDT5551212".into(), reply: "ERROR".into() }),
    ]
}

#[test]
fn every_failure_has_its_own_end_and_leaves_the_modem_on_hook() {
    for echo in [false, true] {
        for (words, number, end) in ends() {
            let mut modem = Scripted { echo, ..Scripted::dialling(format!("\r\n{words}\r\n").as_bytes()) };
            let call = dial(&mut modem);
            assert_eq!(error(&call), end, "{words}, echo {echo}");
            assert_eq!(modem.commands.last().map(String::as_str), Some("H0"), "{words}");
            let Some(number) = number else { continue };
            let mut modem =
                Scripted { echo, numeric: true, ..Scripted::dialling(format!("{number}\r").as_bytes()) };
            match (error(&dial(&mut modem)), end) {
                (DialError::Refused { reply, .. }, DialError::Refused { .. }) => assert_eq!(reply, "4"),
                (error, end) => assert_eq!(error, end, "{number}, echo {echo}"),
            }
        }
    }
}

#[test]
fn a_connection_is_handed_over_with_what_was_told_about_it() {
    let transcript = b"\r\nRRING\r\n\r\nCARRIER 31200\r\n\r\nPROTOCOL: LAP-M\r\n\r\nCOMPRESSION: V.42BIS\r\n\r\nCONNECT 57600\r\n";
    let mut modem = Scripted::dialling(transcript);
    let call = dial(&mut modem);
    assert_eq!(call.events.first(), Some(&DialEvent::Ready(ReadyEvent::Awake)));
    assert!(call.events.contains(&DialEvent::Dialling("5551212".into())));
    assert_eq!(call.events.last(), Some(&DialEvent::Ringing));
    assert!(call.elapsed < Duration::from_secs(5), "{:?}", call.elapsed);
    assert_eq!(
        modem.commands,
        ["", "Z", "Q0V1", "E0", "&C1", "&D2", "S0=0", "S7=55", "X4W2", "+IFC=2,2", "+ES=3,0,2", "DT5551212"]
    );
    let info = info(call);
    assert_eq!(info.text, "CONNECT 57600");
    assert_eq!(info.rate, Some(31_200));
    assert_eq!(info.protocol.as_deref(), Some("LAPM"));
    assert_eq!(info.compression.as_deref(), Some("V42BIS"));
    assert_eq!(info.notes.len(), 3);
}

#[test]
fn bytes_behind_connect_are_left_for_the_next_machine() {
    for (numeric, answer, text) in [
        (false, "\r\nCONNECT 2400\r\nlogin: ", "CONNECT 2400"),
        (false, "\r\nconnect 2400/ARQ\rlogin: ", "connect 2400/ARQ"),
        (false, "CONNECT\nlogin: ", "CONNECT"),
        (true, "1\rlogin: ", "1"),
    ] {
        let call = dial(&mut Scripted { numeric, ..Scripted::dialling(answer.as_bytes()) });
        assert_eq!(call.left, b"login: ", "{answer:?}");
        assert_eq!(info(call).text, text);
    }
}

#[test]
fn a_transcript_split_at_every_byte_ends_the_same() {
    let answer = b"\r\nRINGING\r\n\r\nCONNECT 2400\r\nlogin: ";
    for echo in [false, true] {
        let mut modem = Scripted::dialling(answer);
        modem.echo = echo;
        modem.dialled.2 = ms(10); // each byte by itself, and the LF behind CONNECT 10 ms late
        let call = dial(&mut modem);
        assert_eq!(call.left, b"", "the LF is ours and is waited for");
        assert_eq!(info(call).rate, Some(2_400));
    }
    let end = b"\r\nCONNECT 2400\r\nlogin: ";
    for at in 0..=end.len() {
        let mut dial = dialling();
        let now = epoch();
        let mut left = offer(&mut dial, now, &end[..at]);
        left.extend_from_slice(&end[at..]);
        left = offer(&mut dial, now, &left);
        assert_eq!(left, b"login: ", "split at {at}");
    }
}

#[test]
fn an_echo_without_a_line_end_does_not_hide_that_the_modem_is_awake() {
    let answers: Vec<(&str, &[u8])> =
        vec![("DT", b"ATDT1BUSY\r\n"), ("H0", b"ATH0OK\r\n"), ("", b"ATOK\r\n")];
    let call = dial(&mut Scripted { answers, ..Scripted::new() });
    assert_eq!(call.events.first(), Some(&DialEvent::Ready(ReadyEvent::Awake)));
    assert_eq!(error(&call), DialError::Busy);
}

#[test]
fn a_line_feed_that_never_comes_is_not_waited_for_long() {
    let mut modem = Scripted::dialling(b"\r\nCONNECT 300\r");
    let call = dial(&mut modem);
    let with_line_feed = dial(&mut Scripted::dialling(b"\r\nCONNECT 300\r\n"));
    assert_eq!(call.elapsed - with_line_feed.elapsed, LINE_FEED_WAIT);
}

#[test]
fn a_modem_still_in_an_old_call_is_hung_up_and_dialled() {
    for flood in [&b""[..], b"No mail.\r\n$ ", b"\r\nOK then\r\nmore and more of it"] {
        let mut modem = Scripted { flood: flood.to_vec(), ..Scripted::in_call() };
        modem.dialled.1 = b"\r\nBUSY\r\n".to_vec();
        let call = dial(&mut modem);
        assert_eq!(error(&call), DialError::Busy);
        assert_eq!(call.events.first(), Some(&DialEvent::Ready(ReadyEvent::HangingUpOldCall)));
        assert!(!modem.call);
    }
}

#[test]
fn an_ok_in_the_old_calls_data_is_not_taken_for_the_modem() {
    for flood in [&b"\r\nOK\r\n"[..], b"OK\r\nyes\r\n", b"0\rx", b"ERROR\r\nNO CARRIER\r\n"] {
        let mut modem = Scripted { flood: flood.to_vec(), ..Scripted::in_call() };
        modem.dialled.1 = b"\r\nBUSY\r\n".to_vec();
        let call = dial(&mut modem);
        assert_eq!(error(&call), DialError::Busy, "{}", flood.escape_ascii());
        assert_eq!(call.events.first(), Some(&DialEvent::Ready(ReadyEvent::HangingUpOldCall)));
        assert!(!modem.call, "the old call is down");
    }
}

#[test]
fn a_deaf_modem_ends_within_its_stated_time() {
    let call = dial(&mut Scripted { deaf: true, ..Scripted::new() });
    assert_eq!(error(&call), DialError::NotReady(ReadyError::Silent));
    assert!(call.elapsed < MODEM_SILENT_MAX, "{:?}", call.elapsed);
}

#[test]
fn a_call_coming_in_and_a_quiet_modem_do_not_stop_it() {
    let ringing: Vec<(&str, &[u8])> = vec![("Z", b"\r\nOK\r\n\r\nRING\r\n"), ("", b"\r\nOK\r\n\r\nRING\r\n")];
    let mut modem = Scripted { answers: ringing, ..Scripted::new() };
    assert_eq!(dial(&mut modem).events.first(), Some(&DialEvent::Ready(ReadyEvent::Awake)));
    // Q1 is stored: neither AT nor ATZ is answered until ATQ0 has come.
    let mut modem = Quiet { modem: Scripted::dialling(b"\r\nCONNECT\r\n"), heard: Vec::new() };
    let mut machine = Dial::new(generic(), &SetUp::default(), &DialRules::default(), "1", DIAL_WAIT_MAX)
        .expect("a sound number");
    let call = converse(&mut machine, &mut modem, LineQuality::PERFECT, 1, LONG);
    assert_eq!(info(call).text, "CONNECT");
}

/// A modem that answers nothing before a Q0.
struct Quiet {
    modem: Scripted,
    heard: Vec<u8>,
}

impl crate::sim::converse::Peer for Quiet {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
        let text = String::from_utf8_lossy(&self.heard).into_owned();
        let reset = text.rfind("ATZ");
        self.modem.deaf = text.rfind("Q0").is_none_or(|at| reset.is_some_and(|reset| reset > at));
        self.modem.handle_input(now, bytes);
    }

    fn poll(&mut self, now: Instant) -> crate::sim::converse::PeerStep {
        self.modem.poll(now)
    }
}

#[test]
fn a_port_with_something_else_on_it_is_told_apart_from_a_silent_one() {
    for flood in ["login: ", "\r\nUbuntu 24.04 ttyS0\r\n", "~~~~"] {
        let call = dial(&mut Scripted { deaf: true, flood: flood.into(), ..Scripted::new() });
        assert!(matches!(error(&call), DialError::NotReady(ReadyError::Garbled { .. })), "{flood:?}");
        assert!(call.elapsed < MODEM_SILENT_MAX, "{:?}", call.elapsed);
    }
}

#[test]
fn a_flood_of_results_is_bounded_in_time_and_in_events() {
    let floods: [&[u8]; 5] =
        [b"OK\r\n", b"ERROR\r\n", b"\r\n\r\n\r\n", b"RING\r\nRINGING\r\nx\r\n", b"CARRIER 1200\r\n"];
    for flood in floods {
        let mut modem = Scripted { deaf: true, flood: flood.repeat(20), ..Scripted::new() };
        let call = dial(&mut modem);
        assert!(matches!(call.outcome, Some(Err(_))), "{:?}", flood.escape_ascii().to_string());
        assert!(call.elapsed < DIAL_OVERHEAD_MAX + Duration::from_secs(60), "{:?}", call.elapsed);
        assert!(call.events.len() <= EVENTS_MAX + 2);
    }
}

#[test]
fn options_refused_are_noted_in_one_line_and_passed_over() {
    let answers: Vec<(&str, &[u8])> =
        vec![("X4W2", b"\r\nERROR\r\n"), ("+ES", b"\r\n+CME ERROR: 4\r\n"), ("&C1", b"")];
    let call = dial(&mut Scripted { answers, ..Scripted::dialling(b"\r\nCONNECT\r\n") });
    for note in [
        "the modem does not answer to AT&C1",
        "the modem passes over ATX4W2 (results: \"ERROR\"), AT+ES=3,0,2 (error_correction: \"+CME ERROR: 4\")",
    ] {
        assert!(
            call.events.contains(&DialEvent::Ready(ReadyEvent::Note(note.into()))),
            "{note}: {:?}",
            call.events
        );
    }
    assert_eq!(info(call).text, "CONNECT");
}

#[test]
fn a_needed_setting_refused_ends_it_and_is_named() {
    let call = dial(&mut Scripted { answers: vec![("Q0V1", b"\r\n+CME ERROR: 11\r\n")], ..Scripted::new() });
    let refused =
        ReadyError::Refused { setting: "init", command: "ATQ0V1".into(), reply: "+CME ERROR: 11".into() };
    assert_eq!(error(&call), DialError::NotReady(refused.clone()));
    let said = refused.to_string();
    assert!(said.contains("`init`") && said.contains("SIM PIN required"), "{said}");
}

#[test]
fn a_modem_that_answers_no_command_of_the_setup_ends_in_time() {
    let answers: Vec<(&str, &[u8])> =
        ["Z", "E0", "X4", "+", "&", "S"].into_iter().map(|start| (start, &b""[..])).collect();
    let call = dial(&mut Scripted { answers, ..Scripted::dialling(b"\r\nCONNECT\r\n") });
    assert!(call.elapsed < SETUP_MAX + Duration::from_secs(10), "{:?}", call.elapsed);
    assert_eq!(info(call).text, "CONNECT", "it is dialled all the same");
    let answers: Vec<(&str, &[u8])> = vec![("Z", b""), ("Q0V1", b"")];
    let call = dial(&mut Scripted { answers, ..Scripted::new() });
    assert_eq!(error(&call), DialError::NotReady(ReadyError::Silent));
    assert!(call.elapsed < DIAL_OVERHEAD_MAX);
}

#[test]
fn a_modem_that_hears_another_rate_is_found_there_and_dialled() {
    let set_up = SetUp { speed: Some(57_600), tries_speeds: true, ..SetUp::default() };
    let dial_at = |hears_at, set_up: &SetUp| {
        let mut modem = Scripted { hears_at, ..Scripted::dialling(b"\r\nCONNECT 9600\r\n") };
        let mut dial =
            Dial::new(generic(), set_up, &DialRules::default(), "1", DIAL_WAIT_MAX).expect("a sound number");
        let call = converse(&mut dial, &mut modem, LineQuality::PERFECT, 1, LONG);
        (call, modem.port_speed)
    };
    let (call, speed) = dial_at(Some(9_600), &set_up);
    assert!(call.events.contains(&DialEvent::Ready(ReadyEvent::FoundAtSpeed(9_600))));
    assert_eq!(speed, 9_600);
    assert_eq!(info(call).port_rate, Some(9_600), "the number behind CONNECT is the port's new rate");
    let (call, speed) = dial_at(Some(14_400), &set_up);
    assert_eq!(error(&call), DialError::NotReady(ReadyError::Silent));
    assert_eq!(speed, 57_600, "the port has its own rate again");
    let (call, _) = dial_at(Some(9_600), &SetUp { tries_speeds: false, ..set_up });
    assert_eq!(error(&call), DialError::NotReady(ReadyError::Silent));
}

#[test]
fn results_glued_to_an_echo_or_a_ring_are_heard() {
    for (answer, end) in [
        (&b"ATDT5551212BUSY\r\n"[..], DialError::Busy),
        (b"\r\nRINGNO CARRIER\r\n", DialError::NoCarrier),
        (b"\x81~NO ANSWER\r\n", DialError::NoAnswer),
    ] {
        assert_eq!(error(&dial(&mut Scripted::dialling(answer))), end, "{}", answer.escape_ascii());
    }
}

#[test]
fn dialling_that_takes_too_long_is_broken_off_with_a_character() {
    let timed_out = DialError::TimedOut { wait: Duration::from_secs(60) };
    for (answer, apart, end) in
        [("\r\nCONNECT\r\n", 20, timed_out), ("RINGING\r\nCONNECT\r\n", 5, DialError::NoAnswer)]
    {
        let mut modem = Scripted::dialling(answer.as_bytes());
        modem.dialled.2 = Duration::from_secs(apart);
        let call = dial(&mut modem);
        assert_eq!(error(&call), end);
        assert!(call.sent.ends_with(b"ATDT5551212\r\rATH0\r"), "{}", call.sent.escape_ascii());
        assert!(call.elapsed < Duration::from_secs(64), "{:?}", call.elapsed);
    }
}

#[test]
fn a_person_who_answers_as_we_break_off_is_heard_whenever_the_modem_says_so() {
    for before in ["", "\r\nOK\r\n", "\r\nNO CARRIER\r\n", "\r\nCONNECT\r", "\r\nERROR\r\nRING\r\n"] {
        let late = epoch() + DIAL_WAIT_MAX;
        let mut dial = dialling();
        offer(&mut dial, late, b""); // breaks off
        assert!(matches!(dial.state, State::Aborting { .. }));
        if before.contains("CONNECT") {
            offer(&mut dial, late, b"OK\r\n");
        }
        offer(&mut dial, late, format!("{before}\r\nVOICE\r\n").as_bytes());
        let mut now = late;
        let end = loop {
            now += ms(100);
            let _ = dial.handle_input(now, b"\r\nOK\r\n");
            dial.handle_timeout(now);
            match drain(&mut dial, now) {
                Output::Done(outcome) => break outcome,
                _ => assert!(now < late + DIAL_OVERHEAD_MAX, "{before:?}"),
            }
            now += ms(400);
            dial.handle_timeout(now);
            if let Output::Done(outcome) = drain(&mut dial, now) {
                break outcome;
            }
        };
        assert_eq!(end, Err(DialError::Voice), "{before:?}");
    }
}

#[test]
fn digits_of_a_stuck_echo_are_no_result_behind_an_ok_in_words() {
    let call = dial(&mut Scripted::dialling(b"\r1\r7\r\nBUSY\r\n"));
    assert_eq!(error(&call), DialError::Busy);
    assert!(call.events.contains(&DialEvent::Note("the modem says \"1\"".into())));
}

#[test]
fn a_modem_without_line_or_port_ends_at_once() {
    let mut dial = dialling();
    dial.handle_hangup(epoch());
    assert!(matches!(drain(&mut dial, epoch()), Output::Done(Err(DialError::PortGone))));
}

#[test]
fn waits_are_held_between_a_second_and_what_s7_holds() {
    for (wait, s7) in [(0, "ATS7=1"), (10, "ATS7=10"), (90, "ATS7=85"), (9_999, "ATS7=250")] {
        let wait = Duration::from_secs(wait);
        let dial = Dial::new(generic(), &SetUp::default(), &DialRules::default(), "1", wait)
            .expect("a sound number");
        assert!(dial.plan().iter().any(|planned| planned.command == s7), "{s7}: {:?}", dial.plan());
    }
}

/// A machine that has just dialled.
fn dialling() -> Dial {
    let mut dial = Dial::new(generic(), &SetUp::default(), &DialRules::default(), "1", DIAL_WAIT_MAX)
        .expect("a sound number");
    dial.state = State::Dialling { until: epoch() + DIAL_WAIT_MAX };
    dial
}

/// Polls until the machine waits or is done.
fn drain(dial: &mut Dial, now: Instant) -> Output<DialEvent, Result<ConnectInfo, DialError>> {
    for _ in 0..1_000 {
        match dial.poll_output(now) {
            Output::Transmit(_) | Output::Control(_) | Output::Event(_) => {}
            end => return end,
        }
    }
    panic!("the machine never waits");
}

/// Offers bytes as a driver does and returns what is left.
fn offer(dial: &mut Dial, now: Instant, bytes: &[u8]) -> Vec<u8> {
    let taken = dial.handle_input(now, bytes);
    drain(dial, now);
    bytes[taken..].to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_at_any_time_end_within_the_limit(
        chunks in proptest::collection::vec(
            (0u64..8_000, prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                proptest::sample::select(vec![&b"\r\nOK\r\n"[..], b"0\r", b"\r\nERROR\r\n", b"\r\nNO CARRIER\r\n",
                    b"CONNECT", b"\r", b"\n", b"\r\nBUSY\r\n", b"\r\nRING\r\n"]).prop_map(<[u8]>::to_vec),
            ]), 0..60),
    ) {
        let mut dial = Dial::new(generic(), &SetUp::default(), &DialRules::default(), "1", Duration::from_secs(20)).expect("a sound number");
        let mut now = epoch();
        let limit = now + DIAL_OVERHEAD_MAX + Duration::from_secs(20);
        let mut chunks = chunks.into_iter();
        let mut arrives = now;
        let mut next = chunks.next();
        loop {
            let due = match drain(&mut dial, now) {
                Output::Done(_) => break,
                Output::Wait(due) => due.expect("dialling always has a deadline"),
                other => panic!("{other:?}"),
            };
            prop_assert!(now <= limit, "still going at {:?}", now - epoch());
            if let Some((after, bytes)) = next.take() {
                arrives += ms(after);
                now = now.max(arrives);
                let taken = dial.handle_input(now, &bytes);
                prop_assert!(taken <= bytes.len());
                next = chunks.next();
            } else {
                now = now.max(due);
                dial.handle_timeout(now);
            }
        }
    }
}

#[test]
fn a_number_beyond_the_command_line_is_dialled_in_pieces_each_behind_the_last_one_s_ok() {
    let number = format!("{}{}", "1".repeat(37), "2".repeat(20));
    for echo in [false, true] {
        let mut modem = Scripted {
            echo,
            answers: vec![("DT1", b"\r\nOK\r\n")],
            ..Scripted::dialling(b"\r\nCONNECT 33600\r\n")
        };
        let mut dial = Dial::new(generic(), &SetUp::default(), &DialRules::default(), &number, DIAL_WAIT_MAX)
            .expect("a sound number");
        let call = converse(&mut dial, &mut modem, LineQuality::PERFECT, 1, LONG);
        assert_eq!(info(call).rate, Some(33_600));
        let dialled: Vec<_> = modem.commands.iter().filter(|command| command.starts_with('D')).collect();
        assert_eq!(dialled, [&format!("DT{};", "1".repeat(37)), &format!("DT{}", "2".repeat(20))]);
    }
}

#[test]
fn a_dial_is_told_before_its_command_is_sent_however_much_the_modem_babbles() {
    let babble = "\r\nREMARK\r\n".repeat(60) + "\r\nOK\r\n";
    let babble: &'static [u8] = Box::leak(babble.into_bytes().into_boxed_slice());
    let mut modem =
        Scripted { answers: vec![("S7", babble), ("X4", babble)], ..Scripted::dialling(b"\r\nBUSY\r\n") };
    let call = dial(&mut modem);
    assert_eq!(error(&call), DialError::Busy);
    assert!(call.events.iter().any(|event| matches!(event, DialEvent::Dialling(_))), "{:?}", call.events);
}

#[test]
fn the_plan_is_what_is_sent() {
    let mut modem = Scripted::dialling(b"\r\nCONNECT 33600\r\n");
    let mut machine =
        Dial::new(generic(), &SetUp::default(), &DialRules::default(), "555 1212", Duration::from_secs(60))
            .expect("a sound number");
    let planned: Vec<String> = machine.plan().into_iter().map(|planned| planned.command).collect();
    converse(&mut machine, &mut modem, LineQuality::PERFECT, 1, LONG);
    let sent: Vec<String> = modem.commands.iter().map(|command| format!("AT{command}")).collect();
    assert_eq!(planned, sent);
}

#[test]
fn an_error_to_the_number_while_it_rings_here_is_a_call_coming_in() {
    let answers: Vec<(&str, &[u8])> = vec![("E0", b"\r\nOK\r\n\r\nRING\r\n"), ("DT", b"\r\nERROR\r\n")];
    let call = dial(&mut Scripted { answers, ..Scripted::new() });
    assert_eq!(error(&call), DialError::CallComingIn);
    let call = dial(&mut Scripted { answers: vec![("DT", b"\r\nERROR\r\n")], ..Scripted::new() });
    assert!(matches!(error(&call), DialError::Refused { .. }));
}
