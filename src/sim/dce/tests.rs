//! What the modem answers, in virtual time.

use proptest::prelude::*;

use super::options::ANSWERS;
use super::*;
use crate::sim::converse::epoch;
use crate::sim::wire::LineQuality;

/// A modem with a clock, typed at and listened to.
struct Bench {
    dce: Dce,
    now: Instant,
    events: Vec<DceEvent>,
    heard: Vec<u8>,
    host_heard: Vec<u8>,
}

impl Bench {
    fn new(options: DceOptions) -> Self {
        let (heard, host_heard) = (Vec::new(), Vec::new());
        Self { dce: Dce::new(options), now: epoch(), events: Vec::new(), heard, host_heard }
    }

    /// Connected at once over a perfect line, without echo.
    fn online(options: DceOptions) -> Self {
        let mut bench = Self::new(DceOptions { ring_delay: Duration::ZERO, ..options });
        assert!(bench.typed("ATE0\r").ends_with("OK\r\n"));
        assert_eq!(bench.typed("ATD5551212\r"), "\r\nCONNECT 33600\r\n");
        bench.events.clear();
        bench
    }

    fn collect(&mut self) {
        loop {
            let step = self.dce.poll(self.now);
            self.heard.extend(self.dce.for_dte.drain(..));
            let for_host = self.dce.output_for_host().to_vec();
            self.dce.sent_to_host(for_host.len());
            self.host_heard.extend(&for_host);
            match step {
                DceStep::Event(event) => self.events.push(event),
                DceStep::Wait(_) if !for_host.is_empty() => {}
                DceStep::Wait(_) => return,
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.dce.handle_dte(self.now, bytes);
            bytes = &bytes[taken..];
            self.collect();
            if taken == 0 {
                self.run(Duration::from_millis(1));
            }
        }
    }

    fn typed(&mut self, text: &str) -> String {
        self.send(text.as_bytes());
        self.said()
    }

    fn host_says(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.dce.handle_host(self.now, bytes);
            bytes = &bytes[taken..];
            self.collect();
            if taken == 0 {
                self.run(Duration::from_millis(1));
            }
        }
    }

    /// Lets time pass, stopping at each deadline on the way.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.collect();
            match self.dce.deadline().filter(|&at| at <= end) {
                Some(at) => {
                    assert!(at > self.now, "a deadline that has passed would never let time go on");
                    self.now = at;
                }
                None => break,
            }
        }
        self.now = end;
        self.collect();
    }

    fn said(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.heard)).into_owned()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn fast() -> DceOptions {
    DceOptions { ring_delay: Duration::ZERO, ..DceOptions::default() }
}

#[test]
fn commands_are_echoed_and_answered_in_words_or_digits() {
    let mut bench = Bench::new(fast());
    assert_eq!(bench.typed("AT\r"), "AT\r\r\nOK\r\n");
    assert_eq!(bench.typed("ATE0\r"), "ATE0\r\r\nOK\r\n");
    assert_eq!(bench.typed("at\r"), "\r\nOK\r\n");
    assert_eq!(bench.typed("ATV0\r"), "0\r");
    assert_eq!(bench.typed("ATNJ\r"), "4\r");
    assert_eq!(bench.typed("ATI0\r"), "33600\r\n0\r");
    assert_eq!(bench.typed("ATQ1\r"), "");
    assert_eq!(bench.typed("ATJ\r"), "");
    assert_eq!(bench.typed("ATQ0V1\r"), "\r\nOK\r\n");
    assert_eq!(bench.typed("ATS7=45\r"), "\r\nOK\r\n");
    assert_eq!(bench.typed("ATS7?\r"), "\r\n045\r\n\r\nOK\r\n");
    assert_eq!(bench.typed("ATZ\r"), "\r\nOK\r\n");
    assert_eq!(bench.typed("ATS7?\r"), "ATS7?\r\r\n060\r\n\r\nOK\r\n");
    assert_eq!(bench.typed("AT&F E0\r"), "AT&F E0\r\r\nOK\r\n");
    assert_eq!(bench.typed("ATS3=200\r"), "\r\nERROR\r\n");
}

#[test]
fn a_line_is_edited_repeated_and_refused_when_too_long() {
    let mut bench = Bench::new(fast());
    assert_eq!(bench.typed("ATX9\x084E9\x080\r"), "ATX9\x08 \x084E9\x08 \x080\r\r\nOK\r\n");
    assert_eq!(bench.typed("ATS0?\r"), "\r\n000\r\n\r\nOK\r\n");
    assert_eq!(bench.typed("A/"), "\r\n000\r\n\r\nOK\r\n");
    let long = format!("AT{}\r", "E0".repeat(128));
    assert_eq!(bench.typed(&long), "\r\nERROR\r\n");
    assert_eq!(bench.typed("aT\rAt\r"), "", "both letters are of one case (V.250 5.2.1)");
    assert_eq!(bench.typed("xyz AAT\r"), "\r\nOK\r\n");
}

#[test]
fn each_answer_has_its_own_result_and_x_decides_what_is_told() {
    let cases = [
        (Answer::Busy, "BUSY", "7"),
        (Answer::NoAnswer, "NO ANSWER", "8"),
        (Answer::NoCarrier, "NO CARRIER", "3"),
        (Answer::NoDialtone, "NO DIALTONE", "6"),
        (Answer::Voice, "VOICE", "12"),
        (Answer::Delayed, "DELAYED", "24"),
        (Answer::Blacklisted, "BLACKLISTED", "32"),
    ];
    for (answer, words, digits) in cases {
        let mut bench = Bench::new(DceOptions { answers: vec![answer], ..fast() });
        bench.typed("ATE0\r");
        assert_eq!(bench.typed("ATDT1\r"), format!("\r\n{words}\r\n"));
        assert_eq!(bench.typed("ATV0DT1\r"), format!("{digits}\r"));
        assert_eq!(bench.dce.hook(), Hook::OnHook);
        assert!(bench.events.contains(&DceEvent::Refused { result: words }));
    }
    let mut bench = Bench::new(DceOptions { answers: vec![Answer::Busy], ..fast() });
    assert!(bench.typed("ATE0X2DT1\r").ends_with("\r\nNO CARRIER\r\n"));
    let mut bench = Bench::new(fast());
    assert!(bench.typed("ATE0X0DT1\r").ends_with("\r\nCONNECT\r\n"));
}

#[test]
fn the_phone_book_comes_before_the_answers_in_turn() {
    let options = DceOptions {
        phone_book: vec![("555-0000".into(), Answer::Blacklisted)],
        answers: vec![Answer::Busy, Answer::Connect],
        ..fast()
    };
    let mut bench = Bench::new(options);
    bench.typed("ATE0\r");
    assert_eq!(bench.typed("ATDT1\r"), "\r\nBUSY\r\n");
    assert_eq!(bench.typed("ATDT5550000\r"), "\r\nBLACKLISTED\r\n");
    assert_eq!(bench.typed("ATDT1\r"), "\r\nCONNECT 33600\r\n");
    assert_eq!(bench.dce.hook(), Hook::Online);
}

#[test]
fn ringing_takes_its_time_and_any_character_aborts_but_not_an_lf_behind_the_cr() {
    let mut bench =
        Bench::new(DceOptions { connect_text: "CONNECT 57600/ARQ/V34/LAPM".into(), ..Default::default() });
    bench.typed("ATE0\r");
    assert_eq!(bench.typed("ATDT5551212\r\n"), "");
    bench.run(Duration::from_millis(1_999));
    assert_eq!(bench.said(), "");
    bench.run(Duration::from_millis(1));
    assert_eq!(bench.said(), "\r\nCONNECT 57600/ARQ/V34/LAPM\r\n");
    bench.typed("ATZ\r"); // data now

    let mut bench = Bench::new(DceOptions::default());
    bench.typed("ATE0\r");
    bench.typed("ATDT5551212\r");
    bench.run(SECOND);
    assert_eq!(bench.typed("x"), "\r\nNO CARRIER\r\n");
    assert_eq!(bench.dce.hook(), Hook::OnHook);
    bench.run(10 * SECOND);
    assert_eq!(bench.said(), "");
}

#[test]
fn s7_bounds_the_wait_for_carrier() {
    let mut bench = Bench::new(DceOptions { ring_delay: 30 * SECOND, ..Default::default() });
    bench.typed("ATE0S7=5\r");
    bench.said();
    bench.typed("ATDT1\r");
    bench.run(5 * SECOND);
    assert_eq!(bench.said(), "\r\nNO CARRIER\r\n");
    bench.typed("ATA\r");
    bench.run(5 * SECOND);
    assert_eq!(bench.said(), "\r\nNO CARRIER\r\n");
}

#[test]
fn the_escape_needs_silence_before_and_after_it() {
    let mut bench = Bench::online(fast());
    assert_eq!(bench.typed("+++"), "");
    bench.run(2 * SECOND);
    assert_eq!(bench.said(), "", "no silence between CONNECT and the first +");
    bench.typed("+++x");
    bench.run(2 * SECOND);
    assert_eq!(bench.said(), "", "no silence behind the third +");
    bench.typed("++++");
    bench.run(2 * SECOND);
    assert_eq!(bench.said(), "", "four are data");
    bench.typed("+");
    bench.run(2 * SECOND);
    bench.typed("++");
    bench.run(2 * SECOND);
    assert_eq!(bench.said(), "", "a silence between them");
    bench.typed("++");
    bench.run(SECOND / 2);
    bench.typed("+");
    bench.run(SECOND - Duration::from_millis(1));
    assert_eq!(bench.said(), "");
    bench.run(Duration::from_millis(1));
    assert_eq!(bench.said(), "\r\nOK\r\n");
    assert_eq!(bench.dce.hook(), Hook::OnlineCommand);
    assert_eq!(bench.host_heard, b"++++++x++++++++++", "the far end sees them all");
}

#[test]
fn online_command_state_holds_the_hosts_bytes_until_ato_and_ath_hangs_up() {
    let mut bench = Bench::online(fast());
    bench.run(SECOND);
    bench.typed("+++");
    bench.run(SECOND);
    assert_eq!(bench.said(), "\r\nOK\r\n");
    bench.host_says(b"login: ");
    assert_eq!(bench.typed("ATDT1\r"), "\r\nERROR\r\n");
    assert_eq!(bench.typed("ATO\r"), "\r\nCONNECT 33600\r\nlogin: ");
    bench.run(SECOND);
    bench.typed("+++");
    bench.run(SECOND);
    assert_eq!(bench.typed("ATH0\r"), "\r\nOK\r\n\r\nOK\r\n");
    let ended = DceEvent::HungUp { call: 1, by: HangUpBy::Command, bytes_down: 7, bytes_up: 6, damaged: 0 };
    assert_eq!(bench.events, [ended]);
    assert_eq!(bench.dce.hook(), Hook::OnHook);
    assert_eq!(bench.typed("ATO\r"), "\r\nNO CARRIER\r\n");
}

#[test]
fn guard_time_and_escape_character_can_be_changed_and_turned_off() {
    let mut bench = Bench::new(fast());
    bench.typed("ATE0S12=0S2=42DT1\r");
    bench.said();
    assert_eq!(bench.typed("***"), "\r\nOK\r\n");
    bench.typed("ATS2=200O\r");
    bench.said();
    bench.send(&[200, 200, 200]);
    assert_eq!(bench.said(), "");
}

#[test]
fn dtr_off_does_what_d_says() {
    let hooks = [(0, Hook::Online), (1, Hook::OnlineCommand), (2, Hook::OnHook), (3, Hook::OnHook)];
    for (action, hook) in hooks {
        let mut bench = Bench::new(fast());
        bench.typed(&format!("ATE0&D{action}DT1\r"));
        bench.dce.handle_control(bench.now, Control::Dtr(false));
        bench.collect();
        assert_eq!(bench.dce.hook(), hook, "&D{action}");
        let gone =
            bench.events.iter().any(|event| matches!(event, DceEvent::HungUp { by: HangUpBy::Dtr, .. }));
        assert_eq!(gone, hook == Hook::OnHook);
    }
    let mut bench = Bench::new(DceOptions::default());
    bench.typed("ATE0DT1\r");
    bench.dce.handle_control(bench.now, Control::Dtr(false));
    bench.run(10 * SECOND);
    assert!(bench.said().ends_with("\r\nNO CARRIER\r\n"));
}

#[test]
fn the_hosts_last_words_arrive_before_no_carrier() {
    let quality = LineQuality { bps: Some(300), latency: SECOND, bit_error_rate: 0.0 };
    let mut bench = Bench::online(DceOptions { quality, ..fast() });
    bench.host_says(b"logout\r\n");
    bench.dce.handle_host_end(bench.now);
    bench.run(SECOND);
    assert_eq!(bench.said(), "");
    bench.run(SECOND);
    assert_eq!(bench.said(), "logout\r\n\r\nNO CARRIER\r\n");
    assert!(matches!(bench.events[..], [DceEvent::HungUp { by: HangUpBy::Host, bytes_down: 8, .. }]));
}

#[test]
fn the_carrier_drops_after_exactly_the_planned_bytes_of_each_planned_call() {
    let mut bench = Bench::online(DceOptions { drop_after: vec![10, 3], ..fast() });
    for (call, expected) in
        [(1, "0123456789\r\nNO CARRIER\r\n"), (2, "012\r\nNO CARRIER\r\n"), (3, "0123456789abcdef")]
    {
        bench.host_says(b"0123456789abcdef");
        assert_eq!(bench.said(), expected, "call {call}");
        if call < 3 {
            assert!(matches!(bench.events.last(), Some(DceEvent::HungUp { by: HangUpBy::Line, .. })));
            bench.typed("ATDT1\r");
            bench.said();
        }
    }
}

#[test]
fn a_deaf_line_keeps_its_carrier_and_can_still_be_hung_up() {
    let mut bench = Bench::online(DceOptions { silent_after: vec![4], ..fast() });
    bench.typed("up");
    bench.host_says(b"0123456789");
    assert_eq!(bench.said(), "0123");
    bench.typed("lost");
    bench.dce.handle_host_end(bench.now);
    bench.run(3_600 * SECOND);
    assert_eq!(bench.said(), "");
    assert_eq!(bench.host_heard, b"up");
    assert!(bench.dce.carrier());
    bench.typed("+++");
    bench.run(SECOND);
    assert_eq!(bench.typed("ATH\r"), "\r\nOK\r\n\r\nOK\r\n");
    assert_eq!(bench.dce.hook(), Hook::OnHook);
}

#[test]
fn neither_side_gets_further_ahead_than_a_second_of_line_time() {
    let quality = LineQuality { bps: Some(9_600), latency: Duration::ZERO, bit_error_rate: 0.0 };
    let mut bench = Bench::online(DceOptions { quality, ..fast() });
    assert_eq!(bench.dce.handle_host(bench.now, &[b'x'; 100_000]), 960);
    assert_eq!(bench.dce.handle_dte(bench.now, &[b'x'; 100_000]), 960);
    bench.run(SECOND / 2);
    assert_eq!(bench.heard.len(), 480);
    assert_eq!(bench.dce.handle_host(bench.now, &[b'x'; 100_000]), 480);
    // A DTE that does not read holds the host up, and is not given more and more.
    for _ in 0..10 {
        bench.now += SECOND;
        bench.dce.handle_host(bench.now, &[b'x'; 100_000]);
    }
    assert_eq!(bench.dce.for_dte.len(), 960);
    let mut bench = Bench::new(fast());
    assert!(
        bench.dce.handle_dte(bench.now, "AT\r".repeat(10_000).as_bytes()) < 3_000,
        "unread answers are bounded"
    );
}

#[test]
fn input_split_anywhere_gives_the_same_answers() {
    let script = b"ATE1V1Q0\rATS7=9 S7?\r+++ATI3;\rATX\x084\rA/atdt 5;\rATZ\rATV0\rATDT1\r+++data";
    let whole = {
        let mut bench = Bench::new(fast());
        bench.send(script);
        (bench.heard, bench.host_heard, bench.events)
    };
    for split in 0..=script.len() {
        let mut bench = Bench::new(fast());
        bench.send(&script[..split]);
        bench.send(&script[split..]);
        assert_eq!((bench.heard, bench.host_heard, bench.events), whole.clone(), "split at {split}");
    }
}

fn rung_at(seconds: u32, rings: u32) -> DceOptions {
    let caller = vec!["NMBR = 5551212".to_owned()];
    let incoming = Incoming { rings, caller, ..Incoming::new(RingsWhen::At(seconds * SECOND)) };
    DceOptions { incoming: vec![incoming], ..fast() }
}

#[test]
fn a_call_that_comes_in_rings_every_six_seconds_until_the_caller_gives_up() {
    let mut bench = Bench::new(rung_at(10, 3));
    bench.typed("ATE0\r");
    bench.said();
    bench.run(10 * SECOND - Duration::from_millis(1));
    assert_eq!(bench.said(), "");
    bench.run(Duration::from_millis(1));
    assert_eq!(bench.said(), "\r\nRING\r\n\r\nNMBR = 5551212\r\n");
    assert!(bench.dce.ring_indicator(bench.now));
    bench.run(3 * SECOND);
    assert!(!bench.dce.ring_indicator(bench.now), "the silence of the cadence");
    bench.typed("ATV0\r");
    bench.said();
    bench.run(3 * SECOND);
    assert_eq!(bench.said(), "2\r", "and nothing of the caller behind the second ring");
    bench.run(MINUTE);
    assert_eq!(bench.said(), "2\r");
    assert_eq!(bench.events, [DceEvent::Rings, DceEvent::CallerGaveUp]);
    assert_eq!(bench.typed("ATV1S7=2A\r"), "");
    bench.run(2 * SECOND);
    assert_eq!(bench.said(), "\r\nNO CARRIER\r\n", "nobody is there any more");
}

#[test]
fn a_call_is_answered_by_ata_or_by_s0_and_a_line_in_use_is_rung_later() {
    let mut bench = Bench::new(rung_at(10, 3));
    bench.typed("ATE0\r");
    bench.run(10 * SECOND);
    bench.said();
    assert_eq!(bench.typed("ATA\r"), "\r\nCONNECT 33600\r\n");
    assert_eq!(bench.events, [DceEvent::Rings, DceEvent::Connected { call: 1, number: String::new() }]);
    let mut bench = Bench::new(rung_at(10, 3));
    bench.typed("ATE0S0=2\r");
    bench.said();
    bench.run(MINUTE);
    assert_eq!(bench.said().matches("RING").count(), 2);
    assert_eq!(bench.dce.hook(), Hook::Online);
    let mut bench = Bench::online(rung_at(10, 3));
    bench.run(MINUTE);
    assert_eq!(bench.said(), "");
    bench.dce.handle_host_end(bench.now);
    bench.run(SECOND);
    assert!(bench.said().starts_with("\r\nNO CARRIER\r\n\r\nRING\r\n"));
}

#[test]
fn a_host_that_hung_up_calls_back_and_not_when_we_did_or_when_it_had_called() {
    let incoming = vec![Incoming::new(RingsWhen::Back(5 * SECOND))];
    let mut bench = Bench::online(DceOptions { incoming, ..fast() });
    bench.typed("ATS0=1\r"); // data
    bench.dce.handle_control(bench.now, Control::Dtr(false));
    bench.run(MINUTE);
    assert!(!bench.said().contains("RING"));
    bench.typed("ATDT1\r");
    bench.dce.handle_host_end(bench.now);
    bench.run(5 * SECOND);
    assert!(bench.said().ends_with("NO CARRIER\r\n\r\nRING\r\n"));
    bench.typed("ATA\r");
    bench.said();
    bench.dce.handle_host_end(bench.now);
    bench.run(MINUTE);
    assert_eq!(bench.said(), "\r\nNO CARRIER\r\n");
}

#[test]
fn a_modem_with_a_quirk_is_unlike_others() {
    let with = |quirk| Bench::new(DceOptions { quirks: vec![quirk], ..fast() });
    let mut bench = with(Quirk::StuckEcho);
    bench.typed("ATE0\r");
    assert_eq!(bench.typed("AT\r"), "AT\r\r\nOK\r\n");
    let mut bench = with(Quirk::Numeric);
    assert_eq!(bench.typed("ATE0V1\r"), "ATE0V1\r0\r");
    assert_eq!(bench.typed("ATDT1\r"), "1\r");
    let mut bench = with(Quirk::Glued);
    assert_eq!(bench.typed("AT\r"), "ATOK\r\n");
    let mut bench = with(Quirk::NoDtr);
    bench.typed("ATE0DT1\r");
    bench.dce.handle_control(bench.now, Control::Dtr(false));
    assert!(bench.dce.carrier());
    let mut bench = with(Quirk::PortSpeed(9_600));
    bench.dce.handle_control(bench.now, Control::Speed(57_600));
    assert_eq!(bench.typed("AT\r"), "");
    bench.dce.handle_control(bench.now, Control::Speed(9_600));
    assert_eq!(bench.typed("ATE0\r"), "ATE0\r\r\nOK\r\n");
    assert_eq!("port-speed=9600".parse(), Ok(Quirk::PortSpeed(9_600)));
    assert!("port-speed=fast".parse::<Quirk>().is_err() && "no".parse::<Quirk>().is_err());
}

proptest! {
    #[test]
    fn whatever_is_said_when_no_queue_grows_and_time_goes_on(
        script in proptest::collection::vec((0_u8..6, 0_u64..3_000, any_typing()), 0..40),
        bps in prop_oneof![Just(None), (75_u32..200_000).prop_map(Some)],
        drop_after in proptest::collection::vec(0_u64..200, 0..3),
        silent_after in proptest::collection::vec(0_u64..200, 0..3),
        answer in proptest::sample::select(&ANSWERS[..]),
        rings_at in proptest::collection::vec(0_u32..60, 0..3),
    ) {
        let quality = LineQuality { bps, latency: Duration::from_millis(50), bit_error_rate: 1e-3 };
        let answers = vec![answer.1, Answer::Connect];
        let incoming = rings_at.into_iter().map(|at| Incoming::new(RingsWhen::At(at * SECOND))).collect();
        let options =
            DceOptions { quality, drop_after, silent_after, answers, incoming, ..DceOptions::default() };
        let mut bench = Bench::new(options);
        for (action, millis, bytes) in script {
            match action {
                0 | 1 => { bench.dce.handle_dte(bench.now, &bytes); }
                2 => { bench.dce.handle_host(bench.now, &bytes); }
                3 => bench.dce.handle_host_end(bench.now),
                4 => bench.dce.handle_control(bench.now, Control::Dtr(millis % 2 == 0)),
                _ => bench.run(Duration::from_millis(millis)),
            }
            prop_assert!(bench.dce.for_dte.len() <= 65_536 + 8_192);
            prop_assert!(bench.dce.events.len() <= 8);
            bench.collect();
        }
        bench.run(3_600 * SECOND);
        prop_assert!(bench.dce.deadline().is_none(), "an hour later something is still due");
    }
}

/// Modem talk more often than noise.
fn any_typing() -> impl Strategy<Value = Vec<u8>> {
    let talk = [
        "AT\r",
        "ATDT1\r",
        "+++",
        "ATH\r",
        "ATO\r",
        "ATE0\r",
        "A/",
        "ATI\r",
        "ATS12=0\r",
        "ATZ\r",
        "ATA\r",
        "ATS0=1\r",
        "ATV0S3=10\r",
    ];
    prop_oneof![
        3 => proptest::sample::select(talk.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..600),
    ]
}
